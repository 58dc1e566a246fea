"""The order of the floats, and searching in it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.converters.exact.lattice import from_ordinal, last_true, to_ordinal

Floats = NDArray[np.float64]
LARGE, TINY = float(np.finfo(np.float64).max), 5e-324
numbers = st.floats(allow_nan=False)


def one(value: float) -> Floats:
    return np.array([value])


def search(holds: Callable[[Floats], NDArray[np.bool_]], low: float = -math.inf, high: float = math.inf) -> float:
    return float(last_true(holds, one(low), one(high))[0])


@given(numbers, numbers)
@example(-0.0, 0.0)
@example(-TINY, TINY)
@example(LARGE, math.inf)
def test_ordinals_are_in_the_order_of_the_floats(a: float, b: float) -> None:
    """-0.0 and 0.0 are one number, so they have one ordinal."""
    assert (to_ordinal(one(a)) < to_ordinal(one(b)))[0] == (a < b)
    assert (to_ordinal(one(a)) == to_ordinal(one(b)))[0] == (a == b)


@given(numbers)
@example(0.0)
@example(-0.0)
@example(-TINY)
@example(LARGE)
def test_neighbours_differ_by_one(a: float) -> None:
    """The float above has the next ordinal, and every ordinal leads back to its float."""
    assume(a < math.inf)
    above = one(math.nextafter(a, math.inf))
    assert to_ordinal(above)[0] - to_ordinal(one(a))[0] == 1
    assert from_ordinal(to_ordinal(one(a)))[0] == a


@settings(deadline=None)
@given(numbers)
@example(0.0)
@example(-0.0)
@example(TINY)
@example(-math.inf)
def test_the_boundary_of_a_comparison_is_its_threshold(threshold: float) -> None:
    """Exactly, wherever it lies: subnormal, infinite or the zero between two signs."""
    assert search(lambda values: values <= threshold) == threshold


@settings(deadline=None)
@given(st.floats(-1e300, 1e300), st.floats(1e-8, 1e8), st.floats(-1e6, 1e6))
@example(0.0, 1e-3, 1e5)  # billions of floats near zero have one image
@example(0.1, 3.0, 1e-20)
def test_the_boundary_of_arithmetic_lies_between_two_neighbours(threshold: float, scale: float, mean: float) -> None:
    """(x - mean) / scale holds at the float that is found and at no float above it."""

    def holds(values: Floats) -> NDArray[np.bool_]:
        with np.errstate(all="ignore"):
            return np.asarray((values - mean) / scale <= threshold)

    found = search(holds, -LARGE, LARGE)
    if math.isnan(found):
        assert not holds(one(-LARGE))[0]
        return
    assert holds(one(found))[0]
    assert found == LARGE or not holds(np.nextafter(one(found), math.inf))[0]


def test_everywhere_is_the_upper_end_and_nowhere_is_no_number() -> None:
    """Both are told apart from a boundary inside; an end where alone it holds is a boundary."""
    assert search(lambda values: values < math.inf, -1.0, 5.0) == 5.0
    assert math.isnan(search(lambda values: values < -2.0, -1.0, 5.0))
    assert search(lambda values: values <= -1.0, -1.0, 5.0) == -1.0


def test_many_searches_go_on_side_by_side_in_few_steps() -> None:
    """One evaluation asks for all of them; a search over all floats takes at most 64 halvings."""
    thresholds = np.array([-math.inf, -1e300, -0.5, 0.0, TINY, 0.1, 1.0, LARGE, math.inf])
    calls = 0

    def holds(values: Floats) -> NDArray[np.bool_]:
        nonlocal calls
        calls += 1
        return np.asarray(values <= thresholds)

    found = last_true(holds, np.full(9, -math.inf), np.full(9, math.inf))
    assert found.tolist() == thresholds.tolist()
    assert calls <= 66


@pytest.mark.parametrize(("low", "high"), [(-math.inf, math.inf), (-1.0, 1.0), (0.1, 0.3)])
def test_the_search_never_asks_outside_its_bounds(low: float, high: float) -> None:
    """A source may refuse what lies there."""
    asked: list[float] = []

    def holds(values: Floats) -> NDArray[np.bool_]:
        asked.extend(values.tolist())
        return np.asarray(values <= 0.2)

    search(holds, low, high)
    assert all(low <= value <= high for value in asked)
