"""Stored runs against each other, and the gate: slower than the baseline by more than was allowed, or not.

Belongs here: comparing runs that were not interleaved, and refusing to where their machines differ. Not here: files
(document.py), the interleaved comparison (comparison.py).
Imported as edge_runtime.benchmarks.gating; `compare_runs` and `gate` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from edge_runtime.errors import EdgeError, InputError
from edge_runtime.timing import Estimate

from .comparison import CONFIDENCE, Comparison, excludes_one, percent, told_apart
from .conditions import Conditions
from .intervals import percentile_of, ratio_of, split
from .run import Run
from .stored import Stored, frozen

__all__ = ["EnvironmentsDiffer", "Gate", "Outcome", "compare_runs", "gate"]

Outcome = Literal["no regression", "regression", "wrong answers", "inconclusive", "unfit"]
STATUS: dict[Outcome, int] = {
    "no regression": 0, "regression": 1, "wrong answers": 1, "inconclusive": 3, "unfit": 4,
}  # fmt: skip
MOST_APART = 1.10  # the kernel then and now: beyond, it is not the same machine
FEWEST_TO_HALVE = 4  # processes: below, stretches of the run are held against their neighbours


class EnvironmentsDiffer(EdgeError):
    """Two runs were to be compared that come from unlike machines; ``differences`` says in what."""

    def __init__(self, differences: tuple[str, ...]) -> None:
        self.differences = differences
        super().__init__(
            f"the runs come from unlike environments ({'; '.join(differences)}); expected one, or to be told anyway"
        )


def compare_runs(a: Run, b: Run, *, anyway: bool = False) -> Comparison:
    """Two stored runs: the ratio of their medians, with the interval that their own intervals make.

    They were not interleaved, so their machine has to have been the same and quiet, both times: a run with a problem is
    not judged, nor are two whose fixed kernel differs by more than 10%. Raises EnvironmentsDiffer unless their
    environments match or ``anyway`` is given, and InputError for runs of different scenarios, rates or batches.
    """
    asked = [(run.scenario, run.rows, run.rate_per_s) for run in (a, b)]
    if asked[0] != asked[1]:
        raise InputError(f"one run is {asked[0]}, the other {asked[1]}", expected="one scenario, batch and rate")
    differences = a.environment.differences(b.environment)
    if differences and not anyway:
        raise EnvironmentsDiffer(differences)
    problems = [
        f"{which}: {problem}" for which, run in (("first run", a), ("second run", b)) for problem in run.problems
    ]
    names = told_apart(a.target, b.target)
    medians = [run.percentile(50, confidence=CONFIDENCE) for run in (a, b)]
    return Comparison(
        a=names[0],
        b=names[1],
        a_work=a.work,
        b_work=b.work,
        interleaved=False,
        calls=1,
        process_rounds=a.process_calls,
        a_block_ns=a.latency_ns,
        again_block_ns=frozen([]),
        b_block_ns=b.latency_ns,
        ratio=ratio_of(*medians),
        against_itself=halves(a),
        a_answers_right=a.answers_right,
        b_answers_right=b.answers_right,
        problems=(*problems, *kernels_apart(a.conditions, b.conditions)),
        environment=a.environment,
        conditions=a.conditions,
    )


def kernels_apart(a: Conditions, b: Conditions) -> tuple[str, ...]:
    """Whether the machine itself was faster at one of the two times, in a sentence."""
    if not len(a.kernel_ns) or not len(b.kernel_ns):
        return ()
    ratio = float(np.median(a.kernel_ns) / np.median(b.kernel_ns))
    if 1 / MOST_APART <= ratio <= MOST_APART:
        return ()
    return (f"a fixed computation took {ratio:.2f} times as long in the first run as in the second",)


def halves(run: Run) -> Estimate:
    """The A/A pair of a stored run: every other process against the rest, or stretches against their neighbours."""
    if len(run.process_calls) < FEWEST_TO_HALVE:
        return run.against_itself()
    parts, sizes = split(run.latency_ns, run.process_calls), run.process_calls
    return ratio_of(
        *(
            percentile_of(np.concatenate(parts[start::2]), 50, sizes[start::2], confidence=CONFIDENCE)
            for start in (0, 1)
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Stored):
    """The ``comparison`` of a run with its baseline, and by how much slower it may be (``max_regression``: 0.05 is
    5%)."""

    comparison: Comparison
    max_regression: float

    def to_json(self) -> dict[str, Any]:
        """The gate as JSON data, with what it found."""
        return Stored.to_json(self) | {"outcome": self.outcome, "sentence": self.sentence}

    @property
    def outcome(self) -> Outcome:
        """ "wrong answers" first; then "unfit"; "regression" and "no regression" only where the whole interval says
        so; otherwise "inconclusive"."""
        found, allowed = self.comparison, 1 + self.max_regression
        if found.a_answers_right is False:
            return "wrong answers"
        if found.problems or excludes_one(found.against_itself):
            return "unfit"
        if found.ratio.low > allowed:
            return "regression"
        return "no regression" if found.ratio.high <= allowed else "inconclusive"

    @property
    def status(self) -> int:
        """The exit status: 0 no regression, 1 regression or wrong answers, 3 inconclusive, 4 not fit to judge."""
        return STATUS[self.outcome]

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        found, allowed = self.comparison, percent(self.max_regression)
        value, low, high = (f"{each:.3f}" for each in (found.ratio.value, found.ratio.low, found.ratio.high))
        took = f"{value} times the baseline's time (99% interval {low} to {high})"
        match self.outcome:
            case "wrong answers":
                return "the golden rows are answered wrong, however fast"
            case "unfit":
                return found.unfit
            case "regression":
                return f"regression: {took}, more than the {allowed} allowed"
            case "no regression":
                return f"no regression: {took}, within the {allowed} allowed"
            case "inconclusive":
                return f"inconclusive: {took}, and {allowed} are allowed; measure for longer"


def gate(run: Run, baseline: Run, *, max_regression: float = 0.05, anyway: bool = False) -> Gate:
    """Hold ``run`` against its ``baseline``. Raises what `compare_runs` raises, and InputError for a negative
    ``max_regression``."""
    if not max_regression >= 0:
        raise InputError(f"the regression allowed is {max_regression}", expected="0 or more; 0.05 is 5%")
    found = compare_runs(run, baseline, anyway=anyway)
    return Gate(comparison=replace(found, a="this run", b="the baseline"), max_regression=max_regression)
