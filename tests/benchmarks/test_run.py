"""Measuring one target: the samples are kept, the figures are theirs, and nothing can be changed afterwards."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_runtime import benchmarks
from edge_runtime.benchmarks import Environment, NeedsMoreSamples, Run, measure


def run_of(latency_ns: Any) -> Run:
    """A run with these samples."""
    return Run(
        target="x",
        work="a callable",
        scenario="single-stream",
        latency_ns=np.asarray(latency_ns, np.int64),
        warmup_calls=4,
        own_cost_ns=50.0,
        answers_right=None,
        environment=Environment.here(threads=None),
    )


def test_the_public_names_are_these() -> None:
    """The contract of the spoke; a name more is a promise more."""
    assert benchmarks.__all__ == [
        "Comparison", "Environment", "Estimate", "NeedsMoreSamples", "Run", "compare", "measure",
    ]  # fmt: skip


def test_a_callable_is_measured_after_a_warm_up() -> None:
    """Every sample is one call, and the calls of the warm-up are none of them."""
    made: list[None] = []
    run = measure(lambda: made.append(None), seconds=0.001)
    assert len(made) == run.warmup_calls + len(run.latency_ns)
    assert run.latency_ns.dtype == np.int64
    assert (run.latency_ns > 0).all()
    assert run.own_cost_ns > 0
    assert run.answers_right is None
    assert run.scenario == "single-stream"


def test_the_number_of_samples_has_a_floor_and_a_ceiling() -> None:
    """p90 can always be told, and a fast call does not fill the memory."""
    assert len(measure(int, seconds=1e-9).latency_ns) == 64
    assert len(measure(int, seconds=1e6).latency_ns) == 100_000


def test_a_run_cannot_be_changed() -> None:
    """Neither its fields nor its samples."""
    run = measure(int, seconds=1e-9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.target = "y"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        run.latency_ns[0] = 1


def test_a_percentile_is_an_estimate_in_nanoseconds() -> None:
    """The median of 1 … 101 is 51, between order statistics, and a percentile too far out says what is missing."""
    run = run_of(np.random.default_rng(1).permutation(np.arange(1, 102)))
    found = run.percentile(50)
    assert (found.value, found.unit) == (51.0, "ns")
    assert 35 < found.low < 51 < found.high < 67
    with pytest.raises(NeedsMoreSamples, match="p99 needs 561 more samples: 101 are there"):
        run.percentile(99)


def test_a_run_against_itself_finds_no_difference() -> None:
    """Whatever the run looks like (noise, a drift, two kinds of rows in turn), the A/A pair's interval holds 1."""
    rng = np.random.default_rng(8)
    noise = rng.gamma(30, 100, 20_000)
    for latency in (noise, noise * np.linspace(1, 2, 20_000), noise * np.tile([1, 3], 10_000), noise[:64]):
        found = run_of(latency).against_itself()
        assert found.low <= 1 <= found.high
        assert found.low > 0.5


def test_a_noisier_run_sees_less() -> None:
    """The A/A interval is wider where the samples are."""
    rng = np.random.default_rng(8)
    quiet, noisy = (run_of(rng.normal(10_000, spread, 5_000)).against_itself() for spread in (10, 1_000))
    assert noisy.high - noisy.low > 10 * (quiet.high - quiet.low)


def test_the_environment_says_where_and_when() -> None:
    """Versions are those that run, the date is in UTC, and the machine has a name."""
    environment = measure(int, seconds=1e-9).environment
    assert environment.numpy == np.__version__
    assert environment.onnxruntime == onnxruntime.__version__
    assert environment.cpu_model
    assert environment.cores >= 1
    assert environment.processes == 1
    assert environment.threads is None
    made = datetime.fromisoformat(environment.date)
    assert made.utcoffset() is not None
    assert abs((datetime.now(UTC) - made).total_seconds()) < 3600


def test_a_models_golden_rows_are_asked_in_turn(make_model: Callable[..., Any]) -> None:
    """One row repeated would flatter: all of them come, one after the other, and are verified afterwards."""
    model = make_model()
    run = measure(model, seconds=1e-9)
    assert [row["amount"] for row in model.asked[:7]] == [0, 1, 2, 0, 1, 2, 0]
    assert run.target == "fraud 2.1.0"
    assert run.work == "predict_one, 3 golden rows in turn"
    assert run.answers_right is True
    assert run.environment.threads == 1


def test_wrong_answers_are_recorded(make_model: Callable[..., Any]) -> None:
    """A run of a model whose golden rows differ says so."""
    assert measure(make_model(right=False), seconds=1e-9).answers_right is False


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool"])
def test_a_model_without_rows_gets_made_up_tensors(make_model: Callable[..., Any], dtype: str) -> None:
    """They have the schema's dtype and shape, one row each, and vary from call to call."""
    model = make_model(rows=0, dtype=dtype)
    run = measure(model, seconds=1e-9)
    assert run.answers_right is None
    assert run.work == "run, 16 made-up inputs in turn"
    assert {(feeds["x"].dtype.name, feeds["x"].shape) for feeds in model.asked} == {(dtype, (1, 4))}
    assert len({feeds["x"].tobytes() for feeds in model.asked}) > 4


def test_text_is_not_made_up(make_model: Callable[..., Any]) -> None:
    """A model that takes text and has no rows cannot be timed honestly."""
    with pytest.raises(ValueError, match="text cannot be made up"):
        measure(make_model(rows=0, dtype="str"))


def test_a_path_is_loaded_and_goes_by_its_name(files: None) -> None:
    """The file's name, not its folder."""
    assert measure("right.edge", seconds=1e-9).target == "right.edge"


def test_an_unknown_scenario_names_those_that_exist() -> None:
    """The message is the documentation at that moment."""
    with pytest.raises(ValueError, match=r"unknown scenario 'server'; expected one of \['single-stream'\]"):
        measure(int, "server")


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_at_all_is_refused(seconds: float) -> None:
    """A budget is positive."""
    with pytest.raises(ValueError, match="expected a positive number"):
        measure(int, seconds=seconds)


def test_what_cannot_be_called_is_refused() -> None:
    """Neither model, path nor callable."""
    with pytest.raises(TypeError, match="cannot measure a int; expected a Model, a path or a callable"):
        measure(3)  # type: ignore[arg-type]


def test_json_keeps_every_sample_in_order() -> None:
    """The workstation can compute all figures again from what the device wrote."""
    run = measure(int, seconds=1e-9)
    data = json.loads(json.dumps(run.to_json()))
    assert data["latency_ns"] == run.latency_ns.tolist()
    assert data["environment"]["onnxruntime"] == onnxruntime.__version__
    assert data["environment"] == dataclasses.asdict(run.environment)
