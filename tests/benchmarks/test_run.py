"""A run keeps its samples and says what they allow to be said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.benchmarks import Conditions, NeedsMoreSamples, Run
from edge_runtime.errors import InputError

Maker = Callable[..., Run]


def test_a_run_cannot_be_changed(run_of: Maker) -> None:
    """Neither its fields nor, once stored, its samples."""
    run = Run.from_json(run_of(np.arange(100)).to_json())
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.target = "y"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        run.latency_ns[0] = 1


def test_a_percentile_is_an_estimate_in_nanoseconds(run_of: Maker) -> None:
    """The median of 1 … 101 is 51, between order statistics, and a percentile too far out says what is missing."""
    run = run_of(np.random.default_rng(1).permutation(np.arange(1, 102)))
    found = run.percentile(50)
    assert (found.value, found.unit) == (51.0, "ns")
    assert 30 < found.low < 51 < found.high < 72
    with pytest.raises(NeedsMoreSamples, match="p99 needs 561 more samples: 101 are there"):
        run.percentile(99)


def test_throughput_is_rows_over_the_mean_time(run_of: Maker) -> None:
    """64 rows in a millisecond are 64,000 rows per second, whatever the unit of the samples."""
    latency = np.random.default_rng(2).gamma(100, 1e4, 400)
    found = run_of(latency, rows=64, scenario="offline").throughput()
    assert found.unit == "rows/s"
    assert found.low < 64e9 / latency.mean() < found.high
    assert 62_000 < found.low < found.high < 66_000


def test_a_drift_is_last_over_first(run_of: Maker) -> None:
    """By a tenth slower in the last fifth of the time; a steady run has none."""
    rng = np.random.default_rng(3)
    steady = rng.normal(1e5, 1e3, 5_000)
    assert run_of(steady * np.linspace(1, 1.125, 5_000)).drift().low > 1.08
    assert run_of(steady).drift().low < 1 < run_of(steady).drift().high
    with pytest.raises(ValueError, match="calls in a fifth of the time; expected 11 or more"):
        run_of(steady[:20]).drift()


def test_the_naive_figure_is_the_server_scenarios(run_of: Maker) -> None:
    """Service alone, without what a call waited; no other scenario has it."""
    served = run_of(np.full(700, 9_000), service_ns=np.full(700, 1_000), rate_per_s=100.0, scenario="server")
    assert served.naive_percentile(99).value == 1_000
    assert served.percentile(99).value == 9_000
    with pytest.raises(ValueError, match="a single-stream run has no naive figure"):
        run_of(np.full(700, 9_000)).naive_percentile(99)


def test_a_run_against_itself_finds_no_difference(run_of: Maker) -> None:
    """Whatever the run looks like (noise, a drift, two kinds of rows in turn), the A/A pair's interval holds 1."""
    rng = np.random.default_rng(8)
    noise = rng.gamma(30, 100, 20_000)
    for latency in (noise, noise * np.linspace(1, 2, 20_000), noise * np.tile([1, 3], 10_000), noise[:64]):
        found = run_of(latency).against_itself()
        assert found.low <= 1 <= found.high
        assert found.low > 0.5


def test_a_noisier_run_sees_less(run_of: Maker) -> None:
    """The smallest effect is larger where the A/A interval is wider."""
    rng = np.random.default_rng(8)
    quiet, noisy = (run_of(rng.normal(10_000, spread, 5_000)).smallest_effect for spread in (10, 1_000))
    assert noisy > 10 * quiet > 0


def test_what_disturbed_a_run_is_said(run_of: Maker, conditions_of: Callable[..., Conditions]) -> None:
    """A quiet and steady one is fit; otherwise there are sentences."""
    assert run_of(np.arange(100)).fit
    run = run_of(np.arange(100), steady=False, conditions=conditions_of(steal_share=0.05))
    assert not run.fit
    assert run.problems == (
        "no steady state: the calls kept changing their speed while warming up",
        "the hypervisor gave 5% of the CPU time to other guests",
    )


def test_processes_are_joined_in_order(run_of: Maker, conditions_of: Callable[..., Conditions]) -> None:
    """Samples one after the other, sizes kept; right only if all were, steady only if all were."""
    first = run_of(np.full(64, 1), conditions=conditions_of(seconds=1.0, steal_share=0.3))
    second = run_of(np.full(70, 2), answers_right=False, steady=False, conditions=conditions_of(seconds=3.0))
    run = Run.merged([first, second])
    assert run.process_calls == (64, 70)
    assert run.latency_ns.tolist() == [1] * 64 + [2] * 70
    assert [len(part) for part in run.by_process()] == [64, 70]
    assert run.answers_right is False
    assert run.answers_checked == 128
    assert not run.steady
    assert run.environment.processes == 2
    assert run.conditions.seconds == 4.0
    assert run.conditions.steal_share == pytest.approx(0.075)
    assert len(run.conditions.kernel_ns) == 120
    assert Run.merged([first, run_of([1] * 64, answers_right=None)]).answers_right is None


def test_json_keeps_every_sample_in_order(run_of: Maker) -> None:
    """The workstation can compute all figures again from what the device wrote."""
    run = run_of(np.random.default_rng(1).gamma(9, 100, 700), service_ns=np.arange(700), rate_per_s=5.0)
    data = json.loads(json.dumps(run.to_json()))
    again = Run.from_json(data)
    assert data["latency_ns"] == run.latency_ns.tolist()
    assert again.to_json() == run.to_json()
    assert again.percentile(99) == run.percentile(99)
    assert again.latency_ns.dtype == np.int64
    assert Run.from_json(data | {"added_later": 1}).to_json() == run.to_json()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"latency_ns": "x"}, "Run.latency_ns is str 'x': no stored result; expected a list of int64"),
        ({"latency_ns": [1, "x"]}, "Run.latency_ns is list"),
        ({"latency_ns": [2**70]}, "Run.latency_ns is list"),
        ({"scenario": "quick"}, "Run.scenario is str 'quick'"),
        ({"steady": 1}, "Run.steady is int '1': no stored result; expected a value of type bool"),
        ({"process_calls": 3}, "Run.process_calls is int '3': no stored result; expected a list"),
        ({"process_calls": ["a"]}, r"Run.process_calls\[0\] is str 'a'"),
        ({"environment": {}}, "expected the keys"),
        ({"environment": 3}, "Run.environment is int '3': no stored result; expected an object"),
    ],
)
def test_what_is_no_run_is_refused(run_of: Maker, change: dict[str, Any], says: str) -> None:
    """With the place, what stands there, and what would be right."""
    with pytest.raises(InputError, match=says):
        Run.from_json(run_of(np.arange(100)).to_json() | change)


def test_something_else_is_no_run() -> None:
    """A list, or nothing."""
    others: tuple[object, ...] = ([], None, "run", 3)
    for data in others:
        with pytest.raises(InputError, match="no stored result; expected an object"):
            Run.from_json(data)
