"""What the tests of benchmarks share: a model that needs no file, real bundles, and a clock that obeys.

Belongs here: the fake model, the simulated clock, runs of made-up samples. Not here: the parts of a real bundle
(tests/conftest.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edge_runtime
from edge_runtime import golden
from edge_runtime.benchmarks import (
    ColdStart,
    Comparison,
    Conditions,
    Energy,
    Environment,
    Estimate,
    Gate,
    Memory,
    MemoryPhase,
    NodeTime,
    OperatorTime,
    Profile,
    RateSearch,
    Run,
    Sweep,
    SweepPoint,
)
from edge_runtime.benchmarks.document import FORMAT, Document, ModelFile
from edge_runtime.bundle import Bundle
from edge_runtime.errors import IntegrityError
from edge_runtime.golden import Sample
from edge_runtime.manifest import Manifest
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec


class FakeModel:
    """As much of an edge_runtime.Model as a benchmark touches; ``asked`` keeps what it was asked."""

    manifest = None

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

    def predict(self, columns: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(columns)
        return {"label": np.ones(len(columns["amount"]), np.int64)}

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
    """What is tested with a real clock is not how warm the machine is."""
    monkeypatch.setattr("edge_runtime.benchmarks.steady.BLOCK_NS", 20_000)
    monkeypatch.setattr("edge_runtime.benchmarks.steady.LONGEST_NS", 1_000_000)


class Clock:
    """A clock that moves only when it is read (``reading`` ns), slept on, or told that something took its time."""

    def __init__(self, reading: int = 50) -> None:
        self.now, self.reading = 0, reading

    def __call__(self) -> int:
        self.now += self.reading
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)

    def spend(self, nanoseconds: float) -> None:
        self.now += int(nanoseconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which everything in edge_runtime.benchmarks is timed in this test; the kernel takes 60 µs of it."""
    made = Clock()

    def kernel() -> int:
        made.spend(60_000)
        return 60_000

    for module in ("timing", "benchmarks.steady", "benchmarks.scenarios", "benchmarks.conditions"):
        monkeypatch.setattr(f"edge_runtime.{module}.perf_counter_ns", made)
    monkeypatch.setattr("edge_runtime.benchmarks.scenarios.sleep", made.sleep)
    monkeypatch.setattr("edge_runtime.benchmarks.scenarios.WAKE_NS", 500)
    monkeypatch.setattr("edge_runtime.benchmarks.conditions.kernel_ns", kernel)
    monkeypatch.setattr("edge_runtime.benchmarks.scenarios.own_cost_ns", lambda: 50.0)
    monkeypatch.setattr("edge_runtime.benchmarks.steady.BLOCK_NS", 3_500_000)
    monkeypatch.setattr("edge_runtime.benchmarks.steady.LONGEST_NS", 3_000_000_000)
    environment = Environment.here(threads=None)
    monkeypatch.setattr("edge_runtime.benchmarks.scenarios.Environment.here", lambda threads: environment)
    return made


def quiet(**changed: Any) -> Conditions:
    """The conditions of a quiet machine, with other fields where given."""
    usual: dict[str, Any] = {
        "seconds": 2.0, "cpu_seconds": 2.0, "kernel_ns": np.full(60, 60_000), "steal_share": 0.0,
        "pressure_share": 0.0, "others_cores": 0.4, "involuntary_switches": 3, "frequency_start_hz": 2e9,
        "frequency_end_hz": 2e9, "cores": 4,
    }  # fmt: skip
    return Conditions(**(usual | changed))


@pytest.fixture
def conditions_of() -> Callable[..., Conditions]:
    """`quiet`."""
    return quiet


def compared(**changed: Any) -> Comparison:
    """new.edge twice as fast as old.edge, on a quiet machine, with other fields where given."""
    blocks = np.full(285, 3_500_000)
    usual: dict[str, Any] = {
        "a": "new.edge", "b": "old.edge", "a_work": "x", "b_work": "x", "interleaved": True, "calls": 1_090,
        "process_rounds": (57,) * 5, "a_block_ns": blocks, "again_block_ns": blocks, "b_block_ns": blocks,
        "ratio": Estimate(0.5, 0.49, 0.51, "ratio"), "against_itself": Estimate(1.001, 0.996, 1.004, "ratio"),
        "a_answers_right": True, "b_answers_right": True, "problems": (), "environment": Environment.here(threads=1),
        "conditions": quiet(),
    }  # fmt: skip
    return Comparison(**(usual | changed))


@pytest.fixture
def comparison_of() -> Callable[..., Comparison]:
    """`compared`."""
    return compared


