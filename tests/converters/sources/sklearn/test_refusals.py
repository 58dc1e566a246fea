"""What is not converted, and what the refusal says: what it is, where, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters import convert
from edge_runtime.errors import EdgeError, InputError, UnsupportedModelError

ROWS, KIND = load_iris(return_X_y=True)
FRAME = pd.DataFrame(ROWS, columns=["a", "b", "c", "d"])
WHEN = FRAME.assign(a=pd.date_range("2024-01-01", periods=150))


class Doubling(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of somebody's own."""

    def fit(self, rows: Any, target: Any = None) -> Doubling:
        self.n_features_in_ = rows.shape[1]
        return self

    def transform(self, rows: Any) -> Any:
        return rows * 2


class Always(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model of somebody's own."""

    def fit(self, rows: Any, target: Any) -> Always:
        self.classes_ = np.unique(target)
        return self

    def predict(self, rows: Any) -> Any:
        return np.zeros(len(rows), int)


class Duck:
    """A transformer that only quacks."""

    def fit(self, rows: Any, target: Any = None) -> Duck:
        return self

    def transform(self, rows: Any) -> Any:
        return rows


class Mine(StandardScaler):  # type: ignore[misc]
    """A transformer of scikit-learn that somebody has changed."""


def tree() -> Any:
    return DecisionTreeClassifier(max_depth=3, random_state=0)


def fit(model: Any, rows: Any = FRAME) -> Any:
    return model.fit(rows, KIND)


OWN = "is a transformer or model of your own; replace it by parts of scikit-learn, or compute its columns before"
MODELS: dict[str, tuple[Callable[[], Any], str]] = {
    "own transformer": (lambda: fit(make_pipeline(Doubling(), tree())), rf"Doubling {OWN}"),
    "own model": (lambda: fit(Always()), rf"Always {OWN}"),
    "own subclass": (lambda: fit(make_pipeline(Mine(), tree())), rf"Mine {OWN}"),
    "no estimator by birth": (lambda: make_pipeline(Duck(), fit(tree())), rf"Duck {OWN}"),
    "own transformer for some columns": (
        lambda: fit(make_pipeline(make_column_transformer((Doubling(), ["a"]), remainder="passthrough"), tree())),
        rf"Doubling {OWN}",
    ),
    "own transformer, well hidden": (
        lambda: fit(make_pipeline(FeatureUnion([("u", make_pipeline(StandardScaler(), Doubling()))]), tree())),
        rf"Doubling {OWN}",
    ),
    "lambda": (
        lambda: fit(make_pipeline(FunctionTransformer(lambda rows: rows), tree())),
        "FunctionTransformer calls <lambda>, which a graph cannot hold; compute that column before the pipeline",
    ),
    "own function": (
        lambda: fit(make_pipeline(FunctionTransformer(np.square), tree())),
        "FunctionTransformer calls square, which a graph cannot hold",
    ),
    "not fitted": (tree, "DecisionTreeClassifier is not fitted; call fit before convert"),
    "pipeline, not fitted": (lambda: make_pipeline(StandardScaler(), tree()), "DecisionTreeClassifier is not fitted"),
    "nothing that skl2onnx knows": (lambda: fit(KernelRidge()), r"KernelRidge .*skl2onnx .* cannot convert"),
    "boosting on another model": (
        lambda: fit(GradientBoostingClassifier(n_estimators=2, init=tree())),
        "GradientBoostingClassifier .*skl2onnx .* cannot convert .*; use a tree or linear model of scikit-learn",
    ),
    "two classes without probabilities": (
        lambda: SVC().fit(ROWS, KIND > 0), "SVC gives no probabilities; use one with predict_proba",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*:FutureWarning")  # of scikit-learn, for what quacks
@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_only_python_could_run_is_refused(name: str) -> None:
    """In one line: which part, why, and what to do instead."""
    make, says = MODELS[name]
    model = make()
    with pytest.raises(UnsupportedModelError, match=says) as caught:
        convert(model, data=ROWS if name.startswith("two") else FRAME)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TypeError)


PLAIN_DATES = WHEN.assign(a=WHEN["a"].dt.date)
ENCODED = make_column_transformer((OneHotEncoder(), ["a"]), remainder="passthrough")
DATES: dict[str, tuple[Callable[[], Any], pd.DataFrame]] = {
    "straight into a model": (lambda: fit(HistGradientBoostingClassifier(max_iter=2)), WHEN),
    "through an ordinal encoder": (lambda: fit(make_pipeline(OrdinalEncoder(), tree()), WHEN), WHEN),
    "through a one-hot encoder": (lambda: fit(make_pipeline(ENCODED, tree()), WHEN), WHEN),
    "as objects": (lambda: fit(make_pipeline(OrdinalEncoder(), tree()), PLAIN_DATES), PLAIN_DATES),
}


@pytest.mark.parametrize("name", DATES)
def test_dates_are_refused_with_advice(name: str) -> None:
    """Whatever is done with them in the pipeline: an app has no date that means the same everywhere."""
    make, data = DATES[name]
    with pytest.raises(
        UnsupportedModelError, match=r"column 'a' is of date.*derive numbers from it .*\(for dates: hour, weekday"
    ):
        convert(make(), data=data)


def test_dates_that_nobody_looks_at_do_not_matter() -> None:
    """They are no columns of the model: a frame may keep them."""
    model = fit(make_pipeline(make_column_transformer((StandardScaler(), ["b", "d"])), tree()), WHEN)
    device = convert(model, data=WHEN).model()
    assert [column.name for column in device.schema.columns] == ["b", "d"]
    assert device.predict(WHEN)["label"].tolist() == model.predict(WHEN).tolist()


DATA: dict[str, tuple[Any, type[EdgeError], str]] = {
    "columns missing": (
        FRAME[["a", "d"]],
        InputError,
        r"data lacks \['b', 'c'\] \(column 'b'\); expected the columns \['a', 'b', 'c', 'd'\]",
    ),
    "columns renamed": (FRAME.rename(columns={"c": "C"}), InputError, r"data lacks \['c'\]"),
    "an array too wide": (
        np.c_[ROWS, KIND],
        UnsupportedModelError,
        "data has 5 columns, the source was trained on 4; pass the rows without the target",
    ),
    "an array too narrow": (ROWS[:, :3], UnsupportedModelError, "data has 3 columns, the source was trained on 4"),
    "a column of several kinds": (
        FRAME.assign(b=["x", 1] * 75),
        UnsupportedModelError,
        "column 'b' holds values of several kinds",
    ),
    "text where numbers were": (
        FRAME.assign(b=["x"] * 150),
        UnsupportedModelError,
        "the source refuses a row of its own data .*; pass the columns that it was trained on",
    ),
    "no rows": (FRAME.iloc[:0], InputError, "data has no rows"),
    "two columns of one name": (pd.concat([FRAME, FRAME], axis=1), InputError, "two columns of one name"),
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_is_not_the_models_is_refused(name: str) -> None:
    """Naming the column, and what the model was trained on."""
    data, error, says = DATA[name]
    with pytest.raises(error, match=says) as caught:
        convert(fit(tree()), data=data)
    assert "\n" not in str(caught.value)


def test_an_array_for_a_model_of_an_array_must_be_as_wide() -> None:
    """There are no names to go by."""
    model = tree().fit(ROWS, KIND)
    for width in (3, 5):
        with pytest.raises(UnsupportedModelError, match=f"data has {width} columns, the source was trained on 4"):
            convert(model, data=np.zeros((2, width)))


def test_more_columns_than_the_model_has_are_left_out() -> None:
    """A frame goes by name: its target, or an id, may stay."""
    conversion = convert(fit(tree()), data=FRAME.assign(kind=KIND)[["kind", "d", "c", "b", "a"]])
    assert [column.name for column in conversion.manifest.schema.columns] == ["a", "b", "c", "d"]
