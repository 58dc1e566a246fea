"""What a run did: counts, and how scores and labels are distributed.

Belongs here: the report and what is counted for it, in bounded memory. Not here: printing it (cli.py).
Imported as edge_runtime.batch.summary; `BatchReport` is public in edge_runtime.batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.answers import arrow_column, vector_names

__all__ = ["BatchReport", "Scores", "Tally"]

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
WIDEST = 16  # values in a vector output that are told apart: more, and the labels say enough
MANTISSA = 9  # bits kept of it: a percentile is within 0.1% of a value that was there
SHIFT = 52 - MANTISSA


@dataclass(frozen=True, slots=True)
class Scores:
    """How the numbers of one output are distributed: ``count`` of them, ``not_finite`` of which are in no figure;
    ``percentiles`` by their number, each within 0.1%. Figures are None where there is no number."""

    count: int
    not_finite: int
    least: float | None
    largest: float | None
    mean: float | None
    percentiles: dict[int, float]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a run did: ``rows`` of ``files`` from ``source`` to ``sink``, in ``seconds``.

    ``not_taken`` are the input's columns that the model does not take; ``labels`` counts the values of each output of
    labels or decisions (as text, JSON's words for bools), ``scores`` describes each output of numbers.
    ``score_timestamp`` is UTC, ISO 8601, as in every row.
    """

    source: str
    sink: str
    files: int
    rows: int
    not_taken: tuple[str, ...]
    model: str
    model_version: str
    model_digest: str
    score_timestamp: str
    seconds: float
    labels: dict[str, dict[str, int]]
    scores: dict[str, Scores]


class Tally:
    """Counts outputs block by block; the figures do not depend on how rows fell into blocks, but for a mean's last
    bits."""

    def __init__(self, classes: Sequence[Any] | None) -> None:
        self.classes, self.rows = classes, 0
        self.labels: dict[str, Counter[Any]] = {}
        self.numbers: dict[str, Histogram] = {}

    def add(self, outputs: Mapping[str, NDArray[Any]]) -> None:
        self.rows += len(next(iter(outputs.values())))
        for name, array in outputs.items():
            columns = [array] if array.ndim == 1 else [array[:, k] for k in range(array.shape[1])]
            if len(columns) > WIDEST:
                continue
            names = [name] if array.ndim == 1 else vector_names(name, len(columns), self.classes)
            for each, column in zip(names, columns, strict=True):
                if column.dtype.kind == "f" and name != "label":
                    self.numbers.setdefault(each, Histogram()).add(column)
                else:
                    self.labels.setdefault(each, Counter()).update(counted(column))

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Output -> value as text -> how often, the most frequent first."""
        return {name: {word(v): n for v, n in found.most_common()} for name, found in self.labels.items()}

    def score_figures(self) -> dict[str, Scores]:
        return {name: held.figures() for name, held in self.numbers.items()}


def counted(column: NDArray[Any]) -> dict[Any, int]:
    from pyarrow import compute

    found = compute.value_counts(arrow_column(column))
    return dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))


def word(value: Any) -> str:
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


class Histogram:
    """Numbers counted by sign, exponent and the first bits of the mantissa."""

    def __init__(self) -> None:
        self.count = self.not_finite = 0
        self.mean, self.least, self.largest = 0.0, np.inf, -np.inf
        self.counts: dict[int, int] = {}

    def add(self, values: NDArray[Any]) -> None:
        """Count ``values``, floats [N]."""
        finite = np.isfinite(values)
        known = np.ascontiguousarray(values if finite.all() else values[finite], np.float64)
        self.count += len(values)
        self.not_finite += len(values) - len(known)
        if not len(known):
            return
        share = len(known) / (self.count - self.not_finite)
        with np.errstate(over="ignore"):  # of huge numbers, by rounding only
            self.mean = self.mean * (1 - share) + float((known / len(known)).sum()) * share
        self.least, self.largest = min(self.least, float(known.min())), max(self.largest, float(known.max()))
        keys = (known.view(np.int64) >> SHIFT).astype(np.int32)
        first = int(keys.min())
        # Mostly of few exponents, so of few bins; else sorting them is the smaller evil.
        if int(keys.max()) - first < 2**17:
            found = np.bincount(keys - first)
            bins = np.flatnonzero(found)
            pairs = zip((bins + first).tolist(), found[bins].tolist(), strict=True)
        else:
            distinct, often = np.unique(keys, return_counts=True)
            pairs = zip(distinct.tolist(), often.tolist(), strict=True)
        for key, number in pairs:
            self.counts[key] = self.counts.get(key, 0) + number

    def figures(self) -> Scores:
        known = self.count - self.not_finite
        if not known:
            return Scores(self.count, self.not_finite, None, None, None, {})
        bins = sorted((middle(key), number) for key, number in self.counts.items())
        ends = np.cumsum([number for _, number in bins])
        # The least value that is not below p% of them, as Spark has it: of two values, 99% is the larger.
        at = [int(np.searchsorted(100 * ends, p * known)) for p in PERCENTILES]
        values = [min(max(bins[i][0], self.least), self.largest) for i in at]
        percentiles = dict(zip(PERCENTILES, values, strict=True))
        return Scores(
            self.count,
            self.not_finite,
            self.least,
            self.largest,
            min(max(self.mean, self.least), self.largest),
            percentiles,
        )


def middle(key: int) -> float:
    """The number in the middle of a bin."""
    if key in (0, -1 << 63 >> SHIFT):
        return 0.0
    return float(np.array([(key << SHIFT) | (1 << (SHIFT - 1))], np.int64).view(np.float64)[0])
