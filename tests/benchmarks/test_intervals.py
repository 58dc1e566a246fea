"""Intervals of samples that depend on one another: they agree with scipy, and hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal, stats

from edge_runtime.benchmarks.intervals import (
    dependence,
    mean_of,
    paired_ratio,
    percentile_of,
    ratio_of,
    split,
    student,
    studentised,
)
from edge_runtime.timing import Estimate, NeedsMoreSamples, median_ratio, percentile

Sample = NDArray[np.float64]
RNG = np.random.default_rng


class Bimodal(stats.rv_continuous):  # type: ignore[misc]
    """Seven calls in ten take about 1 µs, the rest about 3 µs."""

    def _cdf(self, x: Sample) -> Sample:
        return np.asarray(0.7 * stats.norm(1000, 30).cdf(x) + 0.3 * stats.norm(3000, 50).cdf(x))


# What latencies look like, each with its own quantiles and mean.
LATENCIES = {
    "busy loop": stats.norm(10_000, 50),
    "bimodal": Bimodal(a=0, b=10_000)(),
    "long tail": stats.lognorm(1.0, scale=1000),
    "heavy tail": stats.pareto(3.5, scale=1000),
}


def drawn(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> Sample:
    if name == "bimodal":
        return np.where(rng.random(shape) < 0.7, rng.normal(1000, 30, shape), rng.normal(3000, 50, shape))
    return np.asarray(LATENCIES[name].rvs(size=shape, random_state=rng))


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 19, 200])
def test_students_quantiles_are_scipys(freedom: int) -> None:
    """Within 0.02%, on both sides."""
    for share in (0.005, 0.025, 0.9, 0.975, 0.995):
        assert student(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=2e-4)


@pytest.mark.parametrize("percent", [50, 90, 99])
@pytest.mark.parametrize("name", LATENCIES)
def test_percentiles_hold_the_truth_as_often_as_they_say(name: str, percent: float) -> None:
    """Of 1,000 simulated runs, at least 93% have the true percentile within their 95% interval."""
    truth = LATENCIES[name].ppf(percent / 100)
    found = [percentile_of(run, percent, (800,)) for run in drawn(name, RNG(7), (1_000, 800))]
    assert sum(each.low <= truth <= each.high for each in found) >= 930


@pytest.mark.parametrize("name", LATENCIES)
def test_means_hold_the_truth_as_often_as_they_say(name: str) -> None:
    """Of 1,000 simulated runs, at least 93% have the true mean within their 95% interval."""
    truth = 1600 if name == "bimodal" else LATENCIES[name].mean()
    found = [mean_of(run, (800,)) for run in drawn(name, RNG(8), (1_000, 800))]
    assert sum(each.low <= truth <= each.high for each in found) >= 930


def alike(rng: np.random.Generator, n: int) -> Sample:
    """Calls that resemble those before them (correlation 0.9): a machine whose speed wanders. Median 1000."""
    steps = rng.normal(0, np.sqrt(1 - 0.9**2), n + 300)
    return np.asarray(1000 * np.exp(0.2 * signal.lfilter([1], [1, -0.9], steps)[300:]))


def test_neighbours_that_are_alike_widen_the_interval() -> None:
    """Of 500 such runs, 93% hold the truth; order statistics that take the calls as independent miss it half the time."""
    runs = [alike(RNG([3, seed]), 4_000) for seed in range(500)]
    for percent in (50, 90):
        truth = 1000 * np.exp(0.2 * stats.norm.ppf(percent / 100))
        ours = [percentile_of(run, percent, (4_000,)) for run in runs]
        naive = [percentile(run, percent) for run in runs]
        assert sum(each.low <= truth <= each.high for each in ours) >= 465
        assert sum(each.low <= truth <= each.high for each in naive) < 350


@pytest.mark.parametrize("processes", [3, 5, 10])
def test_processes_that_differ_widen_the_interval(processes: int) -> None:
    """Each process has a level of its own (3%): of 500 runs, 93% hold the true median and the true mean."""
    held = np.zeros(2)
    for seed in range(500):
        rng = RNG([5, seed])
        levels = np.exp(rng.normal(0, 0.03, processes))
        run = (levels[:, None] * rng.normal(1000, 10, (processes, 200))).ravel()
        for i, found in enumerate((percentile_of(run, 50, (200,) * processes), mean_of(run, (200,) * processes))):
            held[i] += found.low <= 1000 <= found.high
    assert held.min() >= 465


def test_independent_samples_count_as_themselves() -> None:
    """No more than a fifth is added to the interval of samples that do not depend on one another, on average."""
    runs = RNG(6).gamma(20, size=(200, 1_000))
    assert np.mean([np.sqrt(dependence(run, 90, (1_000,))) for run in runs]) < 1.2


def test_a_mean_of_few_batches_holds_the_truth() -> None:
    """Of 500 offline runs of 16 batches, 93% hold the true mean."""
    runs = RNG(11).gamma(20, size=(500, 16))
    assert sum(found.low <= 20 <= found.high for found in (mean_of(run, (16,)) for run in runs)) >= 465


def test_equal_samples_have_no_width() -> None:
    """A clock that always says the same gives a point, not a division by zero."""
    same = np.full(800, 5_000)
    assert percentile_of(same, 90, (400, 400)) == Estimate(5_000.0, 5_000.0, 5_000.0, "ns")
    assert mean_of(same, (400, 400)) == Estimate(5_000.0, 5_000.0, 5_000.0, "ns")


def test_too_few_samples_are_said_to_be() -> None:
    """As for independent ones; and a mean takes sixteen."""
    with pytest.raises(NeedsMoreSamples, match="p99 needs 562 more samples"):
        percentile_of(np.arange(100), 99, (100,))
    with pytest.raises(ValueError, match="15 samples; expected 16 or more"):
        mean_of(np.arange(15), (15,))


def test_the_bootstrap_of_means_is_scipys() -> None:
    """On symmetric samples, the studentised interval is as wide as scipy's BCa."""
    means = RNG(4).normal(100, 5, 40)
    low, high = studentised(means, 0.95, RNG(0))
    expected = stats.bootstrap((means,), np.mean, n_resamples=4_000, rng=RNG(0)).confidence_interval
    assert high - low == pytest.approx(expected.high - expected.low, rel=0.15)


