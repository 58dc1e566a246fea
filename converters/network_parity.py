"""Comparing a network with its source, sample by sample, and with itself in other company and on other threads.

Belongs here: what is compared, the largest differences, the errors that show the worst sample. Not here: tables
(parity.py), precisions that lose something on purpose (precision/).
Imported as edge_runtime.converters.network_parity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ParityError
from edge_runtime.golden import differences
from edge_runtime.model import Model

from .network import Network
from .samples import Feed, Samples

__all__ = ["NetworkParity", "compare_samples", "ulps_together"]

TOGETHER = 16  # samples asked as one


@dataclass(frozen=True, slots=True)
class NetworkParity:
    """``samples`` compared; ``largest`` difference per output, absolute, relative above 1; ``answers`` of the model,
    per output one for each sample."""

    samples: int
    largest: dict[str, float]
    answers: dict[str, list[NDArray[Any]]] = field(repr=False)


def compare_samples(
    network: Network, model: Model, samples: Samples, tell: Callable[[int, int], None]
) -> NetworkParity:
    """Ask source and model the same. Raises ParityError with the sample that differs most."""
    largest: dict[str, float] = {}
    answers: dict[str, list[NDArray[Any]]] = {}
    worst = (0.0, "")
    for i in range(len(samples)):
        feed = samples.feed(i)
        wanted, found = network.reference(feed), model.run(feed)
        if found.keys() != wanted.keys():
            raise ParityError(f"the graph's outputs are {sorted(found)}, the source's {sorted(wanted)}", rows="")
        for name, values in wanted.items():
            gap = float(differences(found[name], values).max(initial=0.0))
            largest[name] = max(largest.get(name, 0.0), gap)
            if gap > worst[0]:
                worst = gap, shown(i, name, found, wanted)
            answers.setdefault(name, []).append(found[name])
        tell(i + 1, len(samples))
    if worst[0] > network.tolerance:
        raise ParityError(
            f"the graph answers otherwise than {network.framework}, by up to {worst[0]:.3g} (allowed:"
            f" {network.tolerance:g})",
            rows=worst[1],
        )
    numbers = {name: gap for name, gap in largest.items() if wanted[name].dtype.kind == "f"}
    return NetworkParity(len(samples), numbers, answers)


def ulps_together(model: Model, samples: Samples) -> float | None:
    """How many units in the last place of an output's largest value its numbers differ by between samples alone and
    together; None where they cannot be asked together."""
    if not samples.stackable or len(samples) < 2:
        return None
    which = range(min(TOGETHER, len(samples)))
    together = model.run(samples.stacked(which))
    most = 0.0
    for i in which:
        for name, alone in model.run(samples.feed(i)).items():
            row = together[name][i : i + 1]
            if row.shape != alone.shape:
                return None  # rows do not lie along the first axis of this output
            if alone.dtype.kind == "f" and alone.size:
                with np.errstate(invalid="ignore"):
                    gap = np.abs(row.astype(np.float64) - alone.astype(np.float64)).max()
                most = max(most, float(gap / np.spacing(np.abs(alone).max())))
    return most


def shown(i: int, name: str, found: Feed, wanted: Feed) -> str:
    gaps = differences(found[name], wanted[name])
    if found[name].shape != wanted[name].shape:
        return f"  sample {i}: {name} of the shape {list(found[name].shape)}, source: {list(wanted[name].shape)}"
    at = int(gaps.argmax())
    here, there = (each[name].ravel().tolist()[at] for each in (found, wanted))
    return f"  sample {i}: {name}, value {at:,} of {gaps.size:,}\n    source: {there!r}\n    model:  {here!r}"
