"""What was tried, what was taken and why, as one HTML page that travels by mail.

Belongs here: which sections the page has. Not here: pictures (precision_pictures.py), words that the terminal has too
(candidate_words.py), the page's look (edge_runtime.report).
Imported as edge_runtime.converters.precision_page; needs the extra `bench`.
"""

from __future__ import annotations

import os
import platform

from edge_runtime.answers import check_target
from edge_runtime.inspection import page_of_bundle
from edge_runtime.manifest import Manifest
from edge_runtime.report import Picture, Section, Table, page
from edge_runtime.version import VERSION
from edge_runtime.words import bytes_text

from . import candidate_words as words
from .precision.candidate import Candidate, Outcome
from .precision.losses import figure_text
from .precision_pictures import USED_BY, layer_bars, range_bars, trade, widest

__all__ = ["page_of", "save_page"]

Part = str | Table | Picture
FIGURES = ("", "candidate", "verdict", "loss", "size", "p50")
REASONS = ("candidate", "what it is, and why the verdict")
LAYERS = ("", "layer", "operator", "loss", "time", "")
RANGES = ("activation", "smallest", "largest")


def save_page(path: str | os.PathLike[str], manifest: Manifest, outcome: Outcome) -> None:
    """Write the page. Raises InputError unless the name ends in .html in a folder that is there, MissingExtraError,
    OSError where the disk refuses."""
    target = os.fspath(path)
    check_target(target, (".html",))
    text = page_of(manifest, outcome)
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)


def page_of(manifest: Manifest, outcome: Outcome) -> str:
    """The HTML. Raises MissingExtraError."""
    made = page_of_bundle(manifest, "")
    sections = [first(manifest, outcome), candidates_section(outcome)]
    drawn = trade(outcome)
    if drawn is not None:
        sections.append(Section(title="loss, time and size", parts=(drawn,)))
    if outcome.layers:
        sections.append(layers_section(outcome))
    if widest(outcome.ranges):
        sections.append(ranges_section(outcome))
    certificate = Table((), tuple((word or "stated", text) for word, text in made.certificate))
    sections.append(Section(title="certificate", parts=(certificate,)))
    sections.append(Section(title="environment", parts=(Table((), environment()), Table((), made.provenance))))
    return page(f"{made.title}: precisions", sections, used_by=USED_BY)


def first(manifest: Manifest, outcome: Outcome) -> Section:
    """What one would say in a mail."""
    parts: list[Part] = [words.outcome_words(outcome)]
    if len(outcome.candidates) > 1:
        kind = words.kind_of(manifest.schema)
        parts += [words.counted(outcome), words.metric_words(outcome), words.machine_words(kind)]
    names = [each.variant.name for each in outcome.shipped]
    if len(names) > 1:
        parts.append(f"in the bundle: {names[0]}, which load takes, and beside it {', '.join(names[1:])}")
    return Section(title="", parts=tuple(parts), lead=True)


def candidates_section(outcome: Outcome) -> Section:
    """Figures first, then the reasons, which would leave them no room in one table."""
    percent, reference = words.percent_of(outcome), words.reference_of(outcome)
    memory = any(each.memory is not None for each in outcome.candidates)
    figures, reasons = [], []
    for number, each in enumerate(outcome.candidates):
        called = (str(number), each.name)
        peak = () if not memory else ("" if each.memory is None else bytes_text(each.memory),)
        figures.append((*called, *figures_of(each, reference, percent), *peak))
        reasons.append((f"{number} {each.name}", f"{each.precision}: {each.reason}"))
    said = (
        "≤: the certified bound on the loss; without one, the loss is that on the search split. Intervals of the time"
        " are at 99%, sizes those in a bundle."
    )
    headings = (*FIGURES, "memory") if memory else FIGURES
    parts = (Table(headings, tuple(figures)), said, Table(REASONS, tuple(reasons)))
    return Section(title="candidates", parts=parts)


def figures_of(each: Candidate, reference: Candidate, percent: bool) -> tuple[str, ...]:
    ratio = words.size_ratio(each, reference)
    return (
        each.verdict,
        joined(words.loss_text(each, percent), words.bound_text(each, percent)),
        joined(words.size_text(each), f"{ratio:.2f}×" if ratio is not None and each is not reference else ""),
        joined(words.latency_text(each), words.ratio_text(each.ratio)),
    )


def joined(*texts: str) -> str:
    return ", ".join(filter(None, texts))


def layers_section(outcome: Outcome) -> Section:
    percent = words.percent_of(outcome)
    rows = []
    for number, layer in enumerate(outcome.layers, 1):
        loss = "" if layer.loss is None else figure_text(layer.loss, percent)
        time = "" if layer.ratio is None else f"{layer.ratio:.2f}×"
        rows.append((str(number), layer.node, layer.operator, loss, time, layer.reason))
    table = Table(LAYERS, tuple(rows))
    return Section(title="layers", parts=(layer_bars(outcome.layers, percent), table))


def ranges_section(outcome: Outcome) -> Section:
    rows = tuple((name, f"{low:.4g}", f"{high:.4g}") for name, low, high in widest(outcome.ranges))
    return Section(title="calibration", parts=(range_bars(outcome.ranges), Table(RANGES, rows)))


def environment() -> tuple[tuple[str, str], ...]:
    """Where this was made, and the times taken."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    here = words.machine().items()
    return (*((name, str(value)) for name, value in here), ("system", system), ("edge-runtime", VERSION))
