"""Trees on the graph's own inputs, as small as they can be without a change of answer.

Branches that no input takes are left out (the declared ranges and the splits before them exclude it), conditions whose
two sides answer alike are dropped, and trees of one shape are folded into one.

Belongs here: from trees and their pulled-back splits to what the operator needs. Not here: pulling back (features.py),
the operator (tree_node.py), the proof that nothing changed (proof.py).
Imported as edge_runtime.converters.exact.placing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ensemble import Tree
from .features import Splits
from .region import EQUAL, LESS_OR_EQUAL, MEMBER, Condition, Region, can, narrow

__all__ = ["Placed", "fold", "place"]


@dataclass(frozen=True, slots=True)
class Placed:
    """One tree: a condition per node, and the nodes that follow where it is true and false; ~k stands for leaf k.

    ``leaves`` has, per leaf, the number of a node in each of the source's ``trees`` whose values are to be added.
    """

    root: int
    conditions: tuple[Condition, ...]
    true: tuple[int, ...]
    false: tuple[int, ...]
    trees: tuple[int, ...]
    leaves: NDArray[np.int64]  # [trees, leaves]

    @property
    def shape(self) -> tuple[object, ...]:
        return self.root, self.conditions, self.true, self.false


def place(trees: Sequence[Tree], splits: Splits, space: Region, alike: Sequence[NDArray[np.int64]]) -> list[Placed]:
    """Each tree over the graph's inputs; ``space`` is what each column may hold, and leaves of one tree with the same
    number in ``alike`` ([nodes] per tree) answer alike."""
    placed, start = [], 0
    for number, tree in enumerate(trees):
        inner = np.flatnonzero(tree.inner)
        at = dict(zip(inner.tolist(), range(start, start + len(inner)), strict=True))
        placed.append(_Placing(tree, number, splits, at, alike[number].tolist()).run(space))
        start += len(inner)
    return placed


def fold(placed: Sequence[Placed], targets: Sequence[int]) -> list[Placed]:
    """Trees of one shape and one target (by source tree) as one tree, whose leaves are the sums of theirs."""
    groups: dict[tuple[object, ...], list[Placed]] = {}
    for tree in placed:
        groups.setdefault((targets[tree.trees[0]], *tree.shape), []).append(tree)
    return [
        Placed(
            same[0].root,
            same[0].conditions,
            same[0].true,
            same[0].false,
            tuple(number for tree in same for number in tree.trees),
            np.concatenate([tree.leaves for tree in same]),
        )
        for same in groups.values()
    ]


class _Placing:
    """One tree's way: down with the region that reaches each node, up with what is left of it."""

    def __init__(self, tree: Tree, number: int, splits: Splits, at: dict[int, int], alike: list[int]) -> None:
        self.number, self.at, self.alike = number, at, alike
        self.left, self.right = tree.left.tolist(), tree.right.tolist()
        self.splits = splits
        self.conditions: list[Condition] = []
        self.true: list[int] = []
        self.false: list[int] = []
        self.leaves: list[int] = []
        self.known: dict[tuple[object, ...], int] = {}

    def run(self, space: Region) -> Placed:
        made = self._shrink(space)
        root = self._write(made)
        leaves = np.array([self.leaves], np.int64)
        return Placed(root, tuple(self.conditions), tuple(self.true), tuple(self.false), (self.number,), leaves)

    def _shrink(self, space: Region) -> tuple[int, object]:
        """(identity, shape) of what is left: a shape is a leaf's node or (condition, true, false)."""
        # Without recursion, since trees may be deep: a node is met on the way down, and again when its sides are done.
        pending: list[tuple[int, Region | None]] = [(0, space)]
        done: list[tuple[int, object]] = []
        while pending:
            node, region = pending.pop()
            if self.left[node] < 0:
                done.append((self._identity(("leaf", self.alike[node])), node))
                continue
            condition, swap = self._condition(node)
            true, false = (self.right[node], self.left[node]) if swap else (self.left[node], self.right[node])
            if region is None:  # both sides are done, false last
                below, above = done.pop(), done.pop()
                if below[0] == above[0]:
                    done.append(above)
                else:
                    identity = self._identity((condition, above[0], below[0]))
                    done.append((identity, (condition, above, below)))
                continue
            cell = region[condition.column]
            can_true, can_false = can(cell, condition)
            if can_true and can_false:
                pending.append((node, None))
                pending.append((false, {**region, condition.column: narrow(cell, condition, False)}))
                pending.append((true, {**region, condition.column: narrow(cell, condition, True)}))
            else:
                pending.append((true if can_true else false, region))
        return done[0]

    def _identity(self, key: tuple[object, ...]) -> int:
        return self.known.setdefault(key, len(self.known))

    def _condition(self, node: int) -> tuple[Condition, bool]:
        i, splits = self.at[node], self.splits
        members = splits.members.get(i)
        mode = MEMBER if members is not None else EQUAL if splits.equal[i] else LESS_OR_EQUAL
        threshold = 0.0 if members is not None else float(splits.threshold[i])
        listed = () if members is None else tuple(members.tolist())
        return Condition(int(splits.column[i]), mode, threshold, listed, bool(splits.missing[i])), bool(splits.swap[i])

    def _write(self, made: tuple[int, object]) -> int:
        """Nodes in depth-first order, the true side next to its parent; the root's number, or ~0 for a leaf alone."""
        pending: list[tuple[object, int, bool]] = [(made[1], -1, True)]
        while pending:
            shape, parent, side = pending.pop()
            if isinstance(shape, tuple):
                condition, above, below = shape
                here = len(self.conditions)
                self.conditions.append(condition)
                self.true.append(0)
                self.false.append(0)
                pending.append((below[1], here, False))
                pending.append((above[1], here, True))
            else:
                assert isinstance(shape, int)
                here = ~len(self.leaves)
                self.leaves.append(shape)
            if parent >= 0:
                (self.true if side else self.false)[parent] = here
        return 0 if self.conditions else ~0
