"""Arrow types for the values of JSON, block by block; where there is none, the line that is to blame.

Python integers are int64, or float64 beside fractions where that rounds none of them; objects are structs of all their
keys.

Belongs here: from one key's values to an Arrow type and column. Not here: reading lines (readers.py).
Imported as edge_runtime.batch.json_types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from edge_runtime.errors import InputError
from edge_runtime.rows import told

from .columns import types_within

__all__ = ["Values", "array_of", "check_parquet", "type_of"]


@dataclass(frozen=True, slots=True)
class Values:
    """What some lines of a file have under the key ``name``; ``lines`` are their numbers, from 1."""

    name: str
    lines: Sequence[int]
    values: Sequence[Any]

    def refuse(self, line: int, problem: str) -> NoReturn:
        expected = "--keep without it, or .jsonl to write"
        raise InputError(f"line {line}: {problem}", expected=expected, column=self.name)


def type_of(found: Values, before: Any) -> Any:
    """The Arrow type of all values of ``found`` and of the type ``before``. Raises InputError for the first line whose
    value is of another kind, or of none."""
    import pyarrow

    try:
        return joined(before, pyarrow.array(found.values).type)
    except failures():  # this block's values need more than Arrow guessed, or cannot be one column
        return type_by_line(found, before)


def type_by_line(found: Values, before: Any) -> Any:
    import pyarrow

    for line, value in zip(found.lines, found.values, strict=True):
        try:
            kind = pyarrow.array([value]).type
        except failures() as error:
            found.refuse(line, reason(error, value, None))
        try:
            before = joined(before, kind)
        except failures():
            found.refuse(line, f"values of several kinds cannot be one column ({kind}, and before it {before})")
    return before


def joined(before: Any, kind: Any) -> Any:
    import pyarrow

    both = [pyarrow.schema([("", each)]) for each in (before, kind)]
    return pyarrow.unify_schemas(both, promote_options="permissive").field(0).type


def array_of(found: Values, kind: Any) -> Any:
    """The values as a pyarrow.Array of type ``kind``. Raises InputError for the first line whose value it cannot hold
    unchanged."""
    import pyarrow

    try:
        return pyarrow.array(found.values, kind)
    except failures():
        for line, value in zip(found.lines, found.values, strict=True):
            try:
                pyarrow.array([value], kind)
            except failures() as error:
                found.refuse(line, reason(error, value, kind))
        raise


def check_parquet(found: Values, kind: Any) -> None:
    """Raise InputError if Parquet cannot hold a column of ``kind``, with the first line of ``found`` that has a
    value."""
    from pyarrow import types

    if any(types.is_struct(each) and not each.num_fields for each in types_within(kind)):
        line = next(line for line, value in zip(found.lines, found.values, strict=True) if value is not None)
        found.refuse(line, "objects without any key cannot be a column of Parquet")


def failures() -> tuple[type[Exception], ...]:
    """What Arrow raises for a Python value that it cannot hold."""
    from pyarrow import ArrowException

    return ArrowException, OverflowError, UnicodeEncodeError, RecursionError


def reason(error: Exception, value: object, kind: Any) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "text with half a character (a lone surrogate)"
    if isinstance(error, OverflowError) or (isinstance(value, int) and abs(value) >= 2**63):
        return "an integer beyond 64 bits"
    if isinstance(value, int) and str(kind) == "double":
        return "an integer that float64 would round, in a column that has fractions"
    return told(error).partition("\n")[0]
