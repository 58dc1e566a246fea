"""The order in which many rows go through an ensemble: those that take the same branches one after the other.

A tree's branches are what a processor cannot foresee, and what its caches do not hold; rows sorted by the columns that
the trees ask first are foreseen and cached. The answer to a row does not depend on its neighbours, so nothing else
changes.

Belongs here: the declared cuts, the order that they make. Not here: choosing them (converters), running (model.py).
Imported as edge_runtime.row_order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .canonical import take
from .errors import BundleError
from .schema import decimal

__all__ = ["WORTH_SORTING", "Cuts", "cuts_from_json", "order_of"]

WORTH_SORTING = 1024
"""Rows; with fewer, too few neighbours are alike."""
CELLS = 2**16


class Cuts(NamedTuple):
    """``column`` of the graph's one tensor, and ``at`` which values it is cut, ascending."""

    column: int
    at: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return {"at": [repr(value) for value in self.at], "column": self.column}


def cuts_from_json(data: list[Any]) -> tuple[Cuts, ...]:
    """Raises BundleError unless they are cuts of at most 65,536 cells."""
    made = []
    for item in data:
        at, column = take(item, "order", at=list, column=int)
        values = tuple(decimal(value, "a cut") for value in at)
        if column < 0 or not values or sorted(set(values)) != list(values):
            raise BundleError("the order of rows wants columns from 0, each with ascending cuts")
        made.append(Cuts(column, values))
    if math.prod(len(cuts.at) + 1 for cuts in made) > CELLS:
        raise BundleError(f"the order of rows has more than {CELLS:,} cells")
    return tuple(made)


def order_of(x: NDArray[Any], order: Sequence[Cuts]) -> NDArray[np.intp]:
    """The rows of ``x`` [N, columns] by the cell that they are in, the first of ``order`` weighing most."""
    cell = np.zeros(len(x), np.uint16)  # sixteen bits are sorted in two passes
    for cuts in order:
        cell *= np.uint16(len(cuts.at) + 1)
        cell += np.searchsorted(np.array(cuts.at, x.dtype), x[:, cuts.column]).astype(np.uint16)
    return np.argsort(cell, kind="stable")
