"""The rows that a conversion is judged by, whatever they come as.

Belongs here: turning data into one frame and describing its columns. Not here: the runtime's reading of tables
(edge_runtime.tables), files of rows (edge_runtime.rows).
Imported as edge_runtime.converters.data.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.rows import read_rows, read_tensors

from .samples import Tensors, one_each, tensors_of

__all__ = ["TABLE", "Data", "app_dtype", "read_data", "read_given"]

TABLE = "a frame, an array of rows and columns, columns of one length, or records"


@dataclass(frozen=True, slots=True)
class Data:
    """``frame`` has one column per feature as the source was given them; ``positional`` means that the source takes an
    array (columns x0 … xN). ``target`` [N] are the true answers, and ``groups`` [N] which rows are ranked together, if
    there are any."""

    frame: pd.DataFrame
    positional: bool
    path: str | None = None
    target: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None

    def named(self, names: Sequence[str] | None) -> Data:
        """An array's columns by the ``names`` that its source was trained with, if there are any and as many."""
        if not self.positional or names is None or len(names) != self.frame.shape[1]:
            return self
        return replace(self, frame=self.frame.set_axis(list(map(str, names)), axis=1), positional=False)


def read_given(data: Any, target: Any = None, groups: Any = None) -> tuple[Data | None, Tensors | None]:
    """Data as a table, as tensors by name, or as both: one tensor of rows and columns may be either.

    Raises InputError as `read_data` does."""
    path = os.fspath(data) if isinstance(data, (str, os.PathLike)) else None
    if path is not None and path.lower().endswith(".npz"):
        data = read_tensors(path)
    tensors = tensors_of(data, target, groups)
    if tensors is None:
        return read_data(data, target, groups), None
    only = list(tensors.arrays.values()) if tensors.arrays is not None else []
    if len(only) != 1 or only[0].ndim != 2:
        return None, replace(tensors, path=path)
    table = replace(read_data(only[0]), target=tensors.target, groups=tensors.groups)
    return table, replace(tensors, path=path)


def read_data(data: Any, target: Any = None, groups: Any = None) -> Data:
    """Data as a frame. ``target`` and ``groups`` are names of columns, which are taken out of it, or values, [N].

    Raises InputError for what is not a table, has no rows, or lacks the target, and for a target of another length.
    """
    path = None
    if isinstance(data, (str, os.PathLike)):
        path = os.fspath(data)
        data = read_rows(path)
    if isinstance(data, Data):
        return data
    try:
        frame, positional = _frame_of(data)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"data is no table ({str(error).partition(chr(10))[0]})", expected=TABLE) from error
    taken: dict[str, NDArray[Any] | None] = {}
    for role, given in (("target", target), ("groups", groups)):
        if isinstance(given, str):
            if positional or given not in frame.columns:
                names = "a frame: an array's columns have no names" if positional else f"one of {list(frame.columns)}"
                raise InputError(f"{role}: not in the data", column=given, expected=names)
            frame, given = frame.drop(columns=given), frame[given]
        values = taken[role] = one_each(given, role)
        if values is not None and len(values) != len(frame):
            raise InputError(f"the {role} has {len(values):,} values for {len(frame):,} rows", expected="one per row")
    if len(frame) == 0:
        raise InputError("data has no rows", expected="at least one row to compare the source and the graph on")
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)  # a source that knows names knows text
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError("data has two columns of one name", column=twice, expected="distinct names")
    return Data(frame.reset_index(drop=True), positional, path, **taken)


def _frame_of(data: Any) -> tuple[pd.DataFrame, bool]:
    """Data as a frame, and whether its columns go by position. Raises ValueError where it is no table."""
    if isinstance(data, pd.DataFrame):
        return data, False
    if hasattr(data, "to_pandas"):  # polars, Arrow
        return data.to_pandas(), False
    if isinstance(data, dict):
        return _frame_of_tensors(data)
    if isinstance(data, (list, tuple)) and data and all(isinstance(row, dict) for row in data):
        return pd.DataFrame.from_records(data), False
    array = np.asarray(data)
    if array.ndim != 2 and array.size:
        raise ValueError(f"{type(data).__name__} with {array.ndim} axes")
    width = array.shape[1] if array.ndim == 2 else 0
    return pd.DataFrame({f"x{i}": array[:, i] for i in range(width)}), True


def _frame_of_tensors(data: dict[Any, Any]) -> tuple[pd.DataFrame, bool]:
    """Columns by name, also as [N, 1]; a tensor by itself that is wider has the columns by position."""
    widths = {name: values.shape[1:] if isinstance(values, np.ndarray) else () for name, values in data.items()}
    if len(data) == 1:
        ((name, only),) = data.items()
        if len(widths[name]) == 1 and widths[name] != (1,):
            return _frame_of(only)
    columns = {name: values[:, 0] if widths[name] == (1,) else values for name, values in data.items()}
    return pd.DataFrame(columns), False


def app_dtype(values: pd.Series, name: str) -> str:
    """The dtype that the app hands this column over in. Raises UnsupportedModelError for what is no number or text."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return app_dtype(pd.Series(dtype.categories), name)
    numpy_dtype = getattr(dtype, "numpy_dtype", dtype)
    if isinstance(dtype, pd.StringDtype):
        return "str"
    if isinstance(numpy_dtype, np.dtype):
        if numpy_dtype.kind in "iub":
            return numpy_dtype.name
        if numpy_dtype.kind == "f":
            return "float64" if numpy_dtype.itemsize > 4 else "float32"
        if numpy_dtype.kind in "OUT":
            kind = pd.api.types.infer_dtype(values, skipna=True)
            if kind in ("string", "empty"):
                return "str"
            if kind == "boolean":
                return "bool"
            if kind in ("integer", "floating", "mixed-integer-float"):
                return "int64" if kind == "integer" else "float64"
            if kind.startswith("mixed"):
                raise UnsupportedModelError(
                    f"column {name!r} holds values of several kinds ({kind})",
                    advice="make it one of numbers, text or bools",
                )
            dtype = kind  # dates, decimals, bytes
    raise UnsupportedModelError(
        f"column {name!r} is of {dtype}",
        advice="derive numbers from it before the pipeline (for dates: hour, weekday, …)",
    )


def columns_missing(names: Sequence[Any], frame: pd.DataFrame) -> None:
    """Raise InputError unless the frame has every one of ``names``."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"data lacks {missing!r}", column=str(missing[0]), expected=f"the columns {list(names)}")
