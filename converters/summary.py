"""What a conversion tells at its end, as text for people and as JSON for programs.

Belongs here: which facts, in which order. Not here: the precisions' table (candidate_table.py) and their figures
(candidate_words.py), the page (precision_page.py).
Imported as edge_runtime.converters.summary. The keys of the JSON: docs/precision.md.
"""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from edge_runtime.inspection import page_of_bundle
from edge_runtime.timing import Estimate
from edge_runtime.words import at_most, bytes_text, duration_text, printable

from .candidate_table import candidate_table, folded
from .candidate_words import (
    counted,
    kind_of,
    machine,
    machine_words,
    metric_words,
    outcome_words,
    reference_of,
    size_ratio,
)
from .precision.candidate import Candidate, Layer, Outcome

if TYPE_CHECKING:
    from edge_runtime.bundle import Bundle

    from .conversion import Conversion

__all__ = ["data_of", "precision_data", "precision_text", "summary"]


def summary(conversion: Conversion, bundle: Bundle, one_ns: float, width: int) -> str:
    """What a person is told at the end, the table of precisions within ``width`` columns."""
    schema, report = bundle.manifest.schema, conversion.report
    page = page_of_bundle(bundle.manifest, bundle.digest)
    numbers = [f"|Δ {name}| ≤ {at_most(gap)}" for name, gap in report.largest.items()]
    discrete = [output.name for output in schema.outputs if output.name not in report.largest]
    labels = [f"0 {'labels' if name == 'label' else name} differ" for name in discrete]
    found = printable(", ".join([*labels, *numbers]))
    kind = kind_of(schema)
    tried = len(conversion.outcome.candidates) > 1
    what = f" of {reference_of(conversion.outcome).name}" if tried else ""
    size, time = bytes_text(bundle.size), duration_text(one_ns)
    lines = [page.title, f"{report.rows:,} {kind}s checked{what}: {found}; {size}; one {kind} {time}"]
    lines += [f"  {word or 'stated'}: {text}" for word, text in page.certificate if word != "checked"]
    lines.append(precision_text(conversion.outcome, kind, width))
    lines.append(f"written to {printable(bundle.path)}, {bundle.digest}")
    return "\n".join(lines)


def precision_text(outcome: Outcome, kind: str, width: int) -> str:
    """The table with what is to be known of its figures, and what was taken; one line where nothing was tried."""
    said = printable(outcome_words(outcome))
    if len(outcome.candidates) == 1:
        return said
    notes = (counted(outcome), metric_words(outcome), machine_words(kind))
    lines = [line for note in notes for line in folded(printable(note), width)]
    return "\n".join([*lines, candidate_table(outcome, width), *folded(said, width)])


def data_of(conversion: Conversion, bundle: Bundle, one_ns: float) -> dict[str, Any]:
    """All of it as JSON takes it."""
    return {
        "digest": bundle.digest,
        "name": conversion.name,
        "one_row_ns": one_ns,
        "path": bundle.path,
        "precision": precision_data(conversion.outcome),
        "report": asdict(conversion.report),
        "size": bundle.size,
        "version": conversion.version,
    }


def precision_data(outcome: Outcome) -> dict[str, Any]:
    """What was tried: losses and ratios in parts of 1, null for what is not known or not finite."""
    reference = reference_of(outcome)
    return {
        "candidates": [candidate_data(each, reference) for each in outcome.candidates],
        "layers": [layer_data(layer) for layer in outcome.layers],
        "machine": machine(),
        "max_drop": outcome.max_drop,
        "metric": outcome.metric,
        "objective": outcome.objective,
        "ranges": [
            {"activation": name, "lowest": finite(low), "highest": finite(high)} for name, low, high in outcome.ranges
        ],
        "split": outcome.split,
        "shipped": [each.variant.name for each in outcome.shipped],
        "statements": list(outcome.statements),
    }


def candidate_data(each: Candidate, reference: Candidate) -> dict[str, Any]:
    return {
        "certified_loss": estimate_data(each.drop),
        "certified_rows": each.rows,
        "latency_ns": estimate_data(each.latency),
        "latency_ratio": estimate_data(each.ratio),
        "memory_bytes": each.memory,
        "name": each.name,
        "precision": each.precision,
        "reason": each.reason,
        "searched_loss": finite(each.searched),
        "size_bytes": each.size,
        "size_ratio": size_ratio(each, reference),
        "verdict": each.verdict,
    }


def layer_data(layer: Layer) -> dict[str, Any]:
    return {
        "loss": finite(layer.loss),
        "node": layer.node,
        "operator": layer.operator,
        "reason": layer.reason,
        "time_ratio": finite(layer.ratio),
    }


def estimate_data(found: Estimate | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    return {"value": finite(found.value), "low": finite(found.low), "high": finite(found.high)}


def finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and isfinite(value) else None
