"""One target measured: samples in order, where they were made, and the figures they allow.

Belongs here: `Run`, `measure`, one function per scenario. Not here: statistics (edge_runtime.timing), two targets
(comparison.py), text (screen.py).
Imported as edge_runtime.benchmarks.run; `Run` and `measure` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import Estimate, calibrate, median_ratio, own_cost_ns, percentile, samples_needed, time_each

from .environment import Environment
from .targets import Measurable, Target, calls_of

__all__ = ["Run", "measure"]

WARM_UP_NS = 200_000_000  # the last block of the warm-up; all blocks together last up to twice as long
FEWEST = samples_needed(90)
MOST = 100_000
PAIRS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one measurement found; ``work`` says in words what one call did.

    ``latency_ns`` is int64 [n], read-only, in order, the harness' own cost of ``own_cost_ns`` included;
    ``answers_right`` says whether the golden rows were answered right after the timing (None: the target has none).
    """

    target: str
    work: str
    scenario: str
    latency_ns: NDArray[np.int64]
    warmup_calls: int
    own_cost_ns: float
    answers_right: bool | None
    environment: Environment

    def percentile(self, percent: float, *, confidence: float = 0.95) -> Estimate:
        """The latency's percentile with its interval, in ns. Raises NeedsMoreSamples (p90 takes 64, p99 662).

        The interval speaks of these calls alone: it takes them as independent, and another run on the same machine
        may well lie outside it.
        """
        return percentile(self.latency_ns, percent, confidence=confidence)

    def against_itself(self, *, seed: int = 0) -> Estimate:
        """The A/A pair: neighbouring stretches of this run, shuffled into two series, as a ratio that should be 1.

        Its interval says how small a difference a run like this could have seen.
        """
        pairs = min(PAIRS, len(self.latency_ns) // 2)
        each = len(self.latency_ns) // (2 * pairs)
        stretches = self.latency_ns[: pairs * 2 * each].reshape(pairs, 2, each).mean(axis=2)
        stretches = np.random.default_rng(seed).permuted(stretches, axis=1)
        return median_ratio(stretches[:, 0], stretches[:, 1], seed=seed)

    def to_json(self) -> dict[str, Any]:
        """The run as JSON data; the unit is the end of a key."""
        return {
            "target": self.target,
            "work": self.work,
            "scenario": self.scenario,
            "latency_ns": self.latency_ns.tolist(),
            "warmup_calls": self.warmup_calls,
            "own_cost_ns": self.own_cost_ns,
            "answers_right": self.answers_right,
            "environment": self.environment.to_json(),
        }


def measure(
    target: Measurable, scenario: str = "single-stream", *, seconds: float = 2.0, threads: int | None = None
) -> Run:
    """Measure a Model, a path (loaded with ``threads``) or a callable without arguments for about ``seconds``.

    At least 64 and at most 100,000 samples are taken, after a warm-up of 0.2 to 0.5 s. Raises ValueError for an unknown
    scenario, and what `edge_runtime.load` raises for a path.
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {scenario!r}; expected one of {sorted(SCENARIOS)}")
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds!r}; expected a positive number")
    return SCENARIOS[scenario](calls_of(target, threads=threads), seconds)


def single_stream(target: Target, seconds: float) -> Run:
    """One call after another, each timed by itself: MLPerf's single-stream."""
    environment = Environment.here(threads=target.threads)
    warmup_calls, per_call = calibrate(target.call, WARM_UP_NS)
    latency = np.empty(min(max(int(seconds * 1e9 / per_call), FEWEST), MOST), np.int64)
    time_each(target.call, latency)
    latency.flags.writeable = False
    return Run(
        target=target.name,
        work=target.work,
        scenario="single-stream",
        latency_ns=latency,
        warmup_calls=warmup_calls,
        own_cost_ns=own_cost_ns(),
        answers_right=target.verify() if target.verify is not None else None,
        environment=environment,
    )


SCENARIOS: dict[str, Callable[[Target, float], Run]] = {"single-stream": single_stream}
