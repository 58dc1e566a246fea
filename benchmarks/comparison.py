"""Two targets against each other, in one randomised, interleaved run that also runs the first against itself.

Belongs here: `Comparison`, `compare`, the verdict. Not here: intervals (edge_runtime.timing, intervals.py), runs that
were stored (gating.py), tables (screen.py).
Imported as edge_runtime.benchmarks.comparison; `Comparison` and `compare` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import Estimate, interleave

from .conditions import Conditions, Watch
from .environment import Environment
from .fresh import cores_for, in_fresh_process
from .intervals import paired_ratio, reach
from .measuring import Progress, cores_of, share_of, text_of
from .opening import Measurable, open_target
from .run import all_right
from .settings import Settings
from .steady import warm_up
from .stored import Stored, frozen
from .target import Target

__all__ = ["Blocks", "Comparison", "Verdict", "blocks_of", "compare", "judge", "percent", "told_apart"]

Verdict = Literal["faster", "slower", "no difference", "inconclusive", "unfit"]

CONFIDENCE = 0.99  # verdicts are given at α = 1%
MARGIN = 0.05  # "no difference" means: less than 5%, and this run would have seen 5%
# A neighbour takes the core for milliseconds: most of such short blocks are left alone, and a median keeps to those.
BLOCK_NS = 300_000
FEWEST_ROUNDS, MOST_ROUNDS = 30, 3_000
ROUNDS_TOGETHER = 10  # between one look at the machine and the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Stored):
    """What one comparison found; its verdict is about ``a``.

    ``ratio`` is the time of ``a`` over the time of ``b`` (below 1: ``a`` is faster), ``against_itself`` the A/A pair,
    ``a`` over ``a``. ``a_work`` and ``b_work`` say what one call of each did: where they differ, so does more than the
    model. The samples are int64 [rounds], read-only: ns per block of ``calls`` calls; ``process_rounds`` says how many
    consecutive ones came from each process. ``a_answers_right`` and ``b_answers_right`` say whether golden rows were
    answered right, between the rounds and afterwards (None: there are none to ask).

    Of two stored runs (``interleaved`` is False) the samples are their latencies, and ``again_block_ns`` is empty.
    ``problems`` says what disturbed the measurement, in sentences. A machine that changes while it interleaves changes
    for both, so there the A/A pair decides; two stored runs with a problem are not judged.
    """

    a: str
    b: str
    a_work: str
    b_work: str
    interleaved: bool
    calls: int
    process_rounds: tuple[int, ...]
    a_block_ns: NDArray[np.int64]
    again_block_ns: NDArray[np.int64]
    b_block_ns: NDArray[np.int64]
    ratio: Estimate
    against_itself: Estimate
    a_answers_right: bool | None
    b_answers_right: bool | None
    problems: tuple[str, ...]
    environment: Environment
    conditions: Conditions

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON data, with what it found."""
        found = {"verdict": self.verdict, "sentence": self.sentence, "smallest_effect_ratio": self.smallest_effect}
        return Stored.to_json(self) | found

    @property
    def smallest_effect(self) -> float:
        """The smallest difference that this run could have seen: 0.04 is 4%."""
        return reach(self.against_itself)

    @property
    def verdict(self) -> Verdict:
        """ "faster", "slower", "no difference", "inconclusive" or "unfit", at α = 1%."""
        if self.problems and not self.interleaved:
            return "unfit"
        return judge(self.ratio, self.against_itself)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        ratio, seen = self.ratio, percent(self.smallest_effect)
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
                return self.unfit

    @property
    def unfit(self) -> str:
        """What keeps this comparison from being judged, in words."""
        itself = self.against_itself
        reason = f"{self.a} differed from itself ({itself.low:.3f} to {itself.high:.3f})"
        if self.problems and not self.interleaved:
            reason = "; ".join(self.problems)
        return f"this machine is not fit to judge now: {reason}; measure again when it is quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks(Stored):
    """One process' share of a comparison; the fields are those of `Comparison`."""

    a: str
    b: str
    a_work: str
    b_work: str
    calls: int
    a_block_ns: NDArray[np.int64]
    again_block_ns: NDArray[np.int64]
    b_block_ns: NDArray[np.int64]
    a_answers_right: bool | None
    b_answers_right: bool | None
    steady: bool
    environment: Environment
    conditions: Conditions


