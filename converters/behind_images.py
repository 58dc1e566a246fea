"""A network behind the preparation of its images: what its reader is given, and what becomes of what it read.

The source itself takes prepared images, so it is asked with what the same nodes make of them.

Belongs here: putting preparation and network together. Not here: the preparation itself (preprocessing.py).
Imported as edge_runtime.converters.behind_images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import onnxruntime
from onnx import TensorProto, helper

from edge_runtime.errors import InputError
from edge_runtime.schema import Schema
from edge_runtime.session import ERRORS, failed, inputs_of, outputs_of

from .exact.graph import IR_VERSION, OPSETS
from .network import Network
from .preprocessing import Image, with_preprocessing
from .samples import ONLY, Feed, Tensors
from .source import Request, Source

__all__ = ["with_images", "without_images"]

SHOWN = 4
"""So many samples are prepared for a reader, which asks the source with them."""


def without_images(asked: Request, images: Mapping[str, Image]) -> Request:
    """``asked`` with a few samples as the source takes them. Raises InputError where the data are no tensors."""
    if not images:
        return asked
    if asked.tensors is None:
        raise InputError("data is a table, and images are declared", expected=f"a dict of arrays {sorted(images)}")
    prepare, given = preparing(images), asked.tensors
    if given.arrays is None:
        return replace(asked, tensors=Tensors(None, [prepare(dict(feed)) for feed in (given.feeds or ())[:SHOWN]]))
    arrays = {name: values[:SHOWN] for name, values in given.arrays.items()}
    if ONLY in arrays and len(images) == 1:
        arrays = {next(iter(images)): arrays[ONLY]}
    return replace(asked, tensors=Tensors(prepare(arrays), None))


def with_images(read: Source | Network, images: Mapping[str, Image]) -> Source | Network:
    """``read`` with the preparation in its graph, and in front of its reference."""
    if not images:
        return read
    if isinstance(read, Source):
        raise InputError("the model takes the rows of a table, and images are declared", expected="a network")
    graph, prepare, behind = with_preprocessing(read.graph, images), preparing(images), read.reference
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return replace(
        read,
        graph=graph,
        schema=Schema((), inputs_of(session), outputs_of(session)),
        reference=lambda feed: behind(prepare(feed)),
        statements=(*read.statements, *(f"images are prepared in the graph: {name}" for name in sorted(images))),
    )


def preparing(images: Mapping[str, Image]) -> Callable[[Feed], Feed]:
    """What makes prepared images of an app's, and leaves other tensors as they are: the same nodes by themselves."""
    values, nodes, outputs = [], [], []
    for i, (name, image) in enumerate(images.items()):
        sizes = {"N": None, "C": image.depth, "H": image.height, "W": image.width}
        shape = [sizes[axis] for axis in image.layout]
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        outputs.append(helper.make_tensor_value_info(f"made{i}", TensorProto.FLOAT, shape))
        nodes.append(helper.make_node("Identity", [name], [f"made{i}"]))
    bare = helper.make_model(
        helper.make_graph(nodes, "images", values, outputs),
        opset_imports=[helper.make_opsetid("", OPSETS[""])],
        ir_version=IR_VERSION,
    )
    raw = with_preprocessing(bare, images).SerializeToString()
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])

    def prepare(feed: Feed) -> Feed:
        missing = [name for name in images if name not in feed]
        if missing:
            raise InputError("an image is missing", column=missing[0], expected=f"the tensors {sorted(images)}")
        try:
            made = session.run(None, {name: feed[name] for name in images})
        except ERRORS as error:
            raise failed(error) from error
        return {**feed, **dict(zip(images, made, strict=True))}

    return prepare
