"""What a candidate loses, row by row: values whose mean is the loss, and all that is known of their range.

Belongs here: the form that every metric brings its losses into. Not here: how they are measured (agreement.py,
scoring.py), how far the truth may lie above them (certifying.py).
Imported as edge_runtime.converters.precision.losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answers", "Loss", "Losses", "Values", "figure_text", "restricted"]

Answers = Mapping[str, Sequence[NDArray[Any]] | NDArray[Any]]
"""Of each output one array per sample: rows [N] or [N, K] of a table, or a list of what a graph gave for each feed."""
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Loss:
    """What a candidate loses of one output, or by one figure, against the reference; positive where it is worse.

    ``values`` float64 [n], independent of one another, have the loss as their mean; inf where the candidate has no
    finite answer. ``low`` ≤ values ≤ ``high`` holds for whatever rows may come, not only for these; where no such range
    exists (``bounded`` is False), ``high`` is the least that one row must be expected to lose. ``whole`` says that the
    values are integers. ``counted`` is what the values are of ("rows", "groups"), ``per`` how many of them stand behind
    each, ``percent`` how people read the loss.
    """

    what: str
    values: Values = field(repr=False)
    low: float = 0.0
    high: float = 1.0
    whole: bool = False
    bounded: bool = True
    counted: str = "rows"
    percent: bool = True
    per: float = 1.0

    @property
    def rows(self) -> int:
        """How many rows or groups the values were made of."""
        return round(len(self.values) * self.per)

    @property
    def value(self) -> float:
        return float(self.values.mean())

    def text(self, figure: float, *, bound: bool = False) -> str:
        """A loss as people read it: "0.31%", or "0.0031" for figures that are no share; of a ``bound``, no less."""
        return figure_text(figure, self.percent, bound=bound)


Losses = tuple[Loss, ...]
"""One loss per output that is judged; a candidate must keep all of them small."""


def figure_text(figure: float, percent: bool, *, bound: bool = False) -> str:
    """Three digits: 0.312%, 0.00312; a ``bound`` is rounded up."""
    if not np.isfinite(figure):
        return "everything"
    rounding = ROUND_CEILING if bound else ROUND_HALF_EVEN
    shown = Context(prec=3, rounding=rounding).plus(Decimal(repr(float(figure))) * (100 if percent else 1))
    return f"{float(shown):g}{'%' if percent else ''}"


def restricted(answers: Answers, which: NDArray[np.int64]) -> Answers:
    """The answers to some samples, in the order of ``which``."""
    return {
        name: values[which] if isinstance(values, np.ndarray) else [values[i] for i in which.tolist()]
        for name, values in answers.items()
    }
