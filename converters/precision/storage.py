"""Weights kept in 16 or 8 bits and folded to float32 when the session is created: a smaller file, the same speed.

A weight W becomes W' -> Cast (-> Mul by its scales) -> W. onnxruntime computes such nodes once, while it opens the
graph, where `Variant.largest_tensor` allows it: give it `largest_folded`. Arithmetic stays float32 throughout.

Belongs here: rewriting the weights, and how much of a file they are. Not here: which axis and which scales
(scales.py), integer arithmetic (integers.py).
Imported as edge_runtime.converters.precision.storage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .failing import RecipeFailed
from .graphs import array, constant_of, constants, consumers, every_graph, fresh_names, opset
from .scales import quantized

__all__ = ["LEAST", "Weight", "largest_folded", "store_float16", "store_int8", "weights_of"]

LEAST = 128
"""Elements of a weight that is worth two more nodes."""
OLDEST = 7  # the opset in which Mul broadcasts as numpy does; Cast names types by number since 6
NEEDS_NO_INPUT = 4  # the IR version in which an initializer need not be an input of the graph


class Weight(NamedTuple):
    """A float32 constant of rank 2 or more. ``operator`` takes it; ``bytes`` in the file; ``stored``: it is large
    enough to be kept smaller."""

    name: str
    operator: str
    shape: tuple[int, ...]
    bytes: int
    stored: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    """What stands in the file for one weight, and the nodes that make the weight of it."""

    tensors: list[TensorProto]
    nodes: list[NodeProto]


def weights_of(model: ModelProto) -> tuple[Weight, ...]:
    """Every weight, nested graphs included. ``sum(w.bytes for w in weights_of(model))`` against
    ``model.ByteSize()`` says how much of the file could become smaller at all."""
    found = []
    for graph, tensor, name in every_weight(model):
        users = consumers(graph).get(name, [])
        size = int(np.prod(tensor.dims))
        operator = users[0][0].op_type if users else ""
        found.append(Weight(name, operator, tuple(tensor.dims), tensor.ByteSize(), size >= LEAST))
    return tuple(found)


def store_float16(model: ModelProto) -> ModelProto:
    """A copy in which weights of at least ``LEAST`` elements are kept as float16. A weight with a value beyond
    float16 (65,504) stays as it is. Raises RecipeFailed for an opset below 7."""
    return rewritten(model, "weights in float16", as_float16)


def store_int8(model: ModelProto, *, half: Collection[str] = ()) -> ModelProto:
    """A copy in which weights of at least ``LEAST`` elements are kept as int8 with one float32 scale per channel, those
    named in ``half`` as float16. A weight that is not finite stays as it is. Raises RecipeFailed for an opset below
    7."""

    def keep(tensor: TensorProto, name: str, graph: GraphProto, names: Iterator[str]) -> _Kept | None:
        return (as_float16 if name in half else as_int8)(tensor, name, graph, names)

    return rewritten(model, "weights in int8", keep)


def as_float16(tensor: TensorProto, name: str, graph: GraphProto, names: Iterator[str]) -> _Kept | None:
    with np.errstate(over="ignore"):
        small = array(tensor).astype(np.float16)
    if not np.isfinite(small).all():
        return None
    half = numpy_helper.from_array(small, next(names))
    return _Kept([half], [helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)])


def as_int8(tensor: TensorProto, name: str, graph: GraphProto, names: Iterator[str]) -> _Kept | None:
    values = array(tensor).astype(np.float32)
    if not np.isfinite(values).all():
        return None
    whole, scale = quantized(values, consumers(graph).get(name, []))
    integers, factors = numpy_helper.from_array(whole, next(names)), numpy_helper.from_array(scale, next(names))
    cast = next(names)
    return _Kept(
        [integers, factors],
        [
            helper.make_node("Cast", [integers.name], [cast], to=TensorProto.FLOAT),
            helper.make_node("Mul", [cast, factors.name], [name]),
        ],
    )


def largest_folded(model: ModelProto) -> int:
    """Bytes of the largest tensor that folding makes of stored weights; 0 where nothing is stored."""
    largest = 0
    for graph in every_graph(model.graph):
        fixed = constants(graph)
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in fixed:
                largest = max(largest, 4 * int(np.prod(fixed[node.input[0]].dims)))
    return largest


def every_weight(model: ModelProto) -> Iterator[tuple[GraphProto, TensorProto, str]]:
    for graph in every_graph(model.graph):
        for name, tensor in constants(graph).items():
            if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2:
                yield graph, tensor, name


Keep = Callable[[TensorProto, str, GraphProto, Iterator[str]], _Kept | None]


def rewritten(model: ModelProto, recipe: str, keep: Keep) -> ModelProto:
    if opset(model) < OLDEST:
        raise RecipeFailed(recipe, f"the graph has opset {opset(model)}; expected {OLDEST} or later")
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = max(copy.ir_version, NEEDS_NO_INPUT)
    names = fresh_names(copy, "w")
    weights: dict[int, tuple[GraphProto, list[tuple[str, TensorProto]]]] = {}
    for graph, tensor, name in every_weight(copy):
        if int(np.prod(tensor.dims)) >= LEAST:
            weights.setdefault(id(graph), (graph, []))[1].append((name, tensor))
    for graph, found in reversed(weights.values()):  # inner graphs first: an outer one is rebuilt with what is in it
        replace(graph, {name: kept for name, tensor in found if (kept := keep(tensor, name, graph, names))})
    return copy


def replace(graph: GraphProto, kept: dict[str, _Kept]) -> None:
    """Put what is kept in the place of the weights of these names, in this one graph."""
    nodes = [node for node in graph.node if constant_of(node) is None or node.output[0] not in kept]
    tensors = [tensor for tensor in graph.initializer if tensor.name not in kept]
    # An initializer that is also an input could be overridden by a caller, and would not be folded.
    inputs = [value for value in graph.input if value.name not in kept]
    made = [node for entry in kept.values() for node in entry.nodes]
    small = [tensor for entry in kept.values() for tensor in entry.tensors]
    for field, content in ((graph.node, made + nodes), (graph.initializer, tensors + small), (graph.input, inputs)):
        content = [type(item).FromString(item.SerializeToString()) for item in content]
        del field[:]
        field.extend(content)
