"""The small changes that make a graph easy to quantize: names, types, constants in one place.

Belongs here: changes in place that leave every answer as it is, bit for bit. Not here: folding (preparing.py).
Imported as edge_runtime.converters.precision.tidying.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from .graphs import constant_of, every_graph, fresh_names
from .parts import branch_of, parts
from .sessions import session

__all__ = ["flat_biases", "name_all", "share_constants", "to_initializers", "type_all", "used_domains"]

SHARED = 1024  # elements from which a constant that stands in two branches is kept once
LEAST_IR = 4  # initializers need not be inputs of the graph
# Marks the graph as one whose types are known: without it the quantizer infers them again for each recipe.
INFERRED = {"onnx.infer": "onnxruntime.quant"}
TYPES = {
    "float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16, "bool": TensorProto.BOOL,
    "string": TensorProto.STRING, "bfloat16": TensorProto.BFLOAT16,
    **{f"{s}int{bits}": getattr(TensorProto, f"{s}int{bits}".upper()) for s in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def to_initializers(model: ModelProto) -> None:
    """Values of Constant nodes become initializers, in every graph."""
    model.ir_version = max(model.ir_version, LEAST_IR)
    for graph in every_graph(model.graph):
        kept: list[NodeProto] = []
        for node in graph.node:
            value = constant_of(node)
            if value is None:
                kept.append(NodeProto.FromString(node.SerializeToString()))
            else:
                graph.initializer.add().CopyFrom(value)
                graph.initializer[-1].name = node.output[0]
        del graph.node[:]
        graph.node.extend(kept)


def name_all(model: ModelProto) -> None:
    """Every node has a name of its own, and no tensor in one branch is called as one in another."""
    node_names, tensor_names = fresh_names(model, "n"), fresh_names(model, "t")
    nodes, tensors = set[str](), set[str]()

    def visit(graph: GraphProto, scope: dict[str, str]) -> None:
        known = dict(scope)

        def own(name: str) -> str:
            if name and name in tensors:
                known[name] = next(tensor_names)
            tensors.add(known.get(name, name))
            return known.get(name, name)

        for value in graph.input:
            value.name = own(value.name)
        held = {value.name for value in graph.input}
        for tensor in graph.initializer:
            tensor.name = tensor.name if tensor.name in held else own(tensor.name)
        for node in graph.node:
            if not node.name or node.name in nodes:
                node.name = next(node_names)
            nodes.add(node.name)
            node.input[:] = [known.get(name, name) for name in node.input]
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    visit(attribute.g, known)
            node.output[:] = [own(name) for name in node.output]
        for value in (*graph.output, *graph.value_info):
            value.name = known.get(value.name, value.name)

    visit(model.graph, {})


def share_constants(model: ModelProto) -> None:
    """A large constant that stands in several branches is kept once, in the outer graph."""
    seen: dict[tuple[int, tuple[int, ...], bytes], list[tuple[GraphProto, TensorProto]]] = {}
    for graph in every_graph(model.graph):
        given = {value.name for value in (*graph.output, *graph.input)}
        for tensor in graph.initializer:
            if int(np.prod(tensor.dims)) >= SHARED and tensor.name not in given:
                values = onnx.numpy_helper.to_array(tensor).tobytes()
                seen.setdefault((tensor.data_type, tuple(tensor.dims), values), []).append((graph, tensor))
    renamed: dict[str, str] = {}
    for places in seen.values():
        if len(places) > 1:
            first = places[0][1].name
            renamed.update({tensor.name: first for _, tensor in places})
            if not any(graph is model.graph for graph, _ in places):
                model.graph.initializer.add().CopyFrom(places[0][1])
    for graph in every_graph(model.graph):
        kept = [
            TensorProto.FromString(tensor.SerializeToString())
            for tensor in graph.initializer
            if tensor.name not in renamed or (graph is model.graph and renamed[tensor.name] == tensor.name)
        ]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        for node in graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]


def flat_biases(model: ModelProto) -> None:
    """The constant bias of a Gemm becomes [N] where it is [1, N]: onnxruntime's quantizer indexes it by channel, and
    otherwise fails with "truth value of an array"."""
    for graph in every_graph(model.graph):
        fixed = {tensor.name: tensor for tensor in graph.initializer}
        names = fresh_names(model, "b")
        for node in graph.node:
            bias = fixed.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
            if bias is not None and len(bias.dims) == 2 and bias.dims[0] == 1:
                flat = graph.initializer.add()
                flat.CopyFrom(bias)
                flat.name, flat.dims[:] = next(names), bias.dims[1:]
                node.input[2] = flat.name


def used_domains(model: ModelProto) -> None:
    """Only the domains that nodes have are named (onnxruntime writes all that it knows), and no metadata is left."""
    used = {node.domain for graph in every_graph(model.graph) for node in graph.node} | {""}
    imports = {entry.domain: entry.version for entry in model.opset_import if entry.domain in used}
    del model.opset_import[:], model.metadata_props[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in imports.items())
    helper.set_model_props(model, INFERRED)


def type_all(model: ModelProto) -> None:
    """Every tensor of every graph has its type, as onnxruntime infers it."""
    for part in parts(model):  # outer graphs come first: their types are those of the inner graphs' inputs
        graph = model.graph if not part.owner else branch_of(model, part)
        typed = {v.name for v in (*graph.input, *graph.output, *graph.value_info) if v.type.WhichOneof("value")}
        missing = [name for node in graph.node for name in node.output if name and name not in typed]
        if not missing:
            continue
        asking = ModelProto()
        asking.CopyFrom(part.model)
        asking.graph.output.extend(ValueInfoProto(name=name) for name in missing)
        told = {output.name: output.type for output in session(asking, optimized=False).get_outputs()}
        for name in missing:
            kind = TYPES.get(told[name].removeprefix("tensor(").removesuffix(")"))
            if kind is not None:  # sequences and the like stay untyped: nobody quantizes them
                graph.value_info.append(helper.make_tensor_value_info(name, kind, None))
