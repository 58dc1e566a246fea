"""LightGBM: its estimators, its Booster, and text files of either.

Leaves are summed in float64, so the graph does the same. A missing value goes by the split's own rule: as zero, with
the zeros, or to a default side. A category that no set names goes right. How a number is read depends on what it comes
in: in anything but sparse rows, one within 1e-35 of zero is zero; an array of integers is taken as float32.

LightGBM's parser can be led beyond its buffers by a text file. So a file is checked first (lightgbm_text.py), then read
by LightGBM in a process of its own (child.py). What comes back is LightGBM's writing of what it read; that is checked
as well, and only this text is parsed in this process.

Belongs here: objectives, links, rows as LightGBM takes them, files. Not here: the text form (lightgbm_text.py),
lowering (sklearn/tabular.py).
Imported as edge_runtime.converters.sources.lightgbm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from edge_runtime.ending import Ending
from edge_runtime.errors import UnsupportedModelError, extra

with extra("lightgbm", used_by="reading a model of LightGBM"):
    import lightgbm

from ..data import columns_missing
from ..exact.ensemble import Ensemble, Tree
from ..exact.features import ZERO, NotPulledBackError
from ..exact.head import Head, classes_of
from ..source import Request, Source
from . import child
from .lightgbm_text import Text, read_text
from .sklearn.answers import classify, regress
from .sklearn.asking import arriving
from .sklearn.pipeline import estimator_of
from .sklearn.preprocessing import NotColumnwiseError
from .sklearn.tabular import read_tabular

__all__ = ["SUFFIXES", "accepts", "head", "open", "read"]

FRAMEWORK = f"lightgbm {lightgbm.__version__}"
SUFFIXES = (".txt",)
ESTIMATORS = (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, lightgbm.LGBMRanker)
CUSTOM = ""
PLAIN = (
    "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", CUSTOM
)  # fmt: skip
LOGARITHMIC = ("poisson", "gamma", "tweedie")
TWO_CLASSES = ("binary", "cross_entropy")
CLASSES = {"multiclass": "softmax", "multiclassova": "one_vs_rest"}
AS_FLOAT32 = "checked: integers are read as float32, as LightGBM takes an array of them, also beside a missing one"
REWRITING = """
import lightgbm
out.write(lightgbm.Booster(model_file=path).model_to_string(num_iteration=-1).encode())
"""


def accepts(model: Any) -> bool:
    return isinstance(model, lightgbm.Booster) or type(model) in ESTIMATORS


def read(model: Any, request: Request) -> Source:
    """Raises UnsupportedModelError for what is not lowered: nothing else would convert it."""
    if not isinstance(model, lightgbm.Booster):
        model = estimator_of(model)
    request = replace(request, table=replace(request.data, frame=_columns(model, request)))
    alone = _OneThread(model, None if request.data.positional or not _names(model) else request.data.frame)
    made = _head(model, arriving(alone, None, request), alone.frame)
    try:
        return read_tabular(made.stands_in, None, made, request, FRAMEWORK)
    except (NotColumnwiseError, NotPulledBackError) as reason:
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be lowered: {reason}", advice="pass the columns that it was trained on"
        ) from reason


def head(estimator: Any) -> Callable[[Any], Head] | None:
    """A function that makes the head of the rows that reach one of LightGBM's own estimators; None for another.

    Either raises UnsupportedModelError for one that is not lowered: nothing else would convert it.
    """
    if type(estimator) not in ESTIMATORS:
        return None
    return lambda rows: _head(estimator, rows, rows if isinstance(rows, pd.DataFrame) else None)


def open(path: str) -> Any:
    """The Booster in a text file. Raises UnsupportedModelError for any file that LightGBM and this package do not both
    read as a whole model."""
    try:
        _check(path, Path(path).read_text("utf-8"))
        text = child.run(REWRITING, path).decode()
        _check(path, text)
        return lightgbm.Booster(model_str=text)
    except (UnicodeDecodeError, child.ChildError, lightgbm.basic.LightGBMError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UnsupportedModelError(
            f"{path}: LightGBM does not read it ({reason})", advice="pass a file that Booster.save_model wrote"
        ) from error


def _check(path: str, text: str) -> None:
    try:
        read_text(text)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{path}: {error.what}", advice=error.advice) from error


def _booster(model: Any) -> lightgbm.Booster:
    return model if isinstance(model, lightgbm.Booster) else model.booster_


def _names(model: Any) -> list[str]:
    """The features' names; none if it was trained on an array."""
    names: list[str] = _booster(model).feature_name()
    return [] if names == [f"Column_{i}" for i in range(len(names))] else names


