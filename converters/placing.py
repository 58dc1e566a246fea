"""Trees whose splits are conditions on the graph's inputs, without the branches that no input takes.

Belongs here: from a tree and its pulled-back splits to what the operator needs per node. Not here: pulling back
(features.py), the operator (tree_node.py).
Imported as edge_runtime.converters.placing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .ensemble import Tree
from .features import Splits

__all__ = ["Placed", "place"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Placed:
    """One tree with conditions on the graph's inputs and branches that no input takes removed."""

    root: int
    column: NDArray[np.int64]
    equal: NDArray[np.bool_]
    members: dict[int, Floats]  # by node
    threshold: Floats
    true: NDArray[np.int64]
    false: NDArray[np.int64]
    missing: NDArray[np.bool_]
    inner: NDArray[np.bool_]


def place(trees: Sequence[Tree], splits: Splits) -> list[Placed]:
    placed, start = [], 0
    for tree in trees:
        inner = tree.inner
        stop = start + int(inner.sum())

        def spread(values: NDArray[Scalar], at: slice = slice(start, stop), inner: Bools = inner) -> NDArray[Scalar]:
            whole = np.zeros(len(inner), values.dtype)
            whole[inner] = values[at]
            return whole

        swap, constant = spread(splits.swap), spread(splits.constant)
        true = np.where(swap, tree.right, tree.left)
        false = np.where(swap, tree.left, tree.right)
        # A split that sends everything one way is that child.
        goes = np.arange(len(inner))
        for node in np.flatnonzero(inner)[::-1]:
            if constant[node] >= 0:
                goes[node] = tree.left[node] if constant[node] else tree.right[node]
        while (goes[goes] != goes).any():
            goes = goes[goes]
        members = {
            int(node): splits.members[i] for i, node in enumerate(np.flatnonzero(inner), start) if i in splits.members
        }
        placed.append(
            Placed(
                int(goes[0]),
                spread(splits.column),
                spread(splits.equal),
                members,
                spread(splits.threshold),
                np.where(inner, goes[true], -1),
                np.where(inner, goes[false], -1),
                spread(splits.missing),
                inner,
            )
        )
        start = stop
    return placed
