"""What each transformer of scikit-learn makes of the features before it.

Belongs here: one rule per transformer that works column by column. Not here: pipelines of them (preprocessing.py), what
they compute (they compute it themselves).
Imported as edge_runtime.converters.sources.sklearn.rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_selection import SelectKBest, SelectPercentile, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils import check_array

from ...exact.features import Feature

__all__ = ["RULES", "NotColumnwiseError", "function_steps", "is_missing"]

Rule = Callable[[Any, list[Feature], dict[int, list[Any]]], list[Feature]]
Steps = tuple[tuple[str, float], ...]

FUNCTIONS: dict[Any, Steps] = {
    **dict.fromkeys((np.log, np.log1p, np.log2, np.log10, np.sqrt), (("smooth", 0.0), ("gap", 0.0))),
    **dict.fromkeys(
        (np.cbrt, np.exp, np.exp2, np.expm1, np.arcsinh, np.arctan, np.tanh, np.deg2rad, np.rad2deg), (("smooth", 0.0),)
    ),
    **dict.fromkeys((np.floor, np.ceil, np.rint, np.trunc, np.sign, np.positive), (("step", 0.0),)),
    np.nan_to_num: (("fill", 0.0), ("step", 0.0)),
}
"""Increasing functions that a FunctionTransformer may call. "smooth" is one that a library computes, increasing but for
its rounding; behind a "gap" small numbers have become missing ones."""


class NotColumnwiseError(Exception):
    """The preprocessing is not, or not known to be, a function of one column per feature."""


def is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value


def _then(feature: Feature, *steps: tuple[str, float]) -> Feature:
    return replace(feature, steps=(*feature.steps, *steps))


def _impute(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    statistics = part.statistics_
    keep = [
        i for i, value in enumerate(statistics)
        if part.keep_empty_features or part.strategy == "constant" or not is_missing(value)
    ]  # fmt: skip
    if not is_missing(part.missing_values):
        raise NotColumnwiseError("a SimpleImputer replaces a value that is not a missing one")
    made = []
    for i in keep:
        feature = features[i]
        if feature.finite and isinstance(statistics[i], str):
            categories.setdefault(feature.column, [])
            made.append(feature)
        else:
            made.append(_then(feature, ("fill", float(statistics[i]))))
    if part.add_indicator and part.indicator_ is not None:
        for i in part.indicator_.features_:
            made.append(_then(features[i], ("missing", 0.0)))
    return made


def _steps(*names: str) -> Rule:
    """A rule for scalers: each name is "operation:attribute", skipped where the attribute is None."""

    def rule(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
        made = []
        for i, feature in enumerate(features):
            steps = []
            for name in names:
                operation, attribute = name.split(":")
                values = getattr(part, attribute, None)
                if values is not None and (attribute != "mean_" or part.with_mean):
                    steps.append((operation, float(values[i])))
            if isinstance(part, MinMaxScaler) and part.clip:
                steps += [("max", float(part.feature_range[0])), ("min", float(part.feature_range[1]))]
            made.append(_then(feature, *steps))
        return made

    return rule


def _one_hot(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    made = []
    for i, feature in enumerate(features):
        _note_categories(feature, part.categories_[i], categories)
        width = len(part.categories_[i])
        if part._infrequent_enabled and part._infrequent_indices[i] is not None:
            width -= len(part._infrequent_indices[i]) - 1
        if part.drop_idx_ is not None and part.drop_idx_[i] is not None:
            width -= 1
        made += [Feature(feature.column, True, encoded=True)] * width
    return made


def _ordinal(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    for i, feature in enumerate(features):
        _note_categories(feature, part.categories_[i], categories)
    return [Feature(feature.column, True, encoded=True) for feature in features]


def _note_categories(feature: Feature, seen: Any, categories: dict[int, list[Any]]) -> None:
    if feature.encoded:
        return  # its categories are those of the first encoder
    if any(operation != "fill" for operation, _ in feature.steps):
        raise NotColumnwiseError("an encoder stands behind arithmetic")
    known = categories.setdefault(feature.column, [])
    known += [value for value in seen.tolist() if not is_missing(value) and value not in set(known)]


def _function(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    steps = function_steps(part)
    if steps is None:
        raise NotColumnwiseError("a FunctionTransformer calls a function that is not known to be increasing")
    return [_then(feature, *steps) for feature in features]


def function_steps(part: Any) -> Steps | None:
    """What a FunctionTransformer does to a number; None for a function that is not known to be increasing."""
    function, options = part.func, part.kw_args or {}
    if isinstance(function, partial) and not function.args:
        options = {**function.keywords, **options}
        function = function.func
    if function is None or function is check_array:  # which is HistGradientBoosting's own
        return ()
    if function is np.clip:
        return _clip(options)
    found = next((steps for known, steps in FUNCTIONS.items() if known is function), None)
    return None if options else found


def _clip(options: dict[str, Any]) -> Steps | None:
    names = {"a_min": "max", "min": "max", "a_max": "min", "max": "min"}  # the larger of it and a_min, and so on
    given = {key: value for key, value in options.items() if value is not None}
    if not all(key in names and isinstance(value, Real) and value == value for key, value in given.items()):
        return None
    return tuple(sorted((names[key], float(value)) for key, value in given.items()))  # "max" comes first, as in numpy


def _increasing(name: str) -> Rule:
    """A rule for increasing functions without an operator of ours: "step" for one of exact comparisons, "smooth" for
    one that a library computes, increasing but for its rounding."""

    def rule(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
        return [_then(feature, (name, 0.0)) for feature in features]

    return rule


def _bins(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    made = [_then(feature, ("step", 0.0)) for feature in features]
    if part.encode == "ordinal":
        return made
    return [replace(feature, bins=int(bins)) for feature, bins in zip(made, part.n_bins_, strict=True)]


def _indicators(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    if not is_missing(part.missing_values):
        raise NotColumnwiseError("a MissingIndicator looks for a value that is not a missing one")
    return [_then(features[i], ("missing", 0.0)) for i in part.features_]


def _target(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    width = len(part.classes_) if part.target_type_ == "multiclass" else 1
    made = []
    for i, feature in enumerate(features):
        _note_categories(feature, part.categories_[i], categories)
        made += [Feature(feature.column, True, encoded=True)] * width
    return made


def _select(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    return [feature for feature, kept in zip(features, part.get_support(), strict=True) if kept]


def _quantiles(part: Any, features: list[Feature], categories: dict[int, list[Any]]) -> list[Feature]:
    if part.output_distribution != "uniform":
        raise NotColumnwiseError(
            "a QuantileTransformer to the normal distribution rounds neighbouring numbers out of order"
            ' (output_distribution="uniform" does not, and trees see no other difference)'
        )
    return _increasing("smooth")(part, features, categories)


RULES: dict[type, Rule] = {
    SimpleImputer: _impute,
    StandardScaler: _steps("sub:mean_", "div:scale_"),
    RobustScaler: _steps("sub:center_", "div:scale_"),
    MinMaxScaler: _steps("mul:scale_", "add:min_"),
    MaxAbsScaler: _steps("div:scale_"),
    Binarizer: _increasing("step"),
    PowerTransformer: _increasing("smooth"),
    QuantileTransformer: _quantiles,
    KBinsDiscretizer: _bins,
    MissingIndicator: _indicators,
    TargetEncoder: _target,
    OneHotEncoder: _one_hot,
    OrdinalEncoder: _ordinal,
    FunctionTransformer: _function,
    VarianceThreshold: _select,
    SelectKBest: _select,
    SelectPercentile: _select,
}
