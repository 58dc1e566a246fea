"""Calibration maps against scikit-learn's calibrators; that one row has the bits of many is asked in test_ending.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from edge_runtime.calibration import calibration, calibration_of_many, isotonic

TWO, THREE = ((-2.0, 0.5),), ((-2.0, 0.5), (1.0, 0.0), (-0.25, -1.0))


def test_maps_compute_what_they_say() -> None:
    """One example of each, by hand."""
    assert calibration("sigmoid", ((1.0, -3.0),), 2, logits=True)([3.0]) == [0.5, 0.5]
    steps = (0.25, 0.0, 0.75, 1.0)
    assert calibration("isotonic", (steps,), 2, logits=False)([0.375, 0.625]) == [0.25, 0.75]
    assert calibration("isotonic", (steps,) * 3, 3, logits=False)([0.75, 0.5, 0.0]) == [1.0 / 1.5, 0.5 / 1.5, 0.0]
    assert calibration("temperature", ((2.0,),), 2, logits=True)([0.0]) == [0.5, 0.5]
    found = calibration("temperature", ((2.0,),), 2, logits=False)([0.25, 0.75])
    assert found == pytest.approx([0.1, 0.9])


def test_classes_that_all_have_none_share_alike() -> None:
    """As scikit-learn divides where every class's calibrated probability is 0."""
    none = ((0.0, 0.0),) * 4
    assert calibration("isotonic", none, 4, logits=False)([0.5, 0.0, 0.25, 0.25]) == [0.25] * 4
    assert calibration_of_many("isotonic", none, 4, logits=False)(np.zeros((2, 4))).tolist() == [[0.25] * 4] * 2


def test_a_probability_is_at_most_one() -> None:
    """Interpolating may come out a place above; the other class then has none."""
    over = (0.0, 0.0, 1.0, 1.0000000000000002)
    assert calibration("isotonic", (over,), 2, logits=True)([1.0]) == [0.0, 1.0]
    assert calibration_of_many("isotonic", (over,), 2, logits=True)(np.ones((1, 1))).tolist() == [[0.0, 1.0]]


@given(st.lists(st.tuples(st.floats(-10, 10), st.booleans()), min_size=2, max_size=40), st.lists(st.floats(-12, 12)))
def test_isotonic_maps_are_those_of_scikit_learn(pairs: list[tuple[float, bool]], asked: list[float]) -> None:
    """At knots, between them, and beyond both ends, where the map is level: bit for bit."""
    regression = IsotonicRegression(out_of_bounds="clip").fit(*map(np.array, zip(*pairs, strict=True)))
    x, y = regression.X_thresholds_.astype(float), regression.y_thresholds_.astype(float)
    own = isotonic(np.stack([x, y], axis=1).ravel().tolist())
    points = [*x.tolist(), *asked]
    assert [own(point) for point in points] == regression.predict(np.array(points)).tolist()
