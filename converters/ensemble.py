"""Tree ensembles as every library's reader hands them over.

Belongs here: the types, and what can be read off them. Not here: reading a framework's model (sources/), lowering
(trees.py).
Imported as edge_runtime.converters.ensemble.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ensemble", "Tree"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tree:
    """Arrays over the nodes, root first; ``left`` is -1 at leaves. A value goes left where feature <= threshold, or
    where it is missing and ``missing_left``. ``value`` is [nodes, targets], or [nodes, 1] with a ``target`` of its own.
    """

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: Floats
    target: int = 0

    @property
    def inner(self) -> NDArray[np.bool_]:
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class Ensemble:
    """``base`` [targets] is added to the sum of the trees' leaves."""

    trees: tuple[Tree, ...]
    base: Floats

    @property
    def targets(self) -> int:
        return len(self.base)

    @property
    def leaves(self) -> int:
        """How many there are in all trees."""
        return sum(int((~tree.inner).sum()) for tree in self.trees)

    def split_arrays(self) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
        """Feature, threshold and missing direction of every inner node, tree after tree."""
        return (
            np.concatenate([tree.feature[tree.inner] for tree in self.trees]),
            np.concatenate([tree.threshold[tree.inner] for tree in self.trees]),
            np.concatenate([tree.missing_left[tree.inner] for tree in self.trees]),
        )
