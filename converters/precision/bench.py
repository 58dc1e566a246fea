"""The recipes, and what they all work on: the graph made ready, and the ranges of its activations.

Belongs here: which recipes there are, one list, and integers with what saturation asks of them. Not here: how each
graph is made (storage.py, integers.py, half.py), what comes of it (trials.py).
Imported as edge_runtime.converters.precision.bench.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import cached_property, partial
from itertools import islice
from typing import NamedTuple, TypeVar

import onnx
from onnx import ModelProto, NodeProto

from ..samples import Feed
from .calibrating import METHODS, Ranges, calibrate
from .cpu import Combination, InstructionSet, combinations
from .failing import RecipeFailed
from .half import float16
from .integers import dynamic, nodes_of, static
from .preparing import prepared
from .saturating import offending, repaired
from .storage import store_float16, store_int8
from .trials import Made, Trial, Trials, stored_size

__all__ = ["Bench", "Recipe", "whole_graph"]

T = TypeVar("T")
Tell = Callable[[str, int, int], None]

COMPARED = 4
"""So many samples must get the same answers from the graph that was made ready."""
CUTS = ("Relu", "Clip")
WEIGHTED = "layers with weights"
BEHIND = f"{WEIGHTED}, and the Relu or Clip behind them"
STORED = f"{WEIGHTED}, other weights kept in int8"
SAFE = "proven: no product of {} saturates, on CPUs without VNNI either"
OPTION = "checked: on CPUs without VNNI, products of {} may saturate: its sessions have x64quantprecision=1"


class Recipe(NamedTuple):
    """``precision`` is for people. ``make`` raises RecipeFailed."""

    name: str
    precision: str
    make: Callable[[], Made]


class Bench:
    """One graph and its calibration samples, which are gone through several times. What fails once (the preparation,
    the calibration) fails every recipe that needs it, with the same reason."""

    def __init__(self, graph: bytes, feeds: Iterable[Feed], here: InstructionSet) -> None:
        self.original = onnx.load_from_string(graph)
        self.feeds = feeds
        self.combinations = combinations(here)
        self.best = self.combinations[0], METHODS[0]
        """The combination and the method of calibration that lost least on the whole graph."""
        self.cuts = False
        """Whether the Relu or Clip behind a layer goes with it, at no loss that matters."""
        self.repair = True
        """Whether weights of 7 bits lose no more than those of 8, which need an option where there is no VNNI."""

    @cached_property
    def _ready(self) -> ModelProto | RecipeFailed:
        try:
            return prepared(self.original, islice(self.feeds, COMPARED))
        except RecipeFailed as error:
            return error

    @cached_property
    def _ranges(self) -> dict[str, Ranges] | RecipeFailed:
        try:
            return calibrate(self.ready(), self.feeds)
        except RecipeFailed as error:
            return error

    def ready(self) -> ModelProto:
        """The graph as quantizers take it. Raises RecipeFailed where it could not be made ready."""
        return given(self._ready)

    def ranges(self, method: str) -> Ranges:
        """Raises RecipeFailed where there are none."""
        return given(self._ranges)[method]

    def layers(self) -> tuple[NodeProto, ...]:
        """Nodes that multiply by weights; none where the graph could not be made ready."""
        return () if isinstance(self._ready, RecipeFailed) else nodes_of(self._ready, heavy=True)

    def followed(self, chosen: Collection[str]) -> frozenset[str]:
        """``chosen`` and the Relu or Clip right behind each of them: put into 8 bits together, one kernel does both."""
        graph = self.ready().graph
        made = {name for node in graph.node if node.name in chosen for name in node.output}
        behind = {node.name for node in graph.node if node.op_type in CUTS and node.input[0] in made}
        return frozenset({*chosen, *behind})

    def between(self, chosen: Collection[str]) -> frozenset[str]:
        """Nodes all of whose neighbours are ``chosen`` ones, or such nodes themselves: in float32, they would take
        integers apart to put them together again."""
        graph = self.ready().graph
        makers = {name: node for node in graph.node for name in node.output}
        takers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                takers.setdefault(name, []).append(node)
        given_out = {value.name for value in graph.output}
        inside = {node.name for node in nodes_of(self.ready())} - set(chosen)
        while True:
            kept = inside | set(chosen)
            outside = {
                node.name
                for node in graph.node
                if node.name in inside
                and not (
                    all(makers[name].name in kept for name in node.input if name in makers)
                    and all(taker.name in kept for name in node.output for taker in takers.get(name, ()))
                    and not given_out.intersection(node.output)
                )
            }
            if not outside:
                return frozenset(inside)
            inside -= outside

    def smaller(self, store: Callable[[ModelProto], ModelProto]) -> ModelProto:
        """The graph as it is or made ready, whichever is smaller once it is stored: folding drops constants from one
        network and makes another's larger."""
        graphs = [self.original] if isinstance(self._ready, RecipeFailed) else [self.original, self._ready]
        return min(graphs, key=lambda graph: stored_size(store(graph).SerializeToString()))

    def stored(self, store: Callable[[ModelProto], ModelProto]) -> Made:
        """Weights kept smaller."""
        return Made(store(self.smaller(store)))

    def static(
        self,
        nodes: Collection[str] | None,
        combination: Combination | None = None,
        method: str | None = None,
        *,
        stored: bool = False,
        repair: bool | None = None,
    ) -> Made:
        """Q/DQ around ``nodes`` (all that can be, if None), all other weights in int8 if ``stored``. Products that may
        saturate on CPUs without VNNI are made impossible by weights of 7 bits, where ``repair`` asks for it, or else
        the variant's sessions have the option that does."""
        graph, ranges = self.ready(), self.ranges(method or self.best[1])
        combination = combination or self.best[0]
        if self.repair if repair is None else repair:
            made, seven, unproven = repaired(graph, ranges, nodes, combination)
            told = SAFE + (f"; {len(seven):,} layers have weights of 7 bits for it" if seven else "")
        else:
            made = static(graph, ranges, nodes, combination)
            unproven, told = offending(made), SAFE
        precise = bool(unproven)
        made = store_int8(made) if stored else made
        return Made(made, integers=True, precise=precise, told=OPTION if precise else told)

    def dynamic(self) -> Made:
        """Integers with ranges found anew in each run, with weights of 7 bits if 8 may saturate."""
        made = dynamic(self.ready())
        if offending(made):
            made = dynamic(self.ready(), reduce_range=True)
        precise = bool(offending(made))
        return Made(made, integers=True, precise=precise, told=OPTION if precise else SAFE)

    def told_ranges(self) -> tuple[tuple[str, float, float], ...]:
        """Of each activation the smallest and the largest value in calibration; none where it did not come to that."""
        if isinstance(self._ranges, RecipeFailed):
            return ()
        return tuple((name, low, high) for name, (low, high) in self._ranges["minmax"].ranges.items())


