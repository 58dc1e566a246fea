"""Figures and foreign text as people read them: bytes, durations, bounds, names that can do no harm.

Belongs here: one value as text. Not here: pages made of it (inspection.py), measuring (timing.py).
Imported as edge_runtime.words.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal

__all__ = ["at_most", "bytes_text", "duration_text", "printable"]

BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
NANOSECONDS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


def printable(text: str) -> str:
    """``text`` with everything written out that could move a cursor, hide or turn round what stands beside it.

    Escapes, line ends, other control characters, direction marks, lone surrogates and unusual spaces.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def bytes_text(size: int) -> str:
    """Two digits or more and a decimal unit: 52 kB."""
    for unit, name in BYTES:
        if size >= unit:
            return f"{two_digits(size / unit)} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"


def duration_text(nanoseconds: float) -> str:
    """Two digits or more and a unit: 4.8 µs."""
    unit, name = next(((unit, name) for unit, name in NANOSECONDS if nanoseconds >= unit), NANOSECONDS[-1])
    return f"{two_digits(nanoseconds / unit)} {name}"


def two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def at_most(value: float) -> str:
    """A number of one digit that ``value`` is not above: 8e-14 for 7.66e-14 and for 8e-14, 9e-14 for 8.01e-14."""
    return f"{float(Context(prec=1, rounding=ROUND_CEILING).plus(Decimal(repr(value)))):g}"
