"""Rows lost less rows gained: the exact bound on the difference of two accuracies on the same rows.

Tables of (rows lost, rows gained) are ordered by Tango's score (1998), which takes into account how many rows differ at
all; the chance of those that speak at least as strongly against a difference is summed up exactly, from the trinomial
distribution, at the worst share of gains that the rows allow for (Berger and Boos 1994).

Belongs here: this one bound. Not here: other losses (certifying.py).
Imported as edge_runtime.converters.precision.paired.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import extra

__all__ = ["chance", "score", "upper_difference"]

Numbers = NDArray[Any]

NUISANCE = 0.02
"""The part of alpha that goes into bounding the share of gains."""
SHARES = 33
"""Shares of gains that are tried, from none to the bound."""
BEYOND = 1e-12
"""Chance of the tables that are left out."""
PRECISION = 1e-7


def upper_difference(lost: int, gained: int, rows: int, alpha: float) -> float:
    """What the share of losses less that of gains is not above, but for a chance of ``alpha``."""
    with extra("convert", used_by="edge_runtime.converters.precision"):
        from scipy.optimize import brentq
    low, most = max((lost - gained) / rows, -1 + 1e-6), 1 - 1e-6
    high, step = low, 2 * np.sqrt(lost + gained + 1) / rows
    while high < most and chance(lost, gained, rows, high, alpha) > alpha:
        low, high, step = high, min(high + step, most), 2 * step
    if high >= most:
        return 1.0
    found = brentq(lambda mean: chance(lost, gained, rows, mean, alpha) - alpha, low, high, xtol=PRECISION)
    return min(1.0, float(found) + 2 * PRECISION)


def chance(lost: int, gained: int, rows: int, mean: float, alpha: float) -> float:
    """The largest chance of a table like this one, or one that speaks more strongly against ``mean``, if ``mean`` were
    the difference; made for being compared with ``alpha``."""
    with extra("convert", used_by="edge_runtime.converters.precision"):
        from scipy.stats import beta, binom
    most = beta.ppf(1 - NUISANCE * alpha, gained + 1, rows - gained) if gained < rows else 1.0
    least = max(0.0, -mean)
    most = max(least, min(most, (1 - mean) / 2))
    shares = (np.sqrt(least) + (np.sqrt(most) - np.sqrt(least)) * np.linspace(0, 1, SHARES)) ** 2
    gains = np.arange(int(binom.ppf(BEYOND, rows, shares[0])), int(binom.isf(BEYOND, rows, shares[-1])) + 1)
    losses = largest_below(score(np.array(lost), np.array(gained), rows, mean), gains, rows, mean)
    each = shares[:, None]
    among = np.clip((each + mean) / np.maximum(1 - each, 1e-300), 0.0, 1.0)
    chances = binom.pmf(gains, rows, each) * binom.cdf(losses, rows - gains, among)
    return float(np.nanmax(chances.sum(axis=1))) + NUISANCE * alpha + BEYOND


def largest_below(limit: Numbers, gains: Numbers, rows: int, mean: float) -> Numbers:
    """For each number of gains, the largest number of losses with a score of ``limit`` at most; -1 if none has."""
    low, high = np.full(len(gains), -1), rows - gains
    limit = limit + 1e-9 * (1 + abs(limit))  # the table itself, in spite of rounding
    for _ in range(int(rows).bit_length() + 1):
        middle = (low + high + 1) // 2
        below = score(np.maximum(middle, 0), gains, rows, mean) <= limit
        low, high = np.where(below & (middle >= 0), middle, low), np.where(below, high, middle - 1)
        high = np.maximum(low, high)
    return low


def score(lost: Numbers, gained: Numbers, rows: int, mean: float) -> Numbers:
    """How many standard deviations the table lies above ``mean``, with the share of gains that is likeliest then."""
    linear = -lost - gained + (2 * rows - lost + gained) * mean
    root = np.sqrt(np.maximum(linear**2 + 8 * rows * gained * mean * (1 - mean), 0.0))
    gains = np.maximum((root - linear) / (4 * rows), max(0.0, -mean))
    variance = rows * np.maximum(2 * gains + mean * (1 - mean), 1e-12)
    return np.asarray((lost - gained - rows * mean) / np.sqrt(variance))
