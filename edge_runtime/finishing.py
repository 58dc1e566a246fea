"""Labels, scores and decisions of raw sums: for each form of an answer a function of one row, and one of an array.

Both do the same operations in the same order: the same bits. `predict_one` calls the functions of one row, so each is
made for its case, and asks nothing that was known before.

Belongs here: these functions. Not here: which of them an ending takes (ending.py), links that join others (links.py).
Imported as edge_runtime.finishing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exponential import exp, exp_array
from .links import Numbers, NumbersOfMany

__all__ = [
    "Finish", "FinishArray", "anomalies", "anomaly", "decided", "decided_array", "each", "each_array", "labelled",
    "labelled_array", "logistic", "logistic_decided", "pairs_array", "predicted", "predicted_array", "share",
    "share_decided",
]  # fmt: skip

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Outputs = dict[str, Any]
Finish = Callable[[Sequence[float]], Outputs]
FinishArray = Callable[[Floats], Arrays]
LN2 = 0.6931471805599453


def predicted(kind: str, scale: float, width: int, count: int, numbers: Numbers) -> Finish:
    if kind == "exp":
        return lambda raw: {"prediction": exp(raw[0])}
    if kind == "identity" and width == 1:
        return lambda raw: {"prediction": raw[0] / scale}
    if count == 1:
        return lambda raw: {"prediction": numbers(raw)[0]}
    return lambda raw: {"prediction": numbers(raw)}


def predicted_array(count: int, numbers: NumbersOfMany) -> FinishArray:
    if count == 1:
        return lambda raw: {"prediction": numbers(raw)[:, 0]}
    return lambda raw: {"prediction": numbers(raw)}


def anomaly(scale: float, offset: float) -> Finish:
    def finish(raw: Sequence[float]) -> Outputs:
        score = -exp(raw[0] / scale * -LN2) - offset
        return {"label": -1 if score < 0.0 else 1, "score": score}

    return finish


def anomalies(scale: float, offset: float) -> FinishArray:
    def finish(raw: Floats) -> Arrays:
        score = -exp_array(raw[:, 0] / scale * -LN2) - offset
        return {"label": np.where(score < 0.0, np.int64(-1), np.int64(1)), "score": score}

    return finish


def logistic(classes: tuple[Any, ...], *, tie: bool) -> Finish:
    first, second = classes

    def finish(raw: Sequence[float]) -> Outputs:
        z = raw[0]
        p = 1.0 / (1.0 + exp(-z))
        return {"label": second if z > 0.0 or (tie and z == 0.0) else first, "probabilities": [1.0 - p, p]}

    return finish


def logistic_decided(score: str, name: str, threshold: float) -> Finish:
    def finish(raw: Sequence[float]) -> Outputs:
        p = 1.0 / (1.0 + exp(-raw[0]))
        return {score: p, name: p > threshold}

    return finish


def share(classes: tuple[Any, ...], scale: float, *, tie: bool) -> Finish:
    first, second = classes
    double = 2.0 * scale

    def finish(raw: Sequence[float]) -> Outputs:
        z = raw[0]
        return {
            "label": second if z > 0.0 or (tie and z == 0.0) else first,
            "probabilities": [(scale - z) / double, (scale + z) / double],
        }

    return finish


def share_decided(scale: float, score: str, name: str, threshold: float) -> Finish:
    double = 2.0 * scale

    def finish(raw: Sequence[float]) -> Outputs:
        p = (scale + raw[0]) / double
        return {score: p, name: p > threshold}

    return finish


def pairs_array(numbers: NumbersOfMany, labels: NDArray[Any], *, tie: bool) -> FinishArray:
    """Of two classes and one raw sum, which says which of them it is."""

    def finish(raw: Floats) -> Arrays:
        z = raw[:, 0]
        chosen = z >= 0.0 if tie else z > 0.0
        return {"label": labels[chosen.astype(np.intp)], "probabilities": numbers(raw)}

    return finish


def decided(numbers: Numbers, score: str, name: str, threshold: float) -> Finish:
    def finish(raw: Sequence[float]) -> Outputs:
        p = numbers(raw)[1]
        return {score: p, name: p > threshold}

    return finish


def decided_array(numbers: NumbersOfMany, score: str, name: str, threshold: float) -> FinishArray:
    def finish(raw: Floats) -> Arrays:
        p = numbers(raw)[:, 1]
        return {score: p, name: p > threshold}

    return finish


def labelled(numbers: Numbers, classes: tuple[Any, ...], *, by_raw: bool) -> Finish:
    """The label is the class with the largest number, or with the largest raw sum."""

    def finish(raw: Sequence[float]) -> Outputs:
        shares = numbers(raw)
        return {"label": classes[largest(list(raw) if by_raw else shares)], "probabilities": shares}

    return finish


def labelled_array(numbers: NumbersOfMany, labels: NDArray[Any], *, by_raw: bool) -> FinishArray:
    def finish(raw: Floats) -> Arrays:
        shares = numbers(raw)
        return {"label": labels[largest_of_many(raw if by_raw else shares)], "probabilities": shares}

    return finish


def each(parts: Sequence[tuple[slice, Numbers, tuple[Any, ...]]]) -> Finish:
    """Several targets, each with its raw sums and classes."""
    names = [f"probabilities_{i}" for i in range(len(parts))]

    def finish(raw: Sequence[float]) -> Outputs:
        shares = [numbers(raw[place]) for place, numbers, _ in parts]
        labels = [classes[largest(own)] for own, (_, _, classes) in zip(shares, parts, strict=True)]
        return {"label": labels, **dict(zip(names, shares, strict=True))}

    return finish


def each_array(parts: Sequence[tuple[slice, NumbersOfMany, NDArray[Any]]]) -> FinishArray:
    def finish(raw: Floats) -> Arrays:
        shares = [numbers(raw[:, place]) for place, numbers, _ in parts]
        labels = [known[largest_of_many(own)] for own, (_, _, known) in zip(shares, parts, strict=True)]
        return {"label": np.stack(labels, axis=1), **{f"probabilities_{i}": own for i, own in enumerate(shares)}}

    return finish


def largest(values: Sequence[float]) -> int:
    """The place of the first of the largest values; 0 where one is NaN."""
    total = sum(values)
    if total != total and any(value != value for value in values):
        return 0
    return values.index(max(values))


def largest_of_many(values: Floats) -> NDArray[np.intp]:
    places: NDArray[np.intp] = np.argmax(values == values.max(axis=1)[:, None], axis=1)
    return places
