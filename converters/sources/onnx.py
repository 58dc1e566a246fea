"""ONNX graphs: taken as they are, and compared with themselves in a plain session.

Of graphs over tables, columns come by name where there is one input for each, and by position where one tensor takes
them all.

Belongs here: files, the answers of a graph over a table as the reference. Not here: opening a graph (onnx_graph.py),
networks (onnx_network.py), which column and output is what (onnx_columns.py, onnx_outputs.py).
Imported as edge_runtime.converters.sources.onnx.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
import pandas as pd
from google.protobuf.message import DecodeError

from edge_runtime.ending import Ending
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.golden import differences
from edge_runtime.schema import Schema, TensorSpec
from edge_runtime.session import ERRORS, inputs_of, reason

from ..data import Data
from ..network import Network
from ..samples import Feed
from ..source import Outputs, Request, Source, decided
from .graph_outputs import finish
from .onnx_columns import AS_IT_IS, placed
from .onnx_graph import framework_of, opened, raising, session_of, settled
from .onnx_network import AS_IT_STANDS, network_of, plain
from .onnx_outputs import finished, flat
from .tried_columns import TOLERANCE, TRIED_ROWS, column_of, feeds_of, put

__all__ = ["SUFFIXES", "accepts", "open", "read", "table_or_network"]

SUFFIXES = (".onnx",)
REFUSALS: tuple[type[Exception], ...] = (*ERRORS, InputError)


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


def read(model: onnx.ModelProto, request: Request) -> Source | Network:
    """A network where the data are tensors, a table otherwise. Raises UnsupportedModelError for graphs that do not go
    with the data, and for what a bundle may not hold."""
    if request.tensors is not None:
        return network_of(model)
    return table_of(model, request)


def table_or_network(network: Network, request: Request) -> Source | Network:
    """A network as it is, or over the rows of a table where that is what was given."""
    return network if request.tensors is not None else table_of(network.graph, request, network)


def table_of(model: onnx.ModelProto, request: Request, network: Network | None = None) -> Source:
    """The reference is the graph itself, or the ``network`` that it was made of. Raises UnsupportedModelError for
    graphs that are no tables."""
    asked = Asked(model, request, network)
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
        libraries=(*asked.libraries, "pandas"),
    )  # fmt: skip


class Asked:
    """The original graph in a plain session of one thread, and rows as it takes them."""

    def __init__(self, model: onnx.ModelProto, request: Request, network: Network | None) -> None:
        self.framework = network.framework if network else framework_of(model)
        self.libraries = network.libraries if network else ("numpy", "onnx", "onnxruntime")
        session, raised = opened(model)
        self.ask: Callable[[Feed], Feed] = network.reference if network else plain(session)
        self.graph = settled(raised)
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
        made = network.statements if network else (*AS_IT_STANDS, *raising(model, raised))
        self.statements = (*made, *by_position(self.inputs, request.data))
        self.check_typical()

    def answers(self, given: pd.DataFrame) -> Outputs:
        """The original's outputs, maps as arrays. Raises ValueError where it refuses."""
        try:
            with np.errstate(all="ignore"):
                found = self.ask(feeds_of(given, self.places, self.inputs))
        except REFUSALS as error:
            raise ValueError(reason(error)) from error
        made = {}
        for name in self.names:
            values = found[name]
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


def by_position(inputs: Sequence[TensorSpec], data: Data) -> tuple[str, ...]:
    if len(inputs) == 1 and not data.positional and inputs[0].shape[1:] != (1,):
        return ("the graph does not name its columns, so those of the data were taken, in their order",)
    return ()
