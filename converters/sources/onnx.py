"""ONNX graphs that are tables: taken as they are, and compared with themselves in a plain session.

Columns come by name where the graph has one input for each, and by position where one tensor takes them all.

Belongs here: files, opening the graph, its answers as the reference. Not here: which column and output is what
(onnx_columns.py, onnx_outputs.py), what a bundle may hold (edge_runtime.graph_scan).
Imported as edge_runtime.converters.sources.onnx.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from google.protobuf.message import DecodeError, EncodeError

from edge_runtime.ending import Ending
from edge_runtime.errors import BundleError, UnsupportedModelError
from edge_runtime.golden import differences
from edge_runtime.graph_scan import scan
from edge_runtime.schema import Schema, TensorSpec
from edge_runtime.session import ERRORS, inputs_of, open_session, reason

from ..data import Data
from ..exact.graph import IR_VERSION, OPSETS
from ..source import Outputs, Request, Source, decided
from .graph_outputs import finish
from .onnx_columns import AS_IT_IS, placed
from .onnx_outputs import finished, flat
from .tried_columns import TOLERANCE, TRIED_ROWS, column_of, feeds_of, put

__all__ = ["SUFFIXES", "accepts", "open", "read"]

SUFFIXES = (".onnx",)
LARGEST = 2**20
TOLD = re.compile(r"[\w.+-]{1,40}")
"""A name or a version: CatBoost writes the story of its build there."""


def accepts(model: Any) -> bool:
    return isinstance(model, onnx.ModelProto)


def open(path: str) -> onnx.ModelProto:
    """The graph in a file, with the data that lies beside it. Raises UnsupportedModelError for a file that holds none,
    or data that is not to be had below the file's own folder."""
    try:
        return onnx.load(path)
    except (DecodeError, ValueError, OSError, onnx.checker.ValidationError) as error:
        raise UnsupportedModelError(
            f"{path}: it cannot be read as ONNX ({reason(error)})", advice="pass the file as its exporter wrote it"
        ) from error


def read(model: onnx.ModelProto, request: Request) -> Source:
    """Raises UnsupportedModelError for graphs that are no tables, and for what a bundle may not hold."""
    asked = Asked(model, request)
    graph = asked.graph
    outputs, names = finished(graph, asked.answers(asked.base), tuple(asked.labels), request.decision)

    def reference(given: pd.DataFrame) -> Outputs:
        found = {names[name]: flat(values, names[name]) for name, values in asked.answers(given).items()}
        if request.decision is None:
            return found
        return decided({"probabilities": found["probabilities"].astype(np.float64)}, request.decision)

    columns = tuple(
        column_of(place, asked.frame[place.name], partial(asked.takes, i)) for i, place in enumerate(asked.places)
    )
    floats = [spec.name for spec in outputs if spec.dtype.startswith("float")]
    return Source(
        asked.framework, Schema(columns, asked.inputs, outputs), Ending("graph"), graph, reference, exact=False,
        tolerance=dict.fromkeys(floats, TOLERANCE), statements=asked.statements,
        libraries=("numpy", "onnx", "onnxruntime", "pandas"),
    )  # fmt: skip


class Asked:
    """The original graph in a plain session of one thread, and rows as it takes them."""

    def __init__(self, model: onnx.ModelProto, request: Request) -> None:
        self.framework = " ".join(["ONNX", *filter(TOLD.fullmatch, (model.producer_name, model.producer_version))])
        original, raised = opened(model)
        self.session = original
        self.graph = onnx.ModelProto()
        self.graph.CopyFrom(raised)
        self.graph.ir_version = min(self.graph.ir_version, IR_VERSION)
        self.labels = without_maps(self.graph)
        self.names = [output.name for output in raised.graph.output]
        bare = session_of(self.graph)
        self.places, self.inputs = placed(inputs_of(bare), request)
        names = [place.name for place in self.places]
        self.frame = request.data.named(names).frame[names]
        complete = self.frame.dropna()
        self.base = (complete if len(complete) else self.frame).iloc[:TRIED_ROWS]
        if len(self.base) == 1:  # or an output's rows could not be told from its columns
            self.base = self.base.iloc[[0, 0]]
        self.statements = statements_of(model, raised, self.inputs, request.data)
        self.check_typical()

    def answers(self, given: pd.DataFrame) -> Outputs:
        """The original's outputs, maps as arrays. Raises ValueError where it refuses."""
        try:
            with np.errstate(all="ignore"):
                found = self.session.run(self.names, feeds_of(given, self.places, self.inputs))
        except ERRORS as error:
            raise ValueError(reason(error)) from error
        made = {}
        for name, values in zip(self.names, found, strict=True):
            labels = self.labels.get(name)
            made[name] = (
                values if labels is None else np.array([[row[k] for k in labels] for row in values], np.float32)
            )
        return made

    def takes(self, column: int, value: Any) -> bool:
        """Whether a value is answered: with numbers, and alike in a row that is alone."""
        given = put(self.base, column, value)
        try:
            together, alone = self.answers(given), self.answers(given.iloc[:1])
        except (ValueError, TypeError):
            return False
        numbers = [values for values in together.values() if values.dtype.kind == "f"]
        return not any(np.isnan(values).any() for values in numbers) and all(
            float(differences(alone[name], values[:1]).max(initial=0.0)) <= TOLERANCE
            for name, values in together.items()
        )

    def check_typical(self) -> None:
        """Raise UnsupportedModelError where the graph refuses its own data, or gives no answer per row."""
        try:
            found = self.answers(self.base)
        except (ValueError, TypeError) as error:
            raise UnsupportedModelError(
                f"the graph refuses a row of its own data ({str(error).splitlines()[0]})",
                advice="pass the columns that it was trained on, in their order, with their dtypes",
            ) from error
        for name, values in found.items():
            if np.shape(values)[:1] != (len(self.base),):
                raise UnsupportedModelError(
                    f"the graph's output {name!r} has the shape {list(np.shape(values))} for {len(self.base)} rows",
                    advice=f"export it with a free first axis, or {AS_IT_IS}",
                )


# The graph


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


def without_maps(graph: onnx.ModelProto) -> dict[str, Sequence[Any]]:
    """Give out what ZipMap nodes at the end get instead of what they make; the classes of each, by output."""
    made: dict[str, Sequence[Any]] = {}
    for output in graph.graph.output:
        node = next((n for n in graph.graph.node if n.op_type == "ZipMap" and output.name in n.output), None)
        if node is None:
            continue
        told = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        texts = [text.decode() for text in told.get("classlabels_strings", ())]
        made[output.name] = texts or list(told.get("classlabels_int64s", ()))
        graph.graph.node.remove(node)
        finish(graph, node.input[0], output.name, None)
        output.CopyFrom(
            onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, [None, len(made[output.name])])
        )
    return made


# What the certificate says


def statements_of(
    model: onnx.ModelProto, raised: onnx.ModelProto, inputs: Sequence[TensorSpec], data: Data
) -> tuple[str, ...]:
    made = [
        f"checked: the graph as it is, compared with itself in a plain session of onnxruntime {onnxruntime.__version__}"
    ]
    if raised is not model:
        made.append(
            f"checked: raised from opset {opset_of(model)} to {OPSETS['']}, since onnxruntime does not run the original"
        )
    if len(inputs) == 1 and not data.positional and inputs[0].shape[1:] != (1,):
        made.append("the graph does not name its columns, so those of the data were taken, in their order")
    return tuple(made)
