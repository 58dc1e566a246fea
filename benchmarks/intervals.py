"""Intervals for samples that are not independent: neighbours that are alike, and processes that differ.

Belongs here: percentiles, means and ratios of series that come in order, from one process or several. Not here: the
rules for independent samples and for the rounds of one interleaved run (edge_runtime.timing).
Imported as edge_runtime.benchmarks.intervals. Needs numpy only; held against scipy by the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, pi, sqrt, tan
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import Estimate, median_ratio, percentile

__all__ = ["dependence", "mean_of", "paired_ratio", "percentile_of", "ratio_of", "reach", "split", "student"]

Series = NDArray[Any]
STRETCHES = (20, 10)  # whose spread tells how much neighbours are alike; longer ones see what lasts longer
MEAN_STRETCHES = 20
FEWEST_STRETCHES = 8
SHORTEST = 8  # samples of a stretch whose share is taken
FEWEST_FOR_A_MEAN = 16
RESAMPLES = 2_000


def student(share: float, freedom: int) -> float:
    """The quantile of Student's distribution (Hill 1970, and the closed forms for one and two degrees of freedom)."""
    if share < 0.5:
        return -student(1 - share, freedom)
    tails = 2 * (1 - share)  # both together
    if freedom == 1:
        return 1 / tan(tails * pi / 2)
    if freedom == 2:
        return sqrt(2 / (tails * (2 - tails)) - 2)
    n = float(freedom)
    a = 1 / (n - 0.5)
    b = (48 / a) / a
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * pi / 2) * n
    y = (d * tails) ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(share)
        y = x * x
        c += 0.3 * (n - 4.5) * (x + 0.6) if n < 5 else 0
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = float(np.expm1(a * y * y))
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (
            n + 2
        ) + 1 / y
    return sqrt(n * y)


def reach(ratio: Estimate) -> float:
    """How far from 1 a ratio's interval reaches, as a part of 1, either way."""
    return max(ratio.high, 1 / ratio.low) - 1


def split(samples: Series, sizes: Sequence[int]) -> list[Series]:
    """The samples of each process; ``sizes`` are how many each gave, in order."""
    return np.split(samples, np.cumsum(sizes)[:-1])


def dependence(samples: Series, percent: float, sizes: Sequence[int], *, confidence: float = 0.95) -> float:
    """How many samples of this series count as one independent one, for the interval of a percentile; 1 or more.

    Measured on the shares below the percentile in stretches of each process, which may spread more than those of
    independent samples would. That the spread is itself known only roughly is counted in.
    """
    below = samples <= np.quantile(samples, percent / 100, method="inverted_cdf")
    share = float(below.mean())
    if not 0 < share < 1:
        return 1.0
    found = [inflation(stretches(below, sizes, count), share, len(sizes), confidence) for count in STRETCHES]
    return max(1.0, *found)


def inflation(groups: Sequence[Series], share: float, parts: int, confidence: float) -> float:
    """The variance of the groups' shares within each of ``parts`` processes over that of independent samples, larger
    the fewer groups it is known of; 1 if they are too few."""
    if len(groups) < FEWEST_STRETCHES:
        return 1.0
    # Each process has a level of its own, which is not the stretches' doing: reach_of_processes sees to that.
    shares = [np.array([group.mean() for group in part]) for part in grouped(groups, parts)]
    freedom = len(groups) - parts
    variance = sum(float(((each - each.mean()) ** 2).sum()) for each in shares) / freedom
    each = sum(map(len, groups)) / len(groups)
    return variance * each / (share * (1 - share)) * widening(freedom, confidence) ** 2


