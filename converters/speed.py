"""How fast a bundle that was just written answers here.

Belongs here: that one figure of the closing summary. Not here: timing precisions side by side (precision/trials.py),
measuring for its own sake (edge_runtime.benchmarks).
Imported as edge_runtime.converters.speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_runtime.model import load
from edge_runtime.timing import calibrate, percentile, rotate, samples_needed, time_each

__all__ = ["time_one"]

WARM_UP_NS = 20_000_000
TIMED_NS = 1_000_000_000
MOST_CALLS = 2_000


def time_one(path: str) -> float:
    """The median time, in ns, in which the bundle's first variant answers one of its golden rows or samples here."""
    model = load(path)
    ask: Callable[[Mapping[str, Any]], object] = model.predict_one if model.schema.columns else model.run
    call = rotate(ask, [sample.inputs for sample in model.golden_rows()])
    _, each_ns = calibrate(call, WARM_UP_NS)
    taken = np.empty(max(samples_needed(50), min(MOST_CALLS, int(TIMED_NS / each_ns))), np.int64)
    time_each(call, taken)
    return percentile(taken, 50).value
