"""The timing core: its figures agree with scipy, and its intervals hold the truth as often as they say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from edge_runtime import timing
from edge_runtime.errors import EdgeError
from edge_runtime.timing import Estimate, NeedsMoreSamples

Sample = NDArray[np.float64]


# Distributions that latencies have, each with its own quantile function.
LATENCIES = {
    "gamma": stats.gamma(20),
    "heavy tail": stats.pareto(1.5),
    "long tail": stats.lognorm(1.0),
}


@pytest.mark.parametrize(("percent", "count"), [(50, 11), (90, 64), (99, 662), (99.9, 6636)])
def test_a_percentile_needs_the_samples_of_mlperfs_early_stopping(percent: float, count: int) -> None:
    """The bound is the published one: it is met at ``count`` samples, and one fewer is refused."""
    assert timing.samples_needed(percent) == count
    timing.percentile(np.arange(count), percent)
    with pytest.raises(NeedsMoreSamples, match=f"p{percent} needs 1 more samples") as caught:
        timing.percentile(np.arange(count - 1), percent)
    assert (caught.value.more, caught.value.have, caught.value.percent) == (1, count - 1, percent)
    assert isinstance(caught.value, EdgeError)


def test_a_low_percentile_needs_as_many_as_its_mirror() -> None:
    """The first percentile is as rare as the last."""
    assert timing.samples_needed(1) == timing.samples_needed(99)


def test_a_wide_interval_needs_more_samples_than_mlperf_asks() -> None:
    """At a confidence where 64 samples leave p90's interval open, more are needed."""
    need = timing.samples_needed(90, confidence=0.9999)
    assert need > 64
    assert 0.9**need <= 0.00005 < 0.9 ** (need - 1)


@pytest.mark.parametrize("percent", [0, 100, -1, 250, float("nan")])
def test_an_impossible_percentile_is_refused(percent: float) -> None:
    """Percentiles lie between 0 and 100."""
    with pytest.raises(ValueError, match="expected a number between 0 and 100"):
        timing.percentile(np.arange(10_000), percent)


@pytest.mark.parametrize("confidence", [0, 1, 99])
def test_an_impossible_confidence_is_refused(confidence: float) -> None:
    """Confidence is a part of 1, not a percentage."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        timing.percentile(np.arange(10_000), 50, confidence=confidence)


@pytest.mark.parametrize("n", [64, 662, 20_000])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.9, 0.999])
def test_the_binomial_distribution_is_scipys(n: int, share: float) -> None:
    """Summed from logarithms, it stays within 1e-9 of scipy's."""
    found = timing.binomial_cdf(n, share)
    assert np.abs(found - stats.binom.cdf(np.arange(n + 1), n, share)).max() < 1e-9


@pytest.mark.parametrize("percent", [10, 50, 90, 99])
@pytest.mark.parametrize("n", [700, 701, 5_000])
def test_a_percentiles_interval_is_scipys(percent: float, n: int) -> None:
    """The order statistics chosen are those of scipy's quantile test, inverted."""
    samples = np.random.default_rng(n).lognormal(size=n)
    found = timing.percentile(samples, percent)
    expected = stats.quantile_test(samples, p=percent / 100).confidence_interval(0.95)
    assert (found.low, found.high) == (expected.low, expected.high)
    assert found.value == np.quantile(samples, percent / 100, method="inverted_cdf")


@pytest.mark.parametrize("percent", [50, 90, 99])
@pytest.mark.parametrize("name", LATENCIES)
def test_percentile_intervals_hold_the_truth_as_often_as_they_say(name: str, percent: float) -> None:
    """Of 1,000 simulated runs, at least 93% have the true percentile within their 95% interval."""
    latency = LATENCIES[name]
    truth = latency.ppf(percent / 100)
    runs = latency.rvs(size=(1_000, 800), random_state=np.random.default_rng(7))
    found = [timing.percentile(run, percent) for run in runs]
    assert sum(each.low <= truth <= each.high for each in found) >= 930


def test_samples_that_count_for_less_widen_the_interval() -> None:
    """Where four count as one, the ranks lie as far apart as those of a quarter of the samples, about the same value."""
    samples = np.random.default_rng(3).permutation(np.arange(1, 4_001))
    all_of_them, fourth = timing.percentile(samples, 50), timing.percentile(samples, 50, inflation=4.0)
    assert fourth.value == all_of_them.value
    assert (fourth.high - fourth.low) / (all_of_them.high - all_of_them.low) == pytest.approx(2.0, rel=0.05)
    assert timing.percentile(samples, 50, inflation=1e9).high == 4_000


