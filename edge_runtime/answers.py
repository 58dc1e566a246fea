"""Files of answers that go out: Parquet, CSV, JSON Lines, JSON; and of tensors, .npz.

JSON and CSV need nothing but Python; Parquet needs pyarrow, the extra `batch`.
Imported by spokes and commands only, never by the core.

Belongs here: where a file may be written, and what an output looks like in each kind of file, for those who stream as
well. Not here: files that are read (rows.py), streaming (batch).
Imported as edge_runtime.answers.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bundle import replace_file
from .errors import InputError, extra
from .rows import SUFFIXES, one_of

if TYPE_CHECKING:
    from .model import Model

__all__ = [
    "about_model",
    "arrow_column",
    "check_target",
    "lines",
    "vector_names",
    "write_rows",
    "write_tensors",
    "written",
]

Outputs = Mapping[str, NDArray[Any]]

WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # JSON has no such numbers: text, as in golden rows


def check_target(path: str, suffixes: Sequence[str]) -> None:
    """Raise InputError unless ``path`` ends in one of ``suffixes`` and lies in a folder that is there."""
    if os.path.splitext(path)[1].lower() not in suffixes:
        raise InputError(f"{path}: not a name to write to", expected=f"one that ends in {one_of(suffixes)}")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise InputError(f"{path}: there is no folder {folder}", expected="a folder that exists")
    if os.path.isdir(path):
        raise InputError(f"{path}: it is a folder", expected="the name of a file")


def about_model(model: Model) -> dict[str, str]:
    """What a Parquet file says of the model that its answers are of."""
    return {"edge_runtime.digest": model.digest, "edge_runtime.model": f"{model.name} {model.version}".strip()}


def write_rows(
    path: str,
    outputs: Outputs,
    *,
    classes: Sequence[Any] | None = None,
    about: Mapping[str, str] | None = None,
    single: bool = False,
) -> None:
    """Write a model's outputs, arrays of N rows by name, to a .csv, .parquet, .jsonl or .json file, in one step.

    A vector output is a list; in CSV one column per class, `probabilities.<class>`, or by position where there are no
    ``classes``. Numbers come back as they went in. Parquet also keeps ``about`` (text by name); JSON of a ``single``
    row is an object, not a list. Raises InputError for another kind of file or an output of more axes, OSError from
    disk.
    """
    check_target(path, SUFFIXES)
    for name, array in outputs.items():
        if array.ndim > 2:
            raise InputError(f"{path}: an output has {array.ndim} axes", expected="an .npz file", column=name)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".parquet":
        raw = to_parquet(outputs, about or {})
    elif suffix == ".csv":
        raw = to_csv(outputs, classes).encode("utf-8")
    elif suffix == ".jsonl" or single:
        raw = "".join(lines(outputs)).encode("ascii")
    else:
        raw = ("[\n" + ",\n".join(text[:-1] for text in lines(outputs)) + "\n]\n").encode("ascii")
    replace_file(path, raw)


def write_tensors(path: str, outputs: Outputs) -> None:
    """Write arrays by name to an .npz file, whole or not at all; text as fixed-width text, never as pickles."""
    check_target(path, (".npz",))
    plain = {name: array.astype(str) if array.dtype == object else array for name, array in outputs.items()}
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **plain)
    replace_file(path, held.getvalue())


def lines(outputs: Outputs) -> Iterator[str]:
    """One JSON object and a line end for each row, in ASCII: nothing in it can act on a terminal."""
    names = list(outputs)
    encode = json.JSONEncoder(allow_nan=False).encode
    for values in zip(*map(values_of, outputs.values()), strict=True):
        yield f"{encode(dict(zip(names, values, strict=True)))}\n"


def values_of(array: NDArray[Any]) -> list[Any]:
    values: list[Any] = array.tolist()
    return values if array.dtype.kind != "f" or np.isfinite(array).all() else written(values)


def written(value: Any) -> Any:
    """``value`` with words for the numbers that JSON does not have."""
    if isinstance(value, list):
        return [written(item) for item in value]
    return WORDS[repr(value)] if isinstance(value, float) and not math.isfinite(value) else value


def to_csv(outputs: Outputs, classes: Sequence[Any] | None) -> str:
    header: list[str] = []
    columns: list[Iterable[Any]] = []
    for name, array in outputs.items():
        if array.ndim == 1:
            header.append(name)
            columns.append(map(field, values_of(array)))
            continue
        header += vector_names(name, array.shape[1], classes)
        columns += [map(field, values_of(array[:, k])) for k in range(array.shape[1])]
    held = io.StringIO()
    csv.writer(held, lineterminator="\n").writerows(chain([header], zip(*columns, strict=True)))
    return held.getvalue()


def vector_names(name: str, width: int, classes: Sequence[Any] | None) -> list[str]:
    """The columns of a vector output where there are no lists: `probabilities.<class>`, or by position."""
    known = classes if classes is not None and len(classes) == width else range(width)
    return [f"{name}.{field(each)}" for each in known]


def field(value: Any) -> Any:
    return ("false", "true")[value] if isinstance(value, bool) else value


def to_parquet(outputs: Outputs, about: Mapping[str, str]) -> bytes:
    with extra("batch", used_by="edge_runtime.answers.write_rows"):
        import pyarrow
        from pyarrow import parquet

    table = pyarrow.table({name: arrow_column(array) for name, array in outputs.items()})
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(dict(about)), sink)
    raw: bytes = sink.getvalue().to_pybytes()
    return raw


def arrow_column(array: NDArray[Any]) -> Any:
    """An output [N] or [N, K] as a pyarrow.Array of N values or N lists; an array of objects holds text."""
    import pyarrow

    flat = arrow_values(array.ravel())
    if array.ndim == 1:
        return flat
    ends = np.arange(0, array.size + 1, array.shape[1], dtype=np.int32) if len(array) else np.zeros(1, np.int32)
    return pyarrow.ListArray.from_arrays(ends, flat)


def arrow_values(values: NDArray[Any]) -> Any:
    """Values [N] as a pyarrow.Array; numbers are not copied. `pyarrow.array` would import pandas for them, which costs
    a small job more than its rows do."""
    import pyarrow

    if values.dtype.kind not in "biuf":
        return pyarrow.array(values, pyarrow.string(), from_pandas=False)
    held = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    kind = pyarrow.from_numpy_dtype(values.dtype)
    return pyarrow.Array.from_buffers(kind, len(values), [None, pyarrow.py_buffer(held)])
