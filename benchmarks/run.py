"""One target measured: samples in order, where and how they were made, and the figures they allow.

Belongs here: `Run`. Not here: making one (measuring.py, scenarios.py), two of them (comparison.py, gating.py), text
(screen.py).
Imported as edge_runtime.benchmarks.run; `Run` is public in edge_runtime.benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import Estimate, median_ratio

from .conditions import Conditions
from .environment import Environment
from .intervals import mean_of, percentile_of, ratio_of, reach, split
from .stored import Stored, frozen

__all__ = ["SCENARIOS", "Run", "Scenario", "all_right", "disturbed"]

Scenario = Literal["single-stream", "server", "offline", "sustained"]
SCENARIOS: tuple[Scenario, ...] = ("single-stream", "server", "offline", "sustained")

UNSTEADY = "no steady state: the calls kept changing their speed while warming up"
PAIRS = 100
FIFTH = 0.2  # of the time: the first and the last one are compared to tell a drift
FEWEST_IN_A_FIFTH = 11  # what a median's interval takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Stored):
    """What one measurement found; ``work`` says in words what one call did, on ``rows`` rows.

    ``latency_ns`` is int64 [n], read-only, in order, the harness' own cost of ``own_cost_ns`` included: from the start
    of a call to its end, in the server scenario from the start that the schedule wanted. ``at_ns`` [n] is that start,
    counted from when its process began to measure. ``process_calls`` says how many consecutive samples came from each
    fresh process. ``warmup_ns`` is float64 [m], ns per call in each block of the first process' warm-up of
    ``warmup_calls`` calls, and ``steady`` whether it ended in a steady state, everywhere.
    ``service_ns`` [n] (server only) counts from the actual start, as tools do that wait for an answer before they ask
    again; ``rate_per_s`` (server only) is the rate at which calls arrived. ``answers_checked`` timed calls were held
    against golden rows, and ``answers_right`` says whether all of them, and the verification after the timing, were
    right (None: the target has none).
    """

    target: str
    work: str
    scenario: Scenario
    rows: int
    latency_ns: NDArray[np.int64]
    at_ns: NDArray[np.int64]
    process_calls: tuple[int, ...]
    warmup_ns: NDArray[np.float64]
    warmup_calls: int
    steady: bool
    service_ns: NDArray[np.int64] | None
    rate_per_s: float | None
    own_cost_ns: float
    answers_checked: int
    answers_right: bool | None
    environment: Environment
    conditions: Conditions

    def percentile(self, percent: float, *, confidence: float = 0.95) -> Estimate:
        """The latency's percentile with its interval, in ns. Raises NeedsMoreSamples (p90 takes 64, p99 662).

        The interval allows for neighbours that are alike, and for processes that differ. What one process alone cannot
        show, another one's luck with memory, is in it only if the run comes from several.
        """
        return percentile_of(self.latency_ns, percent, self.process_calls, confidence=confidence)

    def naive_percentile(self, percent: float, *, confidence: float = 0.95) -> Estimate:
        """The percentile that a tool would report that waits for each answer before it asks again: it leaves out what
        the calls waited that came meanwhile. Raises ValueError for a run that is no server run."""
        if self.service_ns is None:
            raise ValueError(f"a {self.scenario} run has no naive figure; expected a server run")
        return percentile_of(self.service_ns, percent, self.process_calls, confidence=confidence)

    def throughput(self, *, confidence: float = 0.95) -> Estimate:
        """Rows per second: the rows of a call over the mean time of a call, in "rows/s"."""
        mean = mean_of(self.latency_ns, self.process_calls, confidence=confidence)
        low, value, high = (self.rows * 1e9 / max(each, 1.0) for each in (mean.high, mean.value, mean.low))
        return Estimate(value, low, high, "rows/s")

    def drift(self, *, confidence: float = 0.99) -> Estimate:
        """How much longer a call took in the last fifth of the time than in the first: the ratio of their medians.
        Raises ValueError for fewer than 11 calls in one of them."""
        lasted = int(self.at_ns[-1])
        first = self.latency_ns[self.at_ns <= FIFTH * lasted]
        last = self.latency_ns[self.at_ns >= (1 - FIFTH) * lasted]
        if min(len(first), len(last)) < FEWEST_IN_A_FIFTH:
            raise ValueError(f"{min(len(first), len(last))} calls in a fifth of the time; expected 11 or more")
        return ratio_of(*(percentile_of(each, 50, (len(each),), confidence=confidence) for each in (last, first)))

    def against_itself(self, *, seed: int = 0) -> Estimate:
        """The A/A pair: neighbouring stretches of this run, shuffled into two series, as a ratio that should be 1.

        Its interval says how small a difference a run like this could have seen.
        """
        pairs = min(PAIRS, len(self.latency_ns) // 2)
        each = len(self.latency_ns) // (2 * pairs)
        stretches = np.median(self.latency_ns[: pairs * 2 * each].reshape(pairs, 2, each), axis=2)
        stretches = np.random.default_rng(seed).permuted(stretches, axis=1)
        return median_ratio(stretches[:, 0], stretches[:, 1], seed=seed)

    @property
    def smallest_effect(self) -> float:
        """The smallest difference that a run like this could have seen: 0.04 is 4%."""
        return reach(self.against_itself())

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes this run's figures doubtful, in sentences; () if nothing does."""
        return self.conditions.problems if self.steady else (UNSTEADY, *self.conditions.problems)

    @property
    def fit(self) -> bool:
        """Whether the machine was quiet and the calls steady: fit to judge."""
        return not self.problems

    def by_process(self) -> list[NDArray[np.int64]]:
        """The latencies of each fresh process."""
        return split(self.latency_ns, self.process_calls)

    @classmethod
    def merged(cls, parts: Sequence[Run]) -> Run:
        """The runs of several processes that measured the same, as one."""
        first = parts[0]
        service = [part.service_ns for part in parts if part.service_ns is not None]
        return replace(
            first,
            latency_ns=frozen(np.concatenate([part.latency_ns for part in parts])),
            at_ns=frozen(np.concatenate([part.at_ns for part in parts])),
            process_calls=tuple(count for part in parts for count in part.process_calls),
            warmup_calls=sum(part.warmup_calls for part in parts),
            steady=all(part.steady for part in parts),
            service_ns=frozen(np.concatenate(service)) if service else None,
            own_cost_ns=float(np.median([part.own_cost_ns for part in parts])),
            answers_checked=sum(part.answers_checked for part in parts),
            answers_right=all_right([part.answers_right for part in parts]),
            environment=replace(first.environment, processes=len(parts)),
            conditions=Conditions.merged([part.conditions for part in parts]),
        )


def disturbed(runs: Sequence[Run]) -> tuple[str, ...]:
    """What makes the figures of several runs doubtful that were made one after the other, in sentences."""
    if not runs:
        return ()
    unsteady = () if all(run.steady for run in runs) else (UNSTEADY,)
    return (*unsteady, *Conditions.merged([run.conditions for run in runs]).problems)


def all_right(answers: Sequence[bool | None]) -> bool | None:
    """What the answers of several processes that measured the same say together; None if one of them had none to
    ask."""
    return None if None in answers else all(answers)
