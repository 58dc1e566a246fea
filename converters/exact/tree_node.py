"""The operator `TreeEnsemble` (ai.onnx.ml 5): written from placed trees, and read back.

Belongs here: the operator's arrays, their order. Not here: what the trees are (ensemble.py, placing.py).
Imported as edge_runtime.converters.exact.tree_node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from .graph import Graph
from .placing import Placed
from .region import EQUAL, LESS_OR_EQUAL, MEMBER, Condition

__all__ = ["ReadTree", "read_trees", "tree_node"]

Floats = NDArray[np.float64]


class _Arrays:
    """The operator's attributes while they grow: one entry per node, and one per leaf. A child is a node's number, or
    ~k for leaf k; the true side's is taken where the condition holds."""

    def __init__(self) -> None:
        self.conditions: list[Condition] = []
        self.true: list[int] = []
        self.false: list[int] = []
        self.roots: list[int] = []
        self.weights: list[float] = []
        self.targets: list[int] = []

    def tree(self, tree: Placed, weights: list[float], target: int) -> None:
        start, first_leaf = len(self.conditions), len(self.weights)
        self.roots.append(start)
        self.weights += weights
        self.targets += [target] * len(weights)
        # The operator wants a node at the root, even of a tree that is one leaf.
        self.conditions += tree.conditions or (Condition(0, LESS_OR_EQUAL, np.inf, (), False),)
        for grown, children in ((self.true, tree.true or (~0,)), (self.false, tree.false or (~0,))):
            grown += [child - first_leaf if child < 0 else start + child for child in children]

    def attributes(self) -> dict[str, Any]:
        """In an order that deflates by a fifth better than the trees': nodes by column and threshold, leaves by weight,
        so that neighbours share their first bytes. The runtime lays trees out anew in any case."""
        columns, thresholds = zip(*((c.column, c.threshold) for c in self.conditions), strict=True)
        nodes = np.lexsort((thresholds, columns))
        leaves = np.lexsort((self.weights, self.targets))
        conditions = [self.conditions[i] for i in nodes]
        place = np.empty(len(nodes) + len(leaves), np.int64)  # of node i at i, of leaf k at ~k
        place[nodes] = np.arange(len(nodes))
        place[~leaves] = np.arange(len(leaves))
        true, false = (np.array(side)[nodes] for side in (self.true, self.false))
        sets = [c.members for c in conditions if c.mode == MEMBER]  # each is ended by a NaN
        members = [value for values in sets for value in (*values, np.nan)]
        return {
            "nodes_featureids": [c.column for c in conditions],
            "nodes_splits": tensor([c.threshold for c in conditions], "splits"),
            "nodes_modes": numpy_helper.from_array(np.array([c.mode for c in conditions], np.uint8), "modes"),
            "nodes_truenodeids": place[true],
            "nodes_falsenodeids": place[false],
            "nodes_trueleafs": (true < 0).astype(np.int64),
            "nodes_falseleafs": (false < 0).astype(np.int64),
            "nodes_missing_value_tracks_true": [int(c.missing) for c in conditions],
            "tree_roots": place[self.roots],
            "leaf_targetids": np.array(self.targets)[leaves],
            "leaf_weights": tensor(np.array(self.weights)[leaves], "weights"),
            **({"membership_values": tensor(members, "members")} if members else {}),
        }


def tree_node(
    graph: Graph,
    x: str,
    placed: Sequence[Placed],
    weights: Sequence[Floats],
    targets: Sequence[int],
    n_targets: int,
    name: str,
) -> str:
    """The sum of one leaf per tree, [N, n_targets] float64; ``weights`` has those of each tree's leaves."""
    made = _Arrays()
    for tree, values, target in zip(placed, weights, targets, strict=True):
        made.tree(tree, values.tolist(), target)
    return graph.node(
        "TreeEnsemble", [x], name=name, domain="ai.onnx.ml",
        n_targets=n_targets, aggregate_function=1, post_transform=0, **made.attributes(),
    )  # fmt: skip


def tensor(values: Sequence[float] | Floats, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float64), name)


@dataclass(frozen=True, slots=True)
class ReadTree:
    """A tree as the operator has it: nodes by number, children as in `Placed`, leaves with weight and target."""

    root: int
    conditions: dict[int, Condition]
    true: dict[int, int]
    false: dict[int, int]
    weights: Floats
    targets: NDArray[np.int64]


def read_trees(node: onnx.NodeProto) -> list[ReadTree]:
    """The trees of the operator ``node``, as a runtime reads them. Raises ValueError where the arrays do not fit."""
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    arrays = {
        name: numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)
        for name, value in given.items()
    }
    members = iter(arrays.get("membership_values", np.zeros(0)).tolist())
    modes = arrays["nodes_modes"].tolist()
    if set(modes) - {LESS_OR_EQUAL, EQUAL, MEMBER}:
        raise ValueError(f"a condition has the mode {max(modes)}")
    sets = [_until_nan(members) if mode == MEMBER else () for mode in modes]
    sides = [
        np.where(arrays[f"nodes_{side}leafs"] == 1, ~arrays[f"nodes_{side}nodeids"], arrays[f"nodes_{side}nodeids"])
        for side in ("true", "false")
    ]
    missing = arrays["nodes_missing_value_tracks_true"].tolist()
    trees = []
    for root in arrays["tree_roots"].tolist():
        conditions: dict[int, Condition] = {}
        pending = [root]
        while pending:
            i = pending.pop()
            if i in conditions:
                raise ValueError(f"node {i} has two parents")
            threshold = float(arrays["nodes_splits"][i])
            conditions[i] = Condition(
                int(arrays["nodes_featureids"][i]), modes[i], threshold, sets[i], bool(missing[i])
            )
            pending += [int(side[i]) for side in sides if side[i] >= 0]
        true, false = ({i: int(side[i]) for i in conditions} for side in sides)
        trees.append(ReadTree(root, conditions, true, false, arrays["leaf_weights"], arrays["leaf_targetids"]))
    return trees


def _until_nan(values: Iterator[float]) -> tuple[float, ...]:
    taken = []
    for value in values:
        if value != value:
            break
        taken.append(value)
    return tuple(taken)