def test_an_estimate_keeps_its_unit_and_its_order() -> None:
    """The value lies within its interval, even where all samples are equal, and cannot be changed."""
    found = timing.percentile(np.full(64, 5), 90, unit="µs")
    assert found == Estimate(5.0, 5.0, 5.0, "µs")
    with pytest.raises(AttributeError):
        found.value = 1.0  # type: ignore[misc]


def quiet(rng: np.random.Generator, rounds: int) -> Sample:
    """Noise of 1%, each block by itself. [2, rounds]"""
    return rng.normal(1, 0.01, (2, rounds))


def drifting(rng: np.random.Generator, rounds: int) -> Sample:
    """A machine that grows slower and faster as it likes, for both alike. [2, rounds]"""
    return np.exp(np.cumsum(rng.normal(0, 0.01, rounds))) * quiet(rng, rounds)


def neighboured(rng: np.random.Generator, rounds: int) -> Sample:
    """A neighbour takes a third of the machine for ten blocks, leaves for twenty; order drawn anew. [2, rounds]"""
    busy = np.zeros(2 * rounds, bool)
    at = 0
    while at < 2 * rounds:
        at += rng.geometric(1 / 20)
        lasts = rng.geometric(1 / 10)
        busy[at : at + lasts] = True
        at += lasts
    blocks = np.where(busy, 1.5, 1.0).reshape(rounds, 2) * rng.normal(1, 0.01, (rounds, 2))
    return rng.permuted(blocks, axis=1).T


@pytest.mark.parametrize("noise", [quiet, drifting, neighboured])
def test_ratio_intervals_hold_the_truth_as_often_as_they_say(noise: Callable[..., Sample]) -> None:
    """Of 300 simulated comparisons, at least 93% have the true ratio within their 95% interval."""
    held = 0
    for seed in range(300):
        a, b = noise(np.random.default_rng([11, seed]), 60)
        found = timing.median_ratio(a, 0.7 * b, confidence=0.95, seed=seed)
        held += found.low <= 1 / 0.7 <= found.high
    assert held >= 279


def test_a_ratios_interval_is_as_wide_as_scipys_bootstrap() -> None:
    """On independent rounds, blocks change nothing: scipy's paired bootstrap gives the same interval."""
    a, b = np.random.default_rng(5).gamma(20, size=(2, 400))

    def ratio(a: Sample, b: Sample, axis: int) -> Sample:
        return np.asarray(np.median(a, axis=axis) / np.median(b, axis=axis))

    rng = np.random.default_rng(3)
    expected = stats.bootstrap(
        (a, b), ratio, paired=True, n_resamples=4_000, confidence_level=0.95, method="percentile", rng=rng
    ).confidence_interval
    found = timing.median_ratio(a, b, confidence=0.95)
    assert found.value == np.median(a) / np.median(b)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.2)


def test_what_a_whole_round_suffers_cancels() -> None:
    """A machine that slows down threefold leaves the interval at 2%; rounds torn apart make it ten times as wide."""
    rng = np.random.default_rng(2)
    drift = np.linspace(1, 3, 200)
    a, b = drift * rng.normal(1, 0.005, 200), 2 * drift * rng.normal(1, 0.005, 200)
    paired, torn = timing.median_ratio(a, b), timing.median_ratio(a, rng.permutation(b))
    assert 0.49 < paired.low < 0.5 < paired.high < 0.51
    assert torn.high - torn.low > 10 * (paired.high - paired.low)


def test_a_ratio_is_the_same_for_the_same_seed() -> None:
    """Figures can be had again from stored samples, also where the draw is made in parts."""
    a, b = np.random.default_rng(1).gamma(9, size=(2, 2_000))
    assert timing.median_ratio(a, b, seed=4) == timing.median_ratio(a, b, seed=4)
    assert timing.median_ratio(a, b, seed=4) != timing.median_ratio(a, b, seed=5)


