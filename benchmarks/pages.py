"""A document as a page: the figures of the screen, and the pictures that a screen cannot show.

Belongs here: which sections a page has. Not here: pictures (pictures.py), the page's look (edge_runtime.report), text
that the screen has too (screen.py).
Imported as edge_runtime.benchmarks.pages; needs the extra `bench`.
"""

from __future__ import annotations

from dataclasses import fields

from edge_runtime.report import Picture, Section, Table, page
from edge_runtime.words import bytes_text

from . import pictures, screen
from .comparison import Comparison
from .conditions import Conditions
from .document import Document
from .environment import Environment
from .figures import PERCENTILES
from .measuring import RateSearch
from .profiling import Profile
from .run import Run
from .sweeping import Sweep
from .wording import duration

__all__ = ["page_of"]

Part = str | Table | Picture


def page_of(document: Document) -> str:
    """The HTML of ``document``. Raises MissingExtraError."""
    sections = [summary(document), *(run_section(run) for run in document.runs)]
    if document.rate_search is not None:
        sections.append(search_section(document.rate_search))
    sections += [sweep_section(sweep) for sweep in document.sweeps]
    if document.cold_start is not None:
        cold = document.cold_start
        text = screen.cold_start_text(cold).splitlines()[0]
        sections.append(Section(title="cold start", parts=(text, pictures.cold_start_bars(cold))))
    if document.memory is not None:
        lines = screen.memory_text(document.memory).splitlines()
        known = all(phase.peak_rss_bytes is not None for phase in document.memory.phases)
        drawn = (pictures.memory_bars(document.memory),) if known else ()
        sections.append(Section(title="memory and size", parts=(*lines, *drawn)))
    if document.energy is not None:
        sections.append(Section(title="energy", parts=(screen.energy_text(document.energy),)))
    if document.profile is not None:
        sections.append(profile_section(document.profile))
    gated = (document.gate.comparison,) if document.gate is not None else ()
    sections += [comparison_section(each) for each in (*document.comparisons, *gated)]
    sections.append(environment_section(document))
    return page(f"edge-bench: {document.target}", sections, used_by=pictures.USED_BY)


def summary(document: Document) -> Section:
    """What one would say in a mail."""
    parts: list[Part] = []
    if document.gate is not None:
        parts.append(document.gate.sentence)
    parts += [comparison.sentence for comparison in document.comparisons]
    if document.model is not None:
        parts.append(screen.model_words(document.model))
    parts.append(screen.machine_words(document.environment))
    parts += [screen.golden_words(document)] if screen.timed(document) else []
    parts += [f"advice: {document.advice}"] if document.advice is not None else []
    parts += [f"not measured: {note}" for note in document.notes]
    return Section(title="", parts=tuple(parts), lead=True)


def run_section(run: Run) -> Section:
    work, *remarks = screen.run_remarks(run)
    rows = tuple(screen.percentile_row(run, percent) for percent in PERCENTILES)
    table = Table(("", "latency", "95% interval"), rows)
    parts: tuple[Part, ...] = (work, table, pictures.distribution(run), pictures.over_time(run), *remarks)
    return Section(title=screen.run_title(run), parts=parts)


def search_section(search: RateSearch) -> Section:
    rows = tuple(screen.search_row(search, run) for run in sorted(search.tries, key=lambda run: run.rate_per_s or 0))
    table = Table(("offered", f"p{search.percent:g}", "95% interval", ""), rows)
    parts: tuple[Part, ...] = (
        screen.search_title(search),
        pictures.rate_curve(search),
        table,
        *screen.not_quiet(search.problems),
    )
    return Section(title="highest rate", parts=parts)


def profile_section(profile: Profile) -> Section:
    nodes = tuple((node.name, node.operator, duration(node.ns_per_call), f"{node.share:.1%}") for node in profile.nodes)
    table = Table(("node", "operator", "a call", "share"), nodes)
    return Section(title="profile", parts=(screen.profile_title(profile), pictures.profile_bars(profile), table))


def sweep_section(sweep: Sweep) -> Section:
    rows = tuple(screen.sweep_row(sweep, point, best) for point, best in zip(sweep.points, sweep.pareto, strict=True))
    parts: tuple[Part, ...] = (
        Table((sweep.parameter, "rows/s", "95% interval", "a call", ""), rows),
        *screen.refusals(sweep),
    )
    parts = (*parts, *screen.not_quiet(sweep.problems))
    if any(point.run is not None for point in sweep.points):
        drawn = pictures.batch_curve(sweep) if sweep.parameter == "batch" else pictures.sweep_dots(sweep)
        parts = (drawn, *parts, "* no other is better in speed, CPU time and size")
    return Section(title=f"by {sweep.parameter}", parts=parts)


def comparison_section(comparison: Comparison) -> Section:
    *lines, sentence = screen.comparison_text(comparison).splitlines()
    title = f"{comparison.a} against {comparison.b}"
    return Section(title=title, parts=(sentence, pictures.ratio_picture(comparison), *lines), lead=True)


def environment_section(document: Document) -> Section:
    environment = document.environment
    rows = [(field.name.replace("_", " "), value_text(environment, field.name)) for field in fields(Environment)]
    tables: list[Part] = [Table((), tuple(rows))]
    for run in document.runs:
        tables += [f"meanwhile, {run.scenario}:", Table((), conditions_rows(run.conditions))]
    return Section(title="environment", parts=tuple(tables))


def value_text(environment: Environment, name: str) -> str:
    value = getattr(environment, name)
    if value is None or value == ():
        return "unknown" if name != "threads" else "all"
    if name == "memory_bytes":
        return bytes_text(value)
    if name == "load":
        return f"{value:.2f}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def conditions_rows(found: Conditions) -> tuple[tuple[str, str], ...]:
    """What the machine did meanwhile, in words."""

    def share(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.1%}"

    def megahertz(value: float | None) -> str:
        return "unknown" if value is None else f"{value / 1e6:,.0f} MHz"

    drift = found.kernel_drift
    drifted = "unknown" if drift is None else f"{drift.value:.3f} ({drift.low:.3f} to {drift.high:.3f}, 99% interval)"
    others = "unknown" if found.others_cores is None else f"{found.others_cores:.2f} of {found.cores}"
    switches = "unknown" if found.involuntary_switches is None else f"{found.involuntary_switches:,}"
    return (
        ("seconds, and of CPU time", f"{found.seconds:.1f}, {found.cpu_seconds:.1f}"),
        ("stolen by the hypervisor", share(found.steal_share)),
        ("some task waited for a core", share(found.pressure_share)),
        ("cores busy with others", others),
        ("taken off its core", switches),
        (
            "frequency at the start, at the end",
            f"{megahertz(found.frequency_start_hz)}, {megahertz(found.frequency_end_hz)}",
        ),
        ("fixed computation, end over start", drifted),
    )
