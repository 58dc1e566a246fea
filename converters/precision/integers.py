"""Integer arithmetic by onnxruntime.quantization, for all nodes or a chosen few.

The quantizers are driven in memory, on a prepared graph and on each branch of it by itself (they see outer graphs
only), and print nothing.

Belongs here: making the graphs. Not here: preparing (preparing.py), ranges (calibrating.py), whether it is worth it.
Imported as edge_runtime.converters.precision.integers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode
from onnxruntime.quantization.registry import IntegerOpsRegistry, QDQRegistry, QLinearOpsRegistry

from .calibrating import Ranges
from .cpu import Combination
from .failing import RecipeFailed, library
from .graphs import every_graph, sort
from .parts import Part, defined, joined, parts, taken_from_outside
from .scales import channel_axes

__all__ = ["HEAVY", "dynamic", "nodes_of", "static"]

HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators that multiply by weights: where integers save time."""
TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
STATIC = sorted(QDQRegistry.keys() | QLinearOpsRegistry.keys())
DYNAMIC = sorted(IntegerOpsRegistry)


def nodes_of(model: ModelProto, *, heavy: bool = False) -> tuple[NodeProto, ...]:
    """Nodes of ``model`` (prepared), branches included, that ``static`` can quantize; their names are unique. Only
    those of ``HEAVY`` with a float32 constant among their inputs, if ``heavy``."""
    tensors = (tensor for graph in every_graph(model.graph) for tensor in graph.initializer)
    fixed = {tensor.name for tensor in tensors if tensor.data_type == TensorProto.FLOAT}
    floats = fixed | {
        value.name
        for graph in every_graph(model.graph)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    nodes = (node for graph in every_graph(model.graph) for node in graph.node)
    if heavy:
        return tuple(node for node in nodes if node.op_type in HEAVY and fixed.intersection(node.input))
    return tuple(node for node in nodes if node.op_type in STATIC and floats.intersection(node.input))


def dynamic(
    model: ModelProto, nodes: Collection[str] | None = None, *, weight: str = "int8", reduce_range: bool = False
) -> ModelProto:
    """A copy of ``model`` (prepared) in which ranges of activations are found anew in each run. ``nodes``: names of
    those to quantize, None for all that can be. ``weight``: "int8" (per channel) or "uint8".

    Raises RecipeFailed where onnxruntime.quantization fails, or finds nothing to do.
    """

    def quantizer(part: ModelProto, names: list[str]) -> ONNXQuantizer:
        return ONNXQuantizer(
            part, weight == "int8", reduce_range, QuantizationMode.IntegerOps, False, TYPES[weight], QuantType.QUInt8,
            None, names, [], DYNAMIC, {"MatMulConstBOnly": True},
        )  # fmt: skip

    return quantized(model, f"dynamic {weight}", DYNAMIC, nodes, quantizer)


def static(
    model: ModelProto,
    ranges: Ranges,
    nodes: Collection[str] | None,
    combination: Combination,
    *,
    reduced: Collection[str] = (),
) -> ModelProto:
    """A copy of ``model`` (prepared) with QuantizeLinear and DequantizeLinear around ``nodes`` (names, None for all
    that can be). ``ranges`` are those of the same graph; nodes in a branch that no feed reached have none, and stay.
    The weights of nodes in ``reduced`` take 7 bits, whatever ``combination`` says.

    Raises RecipeFailed where onnxruntime.quantization fails, or finds nothing to do.
    """
    data = ranges.tensors_data()

    def quantizer(part: ModelProto, names: list[str]) -> QDQQuantizer:
        constants = {tensor.name: len(tensor.dims) for tensor in part.graph.initializer}
        override: dict[str, list[dict[str, Any]]] = {}
        for node in part.graph.node:
            if node.name in reduced and node.name in names:
                for place, name in enumerate(node.input):
                    rank = constants.get(name, 0)
                    axes = channel_axes(node, place, rank) if combination.per_channel and rank > 1 else None
                    # An override without an axis would be one scale for all channels.
                    seven = {"reduce_range": True} | ({"axis": axes[0]} if axes else {})
                    if rank > 1:
                        override[name] = [seven]
        return QDQQuantizer(
            part, combination.per_channel, combination.reduce_range, TYPES[combination.weight],
            TYPES[combination.activation], data, names, [], STATIC,
            # Asymmetric, also in int8: what a Relu cuts off is then below the range, and the Relu itself needs no time.
            {"ActivationSymmetric": False, "TensorQuantOverrides": override},
        )  # fmt: skip

    reached = ranged(model, ranges)
    chosen = reached if nodes is None else reached.intersection(nodes)
    return quantized(model, f"static {combination.name}", STATIC, chosen, quantizer)


def ranged(model: ModelProto, ranges: Ranges) -> set[str]:
    """Names of the nodes of which every float32 tensor that is not constant has a range."""
    untold = {
        value.name
        for graph in every_graph(model.graph)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in ranges.ranges
    }
    untold -= {tensor.name for graph in every_graph(model.graph) for tensor in graph.initializer}
    nodes = (node for graph in every_graph(model.graph) for node in graph.node)
    return {node.name for node in nodes if not untold.intersection((*node.input, *node.output))}


def quantized(
    model: ModelProto,
    recipe: str,
    operators: Collection[str],
    nodes: Collection[str] | None,
    quantizer: Callable[[ModelProto, list[str]], Any],
) -> ModelProto:
    changed: list[Part] = []
    for number, part in enumerate(parts(model)):
        names = [node.name for node in part.model.graph.node if node.op_type in operators]
        names = [name for name in names if nodes is None or name in nodes]
        if not names:
            continue
        copy = ModelProto()
        copy.CopyFrom(part.model)
        with library(recipe, "onnxruntime", "onnx"), silence():
            worker = quantizer(copy, names)
            worker.quantize_model()
        made: ModelProto = worker.model.model
        keep_for_branches(part.model, made)
        sort(made.graph)
        if part.owner:
            rename_new(part.model, made, f"p{number}_")
        changed.append(Part(part.owner, part.branch, part.condition, made))
    copy = joined(model, changed)
    del copy.metadata_props[:]
    for graph in every_graph(copy.graph):
        del graph.value_info[:]  # onnxruntime infers types by itself, and names take bytes
    before = sum(len(graph.node) for graph in every_graph(model.graph))
    if not changed or sum(len(graph.node) for graph in every_graph(copy.graph)) == before:
        raise RecipeFailed(recipe, "no node of the graph can be quantized")
    return copy


def keep_for_branches(before: ModelProto, after: ModelProto) -> None:
    """The quantizer drops constants that only graphs inside take."""
    here = {tensor.name for tensor in after.graph.initializer}
    needed = {
        name
        for node in after.graph.node
        for attribute in node.attribute
        if attribute.HasField("g")
        for name in taken_from_outside(attribute.g)
    }
    after.graph.initializer.extend(t for t in before.graph.initializer if t.name in needed and t.name not in here)


def rename_new(before: ModelProto, after: ModelProto, prefix: str) -> None:
    """Tensors and nodes that the quantizer added get names that no other graph has. A bias keeps its name while it
    turns from a constant, which may be the outer graph's, into what a node makes."""
    made = {name for node in before.graph.node for name in node.output}
    old = made | {value.name for value in before.graph.input}
    old |= {t.name for t in before.graph.initializer} & {t.name for t in after.graph.initializer}
    new = {name: prefix + name for name in defined(after.graph) - old if name}
    nodes = {node.name for node in before.graph.node}
    for graph in every_graph(after.graph):
        for node in graph.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]
    for node in after.graph.node:
        if node.name and node.name not in nodes:
            node.name = prefix + node.name
    for value in (*after.graph.initializer, *after.graph.output, *after.graph.value_info):
        value.name = new.get(value.name, value.name)


@contextmanager
def silence() -> Iterator[None]:
    """onnxruntime.quantization logs its advice through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
