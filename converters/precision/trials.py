"""One precision after the other, tried on the search split: made, opened, asked, timed beside the reference.

Belongs here: what happens to one candidate, and what it leaves behind. Not here: which are tried (search.py,
layers.py), whether one is good enough (certifying.py).
Imported as edge_runtime.converters.precision.trials.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_runtime.errors import BundleError, InputError, UnsupportedModelError
from edge_runtime.manifest import Variant
from edge_runtime.model import Model
from edge_runtime.timing import BLOCK_NS, Call, Estimate, calibrate, interleave, median_ratio, percentile

from ..exact.graph import to_bytes
from .failing import RecipeFailed
from .losses import Answers, restricted
from .metric import Metric
from .rows import Numbers, Rows
from .storage import largest_folded

__all__ = ["ROTATED", "Made", "Open", "Trial", "Trials", "stored_size"]

Open = Callable[[Variant, bytes], Model]

ROUNDS = 24
ROTATED = 64
"""So many rows or samples are gone through when time is taken."""
FIRST = 64
"""So many rows or samples are enough to give up a candidate that loses many times what is allowed."""
HOPELESS = 10
"""Times what is bearable: a loss beyond it needs no second look."""
OFF = 0.02
"""Of an output's largest value, at most 1: what the golden answers of 8-bit kernels may differ by on another CPU, where
a value that lies between two steps may be rounded to the other one."""


@dataclass(frozen=True, slots=True)
class Made:
    """A recipe's graph. ``integers``: it computes in 8 bits; ``precise``: its session needs the option that keeps their
    products from saturating; ``told``: what the certificate says of that, with a place for the variant's name."""

    graph: ModelProto
    integers: bool = False
    precise: bool = False
    told: str = ""


@dataclass(slots=True)
class Trial:
    """A candidate on its way: its ``size`` as stored in a bundle, its ``loss`` on the search split, its time over the
    reference's as ``ratio``; or why it ``failed``, and then nothing else."""

    name: str
    precision: str
    failed: str = ""
    graph: bytes = field(default=b"", repr=False)
    size: int = 0
    variant: Variant | None = None
    told: str = ""
    integers: bool = False
    model: Model | None = field(default=None, repr=False)
    loss: float = 0.0
    latency: Estimate | None = None
    ratio: Estimate | None = None

    def opened(self) -> tuple[Variant, Model]:
        assert self.variant is not None
        assert self.model is not None
        return self.variant, self.model


class Trials:
    """The reference, what it answers to all rows, and everything else that is the same for all candidates."""

    def __init__(
        self,
        reference: Trial,
        opened: Open,
        rows: Rows,
        answers: Answers,
        metric: Metric,
        searched: Numbers,
        bearable: float,
    ) -> None:
        self.reference, self.open, self.rows, self.answers = reference, opened, rows, answers
        self.metric, self.searched, self.bearable = metric, searched, bearable
        self.tolerance = {name: OFF * min(1.0, largest(values)) for name, values in answers.items() if floats(values)}

    def attempt(self, name: str, precision: str, make: Callable[[], Made], rows: Numbers | None = None) -> Trial:
        """A recipe's outcome: made, opened, and its loss on ``rows`` (the search split, if left out). What fails in the
        libraries that make and run it is told in ``failed``; what is wrong with us is raised."""
        trial = Trial(name, precision)
        try:
            made = make()
            trial.graph, trial.told, trial.integers = to_bytes(made.graph), made.told, made.integers
            if trial.graph == self.reference.graph:
                raise RecipeFailed(name, "the graph is left as it is: there is nothing to be made smaller")
            trial.size = stored_size(trial.graph)
            reference, _ = self.reference.opened()
            trial.variant = replace(
                reference, name=identifier(name), graph=f"{identifier(name)}.onnx", precision=precision, order=(),
                largest_tensor=max(reference.largest_tensor, largest_folded(made.graph)), precise=made.precise,
                tolerance=self.tolerance if made.integers else {},
            )  # fmt: skip
            trial.model = self.open(trial.variant, trial.graph)
            trial.loss = self.loss(trial.model, self.searched if rows is None else rows)
        except (RecipeFailed, BundleError, UnsupportedModelError, InputError) as error:
            trial.failed = str(error).partition("\n")[0]
        return trial

    def some(self, most: int) -> Numbers:
        """So many rows of the search split, or all where the metric has no figure for a few."""
        return self.searched[:most] if self.metric.on_few else self.searched

    def loss(self, model: Model, rows: Numbers) -> float:
        """The worst output's mean loss, on the first few of ``rows`` alone where it is beyond hope there."""
        if not self.metric.on_few:
            return self.measured(model, rows)
        first = self.measured(model, rows[:FIRST])
        return first if first > HOPELESS * self.bearable or len(rows) <= FIRST else self.measured(model, rows)

    def measured(self, model: Model, rows: Numbers) -> float:
        found = self.rows.answers(model, rows.tolist())
        return self.metric.measured(restricted(self.answers, rows), found, rows)

    def time(self, trials: Sequence[Trial], *, rounds: int = ROUNDS) -> None:
        """Time them beside the reference in one interleaved run: ``latency`` and ``ratio`` of each."""
        lanes = [self.call(self.reference), *map(self.call, trials)]
        calls = max(1, round(BLOCK_NS / max(calibrate(call, BLOCK_NS)[1] for call in lanes)))
        taken = interleave({str(i): call for i, call in enumerate(lanes)}, rounds=rounds, calls=calls)
        base = taken["0"]
        self.reference.latency = percentile(base / calls, 50)
        for i, trial in enumerate(trials, 1):
            trial.latency = percentile(taken[str(i)] / calls, 50)
            trial.ratio = median_ratio(taken[str(i)], base)

    def call(self, trial: Trial) -> Call:
        return self.rows.asking(trial.opened()[1], self.searched[:ROTATED].tolist())


def stored_size(graph: bytes) -> int:
    """Bytes that a graph takes in a bundle."""
    return len(zlib.compress(graph, 9))


def identifier(name: str) -> str:
    """A candidate's name as a variant's: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def floats(values: Sequence[NDArray[Any]] | NDArray[Any]) -> bool:
    return bool(len(values)) and np.asarray(values[0]).dtype.kind == "f"


def largest(values: Sequence[NDArray[Any]] | NDArray[Any]) -> float:
    """The largest magnitude that is finite; 1 where there is none."""
    found = [np.abs(finite).max() for value in values if (finite := value[np.isfinite(value)]).size]
    return float(max(found, default=1.0)) or 1.0
