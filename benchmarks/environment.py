"""Where a measurement was made.

Belongs here: reading the machine with the standard library, and what makes two of them incomparable. Not here: what
the machine did meanwhile (conditions.py), text (screen.py).
Imported as edge_runtime.benchmarks.environment; `Environment` is public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy
import onnxruntime

from edge_runtime.parallel import usable_cores
from edge_runtime.version import VERSION

from .stored import Stored

__all__ = ["Environment", "cpu_model"]

GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
# What has to agree before a time measured here may be held against a time measured there.
ALIKE = {
    "cpu_model": "processor",
    "cores": "usable cores",
    "cores_used": "cores bound to",
    "threads": "threads",
    "governor": "frequency governor",
    "system": "system",
    "python": "Python",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment(Stored):
    """``cores`` are those this process may use, and ``affinity`` those the measuring process was bound to, by number
    (empty where the system binds nobody); ``threads`` is what the session was given (None: a plain callable);
    ``processes`` is how many processes the samples come from; ``load`` is the one-minute average at the start,
    ``governor`` decides the frequency (None where the system has none); ``date`` is UTC, ISO 8601."""

    cpu_model: str
    cores: int
    affinity: tuple[int, ...]
    threads: int | None
    processes: int
    load: float | None
    memory_bytes: int | None
    governor: str | None
    date: str
    system: str
    python: str
    numpy: str
    onnxruntime: str
    edge_runtime: str

    @classmethod
    def here(cls, *, threads: int | None) -> Environment:
        """This machine, now."""
        return cls(
            cpu_model=cpu_model(),
            cores=usable_cores(),
            affinity=tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else (),
            threads=threads,
            processes=1,
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            memory_bytes=memory_bytes(),
            governor=first_line(GOVERNOR),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            numpy=numpy.__version__,
            onnxruntime=onnxruntime.__version__,
            edge_runtime=VERSION,
        )

    @property
    def cores_used(self) -> int:
        """How many cores the measuring process was bound to."""
        return len(self.affinity)

    def differences(self, other: Environment) -> tuple[str, ...]:
        """What makes a time measured here and one measured in ``other`` incomparable, in words; () if nothing does.

        The version of edge-runtime is left out: whether that has changed is what one wants to know."""
        found = [(words, getattr(self, name), getattr(other, name)) for name, words in ALIKE.items()]
        return tuple(f"{words}: {here} and {there}" for words, here, there in found if here != there)


def cpu_model() -> str:
    """The processor's name: /proc/cpuinfo on a PC, the device tree on a board, what Python knows elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
        with open("/proc/device-tree/model", encoding="utf-8", errors="replace") as board:
            return board.read().strip("\0\n ")
    except OSError:
        return platform.processor() or platform.machine() or "unknown"


def memory_bytes() -> int | None:
    """The machine's memory, where the system says it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def first_line(path: str) -> str | None:
    """What a file of the system says, None where it has no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return None