def _columns(model: Any, request: Request) -> pd.DataFrame:
    """The data with the columns that the model was trained on, in its order; LightGBM writes names without spaces."""
    frame, wanted = request.data.frame, _names(model)
    if request.data.positional or not wanted:
        return frame
    written = frame.set_axis([name.replace(" ", "_") for name in frame.columns], axis=1)
    columns_missing(wanted, written)
    return frame.iloc[:, [written.columns.get_loc(name) for name in wanted]]


class _OneThread(BaseEstimator):  # type: ignore[misc]
    """A Booster or a fitted estimator as an estimator on one thread. With ``frame`` it takes rows with those columns,
    otherwise arrays, of ``integers`` if that is said. The ``objective`` says what a Booster's numbers mean."""

    def __init__(self, model: Any, frame: pd.DataFrame | None, objective: str = CUSTOM, integers: bool = False) -> None:
        self.model, self.frame, self.objective, self.integers = model, frame, objective, integers
        self.n_features_in_ = _booster(model).num_feature()
        if frame is not None:
            self.feature_names_in_ = list(frame.columns)

    def fit(self, rows: Any, target: Any) -> _OneThread:
        return self

    def predict(self, rows: Any) -> NDArray[Any]:
        made = np.asarray(self.model.predict(self._taken(rows), num_threads=1))
        if not isinstance(self.model, lightgbm.Booster):
            return made
        if self.objective in TWO_CLASSES:
            return (made > 0.5).astype(np.int64)
        return made.argmax(axis=1) if self.objective in CLASSES else made

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        if not isinstance(self.model, lightgbm.Booster):
            return np.asarray(self.model.predict_proba(self._taken(rows), num_threads=1))
        made = np.asarray(self.model.predict(self._taken(rows), num_threads=1))
        return np.column_stack([1.0 - made, made]) if made.ndim == 1 else made

    def _taken(self, rows: Any) -> Any:
        """LightGBM takes integers as float32. With a missing one among them they come as float64; so that no row
        depends on its neighbours, they are float32 then as well."""
        return rows.astype(np.float32) if self.integers else rows


def _head(model: Any, rows: Any, frame: pd.DataFrame | None) -> Head:
    """``rows`` are as they reach the model, which takes such a ``frame`` or arrays."""
    booster, estimator = _booster(model), None if isinstance(model, lightgbm.Booster) else model
    if estimator is not None and estimator.get_params().get("pred_early_stop"):
        raise UnsupportedModelError(
            "pred_early_stop leaves trees out while predicting", advice="set_params(pred_early_stop=False)"
        )
    text = read_text(booster.model_to_string())  # as many iterations as it predicts with
    ending, factor = _ending(text, booster, estimator)
    dense = getattr(rows, "format", None) in (None, "csc")  # scipy's rows say how they are stored
    integers = isinstance(rows, np.ndarray) and rows.dtype.kind in "iub"
    ensemble = Ensemble(
        tuple(_read_as(tree, factor, dense) for tree in text.trees), np.zeros(text.targets), text.zero_missing,
        text.truncated,
    )  # fmt: skip
    return Head(
        ensemble, ending, np.float32 if integers else np.float64, classify if ending.classes else regress,
        categories=_categories(booster, text, rows), libraries=("lightgbm",),
        stands_in=_OneThread(model, frame, text.objective, integers), statements=(AS_FLOAT32,) if integers else (),
    )  # fmt: skip