def test_a_ratio_of_two_figures_holds_the_truth_as_often_as_it_says() -> None:
    """Of 500 pairs of separate runs, 93% have the true ratio of their medians within."""
    held = 0
    for seed in range(500):
        rng = RNG([9, seed])
        a, b = 2_000 * rng.lognormal(0, 0.5, 300), 1_000 * rng.lognormal(0, 0.2, 500)
        found = ratio_of(percentile_of(a, 50, (300,)), percentile_of(b, 50, (500,)))
        assert found.low <= found.value <= found.high
        held += found.low <= 2 <= found.high
    assert held >= 465


def test_a_ratio_of_figures_around_zero_is_refused() -> None:
    """It has no logarithm."""
    with pytest.raises(ValueError, match="above 0"):
        ratio_of(Estimate(1, 0, 2, "ns"), Estimate(1, 1, 1, "ns"))


def test_paired_rounds_of_one_process_are_the_cores_own() -> None:
    """Nothing is added where there is nothing to add."""
    a, b = RNG(1).gamma(9, size=(2, 60))
    assert paired_ratio(a, b, (60,)) == median_ratio(a, b)


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_paired_rounds_of_processes_hold_the_truth(spread: float) -> None:
    """With processes that differ in the ratio by 2%, or do not: 100 comparisons, 99% intervals, 96% hold it."""
    held = 0
    for seed in range(100):
        rng = RNG([12, seed])
        ratios = 1.05 * np.exp(rng.normal(0, spread, 10))
        b = rng.normal(1000, 10, (10, 30))
        a = ratios[:, None] * rng.normal(1000, 10, (10, 30))
        found = paired_ratio(a.ravel(), b.ravel(), (30,) * 10, seed=seed)
        held += found.low <= 1.05 <= found.high
    assert held >= 96


def test_samples_are_split_by_process() -> None:
    """In order, whatever each gave."""
    assert [part.tolist() for part in split(np.arange(6), (1, 3, 2))] == [[0], [1, 2, 3], [4, 5]]
