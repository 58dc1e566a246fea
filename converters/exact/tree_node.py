"""The operator `TreeEnsemble` (ai.onnx.ml 5): written from placed trees, and read back.

Belongs here: the operator's arrays, their order. Not here: what the trees are (ensemble.py, placing.py).
Imported as edge_runtime.converters.exact.tree_node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from .graph import Graph
from .placing import Placed
from .region import EQUAL, LESS_OR_EQUAL, MEMBER, Condition

__all__ = ["ReadTree", "read_trees", "tree_node"]

Floats = NDArray[np.float64]


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

    def tree(self, tree: Placed, weights: list[float], target: int) -> None:
        start, first_leaf = len(self.columns), len(self.weights)
        self.roots.append(start)
        self.weights += weights
        self.targets += [target] * len(weights)
        # The operator wants a node at the root, even of a tree that is one leaf.
        conditions = tree.conditions or (Condition(0, LESS_OR_EQUAL, np.inf, (), False),)
        for condition in conditions:
            self.columns.append(condition.column)
            self.thresholds.append(condition.threshold)
            self.modes.append(condition.mode)
            self.missing.append(int(condition.missing))
            if condition.mode == MEMBER:
                self.members += [*condition.members, np.nan]
        for side, children in enumerate((tree.true or (~0,), tree.false or (~0,))):
            self.children[side].extend(first_leaf + ~child if child < 0 else start + child for child in children)
            self.is_leaf[side].extend(int(child < 0) for child in children)


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


def tensor(values: list[float], name: str) -> onnx.TensorProto:
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
