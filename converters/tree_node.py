"""The operator `TreeEnsemble` (ai.onnx.ml 5) from placed trees.

Belongs here: the operator's arrays, their order. Not here: what the trees are (ensemble.py, placing.py).
Imported as edge_runtime.converters.tree_node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from .graph import Graph
from .placing import Placed

__all__ = ["tree_node"]

Floats = NDArray[np.float64]
LESS_OR_EQUAL, EQUAL, MEMBER = 0, 4, 6


@dataclass(slots=True)
class _Arrays:
    """The operator's attributes while they grow: one entry per node, and one per leaf. A child is a node's number, or a
    leaf's where `is_leaf` says so; side 0 is taken where the condition is true."""

    columns: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    members: list[float] = field(default_factory=list)  # those of each set, ended by a NaN
    children: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    is_leaf: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    roots: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def node(self, column: int, threshold: float, mode: int, missing: bool) -> int:
        self.columns.append(column)
        self.thresholds.append(threshold)
        self.modes.append(mode)
        self.missing.append(int(missing))
        for side in (0, 1):
            self.children[side].append(-1)
            self.is_leaf[side].append(0)
        return len(self.columns) - 1

    def leaf(self, parent: int, side: int, weight: float, target: int) -> None:
        self.children[side][parent] = len(self.weights)
        self.is_leaf[side][parent] = 1
        self.weights.append(weight)
        self.targets.append(target)

    def tree(self, tree: Placed, values: list[float], target: int) -> None:
        """Depth first, the true side next to its parent; without recursion, since trees may be deep."""
        columns, thresholds, equal = tree.column.tolist(), tree.threshold.tolist(), tree.equal.tolist()
        missing, inner = tree.missing.tolist(), tree.inner.tolist()
        sides = (tree.true.tolist(), tree.false.tolist())
        self.roots.append(len(self.columns))
        if not inner[tree.root]:  # the operator wants a node at the root
            root = self.node(0, np.inf, LESS_OR_EQUAL, False)
            for side in (0, 1):
                self.leaf(root, side, values[tree.root], target)
            return
        pending = [(tree.root, -1, 0)]
        while pending:
            node, parent, side = pending.pop()
            members = tree.members.get(node)
            mode = MEMBER if members is not None else EQUAL if equal[node] else LESS_OR_EQUAL
            here = self.node(columns[node], thresholds[node], mode, missing[node])
            if parent >= 0:
                self.children[side][parent] = here
            if members is not None:
                self.members += [*members.tolist(), np.nan]
            for which in (1, 0):
                child = sides[which][node]
                if inner[child]:
                    pending.append((child, here, which))
            for which in (0, 1):
                child = sides[which][node]
                if not inner[child]:
                    self.leaf(here, which, values[child], target)


def tree_node(
    graph: Graph,
    x: str,
    placed: Sequence[Placed],
    leaves: Sequence[Floats],
    targets: Sequence[int],
    n_targets: int,
    name: str,
) -> str:
    """The sum of one leaf per tree, [N, n_targets] float64; ``leaves`` has one weight per node of each tree."""
    # Trees with the same root one after the other: a tenth less time (the branch predictor sees the same condition).
    order = sorted(
        range(len(placed)),
        key=lambda i: (int(placed[i].column[placed[i].root]), float(placed[i].threshold[placed[i].root])),
    )
    made = _Arrays()
    for i in order:
        made.tree(placed[i], leaves[i].tolist(), targets[i])
    sets = {"membership_values": tensor(made.members, "members")} if made.members else {}
    return graph.node(
        "TreeEnsemble", [x], name=name, domain="ai.onnx.ml",
        n_targets=n_targets, aggregate_function=1, post_transform=0,
        nodes_featureids=made.columns,
        nodes_splits=tensor(made.thresholds, "splits"),
        nodes_modes=numpy_helper.from_array(np.array(made.modes, np.uint8), "modes"),
        nodes_truenodeids=made.children[0], nodes_falsenodeids=made.children[1],
        nodes_trueleafs=made.is_leaf[0], nodes_falseleafs=made.is_leaf[1],
        nodes_missing_value_tracks_true=made.missing, tree_roots=made.roots,
        leaf_targetids=made.targets, leaf_weights=tensor(made.weights, "weights"), **sets,
    )  # fmt: skip


def tensor(values: list[float], name: str) -> object:
    return numpy_helper.from_array(np.array(values, np.float64), name)
