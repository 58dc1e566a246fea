"""From raw sums to numbers: the links that an ending is made of, and how those of several models are joined.

Each link has two forms, for one row and for an array, with the same operations in the same order: the same bits.

Belongs here: the numbers. Not here: what is decided by them (ending.py), calibrating them (calibration.py).
Imported as edge_runtime.links.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canonical import take
from .errors import BundleError
from .exponential import exp, exp_array, softmax, softmax_array
from .schema import decimal

__all__ = ["CALIBRATIONS", "PREDICTIONS", "Link", "Numbers", "NumbersOfMany", "links_from_json", "places", "positive"]

Floats = NDArray[np.float64]
Numbers = Callable[[Sequence[float]], list[float]]
NumbersOfMany = Callable[[Floats], Floats]

PREDICTIONS = ("identity", "exp", "expit", "signed_square")
SIMPLE = (*PREDICTIONS, "logistic", "softmax", "one_vs_rest", "share")
CALIBRATIONS = ("sigmoid", "isotonic", "temperature")
JOINED = ("mean", *CALIBRATIONS)
DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Link:
    """What is made of the next ``width`` raw sums.

    Of the SIMPLE kinds, ending.py says what they compute. "mean" adds the numbers of its ``parts``, each times its
    ``weight``, and divides by ``scale``. "sigmoid", "isotonic" and "temperature" calibrate the numbers of their one
    part by ``maps``: [slope, offset], the knots [x0, y0, x1, y1, …], or [factor]; one map for the second of two
    classes, otherwise one for each, and always one of "temperature".
    """

    kind: str
    width: int
    scale: float = 1.0
    weight: float = 1.0
    maps: tuple[tuple[float, ...], ...] = ()
    parts: tuple[Link, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "maps": [[repr(value) for value in numbers] for numbers in self.maps],
            "parts": [part.to_json() for part in self.parts],
            "scale": repr(self.scale),
            "weight": repr(self.weight),
            "width": self.width,
        }

    @classmethod
    def from_json(cls, data: object, depth: int) -> Link:
        kind, maps, parts, scale, weight, width = take(
            data, "a part of the ending", kind=str, maps=list, parts=list, scale=str, weight=str, width=int
        )
        if kind not in SIMPLE + JOINED:
            raise BundleError(f"the ending's part {kind!r} is not one of {sorted(SIMPLE + JOINED)}")
        if width < 1:
            raise BundleError("a part of the ending wants one raw sum or more")
        if not all(type(numbers) is list and all(type(text) is str for text in numbers) for numbers in maps):
            raise BundleError("the maps of an ending's part must be lists of decimal strings")
        made = cls(
            kind, width, positive(scale, "scale"), positive(weight, "weight"),
            tuple(tuple(decimal(text, "a map") for text in numbers) for numbers in maps),
            links_from_json(parts, depth + 1),
        )  # fmt: skip
        made.check()
        return made

    def check(self) -> None:
        """Raise BundleError unless parts and maps are such as the kind has."""
        if (self.kind in JOINED) != bool(self.parts) or (self.kind in CALIBRATIONS and len(self.parts) > 1):
            raise BundleError(f"the ending's part {self.kind} has another number of parts than {len(self.parts)}")
        if self.parts and sum(part.width for part in self.parts) != self.width:
            raise BundleError("the parts of an ending do not add up to its raw sums")
        if (self.kind in CALIBRATIONS) != bool(self.maps):
            raise BundleError(f"the ending's part {self.kind} has another number of maps than {len(self.maps)}")
        if not self.maps:
            return
        from .calibration import is_map  # few endings have maps, and every start would pay for them

        if not all(is_map(self.kind, numbers) for numbers in self.maps):
            raise BundleError(f"a map of the ending's part {self.kind} does not have the numbers that it needs")

    @property
    def alone(self) -> bool:
        """Whether its part, which is to be calibrated, gives one score for two classes."""
        return self.parts[0].kind == "identity" and self.parts[0].width == 1

    def gives(self, count: int) -> bool:
        """Whether it makes ``count`` numbers of its raw sums."""
        if self.kind == "mean":
            return all(part.gives(count) for part in self.parts)
        if self.kind in CALIBRATIONS:
            maps = 1 if count == 2 or self.kind == "temperature" else count
            scores = 1 if count == 2 and self.alone else count
            return count > 1 and len(self.maps) == maps and self.parts[0].gives(scores)
        if self.kind in PREDICTIONS[1:]:
            return self.width == count == 1
        if self.kind == "logistic":
            return self.width == 1 and count == 2
        return self.width == count or (self.kind == "share" and self.width == 1 and count == 2)

    def leaves(self) -> tuple[Link, ...]:
        """The simple links that it is made of."""
        return tuple(leaf for part in self.parts for leaf in part.leaves()) if self.parts else (self,)

    def one(self, count: int) -> Numbers:
        """The function from one row's raw sums to its ``count`` numbers."""
        if self.kind == "mean":
            return weighted(self.parts, self.scale, count)
        if self.kind in CALIBRATIONS:
            scores = self.parts[0].one(1 if self.alone else count)
            from .calibration import calibration

            calibrated = calibration(self.kind, self.maps, count, logits=self.parts[0].kind == "identity")
            return lambda raw: calibrated(scores(raw))
        return simple(self.kind, self.scale, pair=self.width < count)

    def many(self, count: int) -> NumbersOfMany:
        """The function from raw sums [N, width] to numbers [N, ``count``]."""
        if self.kind == "mean":
            return weighted_of_many(self.parts, self.scale, count)
        if self.kind in CALIBRATIONS:
            scores = self.parts[0].many(1 if self.alone else count)
            from .calibration import calibration_of_many

            calibrated = calibration_of_many(self.kind, self.maps, count, logits=self.parts[0].kind == "identity")
            return lambda raw: calibrated(scores(raw))
        return simple_of_many(self.kind, self.scale, pair=self.width < count)