@pytest.mark.parametrize("shapes", [((9,), (9,)), ((20,), (21,)), ((20, 2), (20, 2))])
def test_series_that_are_no_pair_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Two series of one length, ten rounds at least."""
    with pytest.raises(ValueError, match="expected two of one length, 10 or more"):
        timing.median_ratio(np.ones(shapes[0]), np.ones(shapes[1]))


def test_rotation_gives_each_item_in_turn() -> None:
    """The call hands over the next item each time, from the first again after the last, and passes the answer on."""
    call = timing.rotate(str.upper, ["a", "b", "c"])
    assert [call() for _ in range(7)] == ["A", "B", "C", "A", "B", "C", "A"]


def test_nothing_cannot_be_rotated() -> None:
    """Without rows there is no call."""
    with pytest.raises(ValueError, match="nothing to rotate"):
        timing.rotate(str.upper, [])


def test_each_call_is_timed_by_itself_and_in_order() -> None:
    """One call per element; a stall shows at its place."""
    made: list[int] = []

    def call() -> None:
        made.append(len(made))
        until = perf_counter_ns() + 2_000_000 * (len(made) == 3)
        while perf_counter_ns() < until:
            pass

    into = np.zeros(5, np.int64)
    timing.time_each(call, into)
    assert len(made) == 5
    assert (into > 0).all()
    assert into[2] >= 2_000_000


def test_the_clocks_own_cost_is_measured() -> None:
    """It is a positive number of nanoseconds."""
    assert timing.own_cost_ns() > 0


def test_warming_up_ends_with_a_block_that_lasts() -> None:
    """The calls made are counted, the first one included, and blocks double: 1 + (1 + 2 + … + 2^k)."""
    made: list[None] = []
    calls, per_call = timing.calibrate(lambda: made.append(None), 200_000)
    assert calls == len(made)
    assert calls.bit_count() == 1
    assert per_call * (calls // 2) >= 200_000


def test_interleaving_runs_everyone_once_a_round_in_changing_order() -> None:
    """Each round has one block of each target, and over twenty rounds the order is not always the same."""
    log: list[str] = []
    targets = {name: timing.rotate(log.append, [name]) for name in "abc"}
    taken = timing.interleave(targets, rounds=20, calls=2, seed=1)
    rounds = ["".join(log[i : i + 6 : 2]) for i in range(0, 120, 6)]
    assert len(log) == 120
    assert log[::2] == log[1::2]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 2
    assert list(taken) == ["a", "b", "c"]
    assert all(series.dtype == np.int64 and series.shape == (20,) and (series > 0).all() for series in taken.values())


def test_the_order_is_the_seeds() -> None:
    """The same seed gives the same order, another one another."""

    def order(seed: int) -> list[str]:
        log: list[str] = []
        timing.interleave({n: timing.rotate(log.append, [n]) for n in "abc"}, rounds=20, calls=1, seed=seed)
        return log

    assert order(3) == order(3) != order(4)


def test_calls_are_chosen_so_that_a_block_lasts() -> None:
    """A fast call is made many times in a block, as often as the other one."""
    counts = [0, 0]

    def count(which: int) -> None:
        counts[which] += 1

    taken = timing.interleave({"a": lambda: count(0), "b": lambda: count(1)}, rounds=3)
    assert min(counts) > 3 * 100
    assert (taken["a"] > 0).all()


def test_what_comes_between_rounds_is_not_timed() -> None:
    """It is called once after each of them, when all targets have had their turn."""
    log: list[str] = []
    targets = {name: timing.rotate(log.append, [name]) for name in "ab"}
    timing.interleave(targets, rounds=3, calls=1, between=lambda: log.append("|"))
    assert [sorted(part) for part in "".join(log).split("|")] == [["a", "b"]] * 3 + [[]]


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"rounds": 1, "calls": 0}])
def test_no_rounds_and_no_calls_are_refused(wrong: dict[str, Any]) -> None:
    """At least one of each."""
    with pytest.raises(ValueError, match="expected one target, one round and one call or more"):
        timing.interleave({"a": timing.nothing}, **wrong)


def test_the_timing_core_is_loaded_only_when_named() -> None:
    """`import edge_runtime` leaves it out, and it brings neither scipy nor onnxruntime with it by itself."""
    code = """
import sys, edge_runtime
assert "edge_runtime.timing" not in sys.modules
before = set(sys.modules)
import edge_runtime.timing
new = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not new & {"scipy", "pandas", "onnx", "click", "rich", "statistics"}, new
"""
    subprocess.run([sys.executable, "-c", code], check=True)
