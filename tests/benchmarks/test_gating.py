"""Stored runs against each other: judged where the machine was one and quiet, refused where it was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_runtime.benchmarks import Comparison, Conditions, EnvironmentsDiffer, Gate, Run, compare_runs, gate
from edge_runtime.errors import InputError

Maker = Callable[..., Run]
PROCESSES = 10


@pytest.fixture
def machine_run(run_of: Maker) -> Callable[..., Run]:
    """A run of ten processes that differ by ``spread`` (0.5%), around a median of ``level`` ns."""

    def make(seed: int, level: float = 10_000, *, spread: float = 0.005, **changed: Any) -> Run:
        rng = np.random.default_rng([31, seed])
        levels = level * np.exp(rng.normal(0, spread, PROCESSES))
        samples = (levels[:, None] * rng.lognormal(0, 0.05, (PROCESSES, 300))).ravel()
        return run_of(samples, process_calls=(300,) * PROCESSES, **changed)

    return make


def test_the_same_is_rarely_called_a_regression(machine_run: Callable[..., Run]) -> None:
    """Of 200 gates of the same thing with nothing allowed, at most 5 are a regression; nearly all pass at 5%."""
    pairs = [(machine_run(2 * seed), machine_run(2 * seed + 1)) for seed in range(200)]
    strict = [gate(a, b, max_regression=0.0).outcome for a, b in pairs]
    assert strict.count("regression") <= 5
    usual = [gate(a, b).outcome for a, b in pairs]
    assert usual.count("no regression") >= 190
    assert usual.count("regression") == 0


def test_a_regression_is_found(machine_run: Callable[..., Run]) -> None:
    """Of 100 slowdowns by 10%, where 5% are allowed, at least 90 are called so, and none passes."""
    found = [gate(machine_run(2 * seed, 11_000), machine_run(2 * seed + 1)).outcome for seed in range(100)]
    assert found.count("regression") >= 90
    assert found.count("no regression") == 0


def test_each_outcome_has_its_status_and_its_sentence(
    machine_run: Callable[..., Run], conditions_of: Callable[..., Conditions]
) -> None:
    """0, 1, 1, 3 and 4, in words that say by how much."""
    base = machine_run(0)
    quiet = gate(machine_run(1), base)
    assert (quiet.outcome, quiet.status) == ("no regression", 0)
    assert quiet.sentence.startswith("no regression: 0.999 times the baseline's time (99% interval 0.9")
    assert quiet.sentence.endswith("within the 5.0% allowed")
    slow = gate(machine_run(1, 15_000), base)
    assert (slow.outcome, slow.status) == ("regression", 1)
    assert slow.sentence.startswith("regression: 1.499 times")
    wrong = gate(machine_run(1, answers_right=False), base)
    assert (wrong.outcome, wrong.status) == ("wrong answers", 1)
    near = gate(machine_run(1, 10_500, spread=0.02), base)
    assert (near.outcome, near.status) == ("inconclusive", 3)
    disturbed = gate(machine_run(1, conditions=conditions_of(steal_share=0.2)), base)
    assert (disturbed.outcome, disturbed.status) == ("unfit", 4)
    assert "first run: the hypervisor gave 20%" in disturbed.sentence


def test_a_machine_that_is_slower_today_is_not_fit(
    machine_run: Callable[..., Run], conditions_of: Callable[..., Conditions]
) -> None:
    """Where the fixed kernel takes 1.2 times as long, the model is not blamed for it."""
    run = machine_run(1, 12_000, conditions=conditions_of(kernel_ns=np.full(60, 72_000)))
    found = gate(run, machine_run(0))
    assert found.outcome == "unfit"
    assert "a fixed computation took 1.20 times as long in the first run as in the second" in found.sentence


def test_unlike_environments_are_refused_unless_told(machine_run: Callable[..., Run]) -> None:
    """With the differences in words; edge-runtime's own version is none."""
    run = machine_run(1)
    other = replace(run.environment, cpu_model="Cortex-A72", threads=4, edge_runtime="9.9.9")
    base = machine_run(0, environment=other)
    with pytest.raises(EnvironmentsDiffer, match=r"processor: .* and Cortex-A72; threads: 1 and 4\)") as caught:
        gate(run, base)
    assert len(caught.value.differences) == 2
    assert gate(run, base, anyway=True).outcome == "no regression"
    assert compare_runs(run, base, anyway=True).verdict in ("no difference", "inconclusive")


def test_runs_of_different_kinds_are_not_compared(machine_run: Callable[..., Run]) -> None:
    """A batch of 64 rows against one row would be a ratio of two different things."""
    with pytest.raises(InputError, match="expected one scenario, batch and rate"):
        compare_runs(machine_run(0), machine_run(1, scenario="offline", rows=64))


def test_a_negative_allowance_is_refused(machine_run: Callable[..., Run]) -> None:
    """As is one that is no number."""
    for allowed in (-0.1, float("nan")):
        with pytest.raises(InputError, match="expected 0 or more"):
            gate(machine_run(0), machine_run(1), max_regression=allowed)


def test_stored_runs_are_compared_with_a_verdict(machine_run: Callable[..., Run]) -> None:
    """Ratio of medians, an A/A pair, and a sentence that names both."""
    found = compare_runs(machine_run(0, 20_000, target="new.edge"), machine_run(1, target="old.edge"))
    assert found.verdict == "slower"
    assert found.sentence.startswith("new.edge is 2.0")
    assert not found.interleaved
    assert len(found.again_block_ns) == 0
    assert found.against_itself.low <= 1 <= found.against_itself.high
    assert compare_runs(machine_run(0), machine_run(1)).a == "fraud.edge (a)"


def test_few_processes_still_have_an_a_a_pair(run_of: Maker) -> None:
    """Stretches of the run against their neighbours."""
    rng = np.random.default_rng(1)
    found = compare_runs(run_of(rng.normal(1e4, 10, 700)), run_of(rng.normal(1e4, 10, 700)))
    assert found.against_itself.low <= 1 <= found.against_itself.high
    assert found.verdict == "no difference"


def test_json_of_a_gate_says_what_it_found(machine_run: Callable[..., Run]) -> None:
    """Outcome and sentence for a program, samples for whoever judges again."""
    found = gate(machine_run(1), machine_run(0))
    data = json.loads(json.dumps(found.to_json()))
    assert data["outcome"] == "no regression"
    assert Gate.from_json(data).to_json() == found.to_json()
    assert Comparison.from_json(data["comparison"]).verdict == "no difference"
