"""The graph of an ONNX file, in a plain session: what a bundle may hold, raised to a newer opset where that is needed.

Belongs here: opening a graph, its schema. Not here: which column or sample goes where (onnx_columns.py,
converters/samples.py), who answers (onnx.py, onnx_network.py).
Imported as edge_runtime.converters.sources.onnx_graph.
"""

from __future__ import annotations

import re

import onnx
import onnxruntime
from google.protobuf.message import EncodeError

from edge_runtime.errors import BundleError, UnsupportedModelError
from edge_runtime.graph_scan import scan
from edge_runtime.session import open_session

from ..exact.graph import IR_VERSION, OPSETS

__all__ = ["framework_of", "opened", "opset_of", "raising", "session_of", "settled"]

LARGEST = 2**20
TOLD = re.compile(r"[\w.+-]{1,40}")
"""A name or a version: CatBoost writes the story of its build there."""


def framework_of(model: onnx.ModelProto) -> str:
    return " ".join(["ONNX", *filter(TOLD.fullmatch, (model.producer_name, model.producer_version))])


def settled(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy, in an IR version that the oldest runtime reads."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.ir_version = min(made.ir_version, IR_VERSION)
    return made


def raising(model: onnx.ModelProto, raised: onnx.ModelProto) -> tuple[str, ...]:
    """What the certificate says of a raised opset."""
    if raised is model:
        return ()
    was, now = opset_of(model), OPSETS[""]
    return (f"checked: raised from opset {was} to {now}, since onnxruntime does not run the original",)


def opened(model: onnx.ModelProto) -> tuple[onnxruntime.InferenceSession, onnx.ModelProto]:
    """The session of a graph that a bundle may hold, and the graph: raised to a newer opset only where onnxruntime does
    not run its own. Raises UnsupportedModelError."""
    try:
        return session_of(model), model
    except BundleError as error:
        raised = raised_from(model)
        if raised is not None:
            try:
                return session_of(raised), raised
            except BundleError:
                pass  # what is wrong with the original is what its owner can use
        raise UnsupportedModelError(
            str(error).splitlines()[0], advice=f"export it for opset {OPSETS['']}, with operators that onnxruntime has"
        ) from error


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Raises UnsupportedModelError for what a bundle may not hold, BundleError where onnxruntime refuses it."""
    try:
        raw = model.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise UnsupportedModelError("the graph is beyond 2 GB", advice="use a smaller model") from error
    try:
        scan(raw)
    except BundleError as error:
        raise UnsupportedModelError(
            f"a bundle may not hold this: {str(error).splitlines()[0]}", advice="export the model without it"
        ) from error
    return open_session(raw, threads=1, largest_tensor=LARGEST)


def raised_from(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The graph in the opset of our own; None if it is as new, or onnx has no way there."""
    if opset_of(model) >= OPSETS[""]:
        return None
    try:
        return onnx.version_converter.convert_version(model, OPSETS[""])
    except RuntimeError:
        return None


def opset_of(model: onnx.ModelProto) -> int:
    return next((int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx")), OPSETS[""])
