"""What the source answers, found by asking it: where its range ends in ways of its own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler

from edge_runtime.converters import Conversion, convert
from edge_runtime.converters.sources.sklearn.asking import Asked
from edge_runtime.errors import InputError, UnsupportedModelError

ROWS, BENIGN = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, :3]
TINY = 5e-324


def forest() -> Any:
    return RandomForestClassifier(5, max_depth=5, random_state=0)


def hist() -> Any:
    return HistGradientBoostingClassifier(max_iter=5, random_state=0)


def converted(*steps: Any, rows: Any = ROWS) -> tuple[Any, Conversion]:
    model = make_pipeline(*steps).fit(rows, BENIGN)
    return model, convert(model, data=rows)


def low(conversion: Conversion) -> float | None:
    return conversion.manifest.schema.columns[0].low


LOGARITHMS = [(np.log, TINY), (np.log10, TINY), (np.log1p, float(np.nextafter(-1.0, 0.0)))]


@pytest.mark.parametrize(("function", "first"), LOGARITHMS, ids=["log", "log10", "log1p"])
@pytest.mark.parametrize("between", ["passthrough", SimpleImputer(), StandardScaler()], ids=["", "imputed", "scaled"])
def test_a_range_begins_above_a_pole_that_the_source_refuses(function: Any, first: float, between: Any) -> None:
    """Smaller numbers are missing to a forest, and minus infinity is refused: no range has both, and it is said."""
    model, conversion = converted(FunctionTransformer(function), between, forest())
    assert low(conversion) == first
    assert sum(text.startswith("narrower: ") for text in conversion.report.statements) == 1
    device = conversion.model()
    for value in (first, 1e-300, 0.5, 12.0, np.nan):
        row = np.array([[value, 20.0, 100.0]])
        with np.errstate(all="ignore"):
            assert np.abs(device.predict(row)["probabilities"] - model.predict_proba(row)).max() < 1e-12
    below = float(np.nextafter(first, -np.inf))
    for value in (below, -2.0, -np.inf):
        with pytest.raises(InputError, match="column 'x0'"):
            device.predict(np.array([[value, 20.0, 100.0]]))


def test_a_pole_that_the_source_answers_stays_in_range() -> None:
    """HistGradientBoosting takes minus infinity, so everything is answered, smaller numbers as missing ones."""
    model, conversion = converted(FunctionTransformer(np.log), hist())
    assert low(conversion) == -np.inf
    assert not any(text.startswith("narrower") for text in conversion.report.statements)
    for value in (0.0, -0.0, TINY, -TINY, -3.0, -np.inf, np.inf, np.nan):
        row = np.array([[value, 20.0, 100.0]])
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = model.predict_proba(row)
        assert np.abs(conversion.model().predict(row)["probabilities"] - wanted).max() < 1e-12


def test_roots_of_negative_numbers_that_are_imputed_are_out_of_range() -> None:
    """They would be the mean, which lies above the root of zero: no order is left that one comparison could tell."""
    model, conversion = converted(FunctionTransformer(np.sqrt), SimpleImputer(), hist())
    assert low(conversion) == 0.0
    for value in (0.0, -0.0, TINY, 15.0, np.nan):
        row = np.array([[value, 20.0, 100.0]])
        assert np.abs(conversion.model().predict(row)["probabilities"] - model.predict_proba(row)).max() < 1e-12


def test_whole_numbers_begin_at_a_whole_number() -> None:
    """1 for a logarithm, 0 for that of one more."""
    rows = pd.DataFrame({"a": ROWS[:, 0].astype(int), "b": ROWS[:, 1]})
    for function, first in ((np.log, 1.0), (np.log1p, 0.0)):
        model, conversion = converted(FunctionTransformer(function), forest(), rows=rows)
        assert low(conversion) == first
        assert conversion.model().predict(rows)["label"].tolist() == model.predict(rows).tolist()


def test_data_below_the_range_is_refused_with_advice() -> None:
    """The source took these numbers for missing ones in training."""
    rows = ROWS - 10.0
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(FunctionTransformer(np.log), SimpleImputer(), forest()).fit(rows, BENIGN)
    with pytest.raises(
        UnsupportedModelError, match=r"'x0' has numbers below 5e-324, of which .* logarithm .*; clip them"
    ):
        convert(model, data=rows)


def test_a_step_in_the_middle_may_set_the_range() -> None:
    """A discretizer refuses what the scaler before it makes infinite, though its own bins are finite."""
    rows = ROWS / 1e9
    bins = KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")
    model, conversion = converted(StandardScaler(), bins, forest(), rows=rows)
    column = conversion.manifest.schema.columns[0]
    assert column.high is not None
    assert column.high < 1e308
    for value, answered in ((column.high, True), (float(np.nextafter(column.high, np.inf)), False)):
        row = np.array([[value, *rows[0, 1:]]])
        if answered:
            assert conversion.model().predict(row)["label"] == model.predict(row)
            continue
        with pytest.raises(InputError, match="expected a number between"):
            conversion.model().predict(row)
        with pytest.raises(ValueError, match="infinity"), np.errstate(all="ignore"):
            model.predict(row)


def test_columns_that_a_first_step_refuses_alike_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of questions does not grow with the columns, and what is found stays what the source says."""
    asked: list[int] = []
    given = Asked.call

    def counted(self: Asked, rows: Any) -> Any:
        asked.append(len(rows))
        return given(self, rows)

    monkeypatch.setattr(Asked, "call", counted)
    rows = np.random.default_rng(0).normal(size=(200, 40))
    model = make_pipeline(StandardScaler(), hist()).fit(rows, rows[:, 0] > 0)
    columns = convert(model, data=rows).manifest.schema.columns
    assert len(asked) < 20
    most = float(np.finfo(np.float64).max)
    assert {(column.low, column.high, column.nullable) for column in columns} == {(-most, most, True)}


def test_one_column_that_is_refused_does_not_decide_for_those_beside_it() -> None:
    """Only the first column has an imputer, and the model behind refuses a missing value."""
    steps = ColumnTransformer([("filled", SimpleImputer(), [0])], remainder="passthrough")
    _, conversion = converted(steps, LogisticRegression(max_iter=5000))
    assert [column.nullable for column in conversion.manifest.schema.columns] == [True, False, False]
