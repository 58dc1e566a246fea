"""A small builder of ONNX graphs, pinned to what the oldest supported runtime reads.

Belongs here: inputs, nodes, constants, outputs, opsets, and a model's bytes. Not here: what is built (trees.py,
linear.py).
Imported as edge_runtime.converters.exact.graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["IR_VERSION", "OPSETS", "Graph", "node_of", "to_bytes"]

IR_VERSION = 10
OPSETS = {"": 18, "ai.onnx.ml": 5}


class Graph:
    """Names are given by the builder unless ``name`` asks for one; ``nodes`` and ``constants`` are those so far."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self.constants: list[onnx.TensorProto] = []

    def input(self, name: str, dtype: str, shape: Sequence[int | None]) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, element_type(dtype), list(shape)))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], *, name: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output; its name is returned."""
        output = name or f"v{len(self.nodes)}"
        self.nodes.append(node_of(operator, inputs, output, domain, **attributes))
        return output

    def output(self, value: str, dtype: str, shape: Sequence[int | None], *, name: str) -> None:
        if value != name:  # the last node may as well carry the name itself
            for node in self.nodes:
                node.output[:] = [name if output == value else output for output in node.output]
                node.input[:] = [name if used == value else used for used in node.input]
        self._outputs.append(helper.make_tensor_value_info(name, element_type(dtype), list(shape)))

    def model(self) -> onnx.ModelProto:
        used = {node.domain for node in self.nodes} | {""}
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items() if domain in used]
        graph = helper.make_graph(self.nodes, "edge", self._inputs, self._outputs, self.constants)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edge-runtime")
        return model


def node_of(operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), [output], domain=domain, **attributes)


def element_type(dtype: str) -> int:
    if dtype == "str":
        return int(onnx.TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The model's bytes, with the integers of each attribute in one run instead of behind a tag each.

    Every protobuf parser reads both; a graph of trees is a fifth smaller. A message's fields may come in any order, if
    those of one number keep theirs: so each level is what is left of it, then what was written anew.
    """
    return rewritten(model, "graph", 7, [graph_bytes(model.graph)])


def graph_bytes(graph: onnx.GraphProto) -> bytes:
    return rewritten(graph, "node", 1, map(node_bytes, graph.node))


def node_bytes(node: onnx.NodeProto) -> bytes:
    return rewritten(node, "attribute", 5, map(attribute_bytes, node.attribute))


def attribute_bytes(attribute: onnx.AttributeProto) -> bytes:
    run = b"".join(varint(value & 0xFFFF_FFFF_FFFF_FFFF) for value in attribute.ints)
    return rewritten(attribute, "ints", 8, [run] if run else [])


def rewritten(message: Any, name: str, number: int, contents: Iterable[bytes]) -> bytes:
    """``message`` with these ``contents`` in its field ``name``, whose number on the wire is ``number``."""
    left = type(message)()
    left.CopyFrom(message)
    left.ClearField(name)
    before: bytes = left.SerializeToString()
    return before + b"".join(field_of(number, content) for content in contents)


def field_of(number: int, content: bytes) -> bytes:
    """A field of bytes on the wire."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
