"""Blocks of rows: each is done once, whoever does it, and the earliest failure is the one that is raised."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.parallel import WORTH_A_THREAD, each_block, usable_cores

Block = tuple[int, int]


def blocks_done(rows: int, block: int, threads: int) -> list[Block]:
    done: list[Block] = []
    each_block(rows, block, threads, lambda: lambda start, stop: done.append((start, stop)))
    return done


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 20_000), st.integers(1, 5000), st.integers(1, 5))
def test_every_row_is_done_once(rows: int, block: int, threads: int) -> None:
    """In blocks of the given size, the last one shorter."""
    wanted = [(start, min(rows, start + block)) for start in range(0, rows, block)]
    assert sorted(blocks_done(rows, block, threads)) == wanted


def test_one_thread_goes_in_order() -> None:
    """In the caller's own thread."""
    assert blocks_done(10_000, 3000, 1) == [(0, 3000), (3000, 6000), (6000, 9000), (9000, 10_000)]


@pytest.mark.parametrize(
    ("rows", "threads", "wanted"),
    [(2 * WORTH_A_THREAD - 1, 3, 1), (2 * WORTH_A_THREAD, 3, 3), (10**6, 3, 3), (10**6, 1, 1)],
)
def test_threads_are_started_where_they_are_worth_it(rows: int, threads: int, wanted: int) -> None:
    """Each has a worker of its own, the caller's thread is one of them, and all are gone when it returns."""
    workers: set[int] = set()
    together = threading.Barrier(wanted)
    before = threading.active_count()

    def worker() -> Callable[[int, int], None]:
        workers.add(threading.get_ident())
        together.wait(20)  # as many as wanted, at once
        return lambda start, stop: None

    each_block(rows, -(-rows // 8), threads, worker)
    assert len(workers) == wanted
    assert threading.get_ident() in workers
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_earliest_failure_is_raised(threads: int) -> None:
    """Though later blocks fail sooner; and no block is begun after that."""
    begun: list[int] = []
    failed_later = threading.Event()

    def answer(start: int, stop: int) -> None:
        begun.append(start)
        if start == 1000 and threads > 1:
            failed_later.wait(20)
        if start >= 1000:
            if start > 1000:
                failed_later.set()
            raise ValueError(f"row {start}")

    with pytest.raises(ValueError, match=r"^row 1000$"):
        each_block(100_000, 1000, threads, lambda: answer)
    assert len(begun) <= 2 + threads


def test_a_worker_that_cannot_be_made_is_a_failure() -> None:
    """Whatever a thread raises comes out in the caller's."""

    def worker() -> Callable[[int, int], None]:
        raise MemoryError

    with pytest.raises(MemoryError):
        each_block(10_000, 1000, 2, worker)


def test_an_interrupt_stops_all_threads() -> None:
    """Ctrl-C in one block ends the others, and is not swallowed."""
    before = threading.active_count()

    def answer(start: int, stop: int) -> None:
        if start == 5000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each_block(1_000_000, 1000, 2, lambda: answer)
    assert threading.active_count() == before


def test_usable_cores_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its affinity where the system knows one, all cores elsewhere, one if nothing is known."""
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
