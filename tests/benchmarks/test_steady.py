"""The end of a warm-up: the test is Pettitt's, finds changes where ruptures does, and is rarely alarmed by noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import ruptures
from scipy import stats

from edge_runtime.benchmarks.steady import WINDOW, change_point, is_steady, warm_up

from .conftest import Clock


def test_the_statistic_is_scipys_mann_whitney_at_every_split() -> None:
    """Pettitt's walk is the rank test of the part before against the part behind, at its most extreme split."""
    series = np.random.default_rng(1).normal(size=25).round(1)  # with ties
    n = len(series)
    walk = []
    for k in range(1, n):
        found = stats.mannwhitneyu(series[:k], series[k:]).statistic
        walk.append(2 * found - k * (n - k))
    place, chance = change_point(series)
    assert place == 1 + int(np.abs(walk).argmax())
    assert chance == pytest.approx(min(1.0, 2 * np.exp(-6 * max(np.abs(walk)) ** 2 / (n**3 + n**2))))


@pytest.mark.parametrize("size", [0.5, 0.05])
def test_a_change_is_found_where_ruptures_finds_it(size: float) -> None:
    """Of 100 series with one step, 90 are placed within two blocks of where ruptures' binary segmentation does."""
    near = 0
    for seed in range(100):
        rng = np.random.default_rng([2, seed])
        series = rng.normal(1, 0.01, 40)
        series[int(rng.integers(10, 30)) :] += size
        theirs = ruptures.Binseg(model="l2", min_size=1, jump=1).fit(series).predict(n_bkps=1)[0]
        near += abs(change_point(series)[0] - theirs) <= 2
    assert near >= 90


def test_noise_is_rarely_taken_for_a_change() -> None:
    """Of 1,000 steady series, at most 1% look changed at the level of 1%, whatever their distribution."""
    rng = np.random.default_rng(3)
    for series in (rng.normal(1, 0.3, (1_000, WINDOW)), rng.lognormal(0, 1, (1_000, WINDOW))):
        assert sum(change_point(each)[1] < 0.01 for each in series) <= 10


def test_a_change_that_does_not_matter_is_steady() -> None:
    """One per cent, however sure, is no warm-up; five are."""
    rng = np.random.default_rng(4)
    for size, steady in ((0.01, True), (0.05, False), (-0.05, False)):
        series = rng.normal(1, 0.0005, WINDOW)
        series[WINDOW // 2 :] *= 1 + size
        assert is_steady(series) is steady


def test_a_series_that_is_no_series_is_steady() -> None:
    """Nothing changes in one value, or in none."""
    assert change_point(np.array([1.0])) == (0, 1.0)
    assert change_point(np.array([])) == (0, 1.0)
    assert is_steady(np.full(20, 7.0))


def slow_start(clock: Clock, settles_ns: float, first: float = 3.0) -> Callable[[], None]:
    """A call of 100 µs, and ``first`` times as much in the beginning, falling exponentially; with 1% of noise."""
    rng = np.random.default_rng(5)

    def call() -> None:
        clock.spend(100_000 * (1 + (first - 1) * np.exp(-clock.now / settles_ns)) * rng.normal(1, 0.01))

    return call


@pytest.mark.parametrize("settles_ms", [1, 20, 100])
def test_a_warm_up_lasts_until_the_calls_are_steady(clock: Clock, settles_ms: int) -> None:
    """However long they take to settle, what a call takes afterwards is within 3% of where it ends."""
    warm = warm_up(slow_start(clock, settles_ms * 1e6))
    assert warm.steady
    assert warm.call_ns == pytest.approx(100_000, rel=0.03)
    assert clock.now > 3 * settles_ms * 1e6
    assert len(warm.block_ns) >= WINDOW
    assert not warm.block_ns.flags.writeable


def test_calls_that_never_settle_are_said_not_to(clock: Clock) -> None:
    """After three seconds it is given up, and told."""
    rng = np.random.default_rng(6)
    warm = warm_up(lambda: clock.spend(100_000 * (1 + clock.now / 1e9) * rng.normal(1, 0.01)))
    assert not warm.steady
    assert 3e9 <= clock.now < 4e9


def test_slow_calls_are_not_warmed_up_for_ever(clock: Clock) -> None:
    """Sixteen calls of half a second do."""
    warm = warm_up(lambda: clock.spend(500_000_000))
    assert warm.steady
    assert warm.calls <= 18


def test_every_call_of_a_warm_up_is_counted(clock: Clock) -> None:
    """Those of the first, short blocks included."""
    made = 0

    def call() -> None:
        nonlocal made
        made += 1
        clock.spend(1_000)

    assert warm_up(call).calls == made
