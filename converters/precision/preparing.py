"""A graph made ready for onnxruntime's quantizer, once, and checked to answer as before.

onnxruntime.quantization looks for weights among the initializers, knows nodes by name, and asks for the type of every
tensor. Exported graphs keep weights in Constant nodes, leave nodes unnamed, and lack types. So here onnxruntime itself
folds constants and batch norms and works out types, the opset is raised to one that has scales per channel, and every
node gets a name.

Belongs here: changes that keep the answers. Not here: quantizing (integers.py).
Imported as edge_runtime.converters.precision.preparing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, version_converter

from ..samples import Feed
from .failing import RecipeFailed, library
from .graphs import opset
from .parts import clean
from .sessions import quiet, session
from .tidying import flat_biases, name_all, share_constants, to_initializers, type_all, used_domains

__all__ = ["NAME", "PER_CHANNEL", "answers", "prepared"]

NAME = "preparation"
PER_CHANNEL = 13
"""The opset in which QuantizeLinear takes an axis."""
CLOSE = 1e-3
"""How far the prepared graph's answers may be from the graph's, relative to an output's largest magnitude: batch norms
that went into weights are rounded anew."""


def prepared(model: ModelProto, feeds: Iterable[Feed] = ()) -> ModelProto:
    """A copy of ``model`` that quantizers take: opset 13 or later, constants folded, batch norms folded, weights among
    the initializers, all types known, all nodes named. Every one of ``feeds`` must get the answers of ``model``.

    Raises RecipeFailed where a library cannot do it, or where answers differ by more than a thousandth of an output's
    largest magnitude.
    """
    with library(NAME, "onnx", "onnxruntime"):
        raised = model if opset(model) >= PER_CHANNEL else version_converter.convert_version(model, PER_CHANNEL)
        made = folded(raised)
    to_initializers(made)
    name_all(made)
    share_constants(made)
    flat_biases(made)
    clean(made)
    used_domains(made)
    with library(NAME, "onnx", "onnxruntime"):
        type_all(made)
        before, after = session(model), session(made)
        for feed in feeds:
            compare(before, after, feed)
    return made


def folded(model: ModelProto) -> ModelProto:
    """What onnxruntime makes of the graph with its basic optimizations: standard operators only, every tensor typed."""
    options = quiet()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        options.optimized_model_filepath = os.path.join(folder, "folded.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def answers(opened: onnxruntime.InferenceSession, feed: Feed) -> dict[str, NDArray[Any]]:
    """One answer per output, by its name."""
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, dict(feed)), strict=True))


def compare(before: onnxruntime.InferenceSession, after: onnxruntime.InferenceSession, feed: Feed) -> None:
    wanted, found = answers(before, feed), answers(after, feed)
    for name, value in wanted.items():
        other = found[name]
        if value.dtype.kind != "f":
            if not np.array_equal(value, other):
                raise RecipeFailed(NAME, f"the output {name!r} is another one after folding")
            continue
        gap = np.abs(value.astype(np.float64) - other).max(initial=0.0)
        most = CLOSE * max(float(np.abs(value).max(initial=0.0)), 1e-6)
        if not gap <= most and not np.array_equal(value, other, equal_nan=True):
            raise RecipeFailed(NAME, f"the output {name!r} is off by {gap:.3g} after folding; expected {most:.3g}")
