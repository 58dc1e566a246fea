"""Stages that run ahead: order, bounds, errors, and an end that leaves no thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edge_runtime.batch.stages import ahead


def numbers(made: list[int], fail_at: int = -1) -> Iterator[int]:
    """0 to 9, each noted when it is made."""
    for number in range(10):
        if number == fail_at:
            raise ValueError(f"at {number}")
        made.append(number)
        yield number


def test_items_come_in_order() -> None:
    """Through one stage and through two."""
    assert list(ahead(numbers([]))) == list(range(10))
    assert list(ahead(ahead(numbers([])), depth=3)) == list(range(10))
    assert list(ahead(iter([]))) == []


def test_no_more_is_made_than_the_depth() -> None:
    """Memory is bounded by it."""
    made: list[int] = []
    items = ahead(numbers(made), depth=2)
    assert next(items) == 0
    items.close()
    assert len(made) <= 3


def test_an_error_comes_where_its_item_would_have() -> None:
    """What was made before it is given first."""
    items = ahead(ahead(numbers([], fail_at=3)))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="at 3"):
        next(items)


def test_an_early_end_stops_the_threads_and_closes_the_source() -> None:
    """A file is not left open behind a failure of the writer."""
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    before = threading.active_count()
    items = ahead(ahead(source()))
    assert next(items) == 0
    items.close()
    assert closed == [True]
    assert threading.active_count() == before
