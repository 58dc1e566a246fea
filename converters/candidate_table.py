"""The precisions that were tried, as a table on a terminal, or one below the other where it is narrow.

Belongs here: the layout. Not here: figures and sentences (candidate_words.py), the page (precision_page.py).
Imported as edge_runtime.converters.candidate_table; needs rich, inside its functions.
"""

from __future__ import annotations

from textwrap import wrap

from edge_runtime.errors import extra
from edge_runtime.words import bytes_text, printable

from .candidate_words import (
    bound_text,
    latency_text,
    loss_text,
    percent_of,
    ratio_text,
    reference_of,
    size_ratio,
    size_text,
)
from .precision.candidate import Candidate, Outcome

__all__ = ["candidate_table", "folded"]

NARROW = 72  # columns; below that a table would fold every cell
CHOSEN = "*"
LONGEST_REASON = 240  # characters: what libraries say when they fail can be a page; the report and --json have it all


def candidate_table(outcome: Outcome, width: int) -> str:
    """All candidates within ``width`` columns, the chosen one marked by *, each with its reason. Foreign text is
    escaped."""
    lines = rows(outcome, width) if width >= NARROW else stacked(outcome, width)
    return "\n".join(lines)


def rows(outcome: Outcome, width: int) -> list[str]:
    """A table, and the reasons below it."""
    with extra("cli", used_by="edge convert"):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

    reference, percent = reference_of(outcome), percent_of(outcome)
    memory = any(each.memory is not None for each in outcome.candidates)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("candidate", overflow="fold")
    for heading in ("verdict", "loss", "size", "p50", *(["memory"] if memory else [])):
        table.add_column(heading, no_wrap=True)
    for each in outcome.candidates:
        mark = CHOSEN if each.verdict == "chosen" else ""
        cells = [mark, printable(each.name), each.verdict, *figures(each, reference, percent)]
        if memory:
            cells.append("" if each.memory is None else bytes_text(each.memory))
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    for each in outcome.candidates:
        if reason(each):
            lines += folded(f"{printable(each.name)}: {reason(each)}", width)
    return lines


def figures(each: Candidate, reference: Candidate, percent: bool) -> tuple[str, str, str]:
    """Loss, size and time, each with what it is to be read by below it."""
    ratio = size_ratio(each, reference)
    small = "" if ratio is None or each is reference else f"{ratio:.2f}×"
    return (
        beneath(loss_text(each, percent), bound_text(each, percent)),
        beneath(size_text(each), small),
        beneath(latency_text(each), ratio_text(each.ratio)),
    )


def beneath(figure: str, other: str) -> str:
    return f"{figure}\n{other}" if other else figure


def reason(each: Candidate) -> str:
    """Why the verdict is what it is; of the reference, the sentence below the table says it."""
    text = "" if each.verdict == "reference" else printable(each.reason)
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def folded(text: str, width: int) -> list[str]:
    """Lines of ``width`` at most, the first one standing out."""
    return wrap(text, max(width, 20), subsequent_indent="  ", break_on_hyphens=False)


def stacked(outcome: Outcome, width: int) -> list[str]:
    """One candidate below the other."""
    reference, percent = reference_of(outcome), percent_of(outcome)
    lines: list[str] = []
    for each in outcome.candidates:
        loss, size, time = (cell.replace("\n", ", ") for cell in figures(each, reference, percent))
        mark = f"{CHOSEN} " if each.verdict == "chosen" else ""
        lines += folded(f"{mark}{printable(each.name)}: {each.verdict}", width)
        parts = [f"loss {loss}" if loss else "", size, f"p50 {time}" if time else ""]
        parts += ["" if each.memory is None else f"memory {bytes_text(each.memory)}", reason(each)]
        for part in filter(None, parts):
            lines += [f"    {line}" for line in folded(part, width - 4)]
    return lines
