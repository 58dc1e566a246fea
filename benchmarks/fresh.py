"""Fresh processes: bound to their cores before onnxruntime is imported, one request in, one result out.

Belongs here: starting one, hearing how far it is, reading its answer. Not here: what it does (worker.py).
Imported as edge_runtime.benchmarks.fresh.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
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


def in_fresh_process(
    task: str, cores: Sequence[int] = (), *, report: Callable[[float], None] | None = None, **arguments: Any
) -> Any:
    """The JSON data that worker.py answers to ``task`` with ``arguments`` (JSON data too), in a process of its own;
    ``report`` hears now and then which part of it is done.

    Raises EdgeError with the last line of what it wrote if it fails.
    """
    asked = json.dumps({"task": task, "arguments": arguments})
    return answer(["-m", "edge_runtime.benchmarks.worker"], cores, asked, report)


def run_script(script: str, asked: dict[str, Any], threads: int | None) -> Any:
    """The JSON data that ``script`` prints in a process of its own, on the cores for ``threads``; it finds ``asked`` in
    sys.argv. Raises EdgeError as `in_fresh_process` does."""
    return answer(["-c", script, json.dumps(asked)], cores_for(threads), "")


def answer(
    words: Sequence[str], cores: Sequence[int], given: str, report: Callable[[float], None] | None = None
) -> Any:
    """What the process prints last; lines before it say which part is done."""
    with bound(cores):
        process = subprocess.Popen(
            [sys.executable, "-P", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
            errors="backslashreplace",
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    complaint: list[str] = []
    reader = Thread(target=complaint.extend, args=(process.stderr,), daemon=True)
    reader.start()
    with process:
        try:
            with suppress(BrokenPipeError):  # it died at once, and says why on its error stream
                process.stdin.write(given)
                process.stdin.close()
            last = ""
            for last in process.stdout:
                if report is not None and not last.startswith(("{", "[")):
                    report(float(last))
        except BaseException:
            process.kill()
            raise
        reader.join()
    if process.returncode != 0:
        raise EdgeError(reason("".join(complaint).strip(), process.returncode))
    return json.loads(last)


def reason(complaint: str, status: int) -> str:
    """What a process died of, in a line; an error of ours has its own words."""
    last = complaint.splitlines()[-1] if complaint else f"exit status {status}"
    ours = re.fullmatch(r"edge_runtime(?:\.\w+)*\.\w+: (.+)", last)
    return ours[1] if ours is not None else f"a measuring process failed: {last}"
