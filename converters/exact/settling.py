"""Endings settled: where a source decides at a single value, sums that are only near to its own would decide by chance.

Training rows meet such values. A percentile of their scores is the threshold of outliers, and their scores are the
knots of an isotonic map, whose level stretches give probabilities such as exactly one half. So thresholds and knots are
moved, by a little more than sums can be apart, to where each row that is at one of them gets the source's own answer.

Belongs here: moving them. Not here: what outputs are apart then (bounds.py).
Imported as edge_runtime.converters.exact.settling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_runtime.ending import Ending
from edge_runtime.links import Link

from .bounds import ROOM, Sums, anomaly_bound, numbers_bound

__all__ = ["settled"]

FARTHEST_MOVE = 2.0**-21
"""Eight places of a float32 near 1: bounds on sums in that precision are much wider than the sums are ever apart."""


def settled(ending: Ending, sums: Sums) -> Ending:
    """``ending`` with a threshold a little lower, so that a score of 0 is that of no outlier, and every knot of its
    isotonic maps a short level stretch."""
    if ending.kind == "anomaly":
        return replace(ending, offset=ending.offset - anomaly_bound(ending, sums))
    parts = zip(ending.parts, sums.of(ending.parts), strict=True)
    count = 0 if ending.classes is None else len(ending.classes)
    return replace(ending, parts=tuple(_settled(part, count, below) for part, below in parts))


def _settled(link: Link, count: int, sums: Sums) -> Link:
    parts = tuple(_settled(part, count, below) for part, below in zip(link.parts, sums.of(link.parts), strict=True))
    if link.kind != "isotonic":
        return replace(link, parts=parts)
    room = min(FARTHEST_MOVE, ROOM * numbers_bound(link.parts[0], 1 if link.alone else count, sums))
    return replace(link, parts=parts, maps=tuple(_levelled(knots, room) for knots in link.maps))


def _levelled(knots: Sequence[float], room: float) -> tuple[float, ...]:
    """Knots [x0, y0, x1, y1, …], those between rising stretches doubled, those at the end of a level one moved."""
    x, y = knots[::2], knots[1::2]
    made: list[float] = []
    for i, (at, value) in enumerate(zip(x, y, strict=True)):
        falls_to = at - min(room, (at - x[i - 1]) / 4) if i > 0 and y[i - 1] != value else at
        rises_from = at + min(room, (x[i + 1] - at) / 4) if i + 1 < len(x) and y[i + 1] != value else at
        ends = (falls_to, rises_from) if falls_to < at < rises_from else (rises_from if falls_to == at else falls_to,)
        for end in ends:
            made += [end, value]
    return tuple(made)
