"""What the machine did while something was measured on it, and whether that disturbed the measurement.

Belongs here: the fixed kernel, reading steal time, CPU pressure, switches and frequency, the sentences about them. Not
here: where it was (environment.py), verdicts (comparison.py, gating.py).
Imported as edge_runtime.benchmarks.conditions; `Conditions` is public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter_ns, process_time

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import Estimate, median_ratio

from .environment import first_line
from .stored import Stored, frozen

__all__ = ["Conditions", "Watch", "kernel_ns"]

NUMBERS = tuple(range(4_000))  # summed in about 30 to 100 µs: long against the clock, short against the work
FREQUENCY = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
# A machine is called disturbed beyond these. They are choices: a quiet laptop stays well below, two busy neighbours on
# two cores exceed most of them.
MOST_STOLEN = 0.02  # of all CPU time
MOST_PRESSURE = 0.10  # of the wall time
MOST_OTHERS = 0.25  # of the cores
LEAST_OTHERS = 0.05  # of the cores: below, nobody else is there
MOST_SLOWED = 1.10  # the kernel, from the first to the last third
MOST_SPREAD = 1.25  # the kernel, its 90th percentile over its median
LEAST_FREQUENCY = 0.9  # at the end, of the frequency at the start
MOST_SWITCHES = 100  # a second, against the will of the measuring process
FEWEST_KERNELS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions(Stored):
    """``seconds`` of wall time and ``cpu_seconds`` of the measuring process; ``kernel_ns`` [k] is what a fixed
    computation took, interleaved with the work, in order. The rest is None where the system does not say it:
    ``steal_share`` of all CPU time went to the hypervisor's other guests; during ``pressure_share`` of the time some
    task waited for a core; other processes kept ``others_cores`` busy on average; the measuring process was taken off
    its core ``involuntary_switches`` times; frequencies are those of its first core."""

    seconds: float
    cpu_seconds: float
    kernel_ns: NDArray[np.int64]
    steal_share: float | None
    pressure_share: float | None
    others_cores: float | None
    involuntary_switches: int | None
    frequency_start_hz: float | None
    frequency_end_hz: float | None
    cores: int

    @property
    def kernel_drift(self) -> Estimate | None:
        """How much longer the kernel took in the last third than in the first, with its 99% interval; None of fewer
        than 30 kernels."""
        third = len(self.kernel_ns) // 3
        if len(self.kernel_ns) < FEWEST_KERNELS:
            return None
        return median_ratio(self.kernel_ns[-third:], self.kernel_ns[:third])

    @property
    def problems(self) -> tuple[str, ...]:
        """What disturbed the measurement, in sentences; () for a quiet machine."""
        found = []
        if self.steal_share is not None and self.steal_share > MOST_STOLEN:
            found.append(f"the hypervisor gave {self.steal_share:.0%} of the CPU time to other guests")
        # Where nobody else is busy, it is the session's own threads that wait and take one another's core.
        alone = self.others_cores is not None and self.others_cores <= LEAST_OTHERS * self.cores
        if not alone and self.pressure_share is not None and self.pressure_share > MOST_PRESSURE:
            found.append(f"tasks waited for a core during {self.pressure_share:.0%} of the time")
        if self.others_cores is not None and self.others_cores > MOST_OTHERS * self.cores:
            found.append(f"other processes kept {self.others_cores:.1f} of {self.cores} cores busy")
        switches = self.involuntary_switches
        if not alone and switches is not None and switches > MOST_SWITCHES * max(1, self.seconds):
            each = switches / self.seconds
            found.append(f"the measuring process was taken off its core {each:,.0f} times a second")
        return (*found, *self.slowed())

    def slowed(self) -> list[str]:
        """What says that the processor itself changed its speed."""
        found = []
        drift = self.kernel_drift
        if drift is not None and not 1 / MOST_SLOWED <= drift.value <= MOST_SLOWED and not drift.low <= 1 <= drift.high:
            found.append(f"a fixed computation took {drift.value:.2f} times as long at the end as at the start")
        if len(self.kernel_ns) >= FEWEST_KERNELS:
            spread = float(np.quantile(self.kernel_ns, 0.9) / np.median(self.kernel_ns))
            if spread > MOST_SPREAD:
                found.append(f"one in ten runs of a fixed computation took more than {spread:.2f} times the usual")
        start, end = self.frequency_start_hz, self.frequency_end_hz
        if start is not None and end is not None and end < LEAST_FREQUENCY * start:
            found.append(f"the processor fell from {start / 1e6:,.0f} to {end / 1e6:,.0f} MHz")
        return found

    @classmethod
    def merged(cls, parts: Sequence[Conditions]) -> Conditions:
        """Those of several processes, one after the other, as one."""
        seconds = sum(part.seconds for part in parts)

        def share(name: str) -> float | None:
            values = [(getattr(part, name), part.seconds) for part in parts]
            if any(value is None for value, _ in values):
                return None
            return float(sum(value * lasted for value, lasted in values) / max(seconds, 1e-9))

        switches = [part.involuntary_switches for part in parts]
        return cls(
            seconds=seconds,
            cpu_seconds=sum(part.cpu_seconds for part in parts),
            kernel_ns=frozen(np.concatenate([part.kernel_ns for part in parts])),
            steal_share=share("steal_share"),
            pressure_share=share("pressure_share"),
            others_cores=share("others_cores"),
            involuntary_switches=None if None in switches else sum(count or 0 for count in switches),
            frequency_start_hz=parts[0].frequency_start_hz,
            frequency_end_hz=parts[-1].frequency_end_hz,
            cores=parts[0].cores,
        )


class Watch:
    """Looks at the machine when it is made, and again when it is asked for what happened in between."""

    def __init__(self) -> None:
        self.kernels: list[int] = []
        self.core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        self.started = self.look()

    def look(self) -> Look:
        return Look(perf_counter_ns(), process_time(), cpu_ticks(), pressure_us(), switches(), frequency_hz(self.core))

    def run_kernel(self) -> None:
        """Run the kernel and keep what it took."""
        self.kernels.append(kernel_ns())

    def conditions(self) -> Conditions:
        """What happened since this watch was made."""
        a, b = self.started, self.look()
        seconds, cpu = max(1e-9, (b.wall_ns - a.wall_ns) / 1e9), b.cpu_seconds - a.cpu_seconds
        ticks = None if a.ticks is None or b.ticks is None else [y - x for x, y in zip(a.ticks, b.ticks, strict=True)]
        busy = None if ticks is None else (sum(ticks) - ticks[3] - ticks[4] - ticks[7]) / ticks_a_second()
        return Conditions(
            seconds=seconds,
            cpu_seconds=cpu,
            kernel_ns=frozen(self.kernels),
            steal_share=None if ticks is None else ticks[7] / max(1, sum(ticks)),
            pressure_share=(
                None if a.pressure is None or b.pressure is None else (b.pressure - a.pressure) / 1e6 / seconds
            ),
            others_cores=None if busy is None else max(0.0, (busy - cpu) / seconds),
            involuntary_switches=None if a.switches is None or b.switches is None else b.switches - a.switches,
            frequency_start_hz=a.frequency_hz,
            frequency_end_hz=b.frequency_hz,
            cores=os.cpu_count() or 1,
        )


@dataclass(frozen=True, slots=True)
class Look:
    wall_ns: int
    cpu_seconds: float
    ticks: list[int] | None
    pressure: int | None
    switches: int | None
    frequency_hz: float | None


def kernel_ns() -> int:
    """What a fixed computation takes now, in ns; the second run of two, as the first finds cold caches."""
    sum(NUMBERS)
    start = perf_counter_ns()
    sum(NUMBERS)
    return perf_counter_ns() - start


def ticks_a_second() -> int:
    return os.sysconf("SC_CLK_TCK")


def cpu_ticks() -> list[int] | None:
    """user, nice, system, idle, iowait, irq, softirq, steal of all cores together, in ticks since the start."""
    line = first_line("/proc/stat")
    parts = (line or "").split()
    return [int(part) for part in parts[1:9]] if len(parts) >= 9 and parts[0] == "cpu" else None


def pressure_us() -> int | None:
    """Microseconds since the start during which some task waited for a core."""
    line = first_line("/proc/pressure/cpu")
    _, found, total = (line or "").partition("total=")
    return int(total) if found else None


def switches() -> int | None:
    """How often this process was taken off its core."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def frequency_hz(core: int) -> float | None:
    """What the kernel says of the core's frequency now."""
    line = first_line(FREQUENCY.format(core))
    return float(line) * 1e3 if line else None
