"""Fresh processes: bound to their cores before onnxruntime is imported, one request in, one result out.

Belongs here: starting one and reading its answer. Not here: what it does (worker.py).
Imported as edge_runtime.benchmarks.fresh.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edge_runtime.errors import EdgeError

__all__ = ["bound", "cores_for", "in_fresh_process", "run_script"]


def cores_for(threads: int | None) -> tuple[int, ...]:
    """The cores for a session of so many threads: the last ones that this process may use; () where no process can be
    bound. None is all of them."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    usable = sorted(os.sched_getaffinity(0))
    return tuple(usable[-threads:] if threads is not None else usable)


@contextmanager
def bound(cores: Sequence[int]) -> Iterator[None]:
    """Processes started within run on ``cores``; on any, if there are none."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def in_fresh_process(task: str, cores: Sequence[int] = (), **arguments: Any) -> Any:
    """The JSON data that worker.py answers to ``task`` with ``arguments`` (JSON data too), in a process of its own.

    Raises EdgeError with the last line of what it wrote if it fails.
    """
    return answer(["-m", "edge_runtime.benchmarks.worker"], cores, json.dumps({"task": task, "arguments": arguments}))


def run_script(script: str, asked: dict[str, Any], threads: int | None) -> Any:
    """The JSON data that ``script`` prints in a process of its own, on the cores for ``threads``; it finds ``asked`` in
    sys.argv. Raises EdgeError as `in_fresh_process` does."""
    return answer(["-c", script, json.dumps(asked)], cores_for(threads), "")


def answer(words: Sequence[str], cores: Sequence[int], given: str) -> Any:
    with bound(cores):
        process = subprocess.Popen(
            [sys.executable, "-P", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
    out, complaint = process.communicate(given)
    if process.returncode != 0:
        lines = complaint.strip().splitlines() or [f"exit status {process.returncode}"]
        raise EdgeError(f"a measuring process failed: {lines[-1]}")
    return json.loads(out)
