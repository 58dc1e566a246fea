"""Tree ensembles lowered: float64 thresholds and leaves on a grid in one operator, the raw sum out.

Belongs here: the graph around the operator, leaves that are vectors. Not here: the types (ensemble.py), the operator
(tree_node.py), pulling splits back through preprocessing (features.py), the grid (grid.py).
Imported as edge_runtime.converters.trees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from .ensemble import Ensemble
from .features import ZERO, NotPulledBackError, Splits
from .graph import Graph
from .grid import round_to_grid
from .placing import Placed, place
from .tree_node import tree_node

__all__ = ["leaf_numbers", "lower"]

Floats = NDArray[np.float64]


def lower(ensemble: Ensemble, splits: Splits, width: int, dtype: str) -> tuple[onnx.ModelProto, float]:
    """The graph `x` [N, width] -> `raw` [N, targets] float64, and how far rounding to the grid moves a raw sum at most.
    ``splits`` are those of `split_arrays`, pulled back."""
    trees = ensemble.trees
    rounded, base, moved = _on_grid(ensemble)
    vector = any(tree.value.shape[1] > 1 for tree in trees)
    graph = Graph()
    x = _input(graph, ensemble, splits, width, dtype)
    placed = place(trees, splits)
    if vector:
        raw = _sum_of_vectors(graph, x, placed, rounded, base)
    else:
        leaves = [values[:, 0].copy() for values in rounded]
        targets = [tree.target for tree in trees]
        first = {target: position for position, target in reversed(list(enumerate(targets)))}
        for target, position in first.items():
            leaves[position] += base[target]  # exact: both are on the grid
        raw = tree_node(graph, x, placed, leaves, targets, ensemble.targets, "raw")
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
    x = _input(graph, ensemble, splits, width, dtype)
    numbers = [np.arange(len(tree.left), dtype=np.float64) for tree in ensemble.trees]
    n = len(ensemble.trees)
    leaf = tree_node(graph, x, place(ensemble.trees, splits), numbers, list(range(n)), n, "leaf")
    graph.output(leaf, "float64", [None, n], name="leaf")
    return graph.model()


def _input(graph: Graph, ensemble: Ensemble, splits: Splits, width: int, dtype: str) -> str:
    """The columns as float64, zero turned into missing where the source takes it for that."""
    x = graph.input("x", dtype, [None, width])
    if dtype != "float64":
        x = graph.node("Cast", [x], to=TensorProto.DOUBLE)
    if not ensemble.zero_missing:
        return x
    zero = np.full((1, width), -1.0)  # nothing is that near to zero
    for column in zero_columns(ensemble, splits):
        zero[0, column] = ZERO
    near = graph.node("LessOrEqual", [graph.node("Abs", [x]), graph.constant(zero)])
    return graph.node("Where", [near, graph.constant(np.array(np.nan)), x])


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
    leaf = tree_node(graph, x, placed, numbers, list(range(len(placed))), len(placed), "leaf")
    index = graph.node("Cast", [leaf], to=TensorProto.INT64)
    vectors = graph.node("Gather", [graph.constant(rows), index], axis=0)
    axes = graph.constant(np.array([1], np.int64))
    return graph.node("ReduceSum", [vectors, axes], keepdims=0)
