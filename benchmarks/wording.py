"""Figures in words, as the screen and the page show them: durations, rates, counts, columns.

Belongs here: one figure or one table as text. Not here: which ones are shown (screen.py, pages.py).
Imported as edge_runtime.benchmarks.wording.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.timing import Estimate

__all__ = ["duration", "plural", "rate", "span", "table"]

UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))


def table(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> list[str]:
    """Columns two spaces apart, the first one to the left, figures to the right, the last but the marks to the left."""
    every = [headings, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(headings))]
    lines = []
    for row in every:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)),
        ]
        lines.append("  " + "  ".join([*cells, row[-1]]).rstrip())
    return lines


def span(found: Estimate) -> str:
    return f"{duration(found.low)} to {duration(found.high)}"


def duration(nanoseconds: float) -> str:
    """Three digits and a unit: 3.21 µs."""
    size, unit = next(((size, unit) for size, unit in UNITS if nanoseconds >= size), UNITS[-1])
    value = nanoseconds / size
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"


def rate(a_second: float) -> str:
    """Three digits: 9.81, 198,000."""
    if a_second >= 100:
        return f"{float(f'{a_second:.3g}'):,.0f}"
    return f"{a_second:.3g}"


def plural(count: int, thing: str, things: str | None = None) -> str:
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"
