"""The part of the input space that reaches a node: which numbers of each column, and whether missing ones.

Belongs here: conditions on columns, what they leave possible, narrowing. Not here: trees (placing.py, proof.py).
Imported as edge_runtime.converters.exact.region.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["EQUAL", "LESS_OR_EQUAL", "MEMBER", "Cell", "Condition", "Region", "can", "narrow"]

LESS_OR_EQUAL, EQUAL, MEMBER = 0, 4, 6
"""Modes of a condition, by the numbers of ai.onnx.ml 5."""


@dataclass(frozen=True, slots=True)
class Condition:
    """True where value <= ``threshold``, value == ``threshold`` or value in ``members``, after ``mode``; for a missing
    value where ``missing``."""

    column: int
    mode: int
    threshold: float
    members: tuple[float, ...]
    missing: bool

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers that it is true for, where it is no comparison."""
        return self.members if self.mode == MEMBER else (self.threshold,)

    def holds(self, value: float) -> bool:
        return value <= self.threshold if self.mode == LESS_OR_EQUAL else value in self.values


@dataclass(frozen=True, slots=True)
class Cell:
    """Numbers x of one column with low <= x <= high, not in ``out``, and in ``only`` where that is given; and missing
    ones where ``missing``."""

    low: float
    high: float
    missing: bool
    only: frozenset[float] | None = None
    out: frozenset[float] = frozenset()

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high and value not in self.out and (self.only is None or value in self.only)

    @property
    def numbers(self) -> bool:
        """Whether any number is left."""
        if self.only is not None:
            return any(map(self.holds, self.only))
        return self.low < self.high or (self.low == self.high and self.low not in self.out)


Region = dict[int, Cell]


def can(cell: Cell, condition: Condition) -> tuple[bool, bool]:
    """Whether the condition can be true, and false, within the cell. Never says no where the answer is yes."""
    true = cell.missing and condition.missing
    false = cell.missing and not condition.missing
    if not cell.numbers:
        return true, false
    if cell.only is not None:
        left = [value for value in cell.only if cell.holds(value)]
        hits = [condition.holds(value) for value in left]
        return true or any(hits), false or not all(hits)
    if condition.mode == LESS_OR_EQUAL:
        return true or cell.low <= condition.threshold, false or cell.high > condition.threshold
    inside = any(map(cell.holds, condition.values))
    alone = cell.low == cell.high and cell.low in condition.values
    return true or inside, false or not alone


def narrow(cell: Cell, condition: Condition, side: bool) -> Cell:
    """The part of the cell where the condition is ``side``."""
    missing = cell.missing and condition.missing == side
    if condition.mode == LESS_OR_EQUAL:
        if side:
            return replace(cell, high=min(cell.high, condition.threshold), missing=missing)
        above = float(np.nextafter(condition.threshold, np.inf))
        if condition.threshold == np.inf:  # no number is left
            return replace(cell, only=frozenset(), missing=missing)
        return replace(cell, low=max(cell.low, above), missing=missing)
    values = frozenset(condition.values)
    if side:
        return replace(cell, only=values if cell.only is None else cell.only & values, missing=missing)
    return replace(cell, out=cell.out | values, missing=missing)
