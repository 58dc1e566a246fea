"""Sums of leaves on the grid: the same bits in any order, and close to what they were."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.converters.exact.grid import FINENESS, round_to_grid

leaf = st.floats(-1e3, 1e3)
trees = st.lists(st.lists(leaf, min_size=1, max_size=4), min_size=1, max_size=6)


def exact(values: list[float]) -> Fraction:
    return sum(map(Fraction, values), Fraction(0))


@settings(deadline=None)
@given(trees)
def test_any_sum_of_one_leaf_per_tree_is_exact(leaves: list[list[float]]) -> None:
    """So is every partial sum: none of them rounds, whichever leaves are met and in whatever order."""
    rounded, _ = round_to_grid([np.array(values)[:, None] for values in leaves])
    for picked in itertools.islice(itertools.product(*(values[:, 0].tolist() for values in rounded)), 64):
        total = 0.0
        for count, value in enumerate(picked, 1):
            total += value
            assert Fraction(total) == exact(list(picked[:count]))


@settings(deadline=None)
@given(trees, st.randoms(use_true_random=False))
def test_the_order_of_a_sum_does_not_change_a_bit(leaves: list[list[float]], random: object) -> None:
    """Forwards, backwards, in pairs: one result."""
    rounded, _ = round_to_grid([np.array(values)[:, None] for values in leaves])
    firsts = np.array([values[0, 0] for values in rounded])
    assert (
        len({float(np.sum(firsts[list(order)])) for order in itertools.permutations(range(min(len(firsts), 5)))}) == 1
    )


@settings(deadline=None)
@given(trees)
def test_the_bound_holds_for_every_sum(leaves: list[list[float]]) -> None:
    """No choice of one leaf per tree moves by more than is said, and that is next to nothing."""
    arrays = [np.array(values)[:, None] for values in leaves]
    rounded, moved = round_to_grid(arrays)
    for picked in itertools.islice(itertools.product(*(range(len(values)) for values in leaves)), 64):
        before = exact([leaves[tree][i] for tree, i in enumerate(picked)])
        after = exact([float(rounded[tree][i, 0]) for tree, i in enumerate(picked)])
        assert abs(before - after) <= Fraction(moved) * (1 + Fraction(1, 2**40))
    reach = sum(float(np.abs(values).max()) for values in arrays)
    assert moved <= reach * 2.0**-FINENESS


@pytest.mark.parametrize("size", [1e-310, 5e-324, 1e-30, 1.0, 2.0**52, 1e300])
def test_leaves_of_any_size_have_a_grid(size: float) -> None:
    """Far out the scale itself would be no float."""
    arrays = [np.array([[size], [-size / 3.0]]), np.array([[size / 7.0]])]
    rounded, moved = round_to_grid(arrays)
    for old, new in zip(arrays, rounded, strict=True):
        assert np.isfinite(new).all()
        assert (np.abs(new - old) <= moved).all()
    assert moved <= 2.0 * size * 2.0**-FINENESS


def test_leaves_of_nothing_stay_nothing() -> None:
    """There is no reach to choose a grid by."""
    rounded, moved = round_to_grid([np.zeros((2, 3)), np.zeros((1, 3))])
    assert [values.tolist() for values in rounded] == [[[0.0] * 3] * 2, [[0.0] * 3]]
    assert moved == 0.0


def test_vectors_share_one_grid_and_what_came_in_is_kept() -> None:
    """Every target's leaves are multiples of one power of two; the caller's arrays are not written to."""
    leaves = np.array([[0.1, 1000.0], [0.2, -0.3]])
    kept = leaves.copy()
    (rounded,), _ = round_to_grid([leaves])
    assert (leaves == kept).all()
    per_unit = max(Fraction(value).denominator for value in rounded.ravel().tolist())
    assert 1000 * per_unit < 2**53  # any sum of multiples of it that stays below 1000 is a float
