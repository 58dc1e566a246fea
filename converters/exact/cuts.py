"""The columns by which rows are sorted before they go through a graph of trees, and where those are cut.

Belongs here: the choice, from the operator's trees. Not here: sorting (edge_runtime.row_order).
Imported as edge_runtime.converters.exact.cuts.
"""

from __future__ import annotations

import numpy as np
import onnx

from edge_runtime.row_order import Cuts

from .region import MEMBER
from .tree_node import read_trees

__all__ = ["cuts_of"]

WORTH = 500  # conditions; below, a row's way through the trees costs no more than sorting it
LEVELS = 3  # of each tree: below, a condition decides for few rows
COLUMNS = 4
CELLS = 8  # per column


def cuts_of(model: onnx.ModelProto) -> tuple[Cuts, ...]:
    """Quantiles of the thresholds of the columns that the trees ask first; () where sorting is not worth it."""
    nodes = [node for node in model.graph.node if node.op_type == "TreeEnsemble"]
    trees = [tree for node in nodes for tree in read_trees(node)]
    if sum(len(tree.conditions) for tree in trees) < WORTH:
        return ()
    asked: dict[int, list[float]] = {}
    weight: dict[int, float] = {}
    for tree in trees:
        level = [tree.root]
        for depth in range(LEVELS):
            for node in level:
                condition = tree.conditions[node]
                if condition.mode != MEMBER and np.isfinite(condition.threshold):
                    asked.setdefault(condition.column, []).append(condition.threshold)
                    weight[condition.column] = weight.get(condition.column, 0.0) + 0.5**depth
            level = [child for node in level for child in (tree.true[node], tree.false[node]) if child >= 0]
    heaviest = sorted(weight, key=lambda column: -weight[column])[:COLUMNS]
    return tuple(Cuts(column, _quantiles(asked[column])) for column in heaviest)


def _quantiles(thresholds: list[float]) -> tuple[float, ...]:
    """Few and in few digits: where exactly a column is cut changes nothing but speed."""
    at = np.quantile(thresholds, np.arange(1, CELLS) / CELLS, method="nearest")
    return tuple(sorted({float(f"{value:.3g}") for value in at.tolist()}))
