"""Tree ensembles as one `TreeEnsemble` node (ai.onnx.ml 5): float64 thresholds and leaves, the raw sum out.

Belongs here: the ensemble as every library's reader hands it over, its lowering, its bounds. Not here: reading a
framework's model (sources/), pulling splits back through preprocessing (features.py), the grid (grid.py).
Imported as edge_runtime.converters.trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from .features import Splits
from .graph import Graph
from .grid import round_to_grid

__all__ = ["Ensemble", "Tree", "leaf_numbers", "lower"]

Floats = NDArray[np.float64]
LESS_OR_EQUAL, EQUAL, MEMBER = 0, 4, 6


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


def lower(ensemble: Ensemble, splits: Splits, width: int, dtype: str) -> tuple[onnx.ModelProto, float]:
    """The graph `x` [N, width] -> `raw` [N, targets] float64, and how far rounding to the grid moves a raw sum at most.
    ``splits`` are those of `split_arrays`, pulled back."""
    trees, rounded, base, moved = _on_grid(ensemble)
    vector = any(tree.value.shape[1] > 1 for tree in trees)
    graph = Graph()
    x = graph.input("x", dtype, [None, width])
    if dtype != "float64":
        x = graph.node("Cast", [x], to=TensorProto.DOUBLE)
    placed = _place(ensemble.trees, splits)
    if vector:
        raw = _sum_of_vectors(graph, x, placed, rounded, base)
    else:
        leaves = [values[:, 0].copy() for values in rounded]
        targets = [tree.target for tree in trees]
        first = {target: position for position, target in reversed(list(enumerate(targets)))}
        for target, position in first.items():
            leaves[position] += base[target]  # exact: both are on the grid
        raw = _tree_node(graph, x, placed, leaves, targets, ensemble.targets, "raw")
        alone = [target for target in range(ensemble.targets) if target not in first and base[target] != 0.0]
        if alone:
            offset = np.zeros((1, ensemble.targets))
            offset[0, alone] = base[alone]
            raw = graph.node("Add", [raw, graph.constant(offset)])
    graph.output(raw, "float64", [None, ensemble.targets], name="raw")
    return graph.model(), moved


def leaf_numbers(ensemble: Ensemble, splits: Splits, width: int, dtype: str) -> onnx.ModelProto:
    """The graph `x` [N, width] -> `leaf` [N, trees] float64: the number of the node that each row ends in."""
    graph = Graph()
    x = graph.input("x", dtype, [None, width])
    if dtype != "float64":
        x = graph.node("Cast", [x], to=TensorProto.DOUBLE)
    numbers = [np.arange(len(tree.left), dtype=np.float64) for tree in ensemble.trees]
    n = len(ensemble.trees)
    leaf = _tree_node(graph, x, _place(ensemble.trees, splits), numbers, list(range(n)), n, "leaf")
    graph.output(leaf, "float64", [None, n], name="leaf")
    return graph.model()


def _on_grid(ensemble: Ensemble) -> tuple[tuple[Tree, ...], list[Floats], Floats, float]:
    leaves = [np.where(tree.inner[:, None], 0.0, tree.value) for tree in ensemble.trees]
    rounded, moved = round_to_grid([*leaves, ensemble.base[None, :]])
    return ensemble.trees, rounded[:-1], rounded[-1][0], moved


@dataclass(frozen=True, slots=True)
class _Placed:
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


def _place(trees: Sequence[Tree], splits: Splits) -> list[_Placed]:
    placed, start = [], 0
    for tree in trees:
        inner = tree.inner
        stop = start + int(inner.sum())

        def spread(
            values: NDArray[np.generic], at: slice = slice(start, stop), inner: NDArray[np.bool_] = inner
        ) -> NDArray[np.generic]:
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
            _Placed(
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


def _tree_node(
    graph: Graph,
    x: str,
    placed: Sequence[_Placed],
    leaves: Sequence[Floats],
    targets: Sequence[int],
    n_targets: int,
    name: str,
) -> str:
    """One TreeEnsemble node; ``leaves`` has one weight per node of each tree."""
    # Trees with the same root one after the other: a tenth less time (the branch predictor sees the same condition).
    order = sorted(
        range(len(placed)),
        key=lambda i: (int(placed[i].column[placed[i].root]), float(placed[i].threshold[placed[i].root])),
    )
    columns: list[int] = []
    thresholds: list[float] = []
    modes: list[int] = []
    missing: list[int] = []
    members: list[float] = []  # those of each set, ended by a NaN
    children: tuple[list[int], list[int]] = ([], [])
    is_leaf: tuple[list[int], list[int]] = ([], [])
    roots: list[int] = []
    weights: list[float] = []
    leaf_targets: list[int] = []
    for i in order:
        tree, values, target = placed[i], leaves[i].tolist(), targets[i]
        column, threshold = tree.column.tolist(), tree.threshold.tolist()
        equal, missing_true = tree.equal.tolist(), tree.missing.tolist()
        sides = (tree.true.tolist(), tree.false.tolist())
        inner = tree.inner.tolist()
        roots.append(len(columns))
        if not inner[tree.root]:  # the operator wants a node at the root
            columns.append(0), thresholds.append(np.inf), modes.append(LESS_OR_EQUAL), missing.append(0)
            for child, leaf in zip(children, is_leaf, strict=True):
                child.append(len(weights)), leaf.append(1)
            weights.append(values[tree.root]), leaf_targets.append(target)
            continue
        # Depth first, the true side next to its parent; without recursion, since trees may be deep.
        pending: list[tuple[int, int, int]] = [(tree.root, -1, 0)]
        while pending:
            node, parent, side = pending.pop()
            here = len(columns)
            if parent >= 0:
                children[side][parent] = here
            columns.append(column[node])
            thresholds.append(threshold[node])
            modes.append(MEMBER if node in tree.members else EQUAL if equal[node] else LESS_OR_EQUAL)
            if node in tree.members:
                members += [*tree.members[node].tolist(), np.nan]
            missing.append(int(missing_true[node]))
            inner_children = []
            for which in (0, 1):
                child = sides[which][node]
                if inner[child]:
                    children[which].append(-1), is_leaf[which].append(0)
                    inner_children.append((child, here, which))
                else:
                    children[which].append(len(weights)), is_leaf[which].append(1)
                    weights.append(values[child]), leaf_targets.append(target)
            pending.extend(reversed(inner_children))
    sets = {"membership_values": numpy_helper.from_array(np.array(members, np.float64), "members")} if members else {}
    return graph.node(
        "TreeEnsemble", [x], name=name, domain="ai.onnx.ml",
        n_targets=n_targets, aggregate_function=1, post_transform=0,
        nodes_featureids=columns,
        nodes_splits=numpy_helper.from_array(np.array(thresholds, np.float64), "splits"),
        nodes_modes=numpy_helper.from_array(np.array(modes, np.uint8), "modes"),
        nodes_truenodeids=children[0], nodes_falsenodeids=children[1],
        nodes_trueleafs=is_leaf[0], nodes_falseleafs=is_leaf[1],
        nodes_missing_value_tracks_true=missing, tree_roots=roots,
        leaf_targetids=leaf_targets,
        leaf_weights=numpy_helper.from_array(np.array(weights, np.float64), "weights"), **sets,
    )  # fmt: skip


def _sum_of_vectors(graph: Graph, x: str, placed: Sequence[_Placed], leaves: Sequence[Floats], base: Floats) -> str:
    """Leaves that are vectors: the operator has one weight a leaf, so it gives leaf numbers, and rows of a table are
    summed; exact in any order, as the table is on the grid."""
    table: list[Floats] = []
    numbers: list[Floats] = []
    start = 0
    for tree, values in zip(placed, leaves, strict=True):
        keep = np.flatnonzero(~tree.inner)
        number = np.zeros(len(values))
        number[keep] = start + np.arange(len(keep))
        numbers.append(number)
        table.append(values[keep])
        start += len(keep)
    rows = np.concatenate(table)
    rows[: len(table[0])] += base
    leaf = _tree_node(graph, x, placed, numbers, list(range(len(placed))), len(placed), "leaf")
    index = graph.node("Cast", [leaf], to=TensorProto.INT64)
    vectors = graph.node("Gather", [graph.constant(rows), index], axis=0)
    axes = graph.constant(np.array([1], np.int64))
    return graph.node("ReduceSum", [vectors, axes], keepdims=0)
