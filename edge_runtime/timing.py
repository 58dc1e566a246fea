"""The timing core: the clock, interleaved blocks, percentiles and ratios with their intervals.

Belongs here: what `tune`, converters, server and benchmarks all need to time two things honestly, with numpy alone.
Not here: what is measured, on which machine, and how it is shown (benchmarks/). `import edge_runtime` does not load it.
Imported as edge_runtime.timing. The method: order statistics for percentiles, paired block bootstrap for ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle, repeat
from math import ceil
from time import perf_counter_ns
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import EdgeError

__all__ = [
    "BLOCK_NS",
    "Call",
    "Estimate",
    "NeedsMoreSamples",
    "calibrate",
    "interleave",
    "interleave_blocks",
    "median_ratio",
    "own_cost_ns",
    "percentile",
    "rotate",
    "samples_needed",
    "time_block",
    "time_each",
]

T = TypeVar("T")
Call = Callable[[], object]
Nanoseconds = NDArray[np.int64]

BLOCK_NS = 3_500_000  # long against the clock's 50 ns, short against the drift of a machine
EARLY_STOPPING = 0.01  # MLPerf judges a percentile at 99% confidence, and so do we
RESAMPLES = 4_000
FEWEST_ROUNDS = 10
LARGEST_DRAW = 2_000_000  # resampled values held at once: 16 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval: ``low`` ≤ ``value`` ≤ ``high``, all in ``unit``."""

    value: float
    low: float
    high: float
    unit: str


class NeedsMoreSamples(EdgeError, ValueError):
    """A percentile was asked of too few samples; ``more`` says how many are missing."""

    def __init__(self, percent: float, *, have: int, need: int) -> None:
        self.percent, self.have, self.more = percent, have, need - have
        super().__init__(
            f"p{percent:g} needs {need - have:,} more samples: {have:,} are there; expected at least {need:,}"
        )


def rotate(function: Callable[[T], object], items: Iterable[T]) -> Call:
    """The call that gives ``function`` the next of ``items`` each time, for ever. Raises ValueError if there is none.

    One row repeated flatters branch prediction by up to 1.8x, so whoever times a model rotates its rows. The rotation
    itself is C and costs about 10 ns more than repeating one row. ``items`` are held by reference; one thread per call.
    """
    held = tuple(items)
    if not held:
        raise ValueError("there is nothing to rotate; expected one item or more")
    return map(function, cycle(held)).__next__


def time_each(call: Call, into: Nanoseconds) -> None:
    """Call once per element of ``into`` [n] and store each latency in ns, in order."""
    clock = perf_counter_ns
    for i in range(len(into)):
        start = clock()
        call()
        into[i] = clock() - start


def time_block(call: Call, calls: int) -> int:
    """The ns that ``calls`` calls in a row take, loop included."""
    start = perf_counter_ns()
    for _ in repeat(None, calls):
        call()
    return perf_counter_ns() - start


def own_cost_ns() -> float:
    """What `time_each` adds to each latency, in ns: the median it reports of a call that does nothing."""
    into = np.empty(10_000, np.int64)
    time_each(nothing, into)
    return float(np.median(into))


def nothing() -> None:
    """The empty call."""


def calibrate(call: Call, lasting_ns: int) -> tuple[int, float]:
    """Warm ``call`` up in doubling blocks until one lasts ``lasting_ns``: (calls made, ns per call in the last one)."""
    call()  # the first call pays for allocations and says nothing of the rest
    made, calls = 1, 1
    while True:
        block = time_block(call, calls)
        made += calls
        if block >= lasting_ns:
            return made, block / calls
        calls *= 2


def interleave(
    targets: Mapping[str, Call],
    *,
    rounds: int,
    calls: int | None = None,
    seed: int = 0,
    between: Call | None = None,
) -> dict[str, Nanoseconds]:
    """Time the targets side by side: name → int64 [rounds], the ns of one block of calls in each round.

    Every round runs each target once, in an order drawn anew, so that a drifting machine favours nobody. ``calls`` is
    the number of calls in a block, the same for all; left out, the targets are warmed up and it is chosen so that the
    slowest one's block lasts 2 to 5 ms (one call, if that takes longer). Targets rotate their rows (`rotate`).
    ``between`` is called after each round, untimed.

    Raises ValueError for no targets, no rounds or no calls.
    """
    if rounds < 1 or (calls is not None and calls < 1) or not targets:
        raise ValueError("expected one target, one round and one call or more")
    if calls is None:
        calls = max(1, round(BLOCK_NS / max(calibrate(call, BLOCK_NS)[1] for call in targets.values())))
    blocks = {name: partial(time_block, call) for name, call in targets.items()}
    return interleave_blocks(blocks, rounds=rounds, calls=calls, seed=seed, between=between)


