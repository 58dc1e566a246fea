"""Which variant of a bundle is best on this machine: each is tried in a process of its own, then timed in turns.

Belongs here: trying, comparing, the verdicts. Not here: the child's side (trial.py), where the outcome is remembered
(choice.py), the table (commands/tune.py). `import edge_runtime` does not load it.
Imported as edge_runtime.tuning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from . import choice, golden
from .bundle import Bundle
from .errors import InputError
from .golden import Sample
from .manifest import Variant
from .parallel import usable_cores
from .timing import BLOCK_NS, Estimate, interleave_blocks, median_ratio, percentile
from .trial import LIMIT, Out, Worker

__all__ = ["Trial", "Tuning", "tune"]

Tell = Callable[[str], None]
Series = dict[str, NDArray[np.float64]]  # ns per call, one figure a block

SECONDS = 1.5  # of timing for each variant
GOES = 3
ROUNDS = 12, 200  # in one go
WORTH = 0.98  # less is no reason to leave the variant that the bundle puts first


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one variant. ``size`` is its graph in the bundle, in bytes; ``verdict`` in words, "out" if it is not
    right here, for ``reason``. Of the right ones ``time`` is p50 of one call with its 95% interval (ns, over blocks of
    calls), and ``ratio`` its time to that of the first right one, with an
    interval that holds the 99% ones of all goes."""

    variant: str
    precision: str
    size: int
    verdict: str
    reason: str = ""
    time: Estimate | None = None
    ratio: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """All trials, in the order of the bundle, each with all ``rows`` golden rows; ``order`` names the right variants,
    the chosen one first, and is empty if there is none."""

    path: str
    digest: str
    processor: str
    onnxruntime: str
    threads: int
    rows: int
    trials: tuple[Trial, ...]
    order: tuple[str, ...]

    @property
    def chosen(self) -> str | None:
        """The variant that `load` takes here once this is remembered."""
        return self.order[0] if self.order else None

    def remember(self) -> str | None:
        """Keep it for `load`: the path of the file, None where nothing is right and an older choice is forgotten.

        Raises InputError where the cache folder cannot be written."""
        if self.order:
            return choice.remember(self.digest, self.order)
        choice.forget(self.digest)
        return None


def tune(
    path: str | os.PathLike[str], *, limit: float = LIMIT, seconds: float = SECONDS, tell: Tell = lambda text: None
) -> Tuning:
    """Try every variant of the bundle at ``path`` on this machine; nothing is remembered until `Tuning.remember`.

    A variant is out if its process ends, needs more than ``limit`` seconds for a step, or does not answer all of its
    golden rows as recorded. The others are timed in turns, about ``seconds`` each, with the threads that `load` would
    use; a later one is chosen over an earlier one if it is surely 2% faster. ``tell`` hears what is being done.

    Raises BundleError, and its kinds, for a file that is no bundle, InputError for one without golden rows.
    """
    bundle = Bundle.open(path)
    variants = bundle.manifest.variants
    recorded = {each.name: golden.recorded(bundle.manifest, each, bundle.read) for each in variants}
    rows = len(recorded[variants[0].name])
    if not rows:
        raise InputError(
            f"{bundle.path}: it has no golden rows to replay", expected="a bundle, as edge convert writes it"
        )
    with Contest(bundle, recorded, limit, tell) as contest:
        for each in variants:
            tell(f"{each.name}: {rows} golden rows")
            contest.start(each.name)
        goes = contest.timed(seconds)
    order = ordered(goes)
    trials = tuple(judged(bundle, each, contest.reasons.get(each.name, ""), goes, order) for each in variants)
    where = choice.processor_name(), onnxruntime.__version__, usable_cores()
    return Tuning(bundle.path, bundle.digest, *where, rows, trials, order)


