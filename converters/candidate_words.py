"""Precisions that were tried, in words: what each lost, how large and how fast it is, which one was taken and why.

Belongs here: figures and sentences that the terminal and the page share. Not here: their layout (candidate_table.py,
precision_page.py), the reasons themselves (precision/search.py).
Imported as edge_runtime.converters.candidate_words.
"""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_CEILING, Context, Decimal
from math import isfinite

import onnxruntime

from edge_runtime.choice import processor_name
from edge_runtime.parallel import usable_cores
from edge_runtime.schema import Schema
from edge_runtime.timing import Estimate
from edge_runtime.words import bytes_text, duration_text

from .precision.candidate import Candidate, Outcome
from .precision.cpu import instruction_set
from .precision.losses import figure_text

__all__ = [
    "bound_text",
    "chosen_of",
    "counted",
    "kind_of",
    "latency_text",
    "loss_of",
    "loss_text",
    "machine",
    "machine_words",
    "metric_words",
    "outcome_words",
    "percent_of",
    "ratio_text",
    "reference_of",
    "size_ratio",
    "size_text",
]

BOUND_DIGITS = Context(prec=3, rounding=ROUND_CEILING)
VERDICTS = ("chosen", "accepted", "refused", "no gain", "failed")


def reference_of(outcome: Outcome) -> Candidate:
    """What all others are compared with; it is the first one."""
    return outcome.candidates[0]


def chosen_of(outcome: Outcome) -> Candidate | None:
    """The precision that is shipped in the reference's place, if there is one."""
    return next((each for each in outcome.candidates if each.verdict == "chosen"), None)


def percent_of(outcome: Outcome) -> bool:
    """Whether people read this metric's losses as percents: most are shares."""
    return all(each.drop is None or each.drop.unit == "%" for each in outcome.candidates)


def loss_of(candidate: Candidate) -> float | None:
    """What is known of its loss: on the certify split if it got so far, else on the search split."""
    if candidate.verdict == "reference":
        return 0.0
    return candidate.searched if candidate.drop is None else candidate.drop.value


def loss_text(candidate: Candidate, percent: bool) -> str:
    """0.12%: on the certify split where there is a bound beside it, else on the search split."""
    loss = loss_of(candidate)
    if loss is None or candidate.verdict == "reference":
        return ""
    return figure_text(loss, percent)


def bound_text(candidate: Candidate, percent: bool) -> str:
    """≤ 0.483%: never less than the bound is. Empty for what was not certified."""
    if candidate.drop is None:
        return ""
    high = candidate.drop.high
    if not isfinite(high):
        return "no bound"
    figure = BOUND_DIGITS.plus(Decimal(repr(high)) * (100 if percent else 1))
    return f"≤ {float(figure):g}{'%' if percent else ''}"


def size_text(candidate: Candidate) -> str:
    return "" if candidate.size is None else bytes_text(candidate.size)


def size_ratio(candidate: Candidate, reference: Candidate) -> float | None:
    """Its size over the reference's."""
    if candidate.size is None or not reference.size:
        return None
    return candidate.size / reference.size


def kind_of(schema: Schema) -> str:
    """What one call answers."""
    return "row" if schema.columns else "sample"


def latency_text(candidate: Candidate) -> str:
    return "" if candidate.latency is None else duration_text(candidate.latency.value)


def ratio_text(ratio: Estimate | None) -> str:
    """0.68× (0.67 to 0.70)."""
    if ratio is None:
        return ""
    return f"{ratio.value:.2f}× ({ratio.low:.2f} to {ratio.high:.2f})"


def outcome_words(outcome: Outcome) -> str:
    """What was taken, and why, in one sentence."""
    reference, chosen = reference_of(outcome), chosen_of(outcome)
    if chosen is None:
        between = " " if reference.reason.startswith("kept") else ": "
        return f"{reference.name}{between}{reference.reason}"
    gains = []
    if chosen.ratio is not None:
        gains.append(f"{ratio_text(chosen.ratio)} the time")
    size = size_ratio(chosen, reference)
    if size is not None:
        gains.append(f"{size:.2f}× the size")
    return f"{chosen.name} is chosen: {' and '.join(gains)} of {reference.name}; {chosen.reason}"


def counted(outcome: Outcome) -> str:
    """14 others were tried: 1 chosen, 2 accepted, 6 refused, …"""
    others: list[str] = [each.verdict for each in outcome.candidates if each.verdict != "reference"]
    counts = Counter(others)
    parts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    return f"{len(others)} {'other was' if len(others) == 1 else 'others were'} tried: {parts}"


def metric_words(outcome: Outcome) -> str:
    """What a loss is, how much of it is allowed, and what its bound stands on."""
    allowed = f"loss: {outcome.metric}; {figure_text(outcome.max_drop, percent_of(outcome))} is allowed"
    rows = sorted({each.rows for each in outcome.candidates if each.drop is not None})
    if not rows:
        return f"{allowed}; on the search split, since no candidate came so far as to be certified ({outcome.split})"
    which = " or ".join(f"{n:,}" for n in rows)
    return f"{allowed}; ≤ is its certified bound, on {which} rows that nothing was chosen by ({outcome.split})"


def machine_words(kind: str) -> str:
    """Where the times were taken; ``kind`` is what one call answered, a row or a sample."""
    here = machine()
    cores = "1 core" if here["cores"] == 1 else f"{here['cores']} cores"
    made = f"{here['processor']}, {cores}, {here['instructions']}, onnxruntime {here['onnxruntime']}"
    return f"p50: one {kind}, taken in turns with the reference, on {made}"


def machine() -> dict[str, str | int]:
    """This machine, as far as times depend on it."""
    here = instruction_set()
    return {
        "processor": processor_name(),
        "architecture": here.architecture,
        "instructions": here.integers,
        "cores": usable_cores(),
        "onnxruntime": onnxruntime.__version__,
    }
