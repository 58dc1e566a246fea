"""Ensembles of several models as one, which adds up all their raw sums at once.

Belongs here: what joined models see of the rows, and renumbering their features and targets. Not here: reading them
(sources/), what is made of the sums (bounds.py says how far it is off).
Imported as edge_runtime.converters.exact.joining.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .ensemble import Ensemble, Tree

__all__ = ["Joined", "View"]


@dataclass(frozen=True, slots=True)
class View:
    """How a model looks at the rows: through a ``transformer`` of its own (None = none), as ``reads``. ``sparse``: a
    zero that a sparse matrix leaves out is missing."""

    transformer: Any
    reads: type
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """``members`` are ensembles, each with the position of its view in ``views``. Raw sums stand in their order."""

    members: tuple[tuple[Ensemble, int], ...]
    views: tuple[View, ...]

    @property
    def targets(self) -> int:
        return sum(ensemble.targets for ensemble, _ in self.members)

    def ensemble(self, widths: Sequence[int]) -> Ensemble:
        """All members in one, whose features count through the views: ``widths`` says how many each of these has."""
        starts = np.cumsum([0, *widths])
        vectors = any(tree.value.shape[1] > 1 for ensemble, _ in self.members for tree in ensemble.trees)
        trees: list[Tree] = []
        zero_missing: set[int] = set()
        truncated: set[int] = set()
        target = 0
        for ensemble, view in self.members:
            start = int(starts[view])
            for tree in ensemble.trees:
                moved = replace(tree, feature=np.where(tree.inner, tree.feature + start, tree.feature))
                trees.append(self._placed(moved, target, vectors=vectors))
            zero_missing |= {feature + start for feature in ensemble.zero_missing}
            truncated |= {feature + start for feature in ensemble.truncated}
            target += ensemble.targets
        base = np.concatenate([ensemble.base for ensemble, _ in self.members])
        return Ensemble(tuple(trees), base, frozenset(zero_missing), frozenset(truncated))

    def _placed(self, tree: Tree, target: int, *, vectors: bool) -> Tree:
        """A tree whose raw sums begin at ``target``; leaves are vectors of all targets if some leaf is one."""
        if not vectors:
            return replace(tree, target=tree.target + target)
        value = np.zeros((len(tree.left), self.targets))
        first = target + tree.target
        value[:, first : first + tree.value.shape[1]] = tree.value
        return replace(tree, value=value, target=0)
