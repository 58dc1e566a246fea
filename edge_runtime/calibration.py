"""Calibrated probabilities: maps of scores, fitted by a calibrator, and what makes probabilities of them.

Each has two forms, for one row and for an array, with the same operations in the same order: the same bits.

Belongs here: sigmoid, isotonic and temperature scaling. Not here: the scores (links.py).
Imported as edge_runtime.calibration.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .exponential import exp, exp_array, softmax, softmax_array
from .logarithm import log, log_array

__all__ = ["calibration", "calibration_of_many", "is_map", "isotonic"]

Floats = NDArray[np.float64]
NEAR_ZERO = 1e-12  # added to a probability before its logarithm is taken


def is_map(kind: str, numbers: Sequence[float]) -> bool:
    """Whether ``numbers`` are those of a map of ``kind``."""
    if not all(map(math.isfinite, numbers)):
        return False
    if kind != "isotonic":
        return len(numbers) == {"sigmoid": 2, "temperature": 1}[kind]
    x = numbers[::2]
    increase = all(x[i] < x[i + 1] for i in range(len(x) - 1))
    return len(numbers) > 1 and len(numbers) % 2 == 0 and increase and all(map(math.isfinite, slopes(numbers)))


def slopes(knots: Sequence[float]) -> list[float]:
    """Of [x0, y0, x1, y1, …] from each knot to the next, and 0 behind the last."""
    x, y = knots[::2], knots[1::2]
    return [*((y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in range(len(x) - 1)), 0.0]


def calibration(
    kind: str, maps: Sequence[Sequence[float]], count: int, *, logits: bool
) -> Callable[[list[float]], list[float]]:
    """The function from one row's scores to its ``count`` probabilities. ``logits`` says what temperature scaling takes
    the scores for, if not for probabilities; a single one stands for itself and its negative."""
    if kind == "temperature":
        factor = maps[0][0]

        def temperature(scores: list[float]) -> list[float]:
            if not logits:
                scores = [log(score + NEAR_ZERO) for score in scores]
            elif len(scores) == 1:
                scores = [-scores[0], scores[0]]
            return softmax([factor * score for score in scores])

        return temperature
    each = [sigmoid(*numbers) if kind == "sigmoid" else isotonic(numbers) for numbers in maps]
    if count == 2:
        only = each[0]

        def second(scores: list[float]) -> list[float]:
            p = only(scores[-1])
            p = 1.0 if p > 1.0 else p
            return [1.0 - p, p]

        return second

    def normalised(scores: list[float]) -> list[float]:
        mapped = [function(score) for function, score in zip(each, scores, strict=True)]
        total = 0.0
        for value in mapped:
            total += value
        return [value / total for value in mapped] if total != 0.0 else [1.0 / count] * count

    return normalised


def sigmoid(slope: float, offset: float) -> Callable[[float], float]:
    return lambda score: 1.0 / (1.0 + exp(slope * score + offset))


def isotonic(knots: Sequence[float]) -> Callable[[float], float]:
    x, y, rise = knots[::2], knots[1::2], slopes(knots)
    first, last = x[0], x[-1]

    def interpolate(score: float) -> float:
        score = first if score < first else last if score > last else score
        i = bisect_right(x, score) - 1
        return rise[i] * (score - x[i]) + y[i]

    return interpolate


def calibration_of_many(
    kind: str, maps: Sequence[Sequence[float]], count: int, *, logits: bool
) -> Callable[[Floats], Floats]:
    """`calibration` of scores [N, …]: probabilities [N, ``count``]."""
    if kind == "temperature":
        factor = maps[0][0]

        def temperature(scores: Floats) -> Floats:
            if not logits:
                scores = log_array(scores + NEAR_ZERO)
            elif scores.shape[1] == 1:
                scores = np.concatenate([-scores, scores], axis=1)
            return softmax_array(factor * scores)

        return temperature
    each = [sigmoid_of_many(*numbers) if kind == "sigmoid" else isotonic_of_many(numbers) for numbers in maps]

    def mapped(scores: Floats) -> Floats:
        made = np.empty((len(scores), count))
        if count == 2:
            p = each[0](scores[:, -1])
            made[:, 1] = np.where(p > 1.0, 1.0, p)
            made[:, 0] = 1.0 - made[:, 1]
            return made
        total = np.zeros(len(scores))
        for k, function in enumerate(each):
            made[:, k] = function(scores[:, k])
            total += made[:, k]
        alike = np.full_like(made, 1.0 / count)
        return np.divide(made, total[:, None], out=alike, where=(total != 0.0)[:, None])

    return mapped


def sigmoid_of_many(slope: float, offset: float) -> Callable[[Floats], Floats]:
    def function(scores: Floats) -> Floats:
        return 1.0 / (1.0 + exp_array(slope * scores + offset))

    return function


def isotonic_of_many(knots: Sequence[float]) -> Callable[[Floats], Floats]:
    x, y, rise = np.array(knots[::2]), np.array(knots[1::2]), np.array(slopes(knots))

    def interpolate(scores: Floats) -> Floats:
        scores = np.where(scores < x[0], x[0], np.where(scores > x[-1], x[-1], scores))
        i = np.searchsorted(x, scores, side="right") - 1
        made: Floats = rise[i] * (scores - x[i]) + y[i]
        return made

    return interpolate