@pytest.fixture
def run_of() -> Callable[..., Run]:
    """A single-stream run of these latencies on a quiet machine, with other fields where given."""

    def make(latency: Any, **changed: Any) -> Run:
        samples = np.asarray(latency).astype(np.int64)
        usual: dict[str, Any] = {
            "target": "fraud.edge", "work": "predict_one, 3 golden rows in turn", "scenario": "single-stream",
            "rows": 1, "latency_ns": samples, "at_ns": np.cumsum(samples) - samples[0],
            "process_calls": (len(samples),), "warmup_ns": np.full(30, 1000.0), "warmup_calls": 1_000,
            "steady": True, "service_ns": None, "rate_per_s": None, "own_cost_ns": 53.0, "answers_checked": 64,
            "answers_right": True, "environment": Environment.here(threads=1), "conditions": quiet(),
        }  # fmt: skip
        return Run(**(usual | changed))

    return make


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
def bare_graph(tmp_path: Path, small_contents: dict[str, bytes]) -> Path:
    """The graph of `real_bundle` as a plain .onnx file."""
    path = tmp_path / "bare.onnx"
    path.write_bytes(small_contents["graph.onnx"])
    return path


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """`edge_runtime.load` opens right.edge, other.edge, wrong.edge and broken.edge, and misses every other file."""
    models = {"right.edge": FakeModel(), "other.edge": FakeModel(), "wrong.edge": FakeModel(right=False)}

    def load(path: str, *, threads: int | None = None, variant: str | None = None) -> FakeModel:
        if path == "broken.edge":
            raise IntegrityError("broken.edge: 1 of 3 golden rows is answered differently here")
        if path not in models:
            raise FileNotFoundError(2, "No such file or directory", path)
        return models[path]

    monkeypatch.setattr(edge_runtime, "load", load)


@pytest.fixture
def full_document(run_of: Callable[..., Run]) -> Document:
    """A document in which every part is there, and names do harm where nobody escapes them."""
    rng = np.random.default_rng(1)
    here = replace(Environment.here(threads=1), load=0.25, date="2026-01-02T03:04:05+00:00")
    target, evil = "fraud.edge", '<script>alert(1)</script> $x_1$ \x1b[2J 模型 & "'
    latency = rng.gamma(4, 1_000, 3_000)
    single = run_of(latency, process_calls=(1_000,) * 3, work=evil, environment=here)
    batch = run_of(latency * 64, scenario="offline", rows=64)
    server = run_of(latency, scenario="server", rate_per_s=100.0, service_ns=(latency / 2).astype(np.int64))
    few = run_of(latency[:100], scenario="server", rate_per_s=10.0, service_ns=latency[:100].astype(np.int64))
    points = tuple(
        SweepPoint(value=value, run=run, refused=refused, size_bytes=900)
        for value, run, refused in (("1", single, None), ("64", batch, None), ("4096", None, evil))
    )
    variants = (*points[:2], SweepPoint(value=evil, run=batch, refused=None, size_bytes=9))
    blocks = rng.integers(3_000_000, 4_000_000, 100)
    comparison = compared(
        a=evil, b_work="y", process_rounds=(50, 50), a_block_ns=blocks, again_block_ns=blocks, b_block_ns=blocks * 2,
        against_itself=Estimate(1.0, 0.99, 1.01, "ratio"), b_answers_right=None, problems=(evil,), environment=here,
    )  # fmt: skip
    return Document(
        format=FORMAT, target=target, environment=here,
        model=ModelFile(
            name=evil, version="2", variant="exact", digest="sha256:0123", file_bytes=52_000, golden_rows=40
        ),
        runs=(single, server),
        rate_search=RateSearch(bound_ns=1e4, percent=99.0, rate_per_s=100.0, tries=(server, few)),
        sweeps=(
            Sweep(target=target, parameter="batch", usual="1", points=points),
            Sweep(target=target, parameter="variant", usual="1", points=variants),
        ),
        cold_start=ColdStart(
            target=target, phases=("interpreter", "first run", "second run"),
            phase_ns=rng.integers(1_000_000, 9_000_000, (20, 3)), environment=here,
        ),
        memory=Memory(
            target=target, peak_is_per_phase=True, model_bytes=52_000, installed_bytes={"numpy": 71_000_000},
            phases=(MemoryPhase(name="runs", peak_rss_bytes=64_000_000, rss_bytes=63_000_000, pss_bytes=None),),
            environment=here,
        ),
        energy=Energy(
            target=target, joules_per_call=Estimate(1e-4, 9e-5, 2e-4, "J"), unavailable=None,
            cpu_seconds_per_call=4e-6, calls=1_000, environment=here,
        ),
        profile=Profile(
            target=target, calls=200, rows=1, environment=here,
            operators=(OperatorTime(operator=evil, nodes=1, ns_per_call=5_000.0, share=1.0),),
            nodes=(NodeTime(name=evil, operator=evil, ns_per_call=5_000.0, share=1.0),),
        ),
        comparisons=(comparison, replace(comparison, interleaved=False, again_block_ns=np.array([], np.int64))),
        gate=Gate(comparison=comparison, max_regression=0.05),
        notes=(evil,),
    )  # fmt: skip
