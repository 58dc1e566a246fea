"""Weights kept in 8 bits but for the few that the answers hang on most, which are kept in 16.

Belongs here: finding these few. Not here: keeping weights (storage.py), measuring a loss (trials.py).
Imported as edge_runtime.converters.precision.storing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .bench import Bench
from .storage import Weight, store_int8, weights_of
from .trials import Made, Trial, Trials

__all__ = ["mixed_storage"]

Tell = Callable[[str, int, int], None]

KEPT = "weights kept in int8 per channel, those that matter most in float16"
MOST = 32
"""The largest weights, which are looked at one by one."""


def mixed_storage(trials: Trials, bench: Bench, allowed: float, tell: Tell) -> list[Trial]:
    """The first set of weights in float16 with which the others, in int8, lose no more than ``allowed``; nothing where
    none is needed, or none is enough."""
    graph = bench.smaller(store_int8)
    weights = sorted((each for each in weights_of(graph) if each.stored), key=lambda each: -each.bytes)[:MOST]

    def attempt(half: frozenset[str]) -> Trial:
        name = f"int8 weights, {len(half)} of {len(weights)} in float16"
        make = partial(store_int8, graph, half=half)
        return trials.attempt(name, f"float32, {KEPT}", lambda: Made(make()))

    plain = attempt(frozenset())
    if plain.failed or plain.loss <= allowed:
        return []
    gains: list[tuple[float, Weight]] = []
    for i, weight in enumerate(weights):
        gains.append(((plain.loss - attempt(frozenset({weight.name})).loss) / weight.bytes, weight))
        tell("weights", i + 1, len(weights))
    half: frozenset[str] = frozenset()
    for _, weight in sorted(gains, key=lambda pair: -pair[0])[:-1]:
        half |= {weight.name}
        trial = attempt(half)
        if not trial.failed and trial.loss <= allowed:
            return [trial]
    return []
