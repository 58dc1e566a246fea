"""One sentence of advice: the most important one, or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_runtime.benchmarks import Run, Sweep, SweepPoint
from edge_runtime.benchmarks.advice import advice_of
from edge_runtime.benchmarks.sweeping import Parameter

RunOf = Callable[..., Run]


def sweep_of(parameter: Parameter, usual: str, runs: dict[str, Run]) -> Sweep:
    points = tuple(SweepPoint(value=value, run=run, refused=None, size_bytes=9) for value, run in runs.items())
    return Sweep(target="fraud.edge", parameter=parameter, usual=usual, points=points)


def batches(run_of: RunOf, one: int, many: int) -> Sweep:
    """Batches of 1 and 64 that take these ns a call."""
    offline = {"scenario": "offline"}
    runs = {"1": run_of(np.full(99, one), **offline), "64": run_of(np.full(99, many), rows=64, **offline)}
    return sweep_of("batch", "1", runs)


def test_threads_come_before_batches(run_of: RunOf) -> None:
    """What a program sets once comes before how it has to be written."""
    threads = sweep_of("threads", "2", {"1": run_of(np.full(99, 5_000)), "2": run_of(np.full(99, 7_000))})
    found = advice_of([run_of(np.full(99, 5_000))], [batches(run_of, 80_000, 64_000), threads])
    assert found == "threads=1 is 1.4x faster than threads=2 here"


def test_batches_are_held_against_one_row_alone(run_of: RunOf) -> None:
    """Not against a batch of one, which is slower than a row asked for by itself."""
    sweep = batches(run_of, 80_000, 128_000)
    one_row = run_of(np.full(99, 5_000))
    assert advice_of([one_row], [sweep]) == "rows in batches of 64 take 2.5x less time a row than one at a time here"
    assert advice_of([run_of(np.full(99, 2_000))], [sweep]) is None


def test_without_a_run_the_sweep_speaks_for_itself(run_of: RunOf) -> None:
    """There is nothing else to hold it against; and nothing at all is no advice."""
    assert (advice_of([], [batches(run_of, 80_000, 64_000)]) or "").startswith("rows in batches of 64 take 80.0x")
    assert advice_of([], []) is None
