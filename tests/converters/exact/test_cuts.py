"""Sorting rows before large ensembles: nothing changes but speed, and small ones are left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor

from edge_runtime.bundle import Bundle
from edge_runtime.converters import convert
from edge_runtime.errors import BundleError
from edge_runtime.model import Model, load
from edge_runtime.row_order import Cuts

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(6000, 6))
ROWS[RANDOM.random(ROWS.shape) < 0.02] = np.nan
TARGET = np.nan_to_num(ROWS[:, 0] * ROWS[:, 1] + np.sin(ROWS[:, 2]))


def pair(model: Any, tmp_path: Any) -> tuple[Model, Model]:
    """The converted model, and the same without an order."""
    conversion = convert(model, data=ROWS)
    sorted_path, plain_path = tmp_path / "sorted.edge", tmp_path / "plain.edge"
    conversion.save(sorted_path)
    manifest = conversion.manifest
    assert manifest.variants[0].order
    plain = replace(manifest, variants=(replace(manifest.variants[0], order=()),))
    Bundle.write(str(plain_path), plain, conversion.contents)
    return load(sorted_path), load(plain_path)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0),
        RandomForestRegressor(20, max_depth=9, random_state=0),
    ],
    ids=["boosting", "forest"],
)
def test_sorted_rows_are_answered_with_the_same_bits(model: Any, tmp_path: Any) -> None:
    """In their own order, whether enough of them to be sorted or not."""
    target = TARGET if isinstance(model, RandomForestRegressor) else TARGET > 0.0
    ours, plain = pair(model.fit(ROWS, target), tmp_path)
    for rows in (6000, 1024, 1023, 1):
        answers, wanted = ours.predict(ROWS[:rows]), plain.predict(ROWS[:rows])
        assert all(np.array_equal(answers[name], wanted[name]) for name in wanted)


def test_a_small_ensemble_has_no_order() -> None:
    """Sorting would cost as much as it saves."""
    small = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(ROWS, TARGET > 0.0)
    assert convert(small, data=ROWS).manifest.variants[0].order == ()


def test_an_order_by_a_column_that_is_not_there_is_refused(tmp_path: Any) -> None:
    """Before any row is asked."""
    small = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(ROWS, TARGET > 0.0)
    conversion = convert(small, data=ROWS)
    variant = replace(conversion.manifest.variants[0], order=(Cuts(6, (0.0,)),))
    path = str(tmp_path / "wrong.edge")
    Bundle.write(path, replace(conversion.manifest, variants=(variant,)), conversion.contents)
    with pytest.raises(BundleError, match="orders rows by a column"):
        load(path)
