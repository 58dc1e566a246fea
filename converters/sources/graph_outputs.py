"""Outputs of a graph that somebody else wrote, under the names of the contract.

Belongs here: nodes behind what a graph gives out, and names that are taken. Not here: which output is what
(sklearn/usual_graph.py, onnx.py).
Imported as edge_runtime.converters.sources.graph_outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import TensorProto, helper

from edge_runtime.ending import Decision
from edge_runtime.schema import TensorSpec

from ..exact.graph import element_type

__all__ = ["decide", "declare", "finish"]


def finish(graph: onnx.ModelProto, source: str, name: str, kind: int | None, *, flat: bool = False) -> None:
    """Give the tensor ``source`` out as ``name`` in the dtype ``kind`` (None: as it is), as [N] if ``flat``."""
    if flat:
        shape, reshaped = free(graph, f"{name}_shape"), free(graph, f"{name}_flat")
        graph.graph.initializer.append(helper.make_tensor(shape, TensorProto.INT64, [1], [-1]))
        graph.graph.node.append(helper.make_node("Reshape", [source, shape], [reshaped]))
        source = reshaped
    if name in names_in(graph.graph):
        other = free(graph, name)
        rename(graph.graph, name, other)
        source = other if source == name else source
    if kind is None or kind == TensorProto.STRING:
        graph.graph.node.append(helper.make_node("Identity", [source], [name]))
    else:
        graph.graph.node.append(helper.make_node("Cast", [source], [name], to=kind))


def decide(graph: onnx.ModelProto, probabilities: str, decision: Decision) -> tuple[TensorSpec, ...]:
    """Add the decision behind the tensor ``probabilities``, [N, 2], and return what is then to be given out."""
    scores, second, threshold, score, made = (
        free(graph, f"decision_{name}") for name in ("scores", "class", "threshold", "score", "made")
    )
    finish(graph, probabilities, scores, TensorProto.DOUBLE)
    graph.graph.initializer.append(helper.make_tensor(second, TensorProto.INT64, [], [1]))
    graph.graph.initializer.append(helper.make_tensor(threshold, TensorProto.DOUBLE, [], [decision.threshold]))
    graph.graph.node.append(helper.make_node("Gather", [scores, second], [score], axis=1))
    graph.graph.node.append(helper.make_node("Greater", [score, threshold], [made]))
    finish(graph, score, decision.score, TensorProto.DOUBLE)
    finish(graph, made, decision.name, TensorProto.BOOL)
    return TensorSpec(decision.score, "float64", (None,)), TensorSpec(decision.name, "bool", (None,))


def declare(graph: onnx.ModelProto, outputs: Iterable[TensorSpec]) -> None:
    """Let the graph give out ``outputs``, and nothing else."""
    del graph.graph.output[:]
    del graph.graph.value_info[:]  # of names that may be others' now; onnxruntime infers it all
    for spec in outputs:
        graph.graph.output.append(helper.make_tensor_value_info(spec.name, element_type(spec.dtype), list(spec.shape)))


def free(graph: onnx.ModelProto, name: str) -> str:
    """``name``, or one made of it that no tensor has."""
    taken = names_in(graph.graph)
    made, count = name, 0
    while made in taken:
        made, count = f"{name}_{count}", count + 1
    return made


def names_in(graph: onnx.GraphProto) -> set[str]:
    """The tensors made in a graph and in the graphs inside it, its inputs and constants."""
    made = {value.name for value in [*graph.input, *graph.initializer]}
    for node in graph.node:
        made.update(node.output)
    return made.union(*(names_in(inner) for inner in inner_graphs(graph)))


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Call the tensor ``old`` ``new``, in the graphs inside as well, which may use it."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in [*graph.initializer, *graph.output]:
        if value.name == old:
            value.name = new
    for inner in inner_graphs(graph):
        rename(inner, old, new)


def inner_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs
