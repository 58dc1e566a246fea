"""Choosing golden rows: few, and visiting as many leaves as they can.

Belongs here: the choice. Not here: their form (edge_runtime.golden).
Imported as edge_runtime.converters.golden_rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pandas as pd

from edge_runtime.golden import Sample, encode
from edge_runtime.model import Model
from edge_runtime.schema import Schema
from edge_runtime.tables import read_table

from .source import Source

__all__ = ["Golden", "choose", "record_of", "room_for"]

CANDIDATES = 4096
MOST = 32
FEWEST = 4
DIGITS = 4


class Golden(NamedTuple):
    """The chosen rows, and how many of the leaves they visit."""

    samples: list[Sample]
    visited: int
    leaves: int


def choose(
    source: Source, model: Model, frame: pd.DataFrame, graph_bytes: int, answered: tuple[dict[str, Any], ...]
) -> Golden:
    """Rows of ``frame`` that visit the most leaves together, and a few of the ``answered`` edge rows, as many as the
    bundle has room for."""
    room = room_for(graph_bytes)
    pick = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), CANDIDATES)).astype(int))
    part = _shortened(frame.iloc[pick], source.schema)
    order, seen, leaves = _greedy(source, part)
    edges = list(answered[:: max(1, len(answered) // 8)][:8])
    rows = [record_of(part.iloc[i], source.schema) for i in order]
    # Alternate, so that a small bundle still has both kinds.
    chosen = rows[:FEWEST] + edges + rows[FEWEST:MOST]
    samples: list[Sample] = []
    used = 0
    for record in chosen:
        sample = Sample(record, model.predict_one(record))
        size = len(encode([sample], source.schema)["golden.json"])
        if samples and used + size > room:
            break
        samples.append(sample)
        used += size
    kept = len(samples) - sum(record in edges for record in (sample.inputs for sample in samples))
    return Golden(samples, seen[min(kept, len(seen)) - 1] if seen and kept else 0, leaves)


def room_for(graph_bytes: int) -> int:
    """Bytes that golden rows may take."""
    return max(16_000, graph_bytes // 20)


def _shortened(part: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Fractions to four digits: a golden row's text is a good part of a small bundle, and one number in the range of
    the data tests as much as another. Whole numbers, which may be codes, stay."""
    made = part.copy()
    for column in schema.columns:
        if column.dtype != "float64" or not column.open:  # no category may become another number
            continue
        values = part[column.name].to_numpy(np.float64, na_value=np.nan)
        short = np.array([float(f"{value:.{DIGITS}g}") for value in values])
        made[column.name] = np.where(values == np.trunc(values), values, np.clip(short, column.low, column.high))
    return made


def _greedy(source: Source, part: pd.DataFrame) -> tuple[list[int], list[int], int]:
    """Row numbers, each adding the most leaves not yet visited; leaves visited so far; leaves in all."""
    if source.leaves is None:
        return list(range(min(len(part), MOST))), [], 0
    session = onnxruntime.InferenceSession(source.leaves.SerializeToString(), providers=["CPUExecutionProvider"])
    table = read_table(part, source.schema)
    x = np.zeros((table.rows, len(source.schema.columns)), source.schema.inputs[0].dtype)
    table.fill(0, table.rows, {"x": x})
    numbers = session.run(None, {"x": x})[0].astype(np.int64)
    width = int(numbers.max(initial=0)) + 1
    numbers += np.arange(numbers.shape[1]) * width  # one number per leaf of all trees
    visited = np.zeros(width * numbers.shape[1], bool)
    order: list[int] = []
    seen: list[int] = []
    for _ in range(min(MOST, len(part))):
        fresh = (~visited[numbers]).sum(axis=1)
        best = int(fresh.argmax())
        if order and fresh[best] == 0:
            break
        order.append(best)
        visited[numbers[best]] = True
        seen.append(int(visited.sum()))
    return order, seen, source.leaf_count


def record_of(row: pd.Series, schema: Schema) -> dict[str, Any]:
    """A row of data as the app would send it."""
    made: dict[str, Any] = {}
    for column in schema.columns:
        value = row[column.name]
        if value is None or value is pd.NA or value != value:
            made[column.name] = None
        elif column.dtype == "str":
            made[column.name] = str(value)
        elif column.dtype == "bool":
            made[column.name] = bool(value)
        elif column.dtype.startswith("float"):
            made[column.name] = float(value)
        else:
            made[column.name] = int(value)
    return made
