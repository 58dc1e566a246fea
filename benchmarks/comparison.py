"""Two targets against each other, in one randomised, interleaved run that also runs the first against itself.

Belongs here: `Comparison`, `compare`, the verdict. Not here: the interval (edge_runtime.timing), tables (screen.py).
Imported as edge_runtime.benchmarks.comparison; `Comparison` and `compare` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import BLOCK_NS, Estimate, calibrate, interleave, median_ratio

from .environment import Environment
from .targets import Measurable, Target, calls_of

__all__ = ["Comparison", "Verdict", "compare"]

Verdict = Literal["faster", "slower", "no difference", "inconclusive", "unfit"]

CONFIDENCE = 0.99  # verdicts are given at α = 1%
MARGIN = 0.05  # "no difference" means: less than 5%, and this run would have seen 5%
WARM_UP_NS = 100_000_000
FEWEST_ROUNDS, MOST_ROUNDS = 30, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What one comparison found; its verdict is about ``a``.

    ``ratio`` is the time of ``a`` over the time of ``b`` (below 1: ``a`` is faster), ``against_itself`` the A/A pair,
    ``a`` over ``a``. ``a_work`` and ``b_work`` say what one call of each did: where they differ, so does more than the
    model. The samples are int64 [rounds], read-only: ns per block of ``calls`` calls.
    """

    a: str
    b: str
    a_work: str
    b_work: str
    calls: int
    a_block_ns: NDArray[np.int64]
    again_block_ns: NDArray[np.int64]
    b_block_ns: NDArray[np.int64]
    ratio: Estimate
    against_itself: Estimate
    environment: Environment

    @property
    def smallest_effect(self) -> float:
        """The smallest difference that this run could have seen: 0.04 is 4%."""
        return reach(self.against_itself)

    @property
    def verdict(self) -> Verdict:
        """ "faster", "slower", "no difference", "inconclusive" or "unfit", at α = 1%."""
        return judge(self.ratio, self.against_itself)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        ratio, itself, seen = self.ratio, self.against_itself, percent(self.smallest_effect)
        match self.verdict:
            case "faster":
                return f"{self.a} is {times(1 / ratio.value, 1 / ratio.high, 1 / ratio.low, 'faster', self.b)}"
            case "slower":
                return f"{self.a} is {times(ratio.value, ratio.low, ratio.high, 'slower', self.b)}"
            case "no difference":
                return f"no difference between {self.a} and {self.b}: ±{seen} is the smallest this run could have seen"
            case "inconclusive":
                found = f"{self.a} takes {ratio.low:.2f} to {ratio.high:.2f} times as long as {self.b}"
                return f"inconclusive: {found}; ±{seen} is the smallest difference this run could have seen"
            case "unfit":
                apart = f"{self.a} differed from itself ({itself.low:.3f} to {itself.high:.3f})"
                return f"this machine is not fit to judge now: {apart}; measure again when it is quiet"

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON data; the unit is the end of a key."""
        return {
            "a": self.a,
            "b": self.b,
            "a_work": self.a_work,
            "b_work": self.b_work,
            "calls": self.calls,
            "a_block_ns": self.a_block_ns.tolist(),
            "again_block_ns": self.again_block_ns.tolist(),
            "b_block_ns": self.b_block_ns.tolist(),
            "ratio": interval(self.ratio),
            "against_itself_ratio": interval(self.against_itself),
            "smallest_effect_ratio": self.smallest_effect,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "environment": self.environment.to_json(),
        }


def compare(
    a: Measurable, b: Measurable, *, seconds: float = 3.0, threads: int | None = None, seed: int = 0
) -> Comparison:
    """Compare two targets (Model, path or callable) for about ``seconds``; 30 rounds at least, whatever they take.

    Raises ValueError for a budget that is not positive, and what `edge_runtime.load` raises for a path.
    """
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds!r}; expected a positive number")
    first, second = calls_of(a, threads=threads), calls_of(b, threads=threads)
    names = (first.name, second.name) if first.name != second.name else (f"{first.name} (a)", f"{second.name} (b)")
    environment = Environment.here(threads=first.threads)
    slowest = max(calibrate(call, WARM_UP_NS)[1] for call in (first.call, second.call))
    calls = max(1, round(BLOCK_NS / slowest))
    rounds = min(max(int(seconds * 1e9 / (3 * calls * slowest)), FEWEST_ROUNDS), MOST_ROUNDS)
    lanes = {"a": first.call, "again": first.call, "b": second.call}
    blocks = interleave(lanes, rounds=rounds, calls=calls, seed=seed)
    for block in blocks.values():
        block.flags.writeable = False
    return Comparison(
        a=names[0],
        b=names[1],
        a_work=described(first),
        b_work=described(second),
        calls=calls,
        a_block_ns=blocks["a"],
        again_block_ns=blocks["again"],
        b_block_ns=blocks["b"],
        ratio=median_ratio(blocks["a"], blocks["b"], confidence=CONFIDENCE, seed=seed),
        against_itself=median_ratio(blocks["a"], blocks["again"], confidence=CONFIDENCE, seed=seed),
        environment=environment,
    )


def judge(ratio: Estimate, itself: Estimate) -> Verdict:
    """The verdict on a ratio, given what the same run made of a thing against itself.

    A difference is believed when its interval excludes 1 and it is larger than the A/A pair's interval reaches; its
    absence, when both intervals stay within MARGIN. A run that tells a thing from itself judges nothing.
    """
    if excludes_one(itself):
        return "unfit"
    if excludes_one(ratio) and max(ratio.value, 1 / ratio.value) - 1 > reach(itself):
        return "faster" if ratio.value < 1 else "slower"
    return "no difference" if max(reach(ratio), reach(itself)) <= MARGIN else "inconclusive"


def described(target: Target) -> str:
    """What one call does, and with how many threads."""
    return target.work if target.threads is None else f"{target.work}, threads={target.threads}"


def excludes_one(ratio: Estimate) -> bool:
    return not ratio.low <= 1 <= ratio.high


def reach(ratio: Estimate) -> float:
    """How far from 1 the interval reaches, as a part of 1, either way."""
    return max(ratio.high, 1 / ratio.low) - 1


def interval(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def times(value: float, low: float, high: float, which: str, than: str) -> str:
    places = 2 if value >= 1.1 else 3
    return f"{value:.{places}f}x {which} than {than} (99% interval {low:.{places}f} to {high:.{places}f})"


def percent(part: float) -> str:
    return f"{part:.1%}" if part < 0.1 else f"{part:.0%}"
