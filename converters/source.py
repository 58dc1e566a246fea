"""A trained model as the converter sees it: what it takes, what it answers, and its first graph.

Belongs here: the type that every reader in sources/ returns, finding the reader, a decision on the source's side. Not
here: reading (sources/), comparing (parity.py).
Imported as edge_runtime.converters.source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.ending import Decision, Ending
from edge_runtime.errors import InputError, MissingExtraError, UnsupportedModelError
from edge_runtime.schema import Schema, TensorSpec

from .data import TABLE, Data
from .network import Network
from .samples import Tensors

__all__ = ["Outputs", "Request", "Source", "decided", "needs_two_classes", "read_any", "read_source", "readers"]

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller wants of a source: the rows to judge by, how floats come in, the decision to carry. Where they
    were given as tensors by name, they are ``tensors`` (and a table as well if they could be one)."""

    table: Data | None
    input_dtype: str
    decision: Decision | None
    tensors: Tensors | None = None

    @property
    def data(self) -> Data:
        """Raises InputError where only tensors were given."""
        if self.table is None:
            raise InputError("data is tensors, and this model takes the rows of a table", expected=TABLE)
        return self.table

    def given_for(self, inputs: Sequence[TensorSpec]) -> Tensors:
        """The tensors, for a network of these ``inputs``. Raises InputError where a table was given."""
        if self.tensors is None:
            names = [spec.name for spec in inputs]
            raise InputError("data is a table, and this model takes tensors", expected=f"a dict of arrays {names}")
        return self.tensors


@dataclass(frozen=True, slots=True)
class Source:
    """``reference`` answers app rows (a frame with the schema's columns) with the source itself, on one thread;
    ``graph`` and ``ending`` are to answer alike.

    ``exact``: the raw sum has the same bits everywhere. ``tolerance`` bounds, per output, what the graph may differ
    from the source by (absolute). ``probes`` are values worth trying per column; ``leaves`` is a graph that gives the
    leaf of each tree, by which golden rows are chosen, and ``leaf_count`` how many there are.
    """

    framework: str
    schema: Schema
    ending: Ending
    graph: onnx.ModelProto
    reference: Callable[[pd.DataFrame], Outputs]
    exact: bool
    tolerance: dict[str, float]
    statements: tuple[str, ...]
    libraries: tuple[str, ...]
    probes: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    leaves: onnx.ModelProto | None = None
    leaf_count: int = 0


def decided(outputs: Outputs, decision: Decision | None) -> Outputs:
    """The source's outputs by the names that the bundle gives out."""
    if decision is None:
        return outputs
    score = outputs["probabilities"][:, 1]
    return {decision.score: score, decision.name: score > decision.threshold}


def needs_two_classes() -> UnsupportedModelError:
    """What a reader raises where a decision has no second class to go by."""
    return UnsupportedModelError("a decision needs a classifier of two classes", advice="leave the decision away")


def read_source(model: Any, request: Request) -> Source:
    """A model over a table. Raises UnsupportedModelError for what cannot be read, or is none."""
    read = read_any(model, request)
    if isinstance(read, Network):
        raise UnsupportedModelError("the model takes tensors", advice="pass one that takes the rows of a table")
    return read


def read_any(model: Any, request: Request) -> Source | Network:
    """The first reader that accepts ``model`` reads it. Raises UnsupportedModelError when none does."""
    for reader in readers(first=type(model).__module__.partition(".")[0]):
        if reader.accepts(model):
            read: Source | Network = reader.read(model, request)
            return read
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    names = ", ".join(sorted(entry.name for entry in entry_points(group="edge_runtime.sources")))
    raise UnsupportedModelError(f"{kind} is not a model that can be read", advice=f"pass a fitted model of: {names}")


def readers(first: str = "") -> Iterator[ModuleType]:
    """Those whose library is installed, the one named ``first`` before the others: each is loaded when its turn
    comes."""
    entries = entry_points(group="edge_runtime.sources")
    for entry in sorted(entries, key=lambda entry: (entry.name != first, entry.name)):
        try:
            yield entry.load()
        except MissingExtraError:
            continue
