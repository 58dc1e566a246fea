"""What the tests of benchmarks share: a model that needs no file, and warm-ups that nobody waits for.

Belongs here: the fake model. Not here: the parts of a real bundle (tests/conftest.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import edge_runtime
from edge_runtime import golden
from edge_runtime.bundle import Bundle
from edge_runtime.errors import IntegrityError
from edge_runtime.golden import Sample
from edge_runtime.manifest import Manifest
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec


class FakeModel:
    """As much of an edge_runtime.Model as a benchmark touches; ``asked`` keeps what it was asked."""

    def __init__(self, *, right: bool = True, rows: int = 3, dtype: str = "float32") -> None:
        columns = (ColumnSpec("amount", "float64", False, "x", 0, 0.0, 9.0),) if rows else ()
        self.name, self.version = "fraud", "2.1.0"
        self.schema = Schema(columns, (TensorSpec("x", dtype, (None, 4)),), (TensorSpec("label", "int64", (None,)),))
        self.session = SimpleNamespace(get_session_options=lambda: SimpleNamespace(intra_op_num_threads=1))
        self.right, self.rows = right, rows
        self.asked: list[Any] = []

    def golden_rows(self) -> list[Sample]:
        return [Sample({"amount": float(i)}, {"label": 1}) for i in range(self.rows)]

    def predict_one(self, row: dict[str, float]) -> dict[str, int]:
        self.asked.append(row)
        return {"label": 1}

    def run(self, feeds: dict[str, Any]) -> dict[str, int]:
        self.asked.append(feeds)
        return {"label": 1}

    def verify(self) -> SimpleNamespace:
        return SimpleNamespace(ok=self.right)


@pytest.fixture
def make_model() -> Callable[..., FakeModel]:
    """FakeModel(right=, rows=, dtype=)."""
    return FakeModel


@pytest.fixture(autouse=True)
def short_warm_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is not how warm the machine is."""
    for module in ("run", "comparison"):
        monkeypatch.setattr(f"edge_runtime.benchmarks.{module}.WARM_UP_NS", 1_000_000)


@pytest.fixture
def real_bundle(tmp_path: Path, small_manifest: Manifest, small_contents: dict[str, bytes]) -> Path:
    """A bundle that `edge_runtime.load` opens: prediction = x0 + … + x7, three golden rows."""
    rows = [{f"x{i}": float(row * i) for i in range(8)} for row in range(3)]
    samples = [Sample(row, {"prediction": sum(row.values())}) for row in rows]
    graph = {"graph.onnx": small_contents["graph.onnx"]}
    path = tmp_path / "real.edge"
    Bundle.write(path, small_manifest, graph | golden.encode(samples, small_manifest.schema))
    return path


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """`edge_runtime.load` opens right.edge, other.edge, wrong.edge and broken.edge, and misses every other file."""
    models = {"right.edge": FakeModel(), "other.edge": FakeModel(), "wrong.edge": FakeModel(right=False)}

    def load(path: str, *, threads: int | None = None) -> FakeModel:
        if path == "broken.edge":
            raise IntegrityError("broken.edge: 1 of 3 golden rows is answered differently here")
        if path not in models:
            raise FileNotFoundError(2, "No such file or directory", path)
        return models[path]

    monkeypatch.setattr(edge_runtime, "load", load)
