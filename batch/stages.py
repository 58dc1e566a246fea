"""One stage of work ahead of the next, in a thread of its own.

Reading, scoring and writing overlap when each runs ahead of its reader: `ahead(score(ahead(read)))`.

Belongs here: threads between stages. Not here: what a stage does; threads within scoring (edge_runtime.parallel).
Imported as edge_runtime.batch.stages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")
DEPTH = 2  # items made before they are asked for: one being made, one waiting


def ahead(items: Iterator[T], depth: int = DEPTH) -> Generator[T]:
    """``items`` in order, each made by another thread, at most ``depth`` of them before they are asked for.

    What making one raises is raised where it would have come. Closing this generator closes ``items``.
    """
    end = object()
    pool = ThreadPoolExecutor(1, "edge-runtime-batch")
    try:
        waiting = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)
        if hasattr(items, "close"):
            items.close()
