"""Figures one by one, each with its interval: the rows of the CSV, and of the list in the JSON document.

Belongs here: `Figure`, the figures of a run and of a sweep, CSV. Not here: which parts a document has (document.py).
Imported as edge_runtime.benchmarks.figures.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_runtime.timing import Estimate, NeedsMoreSamples

from .run import Run
from .sweeping import Sweep

__all__ = ["PERCENTILES", "Figure", "csv_of", "figures_of_run", "figures_of_sweep", "plain_figure"]

PERCENTILES = (50, 90, 99, 99.9)
FIELDS = ("part", "setting", "figure", "value", "low", "high", "unit")


@dataclass(frozen=True, slots=True)
class Figure:
    """``figure`` of a ``part`` of the document, in one ``setting``: ("run", "single-stream", "p50", …)."""

    part: str
    setting: str
    figure: str
    estimate: Estimate

    def to_json(self) -> dict[str, Any]:
        """The figure as JSON data; an end of the interval that nobody knows is None."""
        found = self.estimate
        values = [number if math.isfinite(number) else None for number in (found.value, found.low, found.high)]
        return dict(zip(FIELDS, (self.part, self.setting, self.figure, *values, found.unit), strict=True))


def plain_figure(part: str, setting: str, figure: str, value: float, unit: str) -> Figure:
    """A figure that was counted, not estimated: its interval is itself."""
    return Figure(part, setting, figure, Estimate(value, value, value, unit))


def figures_of_run(run: Run, part: str, setting: str) -> list[Figure]:
    """Percentiles as far as there are samples for them, throughput, the A/A pair; the naive figures of a server run."""
    found = [Figure(part, setting, f"p{percent:g}", estimate) for percent, estimate in percentiles_of(run)]
    if run.service_ns is not None:
        found += [
            Figure(part, setting, f"p{each:g} naive", run.naive_percentile(each)) for each, _ in percentiles_of(run)
        ]
    found.append(Figure(part, setting, "throughput", run.throughput()))
    found.append(Figure(part, setting, "A/A", run.against_itself()))
    found.append(plain_figure(part, setting, "own cost", run.own_cost_ns, "ns"))
    return found


def percentiles_of(run: Run) -> list[tuple[float, Estimate]]:
    found = []
    for percent in PERCENTILES:
        try:
            found.append((percent, run.percentile(percent)))
        except NeedsMoreSamples:
            break
    return found


def figures_of_sweep(sweep: Sweep) -> list[Figure]:
    """Median latency and throughput at each value that ran."""
    found = []
    for point in sweep.points:
        if point.run is not None:
            setting = f"{sweep.parameter}={point.value}"
            found.append(Figure("sweep", setting, "p50", point.median()))
            found.append(Figure("sweep", setting, "throughput", point.run.throughput()))
    return found


def csv_of(figures: Iterable[Figure]) -> str:
    """The figures as CSV with a heading, one a line."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(figure.to_json() for figure in figures)
    return out.getvalue().removesuffix("\n")
