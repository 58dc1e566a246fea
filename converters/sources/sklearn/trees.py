"""scikit-learn's own trees: DecisionTree, RandomForest, ExtraTrees, IsolationForest, both gradient boostings.

Belongs here: reading their nodes, leaves, base and link. Not here: lowering (converters/exact/trees.py).
Imported as edge_runtime.converters.sources.sklearn.trees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._iforest import _average_path_length
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from edge_runtime.ending import Ending
from edge_runtime.links import Link

from ...exact.ensemble import Ensemble, Tree
from ...exact.head import Head, classes_of
from .answers import classify, classify_each, detect, regress

__all__ = ["head"]

SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
FOREST = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)


def head(estimator: Any) -> Head | None:
    """The head of a tree model, or None for another estimator or a form that is not read."""
    if type(estimator) in SINGLE:
        return _forest(estimator, [estimator])
    if type(estimator) in FOREST:
        return _forest(estimator, estimator.estimators_)
    if type(estimator) in (GradientBoostingClassifier, GradientBoostingRegressor):
        return _gradient_boosting(estimator)
    if type(estimator) in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        return _hist_gradient_boosting(estimator)
    if type(estimator) is IsolationForest:
        return _isolation_forest(estimator)
    return None


def _tree(tree: Any, value: np.ndarray[Any, np.dtype[np.float64]], target: int = 0) -> Tree:
    return Tree(
        tree.feature.astype(np.int64), tree.threshold.astype(np.float64), tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64), tree.missing_go_to_left.astype(bool), value, target,
    )  # fmt: skip


def _forest(estimator: Any, members: list[Any]) -> Head | None:
    """The mean of the members; a binary classifier as one number, the second class less the first."""
    n = float(len(members))
    if not hasattr(estimator, "classes_"):
        values = [member.tree_.value[:, :, 0] for member in members]
        trees = tuple(_tree(member.tree_, value) for member, value in zip(members, values, strict=True))
        return Head(Ensemble(trees, np.zeros(values[0].shape[1])), Ending("identity", scale=n), np.float32, regress)
    if estimator.n_outputs_ > 1:
        return _forest_of_several(estimator, members)
    if len(estimator.classes_) < 2:
        return None
    classes, dtype = classes_of(estimator.classes_)
    pairs = []
    for member in members:
        shares = member.tree_.value[:, 0, :]
        pairs.append(_tree(member.tree_, shares[:, 1:] - shares[:, :1] if len(classes) == 2 else shares))
    ending = Ending("share", scale=n, classes=classes, class_dtype=dtype)
    return Head(Ensemble(tuple(pairs), np.zeros(pairs[0].value.shape[1])), ending, np.float32, classify)


def _forest_of_several(estimator: Any, members: list[Any]) -> Head:
    """Several targets: the leaves of each tree hold the shares of all, in one vector."""
    known = [classes_of(classes) for classes in estimator.classes_]
    trees = []
    for member in members:
        shares = member.tree_.value
        own = [
            shares[:, i, 1:2] - shares[:, i, :1] if len(classes) == 2 else shares[:, i, : len(classes)]
            for i, (classes, _) in enumerate(known)
        ]
        trees.append(_tree(member.tree_, np.concatenate(own, axis=1)))
    scale = float(len(members))
    parts = tuple(Link("share", 1 if len(classes) == 2 else len(classes), scale) for classes, _ in known)
    ending = Ending("each", class_dtype=known[0][1], parts=parts, targets=tuple(classes for classes, _ in known))
    return Head(Ensemble(tuple(trees), np.zeros(trees[0].value.shape[1])), ending, np.float32, classify_each)


def _isolation_forest(estimator: Any) -> Head | None:
    """How deep a row falls in all trees, its leaf's rows isolated further on average, against the expected depth."""
    expected = len(estimator.estimators_) * float(_average_path_length([estimator._max_samples])[0])
    if not expected > 0.0:
        return None  # trees of one row each
    trees = []
    for member, features, path, average in zip(
        estimator.estimators_, estimator.estimators_features_, estimator._decision_path_lengths,
        estimator._average_path_length_per_tree, strict=True,
    ):  # fmt: skip
        tree = _tree(member.tree_, (path + average - 1.0)[:, None])
        if estimator._max_features != estimator.n_features_in_:  # each tree has a choice of its own
            tree = replace(tree, feature=np.where(tree.inner, features[np.maximum(tree.feature, 0)], tree.feature))
        trees.append(tree)
    ending = Ending("anomaly", scale=expected, offset=float(estimator.offset_))
    return Head(Ensemble(tuple(trees), np.zeros(1)), ending, np.float32, detect)


