"""What a fitted scikit-learn model answers, by the names of the contract.

Belongs here: calling predict and predict_proba. Not here: preparing rows (tabular.py, other.py).
Imported as edge_runtime.converters.sources.sklearn.answers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

__all__ = ["classify", "classify_each", "detect", "quietly", "regress"]


@contextmanager
def quietly() -> Iterator[None]:
    """One thread, and silence: a source warns of unknown categories and overflows, which the converter tries on
    purpose."""
    with threadpool_limits(1), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def classify(model: Any, rows: Any) -> dict[str, NDArray[Any]]:
    return {
        "label": np.asarray(model.predict(rows)),
        "probabilities": np.asarray(model.predict_proba(rows), np.float64),
    }


def classify_each(model: Any, rows: Any) -> dict[str, NDArray[Any]]:
    """Of several targets."""
    shares = {f"probabilities_{i}": np.asarray(own, np.float64) for i, own in enumerate(model.predict_proba(rows))}
    return {"label": np.asarray(model.predict(rows)), **shares}


def detect(model: Any, rows: Any) -> dict[str, NDArray[Any]]:
    """Outliers."""
    return {
        "label": np.asarray(model.predict(rows)),
        "score": np.asarray(model.decision_function(rows), np.float64),
    }


def regress(model: Any, rows: Any) -> dict[str, NDArray[Any]]:
    return {"prediction": np.asarray(model.predict(rows), np.float64)}
