"""Source against model, row by row: the given data, then the edge rows, one at a time and together.

Labels must be equal everywhere and numbers within the stated tolerance; a row that one of the two refuses, the other
must refuse as well.

Belongs here: comparing and showing what differs. Not here: making edge rows (edge_rows.py), deciding what to try.
Imported as edge_runtime.converters.parity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.errors import InputError, ParityError
from edge_runtime.model import Model

from .source import Source

__all__ = ["Parity", "compare_data", "compare_edge_rows"]

Outputs = Mapping[str, NDArray[Any]]
WORST_SHOWN = 5
CHUNK = 65536  # rows; bounds memory, and gives progress something to count


@dataclass(frozen=True, slots=True)
class Parity:
    """``rows`` compared, ``refused`` by both, the ``largest`` difference per output of numbers, and of edge rows the
    records that were ``answered``."""

    rows: int
    refused: int
    largest: dict[str, float]
    answered: tuple[dict[str, Any], ...] = ()


def compare_data(source: Source, model: Model, frame: pd.DataFrame, progress: Callable[[int, int], None]) -> Parity:
    """Compare all rows of ``frame`` (the schema's columns). Raises ParityError with the worst rows."""
    largest: dict[str, float] = {}
    worst: list[tuple[float, int, str]] = []
    off = {"labels": 0, "numbers": 0}
    for start in range(0, len(frame), CHUNK):
        part = frame.iloc[start : start + CHUNK]
        wanted, found = source.reference(part), model.predict(part)
        for name, reference in wanted.items():
            gap = row_gaps(found[name], reference)
            if name in source.tolerance:
                largest[name] = max(largest.get(name, 0.0), float(gap.max(initial=0.0)))
            beyond = np.flatnonzero(gap > source.tolerance.get(name, 0.0))
            off["numbers" if name in source.tolerance else "labels"] += len(beyond)
            worst += [(float(gap[i]), start + int(i), name) for i in beyond[np.argsort(-gap[beyond])][:WORST_SHOWN]]
        progress(min(start + CHUNK, len(frame)), len(frame))
    if worst:
        rows = sorted({row for _, row, _ in sorted(worst, reverse=True)[:WORST_SHOWN]})
        raise ParityError(
            f"the converted model does not answer as its source: of {len(frame):,} rows, {off['labels']:,} labels and"
            f" {off['numbers']:,} numbers differ (largest {max(gap for gap, _, _ in worst):.3g})",
            rows=side_by_side(source, model, frame.iloc[rows], rows),
        )
    return Parity(len(frame), 0, largest)


def compare_edge_rows(source: Source, model: Model, records: list[dict[str, Any]]) -> Parity:
    """Compare records one by one, refusals included, and those that are answered also as one table.

    Raises ParityError with the first rows that differ.
    """
    answered: list[dict[str, Any]] = []
    singles: list[dict[str, Any]] = []
    wanted: list[Outputs] = []
    faults: list[str] = []
    largest: dict[str, float] = {}
    frame = as_frame(source, records)
    for i, record in enumerate(records):
        reference = ask(lambda i=i: source.reference(frame.iloc[i : i + 1]))  # type: ignore[misc]
        found = ask(lambda record=record: model.predict_one(record))  # type: ignore[misc]
        if isinstance(reference, Exception) != isinstance(found, Exception):
            faults.append(f"  {shown(record)}\n    source: {shown(reference)}\n    model:  {shown(found)}")
        elif not isinstance(reference, Exception) and not isinstance(found, Exception):
            answered.append(record)
            singles.append(found)
            wanted.append(reference)
            for name, value in reference.items():
                gap = float(row_gaps(np.asarray([found[name]]), value)[0])
                if name in source.tolerance:
                    largest[name] = max(largest.get(name, 0.0), gap)
                if gap > source.tolerance.get(name, 0.0):
                    faults.append(f"  {shown(record)}\n    source: {name} {value[0]!r}\n    model:  {name} {found[name]!r}")
    together = model.predict(answered) if answered else {}
    for name, values in together.items():
        for i, single in enumerate(singles):
            if source.exact and not same_bits(values[i], single[name]):
                faults.append(f"  {shown(answered[i])}\n    alone: {name} {single[name]!r}\n    among others: {values[i]!r}")
    if faults:
        raise ParityError(
            f"the converted model does not answer as its source on {len(faults):,} of {len(records):,} edge rows",
            rows="\n".join(faults[:WORST_SHOWN]),
        )
    return Parity(len(answered), len(records) - len(answered), largest, tuple(answered))


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


def row_gaps(found: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """Per row the largest |found - wanted|; infinite where labels differ or a NaN stands alone."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.shape != wanted.shape:
        return np.full(len(wanted), np.inf)
    if found.dtype.kind not in "fiu" or wanted.dtype.kind not in "fiu":
        gap = np.where(found == wanted, 0.0, np.inf)
    else:
        with np.errstate(invalid="ignore"):
            gap = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
        gap = np.where((found == wanted) | (np.isnan(found) & np.isnan(wanted)), 0.0, np.where(np.isnan(gap), np.inf, gap))
    return gap.reshape(len(gap), -1).max(axis=1, initial=0.0)


def same_bits(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


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
