"""One sentence on what to set on this machine, from what was tried.

Belongs here: which of several findings is worth a reader's attention first. Not here: the findings (sweeping.py).
Imported as edge_runtime.benchmarks.advice.
"""

from __future__ import annotations

from collections.abc import Sequence

from .run import Run
from .sweeping import Parameter, Sweep

__all__ = ["advice_of"]

ORDER: tuple[Parameter, ...] = ("variant", "threads", "provider", "spinning", "optimisation", "batch")
WORTH_SAYING = 1.05


def advice_of(runs: Sequence[Run], sweeps: Sequence[Sweep]) -> str | None:
    """The sentence; None if nothing that was tried is faster by 5% or more, intervals included."""
    single = next((run for run in runs if run.scenario == "single-stream"), None)
    for sweep in sorted(sweeps, key=lambda each: ORDER.index(each.parameter)):
        found = batch_advice(single, sweep) if single is not None and sweep.parameter == "batch" else sweep.advice
        if found is not None:
            return found
    return None


def batch_advice(single: Run, sweep: Sweep) -> str | None:
    """Batches against one row at a time, asked for as an app asks for it, which has less to do than a batch of one."""
    alone = single.percentile(50)
    ran = [point for point in sweep.points if point.run is not None]
    if not ran:
        return None
    best = min(ran, key=lambda point: point.costs()[1].high)  # surely fast, rather than perhaps faster
    row = best.costs()[1]
    if alone.low / row.high < WORTH_SAYING:
        return None
    times = alone.value / row.value
    return f"rows in batches of {best.value} take {times:.1f}x less time a row than one at a time here"
