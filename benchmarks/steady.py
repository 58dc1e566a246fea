"""When a warm-up is over: a change-point test says that the series is steady, or that it never was.

Belongs here: the test, and warming a call up until it passes. Not here: what is measured afterwards (scenarios.py).
Imported as edge_runtime.benchmarks.steady. The test is held against scipy and ruptures by the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import Call, time_block

from .stored import frozen

__all__ = ["WarmUp", "change_point", "is_steady", "warm_up"]

BLOCK_NS = 3_500_000  # what a block of calls lasts, or one call that takes longer
WINDOW = 30  # blocks that have to be steady
FEWEST = 16  # where calls are so slow that WINDOW of them would take too long; fewer could never be significant
LONGEST_NS = 3_000_000_000
SIGNIFICANT = 0.01
RELEVANT = 0.02  # a change by less does not matter, however sure it is


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """``block_ns`` [blocks] is what a call took in each block, in order; ``calls`` were made; ``steady`` says whether
    the last blocks were; ``call_ns`` is what a call takes now."""

    block_ns: NDArray[np.float64]
    calls: int
    steady: bool
    call_ns: float


def warm_up(call: Call, *, longest_ns: int | None = None) -> WarmUp:
    """Call until the last half of the time is steady, 30 blocks of it or more; for ``longest_ns`` (3 s) at most. Fewer
    blocks do for slow calls."""
    longest = LONGEST_NS if longest_ns is None else longest_ns
    began = perf_counter_ns()
    made, calls, lasted = 1, 1, time_block(call, 1)
    blocks = [float(lasted)]
    while lasted < BLOCK_NS and perf_counter_ns() - began < longest:
        calls = min(calls * 2, max(calls + 1, int(calls * BLOCK_NS / max(lasted, 1))))
        lasted = time_block(call, calls)
        made += calls
        blocks.append(lasted / calls)
    window = int(min(WINDOW, max(FEWEST, longest / 3 / max(lasted, 1))))
    first = len(blocks)
    steady = False
    while not steady and (perf_counter_ns() - began < longest or len(blocks) - first < window):
        calls = max(1, round(BLOCK_NS / max(blocks[-1], 1)))
        for _ in range(max(1, window // 3) if len(blocks) - first >= window else window):
            blocks.append(time_block(call, calls) / calls)
            made += calls
        # What has taken long to settle has to be steady for as long.
        steady = is_steady(np.array(blocks[-max(window, len(blocks) // 2) :]))
    series = frozen(blocks, np.float64)
    return WarmUp(block_ns=series, calls=made, steady=steady, call_ns=float(np.median(series[-(window // 3) :])))


def is_steady(series: NDArray[Any]) -> bool:
    """Whether ``series`` [n] has no change point that is both significant (1%) and larger than 2%."""
    place, chance = change_point(series)
    if chance >= SIGNIFICANT:
        return True
    before, after = np.median(series[:place]), np.median(series[place:])
    return bool(abs(np.log(after / before)) <= RELEVANT) if min(before, after) > 0 else False


def change_point(series: NDArray[Any]) -> tuple[int, float]:
    """Where ``series`` [n] changes its level most clearly (the index of the first value behind it), and the chance that
    a series without a change looks as if it had one: Pettitt's test, which only looks at ranks. (0, 1.0) if n < 2."""
    n = len(series)
    if n < 2:
        return 0, 1.0
    ranks = 1 + (series[:, None] > series).sum(axis=1) + ((series[:, None] == series).sum(axis=1) - 1) / 2
    walk = 2 * np.cumsum(ranks)[:-1] - np.arange(1, n) * (n + 1)
    place = int(np.abs(walk).argmax())
    largest = float(abs(walk[place]))
    return place + 1, min(1.0, 2 * float(np.exp(-6 * largest**2 / (n**3 + n**2))))
