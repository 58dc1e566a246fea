"""Columns of a graph that was only converted, each with the values for which it was seen to answer.

Belongs here: trying values, and what of them goes into the schema. Not here: when an answer counts (sklearn/other.py,
onnx.py), columns of what is lowered (sklearn/domain.py).
Imported as edge_runtime.converters.sources.tried_columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, TensorSpec

__all__ = ["TOLERANCE", "TRIED_ROWS", "UNKNOWN_TEXT", "Place", "column_of", "feeds_of", "put"]

TOLERANCE = 1e-5  # float32, through a few layers of it
TRIED_ROWS = 8
UNKNOWN_TEXT = "\x00 a text that no one trained on"


@dataclass(frozen=True, slots=True)
class Place:
    """A column as an app hands it over, and where in the graph's tensors it goes."""

    name: str
    dtype: str
    tensor: str
    index: int


def column_of(place: Place, values: pd.Series, answers: Callable[[Any], bool]) -> ColumnSpec:
    """The column at ``place``, of which the data holds ``values``; ``answers`` says whether one value is answered."""
    kind = place.dtype
    low: float | None = None
    high: float | None = None
    if kind in INTEGER_RANGE:
        low, high = float(max(INTEGER_RANGE[kind][0], -(2**53))), float(min(INTEGER_RANGE[kind][1], 2**53))
    elif kind not in ("str", "bool"):
        present = values.dropna().to_numpy(np.float64)
        least, most = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
        steps = [*(10.0**power for power in range(1, 37, 3)), float(np.finfo(np.dtype(kind)).max), np.inf]
        low = farthest(answers, least, [-v for v in steps if -v < least])
        high = farthest(answers, most, [v for v in steps if v > most])
    open_ = kind != "str" or answers(UNKNOWN_TEXT)
    listed = None if open_ else tuple(sorted({value for value in values if isinstance(value, str)}))
    nullable = kind.startswith("float") and answers(np.nan)
    return ColumnSpec(place.name, kind, nullable, place.tensor, place.index, low, high, categories=listed, open=open_)


def farthest(answers: Callable[[Any], bool], seen: float, steps: Sequence[float]) -> float:
    """The last of ``steps`` up to which all is answered, going outwards from the largest value seen."""
    return max([seen, *takewhile(answers, (v for v in steps if abs(v) > abs(seen)))], key=abs)


def put(rows: pd.DataFrame, column: int, value: Any) -> pd.DataFrame:
    """``rows`` as objects, with ``value`` everywhere in one column."""
    given = rows.astype(object)
    given.isetitem(column, pd.Series([value] * len(given), dtype=object, index=given.index))
    return given


def feeds_of(rows: pd.DataFrame, places: Sequence[Place], inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """The graph's tensors for ``rows``, whose columns have the places' names."""
    made = {}
    for spec in inputs:
        dtype = object if spec.dtype == "str" else spec.dtype
        columns = [rows[place.name].to_numpy().astype(dtype) for place in places if place.tensor == spec.name]
        made[spec.name] = columns[0] if len(spec.shape) == 1 else np.column_stack(columns)
    return made
