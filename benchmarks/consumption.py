"""What an inference costs in energy, where the processor counts it, and in CPU time everywhere.

Belongs here: reading RAPL, the proxy. Not here: guesses: power is never computed from a data sheet.
Imported as edge_runtime.benchmarks.consumption; `Energy` and `energy` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from time import perf_counter, process_time, sleep

from edge_runtime.timing import Estimate, time_block

from .environment import Environment, first_line
from .intervals import mean_of
from .opening import Measurable, open_target
from .settings import Settings
from .steady import warm_up
from .stored import Stored, frozen

__all__ = ["Energy", "energy"]

RAPL = "/sys/class/powercap/intel-rapl:0"  # the first package: processor, caches, graphics
PARTS = 16
IDLE_TAIL = 0.2  # seconds: what threads burn that spin after the last call


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy(Stored):
    """``joules_per_call`` is the processor package's energy, whatever else ran on it included, over the calls made
    meanwhile; None where it is ``unavailable``, which says why. ``cpu_seconds_per_call`` is a proxy: the CPU time of
    all threads of this process, over ``calls`` calls and an idle tail of 0.2 s in which spinning threads show."""

    target: str
    joules_per_call: Estimate | None
    unavailable: str | None
    cpu_seconds_per_call: float
    calls: int
    environment: Environment


def energy(
    target: Measurable, *, seconds: float = 1.0, settings: Settings | None = None, inputs: str | None = None
) -> Energy:
    """Measure ``target`` (see `open_target`) for about ``seconds``, in this process. Raises what it raises."""
    opened = open_target(target, settings, inputs)
    call = opened.new_call()
    warm = warm_up(call)
    calls = max(1, int(seconds * 1e9 / PARTS / warm.call_ns))
    unavailable = why_unavailable()
    joules, cpu = [], process_time()
    for _ in range(PARTS):
        before = microjoules() if unavailable is None else 0
        time_block(call, calls)
        joules.append((spent(before, microjoules()) / 1e6 / calls) if unavailable is None else 0.0)
    ends = perf_counter() + IDLE_TAIL
    sleep(max(0.0, ends - perf_counter()))
    found = mean_of(frozen(joules, float), (PARTS,), unit="J") if unavailable is None else None
    return Energy(
        target=opened.name,
        joules_per_call=found,
        unavailable=unavailable,
        cpu_seconds_per_call=(process_time() - cpu) / (PARTS * calls),
        calls=PARTS * calls,
        environment=Environment.here(threads=opened.threads),
    )


def why_unavailable() -> str | None:
    """Why there is no energy to read, in words; None where there is."""
    if not os.path.isdir(RAPL):
        return "this machine has no RAPL counters"
    if first_line(f"{RAPL}/energy_uj") is None:
        return "the RAPL counters are readable by root only"
    return None


def microjoules() -> int:
    return int(first_line(f"{RAPL}/energy_uj") or 0)


def spent(before: int, after: int) -> int:
    """The difference of two readings of a counter that starts anew at its end."""
    if after >= before:
        return after - before
    return after - before + int(first_line(f"{RAPL}/max_energy_range_uj") or 0)
