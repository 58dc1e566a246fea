"""`python -m edge_runtime.benchmarks.worker`: one measurement in this process, asked for by another one.

Belongs here: the tasks, from JSON on standard input to JSON on standard output. Not here: starting it (fresh.py).
Imported as edge_runtime.benchmarks.worker.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from .comparison import blocks_of
from .measuring import run_here
from .opening import open_target
from .settings import Settings

__all__ = ["main"]


def measure_task(target: str, settings: dict[str, Any], inputs: str | None, **scenario: Any) -> dict[str, Any]:
    return run_here(open_target(target, Settings.from_json(settings), inputs), **scenario).to_json()


def blocks_task(a: str, b: str, settings: dict[str, Any], inputs: str | None, **rounds: Any) -> dict[str, Any]:
    made = Settings.from_json(settings)
    return blocks_of(open_target(a, made, inputs), open_target(b, made, inputs), **rounds).to_json()


TASKS: dict[str, Callable[..., Any]] = {"measure": measure_task, "blocks": blocks_task}


def main() -> None:
    """Answer the one request; whatever the target prints goes to the error stream."""
    answer = os.dup(1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    made = TASKS[request["task"]](**request["arguments"])
    with open(answer, "w", encoding="utf-8") as out:
        json.dump(made, out)


if __name__ == "__main__":
    main()
