"""Keras 3: its models, and .keras files.

On PyTorch's backend a model is a module, and goes the way of modules (torch_export.py): Keras' own export traces it at
length 1 there, and what it wrote for a GRU over free lengths answered otherwise than the model. On the other backends
the graph is what Keras' own export writes.

Belongs here: files, the backend, the names of tensors, exporting. Not here: what is exported of a module.
Nothing here imports keras before there is something of Keras'.
Imported as edge_runtime.converters.sources.keras.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edge_runtime.errors import InputError, UnsupportedModelError, extra
from edge_runtime.schema import Schema
from edge_runtime.session import inputs_of, outputs_of

from ..exact.graph import OPSETS
from ..files import TRUST
from ..network import Network
from ..samples import Feed, Tensors
from .graph_outputs import rename
from .onnx import table_or_network
from .onnx_graph import opened, settled
from .torch import tensors_in

if TYPE_CHECKING:
    from ..source import Request, Source

__all__ = ["SUFFIXES", "accepts", "open", "open_trusted", "read"]

SUFFIXES = (".keras",)
USED_BY = "reading a model of Keras"
NEEDS = {"tensorflow": ("tensorflow", "tf2onnx"), "jax": ("jax", "tensorflow", "tf2onnx")}
"""What Keras' own export needs, by backend."""


def accepts(model: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)


def open(path: str) -> Any:
    """The model in a .keras file. Raises UnsupportedModelError for one that cannot be read, or brings code of its
    own."""
    return loaded(path, safe_mode=True)


def open_trusted(path: str) -> Any:
    return loaded(path, safe_mode=False)


def loaded(path: str, *, safe_mode: bool) -> Any:
    choose_backend()
    with extra("keras", used_by=USED_BY):
        import keras
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=safe_mode)
    except Exception as error:  # its layers raise what they like
        reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        if safe_mode and (
            "safe_mode" in str(error) or "unsafe" in str(error).lower() or "lambda" in str(error).lower()
        ):
            raise UnsupportedModelError(
                f"{path} brings code of its own, and opening it runs that", advice=TRUST
            ) from error
        raise UnsupportedModelError(
            f"{path}: it cannot be opened ({reason})",
            advice="register its own layers with keras.saving.register_keras_serializable, or pass the model itself",
        ) from error


def choose_backend() -> None:
    """PyTorch, where nobody chose and it is the only one there: Keras would look for TensorFlow, and fail."""
    if "keras" in sys.modules or "KERAS_BACKEND" in os.environ:
        return
    if not any(find_spec(name) for name in ("tensorflow", "jax")) and find_spec("torch"):
        os.environ["KERAS_BACKEND"] = "torch"


def read(model: Any, request: Request) -> Source | Network:
    """Raises UnsupportedModelError for what cannot be exported here, InputError for samples that the model does not
    take."""
    import keras

    if not model.built:
        raise UnsupportedModelError("the model was never built", advice="call it once, or give it an Input")
    tensors = tensors_in(request)
    asked = Asked(model)
    if keras.config.backend() == "torch":
        return table_or_network(through_torch(asked, tensors), request)
    return table_or_network(through_keras(asked, keras.config.backend()), request)


class Asked:
    """A model with its tensors by name."""

    def __init__(self, model: Any) -> None:
        import keras

        self.model, self.keras = model, keras
        self.framework = f"Keras {keras.__version__}"
        functional = isinstance(model, keras.Sequential) or hasattr(model, "_inputs_struct")
        self.structure: Any = None
        if functional:
            self.structure = model.inputs[0] if isinstance(model, keras.Sequential) else model._inputs_struct
        leaves = keras.tree.flatten(self.structure) if functional else []
        self.names = names_of(self.structure, [leaf.name for leaf in leaves]) if functional else []

    def call(self, tensors: Sequence[Any]) -> Any:
        """What the model answers, in its own structure."""
        if self.structure is None:
            given: Any = tensors[0] if len(tensors) == 1 else dict(zip(self.names, tensors, strict=True))
        else:
            given = self.keras.tree.pack_sequence_as(self.structure, list(tensors))
        return self.model(given, training=False)

    def named(self, answer: Any) -> dict[str, Any]:
        """The tensors in an answer: by the keys of a dict, or the layers that they come from."""
        if isinstance(answer, dict):
            return {name: answer[name] for name in sorted(answer)}  # the order in which Keras flattens it
        if not isinstance(answer, (list, tuple)):
            return {"output": answer}
        layers = [str(name) for name in getattr(self.model, "output_names", ())]
        if len(set(layers)) != len(answer):
            layers = [f"output_{i}" for i in range(len(answer))]
        return dict(zip(layers, answer, strict=True))