def _read_as(tree: Tree, factor: float, dense: bool) -> Tree:
    """Leaves times ``factor``. In ``dense`` rows whatever lies within LightGBM's zero goes where zero goes."""
    threshold = tree.threshold
    if dense:
        threshold = np.where((threshold >= -ZERO) & (threshold < 0.0), np.nextafter(-ZERO, -1.0), threshold)
        threshold = np.where((threshold >= 0.0) & (threshold < ZERO), ZERO, threshold)
    return replace(tree, threshold=threshold, value=tree.value * factor)


def _ending(text: Text, booster: lightgbm.Booster, estimator: Any) -> tuple[Ending, float]:
    """The link, and what leaves are multiplied by before it. ``estimator`` is None for a Booster alone, which answers
    with numbers of classes."""
    n = float(text.iterations) if text.averaged else 1.0
    classifier = isinstance(estimator, lightgbm.LGBMClassifier)
    several = 2 if text.objective in TWO_CLASSES else text.targets
    classes = np.arange(several) if estimator is None else estimator.classes_ if classifier else np.zeros(0)
    if text.objective in (*TWO_CLASSES, *CLASSES) and len(classes) == several:
        known, dtype = classes_of(classes)
        kind = CLASSES.get(text.objective, "logistic")
        return Ending(kind, classes=known, class_dtype=dtype), (
            1.0 if kind == "softmax" else _sigmoid(text, booster)
        ) / n
    if not classifier and text.targets == 1:
        if text.objective in TWO_CLASSES:
            return Ending("expit"), _sigmoid(text, booster) / n
        if text.objective in LOGARITHMIC:
            return Ending("exp"), 1.0 / n
        if "sqrt" in text.options:  # trained on the root of the target
            return Ending("signed_square"), 1.0 / n
    if not classifier and text.objective in PLAIN:
        return Ending("identity", scale=n), 1.0
    name = "a Booster" if estimator is None else type(estimator).__name__
    name += f" of {len(classes)} classes" if classifier else ""
    readable = (*TWO_CLASSES, *CLASSES) if classifier else (*filter(None, PLAIN), *LOGARITHMIC)
    raise UnsupportedModelError(
        f"the objective {text.objective or 'of your own'} in {name} is not read",
        advice=f"train with {', '.join(readable)}",
    )


def _sigmoid(text: Text, booster: lightgbm.Booster) -> float:
    """The logistic's factor. The text has six digits of it, and so has every Booster that was made of text, which
    `train` does at its end; one that is still training has the number that it was given. So it is asked."""
    candidates = [float(text.options.get("sigmoid", "1")), float(booster.params.get("sigmoid", 1.0))]
    rows = np.random.default_rng(0).normal(size=(8, len(text.names)))
    raw, answer = (np.asarray(booster.predict(rows, raw_score=raw, num_threads=1)) for raw in (True, False))
    raw = raw / text.iterations if text.averaged else raw  # only the answer is of the average
    with np.errstate(over="ignore"):
        return min(candidates, key=lambda factor: float(np.abs(1.0 / (1.0 + np.exp(-factor * raw)) - answer).max()))


def _categories(booster: lightgbm.Booster, text: Text, rows: Any) -> dict[int, NDArray[Any]]:
    """The categories that training saw, by feature. The model does not say which of a frame's columns they are for:
    those of categories in ``rows``, or those that the trees take for categories, or those of categories and text (files
    hold text). Raises UnsupportedModelError where all of these are too many or too few."""
    known = booster.pandas_categorical or []
    if not known or not isinstance(rows, pd.DataFrame):
        return {}
    kept = [isinstance(dtype, pd.CategoricalDtype) for dtype in rows.dtypes]
    text_too = [a or pd.api.types.infer_dtype(rows.iloc[:, i]) == "string" for i, a in enumerate(kept)]
    for chosen in (kept, [kind == "category" for kind in text.kinds], text_too):
        if sum(chosen) == len(known):
            return {
                int(i): pd.Index(values).to_numpy() for i, values in zip(np.flatnonzero(chosen), known, strict=True)
            }
    raise UnsupportedModelError(
        f"training had {len(known)} columns of categories, the data has {sum(kept)}",
        advice="pass the columns that it was trained on, with their dtypes",
    )
