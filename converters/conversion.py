"""The whole way from a trained model to a bundle: read, compare, choose golden rows, write.

Belongs here: the order of the steps and their outcome. Not here: any of the steps.
Imported as edge_runtime.converters.conversion; public are edge_runtime.converters.convert and Conversion.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from edge_runtime.bundle import Bundle
from edge_runtime.ending import Decision
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.manifest import Certificate, Manifest, Variant
from edge_runtime.model import Model, load
from edge_runtime.words import at_most

from .data import read_data
from .edge_rows import edge_rows
from .exact.cuts import cuts_of
from .exact.graph import to_bytes
from .files import read_model
from .golden_rows import Golden, choose
from .parity import Parity, compare_data, compare_edge_rows
from .provenance import now, provenance
from .registry import Registered, is_registered, opened
from .source import Request, Source, read_source

__all__ = ["Conversion", "Report", "convert"]

INPUT_DTYPES = ("auto", "float32", "float64")
EDGE_BASE = 3  # data rows that edge values are put into
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared, in figures: ``rows`` of data, ``edge_rows`` answered and ``refused`` by both, the ``largest``
    difference per output, golden rows and the leaves they visit, bytes."""

    rows: int
    edge_rows: int
    refused: int
    largest: dict[str, float]
    golden_rows: int
    leaves_visited: int
    leaves: int
    graph_bytes: int
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Conversion:
    """A model that answers as its source does; `save` writes it. Nothing was written so far."""

    name: str
    version: str
    manifest: Manifest
    report: Report
    contents: dict[str, bytes] = field(repr=False)

    def save(self, path: str | os.PathLike[str]) -> Bundle:
        """Write the bundle, whole or not at all, and open it as a device would.

        Raises OSError where the disk refuses; InputError unless the name ends in .edge.
        """
        target = os.fspath(path)
        if not target.endswith(".edge"):
            raise InputError(f"{target}: not a bundle's name", expected="a path that ends in .edge")
        return Bundle.write(target, self.manifest, self.contents)

    def model(self) -> Model:
        """The bundle, made ready in this process, without a file of the caller's."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.edge")
            Bundle.write(path, self.manifest, self.contents)
            return load(path)

    def _repr_html_(self) -> str:
        return self.model()._repr_html_()


def convert(
    source: Any,
    *,
    data: Any = None,
    target: Any = None,
    name: str | None = None,
    version: str | None = None,
    input_dtype: str = "auto",
    decision: Decision | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Convert a trained model, compare it with its source on every row of ``data`` and on edge rows.

    ``source`` is a fitted object or the path of a model's file: LightGBM's .txt, XGBoost's .json and .ubj, CatBoost's
    .cbm, .onnx (a table's: [N, columns], or [N, 1] for each column); .joblib and .pkl with ``trust``, since unpickling
    runs their code. Or it is an onnx.ModelProto, or a model in MLflow:
    models:/Fraud@champion, models:/Fraud/3, runs:/<id>/<name>, the folder of one; ``name`` and ``version`` are then
    those of the registry, unless they are given.
    ``data`` are rows as the source takes them (frame, array, dict of columns, list of records, or a file of rows);
    without any, a model in MLflow is compared on its input example, and the certificate says so.
    ``target`` names a column to leave out. ``input_dtype`` is how the app hands floats over; ``decision`` gives a
    binary classifier a score and a yes or no. ``progress(stage, done, all)`` is called as it goes.

    Raises UnsupportedModelError for what cannot be converted without guessing, ParityError if the result answers any
    row differently, InputError for unusable data.
    """
    tell = progress or (lambda stage, done, whole: None)
    if input_dtype not in INPUT_DTYPES:
        raise InputError(f"input_dtype is {input_dtype!r}", expected=f"one of {INPUT_DTYPES}")
    tell("read", 0, 1)
    if isinstance(source, (str, os.PathLike)) and is_registered(os.fspath(source)):
        with opened(os.fspath(source), trust=trust) as found:
            return convert(
                found, data=data, target=target, name=name or found.name, version=version or found.version,
                input_dtype=input_dtype, decision=decision, progress=progress,
            )  # fmt: skip
    origin: dict[str, str] = {}
    registered = source if isinstance(source, Registered) else None
    rows = registered.rows(data, target) if registered else read_data(data, target)
    if registered:
        origin, source = registered.provenance, registered.model
    elif isinstance(source, (str, os.PathLike)):
        origin["source.file"] = os.path.basename(os.fspath(source))
        source = read_model(os.fspath(source), trust=trust)
    rows = rows.named(getattr(source, "feature_names_in_", getattr(source, "feature_names", None)))
    read = read_source(source, Request(rows, input_dtype, decision))
    if registered and data is None:
        read = replace(read, statements=(*read.statements, registered.only_the_example(len(rows.frame))))
    tell("read", 1, 1)
    # Not every library tells the names of its columns as scikit-learn does.
    frame = _app_frame(read, rows.named([column.name for column in read.schema.columns]).frame)
    version = version or "0"
    made = _Made(read, name or _name_of(source), version, provenance(read, frame, origin))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.edge")
        Bundle.write(path, made.manifest(None), made.contents(None))
        model = load(path)
        parity = compare_data(read, model, frame, lambda done, whole: tell("compare", done, whole))
        tell("edge rows", 0, 1)
        records = edge_rows(read, frame.iloc[:EDGE_BASE])
        edges = compare_edge_rows(read, model, records)
        tell("edge rows", 1, 1)
        golden = choose(read, model, frame, len(made.graph), edges.answered)
        manifest = made.manifest(golden, parity, edges)
        contents = made.contents(golden)
        Bundle.write(path, manifest, contents)
        tell("self-test", 0, 1)
        report = load(path).verify()
        if not report.ok:
            raise UnsupportedModelError(
                f"the model does not repeat its own answers ({report.problems[0]})",
                advice="report this: it should be exact",
            )
        tell("self-test", 1, 1)
    return Conversion(made.name, version, manifest, made.report(golden, parity, edges), contents)