def compare(
    a: Measurable,
    b: Measurable,
    *,
    seconds: float = 3.0,
    settings: Settings | None = None,
    inputs: str | None = None,
    processes: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two targets (see `open_target`) for about ``seconds``; 30 rounds at least, whatever they take.

    With ``processes``, as many fresh ones interleave the two, one after the other, so that one process' luck with
    memory is in the interval too; it takes targets that are named by text. Without, this process compares. Raises
    ValueError for a budget that is not positive, and what `open_target` raises.
    """
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds!r}; expected a positive number")
    settings = settings if settings is not None else Settings()
    first, second = open_target(a, settings, inputs), open_target(b, settings, inputs)
    if processes is None:
        return joined([blocks_of(first, second, seconds=seconds, seed=seed, progress=progress)], seed)
    names = text_of(a), text_of(b)
    del first, second
    cores = sorted({core for name in names for core in cores_of(name, settings)} or cores_for(None))
    parts: list[Blocks] = []
    report = partial(progress, "compare") if progress is not None else None
    for number in range(processes):
        data = in_fresh_process(
            "blocks", cores, report=share_of(report, number, processes), a=names[0], b=names[1],
            settings=settings.to_json(), inputs=inputs, seconds=seconds / processes, seed=seed + number,
            calls=parts[0].calls if parts else None,
            rounds=len(parts[0].a_block_ns) if parts else None,
        )  # fmt: skip
        parts.append(Blocks.from_json(data))
        if report is not None:
            report((number + 1) / processes)
    return joined(parts, seed)


def blocks_of(
    first: Target,
    second: Target,
    *,
    seconds: float,
    seed: int = 0,
    calls: int | None = None,
    rounds: int | None = None,
    progress: Progress | None = None,
) -> Blocks:
    """Interleave the two, and the first once more, in this process; ``calls`` and ``rounds`` are chosen if left out."""
    environment = Environment.here(threads=first.threads)
    warm = [warm_up(target.new_call()) for target in (first, second)]
    slowest = max(each.call_ns for each in warm)
    calls = calls if calls is not None else max(1, round(BLOCK_NS / slowest))
    if rounds is None:
        rounds = min(max(int(seconds * 1e9 / (3 * calls * slowest)), FEWEST_ROUNDS), MOST_ROUNDS)
    checks = [Spot(first), Spot(second)]
    watch, done = Watch(), 0

    def between() -> None:
        nonlocal done
        done += 1
        if done % ROUNDS_TOGETHER:
            return
        watch.run_kernel()
        for check in checks:
            check.ask()
        if progress is not None:
            progress("compare", done / rounds)

    lanes = {"a": first.new_call(), "again": first.new_call(), "b": second.new_call()}
    taken = interleave(lanes, rounds=rounds, calls=calls, seed=seed, between=between)
    conditions = watch.conditions()
    return Blocks(
        a=first.name,
        b=second.name,
        a_work=described(first),
        b_work=described(second),
        calls=calls,
        a_block_ns=frozen(taken["a"]),
        again_block_ns=frozen(taken["again"]),
        b_block_ns=frozen(taken["b"]),
        a_answers_right=checks[0].verdict(),
        b_answers_right=checks[1].verdict(),
        steady=all(each.steady for each in warm),
        environment=environment,
        conditions=conditions,
    )


class Spot:
    """One answer checked now and then, and all golden rows at the end."""

    def __init__(self, target: Target) -> None:
        self.target, self.call, self.asked, self.right = target, target.new_call(), 0, True

    def ask(self) -> None:
        if self.target.check is not None:
            found = self.target.check(self.asked % self.target.rotation, self.call())
            self.right = self.right and found is not False
            self.asked += 1

    def verdict(self) -> bool | None:
        after = self.target.verify() if self.target.verify is not None else None
        return None if after is None and not self.asked else self.right and after is not False


def joined(parts: Sequence[Blocks], seed: int) -> Comparison:
    """The comparison that the processes' shares make."""
    first = parts[0]
    a, again, b = (
        frozen(np.concatenate([getattr(part, name) for part in parts]))
        for name in ("a_block_ns", "again_block_ns", "b_block_ns")
    )
    conditions = Conditions.merged([part.conditions for part in parts])
    sizes = tuple(len(part.a_block_ns) for part in parts)
    unsteady = () if all(part.steady for part in parts) else ("no steady state while warming up",)

    def ratio(above: NDArray[Any], below: NDArray[Any]) -> Estimate:
        return paired_ratio(above, below, sizes, confidence=CONFIDENCE, seed=seed)

    names = told_apart(first.a, first.b)
    return Comparison(
        a=names[0],
        b=names[1],
        a_work=first.a_work,
        b_work=first.b_work,
        interleaved=True,
        calls=first.calls,
        process_rounds=sizes,
        a_block_ns=a,
        again_block_ns=again,
        b_block_ns=b,
        ratio=ratio(a, b),
        against_itself=ratio(a, again),
        a_answers_right=all_right([part.a_answers_right for part in parts]),
        b_answers_right=all_right([part.b_answers_right for part in parts]),
        problems=(*unsteady, *conditions.problems),
        environment=replace(first.environment, processes=len(parts)),
        conditions=conditions,
    )


def told_apart(a: str, b: str) -> tuple[str, str]:
    """The names of the two targets, so that a reader can tell which is meant."""
    return (a, b) if a != b else (f"{a} (a)", f"{b} (b)")


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


def times(value: float, low: float, high: float, which: str, than: str) -> str:
    places = 2 if value >= 1.1 else 3
    return f"{value:.{places}f}x {which} than {than} (99% interval {low:.{places}f} to {high:.{places}f})"


def percent(part: float) -> str:
    return f"{part:.1%}" if part < 0.1 else f"{part:.0%}"
