"""`python -m edge_runtime.benchmarks.worker`: one measurement in this process, asked for by another one.

Belongs here: the tasks, from JSON on standard input to JSON on standard output, where lines before it say how far they
are. Not here: starting it (fresh.py).
Imported as edge_runtime.benchmarks.worker.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Any, TextIO

from .comparison import blocks_of
from .consumption import energy
from .measuring import find_max_rate, run_here
from .opening import open_target
from .profiling import profile
from .settings import Settings

__all__ = ["main"]

Report = Callable[[float], None]
EVERY = 2.0  # seconds between two reports
PAUSE = 0.001  # after a report: in it the parent writes, rather than during the next timed call


def measure_task(
    report: Report, target: str, settings: dict[str, Any], inputs: str | None, **scenario: Any
) -> dict[str, Any]:
    opened = open_target(target, Settings.from_json(settings), inputs)
    return run_here(opened, report=report, **scenario).to_json()


def blocks_task(
    report: Report, a: str, b: str, settings: dict[str, Any], inputs: str | None, **rounds: Any
) -> dict[str, Any]:
    made = Settings.from_json(settings)
    first, second = open_target(a, made, inputs), open_target(b, made, inputs)
    return blocks_of(first, second, progress=lambda what, part: report(part), **rounds).to_json()


def search_task(report: Report, target: str, settings: dict[str, Any], **asked: Any) -> dict[str, Any]:
    made = Settings.from_json(settings)
    return find_max_rate(target, settings=made, progress=lambda what, part: report(part), **asked).to_json()


def energy_task(report: Report, target: str, settings: dict[str, Any], **asked: Any) -> dict[str, Any]:
    return energy(target, settings=Settings.from_json(settings), **asked).to_json()


def profile_task(report: Report, target: str, settings: dict[str, Any], **asked: Any) -> dict[str, Any]:
    return profile(target, settings=Settings.from_json(settings), **asked).to_json()


TASKS: dict[str, Callable[..., Any]] = {
    "measure": measure_task, "blocks": blocks_task, "search": search_task, "energy": energy_task,
    "profile": profile_task,
}  # fmt: skip


def reporter(out: TextIO) -> Report:
    """What writes a line of ``out`` now and then, between timed calls."""
    told = perf_counter()

    def report(part: float) -> None:
        nonlocal told
        if perf_counter() - told >= EVERY:
            print(part, file=out, flush=True)
            sleep(PAUSE)
            told = perf_counter()

    return report


def main() -> None:
    """Answer the one request; whatever the target prints goes to the error stream."""
    answer = os.dup(1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    with open(answer, "w", encoding="utf-8") as out:
        json.dump(TASKS[request["task"]](reporter(out), **request["arguments"]), out)


if __name__ == "__main__":
    main()
