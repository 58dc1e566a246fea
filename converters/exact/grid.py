"""Leaves on a common binary grid, so that their sum cannot depend on its order.

If every leaf is a multiple of 2^-k and no partial sum reaches 2^(53-k), float64 adds exactly: any order, any number of
threads and any form of the graph give the same bits.

Belongs here: choosing k, rounding, the bound on what rounding costs. Not here: the trees themselves (trees.py).
Imported as edge_runtime.converters.exact.grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FINENESS", "is_exact", "reach", "round_to_grid"]

Floats = NDArray[np.float64]
FEW = 16
"""Trees whose leaves keep every bit: there is little to save, and 0.3 stays 0.3."""
FINENESS = 43
"""Bits: rounding moves no sum by more than 2^-FINENESS (1e-13) of what it may be at most. Finer leaves would take more
room in a bundle, and nobody could tell."""


def reach(leaves: Sequence[Floats]) -> float:
    """What no partial sum of one leaf per tree exceeds in magnitude, in any order; ``leaves`` are [leaves, targets]."""
    return float(reach_by_target(leaves).max(initial=0.0))


def reach_by_target(leaves: Sequence[Floats]) -> Floats:
    """`reach` of each target. Leaves of width 1 may count for any."""
    above = sum((values.max(axis=0, initial=0.0) for values in leaves), np.zeros(1))
    below = sum((values.min(axis=0, initial=0.0) for values in leaves), np.zeros(1))
    return np.maximum(above, -below)


def round_to_grid(leaves: Sequence[Floats]) -> tuple[list[Floats], float]:
    """Leaves of each tree, rounded; and a bound on how far that moves any sum of one leaf per tree."""
    most = reach_by_target(leaves)
    if not most.any():
        return [values.copy() for values in leaves], 0.0
    exact = 53 - math.frexp(float(most.max()) * (1.0 + 2.0**-40))[1]  # rounding may lift a sum by a little
    enough = FINENESS + math.frexp(len(leaves))[1] - math.frexp(float(most[most > 0.0].min()))[1]
    power = exact if len(leaves) <= FEW else min(exact, enough)
    # ldexp twice: a scale beyond 2^1023 is not a float, though the scaled leaves are.
    rounded = [np.ldexp(np.rint(np.ldexp(values, power)), -power) for values in leaves]
    moved = sum(float(np.abs(new - old).max(initial=0.0)) for new, old in zip(rounded, leaves, strict=True))
    return rounded, moved


def is_exact(leaves: Sequence[Floats]) -> bool:
    """Whether float64 adds one leaf per tree exactly, whatever the order: all are multiples of one power of two, and no
    partial sum needs more than 53 bits of it."""
    values = np.concatenate([values.ravel() for values in leaves])
    values = np.abs(values[values != 0.0])
    if not len(values):
        return True
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest_bit = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    finest = int((exponent - 53 + lowest_bit).min())
    return math.ldexp(reach(leaves), -finest) <= 2.0**53
