"""Conditions on features pulled back to the app's columns: the same side for every value, or no pull-back at all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.converters.exact.ensemble import Conditions
from edge_runtime.converters.exact.features import (
    Block,
    Feature,
    FiniteColumn,
    NotPulledBackError,
    Splits,
    pull_back,
)

Floats = NDArray[np.float64]
EVERYWHERE = (-math.inf, math.inf)


def pulled(
    block: Block,
    thresholds: list[float],
    missing_left: list[bool],
    *,
    feature: int = 0,
    finite: dict[int, FiniteColumn] | None = None,
    bounds: tuple[float, float] = EVERYWHERE,
    nullable: bool = True,
) -> Splits:
    n = len(thresholds)
    conditions = Conditions(np.full(n, feature), np.array(thresholds), np.array(missing_left), {})
    return pull_back([block], finite or {}, {0: bounds}, [nullable], conditions)


def side(splits: Splits, i: int, value: float) -> bool:
    """Whether a value of the column goes left, as the graph will decide."""
    if math.isnan(value):
        true = bool(splits.missing[i])
    elif i in splits.members:
        true = value in splits.members[i]
    elif splits.equal[i]:
        true = value == splits.threshold[i]
    else:
        true = value <= splits.threshold[i]
    return true ^ bool(splits.swap[i])


def numbers(function: Callable[[Floats], Floats]) -> Block:
    """One number column through an increasing function."""

    def evaluate(given: dict[int, NDArray[Any]], n: int) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(function(given[0].astype(np.float64)))[:, None]

    return Block((Feature(0, False),), evaluate)


FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "itself": lambda x: x,
    "scaled": lambda x: (x - 0.1) / 3.0,
    "scaled to nearly nothing": lambda x: (x - 1e5) / 1e-9,
    "rounded to float32": lambda x: x.astype(np.float32).astype(np.float64),
    "scaled, then rounded": lambda x: ((x - 0.1) / 3.0).astype(np.float32).astype(np.float64),
    "clipped": lambda x: np.clip(x, -1.0, 1.0),
    "a constant": lambda x: np.where(np.isnan(x), x, 0.25),
    "filled": lambda x: np.where(np.isnan(x), 0.3, x),
    "whether missing": lambda x: np.isnan(x).astype(np.float64),
    "a step": lambda x: np.floor(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(deadline=None, max_examples=40)
@given(st.floats(-1e6, 1e6), st.booleans(), st.booleans())
@example(0.0, True, True)
@example(-0.0, False, True)
@example(1.0, False, False)
def test_a_number_takes_the_same_side_next_to_the_threshold_and_far_away(
    name: str, threshold: float, missing_left: bool, nullable: bool
) -> None:
    """The feature's comparison and the column's agree at the threshold, beside it, at the ends and where missing."""
    block = numbers(FUNCTIONS[name])
    splits = pulled(block, [threshold], [missing_left], nullable=nullable)
    found = float(splits.threshold[0])
    around = [found, math.nextafter(found, -math.inf), math.nextafter(found, math.inf), -math.inf, math.inf]
    tried = [*around, 0.0, -0.0, threshold, 5e-324, 1e300, *([math.nan] if nullable else [])]
    for value in tried:
        made = float(block.evaluate({0: np.array([value])}, 1)[0, 0])
        wanted = missing_left if math.isnan(made) else made <= threshold
        assert side(splits, 0, value) == wanted, value
    if splits.constant[0] >= 0:
        assert {side(splits, 0, value) for value in tried} == {bool(splits.constant[0])}


def test_the_search_stays_within_what_the_source_answers() -> None:
    """Beyond its bounds a source refuses: it must not be asked there."""

    def strict(x: Floats) -> Floats:
        if (np.abs(x) > 10.0).any():
            raise ValueError("refused")
        return x * 2.0

    splits = pulled(numbers(strict), [3.0, 100.0, -100.0], [False] * 3, bounds=(-10.0, 10.0), nullable=False)
    assert splits.threshold[0] == 1.5
    assert splits.constant.tolist() == [-1, 1, 0]


def test_many_thresholds_on_several_columns_are_searched_at_once() -> None:
    """Each on its own column, through one evaluation of the block for all of them."""
    calls = 0

    def evaluate(given: dict[int, NDArray[Any]], n: int) -> Floats:
        nonlocal calls
        calls += 1
        columns = [given.get(c, np.zeros(n)).astype(np.float64) for c in range(3)]
        return np.stack([columns[0] * 3.0, columns[2] - 1.0, columns[1] / 7.0, columns[0] + 0.5], axis=1)

    block = Block(tuple(Feature(c, False) for c in (0, 2, 1, 0)), evaluate)
    feature, threshold = np.array([0, 1, 2, 3, 0, 3]), np.array([0.3, 0.1, 0.7, 0.0, 9.0, 4.25])
    conditions = Conditions(feature, threshold, np.zeros(6, bool), {})
    splits = pull_back([block], {}, dict.fromkeys(range(3), (-1e9, 1e9)), [False] * 3, conditions)
    assert calls <= 67
    assert splits.column.tolist() == [0, 2, 1, 0, 0, 0]
    for i in range(6):
        at = float(splits.threshold[i])
        made = [
            block.evaluate({int(splits.column[i]): np.array([x])}, 1)[0, feature[i]]
            for x in (at, math.nextafter(at, 9e9))
        ]
        assert made[0] <= threshold[i] < made[1]


def categories(
    values: tuple[float, ...], *, coded: bool, whole: bool, unknown: bool, missing: bool
) -> tuple[Block, FiniteColumn]:
    """A column of categories, and the feature that is ``values`` at each of them, then at unknown and missing."""
    known = len(values) - unknown - missing
    codes = [float(i) for i in range(known)] if coded else [1.0 + 3.0 * i for i in range(known)]
    inputs = np.empty(len(values), object)
    inputs[:] = [*[f"c{i}" if coded else code for i, code in enumerate(codes)], *["?"] * unknown, *[None] * missing]
    at = dict(zip(inputs.tolist(), values, strict=True))
    column = FiniteColumn(
        inputs, np.array(codes + [-1.0] * unknown + [math.nan] * missing), coded, whole, unknown, missing
    )

    def evaluate(given: dict[int, NDArray[Any]], n: int) -> Floats:
        return np.array([[at[value]] for value in given[0].tolist()])

    return Block((Feature(0, True),), evaluate), column


@pytest.mark.parametrize("missing", [False, True], ids=["never missing", "missing"])
@pytest.mark.parametrize("unknown", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("coded", [True, False], ids=["text", "integers"])
def test_any_set_of_categories_is_one_condition(coded: bool, unknown: bool, missing: bool) -> None:
    """All ways to send four categories, the unknown and the missing to two sides; whatever comes goes its own way."""
    total = 4 + unknown + missing
    for values in itertools.product((0.0, 1.0), repeat=total):
        block, column = categories(values, coded=coded, whole=True, unknown=unknown, missing=missing)
        splits = pulled(block, [0.5], [True], finite={0: column}, nullable=missing)
        for code, value in zip(column.codes.tolist(), values, strict=True):
            if unknown and not coded and code == -1.0:
                assert all(side(splits, 0, other) == (value <= 0.5) for other in (-1.0, 0.0, 2.0, 5.0, 99.0, -7.0))
            else:
                assert side(splits, 0, code) == (value <= 0.5)


@pytest.mark.parametrize("missing", [None, 30.5, 3.0], ids=["never missing", "as unknown", "another way"])
def test_an_unknown_category_amid_ordered_ones_leaves_each_split_a_cut(missing: float | None) -> None:
    """It goes the way of a missing value, unless that is answered and goes a way of its own."""
    values = (*map(float, range(60)), 30.5, *([] if missing is None else [missing]))
    block, column = categories(values, coded=True, whole=True, unknown=True, missing=missing is not None)
    thresholds = [2.0, 20.0, 30.5, 45.0, 58.5]
    splits = pulled(block, thresholds, [True] * 5, finite={0: column}, nullable=missing is not None)
    assert bool(splits.members) == (missing == 3.0)
    assert bool(splits.holes) == (missing != 3.0)
    for code, value in zip(column.codes.tolist(), values, strict=True):
        read = math.nan if splits.holes and code == -1.0 else code  # as the graph does before any split
        assert [bool(side(splits, i, read)) for i in range(5)] == [value <= threshold for threshold in thresholds]


def test_a_missing_feature_goes_where_the_source_sends_it() -> None:
    """An encoder may make unknown ones missing: that is not their value."""
    for missing_left in (True, False):
        block, column = categories((0.0, 1.0, math.nan, math.nan), coded=True, whole=True, unknown=True, missing=True)
        splits = pulled(block, [0.5], [missing_left], finite={0: column})
        assert [side(splits, 0, code) for code in (0.0, 1.0, -1.0, math.nan)] == [
            True,
            False,
            missing_left,
            missing_left,
        ]


def test_what_is_no_single_condition_is_not_pulled_back() -> None:
    """Several floats against all others: a set of floats with fractions has no condition of its own."""
    block, column = categories((0.0, 1.0, 0.0, 1.0, 0.0), coded=False, whole=False, unknown=True, missing=False)
    with pytest.raises(NotPulledBackError, match=r"a split sends .* of .* categories to one side"):
        pulled(block, [0.5], [True], finite={0: column}, nullable=False)
    block, column = categories((0.0, 1.0, 0.0, 0.0, 0.0), coded=False, whole=False, unknown=True, missing=False)
    splits = pulled(block, [0.5], [True], finite={0: column}, nullable=False)
    assert [side(splits, 0, code) for code in (1.0, 4.0, 4.5)] == [True, False, True]
