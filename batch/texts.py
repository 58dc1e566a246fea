"""Fields of CSV as the values of the model's columns: Arrow where it reads them as Python does, and else Python.

`edge_runtime.rows.number` is the law, as for `edge predict`; a CSV column is text until then.

Belongs here: text to values, a column at a time. Not here: reading the file (readers.py), what a value may be.
Imported as edge_runtime.batch.texts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_runtime.rows import number, truth
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec

__all__ = ["values_of"]

EXACT = 2.0**53


def values_of(texts: Any, column: ColumnSpec) -> Any:
    """The values of ``texts``, an Arrow array of strings: an Arrow array, or a list where Python had to read them.

    An empty field is missing, but empty text where a text column cannot be missing.
    """
    from pyarrow import ArrowInvalid, compute

    if column.dtype == "bool":
        return [truth(text) for text in texts.to_pylist()]
    if column.dtype == "str" and not column.nullable:
        return texts
    filled = emptied(texts)
    if column.dtype == "str":
        return filled
    integer = column.dtype in INTEGER_RANGE
    try:
        made = compute.cast(filled, "int64" if integer else "float64")
    except ArrowInvalid:
        made = None
    if made is None or not (decimal_digits(filled) if integer else plain_floats(made)):
        return [number(text) for text in texts.to_pylist()]
    return made


def emptied(texts: Any) -> Any:
    """``texts`` with null for empty ones."""
    import pyarrow
    from pyarrow import compute

    return compute.if_else(compute.equal(texts, ""), pyarrow.scalar(None, pyarrow.string()), texts)


def decimal_digits(texts: Any) -> bool:
    """Whether none is hexadecimal, which Arrow reads and a number in CSV is not."""
    from pyarrow import compute

    return not compute.any(compute.match_substring(texts, "x", ignore_case=True)).as_py()


def plain_floats(values: Any) -> bool:
    """Whether Arrow read each as Python does: none beyond float64, none an integer that float64 rounds, no -0."""
    known = values.drop_null().to_numpy()
    with np.errstate(invalid="ignore"):
        return bool((np.abs(known) < EXACT).all() and not (np.signbit(known) & (known == 0.0)).any())
