"""Mixed precision: which layers gain from integers here, which lose, and the best set of them that a search finds.

Whole-graph recipes break or slow many networks, while a part of their layers gains. So each layer is quantized alone:
what it loses and what it does to the time. Then sets are tried: those that gain, without the ones that lose most; and
from the best set, one layer is put in or taken out at a time as long as that helps.

Belongs here: the search over sets of layers. Not here: making a graph (integers.py), measuring one (trials.py).
Imported as edge_runtime.converters.precision.layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from onnx import NodeProto

from .bench import Bench
from .candidate import Layer
from .trials import Trial, Trials

__all__ = ["layer_search"]

Tell = Callable[[str, int, int], None]
Run = tuple[NodeProto, ...]

MOST = 48
"""More layers than this are searched in runs of neighbours, which share the tensors between them."""
SCREENED = 200
"""So many samples tell what a layer loses."""
SECONDS = 150.0
ROUNDS = 14
BETTER = 0.99
"""Of the time: what counts as faster, since less is the machine's noise."""


def layer_search(trials: Trials, bench: Bench, allowed: float, tell: Tell) -> tuple[list[Trial], tuple[Layer, ...]]:
    """Sets of layers that lose no more than ``allowed``, the fastest first, and what each layer does alone."""
    runs = grouped(bench.layers())
    if not runs:
        return [], ()
    search = LayerSearch(trials, bench, runs, allowed)
    layers = []
    for i, run in enumerate(runs):
        layers.append(told(run, search.tried(frozenset({i}))))
        tell("layers", i + 1, len(runs) + 1)
    search.sets(layers)
    tell("layers", len(runs) + 1, len(runs) + 1)
    return search.best(), tuple(layers)


class LayerSearch:
    """All sets that were tried, by the numbers of their runs, and by whether what lies between is in them."""

    def __init__(self, trials: Trials, bench: Bench, runs: Sequence[Run], allowed: float) -> None:
        self.trials, self.bench, self.runs, self.allowed = trials, bench, runs, allowed
        self.known: dict[tuple[frozenset[int], bool], Trial] = {}
        self.until = monotonic() + SECONDS

    def tried(self, chosen: frozenset[int], *, between: bool = False) -> Trial:
        """The set of runs, and with ``between`` also what lies between two layers of it."""
        if (chosen, between) not in self.known:
            names = {node.name for i in chosen for node in self.runs[i]}
            every = sum(len(run) for run in self.runs)
            name = f"int8 static, {len(names)} of {every} layers (set {len(self.known) + 1})"
            also = self.bench.followed(names) if self.bench.cuts else frozenset()
            if between:
                also |= self.bench.between(names)
            trial = self.trials.attempt(
                name,
                "mixed int8 and float32" + ", what lies between in int8 too" * between,
                lambda: self.bench.static(names | also),
                self.trials.some(SCREENED),
            )
            if not trial.failed:
                self.trials.time([trial], rounds=ROUNDS)
            self.known[chosen, between] = trial
        return self.known[chosen, between]

    def sets(self, layers: Sequence[Layer]) -> None:
        """Try sets that may be good, then improve on the best one."""
        usable = [i for i, layer in enumerate(layers) if not layer.reason]
        gentle = sorted(usable, key=lambda i: layers[i].loss or 0.0)  # those that lose most come last
        quick = [i for i in gentle if (layers[i].ratio or 9.0) < 1.0]
        for order in (gentle, quick):
            for kept in thinned(len(order)):
                if monotonic() > self.until:
                    return
                self.tried(frozenset(order[:kept]))
        best = self.fastest()
        while best is not None and monotonic() < self.until:
            self.tried(best, between=True)
            better = self.improved(best, usable)
            if better is None:
                return
            best = better

    def improved(self, best: frozenset[int], usable: Iterable[int]) -> frozenset[int] | None:
        """The first set that differs by one run and is faster; None if there is none."""
        for i in usable:
            if monotonic() > self.until:
                return None
            other = best ^ {i}
            if other and (other, False) not in self.known:
                trial = self.tried(other)
                if self.good(trial) and time_of(trial) < BETTER * time_of(self.known[best, False]):
                    return other
        return None

    def good(self, trial: Trial) -> bool:
        return not trial.failed and trial.loss <= self.allowed

    def fastest(self) -> frozenset[int] | None:
        good = [chosen for (chosen, between), trial in self.known.items() if not between and self.good(trial)]
        return min(good, key=lambda chosen: time_of(self.known[chosen, False]), default=None)

    def best(self) -> list[Trial]:
        """The fastest few that lose little, and of what loses more the fastest, for the table."""
        found = sorted((trial for trial in self.known.values() if not trial.failed), key=time_of)
        good = [trial for trial in found if self.good(trial)][:2]
        return good + [trial for trial in found if not self.good(trial)][:1]


def time_of(trial: Trial) -> float:
    assert trial.ratio is not None
    return trial.ratio.value


def thinned(count: int) -> list[int]:
    """How many of ``count`` to keep: all, all but one, but two, but four, …"""
    kept, less = [], 0
    while less < count:
        kept.append(count - less)
        less = max(1, 2 * less)
    return kept


def grouped(nodes: Sequence[NodeProto]) -> list[Run]:
    """Layers one by one, or in runs of neighbours where there are many."""
    size = -(-len(nodes) // MOST) if nodes else 1
    return [tuple(nodes[i : i + size]) for i in range(0, len(nodes), size)]


def told(run: Sequence[NodeProto], alone: Trial) -> Layer:
    name = run[0].name if len(run) == 1 else f"{run[0].name} … {run[-1].name}"
    kinds = ", ".join(sorted({node.op_type for node in run}))
    if alone.failed:
        return Layer(name, kinds, None, None, alone.failed)
    return Layer(name, kinds, alone.loss, time_of(alone))
