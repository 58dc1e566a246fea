"""How far a model's outputs can be from its source's, if raw sums are as near as was proven.

Belongs here: the steepest that each link is, and what it rounds. Not here: the raw sums' own bound (proof.py).
Imported as edge_runtime.converters.exact.bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_runtime.calibration import isotonic
from edge_runtime.ending import Ending
from edge_runtime.links import CALIBRATIONS, Link, places

__all__ = ["ROOM", "Sums", "anomaly_bound", "bound_of", "numbers_bound"]

STEEPEST = {"logistic": 0.25, "softmax": 0.5, "expit": 0.25, "one_vs_rest": 0.25}
ROUNDINGS = 16
"""Of a link that is computed in a few steps; of a single division it is one."""
FARTHEST = 1e-6
"""A steep link may take raw sums that are near to numbers that are far apart; beyond this, nothing is claimed."""
OVERFLOWS = 700.0
ROOM = 2.0
"""How far settling.py moves a knot, in bounds of the scores."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Raw sums within ``apart`` of the source's, each at most its ``reach`` in magnitude, where the source computes in
    a dtype that rounds by ``unit``."""

    apart: float
    reach: tuple[float, ...]
    unit: float

    def of(self, parts: Sequence[Link]) -> list[Sums]:
        """Those of each part."""
        return [replace(self, reach=self.reach[place]) for place in places(parts)]


def bound_of(ending: Ending, sums: Sums) -> float:
    """How far the outputs of the settled ``ending`` and the source's are apart, relative above 1, as differences are
    measured. Infinite where there is no bound that says something."""
    width = len(sums.reach)
    rest = ROUNDINGS * sums.unit
    if ending.kind == "exp":
        return sums.apart + rest
    if ending.kind == "signed_square":
        return 2.0 * sums.apart + rest
    if ending.kind == "anomaly":
        return 2.0 * anomaly_bound(ending, sums)
    if ending.kind == "each":
        each = zip(ending.parts, ending.targets, sums.of(ending.parts), strict=True)
        return max(numbers_bound(part, len(own), below) for part, own, below in each)
    found = numbers_bound(ending.link(width), ending.count(width), sums)
    steep = any(leaf.kind in ("exp", "signed_square") for leaf in ending.link(width).leaves())
    return math.inf if steep and found > FARTHEST else found


def anomaly_bound(ending: Ending, sums: Sums) -> float:
    """How far scores are apart with one threshold."""
    return 0.7 / ending.scale * sums.apart + ROUNDINGS * sums.unit


def numbers_bound(link: Link, count: int, sums: Sums) -> float:
    """How far numbers of a link are apart."""
    if link.kind == "mean":
        each = zip(link.parts, sums.of(link.parts), strict=True)
        weighted = sum(part.weight * numbers_bound(part, count, below) for part, below in each) / link.scale
        return weighted + (len(link.parts) + 2) * sums.unit
    if link.kind in CALIBRATIONS:
        return _calibrated(link, count, sums)
    if link.kind == "identity":
        return sums.apart / link.scale + sums.unit
    rest = ROUNDINGS * sums.unit
    if link.kind == "share":
        return sums.apart / link.scale + rest
    if link.kind == "exp":
        return math.exp(min(sums.reach[0], OVERFLOWS)) * (sums.apart + rest)
    if link.kind == "signed_square":
        return sums.reach[0] * (2.0 * sums.apart + sums.reach[0] * rest)
    return STEEPEST[link.kind] * sums.apart + rest


def _calibrated(link: Link, count: int, sums: Sums) -> float:
    part = link.parts[0]
    scores = numbers_bound(part, 1 if link.alone else count, sums)
    most = max(sums.reach) / part.scale if part.kind == "identity" else 1.0
    rest = ROUNDINGS * sums.unit
    if link.kind == "temperature":
        if part.kind != "identity":  # the logarithm of a small probability is steep
            return math.inf
        return 0.5 * abs(link.maps[0][0]) * (scores + 4 * sums.unit * most) + rest
    if link.kind == "sigmoid":
        exponents = [abs(slope) * scores + 4 * sums.unit * (abs(slope) * most + abs(at)) for slope, at in link.maps]
        if count == 2:
            return 0.25 * exponents[0] + rest
        if any(abs(slope) * most + abs(at) > OVERFLOWS for slope, at in link.maps):
            return math.inf  # all of them may be 0, which is another case
        return 2.0 * max(exponents) + rest + count * sums.unit  # the relative error of each, and of their sum
    if count > 2:  # the sum that they are divided by may be very small
        return math.inf
    found = _modulus(link.maps[0], (1.0 + ROOM) * scores) + rest
    return found if found <= FARTHEST else math.inf


def _modulus(knots: Sequence[float], apart: float) -> float:
    """How far the values of two scores that are ``apart`` can be from each other: farthest where one is a knot."""
    value = isotonic(knots)
    return max(max(abs(value(x + apart) - value(x)), abs(value(x) - value(x - apart))) for x in knots[::2])