class Contest:
    """The variants that are still in, each in its process among ``workers``, and why the others are out."""

    def __init__(self, bundle: Bundle, recorded: dict[str, list[Sample]], limit: float, tell: Tell) -> None:
        self.bundle, self.recorded, self.limit, self.tell = bundle, recorded, limit, tell
        self.workers: dict[str, Worker] = {}
        self.reasons: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.end()

    def start(self, name: str) -> None:
        """Let a variant answer its golden rows in a new process. It is out if they are wrong."""
        worker = self.workers[name] = Worker(self.bundle.path, self.bundle.digest, name, self.limit)
        try:
            report = worker.replay()
            if report.problems:
                raise Out(name, f"the golden rows are not answered as recorded: {report.problems[0]}")
            if reason := not_a_number(self.recorded[name], next(iter(self.recorded.values()))):
                raise Out(name, reason)
        except Out as out:
            self.lose(out)

    def lose(self, out: Out) -> None:
        self.workers.pop(out.variant).end()
        self.reasons[out.variant] = out.reason

    def timed(self, seconds: float) -> list[Series]:
        """What those that are in take, in several goes with new processes each, since two with the same graph differ;
        in one go if there is nothing to compare."""
        goes: list[Series] = []
        for number in range(GOES if len(self.workers) > 1 else 1):
            if number:
                for name in list(self.workers):
                    self.workers.pop(name).end()
                    self.start(name)
            goes.append(self.one_go(seconds / GOES, f"timing {number + 1}/{GOES}: "))
        return [{name: go[name] for name in self.workers} for go in goes]

    def one_go(self, seconds: float, which: str) -> Series:
        """Blocks of calls in turns. If one is lost meanwhile, the others begin anew."""
        while self.workers:
            try:
                slowest = max([worker.calibrate() for worker in self.workers.values()])
                calls = max(1, round(BLOCK_NS / slowest))
                rounds = int(np.clip(seconds * 1e9 / (slowest * calls), *ROUNDS))
                self.tell(f"{which}{', '.join(self.workers)}")
                blocks = {name: worker.block for name, worker in self.workers.items()}
                taken = interleave_blocks(blocks, rounds=rounds, calls=calls)
                return {name: each / calls for name, each in taken.items()}
            except Out as out:
                self.lose(out)
        return {}


def not_a_number(found: list[Sample], first: list[Sample]) -> str:
    """Why recorded answers are none: NaN where the first variant's are numbers; "" if that is not so."""
    for i, (sample, other) in enumerate(zip(found, first, strict=True)):
        for name in sample.outputs:
            if nan(sample.outputs[name]) and not nan(other.outputs[name]):
                return f"golden row {i}: {name} was recorded as NaN, which the first variant does not answer"
    return ""


def nan(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def ratio_of(name: str, other: str, goes: Sequence[Series]) -> Estimate:
    """The time of ``name`` to that of ``other``; the interval holds those of all goes."""
    found = [median_ratio(go[name], go[other]) for go in goes]
    value = float(np.median([each.value for each in found]))
    return Estimate(value, min(each.low for each in found), max(each.high for each in found), "ratio")


def ordered(goes: Sequence[Series]) -> tuple[str, ...]:
    """The chosen variant, then the others. In the order of the bundle, each is held against the best so far: what is
    not surely faster leaves it in its place."""
    best, *others = goes[0] or [""]
    for name in others:
        if ratio_of(name, best, goes).high < WORTH:
            best = name
    return (best, *(name for name in goes[0] if name != best)) if best else ()


def judged(bundle: Bundle, variant: Variant, reason: str, goes: Sequence[Series], order: Sequence[str]) -> Trial:
    (size,) = (entry.stored for entry in bundle.manifest.entries if entry.name == variant.graph)
    if reason:
        return Trial(variant.name, variant.precision, size, "out", reason)
    first = next(iter(goes[0]))
    ratio = ratio_of(variant.name, first, goes)
    time = percentile(np.concatenate([go[variant.name] for go in goes]), 50)
    return Trial(variant.name, variant.precision, size, verdict(variant.name, ratio, order, first), "", time, ratio)


def verdict(name: str, ratio: Estimate, order: Sequence[str], first: str) -> str:
    if name == order[0]:
        if name == first:
            return "chosen: none is surely faster" if len(order) > 1 else "chosen: the only one that is right"
        return f"chosen: surely faster than {first}"
    if name == first:
        return f"slower than {order[0]}"
    if ratio.high < WORTH:
        return f"faster than {first}, not surely faster than {order[0]}"
    return f"slower than {first}" if ratio.low > 1.0 else f"not surely faster than {first}"
