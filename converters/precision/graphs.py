"""Walking a graph with all graphs inside it, and reading its constants.

Belongs here: what several recipes ask of a graph. Not here: changing it.
Imported as edge_runtime.converters.precision.graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import count
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

__all__ = [
    "Array",
    "array",
    "constant_of",
    "constants",
    "consumers",
    "every_graph",
    "fresh_names",
    "opset",
    "used_names",
]

Array = NDArray[Any]
STANDARD = {"", "ai.onnx"}


def every_graph(graph: GraphProto) -> Iterator[GraphProto]:
    """``graph`` and, depth first, the graphs in its nodes' attributes (branches of If)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from every_graph(attribute.g)
            for inner in attribute.graphs:
                yield from every_graph(inner)


def constant_of(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node; None for other nodes, and where the value is no dense tensor."""
    if node.op_type != "Constant" or node.domain not in STANDARD:
        return None
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def constants(graph: GraphProto) -> dict[str, TensorProto]:
    """All tensors of this one graph that are fixed, by name: initializers, and values of Constant nodes."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        value = constant_of(node)
        if value is not None:
            found[node.output[0]] = value
    return found


def array(tensor: TensorProto) -> Array:
    """The values of a tensor, read-only."""
    values: Array = numpy_helper.to_array(tensor)
    return values


def consumers(graph: GraphProto) -> dict[str, list[tuple[NodeProto, int]]]:
    """By tensor: the nodes that take it, here or in graphs inside, each with the input's position."""
    found: dict[str, list[tuple[NodeProto, int]]] = {}
    for inner in every_graph(graph):
        for node in inner.node:
            for position, name in enumerate(node.input):
                found.setdefault(name, []).append((node, position))
    return found


def opset(model: ModelProto) -> int:
    """The version of the standard operators; 1 where none is named."""
    return max((entry.version for entry in model.opset_import if entry.domain in STANDARD), default=1)


def used_names(model: ModelProto) -> set[str]:
    """Every name of a tensor or a node, in all graphs."""
    names: set[str] = set()
    for graph in every_graph(model.graph):
        names.update(tensor.name for tensor in graph.initializer)
        names.update(value.name for value in (*graph.input, *graph.output, *graph.value_info))
        for node in graph.node:
            names.update((node.name, *node.input, *node.output))
    return names


def fresh_names(model: ModelProto, stem: str) -> Iterator[str]:
    """Short names that the model does not use yet: ``stem``0, ``stem``1, ..."""
    taken = used_names(model)
    return (name for name in (f"{stem}{number}" for number in count()) if name not in taken)


def sort(graph: GraphProto) -> None:
    """Put the nodes of this one graph in an order in which each comes after what it takes; otherwise as they are."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needs = {index: {makers[name] for name in taken(node) if name in makers} for index, node in enumerate(graph.node)}
    order = [NodeProto.FromString(graph.node[i].SerializeToString()) for i in TopologicalSorter(needs).static_order()]
    del graph.node[:]
    graph.node.extend(order)


def taken(node: NodeProto) -> Iterator[str]:
    """Every name that a node takes, also inside its graphs."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (value.name for value in attribute.g.output)
            for inner in attribute.g.node:
                yield from taken(inner)
