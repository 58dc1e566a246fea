"""A small builder of ONNX graphs, pinned to what the oldest supported runtime reads.

Belongs here: inputs, nodes, constants, outputs, opsets. Not here: what is built (trees.py, linear.py).
Imported as edge_runtime.converters.exact.graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["IR_VERSION", "OPSETS", "Graph"]

IR_VERSION = 10
OPSETS = {"": 18, "ai.onnx.ml": 5}


class Graph:
    """Names are given by the builder unless ``name`` asks for one."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: list[onnx.TensorProto] = []

    def input(self, name: str, dtype: str, shape: Sequence[int | None]) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, element_type(dtype), list(shape)))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], *, name: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output; its name is returned."""
        output = name or f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def output(self, value: str, dtype: str, shape: Sequence[int | None], *, name: str) -> None:
        if value != name:  # the last node may as well carry the name itself
            for node in self._nodes:
                node.output[:] = [name if output == value else output for output in node.output]
                node.input[:] = [name if used == value else used for used in node.input]
        self._outputs.append(helper.make_tensor_value_info(name, element_type(dtype), list(shape)))

    def model(self) -> onnx.ModelProto:
        used = {node.domain for node in self._nodes} | {""}
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items() if domain in used]
        graph = helper.make_graph(self._nodes, "edge", self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edge-runtime")
        return model


def element_type(dtype: str) -> int:
    if dtype == "str":
        return int(onnx.TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
