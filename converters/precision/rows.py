"""Rows or samples to calibrate, search and certify on, whatever the kind of model.

Belongs here: the protocol. Not here: either kind (converters/checked_table.py, checked_network.py), which rows are for
what (certifying.py).
Imported as edge_runtime.converters.precision.rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_runtime.model import Model
from edge_runtime.timing import Call

from ..samples import Feed
from .losses import Answers

__all__ = ["Numbers", "Rows"]

Numbers = NDArray[np.int64]
"""Which rows or samples. [n]"""


class Rows(Protocol):
    """Rows by number. ``target`` [N] are the true answers and ``groups`` [N] which rows are ranked together, if there
    are any; ``classes`` [K] what the columns of class scores stand for, where that is known."""

    target: NDArray[Any] | None
    groups: NDArray[Any] | None
    classes: NDArray[Any] | None

    def __len__(self) -> int: ...

    def keys(self) -> Sequence[Hashable] | None:
        """What is equal for samples that are copies of one another; None where equal rows are nothing special."""

    def feeds(self, which: Sequence[int]) -> Iterator[Feed]:
        """The graph's tensors, for one row or sample at a time."""

    def answers(self, model: Model, which: Sequence[int]) -> Answers:
        """What ``model`` gives out for them."""

    def asking(self, model: Model, which: Sequence[int]) -> Call:
        """The call that asks ``model`` for the next of them, one at a time, for ever: what is timed."""
