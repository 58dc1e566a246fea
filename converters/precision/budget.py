"""What is wanted of a candidate besides its accuracy: the objective, and limits such as size<=1MB.

Belongs here: reading both, and saying what is not kept. Not here: measuring, choosing (search.py).
Imported as edge_runtime.converters.precision.budget.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_runtime.errors import InputError

__all__ = ["OBJECTIVES", "Budget", "Limit"]

OBJECTIVES = ("latency", "size", "memory")
BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
NANOSECONDS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9}  # both characters that look like µ
UNITS: dict[str, dict[str, float]] = {
    "size": BYTES,
    "memory": BYTES,
    "latency": NANOSECONDS,
    "drop": {"%": 0.01, "": 1.0},
    "ratio": {"": 1.0, "%": 0.01},
}
"""Of each quantity the units that a limit may have, and what they are in its own: bytes, ns, parts of 1."""
FORM = re.compile(r"\s*([a-z]+)\s*<=\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµμ%]*)\s*")
EXAMPLES = "such as size<=1MB, memory<=20MB, latency<=2ms, drop<=0.5%, ratio<=0.8"


@dataclass(frozen=True, slots=True)
class Limit:
    """``quantity`` is at most ``most``, in bytes, ns or parts of 1; ``unit`` is the one that it was given in."""

    quantity: str
    most: float
    unit: str
    text: str

    @classmethod
    def read(cls, text: str) -> Limit:
        """Raises InputError for what is no limit."""
        form = FORM.fullmatch(text)
        if form is None:
            raise InputError(f"{text!r} is no limit", expected=f"one {EXAMPLES}")
        quantity, number, unit = form.groups()
        if quantity not in UNITS:
            raise InputError(f"a limit on {quantity!r}", expected=f"one of {', '.join(UNITS)}")
        units = UNITS[quantity]
        if unit not in units:
            said = f"has the unit {unit!r}" if unit else "has no unit"
            known = ", ".join(each or "no unit" for each in units if each != "μs")
            raise InputError(f"the limit {text.strip()!r} {said}", expected=f"one of {known}")
        most = float(number) * units[unit]
        if not 0 < most < float("inf"):
            raise InputError(f"the limit {text.strip()!r} lets nothing pass", expected="a number above 0")
        return cls(quantity, most, unit, text.strip())

    def told(self, value: float) -> str:
        """``value`` in the limit's unit, with as many digits as tell it from the limit."""
        scale = UNITS[self.quantity][self.unit]
        digits = next((d for d in range(3, 17) if f"{value / scale:.{d}g}" != f"{self.most / scale:.{d}g}"), 17)
        return f"{value / scale:.{digits}g}{' ' if self.unit.isalpha() else ''}{self.unit}"


@dataclass(frozen=True, slots=True)
class Budget:
    """What is made small, and the limits that must be kept, one per quantity at most."""

    objective: str = "latency"
    limits: tuple[Limit, ...] = ()

    @classmethod
    def read(cls, objective: str = "latency", require: str | Sequence[str] | None = None) -> Budget:
        """``require``: limits separated by commas, or a list of them: "size<=1MB", "memory<=20MB" (peak of a fresh
        process), "latency<=2ms" (median of one row or sample), "drop<=0.5%" (the certified bound), "ratio<=0.8" (of the
        reference's latency). Raises InputError for anything else."""
        if objective not in OBJECTIVES:
            raise InputError(f"objective {objective!r}", expected=f"one of {', '.join(OBJECTIVES)}")
        given = [require] if isinstance(require, str) or not isinstance(require, Sequence | None) else require or ()
        for each in given:
            if not isinstance(each, str):
                raise InputError(f"{each!r} is no limit", expected=f"one {EXAMPLES}")
        limits = tuple(Limit.read(text) for each in given for text in each.split(","))
        for limit in limits:
            if [each.quantity for each in limits].count(limit.quantity) > 1:
                raise InputError(f"two limits on {limit.quantity}", expected="one per quantity")
        return cls(objective, limits)

    def of(self, quantity: str) -> float | None:
        """The limit on ``quantity``, in bytes, ns or parts of 1; None if there is none."""
        return next((limit.most for limit in self.limits if limit.quantity == quantity), None)

    def unmet(self, measured: Mapping[str, float]) -> list[str]:
        """What is not kept, in words: of quantities that were not ``measured`` too. Empty if all is."""
        problems = []
        for limit in self.limits:
            value = measured.get(limit.quantity)
            if value is None:
                problems.append(f"{limit.quantity} is not known; {limit.text} was demanded")
            elif not value <= limit.most:
                problems.append(f"{limit.quantity} is {limit.told(value)}; {limit.text} was demanded")
        return problems
