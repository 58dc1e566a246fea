"""scikit-learn's linear models: those whose answer is features @ coef_ + intercept_, with a link that is declared.

Belongs here: reading weights and links. Not here: the graph (converters/exact/linear.py).
Imported as edge_runtime.converters.sources.sklearn.linear.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import linear_model as lm

from edge_runtime.ending import Ending

from ...exact.head import Head, Linear, classes_of
from .answers import classify, regress

__all__ = ["head"]

REGRESSORS = (
    lm.LinearRegression, lm.Ridge, lm.RidgeCV, lm.Lasso, lm.LassoCV, lm.LassoLars, lm.LassoLarsCV, lm.ElasticNet,
    lm.ElasticNetCV, lm.Lars, lm.LarsCV, lm.BayesianRidge, lm.ARDRegression, lm.HuberRegressor, lm.TheilSenRegressor,
    lm.SGDRegressor, lm.QuantileRegressor, lm.OrthogonalMatchingPursuit, lm.MultiTaskLasso, lm.MultiTaskElasticNet,
)  # fmt: skip
LOG_LINK = (lm.PoissonRegressor, lm.GammaRegressor)


def head(estimator: Any) -> Head | None:
    """The head of a linear model, or None for another estimator or link."""
    if type(estimator) in REGRESSORS + LOG_LINK:
        weights = np.atleast_2d(np.asarray(estimator.coef_, np.float64)).T
        bias = np.broadcast_to(np.asarray(estimator.intercept_, np.float64), weights.shape[1:]).copy()
        kind = "exp" if type(estimator) in LOG_LINK else "identity"
        return Head(Linear(weights, bias), Ending(kind), np.float64, regress)
    if type(estimator) in (lm.LogisticRegression, lm.LogisticRegressionCV):
        classes, dtype = classes_of(estimator.classes_)
        weights = np.asarray(estimator.coef_, np.float64).T
        bias = np.broadcast_to(np.asarray(estimator.intercept_, np.float64), weights.shape[1:]).copy()
        kind = "logistic" if weights.shape[1] == 1 else "softmax"
        if weights.shape[1] not in (1, len(classes)):
            return None
        ending = Ending(kind, classes=classes, class_dtype=dtype)
        return Head(Linear(weights, bias), ending, np.float64, classify)
    return None
