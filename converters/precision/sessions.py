"""Plain sessions for looking into a graph: silent, one thread, on the CPU.

Belongs here: sessions of graphs that are still being made. Not here: sessions that answer (edge_runtime.session).
Imported as edge_runtime.converters.precision.sessions.
"""

from __future__ import annotations

import onnxruntime
from onnx import ModelProto

from edge_runtime.session import SILENT

__all__ = ["quiet", "session"]


def quiet() -> onnxruntime.SessionOptions:
    """Options for a session that prints nothing and works on one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = 1
    return options


def session(model: ModelProto, *, optimized: bool = True) -> onnxruntime.InferenceSession:
    """An onnxruntime.InferenceSession of ``model``. Not ``optimized``: every tensor that the graph names is computed.
    Raises onnxruntime's own errors."""
    options = quiet()
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
