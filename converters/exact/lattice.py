"""The float64 lattice in order, and bisection over it.

A pull-back by formula is wrong in the last place, and stepping with `nextafter` can take for ever where a transform
maps billions of doubles to one value. So the boundary of a monotone predicate is searched among the ordered bit
patterns: at most 64 evaluations, and exact.

Belongs here: order, neighbours, search. Not here: what is searched for (features.py, trees.py).
Imported as edge_runtime.converters.exact.lattice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_ordinal", "last_true", "to_ordinal"]

Floats = NDArray[np.float64]
SIGN = np.int64(-(2**63))


def to_ordinal(values: Floats) -> NDArray[np.int64]:
    """Integers in the order of the floats (not NaN); -0.0 and 0.0 are one. Neighbours differ by 1."""
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    return np.where(bits < 0, SIGN - bits, bits)


def from_ordinal(ordinals: NDArray[np.int64]) -> Floats:
    """The inverse of `to_ordinal`."""
    ordinals = np.ascontiguousarray(ordinals, np.int64)
    return np.where(ordinals < 0, SIGN - ordinals, ordinals).view(np.float64)


def last_true(holds: Callable[[Floats], NDArray[np.bool_]], low: Floats, high: Floats) -> Floats:
    """The largest float in [``low``, ``high``] for which each predicate holds; NaN where it holds nowhere.

    ``holds`` takes one candidate per search, [n] float64, and answers [n] bool; each predicate must be true up to some
    float and false from there on.
    """
    below, above = to_ordinal(low), to_ordinal(high)
    nowhere = ~holds(low)
    everywhere = holds(high)
    # Invariant: true at `below`, false at `above`.
    while True:
        open_ = (above - 1 > below) & ~everywhere & ~nowhere
        if not open_.any():
            break
        middle = (below >> 1) + (above >> 1) + (below & above & 1)  # the sum itself could overflow
        true = holds(from_ordinal(middle))
        below = np.where(open_ & true, middle, below)
        above = np.where(open_ & ~true, middle, above)
    found = np.where(everywhere, high, from_ordinal(below))
    found[nowhere] = np.nan
    return found
