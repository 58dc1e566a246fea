"""Tree ensembles lowered: float64 thresholds and leaves on a grid in one operator, the raw sum out.

Belongs here: the graph around the operator, leaves that are vectors. Not here: the types (ensemble.py), the operator
(tree_node.py), pulling splits back through preprocessing (features.py), the grid (grid.py).
Imported as edge_runtime.converters.exact.trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from .ensemble import Ensemble
from .features import ZERO, NotPulledBackError, Splits
from .graph import Graph
from .grid import round_to_grid
from .placing import Placed, fold, place
from .region import Condition, Region
from .tree_node import tree_node

__all__ = ["Lowered", "columns_as_read", "cut_columns", "leaf_numbers", "lower", "sum_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lowered:
    """The graph, the placed trees in its order, the rounded leaves of the source's trees and base, and a bound on how
    far the rounding moves a raw sum."""

    model: onnx.ModelProto
    placed: tuple[Placed, ...]
    leaves: tuple[Floats, ...]
    base: Floats
    moved: float


def lower(ensemble: Ensemble, splits: Splits, space: Region, dtype: str) -> Lowered:
    """The graph `x` [N, columns] -> `raw` [N, targets] float64. ``splits`` are the ensemble's conditions pulled back,
    ``space`` what each column may hold."""
    rounded, base, moved = _on_grid(ensemble)
    targets = [tree.target for tree in ensemble.trees]
    alike = [np.unique(values, axis=0, return_inverse=True)[1].ravel() for values in rounded]
    placed = _in_order(fold(place(ensemble.trees, splits, space, alike), targets))
    graph = Graph()
    x = columns_as_read(graph, ensemble, splits, len(space), dtype)
    if any(tree.value.shape[1] > 1 for tree in ensemble.trees):
        raw = _sum_of_vectors(graph, x, placed, rounded, base)
    else:
        raw = _sum_of_numbers(graph, x, placed, rounded, base, targets)
    graph.output(raw, "float64", [None, ensemble.targets], name="raw")
    return Lowered(graph.model(), tuple(placed), tuple(rounded), base, moved)


def leaf_numbers(ensemble: Ensemble, splits: Splits, space: Region, dtype: str) -> onnx.ModelProto:
    """The graph `x` [N, columns] -> `leaf` [N, trees] float64: the number of the node that each row ends in."""
    graph = Graph()
    x = columns_as_read(graph, ensemble, splits, len(space), dtype)
    n = len(ensemble.trees)
    placed = place(ensemble.trees, splits, space, [np.arange(len(tree.left)) for tree in ensemble.trees])
    leaf = tree_node(graph, x, placed, [tree.leaves[0].astype(np.float64) for tree in placed], range(n), n, "leaf")
    graph.output(leaf, "float64", [None, n], name="leaf")
    return graph.model()


def _in_order(placed: list[Placed]) -> list[Placed]:
    """Trees with the same root one after the other: a tenth less time (the branch predictor sees one condition)."""
    none = Condition(-1, 0, 0.0, (), False)
    roots = [tree.conditions[0] if tree.conditions else none for tree in placed]
    return [
        tree
        for _, tree in sorted(zip(roots, placed, strict=True), key=lambda pair: (pair[0].column, pair[0].threshold))
    ]


def _sum_of_numbers(
    graph: Graph, x: str, placed: Sequence[Placed], leaves: Sequence[Floats], base: Floats, targets: Sequence[int]
) -> str:
    """One weight a leaf. The base goes into the leaves of each target's first tree: exact, as both are on the grid."""
    weights = [sum_of(tree, leaves)[:, 0] for tree in placed]
    own = [targets[tree.trees[0]] for tree in placed]
    for target in set(own):
        weights[own.index(target)] += base[target]
    alone = [target for target in range(len(base)) if target not in own and base[target] != 0.0]
    raw = tree_node(graph, x, placed, weights, own, len(base), "sum" if alone else "raw")
    if alone:
        offset = np.zeros((1, len(base)))
        offset[0, alone] = base[alone]
        raw = graph.node("Add", [raw, graph.constant(offset)])
    return raw


def sum_of(tree: Placed, leaves: Sequence[Floats]) -> Floats:
    """The values of a placed tree's leaves, [leaves, targets]: those of its source trees, added."""
    total = np.zeros((tree.leaves.shape[1], leaves[tree.trees[0]].shape[1]))
    for number, nodes in zip(tree.trees, tree.leaves, strict=True):
        total += leaves[number][nodes]
    return total


