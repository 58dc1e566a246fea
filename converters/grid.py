"""Leaves on a common binary grid, so that their sum cannot depend on its order.

If every leaf is a multiple of 2^-k and no partial sum reaches 2^(53-k), float64 adds exactly: any order, any number of
threads and any form of the graph give the same bits.

Belongs here: choosing k, rounding, the bound on what rounding costs. Not here: the trees themselves (trees.py).
Imported as edge_runtime.converters.grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["round_to_grid"]

Floats = NDArray[np.float64]


def round_to_grid(leaves: Sequence[Floats]) -> tuple[list[Floats], float]:
    """Leaves of each tree ([leaves, targets] each), rounded; and a bound on how far that moves any sum of one leaf per
    tree.

    One bit of room is kept, so that a difference of two sums is exact as well.
    """
    reach = sum(float(np.abs(values).max(initial=0.0)) for values in leaves)
    if reach == 0.0:
        return [values.copy() for values in leaves], 0.0
    power = 51 - math.frexp(reach)[1]
    # ldexp twice: a scale beyond 2^1023 is not a float, though the scaled leaves are.
    rounded = [np.ldexp(np.rint(np.ldexp(values, power)), -power) for values in leaves]
    moved = sum(float(np.abs(new - old).max(initial=0.0)) for new, old in zip(rounded, leaves, strict=True))
    return rounded, moved
