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

from edge_runtime.schema import INTEGER_RANGE, ColumnSpec

__all__ = ["TRIED_ROWS", "UNKNOWN_TEXT", "Place", "as_tensor", "column_of", "put"]

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


def as_tensor(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """A column's values in the dtype of a graph's tensor."""
    return values.astype(object if dtype == "str" else dtype)
