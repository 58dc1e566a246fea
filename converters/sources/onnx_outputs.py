"""What an ONNX graph gives out, under the names of the contract where these are beyond doubt.

Belongs here: telling labels, probabilities and predictions by name, shape and values. Not here: the nodes that are
added (graph_outputs.py), asking the graph (onnx.py).
Imported as edge_runtime.converters.sources.onnx_outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.ending import Decision
from edge_runtime.schema import TensorSpec

from ..source import Outputs, needs_two_classes
from .graph_outputs import decide, declare, finish

__all__ = ["finished", "flat"]

PREDICTIONS = ("variable", "variable1", "prediction", "predictions")
"""What exporters call the one number of a regressor."""
LABELS = ("label", "output_label")
SUM_OF_ONE = 1e-3
"""How far float32 probabilities, some exporters' votes among them, may add up beside 1."""


@dataclass(frozen=True, slots=True)
class Given:
    """An output as the graph gives it: on some rows, ``values``."""

    name: str
    values: NDArray[Any]
    zipped: bool

    @property
    def one(self) -> bool:
        """Whether it is one value a row."""
        return self.values.ndim == 1 or self.values.shape[1:] == (1,)

    @property
    def are_labels(self) -> bool:
        return self.values.dtype.kind in "iuObU" and self.one

    @property
    def are_probabilities(self) -> bool:
        """They are called so, and are: scores, votes and distances to clusters are not."""
        values = self.values
        if values.dtype.kind != "f" or values.ndim != 2 or values.shape[1] < 2:
            return False
        likely = self.zipped or "prob" in self.name.lower()
        return likely and bool((values >= 0.0).all() and (np.abs(values.sum(axis=1) - 1.0) <= SUM_OF_ONE).all())


def contract_names(given: Sequence[Given], taken: set[str]) -> dict[str, str]:
    """The contract's names where they are beyond doubt, otherwise the graph's own."""
    names = {each.name: each.name for each in given}
    if len(given) == 1 and given[0].one and given[0].values.dtype.kind == "f" and given[0].name in PREDICTIONS:
        names[given[0].name] = "prediction"
    elif len(given) == 2 and given[0].are_labels and given[1].are_probabilities:
        names = {given[0].name: "label", given[1].name: "probabilities"}
    elif given[0].are_labels and given[0].name in LABELS:
        names[given[0].name] = "label"
    # A column of that name, or another output, was there first.
    unique = len(set(names.values())) == len(names) and not taken.intersection(names.values())
    return names if unique else {each.name: each.name for each in given}


def flat(values: NDArray[Any], name: str) -> NDArray[Any]:
    """As the contract has it: labels and predictions are [N]."""
    return values.reshape(-1) if name in ("label", "prediction") else values


def finished(
    graph: onnx.ModelProto, answers: Outputs, zipped: Sequence[str], decision: Decision | None
) -> tuple[tuple[TensorSpec, ...], Mapping[str, str]]:
    """Let the graph give out what the bundle does; the outputs, and their names by the original's."""
    given = [Given(name, values, name in zipped) for name, values in answers.items()]
    names = contract_names(given, {value.name for value in graph.graph.input})
    if decision is not None:
        source = next((each for each in given if names[each.name] == "probabilities"), None)
        if source is None or source.values.shape[1] != 2:
            raise needs_two_classes()
        outputs = decide(graph, source.name, decision)
        declare(graph, outputs)
        return outputs, names
    made = []
    for i, each in enumerate(given):
        name, values = names[each.name], flat(each.values, names[each.name])
        if name != each.name or values.ndim != each.values.ndim:
            now = graph.graph.output[i].name  # it moves where another one takes its name
            finish(graph, now, name, None, flat=values.ndim != each.values.ndim)
        dtype = "str" if values.dtype.kind in "OU" else values.dtype.name
        made.append(TensorSpec(name, dtype, (None, *values.shape[1:])))
    declare(graph, made)
    return tuple(made), names