def interleave_blocks(
    targets: Mapping[str, Callable[[int], int]], *, rounds: int, calls: int, seed: int = 0, between: Call | None = None
) -> dict[str, Nanoseconds]:
    """`interleave` for targets that time their own blocks, in other processes for instance: each takes ``calls`` and
    gives the ns of that block."""
    lanes = list(targets.values())
    taken = np.empty((len(lanes), rounds), np.int64)
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(len(lanes)), (rounds, 1)), axis=1).tolist()
    for i, order in enumerate(orders):
        for lane in order:
            taken[lane, i] = lanes[lane](calls)
        if between is not None:
            between()
    return dict(zip(targets, taken, strict=True))


def median_ratio(a: NDArray[Any], b: NDArray[Any], *, confidence: float = 0.99, seed: int = 0) -> Estimate:
    """median(a) / median(b) of two series [rounds] of one `interleave`, with its interval; unit "ratio".

    Paired block bootstrap: rounds are drawn in runs of neighbours, the same for both, so that what a whole round
    suffered (a drift, a busy neighbour) cancels and what lasts several rounds is not counted several times. Raises
    ValueError for fewer than 10 rounds or series of different length.
    """
    if a.ndim != 1 or a.shape != b.shape or len(a) < FEWEST_ROUNDS:
        raise ValueError(
            f"series of shapes {a.shape} and {b.shape}; expected two of one length, {FEWEST_ROUNDS} or more"
        )
    check_confidence(confidence)
    ratios = resampled_ratios(a, b, np.random.default_rng(seed))
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    value = float(np.median(a) / np.median(b))
    return Estimate(value, min(float(low), value), max(float(high), value), "ratio")


def resampled_ratios(a: NDArray[Any], b: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
    """RESAMPLES ratios of medians, each over rounds drawn in circular blocks of about the cube root of their number."""
    rounds = len(a)
    length = max(1, round(rounds ** (1 / 3)))
    blocks = ceil(rounds / length)
    ratios = np.empty(RESAMPLES)
    step = max(1, LARGEST_DRAW // (blocks * length))
    for first in range(0, RESAMPLES, step):
        part = ratios[first : first + step]
        starts = rng.integers(0, rounds, (len(part), blocks, 1))
        drawn = ((starts + np.arange(length)) % rounds).reshape(len(part), -1)[:, :rounds]
        part[:] = np.median(a[drawn], axis=1) / np.median(b[drawn], axis=1)
    return ratios


def samples_needed(percent: float, confidence: float = 0.95) -> int:
    """How many samples a percentile needs: MLPerf's early-stopping bound (p90 64, p99 662, p99.9 6,636), or more if
    the interval at ``confidence`` would otherwise have an open end."""
    share = check_percent(percent)
    check_confidence(confidence)
    rare = min(share, 1 - share)

    def enough(n: int) -> bool:
        none, one = (1 - rare) ** n, n * rare * (1 - rare) ** (n - 1)
        return none + one <= EARLY_STOPPING and none <= (1 - confidence) / 2

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def percentile(
    samples: NDArray[Any], percent: float, *, confidence: float = 0.95, unit: str = "ns", inflation: float = 1.0
) -> Estimate:
    """The percentile of ``samples`` [n] (nearest rank), with its order-statistic interval, in ``unit``.

    The interval runs from one sample to another, chosen by the binomial distribution: right for any distribution of
    independent samples, outliers and all. Calls in a row are not quite that: what changes slowly, or from process to
    process, is in it only as far as ``inflation`` says how many of them count as one (1 or more). Raises
    NeedsMoreSamples, and ValueError for a percentile outside (0, 100).
    """
    share, n = check_percent(percent), len(samples)
    need = samples_needed(percent, confidence)
    if n < need:
        raise NeedsMoreSamples(percent, have=n, need=need)
    counted = max(1, int(n / inflation))
    below = binomial_cdf(counted, share)  # below[k] = P(at most k samples lie below the true percentile)
    tail = (1 - confidence) / 2
    low = int(np.searchsorted(below, tail, side="right"))  # ranks count from 1
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    if counted < n:  # the ranks of few as those of many
        low, high = (int(each * (n + 1) / (counted + 1)) for each in (low, high))
    rank = max(1, ceil(n * share - 1e-9))
    ranks = [max(1, min(low, rank)) - 1, rank - 1, min(n, max(high, rank)) - 1]
    ordered = np.partition(samples, sorted(set(ranks)))
    bottom, value, top = (float(ordered[index]) for index in ranks)
    return Estimate(value, bottom, top, unit)


def binomial_cdf(n: int, share: float) -> NDArray[np.float64]:
    """P(X ≤ k) for k = 0 … n, X binomial. Float64 [n + 1]."""
    logs = np.zeros(n + 1)
    np.cumsum(np.log(np.arange(1, n + 1)), out=logs[1:])
    k = np.arange(n + 1)
    chances = np.exp(logs[n] - logs - logs[::-1] + k * np.log(share) + (n - k) * np.log1p(-share))
    return np.cumsum(chances).clip(max=1.0)


def check_percent(percent: float) -> float:
    if not 0 < percent < 100:
        raise ValueError(f"percentile {percent!r}; expected a number between 0 and 100, both excluded")
    return percent / 100


def check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence!r}; expected a number between 0 and 1, both excluded")
