"""A trained network as the converter sees it: tensors in and out, its graph, and itself to ask.

Belongs here: the type that readers of networks return. Not here: models over tables (source.py), reading (sources/),
comparing (network_parity.py).
Imported as edge_runtime.converters.network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from edge_runtime.schema import Schema

from .samples import Feed

__all__ = ["TOLERANCE", "Network"]

TOLERANCE = 1e-4
"""Two orders of float32 sums, through the layers of a network: relative above 1."""


@dataclass(frozen=True, slots=True)
class Network:
    """``reference`` answers one feed, {input: array} to {output: array}, with the source itself on one thread;
    ``graph`` is to answer alike, within ``tolerance`` (absolute, relative above 1; labels must be equal).

    ``schema`` has no columns.
    """

    framework: str
    schema: Schema
    graph: onnx.ModelProto
    reference: Callable[[Feed], Feed]
    statements: tuple[str, ...]
    libraries: tuple[str, ...]
    tolerance: float = TOLERANCE
