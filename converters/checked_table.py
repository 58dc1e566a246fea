"""A model over a table on its way into a bundle: compared row by row and on edge rows, golden rows chosen.

Belongs here: what a conversion has to show of a table. Not here: comparing (parity.py), choosing golden rows
(golden_rows.py), the order of the steps (conversion.py).
Imported as edge_runtime.converters.checked_table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from edge_runtime.errors import InputError
from edge_runtime.golden import Sample
from edge_runtime.manifest import Variant
from edge_runtime.model import Model
from edge_runtime.schema import Schema
from edge_runtime.tables import read_table
from edge_runtime.timing import Call, rotate
from edge_runtime.words import at_most

from .checked import Figures, Tell
from .data import Data
from .edge_rows import edge_rows
from .exact.cuts import cuts_of
from .exact.graph import to_bytes
from .golden_rows import Golden, choose, record_of
from .parity import Parity, compare_data, compare_edge_rows
from .precision.losses import Answers
from .precision.rows import Rows
from .provenance import fingerprint, provenance
from .samples import Feed
from .source import Source

__all__ = ["CheckedTable", "TableRows"]

EDGE_BASE = 3  # data rows that edge values are put into
LARGEST_TENSOR = 2**20


class TableRows:
    """The rows of a table as the precisions are judged by them."""

    def __init__(self, frame: pd.DataFrame, schema: Schema, data: Data, classes: Sequence[Any] | None) -> None:
        self.frame, self.schema, self.target, self.groups = frame, schema, data.target, data.groups
        self.classes = None if classes is None else np.array(classes)

    def __len__(self) -> int:
        return len(self.frame)

    def keys(self) -> None:
        """Rows of a table may well be equal."""

    def feeds(self, which: Sequence[int]) -> Iterator[Feed]:
        table = read_table(self.frame.iloc[list(which)], self.schema)
        for i in range(table.rows):
            feed = {
                spec.name: np.zeros((1, *(size or 1 for size in spec.shape[1:])), spec.dtype)
                for spec in self.schema.inputs
            }
            table.fill(i, i + 1, feed)
            yield feed

    def answers(self, model: Model, which: Sequence[int]) -> Answers:
        return model.predict(self.frame.iloc[list(which)])

    def asking(self, model: Model, which: Sequence[int]) -> Call:
        return rotate(model.predict_one, [record_of(self.frame.iloc[i], self.schema) for i in which])


class CheckedTable:
    """See `checked.Checked`."""

    def __init__(self, source: Source, data: Data, origin: dict[str, str]) -> None:
        self.source = source
        self.schema, self.ending = source.schema, source.ending
        self.graph = to_bytes(source.graph)
        self.operators = {node.op_type for node in source.graph.graph.node}
        # Not every library tells the names of its columns as scikit-learn does.
        self.frame = app_frame(source, data.named([column.name for column in source.schema.columns]).frame)
        self.rows: Rows = TableRows(self.frame, source.schema, data, source.ending.classes)
        off = 0.0 if source.exact and "Gemm" not in self.operators else 1e-12 if source.exact else 1e-05
        self.tolerance = dict.fromkeys(source.tolerance, off)
        self.reference = Variant(
            "float64" if source.exact else "float32",
            "graph.onnx",
            "float64" if source.exact else "as converted",
            LARGEST_TENSOR,
            True,
            cuts_of(source.graph) if source.exact else (),
        )
        self.provenance = provenance(
            source.framework, source.libraries, len(self.frame), fingerprint(self.frame), origin
        )
        self.data = self.edges = Parity(0, 0, {})
        self.golden: Golden | None = None

    def compare(self, model: Model, tell: Tell) -> None:
        self.data = compare_data(self.source, model, self.frame, lambda done, whole: tell("compare", done, whole))
        tell("edge rows", 0, 1)
        self.edges = compare_edge_rows(self.source, model, edge_rows(self.source, self.frame.iloc[:EDGE_BASE]))
        tell("edge rows", 1, 1)

    def choose(self, model: Model, graph_bytes: int) -> list[Sample]:
        self.golden = choose(self.source, model, self.frame, graph_bytes, self.edges.answered)
        return self.golden.samples

    def figures(self) -> Figures:
        visited, leaves = (self.golden.visited, self.golden.leaves) if self.golden else (0, 0)
        return Figures(self.data.rows, self.edges.rows, self.edges.refused, self.largest, visited, leaves)

    @property
    def largest(self) -> dict[str, float]:
        made: dict[str, float] = {}
        for parity in (self.data, self.edges):
            for name, value in parity.largest.items():
                made[name] = max(made.get(name, 0.0), value)
        return made

    def statements(self) -> tuple[str, ...]:
        data, edges, exact = self.data, self.edges, self.source.exact
        gaps = ", ".join(f"|Δ {name}| ≤ {at_most(value)}" for name, value in self.largest.items())
        checked = f"checked on {data.rows:,} rows and {edges.rows:,} edge rows"
        ties = data.ties + edges.ties
        if ties:
            checked += f": {ties:,} labels differ, each where the source's own numbers are a tie within their bound"
        elif "label" in {output.name for output in self.schema.outputs}:
            checked += ": 0 labels differ"
        made = [*self.source.statements, f"{checked}{', ' + gaps if gaps else ''}"]
        if edges.refused:
            who = "source and model alike" if exact else "the model, whatever the source does with them"
            made.append(f"checked: {edges.refused:,} edge rows are refused by {who}")
        if not exact:
            made.append(
                f"checked: one row or many: equal labels, numbers at most {edges.ulps:.0f} ulp apart on the edge rows"
            )
        elif "Gemm" in self.operators:
            made.append("checked: one row or many: the same bits on the edge rows")
        else:
            made.append("exact: one row, any block, any number of threads give the same bits, since every sum is exact")
        if self.golden and self.golden.leaves:
            made.append(f"checked: golden rows visit {self.golden.visited:,} of {self.golden.leaves:,} leaves")
        return tuple(made)


def app_frame(source: Source, frame: pd.DataFrame) -> pd.DataFrame:
    """The data as an app would hand it over: the schema's columns, text as text, floats in the schema's dtype."""
    made = {}
    for column in source.schema.columns:
        values = frame[column.name]
        if column.dtype in ("float32", "float64"):
            values = as_float(values, column.dtype)
        elif isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(object)
        made[column.name] = values
    return pd.DataFrame(made)


def as_float(values: pd.Series, dtype: str) -> pd.Series:
    """Raises InputError for a number that ``dtype`` could only hold as infinity."""
    with np.errstate(over="ignore"):
        made = values.astype(dtype)
    lost = np.flatnonzero(
        np.isinf(made.to_numpy(dtype, na_value=np.nan)) & ~np.isinf(values.to_numpy(float, na_value=np.nan))
    )
    if len(lost):
        row = int(lost[0])
        raise InputError(
            f"{values.iloc[row]!s} is beyond {dtype}", column=str(values.name), row=row, expected="input_dtype float64"
        )
    return made
