"""Pipelines as a preprocessing part and a final estimator, and answering with one thread.

Belongs here: taking a fitted model apart, what may be in it. Not here: what preprocessing does (preprocessing.py).
Imported as edge_runtime.converters.sources.sklearn.pipeline.
"""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from edge_runtime.errors import UnsupportedModelError

from .rules import INCREASING

__all__ = ["estimator_of", "first_of", "names_of", "on_one_thread", "refuse_own_code", "split", "with_final"]


def split(model: Any) -> tuple[Any, Any]:
    """(preprocessing or None, final estimator). Nested pipelines at the end are opened."""
    steps: list[tuple[str, Any]] = []
    while isinstance(model, Pipeline):
        steps += model.steps[:-1]
        model = model.steps[-1][1]
    steps = [(f"step{i}", step) for i, (_, step) in enumerate(steps) if step not in ("passthrough", None)]
    return (Pipeline(steps) if steps else None), model


def with_final(model: Any, final: Any) -> Any:
    """A copy of ``model`` whose final estimator is ``final``."""
    if not isinstance(model, Pipeline):
        return final
    made = copy.copy(model)
    name, last = model.steps[-1]
    made.steps = [*model.steps[:-1], (name, with_final(last, final))]
    return made


def first_of(model: Any) -> Any:
    """What rows enter first: the first step that does anything."""
    while isinstance(model, Pipeline):
        model = next((step for _, step in model.steps if step not in ("passthrough", None)), None)
    return model


def names_of(model: Any) -> list[str] | None:
    """The column names that a model was trained with; None if it was trained on an array, or has not kept them."""
    names = getattr(first_of(model), "feature_names_in_", None)
    return None if names is None else list(names)


def estimator_of(model: Any) -> Any:
    """The final estimator of a fitted model. Raises UnsupportedModelError if it is not fitted or holds own code."""
    refuse_own_code(model)
    final = split(model)[1]
    try:
        check_is_fitted(final)
    except NotFittedError:
        raise UnsupportedModelError(f"{type(final).__name__} is not fitted", advice="call fit before convert") from None
    return final


def refuse_own_code(model: Any) -> None:
    """Raise UnsupportedModelError where a part is defined outside the libraries that can be read: nothing but Python
    could run it on the device."""
    for part in _parts(model):
        module = type(part).__module__
        if isinstance(part, FunctionTransformer) and part.func is not None and part.func not in INCREASING:
            function = getattr(part.func, "__name__", repr(part.func))
            raise UnsupportedModelError(
                f"FunctionTransformer calls {function}, which a graph cannot hold",
                advice="compute that column before the pipeline, or use a transformer of scikit-learn",
            )
        if module.split(".")[0] not in ("sklearn", "lightgbm", "xgboost", "catboost"):
            raise UnsupportedModelError(
                f"{module}.{type(part).__qualname__} is a transformer or model of your own",
                advice="replace it by parts of scikit-learn, or compute its columns before the pipeline",
            )


def _parts(model: Any) -> list[Any]:
    if not isinstance(model, BaseEstimator):
        return []
    found = [model]
    for name, value in vars(model).items():
        if name.startswith("_"):  # scikit-learn's own, such as what HistGradientBoosting does to categories
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        for item in values:
            inner = item[1] if isinstance(item, tuple) and len(item) > 1 else item
            if isinstance(inner, BaseEstimator):
                found += _parts(inner)
            elif hasattr(inner, "fit") and not isinstance(inner, type):  # no estimator by birth, but used as one
                found.append(inner)
    return found


def on_one_thread(model: Any) -> Any:
    """A shallow copy whose estimators run on one thread; the caller's object stays as it is."""
    model = copy.copy(model)
    if isinstance(model, Pipeline):
        model.steps = [(name, on_one_thread(step)) for name, step in model.steps]
    elif getattr(model, "n_jobs", None) is not None:
        model.n_jobs = 1
    return model