def stretches(samples: Series, sizes: Sequence[int], count: int, shortest: int = SHORTEST) -> list[Series]:
    """About ``count`` stretches of neighbours, as many of each process (2 or more), of ``shortest`` samples or more;
    fewer where there are too few samples."""
    each = min(max(2, ceil(count / len(sizes))), max(1, min(sizes) // shortest))
    return [stretch for part in split(samples, sizes) for stretch in np.array_split(part, each)]


def grouped(groups: Sequence[Series], parts: int) -> list[Sequence[Series]]:
    each = len(groups) // parts
    return [groups[start : start + each] for start in range(0, len(groups), each)]


def widening(freedom: int, confidence: float) -> float:
    """Student's quantile over the normal one: what not knowing the spread costs."""
    share = (1 + confidence) / 2
    return student(share, freedom) / NormalDist().inv_cdf(share)


def reach_of_processes(figures: Sequence[float], confidence: float) -> float:
    """The factor by which the mean of more processes' ``figures`` may lie off, either way, by Student's distribution of
    their logarithms; 1 for a single process."""
    if len(figures) < 2:
        return 1.0
    spread = float(np.std(np.log(np.maximum(figures, 1e-300)), ddof=1))
    return exp(min(700.0, student((1 + confidence) / 2, len(figures) - 1) * spread / sqrt(len(figures))))


def widened(estimate: Estimate, factor: float) -> Estimate:
    """``estimate`` with an interval that reaches ``factor`` times its value, up and down, or farther."""
    value = estimate.value
    return Estimate(value, min(estimate.low, value / factor), max(estimate.high, value * factor), estimate.unit)


def percentile_of(
    samples: Series, percent: float, sizes: Sequence[int], *, confidence: float = 0.95, unit: str = "ns"
) -> Estimate:
    """`edge_runtime.timing.percentile`, whose ranks lie as much further apart as neighbours are alike; from several
    processes, the interval also holds what their own percentiles allow."""
    if not 0 < percent < 100 or not len(samples):
        return percentile(samples, percent, confidence=confidence, unit=unit)  # which says what is wrong
    counted = dependence(samples, percent, sizes, confidence=confidence)
    found = percentile(samples, percent, confidence=confidence, unit=unit, inflation=counted)
    each = [float(np.quantile(part, percent / 100, method="inverted_cdf")) for part in split(samples, sizes)]
    return widened(found, reach_of_processes(each, confidence))


def mean_of(
    samples: Series, sizes: Sequence[int], *, confidence: float = 0.95, unit: str = "ns", seed: int = 0
) -> Estimate:
    """The mean of positive ``samples`` with its interval: a studentised bootstrap over stretches, on logarithms, as
    latencies are skewed; from several processes, also what their own means allow. Raises ValueError for fewer than 16
    samples in all."""
    if len(samples) < FEWEST_FOR_A_MEAN:
        raise ValueError(f"{len(samples)} samples; expected {FEWEST_FOR_A_MEAN} or more")
    value = float(samples.mean())
    means = np.array([stretch.mean() for stretch in stretches(samples, sizes, MEAN_STRETCHES, 1)])
    low, high = studentised(means, confidence, np.random.default_rng(seed))
    found = Estimate(value, min(low, value), max(high, value), unit)
    return widened(found, reach_of_processes([float(part.mean()) for part in split(samples, sizes)], confidence))


def studentised(means: NDArray[np.float64], confidence: float, rng: np.random.Generator) -> tuple[float, float]:
    """The bootstrap-t interval for the mean behind ``means`` [n], all positive, on logarithms."""
    n, centre = len(means), float(means.mean())
    error = float(means.std(ddof=1)) / sqrt(n) / centre
    if error == 0:
        return centre, centre
    drawn = means[rng.integers(0, n, (RESAMPLES, n))]
    centres = drawn.mean(axis=1)
    errors = drawn.std(axis=1, ddof=1) / sqrt(n) / centres
    kept = errors > error * 1e-6  # a draw of one stretch alone says nothing of the spread
    scores = np.log(centres[kept] / centre) / errors[kept]
    low, high = np.quantile(scores, [(1 - confidence) / 2, (1 + confidence) / 2])
    return centre * exp(-max(-700.0, min(700.0, float(high) * error))), centre * exp(min(700.0, -float(low) * error))


def ratio_of(above: Estimate, below: Estimate) -> Estimate:
    """The ratio of two figures from separate runs, with the interval that theirs make (Zou and Donner's recovery of
    variances, on logarithms); unit "ratio"."""
    if min(above.low, below.low) <= 0:
        raise ValueError("expected figures whose intervals lie above 0")
    a, b = np.log([above.low, above.value, above.high]), np.log([below.low, below.value, below.high])
    centre = a[1] - b[1]
    low = centre - np.hypot(a[1] - a[0], b[2] - b[1])
    high = centre + np.hypot(a[2] - a[1], b[1] - b[0])
    low, value, high = (float(number) for number in np.exp([low, centre, high]))
    return Estimate(value, low, high, "ratio")


def paired_ratio(a: Series, b: Series, sizes: Sequence[int], *, confidence: float = 0.99, seed: int = 0) -> Estimate:
    """`edge_runtime.timing.median_ratio` of rounds from several processes; ``sizes`` are how many each gave, in order.
    The interval also holds what the processes' own ratios allow."""
    found = median_ratio(a, b, confidence=confidence, seed=seed)
    each = [float(np.median(x) / np.median(y)) for x, y in zip(split(a, sizes), split(b, sizes), strict=True)]
    return widened(found, reach_of_processes(each, confidence))
