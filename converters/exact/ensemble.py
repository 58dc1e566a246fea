"""Tree ensembles as every library's reader hands them over.

Belongs here: the types, and what can be read off them. Not here: reading a framework's model (sources/), lowering
(trees.py).
Imported as edge_runtime.converters.exact.ensemble.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Conditions", "Ensemble", "Tree"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tree:
    """Arrays over the nodes, root first; ``left`` is -1 at leaves. A value goes left where feature <= threshold, or
    where it is missing and ``missing_left``; at a node in ``sets``, where it is one of the values there. ``value`` is
    [nodes, targets], or [nodes, 1] with a ``target`` of its own.
    """

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: Floats
    target: int = 0
    sets: dict[int, Floats] = field(default_factory=dict)

    @property
    def inner(self) -> NDArray[np.bool_]:
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of all inner nodes, tree after tree: feature value <= ``threshold``, or in ``sets`` (by position),
    goes left. For features in ``zero_missing`` a value within LightGBM's zero is a missing one; sets of features in
    ``truncated`` hold a value without its fraction."""

    feature: NDArray[np.int64]
    threshold: Floats
    missing_left: NDArray[np.bool_]
    sets: dict[int, Floats]
    zero_missing: frozenset[int] = frozenset()
    truncated: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Ensemble:
    """``base`` [targets] is added to the sum of the trees' leaves; ``zero_missing`` are features whose zero is a
    missing value (LightGBM's zero_as_missing), ``truncated`` those whose sets disregard a fraction (its categories)."""

    trees: tuple[Tree, ...]
    base: Floats
    zero_missing: frozenset[int] = frozenset()
    truncated: frozenset[int] = frozenset()

    @property
    def targets(self) -> int:
        return len(self.base)

    @property
    def leaves(self) -> int:
        """How many there are in all trees."""
        return sum(int((~tree.inner).sum()) for tree in self.trees)

    def reaches(self) -> tuple[float, ...]:
        """What each target's raw sum does not exceed in magnitude; on the way there, it may (grid.reach)."""
        above, below = np.maximum(self.base, 0.0), np.minimum(self.base, 0.0)
        for tree in self.trees:
            leaves = tree.value[~tree.inner]
            counted = slice(tree.target, tree.target + 1) if leaves.shape[1] == 1 else slice(None)
            above[counted] += leaves.max(axis=0)
            below[counted] += leaves.min(axis=0)
        return tuple(np.maximum(above, -below).tolist())

    def conditions(self) -> Conditions:
        """Every inner node's condition, in the order of the trees and their nodes."""
        sets: dict[int, Floats] = {}
        start = 0
        for tree in self.trees:
            nodes = np.flatnonzero(tree.inner)
            sets.update(
                {start + place: tree.sets[node] for place, node in enumerate(nodes.tolist()) if node in tree.sets}
            )
            start += len(nodes)
        return Conditions(
            np.concatenate([tree.feature[tree.inner] for tree in self.trees]),
            np.concatenate([tree.threshold[tree.inner] for tree in self.trees]),
            np.concatenate([tree.missing_left[tree.inner] for tree in self.trees]),
            sets,
            self.zero_missing,
            self.truncated,
        )
