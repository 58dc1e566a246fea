"""One precision that was tried, with everything measured of it.

Belongs here: the types that a search fills and a report shows. Not here: trying (search.py), pictures
(converters/precision_page.py).
Imported as edge_runtime.converters.precision.candidate; `Candidate` is public in edge_runtime.converters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.manifest import Variant
from edge_runtime.timing import Estimate

__all__ = ["Candidate", "Layer", "Outcome", "Shipped", "Verdict"]

Verdict = Literal["reference", "chosen", "accepted", "refused", "no gain", "failed"]
"""`accepted` kept the promise and was not the best; `refused` lost too much or may have; `no gain` over
the reference, so it was not judged; `failed` in the library that makes it, or in onnxruntime."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """``size`` in bytes as stored in a bundle; ``searched`` is the loss on the search split, ``drop`` the loss on the
    certify split with its one-sided upper bound (as `high`); ``latency`` the median of one row or sample in ns, and
    ``ratio`` that over the reference's, measured side by side; ``memory`` the peak of a fresh process in bytes.
    ``reason`` says in words why the verdict is what it is."""

    name: str
    precision: str
    verdict: Verdict
    reason: str
    size: int | None = None
    searched: float | None = None
    drop: Estimate | None = None
    rows: int = 0
    latency: Estimate | None = None
    ratio: Estimate | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """What it does to the whole to quantize this node alone: ``loss`` on some samples, ``ratio`` of the time (below 1
    is faster), or ``reason`` why it cannot be."""

    node: str
    operator: str
    loss: float | None
    ratio: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Shipped:
    """A variant that goes into the bundle, with its graph."""

    variant: Variant
    graph: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """All candidates in the order of the table, what is shipped (the preferred one first), and what to say of it.

    ``metric`` says in words what was measured, ``max_drop`` how much may be lost by it (0: nothing was tried),
    ``objective`` what was to be small, ``split`` how many rows were for what; ``largest`` is, per output of numbers,
    how far the first of what is shipped is from the reference at most; ``layers`` the sensitivity of each,
    ``ranges`` of each activation the smallest and largest value in calibration.
    """

    candidates: tuple[Candidate, ...]
    shipped: tuple[Shipped, ...]
    statements: tuple[str, ...]
    metric: str
    max_drop: float
    objective: str
    split: str
    largest: dict[str, float] | None = None
    layers: tuple[Layer, ...] = ()
    ranges: tuple[tuple[str, float, float], ...] = ()
