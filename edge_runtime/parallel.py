"""Several blocks of rows at once, above the session.

Belongs here: cores and threads. Not here: what is done with a block (model.py).
Imported as edge_runtime.parallel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count

__all__ = ["each_block", "usable_cores"]

WORTH_A_THREAD = 2048  # rows; below, starting a thread costs more than it saves


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def each_block(rows: int, block: int, threads: int, worker: Callable[[], Callable[[int, int], None]]) -> None:
    """Call what ``worker`` returns with (start, stop) for each block of ``rows``; one worker per thread.

    The error of the earliest block is raised, once all threads have stopped.
    """
    blocks = -(-rows // block)
    take = count()  # next() on it is atomic
    failures: list[tuple[int, BaseException]] = []

    def work() -> None:
        answer: Callable[[int, int], None] | None = None
        while not failures:
            number = next(take)
            if number >= blocks:
                return
            try:
                answer = answer or worker()
                answer(number * block, min(rows, (number + 1) * block))
            except BaseException as error:  # carried to the caller's thread
                failures.append((number, error))

    helpers = []
    if threads > 1 and rows >= 2 * WORTH_A_THREAD:
        from threading import Thread

        helpers = [Thread(target=work, name="edge-runtime", daemon=True) for _ in range(min(threads, blocks) - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise min(failures, key=lambda failure: failure[0])[1]
