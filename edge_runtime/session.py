"""One onnxruntime session from bytes that were scanned, with every option that matters locked.

The official builds of onnxruntime (seen in 1.31 and 1.32) collect telemetry: importing one makes a database and a
device identifier below ~/.cache and starts an uploader's thread. This package promises that there is none, and a
variable of the environment switches it off, set in edge_runtime/__init__.py before anything imports onnxruntime.

Belongs here: making the session, reading its inputs and outputs. Not here: what may be in a graph (graph_scan.py),
calling it (model.py).
Imported as edge_runtime.session.
"""

from __future__ import annotations

import os
from typing import Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from .errors import BundleError, InputError, UnsupportedModelError
from .schema import TensorSpec

__all__ = ["ERRORS", "failed", "inputs_of", "open_session", "outputs_of", "reason"]

# Where somebody imported onnxruntime first, it has already started: then at least nothing more is recorded.
onnxruntime.disable_telemetry_events()

FOLDED_FLOOR = 65_536
"""Bytes of one folded tensor that any graph may have."""
UNFOLDING = 8
"""Weights stored in 4 bits grow by as much when they are folded to float32: no honest tensor is larger than this times
the graph, whatever the manifest declares."""
SILENT = 4  # Only fatal messages are logged. At 3, errors are printed on stderr besides being raised.
DTYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "str",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
# onnxruntime's own errors have no common base, and pybind11 turns what else C++ throws into the last four.
ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
    MemoryError,
    OverflowError,
)


def open_session(
    raw: bytes, *, threads: int, largest_tensor: int, precise: bool = False
) -> onnxruntime.InferenceSession:
    """The onnxruntime.InferenceSession of the graph ``raw``, which must have passed graph_scan.scan.

    ``threads`` (1 or more) work inside an operator. ``largest_tensor`` bounds, in bytes, each tensor that constant
    folding may create while loading; it counts between 64 KiB and eight times the graph. ``precise`` asks for 8-bit
    kernels that do not saturate on x64 processors without VNNI. The session runs on the CPU and nowhere else, in one
    order, silently, and keeps ``raw``. Raises BundleError with onnxruntime's reason if it
    refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = SILENT
    folded = max(FOLDED_FLOOR, min(largest_tensor, UNFOLDING * len(raw)))
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(folded))
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if threads > 1:  # a spinning pool burns a core while the model idles, and fights every other thread
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # onnxruntime reads it on both sides of its binding: set to 1, a graph configures its own session (profile files
    # included), or, told not to by the argument below, it opens nothing at all.
    os.environ.pop("ORT_LOAD_CONFIG_FROM_MODEL", None)
    try:
        session = onnxruntime.InferenceSession(
            raw, options, providers=["CPUExecutionProvider"], enable_fallback=0, read_config_from_model=0
        )
    except ERRORS as error:
        raise BundleError(f"onnxruntime does not open the graph: {reason(error)}") from error
    session.disable_fallback()
    return session


def inputs_of(session: onnxruntime.InferenceSession) -> tuple[TensorSpec, ...]:
    """The graph's inputs, initializers left out. Sizes that are not fixed are None; a tensor without a known rank has
    the shape (), since onnxruntime does not tell it from a scalar.

    Raises UnsupportedModelError where one is not a tensor of a dtype that the schema knows."""
    return tuple(tensor_spec(node, "input") for node in session.get_inputs())


def outputs_of(session: onnxruntime.InferenceSession) -> tuple[TensorSpec, ...]:
    """The graph's outputs; otherwise as ``inputs_of``."""
    return tuple(tensor_spec(node, "output") for node in session.get_outputs())


def tensor_spec(node: Any, role: str) -> TensorSpec:
    try:
        name: str = node.name
    except UnicodeDecodeError:
        raise BundleError(f"an {role} of the graph has a name that is not UTF-8") from None
    kind: str = node.type
    if not kind.startswith("tensor("):
        advice = "convert the classifier with options={'zipmap': False}" if "map(" in kind else "give it as a tensor"
        raise UnsupportedModelError(f"the graph's {role} {name!r} is {kind}, not a tensor", advice=advice)
    dtype = DTYPES.get(kind[len("tensor(") : -1])
    if dtype is None:
        raise UnsupportedModelError(
            f"the graph's {role} {name!r} is {kind}", advice=f"cast it to one of {', '.join(sorted(DTYPES.values()))}"
        )
    return TensorSpec(name, dtype, tuple(size if type(size) is int and size >= 0 else None for size in node.shape))


def failed(error: Exception) -> InputError:
    """What it is to the caller when a run ends in one of ``ERRORS``: its tensors fit the graph one by one, but not
    together, or hold what an operator does not take."""
    return InputError(
        f"the graph cannot be run on it: {reason(error)}", expected="sizes and values that all of its operators take"
    )


def reason(error: Exception) -> str:
    """The first line of onnxruntime's message, without what a terminal would obey."""
    lines = str(error).splitlines() or [type(error).__name__]
    return "".join(letter if letter.isprintable() else " " for letter in lines[0])[:400]