def links_from_json(data: list[object], depth: int = 0) -> tuple[Link, ...]:
    """Raises BundleError."""
    if data and depth > DEEPEST:
        raise BundleError(f"the parts of an ending are nested more than {DEEPEST} deep")
    return tuple(Link.from_json(item, depth) for item in data)


def places(parts: Sequence[Link]) -> list[slice]:
    """Which of the raw sums are each part's."""
    made, start = [], 0
    for part in parts:
        made.append(slice(start, start + part.width))
        start += part.width
    return made


def positive(text: str, what: str) -> float:
    value = decimal(text, what)
    if not 0.0 < value < math.inf:
        raise BundleError(f"the ending's {what} is {text}; expected a positive number")
    return value


def simple(kind: str, scale: float, *, pair: bool) -> Numbers:
    """``pair``: of two classes, from one raw sum."""
    if kind == "exp":
        return lambda raw: [exp(raw[0])]
    if kind == "signed_square":
        return lambda raw: [raw[0] * abs(raw[0])]
    if kind in ("expit", "one_vs_rest"):
        return lambda raw: [1.0 / (1.0 + exp(-value)) for value in raw]
    if kind == "softmax":
        return softmax
    if kind == "logistic":

        def logistic(raw: Sequence[float]) -> list[float]:
            p = 1.0 / (1.0 + exp(-raw[0]))
            return [1.0 - p, p]

        return logistic
    if pair:
        return lambda raw: [(scale - raw[0]) / (2.0 * scale), (scale + raw[0]) / (2.0 * scale)]
    return lambda raw: [value / scale for value in raw]


def simple_of_many(kind: str, scale: float, *, pair: bool) -> NumbersOfMany:
    if kind == "exp":
        return exp_array
    if kind == "signed_square":
        return lambda raw: raw * np.abs(raw)
    if kind in ("expit", "one_vs_rest"):
        return lambda raw: 1.0 / (1.0 + exp_array(-raw))
    if kind == "softmax":
        return softmax_array
    if kind == "logistic":

        def logistic(raw: Floats) -> Floats:
            p = 1.0 / (1.0 + exp_array(-raw))
            return np.concatenate([1.0 - p, p], axis=1)

        return logistic
    if pair:
        return lambda raw: np.concatenate([(scale - raw) / (2.0 * scale), (scale + raw) / (2.0 * scale)], axis=1)
    return lambda raw: raw / scale


def weighted(parts: Sequence[Link], scale: float, count: int) -> Numbers:
    made = [(place, part.one(count), part.weight) for place, part in zip(places(parts), parts, strict=True)]

    def mean(raw: Sequence[float]) -> list[float]:
        sums = [0.0] * count
        for place, numbers, weight in made:
            sums = [total + weight * value for total, value in zip(sums, numbers(raw[place]), strict=True)]
        return [total / scale for total in sums]

    return mean


def weighted_of_many(parts: Sequence[Link], scale: float, count: int) -> NumbersOfMany:
    made = [(place, part.many(count), part.weight) for place, part in zip(places(parts), parts, strict=True)]

    def mean(raw: Floats) -> Floats:
        sums = np.zeros((len(raw), count))
        for place, numbers, weight in made:
            sums += weight * numbers(raw[:, place])
        sums /= scale
        return sums

    return mean
