"""Settled endings: a row at a threshold or a knot gets the source's own answer, whatever its sums lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from edge_runtime.converters.exact.bounds import Sums, bound_of
from edge_runtime.converters.exact.settling import settled
from edge_runtime.ending import Ending
from edge_runtime.links import Link

UNIT = 2.0**-53
TWO: dict[str, Any] = {"classes": (0, 1), "class_dtype": "int64"}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-4, 4), st.booleans()), min_size=2, max_size=40, unique_by=lambda pair: pair[0]),
    st.sampled_from([0.0, 1e-15, 1e-13, 1e-10]),
    st.floats(-1.0, 1.0),
)
def test_scores_at_the_knots_have_the_bits_of_the_source(
    pairs: list[tuple[float, bool]], apart: float, moved: float
) -> None:
    """A row that the map was fitted on, with sums as far off as they may be: one half stays one half. Elsewhere the
    bound holds."""
    scores = np.array([score for score, _ in pairs])
    regression = IsotonicRegression(out_of_bounds="clip").fit(scores, np.array([positive for _, positive in pairs]))
    x, y = regression.X_thresholds_.astype(float), regression.y_thresholds_.astype(float)
    knots = tuple(np.stack([x, y], axis=1).ravel().tolist())
    sums = Sums(apart, (4.0,), UNIT)
    ending = Ending("mean", **TWO, parts=(Link("isotonic", 1, maps=(knots,), parts=(Link("identity", 1),)),))
    made = settled(ending, sums)
    assert Ending.from_json(made.to_json()) == made
    finish = made.finish_array(1)
    wide = np.diff(x, prepend=-np.inf, append=np.inf) > 16 * (apart + UNIT)
    kept = x[wide[:-1] & wide[1:]]
    assume(len(kept))  # scikit-learn answers no empty table
    found = finish((kept + apart * moved)[:, None])["probabilities"][:, 1]
    assert found.tolist() == regression.predict(kept).tolist()
    tried = np.linspace(-5.0, 5.0, 200)
    gap = np.abs(finish((tried + apart * moved)[:, None])["probabilities"][:, 1] - regression.predict(tried)).max()
    assert gap <= bound_of(ending, sums)


def test_maps_in_parts_of_parts_are_settled_and_others_left() -> None:
    """Wherever they stand; what has no knots stays as it is."""
    isotonic = Link("isotonic", 1, maps=((0.0, 0.0, 1.0, 1.0),), parts=(Link("share", 1, 4.0),))
    sigmoid = Link("sigmoid", 1, maps=((-1.0, 0.0),), parts=(Link("identity", 1),))
    ending = Ending("mean", 2.0, **TWO, parts=(Link("mean", 2, 2.0, parts=(sigmoid, isotonic)), sigmoid))
    made = settled(ending, Sums(1e-13, (1.0,) * 3, UNIT))
    assert made.parts[1] == sigmoid
    assert made.parts[0].parts[0] == sigmoid
    first, low, last, high = made.parts[0].parts[1].maps[0]
    assert 0.0 < first < 1e-12 < 1.0 - 1e-12 < last < 1.0
    assert (low, high) == (0.0, 1.0)


def test_no_row_at_the_threshold_of_outliers_is_one() -> None:
    """Its score is 0 in the source, and as near to 0 here as the bound says."""
    ending = Ending("anomaly", 10.0, offset=-0.5)
    sums = Sums(1e-11, (40.0,), UNIT)
    finish = settled(ending, sums).finish_array(1)
    raw = np.linspace(10.0 - 1e-11, 10.0 + 1e-11, 1001)
    outputs = finish(raw[:, None])
    assert (outputs["label"] == 1).all()
    assert np.abs(outputs["score"]).max() <= bound_of(ending, sums)
    assert finish(np.array([[10.0 - 1e-9]]))["label"].tolist() == [-1]
