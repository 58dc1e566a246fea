"""PyTorch's own exporter: asked for free axes, kept quiet, and its reasons in one line.

Belongs here: which axes are asked to be free, the call, what of its graph is dropped. Not here: what a module takes
(torch_program.py, torch_samples.py), what is put in place of its layers (torch_quantized.py, torch_recurrent.py).
Imported as edge_runtime.converters.sources.torch_export.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import onnx
import torch

from edge_runtime.errors import UnsupportedModelError
from edge_runtime.session import inputs_of

from ..exact.graph import OPSETS
from ..samples import Feed
from .onnx_graph import opened
from .torch_program import Program, alone, evaluating, first_line
from .torch_recurrent import TRANSLATIONS, whole_layers
from .torch_samples import Taken

__all__ = ["exported", "graph_of"]

ADVICE = "write what it does with torch.where or torch.cond, or export it to ONNX yourself and pass that file"
LOGGERS = ("torch", "onnxscript", "onnx_ir")
FIXED = re.compile(r"L\['tensors'\]\[(\d+)\]\.size\(\)\[(\d+)\] as dynamic but .*? to be a constant \((\d+)\)")
Axes = dict[int, Any]


def exported(program: Program, taken: Taken) -> onnx.ModelProto:
    """The graph of a program, with as many rows as one likes if that can be, and free in every axis in which the
    samples differ. Raises UnsupportedModelError with the exporter's reason."""
    auto, dynamic = torch.export.Dim.AUTO, torch.export.Dim.DYNAMIC
    differing = {name: dict.fromkeys(taken.differing(name), dynamic) for name in program.names}
    rows = {name: ({0: auto} if taken.sizes[name] else {}) | differing[name] for name in program.names}
    doubled = taken.doubled()
    if answers(program, doubled):
        try:
            graph = captured(program, doubled, rows)
        except UnsupportedModelError:
            pass  # what is wrong with one sample alone is what its owner can use
        else:
            inputs = inputs_of(opened(graph)[0])
            if all(taken.fits(spec.name, spec.shape) for spec in inputs):
                return graph
    return captured(program, taken.example, differing)


def answers(program: Program, feed: Feed) -> bool:
    try:
        program.answers(feed)
    except Exception:  # a module of anybody's refuses tensors in its own way
        return False
    return True


def captured(program: Program, feed: Feed, axes: dict[str, Axes]) -> onnx.ModelProto:
    tensors = tuple(torch.from_numpy(feed[name].copy()) for name in program.names)
    shapes = {"tensors": tuple(axes[name] or None for name in program.names)}
    with exporting(program):
        found = torch.export.export(program, tensors, dynamic_shapes=shapes, strict=False)
    return graph_of(found, program)


def graph_of(found: torch.export.ExportedProgram, program: Program) -> onnx.ModelProto:
    """The graph of an exported program, its tensors called as ``program`` calls them."""
    with exporting(program):
        made = torch.onnx.export(
            found, dynamo=True, verbose=False, input_names=list(program.names), output_names=list(program.outputs),
            opset_version=OPSETS[""], custom_translation_table=TRANSLATIONS,
        )  # fmt: skip
        graph: onnx.ModelProto = made.model_proto
    bare(graph)
    return graph


@contextmanager
def exporting(program: Program) -> Iterator[None]:
    """Everything as the exporter needs it. Raises UnsupportedModelError in place of whatever it raises."""
    try:
        with quiet(), alone(), evaluating(program), whole_layers():
            yield
    except UnsupportedModelError:
        raise
    except Exception as error:  # the module's own code runs in it, and the exporter's errors have no common base
        raise refused(error, program) from error


def refused(error: Exception, program: Program) -> UnsupportedModelError:
    fixed = FIXED.search(str(error))
    if fixed is None:
        return UnsupportedModelError(f"PyTorch cannot export the module ({first_line(error)})", advice=ADVICE)
    name, axis, size = program.names[int(fixed[1])], fixed[2], fixed[3]
    return UnsupportedModelError(
        f"PyTorch cannot export the module with axis {axis} of {name!r} free, only at {size} as in one sample",
        advice="bring all samples to one size there",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor logs nor prints: what matters of them is in the error."""
    known = {**logging.root.manager.loggerDict}
    loggers = [logging.getLogger(name) for name in known if name.partition(".")[0] in LOGGERS]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


def bare(graph: onnx.ModelProto) -> None:
    """Drop what tells of the exporter's machine: paths, stack traces, the module's source."""
    del graph.metadata_props[:]
    graph.doc_string = ""
    parts: list[Any] = [graph.graph, *graph.functions]
    while parts:
        part = parts.pop()
        del part.metadata_props[:]
        part.doc_string = ""
        for node in part.node:
            del node.metadata_props[:]
            node.doc_string = ""
            parts += inner(node.attribute)
        values: list[Any] = list(part.value_info)
        if isinstance(part, onnx.GraphProto):
            values += [*part.input, *part.output, *part.initializer]
        for value in values:
            del value.metadata_props[:]
            value.doc_string = ""


def inner(attributes: Sequence[onnx.AttributeProto]) -> list[onnx.GraphProto]:
    return [graph for each in attributes for graph in ([each.g] if each.HasField("g") else each.graphs)]