class _Made:
    """What becomes the bundle, while it is being made."""

    def __init__(self, source: Source, name: str, version: str, provenance: dict[str, str]) -> None:
        self.source, self.name, self.version, self.provenance = source, name, version, provenance
        self.graph = to_bytes(source.graph)
        self.created = now()

    def contents(self, golden: Golden | None) -> dict[str, bytes]:
        return {
            "graph.onnx": self.graph,
            **(golden.entries if golden else {"golden.json": b'{"rows":[],"outputs":[]}'}),
        }

    def manifest(self, golden: Golden | None, data: Parity | None = None, edges: Parity | None = None) -> Manifest:
        source = self.source
        exact = source.exact
        tolerance = dict.fromkeys(
            source.tolerance, 0.0 if exact and "Gemm" not in self.operators else 1e-12 if exact else 1e-05
        )
        certificate = Certificate(
            data.rows if data else 0, edges.rows if edges else 0, _largest(data, edges), tolerance,
            self.statements(golden, data, edges) if golden and data and edges else (),
        )  # fmt: skip
        variant = Variant(
            "float64" if exact else "float32",
            "graph.onnx",
            "float64" if exact else "as converted",
            2**20,
            True,
            cuts_of(source.graph) if exact else (),
        )
        return Manifest(
            self.name, self.version, self.created, source.schema, source.ending, (variant,), certificate,
            self.provenance, "golden.json", (),
        )  # fmt: skip

    @property
    def operators(self) -> set[str]:
        return {node.op_type for node in self.source.graph.graph.node}

    def statements(self, golden: Golden, data: Parity, edges: Parity) -> tuple[str, ...]:
        largest = _largest(data, edges)
        gaps = ", ".join(f"|Δ {name}| ≤ {at_most(value)}" for name, value in largest.items())
        checked = f"checked on {data.rows:,} rows and {edges.rows:,} edge rows"
        ties = data.ties + edges.ties
        if ties:
            checked += f": {ties:,} labels differ, each where the source's own numbers are a tie within their bound"
        elif "label" in {output.name for output in self.source.schema.outputs}:
            checked += ": 0 labels differ"
        made = [*self.source.statements, f"{checked}{', ' + gaps if gaps else ''}"]
        if edges.refused:
            who = "source and model alike" if self.source.exact else "the model, whatever the source does with them"
            made.append(f"checked: {edges.refused:,} edge rows are refused by {who}")
        if not self.source.exact:
            made.append(
                f"checked: one row or many: equal labels, numbers at most {edges.ulps:.0f} ulp apart on the edge rows"
            )
        elif "Gemm" in self.operators:
            made.append("checked: one row or many: the same bits on the edge rows")
        else:
            made.append("exact: one row, any block, any number of threads give the same bits, since every sum is exact")
        if golden.leaves:
            made.append(f"checked: golden rows visit {golden.visited:,} of {golden.leaves:,} leaves")
        return tuple(made)

    def report(self, golden: Golden, data: Parity, edges: Parity) -> Report:
        return Report(
            data.rows, edges.rows, edges.refused, _largest(data, edges), golden.rows, golden.visited, golden.leaves,
            len(self.graph), self.statements(golden, data, edges),
        )  # fmt: skip


def _largest(*parities: Parity | None) -> dict[str, float]:
    made: dict[str, float] = {}
    for parity in parities:
        for name, value in (parity.largest if parity else {}).items():
            made[name] = max(made.get(name, 0.0), value)
    return made


def _app_frame(source: Source, frame: pd.DataFrame) -> pd.DataFrame:
    """The data as an app would hand it over: the schema's columns, text as text, floats in the schema's dtype."""
    made = {}
    for column in source.schema.columns:
        values = frame[column.name]
        if column.dtype in ("float32", "float64"):
            values = _as_float(values, column.dtype)
        elif isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(object)
        made[column.name] = values
    return pd.DataFrame(made)


def _as_float(values: pd.Series, dtype: str) -> pd.Series:
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


def _name_of(source: Any) -> str:
    steps = getattr(source, "steps", None)
    return type(steps[-1][1] if steps else source).__name__
