"""What a caller asks of a precision: by which metric it may lose how much, what is to be small, what must hold.

Belongs here: the demand, checked before anything is done. Not here: reading limits (budget.py), choosing a metric for
given outputs (metric.py).
Imported as edge_runtime.converters.precision.demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from edge_runtime.errors import InputError

from .budget import Budget
from .metric import METRICS
from .scoring import Figure

__all__ = ["Demand"]


@dataclass(frozen=True, slots=True)
class Demand:
    """``max_drop`` bounds the loss against the reference by ``metric`` (None: what goes with the outputs)."""

    metric: str | Figure | None
    max_drop: float
    budget: Budget

    @classmethod
    def of(
        cls,
        *,
        metric: str | Figure | None,
        max_drop: float,
        objective: str,
        require: str | Sequence[str] | None,
    ) -> Demand:
        """Raises InputError for what is none."""
        budget = Budget.read(objective, require)
        if isinstance(max_drop, bool) or not isinstance(max_drop, Real):
            raise InputError(f"max_drop is {max_drop!r}", expected="a number: 0.005 is half a percent")
        allowed = budget.of("drop")
        drop = max_drop if allowed is None else min(max_drop, allowed) if max_drop else allowed
        if not 0 <= drop < 1:
            raise InputError(f"max_drop is {max_drop!r}", expected="0 or more and less than 1: 0.005 is half a percent")
        if isinstance(metric, str) and metric not in METRICS:
            raise InputError(f"metric {metric!r}", expected=f"one of {', '.join(METRICS)}, or a function")
        if metric is not None and not isinstance(metric, str) and not callable(metric):
            raise InputError(f"metric {metric!r}", expected=f"one of {', '.join(METRICS)}, or a function")
        return cls(metric, drop, budget)

    @property
    def searched(self) -> bool:
        """Whether other precisions are tried at all: to lose nothing cannot be certified of any."""
        return self.max_drop > 0
