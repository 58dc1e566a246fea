"""What one call of edge-bench found, as one JSON document: written on the device, rendered anywhere.

Belongs here: the document, reading and writing it. Not here: the form of its parts (stored.py), what people read of it
(screen.py, pages.py).
Imported as edge_runtime.benchmarks.document. The schema is written down in docs/benchmarking.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import InputError

from .advice import advice_of
from .comparison import Comparison
from .consumption import Energy
from .environment import Environment
from .figures import Figure, figures_of_run, figures_of_sweep, plain_figure
from .footprint import Memory
from .gating import Gate
from .measuring import RateSearch
from .profiling import Profile
from .run import Run
from .starting import ColdStart
from .stored import Stored
from .sweeping import Sweep

__all__ = ["FORMAT", "Document", "ModelFile", "read_document"]

# 1 (0.1): first version. To raise: when a reader of the old form would misread the new one; then keep the old reader.
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile(Stored):
    """The file that was measured: what it says of itself, its bytes, and how many golden rows it carries."""

    name: str
    version: str
    variant: str
    digest: str
    file_bytes: int
    golden_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Stored):
    """Everything that was found about ``target``; what was not asked for is None or (). ``notes`` says in sentences
    what was left out and why, ``status`` is the exit status."""

    format: int
    target: str
    model: ModelFile | None
    environment: Environment
    runs: tuple[Run, ...] = ()
    rate_search: RateSearch | None = None
    sweeps: tuple[Sweep, ...] = ()
    cold_start: ColdStart | None = None
    memory: Memory | None = None
    energy: Energy | None = None
    profile: Profile | None = None
    comparisons: tuple[Comparison, ...] = ()
    gate: Gate | None = None
    notes: tuple[str, ...] = ()
    status: int = 0

    @property
    def answers_right(self) -> bool | None:
        """Whether golden rows were answered right wherever they were asked; None if nowhere."""
        swept = [point.run for sweep in self.sweeps for point in sweep.points if point.run is not None]
        tried = self.rate_search.tries if self.rate_search is not None else ()
        found = [run.answers_right for run in (*self.runs, *swept, *tried)]
        found += [answer for each in self.comparisons for answer in (each.a_answers_right, each.b_answers_right)]
        known = [answer for answer in found if answer is not None]
        return all(known) if known else None

    @property
    def advice(self) -> str | None:
        """One sentence on what to set here, from the sweeps; None if nothing is clearly better than the usual."""
        return advice_of(self.runs, self.sweeps)

    def figures(self) -> tuple[Figure, ...]:
        """All figures with their intervals, one after the other."""
        found: list[Figure] = []
        for run in self.runs:
            found += figures_of_run(run, "run", run.scenario)
        if self.rate_search is not None and self.rate_search.rate_per_s is not None:
            found.append(plain_figure("highest rate", "server", "rate", self.rate_search.rate_per_s, "calls/s"))
        for sweep in self.sweeps:
            found += figures_of_sweep(sweep)
        if self.cold_start is not None:
            cold = self.cold_start
            found += [Figure("cold start", "", name, cold.phase(name)) for name in cold.phases]
            found.append(Figure("cold start", "", "to the first answer", cold.total()))
        if self.memory is not None:
            for phase in self.memory.phases:
                if phase.peak_rss_bytes is not None:
                    found.append(plain_figure("memory", phase.name, "peak RSS", phase.peak_rss_bytes, "bytes"))
            for package, size in self.memory.installed_bytes.items():
                found.append(plain_figure("size", package, "installed", size, "bytes"))
        if self.model is not None:
            found.append(plain_figure("size", self.model.name, "file", self.model.file_bytes, "bytes"))
        if self.energy is not None:
            if self.energy.joules_per_call is not None:
                found.append(Figure("energy", "", "per call", self.energy.joules_per_call))
            found.append(plain_figure("energy", "", "CPU time per call", self.energy.cpu_seconds_per_call, "s"))
        if self.profile is not None:
            for each in self.profile.operators:
                found.append(plain_figure("profile", each.operator, "per call", each.ns_per_call, "ns"))
        for comparison in self.comparisons:
            between = f"{comparison.a} / {comparison.b}"
            found.append(Figure("comparison", between, "ratio", comparison.ratio))
            found.append(Figure("comparison", between, "A/A", comparison.against_itself))
        if self.gate is not None:
            found.append(Figure("gate", "", "ratio", self.gate.comparison.ratio))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """The document as JSON data; ``figures``, ``advice`` and ``verdicts`` are in it for readers that are no
        edge-bench, which works them out anew."""
        verdicts = [{"verdict": each.verdict, "sentence": each.sentence} for each in self.comparisons]
        if self.gate is not None:
            verdicts.append({"verdict": self.gate.outcome, "sentence": self.gate.sentence})
        figures = [figure.to_json() for figure in self.figures()]
        # super() without arguments does not survive slots=True.
        return {**Stored.to_json(self), "advice": self.advice, "figures": figures, "verdicts": verdicts}


def read_document(path: str) -> Document:
    """The document in the file ``path``. Raises InputError for a file that is none, or one of another format."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}", expected="what edge-bench --json printed") from None
    if not isinstance(data, dict) or "format" not in data:
        raise InputError(f"{path} is no run of edge-bench", expected="what edge-bench --json printed")
    if data["format"] != FORMAT:
        raise InputError(f"{path} has the format {data['format']!r}", expected=f"{FORMAT}, or a newer edge-bench")
    try:
        return Document.from_json(data)
    except InputError as error:
        raise InputError(f"{path}: {error.problem}", expected=error.expected) from None