def whole_graph(trials: Trials, bench: Bench, tell: Tell) -> list[Trial]:
    """Every recipe on the whole graph: each combination of integers with one method of calibration, and the one that
    loses least with the other methods, with layers that have weights only, and so on."""
    plain = [
        Recipe("float32 folded", "float32, constants and batch norms folded", lambda: Made(bench.ready())),
        Recipe("int8 weights", "float32, weights kept in int8 per channel", partial(bench.stored, store_int8)),
        Recipe("float16 weights", "float32, weights kept in float16", partial(bench.stored, store_float16)),
        Recipe("float16", "float16 arithmetic", lambda: Made(float16(bench.ready()))),
        Recipe("int8 dynamic", "int8, ranges found in each run", bench.dynamic),
    ]
    heavy = [node.name for node in bench.layers()]
    whole = len(plain) + 2 * len(bench.combinations) + len(METHODS) - 1 + 3
    made: list[Trial] = []

    def attempt(recipe: Recipe) -> Trial:
        made.append(trials.attempt(*recipe))
        tell("recipes", len(made), whole)
        return made[-1]

    for recipe in plain:
        attempt(recipe)
    found = []
    for each in bench.combinations:
        for repair in (True, False) if each.weight == "int8" else (True,):
            name = f"int8 static {each.name}" + ", full range" * (not repair)
            make = partial(bench.static, heavy, each, METHODS[0], repair=repair)
            found.append((attempt(Recipe(name, f"{each.name}, {WEIGHTED}", make)), name, each, repair))

    def lost(trial: Trial) -> tuple[bool, float]:
        """What loses half of what is allowed, or less, is as good as what loses nothing: then the order decides."""
        return bool(trial.failed), max(trial.loss, trials.bearable / 2)

    first, name, best, bench.repair = min(found, key=lambda tried: lost(tried[0]))
    calibrated = [(first, METHODS[0])]
    for method in METHODS[1:]:
        make = partial(bench.static, heavy, best, method)
        calibrated.append((attempt(Recipe(f"{name}, {method}", f"{best.name}, {WEIGHTED}", make)), method))
    bench.best = best, min(calibrated, key=lambda pair: lost(pair[0]))[1]
    behind = attempt(
        Recipe(f"{name}, with Relu", f"{best.name}, {BEHIND}", lambda: bench.static(bench.followed(heavy)))
    )
    bench.cuts = not behind.failed and behind.loss <= max(first.loss, trials.bearable)
    attempt(Recipe(f"{name}, all operators", best.name, partial(bench.static, None)))
    attempt(Recipe(f"{name}, others stored", f"{best.name}, {STORED}", partial(bench.static, heavy, stored=True)))
    return made


def given(found: T | RecipeFailed) -> T:
    if isinstance(found, RecipeFailed):
        raise found
    return found
