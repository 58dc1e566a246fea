"""Three disjoint splits of the samples: to calibrate, to search, to certify.

What was chosen on some rows looks better on them than it is, so each row has one use. Rows are taken as independent
draws of what the model will meet. Two equal rows are then nothing special, and may fall into two splits (to keep them
together would make the splits unlike one another: a frequent row would be in one of them only). Copies made by hand are
something else: they say nothing twice. Where values are such that equal samples must be copies (recordings, pictures),
`keys` leaves all but the first of them out.

Belongs here: which row is for what, and whether there are enough. Not here: bounds (certifying.py).
Imported as edge_runtime.converters.precision.splitting.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

from .certifying import ALPHA, rows_needed

__all__ = ["FEWEST", "Splits", "split", "splits_needed"]

Array = NDArray[Any]
Numbers = NDArray[np.int64]

FEWEST = 25
"""Below so many samples, or groups, there is nothing to divide."""
MOST_CALIBRATE = 300
MOST_SEARCH = 2_000
MOST_CLASSES = 100


@dataclass(frozen=True, slots=True)
class Splits:
    """Numbers of samples, each in one split at most; those to search in the order of the draw, groups together, so that
    the first few of them are a draw as well, and the others ascending. ``copies`` were left out."""

    calibrate: Numbers = field(repr=False)
    search: Numbers = field(repr=False)
    certify: Numbers = field(repr=False)
    copies: int = 0

    @property
    def sentence(self) -> str:
        sizes = (
            f"{len(self.calibrate):,} to calibrate, {len(self.search):,} to search, {len(self.certify):,} to certify"
        )
        return f"{sizes}; {self.copies:,} copies left out" if self.copies else sizes

    def check(self, max_drop: float, *, alpha: float = ALPHA, tried: int = 1) -> None:
        """Raise InputError where ``max_drop`` could not be certified of ``tried`` candidates if nothing at all was
        lost. Raises ValueError for a ``max_drop`` outside (0, 1)."""
        needed = rows_needed(max_drop, alpha=alpha, tried=tried)
        if len(self.certify) < needed:
            rows = sum(map(len, (self.calibrate, self.search, self.certify)))
            raise InputError(
                f"{rows:,} samples leave {len(self.certify):,} to certify on, and a drop of {100 * max_drop:g}% at most"
                f" takes {needed:,} without a loss",
                expected=f"{splits_needed(max_drop, alpha=alpha, tried=tried):,} samples, or a larger max_drop",
            )


def split(
    n: int,
    *,
    seed: int = 0,
    target: Array | None = None,
    groups: Array | None = None,
    keys: Sequence[Hashable] | None = None,
) -> Splits:
    """Divide ``n`` samples by a draw from ``seed``: a fifth, 300 at most, to calibrate; a third of the rest, 2,000 at
    most, to search; the others to certify.

    A ``target`` [n] of classes (no floats, 100 different values at most) is divided in proportion; samples of one of
    ``groups`` [n] stay together; of samples with equal ``keys`` the first is used and the others are left out. Raises
    InputError for fewer than 25 samples, or groups.
    """
    used = np.arange(n) if keys is None else first_of_each(keys)
    units, of = (len(used), np.arange(len(used))) if groups is None else numbered(groups[used])
    what = "samples" if groups is None else "groups"
    if units < FEWEST:
        copies = f", {n - len(used):,} copies aside" if n > len(used) else ""
        raise InputError(
            f"{units:,} {what}{copies} cannot be divided into three splits", expected=f"{FEWEST} {what} or more"
        )
    classes = target[used] if target is not None and groups is None and is_class(target) else None
    order = drawn(units, classes, np.random.default_rng(seed))
    first, second = sizes(units)
    parts = np.split(order, [first, first + second])
    calibrate, search, certify = (used[np.isin(of, each)] for each in parts)
    return Splits(calibrate, in_order(order, of, used, search), certify, n - len(used))


def in_order(order: Numbers, of: Numbers, used: Numbers, which: Numbers) -> Numbers:
    """``which`` of the ``used`` samples, in the ``order`` of the units that they are ``of``."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return which[np.argsort(place[of[np.searchsorted(used, which)]], kind="stable")]


def first_of_each(keys: Sequence[Hashable]) -> Numbers:
    """The number of the first of all samples with one key, ascending."""
    first: dict[Hashable, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    return np.array(list(first.values()), dtype=np.int64)


def sizes(units: int) -> tuple[int, int]:
    """How many calibrate and how many search."""
    calibrate = min(MOST_CALIBRATE, units // 5)
    return calibrate, min(MOST_SEARCH, (units - calibrate) // 3)


def splits_needed(max_drop: float, *, alpha: float = ALPHA, tried: int = 1) -> int:
    """How many samples in all leave enough to certify ``max_drop`` of ``tried`` candidates that lose nothing."""
    needed = rows_needed(max_drop, alpha=alpha, tried=tried)
    low, high = needed, 3 * needed + FEWEST + MOST_CALIBRATE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if middle - sum(sizes(middle)) >= needed else (middle, high)
    return max(FEWEST, high)


def is_class(target: Array) -> bool:
    return target.dtype.kind != "f" and len(set(target.tolist())) <= MOST_CLASSES


def numbered(groups: Array) -> tuple[int, Numbers]:
    """How many groups there are, and the number of each sample's."""
    names, of = np.unique(groups, return_inverse=True)
    return len(names), of.astype(np.int64)


def drawn(units: int, classes: Array | None, rng: np.random.Generator) -> Numbers:
    """The units in a random order; of classes, each spread evenly over it."""
    places = rng.random(units)
    if classes is not None:
        _, of = np.unique(classes.astype(str) if classes.dtype.kind == "O" else classes, return_inverse=True)
        for each in range(of.max() + 1):
            which = np.flatnonzero(of == each)
            places[which] = (rng.permutation(len(which)) + places[which]) / len(which)
    return np.argsort(places, kind="stable")
