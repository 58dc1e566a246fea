"""Where a measurement was made.

Belongs here: reading the machine with the standard library. Not here: judging it (comparison.py), text (screen.py).
Imported as edge_runtime.benchmarks.environment; `Environment` is public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy
import onnxruntime

from edge_runtime.parallel import usable_cores
from edge_runtime.version import VERSION

__all__ = ["Environment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """``cores`` are those this process may use; ``threads`` is what the session was given (None: a plain callable);
    ``processes`` is how many processes the samples come from; ``load`` is the one-minute average at the start (None
    where the system has none); ``date`` is UTC, ISO 8601."""

    cpu_model: str
    cores: int
    threads: int | None
    processes: int
    load: float | None
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
            threads=threads,
            processes=1,
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            numpy=numpy.__version__,
            onnxruntime=onnxruntime.__version__,
            edge_runtime=VERSION,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


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