def _gradient_boosting(estimator: Any) -> Head | None:
    if estimator.init is not None and estimator.init != "zero":
        return None  # another model underneath
    base = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))[0].astype(np.float64)
    trees = [
        _tree(member.tree_, member.tree_.value[:, :, 0] * estimator.learning_rate, target)
        for stage in estimator.estimators_
        for target, member in enumerate(stage)
    ]
    if not hasattr(estimator, "classes_"):
        return Head(Ensemble(tuple(trees), base), Ending("identity"), np.float32, regress)
    classes, dtype = classes_of(estimator.classes_)
    if len(classes) == 2:
        if estimator.loss == "exponential":  # expit(2 * raw): doubling leaves is exact
            trees = [replace(tree, value=tree.value * 2.0) for tree in trees]
            base = base * 2.0
        ending = Ending("logistic", classes=classes, class_dtype=dtype, tie=True)
    else:
        ending = Ending("softmax", classes=classes, class_dtype=dtype)
    return Head(Ensemble(tuple(trees), base), ending, np.float32, classify)


def _hist_gradient_boosting(estimator: Any) -> Head:
    categorical = estimator.is_categorical_ is not None and estimator.is_categorical_.any()
    known = estimator._bin_mapper.make_known_categories_bitsets() if categorical else None
    trees = []
    for stage in estimator._predictors:
        for target, predictor in enumerate(stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            trees.append(
                Tree(
                    nodes["feature_idx"].astype(np.int64),
                    nodes["num_threshold"].astype(np.float64),
                    np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    nodes["missing_go_to_left"].astype(bool),
                    nodes["value"].astype(np.float64)[:, None],
                    target,
                    {} if known is None else _category_sets(predictor, known),
                )
            )
    base = np.asarray(estimator._baseline_prediction, np.float64).ravel()
    prepares = estimator._preprocessor if categorical else None
    if not hasattr(estimator, "classes_"):
        kind = {"IdentityLink": "identity", "LogLink": "exp"}[type(estimator._loss.link).__name__]
        return Head(Ensemble(tuple(trees), base), Ending(kind), np.float64, regress, prepares)
    classes, dtype = classes_of(estimator.classes_)
    kind = "logistic" if len(classes) == 2 else "softmax"
    ending = Ending(kind, classes=classes, class_dtype=dtype)
    return Head(Ensemble(tuple(trees), base), ending, np.float64, classify, prepares)


def _category_sets(predictor: Any, known: tuple[Any, Any]) -> dict[int, np.ndarray[Any, np.dtype[np.float64]]]:
    """The codes that go left at each categorical node. One that training did not know goes where missing goes."""
    bitsets, place_of = known
    sets = {}
    for node in np.flatnonzero(predictor.nodes["is_categorical"]):
        record = predictor.nodes[node]
        left = _bits(predictor.raw_left_cat_bitsets[record["bitset_idx"]])
        if record["missing_go_to_left"]:
            left = left | ~_bits(bitsets[place_of[record["feature_idx"]]])
        sets[int(node)] = np.flatnonzero(left).astype(np.float64)
    return sets


def _bits(words: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """256 flags, the lowest bit of the first word first."""
    return np.unpackbits(np.ascontiguousarray(words, "<u4").view(np.uint8), bitorder="little").astype(bool)
