"""Linear maps as one float64 Gemm behind element-wise operators, which keep their bits in any batch.

Belongs here: preprocessing steps as operators, the Gemm. Not here: reading weights (sources/).
Imported as edge_runtime.converters.exact.linear.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from .features import Block, Feature, FiniteColumn, NotPulledBackError
from .graph import Graph
from .head import Linear

__all__ = ["lower"]

OPERATORS = {"sub": "Sub", "div": "Div", "mul": "Mul", "add": "Add", "max": "Max", "min": "Min"}
NEUTRAL = {"sub": 0.0, "div": 1.0, "mul": 1.0, "add": 0.0, "max": -np.inf, "min": np.inf}


def lower(
    head: Linear, blocks: Sequence[Block], finite: dict[int, FiniteColumn], width: int, dtype: str
) -> onnx.ModelProto:
    """The graph `x` [N, width] -> `raw` [N, targets] float64."""
    features = [feature for block in blocks for feature in block.features]
    if any(feature.bins for feature in features):
        raise NotPulledBackError("a discretizer before the linear map makes one feature per bin")
    graph = Graph()
    x = graph.input("x", dtype, [None, width])
    if dtype != "float64":
        x = graph.node("Cast", [x], to=TensorProto.DOUBLE)
    parts: list[str] = []
    weights: list[NDArray[np.float64]] = []
    for kind in sorted({tuple(name for name, _ in f.steps) for f in features if not f.finite}):
        own = [j for j, f in enumerate(features) if not f.finite and tuple(name for name, _ in f.steps) == kind]
        parts.append(_numbers(graph, x, [features[j] for j in own], width))
        weights.append(head.weights[own])
    flags = _flags(graph, x, blocks, finite, head.weights)
    if flags is not None:
        parts.append(flags[0])
        weights.append(flags[1])
    joined = parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=1)
    raw = graph.node("Gemm", [joined, graph.constant(np.concatenate(weights)), graph.constant(head.bias)])
    graph.output(raw, "float64", [None, head.weights.shape[1]], name="raw")
    return graph.model()


def _numbers(graph: Graph, x: str, features: list[Feature], width: int) -> str:
    """Columns through their steps; all of ``features`` have the same operations."""
    columns = [feature.column for feature in features]
    value = x
    if columns != list(range(width)):
        value = graph.node("Gather", [x, graph.constant(np.array(columns, np.int64))], axis=1)
    for position, (name, _) in enumerate(features[0].steps):
        if name not in (*OPERATORS, "missing", "fill"):
            raise NotPulledBackError("a transformer before the linear map has no operators of ours")
        constants = np.array([[feature.steps[position][1] for feature in features]])
        if name == "missing":
            value = graph.node("Cast", [graph.node("IsNaN", [value])], to=TensorProto.DOUBLE)
        elif name == "fill":
            value = graph.node("Where", [graph.node("IsNaN", [value]), graph.constant(constants), value])
        else:
            value = graph.node(OPERATORS[name], [value, graph.constant(constants)])
    return value


def _flags(
    graph: Graph, x: str, blocks: Sequence[Block], finite: dict[int, FiniteColumn], all_weights: NDArray[np.float64]
) -> tuple[str, NDArray[np.float64]] | None:
    """One flag per category that contributes, and its weight: the category's features times theirs."""
    columns: list[int] = []
    values: list[float] = []
    weights: list[NDArray[np.float64]] = []
    missing: list[tuple[int, NDArray[np.float64]]] = []
    start = 0
    for block in blocks:
        own = all_weights[start : start + len(block.features)]
        start += len(block.features)
        for column in sorted({f.column for f in block.features if f.finite}):
            known = finite[column]
            which = [j for j, f in enumerate(block.features) if f.column == column and f.finite]
            made = block.evaluate({column: known.inputs}, len(known.inputs))[:, which] @ own[which]
            unknown = len(known.codes) - known.missing - 1 if known.unknown and not known.coded else None
            for position, (code, contribution) in enumerate(zip(known.codes.tolist(), made, strict=True)):
                if not contribution.any():
                    continue
                if position == unknown:
                    raise NotPulledBackError("an unknown number has a weight of its own")
                if np.isnan(code):
                    missing.append((column, contribution))
                else:
                    columns.append(column)
                    values.append(code)
                    weights.append(contribution)
    parts = []
    if columns:
        taken = graph.node("Gather", [x, graph.constant(np.array(columns, np.int64))], axis=1)
        parts.append(graph.node("Equal", [taken, graph.constant(np.array([values]))]))
    if missing:
        taken = graph.node("Gather", [x, graph.constant(np.array([c for c, _ in missing], np.int64))], axis=1)
        parts.append(graph.node("IsNaN", [taken]))
        weights += [contribution for _, contribution in missing]
    if not parts:
        return None
    flags = parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=1)
    return graph.node("Cast", [flags], to=TensorProto.DOUBLE), np.array(weights)
