"""Pipelines as a preprocessing part and a final estimator, and answering with one thread.

Belongs here: taking a fitted model apart, what may be in it. Not here: what preprocessing does (preprocessing.py).
Imported as edge_runtime.converters.sources.sklearn.pipeline.
"""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from edge_runtime.errors import UnsupportedModelError

from .rules import function_steps

__all__ = [
    "behind",
    "estimator_of",
    "first_of",
    "names_of",
    "on_one_thread",
    "opened",
    "refuse_own_code",
    "split",
    "with_final",
]


def opened(model: Any) -> Any:
    """``model`` without what only passes rows on while predicting: searches for parameters, frozen estimators, a target
    that is not transformed. Raises UnsupportedModelError for a search that kept no model."""
    if isinstance(model, Pipeline):
        made = copy.copy(model)
        made.steps = [(name, opened(step)) for name, step in model.steps]
        return made
    inner = _inner(model)
    return model if inner is model else opened(inner)


def _inner(model: Any) -> Any:
    """The estimator that answers for ``model``: itself, or the one that it wraps."""
    if type(model).__module__.startswith("sklearn.model_selection._search"):  # some of these are experimental
        if not hasattr(model, "best_estimator_"):
            raise UnsupportedModelError(
                f"{type(model).__name__} holds no fitted model", advice="fit it with refit=True before convert"
            )
        return model.best_estimator_
    if type(model) is FrozenEstimator:
        return model.estimator
    if type(model) is TransformedTargetRegressor and hasattr(model, "regressor_"):
        unchanged = type(model.transformer_) is FunctionTransformer and model.transformer_.inverse_func is None
        if unchanged and model._training_dim == 1:  # a matrix of one target is answered with one
            return model.regressor_
    return model


def split(model: Any) -> tuple[Any, Any]:
    """(preprocessing or None, final estimator). Nested pipelines at the end are opened."""
    steps: list[tuple[str, Any]] = []
    while isinstance(model, Pipeline):
        steps += model.steps[:-1]
        model = model.steps[-1][1]
    steps = [(f"step{i}", step) for i, (_, step) in enumerate(steps) if step not in ("passthrough", None)]
    return (Pipeline(steps) if steps else None), model


def behind(first: Any, second: Any) -> Any:
    """One transformer that does what both do, one after the other; None does nothing."""
    if first is None or second is None:
        return second if first is None else first
    return Pipeline([(f"step{i}", step) for i, step in enumerate([*steps_of(first), *steps_of(second)])])


def steps_of(transformer: Any) -> list[Any]:
    return [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]


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
        if isinstance(part, FunctionTransformer) and function_steps(part) is None:
            function = getattr(part.func, "__name__", repr(part.func))
            raise UnsupportedModelError(
                f"FunctionTransformer calls {function}, which a graph cannot hold",
                advice="compute that column before the pipeline, or use a transformer of scikit-learn or np.clip",
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
        return model
    if isinstance(model, FrozenEstimator):
        model.estimator = on_one_thread(model.estimator)
        return model
    if isinstance(model, (VotingClassifier, VotingRegressor)):
        model.estimators_ = [on_one_thread(member) for member in model.estimators_]
    if isinstance(model, CalibratedClassifierCV):
        model.calibrated_classifiers_ = [copy.copy(pair) for pair in model.calibrated_classifiers_]
        for pair in model.calibrated_classifiers_:
            pair.estimator = on_one_thread(pair.estimator)
    if getattr(model, "n_jobs", None) is not None:
        model.n_jobs = 1
    return model
