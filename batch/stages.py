"""One stage of work ahead of the next, in a thread of its own.

Reading, scoring and writing overlap when each runs ahead of its reader: `ahead(score(ahead(read)))`.

Belongs here: threads between stages. Not here: what a stage does; threads within scoring (edge_runtime.parallel).
Imported as edge_runtime.batch.stages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")
DEPTH = 2  # items made before they are asked for: one being made, one waiting


def ahead(items: Iterator[T], depth: int = DEPTH) -> Generator[T]:
    """``items`` in order, each made by another thread, at most ``depth`` of them before they are asked for.

    What making one raises is raised where it would have come. Closing this generator closes ``items``.
    """

    def one() -> tuple[T, ...]:  # none at the end
        return tuple(islice(items, 1))

    pool = ThreadPoolExecutor(1, "edge-runtime-batch")
    try:
        waiting = deque(pool.submit(one) for _ in range(depth))
        while made := waiting.popleft().result():
            waiting.append(pool.submit(one))
            yield from made
    finally:
        pool.shutdown(cancel_futures=True)
        if hasattr(items, "close"):
            items.close()
