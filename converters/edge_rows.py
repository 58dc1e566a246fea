"""Rows that no data set has and every device meets.

Missing, infinite, zero with a sign, unknown, empty, and the neighbours of thresholds.

Belongs here: making them. Not here: comparing (parity.py).
Imported as edge_runtime.converters.edge_rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.schema import INTEGER_RANGE, ColumnSpec

from .source import Source

__all__ = ["edge_rows", "edge_values"]

MOST_THRESHOLDS = 400  # per column, for one row each side; the proof of all of them is another matter
TINY, LARGE = 5e-324, float(np.finfo(np.float64).max)
PLAIN = (
    np.inf, -np.inf, 0.0, -0.0, TINY, -TINY, 1e-300, 0.1, 1.0 + 2.0**-52, 2.0**24 + 1, 1e30, -1e30, LARGE, -LARGE,
)  # fmt: skip


def edge_rows(source: Source, base: pd.DataFrame) -> list[dict[str, Any]]:
    """Records: each of ``base``'s rows (a few) with one column at a time at each of its edge values."""
    records: list[dict[str, Any]] = []
    rows = [{name: _plain(value) for name, value in row.items()} for row in base.to_dict("records")]
    for column in source.schema.columns:
        for value in edge_values(column, source.probes.get(column.name)):
            row = dict(rows[len(records) % len(rows)])
            row[column.name] = value
            records.append(row)
    return records


def edge_values(column: ColumnSpec, probes: NDArray[np.float64] | None) -> list[Any]:
    """Values worth a row each, answered or refused alike by source and runtime."""
    if column.dtype == "str":
        known = list(column.categories or ())[:64]
        return [None, "", "an unknown category", "ÄÖ☃", " ", *known]
    if column.dtype == "bool":
        return [None, True, False]
    # The neighbours are those on the app's own lattice.
    near = [] if probes is None else _near(probes.astype(np.float32) if column.dtype == "float32" else probes)
    if column.dtype in INTEGER_RANGE:
        # Beyond the bounds an integer may be refused for the tensor's sake alone, though its source would answer.
        low, high = column.low or 0.0, column.high or 0.0
        beside = {side(v) for v in near if abs(v) < 2**53 for side in (math.floor, math.ceil)}
        whole = {0, 1, -1, 17, 2**24 + 1, 2**31, 2**53, -(2**53), *beside}
        return [None, *sorted(v for v in whole if low <= v <= high)]
    bounds = [(column.low, -1.0), (column.high, 1.0)]
    values = [*PLAIN, *near, *(edge for edge, _ in bounds if edge is not None)]
    with np.errstate(over="ignore"):
        values += [float(np.nextafter(edge, sign * np.inf)) for edge, sign in bounds if edge is not None]
        if column.dtype == "float32":  # what the app can hand over; a wider value is its own rounding, not the source's
            widest = float(np.finfo(np.float32).max)
            values = [float(np.float32(value)) for value in values if np.isinf(value) or abs(value) <= widest]
    return [None, *{repr(value): value for value in values}.values()]  # by text: 0.0 and -0.0 are two


def _near(probes: NDArray[np.float64]) -> list[float]:
    if len(probes) > MOST_THRESHOLDS:
        probes = probes[np.linspace(0, len(probes) - 1, MOST_THRESHOLDS).astype(int)]
    near = np.concatenate([np.nextafter(probes, -np.inf), probes, np.nextafter(probes, np.inf)])
    return [float(value) for value in np.unique(near)]


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value != value:
        return None
    return value.item() if hasattr(value, "item") else value