def columns_as_read(graph: Graph, ensemble: Ensemble, splits: Splits, width: int, dtype: str) -> str:
    """The columns as float64, as the source looks at them: some without their fraction, some with zero as missing."""
    x = graph.input("x", dtype, [None, width])
    if dtype != "float64":
        x = graph.node("Cast", [x], to=TensorProto.DOUBLE)
    cut = cut_columns(splits)
    if cut:
        mask = np.isin(np.arange(width), cut)[None, :]
        fraction = graph.node("Mod", [x, graph.constant(np.array(1.0))], fmod=1)
        x = graph.node("Where", [graph.constant(mask), graph.node("Sub", [x, fraction]), x])
    if splits.others:
        x = _without_fractions(graph, splits, x, width)
    if splits.holes:
        x = _without_holes(graph, splits, x, width)
    if not ensemble.zero_missing:
        return x
    zero = np.full((1, width), -1.0)  # nothing is that near to zero
    for column in zero_columns(ensemble, splits):
        zero[0, column] = ZERO
    near = graph.node("LessOrEqual", [graph.node("Abs", [x]), graph.constant(zero)])
    return graph.node("Where", [near, graph.constant(np.array(np.nan)), x])


def _without_fractions(graph: Graph, splits: Splits, x: str, width: int) -> str:
    """Categories are whole numbers here: one with a fraction as a number that is none of them."""
    most, other = np.ones((1, width)), np.zeros((1, width))
    for column, number in splits.others.items():
        most[0, column], other[0, column] = 0.0, number
    fraction = graph.node("Abs", [graph.node("Mod", [x, graph.constant(np.array(1.0))], fmod=1)])
    return graph.node("Where", [graph.node("Greater", [fraction, graph.constant(most)]), graph.constant(other), x])


def _without_holes(graph: Graph, splits: Splits, x: str, width: int) -> str:
    """Numbers in a column's hole as missing; before that, missing ones as the numbers that the source makes of them."""
    fill, low, high = np.full((1, width), np.nan), np.full((1, width), np.inf), np.full((1, width), -np.inf)
    for column, hole in splits.holes.items():
        fill[0, column], low[0, column], high[0, column] = hole.fill, hole.low, hole.high
    if not np.isnan(fill).all():
        x = graph.node("Where", [graph.node("IsNaN", [x]), graph.constant(fill), x])
    inside = graph.node(
        "And",
        [
            graph.node("GreaterOrEqual", [x, graph.constant(low)]),
            graph.node("LessOrEqual", [x, graph.constant(high)]),
        ],
    )
    return graph.node("Where", [inside, graph.constant(np.array(np.nan)), x])


def cut_columns(splits: Splits) -> list[int]:
    """Columns that sets disregard the fraction of. Raises NotPulledBackError where another condition looks at it."""
    number = ~splits.finite
    both = set(splits.column[splits.cut].tolist()) & set(splits.column[number & ~splits.cut].tolist())
    if both:
        raise NotPulledBackError("a column is a category for one feature and a number for another")
    return sorted(set(splits.column[splits.cut].tolist()))


def zero_columns(ensemble: Ensemble, splits: Splits) -> list[int]:
    """Number columns that a feature in ``zero_missing`` is. Raises NotPulledBackError where the column also feeds a
    feature whose zero is a number."""
    feature = ensemble.conditions().feature
    zero = np.isin(feature, sorted(ensemble.zero_missing)) & ~splits.finite
    both = set(splits.column[zero].tolist()) & set(splits.column[~zero].tolist())
    if both:
        raise NotPulledBackError("a column's zero is missing for one feature and a number for another")
    return sorted(set(splits.column[zero].tolist()))


def _on_grid(ensemble: Ensemble) -> tuple[list[Floats], Floats, float]:
    """Leaves per tree, base, and how far the rounding moves a sum at most."""
    leaves = [np.where(tree.inner[:, None], 0.0, tree.value) for tree in ensemble.trees]
    rounded, moved = round_to_grid([*leaves, ensemble.base[None, :]])
    return rounded[:-1], rounded[-1][0], moved


def _sum_of_vectors(graph: Graph, x: str, placed: Sequence[Placed], leaves: Sequence[Floats], base: Floats) -> str:
    """Leaves that are vectors: the operator has one weight a leaf, so it gives leaf numbers, and rows of a table are
    summed; exact in any order, as the table is on the grid."""
    table = [sum_of(tree, leaves) for tree in placed]
    table[0] = table[0] + base
    starts = np.cumsum([0, *(len(rows) for rows in table[:-1])])
    numbers = [start + np.arange(len(rows), dtype=np.float64) for start, rows in zip(starts, table, strict=True)]
    leaf = tree_node(graph, x, placed, numbers, range(len(placed)), len(placed), "leaf")
    index = graph.node("Cast", [leaf], to=TensorProto.INT64)
    vectors = graph.node("Gather", [graph.constant(np.concatenate(table)), index], axis=0)
    axes = graph.constant(np.array([1], np.int64))
    return graph.node("ReduceSum", [vectors, axes], keepdims=0)
