"""Source against model, row by row: the given data, then the edge rows, one at a time and together.

Numbers must be within the stated tolerance, and labels equal, except where the source's own numbers are a tie within
it; a row that one of the two refuses, the other must refuse as well.

Belongs here: comparing and showing what differs. Not here: making edge rows (edge_rows.py), deciding what to try.
Imported as edge_runtime.converters.parity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.errors import InputError, ParityError
from edge_runtime.golden import differences
from edge_runtime.model import Model

from .source import Outputs, Source

__all__ = ["Parity", "compare_data", "compare_edge_rows"]

WORST_SHOWN = 5
FEW = 1000  # of so many rows of data, one may be a tie: with more, it would no longer be the same model
CHUNK = 65536  # rows; bounds memory, and gives progress something to count


@dataclass(frozen=True, slots=True)
class Parity:
    """``rows`` compared, ``refused`` by both, the ``largest`` difference per output of numbers, and how many rows are
    ``ties`` that the two break differently; of edge rows also the records that were ``answered``, and by how many
    ``ulps`` one row alone and among others differ at most."""

    rows: int
    refused: int
    largest: dict[str, float]
    ties: int = 0
    answered: tuple[dict[str, Any], ...] = ()
    ulps: float = 0.0


def compare_data(source: Source, model: Model, frame: pd.DataFrame, progress: Callable[[int, int], None]) -> Parity:
    """Compare all rows of ``frame`` (the schema's columns).

    Raises ParityError with the worst rows, InputError for a row that one of the two refuses.
    """
    largest: dict[str, float] = {}
    worst: list[tuple[float, int, str]] = []
    off = {"labels": 0, "numbers": 0}
    ties: list[tuple[float, int, str]] = []
    for start in range(0, len(frame), CHUNK):
        part = frame.iloc[start : start + CHUNK]
        wanted, found = both(source, model, part, start)
        for name, reference in wanted.items():
            gap = row_gaps(found[name], reference)
            if name in source.tolerance:
                largest[name] = max(largest.get(name, 0.0), float(gap.max(initial=0.0)))
            beyond = np.flatnonzero(gap > source.tolerance.get(name, 0.0))
            if name == "label":
                tied = [i for i in beyond.tolist() if is_tie(source, found[name][i], at(wanted, i))]
                ties += [(float(gap[i]), start + i, name) for i in tied]
                beyond = np.setdiff1d(beyond, tied)
            off["numbers" if name in source.tolerance else "labels"] += len(beyond)
            worst += [(float(gap[i]), start + int(i), name) for i in beyond[np.argsort(-gap[beyond])][:WORST_SHOWN]]
        progress(min(start + CHUNK, len(frame)), len(frame))
    if len(ties) * FEW > len(frame):
        off["labels"] += len(ties)
        worst += ties
    if worst:
        rows = sorted({row for _, row, _ in sorted(worst, reverse=True)[:WORST_SHOWN]})
        raise ParityError(
            f"the converted model does not answer as its source: of {len(frame):,} rows, {off['labels']:,} labels and"
            f" {off['numbers']:,} numbers differ (largest {max(gap for gap, _, _ in worst):.3g})",
            rows=side_by_side(source, model, frame.iloc[rows], rows),
        )
    return Parity(len(frame), 0, largest, len(ties))


def at(outputs: Outputs, i: int) -> dict[str, Any]:
    return {name: values[i] for name, values in outputs.items()}


def is_tie(source: Source, found: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether the source's own probabilities of one row, in ``wanted``, do not tell its label from ``found``, the
    model's: they are apart by no more than their bound, so the source's rounding has chosen."""
    classes = source.ending.classes
    if not source.exact or classes is None or "probabilities" not in source.tolerance:
        return False
    share = dict(zip(classes, np.asarray(wanted["probabilities"]).tolist(), strict=True))
    if wanted["label"] not in share:
        return False
    return bool(abs(share[found] - share[wanted["label"]]) <= 2.0 * source.tolerance["probabilities"])


def both(source: Source, model: Model, part: pd.DataFrame, start: int) -> tuple[Outputs, Outputs]:
    """What source and model answer; ``start`` is the number of the part's first row."""
    wanted = ask(partial(source.reference, part))
    if isinstance(wanted, Exception):
        answered, refused = 0, len(part)  # this many rows from the first on
        while refused - answered > 1:
            middle = (answered + refused) // 2
            if isinstance(ask(partial(source.reference, part.iloc[:middle])), Exception):
                refused = middle
            else:
                answered = middle
        reason = str(wanted).partition("\n")[0]
        raise InputError(
            f"the source refuses its data ({reason})", row=start + answered, expected="rows that it answers"
        ) from wanted
    try:
        return wanted, model.predict(part)
    except InputError as refusal:
        if refusal.row is None:
            raise
        row = start + refusal.row
        raise InputError(refusal.problem, expected=refusal.expected, column=refusal.column, row=row) from None


def compare_edge_rows(source: Source, model: Model, records: list[dict[str, Any]]) -> Parity:
    """Compare records: what the model answers one by one, in a table, and what the source says; refusals included.

    Raises ParityError with the first rows that differ.
    """
    frame = as_frame(source, records)
    singles = [ask(partial(model.predict_one, record)) for record in records]
    taken = [i for i, single in enumerate(singles) if not isinstance(single, Exception)]
    wanted = answers_of(source, frame, taken)
    together = model.predict([records[i] for i in taken])
    faults: list[str] = []
    largest: dict[str, float] = {}
    ulps, ties = 0.0, 0
    for place, i in enumerate(taken):
        if isinstance(wanted[i], Exception):
            faults.append(f"  {shown(records[i])}\n    source: {shown(wanted[i])}\n    model:  {shown(singles[i])}")
            continue
        for name, reference in wanted[i].items():
            found = singles[i][name]
            gap = float(differences(found, reference).max(initial=0.0))
            if name in source.tolerance:
                largest[name] = max(largest.get(name, 0.0), gap)
            if gap > 0.0 and name == "label" and is_tie(source, found, wanted[i]):
                ties += 1
            elif gap > source.tolerance.get(name, 0.0):
                faults.append(f"  {shown(records[i])}\n    source: {name} {reference!s}\n    model:  {name} {found!s}")
            apart = ulps_apart(together[name][place], found)
            ulps = max(ulps, apart)
            if apart > 0.0 and (source.exact or name not in source.tolerance):
                faults.append(
                    f"  {shown(records[i])}\n    alone: {name} {found!s}\n    among others: {together[name][place]!s}"
                )
    refused = sorted(set(range(len(records))) - set(taken))
    if source.exact:  # what was only converted may refuse more than its source, never answer differently
        for i in refused:
            reference = ask(partial(source.reference, frame.iloc[i : i + 1]))
            if not isinstance(reference, Exception):
                faults.append(
                    f"  {shown(records[i])}\n    source: {shown(at(reference, 0))}\n    model:  {shown(singles[i])}"
                )
    if faults:
        raise ParityError(
            f"the converted model does not answer as its source on {len(faults):,} of {len(records):,} edge rows",
            rows="\n".join(faults[:WORST_SHOWN]),
        )
    return Parity(len(taken), len(refused), largest, ties, tuple(records[i] for i in taken), ulps)


def answers_of(source: Source, frame: pd.DataFrame, rows: list[int]) -> dict[int, Any]:
    """The source's answer, or refusal, per row: asked together, and in halves where one refuses for all."""
    if not rows:
        return {}
    made = ask(partial(source.reference, frame.iloc[rows]))
    if not isinstance(made, Exception):
        return {i: {name: values[place] for name, values in made.items()} for place, i in enumerate(rows)}
    if len(rows) == 1:
        return {rows[0]: made}
    half = len(rows) // 2
    return answers_of(source, frame, rows[:half]) | answers_of(source, frame, rows[half:])


def ask(call: Callable[[], Any]) -> Any:
    """The answer, or the refusal."""
    try:
        with np.errstate(all="ignore"):
            return call()
    except (ValueError, TypeError, InputError) as refusal:
        return refusal


def as_frame(source: Source, records: list[dict[str, Any]]) -> pd.DataFrame:
    """Records as a frame of app values: numbers as their dtype where none is missing, text as objects."""
    made = {}
    for column in source.schema.columns:
        values = [record[column.name] for record in records]
        made[column.name] = pd.Series(np.array([*values, None], object)[:-1])
    return pd.DataFrame(made)


def row_gaps(found: Any, wanted: Any) -> NDArray[np.float64]:
    """Per row the largest difference of its values (see `edge_runtime.golden.differences`)."""
    gaps = differences(found, wanted)
    worst: NDArray[np.float64] = gaps.reshape(len(gaps), -1).max(axis=1, initial=0.0)
    return worst


def ulps_apart(a: Any, b: Any) -> float:
    """The largest distance of two answers in units of the last place; infinite where labels differ."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind != "f" or a.shape != b.shape:
        return float(differences(a, b).max(initial=0.0))
    b = b.astype(a.dtype)  # Python's floats may stand for float32
    with np.errstate(all="ignore"):
        gaps = np.where((a == b) | ((a != a) & (b != b)), 0.0, np.abs(a - b) / np.spacing(np.abs(b)))
    return float(np.where(gaps == gaps, gaps, np.inf).max(initial=0.0))


def side_by_side(source: Source, model: Model, part: pd.DataFrame, numbers: list[int]) -> str:
    wanted, found = source.reference(part), model.predict(part)
    lines = []
    for i, number in enumerate(numbers):
        lines.append(f"  row {number}: {shown(part.iloc[i].to_dict())}")
        for name in wanted:
            lines.append(f"    {name}: source {np.asarray(wanted[name])[i]!s}, model {found[name][i]!s}")
    return "\n".join(lines)


def shown(value: Any) -> str:
    if isinstance(value, Exception):
        return f"refused ({str(value).splitlines()[0][:120]})"
    text = ", ".join(f"{name}={item!r}" for name, item in value.items()) if isinstance(value, Mapping) else repr(value)
    return text if len(text) <= 240 else f"{text[:240]}…"
