"""ONNX graphs over tensors: networks, compared with themselves in a plain session.

Belongs here: the schema and the reference of such a graph. Not here: opening it (onnx_graph.py), graphs over tables
(onnx.py), samples (converters/samples.py).
Imported as edge_runtime.converters.sources.onnx_network.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnxruntime

from edge_runtime.schema import Schema
from edge_runtime.session import ERRORS, failed, inputs_of, outputs_of

from ..network import Network
from ..samples import Feed
from .onnx_graph import framework_of, opened, raising, settled

__all__ = ["AS_IT_STANDS", "network_of", "plain"]

AS_IT_STANDS = (
    f"checked: the graph as it is, compared with itself in a plain session of onnxruntime {onnxruntime.__version__}",
)


def network_of(model: onnx.ModelProto) -> Network:
    """Raises UnsupportedModelError for what a bundle may not hold."""
    session, raised = opened(model)
    return Network(
        framework_of(model), Schema((), inputs_of(session), outputs_of(session)), settled(raised), plain(session),
        statements=(*AS_IT_STANDS, *raising(model, raised)), libraries=("numpy", "onnx", "onnxruntime"),
    )  # fmt: skip


def plain(session: onnxruntime.InferenceSession) -> Callable[[Feed], Feed]:
    """The reference of a graph that nothing else is known of: itself. Raises InputError for what it does not take."""
    names = [output.name for output in session.get_outputs()]

    def reference(feed: Feed) -> Feed:
        try:
            return dict(zip(names, session.run(names, feed), strict=True))
        except ERRORS as error:
            raise failed(error) from error

    return reference
