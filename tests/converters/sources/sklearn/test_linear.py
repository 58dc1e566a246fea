"""Linear models of scikit-learn: one Gemm, and the source's answers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn import linear_model as lm
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning

from edge_runtime.converters import Conversion, convert
from edge_runtime.converters.sources.sklearn import linear

ROWS, PROGRESS = load_diabetes(return_X_y=True)
ROWS = ROWS[:, :3]
SLOW: dict[Any, dict[str, Any]] = {
    **{kind: {"cv": 3} for kind in (lm.LassoCV, lm.ElasticNetCV, lm.LassoLarsCV, lm.LarsCV)},
    lm.TheilSenRegressor: {"max_subpopulation": 200, "random_state": 0},
}
TWO = (lm.MultiTaskLasso, lm.MultiTaskElasticNet)


def fitted(kind: Any, target: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(**SLOW.get(kind, {})).fit(ROWS, target)


def operators(conversion: Conversion) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(conversion.contents["graph.onnx"]).graph.node]


@pytest.mark.parametrize("kind", linear.REGRESSORS + linear.LOG_LINK, ids=lambda kind: str(kind.__name__))
def test_every_regressor_that_is_listed_is_one_gemm(kind: Any) -> None:
    """And answers as its source does."""
    target = np.stack([PROGRESS, -PROGRESS], axis=1) if kind in TWO else PROGRESS
    model = fitted(kind, target)
    conversion = convert(model, data=ROWS)
    assert operators(conversion) == ["Gemm"]
    wanted = model.predict(ROWS)
    assert np.abs(conversion.model().predict(ROWS)["prediction"] - wanted).max() <= 1e-11 * np.abs(wanted).max()


@pytest.mark.parametrize(
    "make",
    [
        lambda: lm.LogisticRegression(max_iter=2000),
        lambda: lm.LogisticRegression(max_iter=2000, fit_intercept=False),
        lambda: lm.LogisticRegression(max_iter=2000, class_weight="balanced", C=0.1),
        lambda: lm.LogisticRegressionCV(
            Cs=2, cv=2, max_iter=3000, scoring="accuracy", l1_ratios=(0.0,), use_legacy_attributes=False
        ),
    ],
    ids=["plain", "through zero", "balanced", "cross-validated"],
)
@pytest.mark.parametrize("load", [load_iris, load_breast_cancer], ids=["three classes", "two classes"])
def test_logistic_regression_is_one_gemm_whatever_its_classes(make: Callable[[], Any], load: Any) -> None:
    """Two classes are one raw sum, three are three; labels and probabilities are the source's."""
    rows, kind = load(return_X_y=True)
    rows = rows[:, :3]
    model = make().fit(rows, kind)
    conversion = convert(model, data=rows)
    assert operators(conversion) == ["Gemm"]
    found = conversion.model().predict(rows)
    assert found["label"].tolist() == model.predict(rows).tolist()
    assert np.abs(found["probabilities"] - model.predict_proba(rows)).max() <= 1e-12
    assert conversion.manifest.ending.kind == ("softmax" if load is load_iris else "logistic")


@pytest.mark.parametrize(
    "estimator", [lm.SGDClassifier(), lm.RidgeClassifier(), lm.TweedieRegressor(), lm.Perceptron()]
)
def test_other_linear_models_have_no_head(estimator: Any) -> None:
    """Their answer is no link of ours."""
    assert linear.head(estimator) is None