def names_of(structure: Any, leaves: list[str]) -> list[str]:
    """Keys of a dict, names that were given to Inputs, or those that Keras made up: "input", "input_1", …"""
    if isinstance(structure, dict):
        return sorted(structure)  # the order in which Keras flattens it
    made_up = [name.startswith("keras_tensor") for name in leaves]
    alone = len(leaves) == 1
    return [
        ("input" if alone else f"input_{i}") if made_up[i] else name.partition(":")[0] for i, name in enumerate(leaves)
    ]


def through_torch(asked: Asked, tensors: Tensors) -> Network:
    from .torch_export import exported
    from .torch_network import LIBRARIES, made_of
    from .torch_program import Program
    from .torch_samples import names_in, taken

    given = names_in(tensors)
    if not asked.names:  # a subclassed model says nothing of its inputs
        asked.names = given or ["input"]
    names = asked.names
    if given is not None and set(given) != set(names) and len(names) != 1:
        raise InputError(f"data has the tensors {sorted(given)}", expected=f"those of the model: {names}")
    if given is not None and len(names) == len(given) == 1:
        names = given
    if given is None and len(names) > 1:
        raise InputError("data is one array, and the model takes several", expected=f"a dict of {names}")
    program = Program(asked.model, names, lambda _, given: asked.named(asked.call(given)))
    graph = exported(program, taken(program, tensors, np.dtype(np.float32)))
    return made_of(program, graph, (), framework=asked.framework, libraries=("keras", *LIBRARIES))


def through_keras(asked: Asked, backend: str) -> Network:
    missing = [library for library in NEEDS.get(backend, ()) if find_spec(library) is None]
    if missing or backend not in NEEDS:
        first = f"pip install {' '.join(missing)}, or " if missing else ""
        raise UnsupportedModelError(
            f"Keras' {backend} backend exports no ONNX{' without ' + ' and '.join(missing) if missing else ''}",
            advice=f"{first}set KERAS_BACKEND=torch before keras is imported, and pass a .keras file",
        )
    graph = own_export(asked.model, backend)
    session = opened(graph)[0]
    structure = getattr(asked.model, "_outputs_struct", None)
    if structure is not None:
        for spec, name in zip(outputs_of(session), asked.named(structure), strict=True):
            rename(graph.graph, spec.name, name)
    session, raised = opened(graph)
    inputs = inputs_of(session)
    order = [spec.name for spec in inputs]
    order = asked.names if set(asked.names) == set(order) else order

    def reference(feed: Feed) -> Feed:
        said = asked.named(asked.call([feed[name] for name in order]))
        return {name: np.asarray(asked.keras.ops.convert_to_numpy(values)) for name, values in said.items()}

    return Network(
        asked.framework, Schema((), inputs, outputs_of(session)), settled(raised), reference, statements=(),
        libraries=("keras", "numpy", "onnx", "onnxruntime", backend),
    )  # fmt: skip


def own_export(model: Any, backend: str) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = os.path.join(folder, "model.onnx")
        try:
            model.export(path, format="onnx", verbose=False, opset_version=OPSETS[""])
        except Exception as error:  # three libraries take part, each with errors of its own
            reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
            raise UnsupportedModelError(
                f"Keras cannot export the model from its {backend} backend ({reason})",
                advice="set KERAS_BACKEND=torch before keras is imported, and load the model from a .keras file",
            ) from error
        return onnx.load(path)
