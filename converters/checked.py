"""What a conversion has to show, whatever the kind of model: the surface that tables and networks share.

Belongs here: the protocol and the figures. Not here: either kind (checked_table.py, checked_network.py), the order of
the steps (conversion.py).
Imported as edge_runtime.converters.checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_runtime.ending import Ending
from edge_runtime.golden import Sample
from edge_runtime.manifest import Variant
from edge_runtime.model import Model
from edge_runtime.schema import Schema

from .precision.rows import Rows

__all__ = ["Checked", "Figures", "Tell"]

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """``rows`` of data compared, ``edge_rows`` answered and ``refused`` by both, the ``largest`` difference per output;
    golden rows ``visit`` some of all ``leaves``, where there are any."""

    rows: int
    edge_rows: int
    refused: int
    largest: dict[str, float]
    visited: int
    leaves: int


class Checked(Protocol):
    """A model that was read, on its way into a bundle. ``compare`` comes first, ``choose`` after it."""

    schema: Schema
    ending: Ending
    graph: bytes
    reference: Variant
    tolerance: dict[str, float]
    provenance: dict[str, str]

    @property
    def rows(self) -> Rows:
        """What the precisions are judged by."""

    def compare(self, model: Model, tell: Tell) -> None:
        """Raises ParityError if ``model``, made of the graph, answers otherwise than the source."""

    def choose(self, model: Model, graph_bytes: int) -> list[Sample]:
        """Golden rows, as they are to be written beside graphs of so many bytes."""

    def figures(self) -> Figures:
        """What was compared."""

    def statements(self) -> tuple[str, ...]:
        """What the certificate says of it."""
