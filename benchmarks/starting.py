"""From nothing to the first answer, in fresh processes: where the time goes.

Belongs here: `ColdStart`, and the script that a fresh process runs. Not here: memory (footprint.py).
Imported as edge_runtime.benchmarks.starting; `ColdStart` and `cold_start` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.timing import Estimate, percentile

from .environment import Environment
from .fresh import run_script
from .measuring import Progress
from .opening import file_target
from .settings import Settings
from .stored import Stored, frozen

__all__ = ["PHASES", "ColdStart", "cold_start"]

PHASES = ("interpreter", "numpy", "onnxruntime", "session", "first run", "second run")
FEWEST = 20

# The clock is the system's, the same in parent and child. What only the benchmark needs (finding a row to ask with)
# lies between two clock readings that no phase counts.
SCRIPT = """
from time import perf_counter_ns as clock
at = [clock()]
import json, os, sys
asked = json.loads(sys.argv[1])
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
at.append(clock())
import numpy
at.append(clock())
import onnxruntime
at.append(clock())
import edge_runtime
model = edge_runtime.load(asked["path"], threads=asked["threads"], variant=asked["variant"])
at.append(clock())
from edge_runtime.benchmarks.opening import of_model
call = of_model(model, "", asked["inputs"]).new_call()
at.append(clock())
call()
at.append(clock())
call()
at.append(clock())
print(json.dumps(at))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart(Stored):
    """What each of ``phases`` took in each fresh process: ``phase_ns`` is int64 [processes, phases].

    "session" is `edge_runtime.load`, its own import, checks and self-test included. Files were in the system's cache.
    """

    target: str
    phases: tuple[str, ...]
    phase_ns: NDArray[np.int64]
    environment: Environment

    def phase(self, name: str, *, confidence: float = 0.95) -> Estimate:
        """A phase's median with its interval, in ns."""
        return percentile(self.phase_ns[:, self.phases.index(name)], 50, confidence=confidence)

    def total(self, *, confidence: float = 0.95) -> Estimate:
        """The median time to the first answer with its interval, in ns: all phases but the second run."""
        return percentile(self.phase_ns[:, :-1].sum(axis=1), 50, confidence=confidence)


def cold_start(
    target: str,
    *,
    processes: int = FEWEST,
    settings: Settings | None = None,
    inputs: str | None = None,
    progress: Progress | None = None,
) -> ColdStart:
    """Start ``processes`` fresh processes (20 or more) that load ``target``, a file, and ask it twice.

    One more comes first and is not counted: it brings files into the cache. Raises InputError for fewer, for a target
    that is no file and for settings other than threads, and what `open_target` raises.
    """
    if processes < FEWEST:
        raise InputError(f"processes is {processes}", expected=f"{FEWEST} or more")
    settings = settings if settings is not None else Settings()
    asked = file_target(target, settings, inputs)
    taken = []
    for number in range(processes + 1):
        taken.append(once(asked))
        if progress is not None:
            progress("cold start", (number + 1) / (processes + 1))
    environment = replace(Environment.here(threads=settings.threads), processes=processes)
    return ColdStart(
        target=os.path.basename(target), phases=PHASES, phase_ns=frozen(taken[1:]), environment=environment
    )


def once(asked: dict[str, Any]) -> list[int]:
    start = perf_counter_ns()
    at = run_script(SCRIPT, asked, asked["threads"])
    took = [b - a for a, b in pairwise(at)]
    before, numpy, onnxruntime, session, _, first, second = took
    return [at[0] - start + before, numpy, onnxruntime, session, first, second]
