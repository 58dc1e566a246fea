"""Bounds on outputs: no pair of raw sums that are near enough gives numbers that are farther apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.converters.exact.bounds import Sums, bound_of
from edge_runtime.ending import Ending
from edge_runtime.golden import differences
from edge_runtime.links import Link

UNIT = 2.0**-53
TWO: dict[str, Any] = {"classes": (0, 1), "class_dtype": "int64"}
THREE: dict[str, Any] = {"classes": (0, 1, 2), "class_dtype": "int64"}
RAMP = (-1.0, 0.0, -0.5, 0.25, 0.5, 0.75, 3.0, 1.0)
ENDINGS = {
    "identity": (Ending("identity", 3.0), 2),
    "exp": (Ending("exp"), 1),
    "expit": (Ending("expit"), 1),
    "signed square": (Ending("signed_square"), 1),
    "anomaly": (Ending("anomaly", 10.0, offset=-0.5), 1),
    "logistic": (Ending("logistic", **TWO), 1),
    "softmax": (Ending("softmax", **THREE), 3),
    "one against the rest": (Ending("one_vs_rest", **THREE), 3),
    "share": (Ending("share", 4.0, **TWO), 1),
    "several targets": (
        Ending("each", class_dtype="int64", parts=(Link("share", 1, 4.0), Link("softmax", 3)), targets=((0, 1), (0, 1, 2))),
        4,
    ),
    "mean": (Ending("mean", 4.0, **TWO, parts=(Link("share", 1, 4.0, 3.0), Link("logistic", 1))), 2),
    "mean of predictions": (
        Ending("mean", 2.0, parts=(Link("exp", 1), Link("identity", 1), Link("signed_square", 1))), 3,
    ),
    "sigmoid": (Ending("mean", **TWO, parts=(Link("sigmoid", 1, maps=((-3.0, 1.0),), parts=(Link("identity", 1),)),)), 1),
    "sigmoid of three": (
        Ending("mean", **THREE, parts=(Link("sigmoid", 3, maps=((-3.0, 1.0), (2.0, 0.0), (-9.0, 4.0)), parts=(Link("softmax", 3),)),)),
        3,
    ),
    "isotonic": (Ending("mean", **TWO, parts=(Link("isotonic", 1, maps=(RAMP,), parts=(Link("identity", 1),)),)), 1),
    "temperature": (
        Ending("mean", **THREE, parts=(Link("temperature", 3, maps=((2.5,),), parts=(Link("identity", 3),)),)), 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_outputs_are_as_near_as_the_bound_says(name: str, data: st.DataObject) -> None:
    """For sums anywhere in reach, and their neighbours as far off as they may be."""
    ending, width = ENDINGS[name]
    apart = data.draw(st.sampled_from([0.0, 1e-13, 1e-10]))
    bound = bound_of(ending, Sums(apart, (4.0,) * width, UNIT))
    low = 0.0 if name == "anomaly" else -4.0
    raw = np.array(data.draw(st.lists(st.floats(low, 4.0), min_size=width, max_size=width)))
    moved = raw + apart * np.array(data.draw(st.lists(st.floats(-1.0, 1.0), min_size=width, max_size=width)))
    finish = ending.finish_array(width)
    first, second = finish(raw[None, :]), finish(moved[None, :])
    for output in (output for output in first if output != "label"):
        assert differences(first[output], second[output]).max() <= bound < 1e-6


def test_a_map_that_is_too_steep_has_no_bound() -> None:
    """A step between two scores that are hardly apart; a sum of maps that may all be 0; the logarithm of nothing."""
    step = (0.0, 0.0, 1e-13, 1.0)
    scores = (Link("identity", 1),)
    for parts, classes, width in (
        (Link("isotonic", 1, maps=(step,), parts=scores), TWO, 1),
        (Link("isotonic", 3, maps=(RAMP,) * 3, parts=(Link("softmax", 3),)), THREE, 3),
        (Link("sigmoid", 3, maps=((-900.0, 0.0),) * 3, parts=(Link("softmax", 3),)), THREE, 3),
        (Link("temperature", 3, maps=((1.0,),), parts=(Link("softmax", 3),)), THREE, 3),
    ):
        ending = Ending("mean", **classes, parts=(parts,))
        assert bound_of(ending, Sums(1e-13, (4.0,) * width, UNIT)) == math.inf


def test_a_prediction_beside_a_power_has_no_bound_where_it_may_be_large() -> None:
    """The power's error is relative, and what is added may take away all but the error."""
    ending = Ending("mean", 2.0, parts=(Link("exp", 1), Link("identity", 1)))
    assert bound_of(ending, Sums(1e-13, (4.0, 1e3), UNIT)) < 1e-10
    assert bound_of(ending, Sums(1e-13, (40.0, 1e3), UNIT)) == math.inf
