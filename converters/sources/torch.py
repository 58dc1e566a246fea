"""PyTorch: modules and exported programs, also those trained for quantization, and the files that hold them.

Every such file is unpickled in part when it is opened, .pt2 included, so all of them need trust.

Belongs here: which objects and files are PyTorch's, opening them. Not here: what a module takes and gives
(torch_program.py), exporting it (torch_export.py), fake quantization (torch_quantized.py). Nothing here imports torch
before there is something of torch's.
Imported as edge_runtime.converters.sources.torch.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import UnsupportedModelError, extra

from ..files import TRUST, making_objects
from ..network import Network
from ..samples import ONLY, Tensors
from .onnx import table_or_network

if TYPE_CHECKING:
    from ..source import Request, Source

__all__ = ["SUFFIXES", "accepts", "open", "open_trusted", "read", "tensors_in"]

SUFFIXES = (".pt2", ".pt", ".pth")
USED_BY = "reading a model of PyTorch"


def accepts(model: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, (torch.nn.Module, torch.export.ExportedProgram))


def read(model: Any, request: Request) -> Source | Network:
    """Raises UnsupportedModelError for what PyTorch cannot export, InputError for samples that the module does not
    take."""
    with extra("torch", used_by=USED_BY):
        import onnxscript  # noqa: F401  # torch's exporter needs it, and says so late
        import torch  # noqa: F401
    from .torch_network import network_of  # not before it is known that torch is there

    return table_or_network(network_of(model, tensors_in(request)), request)


def tensors_in(request: Request) -> Tensors:
    """The tensors that were given; the numbers of a table as one, [N, columns]."""
    return request.tensors or Tensors({ONLY: request.data.frame.to_numpy(np.float32)}, None)


def open(path: str) -> Any:
    """Raises UnsupportedModelError: there is no file of PyTorch's that can be opened without trust."""
    raise UnsupportedModelError(
        f"{path}: PyTorch unpickles parts of such a file, and that runs whatever code is in it", advice=TRUST
    )


def open_trusted(path: str) -> Any:
    """The exported program or the whole module in a file. Raises UnsupportedModelError for a state_dict, for
    TorchScript, and for what cannot be opened."""
    with extra("torch", used_by=USED_BY):
        import torch
    if os.path.splitext(path)[1].lower() == ".pt2":
        with making_objects(path):
            return torch.export.load(path)
    with making_objects(path):
        found = torch.load(path, map_location="cpu", weights_only=False)
    if isinstance(found, torch.jit.ScriptModule):
        from .torch_program import scripted  # not before it is known that torch is there

        raise scripted(path)
    if isinstance(found, torch.nn.Module):
        return found
    what = "a state_dict, weights without the module" if isinstance(found, dict) else type(found).__name__
    raise UnsupportedModelError(
        f"{path} holds {what}",
        advice="make the module, load_state_dict, and pass it; or write torch.export.save(torch.export.export(…))",
    )
