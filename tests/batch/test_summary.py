"""What is counted of the outputs, in memory that does not grow with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_runtime.batch.summary import PERCENTILES, Histogram, Tally


@given(arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_percentiles_are_within_a_thousandth(values: np.ndarray) -> None:
    """Of values of any size and sign, in blocks of any size."""
    held = Histogram()
    for part in np.array_split(values, 3):
        held.add(part)
    found = held.figures()
    assert (found.count, found.not_finite) == (len(values), 0)
    assert (found.least, found.largest) == (values.min(), values.max())
    exact = np.sort(values)[[(p * len(values) + 99) // 100 - 1 for p in PERCENTILES]]
    np.testing.assert_allclose([found.percentiles[p] for p in PERCENTILES], exact, rtol=1e-3, atol=1e-300)


def test_what_is_not_finite_is_counted_apart() -> None:
    """It is in no figure."""
    held = Histogram()
    held.add(np.array([np.nan, np.inf, -np.inf, 2.0], np.float32))
    found = held.figures()
    assert (found.count, found.not_finite, found.least, found.largest, found.mean) == (4, 3, 2.0, 2.0, 2.0)
    empty = Histogram().figures()
    assert (empty.count, empty.mean, empty.percentiles) == (0, None, {})


def test_labels_decisions_and_scores_are_told_apart() -> None:
    """Labels of any dtype are counted, the most frequent first; a vector's values each have figures."""
    tally = Tally(("no", "yes"))
    for _ in range(2):
        tally.add(
            {
                "label": np.array(["yes", "no", "no"], object),
                "sure": np.array([True, True, False]),
                "probabilities": np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]),
                "features": np.zeros((3, 400)),
            }
        )
    tally.add({"label": np.array([], object)})
    assert tally.rows == 6
    assert tally.label_counts() == {"label": {"no": 4, "yes": 2}, "sure": {"true": 4, "false": 2}}
    assert list(tally.label_counts()["label"]) == ["no", "yes"]
    assert list(tally.score_figures()) == ["probabilities.no", "probabilities.yes"]
    assert tally.score_figures()["probabilities.yes"].mean == pytest.approx(1.25 / 3)


def test_float_labels_are_labels() -> None:
    """0.0 and 1.0 of a classifier are no scores."""
    tally = Tally(None)
    tally.add({"label": np.array([0.0, 1.0, 1.0])})
    assert tally.label_counts() == {"label": {"1.0": 2, "0.0": 1}}
