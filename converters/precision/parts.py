"""A graph with graphs inside it, taken apart into models that stand alone, and put together again.

onnxruntime's quantizers and calibrators see the outer graph only. A branch of an If becomes a model of its own: what it
takes from outside are its inputs, the constants among them its initializers.

Belongs here: taking apart and putting together. Not here: what is done to a part (integers.py, calibrating.py).
Imported as edge_runtime.converters.precision.parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from .graphs import every_graph

__all__ = ["Part", "branch_of", "clean", "defined", "joined", "parts", "taken_from_outside"]


@dataclass(frozen=True, slots=True)
class Part:
    """One graph as a model. ``owner`` names the node it is inside of, and ``branch`` the attribute; both are "" for
    the whole model's own graph. ``condition`` is the tensor that decides whether a branch is taken."""

    owner: str
    branch: str
    condition: str
    model: ModelProto


def parts(model: ModelProto) -> Iterator[Part]:
    """The outer graph, then each branch, outer ones before those inside. ``model`` must be prepared: names unique
    across all graphs, every tensor typed."""
    yield Part("", "", "", model)
    yield from inner_parts(model, model.graph, {}, {})


def inner_parts(
    model: ModelProto, graph: GraphProto, types: Mapping[str, ValueInfoProto], fixed: Mapping[str, TensorProto]
) -> Iterator[Part]:
    known = {**types, **{value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}}
    constants = {**fixed, **{tensor.name: tensor for tensor in graph.initializer}}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "If" and attribute.HasField("g"):  # loops are not in bundles (edge_runtime.operators)
                inner = attribute.g
                yield Part(node.name, attribute.name, node.input[0], standing_alone(model, inner, known, constants))
                yield from inner_parts(model, inner, known, constants)


def standing_alone(
    model: ModelProto, graph: GraphProto, types: Mapping[str, ValueInfoProto], fixed: Mapping[str, TensorProto]
) -> ModelProto:
    made = ModelProto()
    made.CopyFrom(helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version))
    made.metadata_props.extend(model.metadata_props)
    for name in taken_from_outside(graph):
        if name in fixed:
            made.graph.initializer.add().CopyFrom(fixed[name])
        else:
            made.graph.input.add().CopyFrom(types[name])
    return made


def taken_from_outside(graph: GraphProto) -> list[str]:
    """Tensors that ``graph``, or a graph inside it, takes without making them, each once, in order of use."""
    own, found = defined(graph), dict[str, None]()
    for node in graph.node:
        names = list(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names += taken_from_outside(attribute.g)
        found.update(dict.fromkeys(name for name in names if name and name not in own))
    found.update(dict.fromkeys(value.name for value in graph.output if value.name not in own))
    return list(found)


def defined(graph: GraphProto) -> set[str]:
    """Tensors that this one graph makes or holds."""
    names = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    return names | {name for node in graph.node for name in node.output}


def joined(model: ModelProto, changed: list[Part]) -> ModelProto:
    """A copy of ``model`` with the graphs of ``changed`` in their places, outer ones before those inside, and without
    constants that nothing takes."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for part in changed:
        if not part.owner:
            copy.CopyFrom(part.model)
            continue
        place = branch_of(copy, part)
        outside = set(taken_from_outside(place))
        own = [TensorProto.FromString(t.SerializeToString()) for t in part.model.graph.initializer]
        place.CopyFrom(part.model.graph)
        del place.input[:], place.initializer[:]
        place.initializer.extend(tensor for tensor in own if tensor.name not in outside)
    clean(copy)
    return copy


def branch_of(model: ModelProto, part: Part) -> GraphProto:
    """The graph in ``model`` that ``part`` was taken from."""
    for graph in every_graph(model.graph):
        for node in graph.node:
            if node.name == part.owner:
                graphs: dict[str, GraphProto] = {attribute.name: attribute.g for attribute in node.attribute}
                return graphs[part.branch]
    raise KeyError(part.owner)


def clean(model: ModelProto) -> None:
    """Drop initializers that no node takes and no graph gives out."""
    used = {value.name for graph in every_graph(model.graph) for value in graph.output}
    used |= {name for graph in every_graph(model.graph) for node in graph.node for name in node.input}
    for graph in every_graph(model.graph):
        kept = [t for t in graph.initializer if t.name in used]
        if len(kept) < len(graph.initializer):
            kept = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
            del graph.initializer[:]
            graph.initializer.extend(kept)
