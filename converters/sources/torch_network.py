"""A module or exported program of PyTorch as a network.

Belongs here: the order in which the parts beside this one are used, what the certificate says. Not here: those parts.
Imported as edge_runtime.converters.sources.torch_network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch

from edge_runtime.errors import UnsupportedModelError
from edge_runtime.schema import Schema
from edge_runtime.session import inputs_of, outputs_of

from ..network import TOLERANCE, Network
from ..samples import Tensors
from .onnx_graph import opened, settled
from .torch_export import exported, graph_of
from .torch_program import Program, of_exported, of_module, scripted
from .torch_quantized import frozen, is_quantized, with_linear_nodes
from .torch_samples import names_in, taken

__all__ = ["made_of", "network_of"]

LIBRARIES = ("numpy", "onnx", "onnxruntime", "onnxscript", "torch")
STEPS = 16
"""A value that lies between two integers may be rounded either way, and what follows with it: how far apart an answer
may then be, in steps of 1/127 of the largest. Networks of digits were apart on 1 to 7 % of the samples, by 7 steps at
most."""


def network_of(model: Any, tensors: Tensors) -> Network:
    """Raises UnsupportedModelError for what PyTorch cannot export, InputError for samples that it does not take."""
    given = names_in(tensors)
    if isinstance(model, torch.export.ExportedProgram):
        program = of_exported(model, given)
        taken(program, tensors, np.dtype(np.float32))
        return made_of(program, graph_of(model, program), ("the program as it was exported, with its axes",))
    module = bare_module(model)
    floats = dtype_of(module)
    if not is_quantized(module):
        program = of_module(module, given)
        sample = taken(program, tensors, floats)
        return made_of(program, exported(program, sample), ())
    program = of_module(frozen(module), given)
    sample = taken(program, tensors, floats)
    linear = of_module(with_linear_nodes(program.inner), given)
    linear.outputs = program.outputs
    graph = exported(linear, sample)
    floats_out = [values for values in program.answers(sample.example).values() if values.dtype.kind == "f"]
    step = max((float(np.abs(values).max(initial=0.0)) for values in floats_out), default=0.0) / 127
    return made_of(
        program, graph,
        ("fake quantization as QuantizeLinear and DequantizeLinear, with the ranges that training left",),
        tolerance=max(TOLERANCE, STEPS * step),
    )  # fmt: skip


def made_of(
    program: Program, graph: onnx.ModelProto, statements: tuple[str, ...], tolerance: float = TOLERANCE,
    framework: str = "", libraries: tuple[str, ...] = LIBRARIES,
) -> Network:  # fmt: skip
    session, raised = opened(graph)
    schema = Schema((), inputs_of(session), outputs_of(session))
    return Network(
        framework or f"PyTorch {torch.__version__.partition('+')[0]}", schema, settled(raised), program.answers,
        statements=statements, libraries=libraries, tolerance=tolerance,
    )  # fmt: skip


def bare_module(model: Any) -> torch.nn.Module:
    """The module itself, out of what torch.compile or several devices wrapped around it."""
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, torch.nn.DataParallel):
        model = model.module
    if isinstance(model, torch.jit.ScriptModule):
        raise scripted("the module")
    elsewhere = {str(part.device) for part in [*model.parameters(), *model.buffers()]} - {"cpu"}
    if elsewhere:
        raise UnsupportedModelError(f"the module lies on {sorted(elsewhere)[0]}", advice="pass module.cpu()")
    return model


def dtype_of(module: torch.nn.Module) -> np.dtype[Any]:
    """What it computes in. Raises UnsupportedModelError for half precision: the reference has to be exact."""
    kinds = {part.dtype for part in module.parameters() if part.dtype.is_floating_point}
    if kinds - {torch.float32, torch.float64}:
        half = str(sorted(kinds - {torch.float32, torch.float64}, key=str)[0]).removeprefix("torch.")
        raise UnsupportedModelError(f"the module has weights of {half}", advice="pass module.float()")
    return np.dtype(np.float64 if kinds == {torch.float64} else np.float32)
