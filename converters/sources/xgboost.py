"""XGBoost: its estimators, its Booster, and the files that either writes.

A value goes left where it is less than the threshold, compared as float32: that is, where it is at most the float32
before the threshold. A category goes right where it is in the split's list. XGBoost adds float32 leaves in float32, one
tree after the other; the graph adds them exactly.

A file is read by XGBoost in a process of its own (child.py). What comes back is XGBoost's own writing of what it read,
as JSON; that is checked before XGBoost reads it in this process.

Belongs here: reading trees, base scores, links and files. Not here: lowering (sklearn/tabular.py).
Imported as edge_runtime.converters.sources.xgboost.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.ending import Ending
from edge_runtime.errors import UnsupportedModelError, extra

with extra("xgboost", used_by="reading a model of XGBoost"):
    import xgboost

from ..exact.ensemble import Ensemble, Tree
from ..exact.features import NotPulledBackError
from ..exact.head import Head
from ..source import Request, Source
from . import child
from .sklearn.answers import classify, regress
from .sklearn.pipeline import estimator_of
from .sklearn.preprocessing import NotColumnwiseError
from .sklearn.tabular import read_tabular

__all__ = ["SUFFIXES", "accepts", "head", "open", "read"]

FRAMEWORK = f"xgboost {xgboost.__version__}"
SUFFIXES = (".json", ".ubj")
LIBRARIES = ("xgboost", "xgboost-cpu")  # two distributions of one module
ESTIMATORS = (
    xgboost.XGBClassifier, xgboost.XGBRegressor, xgboost.XGBRFClassifier, xgboost.XGBRFRegressor, xgboost.XGBRanker
)  # fmt: skip
WRITTEN_BY = {"classifier": xgboost.XGBClassifier, "regressor": xgboost.XGBRegressor, "ranker": xgboost.XGBRanker}
TWO_CLASSES = ("binary:logistic", "reg:logistic")
CLASSES = ("multi:softprob", "multi:softmax")
LINKS = {
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "exp"),
    **dict.fromkeys(
        (
            "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror",
            "reg:quantileerror", "binary:logitraw", "rank:ndcg", "rank:map", "rank:pairwise",
        ),
        "identity",
    ),
}  # fmt: skip
# The dtypes of arrays by their number in XGBoost's format, include/xgboost/json.h.
NUMBERS = dict(enumerate(("f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), start=7))
MOST_FEATURES = 2**24
REWRITING = """
import xgboost
booster = xgboost.Booster({"nthread": 1}, model_file=path)
booster.predict(xgboost.DMatrix([[0.0]], nthread=1), validate_features=False)
out.write(booster.save_raw("json"))
"""
Answer = Callable[[Any, Any], dict[str, NDArray[Any]]]


def accepts(model: Any) -> bool:
    return isinstance(model, xgboost.Booster) or type(model) in ESTIMATORS


def read(model: Any, request: Request) -> Source:
    """Raises UnsupportedModelError for what is not lowered: nothing else would convert it."""
    if isinstance(model, xgboost.Booster):
        model = _Native(model)
        made: Head | None = _head(model.trees(), None, None)
    else:
        made = head(estimator_of(model))
    assert made is not None
    try:
        return read_tabular(model, None, made, request, FRAMEWORK)
    except (NotColumnwiseError, NotPulledBackError) as reason:
        raise UnsupportedModelError(
            f"the model cannot be lowered: {reason}", advice="give categories as a frame's columns of that dtype"
        ) from reason


def head(estimator: Any) -> Head | None:
    """The head of one of XGBoost's own estimators, or None for another. Raises UnsupportedModelError for one that is
    not lowered: nothing else would convert it."""
    if type(estimator) not in ESTIMATORS:
        return None
    if not (isinstance(estimator.missing, float) and math.isnan(estimator.missing)):
        raise UnsupportedModelError(
            f"missing={estimator.missing!r} stands for a missing value", advice="train on NaN for missing values"
        )
    classes = estimator.n_classes_ if isinstance(estimator, xgboost.XGBClassifier) else 0
    booster = estimator.get_booster()
    best = booster.attr("best_iteration")  # the estimator stops there, a Booster does not
    if best is not None and not best.isdecimal():
        raise UnsupportedModelError(f"the best iteration is {best!r}", advice="train it anew")
    return _head(json.loads(booster.save_raw("json")), None if best is None else int(best) + 1, classes)


def open(path: str) -> Any:
    """The Booster in a file, or the estimator where one wrote it. Raises UnsupportedModelError for another file, and
    for a model that XGBoost would not answer with."""
    try:
        written = child.run(REWRITING, path)
    except child.ChildError as error:
        raise _not_read(path, re.sub(r"^\[[\d:]+\] \S+: ", "", str(error))) from error
    try:
        model = json.loads(written)
    except ValueError as error:  # a name or an attribute of other bytes, which XGBoost hands on as they are
        raise _not_read(path, "a text in it is not UTF-8") from error
    try:
        _check(model)
    except UnsupportedModelError as error:
        raise _not_read(path, error.what) from error
    made = _writer(model)
    made.load_model(bytearray(written))
    return made


def _writer(model: dict[str, Any]) -> Any:
    """An empty estimator of the kind that wrote ``model``, or a Booster."""
    try:
        return WRITTEN_BY[json.loads(model["learner"]["attributes"]["scikit_learn"])["_estimator_type"]]()
    except (KeyError, TypeError, ValueError):  # no estimator wrote it
        return xgboost.Booster()


def _not_read(path: str, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{path}: not a model of XGBoost ({reason})", advice="pass a file that save_model wrote"
    )


def _check(model: dict[str, Any]) -> None:
    """Raise UnsupportedModelError where a number in ``model`` would lead XGBoost beyond its buffers."""
    learner = model["learner"]
    size = {name: int(value) for name, value in learner["learner_model_param"].items() if name != "base_score"}
    if not 0 < size["num_feature"] <= MOST_FEATURES:
        raise UnsupportedModelError(f"it has {size['num_feature']:,} features", advice="train on fewer")
    part = learner["gradient_booster"]
    inner = part.get("gbtree", part).get("model", {})
    targets = max(size["num_class"], size["num_target"], 1)
    for tree, target in zip(inner.get("trees", []), inner.get("tree_info", []), strict=True):
        left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
        features = np.array(tree["split_indices"])[left >= 0]
        categories = np.array(tree["categories"])
        fits = 0 <= target < targets and ((features >= 0) & (features < size["num_feature"])).all()
        # A leaf has -1 for its children; one that is a vector, in place of the right child, the vector's number.
        most = len(tree.get("leaf_weights", ())) // max(int(tree["tree_param"]["size_leaf_vector"]), 1)
        ends = right[left < 0]
        fits &= (left >= -1).all() and (ends >= -1).all() and (ends < most).all()
        if not fits or not ((categories >= 0) & (categories < 2**24)).all():
            raise UnsupportedModelError(f"tree {tree['id']} asks for what there is not", advice="save the model anew")
        _reached(left, right)


class _Native:
    """A Booster with the interface of an estimator, on one thread; the given one stays as it is."""

    def __init__(self, booster: xgboost.Booster) -> None:
        self.booster = booster.copy()
        self.booster.set_param({"nthread": 1})
        self.n_features_in_ = self.booster.num_features()
        if self.booster.feature_names is not None:
            self.feature_names_in_ = self.booster.feature_names
        self.objective = self.trees()["learner"]["objective"]["name"]

    def trees(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.booster.save_raw("json"))
        return made

    def predict(self, rows: Any) -> NDArray[Any]:
        made = self._asked(rows)
        if self.objective == TWO_CLASSES[0]:
            return (made > 0.5).astype(np.int64)
        if self.objective == "multi:softmax":
            return made.astype(np.int64)
        return made.argmax(axis=1) if self.objective in CLASSES else made

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        if self.objective == "multi:softmax":
            raw = self._asked(rows, output_margin=True).astype(np.float64)
            powers = np.exp(raw - raw.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        made = self._asked(rows)
        return np.column_stack([1.0 - made, made]) if made.ndim == 1 else made

    def _asked(self, rows: Any, **options: Any) -> NDArray[np.float32]:
        matrix = xgboost.DMatrix(rows, nthread=1, enable_categorical=True, feature_types=self._types(rows))
        made: NDArray[np.float32] = self.booster.predict(matrix, **options)
        return made

    def _types(self, rows: Any) -> Any:
        """A frame's dtypes say which columns are categories; of an array, the Booster does."""
        return self.booster.feature_types if isinstance(rows, np.ndarray) else None


def _head(model: dict[str, Any], rounds: int | None, classes: int | None) -> Head:
    """``rounds`` are those that count (None = all); ``classes`` is 0 for a regressor, None where the objective says."""
    part = model["learner"]["gradient_booster"]
    if part["name"] not in ("gbtree", "dart"):
        raise UnsupportedModelError(f"the booster is {part['name']}, no trees", advice="train with gbtree or dart")
    inner = part["gbtree"]["model"] if part["name"] == "dart" else part["model"]
    starts = inner["iteration_indptr"]
    if rounds is not None and not 0 < rounds < len(starts):
        raise UnsupportedModelError(f"the best iteration, {rounds - 1}, is none of the model's", advice="train it anew")
    count = starts[-1 if rounds is None else rounds]
    weights = np.array(part.get("weight_drop", [1.0] * count), np.float32)
    targets = inner["tree_info"]
    if count == 0:
        raise UnsupportedModelError("the model has no trees", advice="train it for one round at least")
    trees = tuple(_tree(inner["trees"][i], int(targets[i]), weights[i]) for i in range(count))
    categories = _categories(inner)
    base = _base(model, part, inner)
    ending, answer = _ending(model["learner"]["objective"]["name"], classes, len(base))
    # An estimator adds the base to each leaf of a dart and subtracts it again.
    roundings = 2.0 * max(1.0, float(weights.max())) if part["name"] == "dart" else 1.0
    return Head(
        Ensemble(trees, base), ending, np.float32, answer, sums=np.float32, roundings=roundings, categories=categories,
        closed=True, libraries=LIBRARIES, sparse=True,
    )  # fmt: skip


def _ending(objective: str, classes: int | None, targets: int) -> tuple[Ending, Answer]:
    if (
        objective in TWO_CLASSES
        and targets == 1
        and (classes == 2 or (classes is None and objective != "reg:logistic"))
    ):
        return Ending("logistic", classes=(0, 1), class_dtype="int64"), classify
    if objective in TWO_CLASSES and targets == 1 and not classes:
        return Ending("expit"), regress
    # With two classes, an estimator of softprob answers with a matrix instead of labels.
    if objective in CLASSES and (classes is None or (classes == targets and (classes > 2 or objective == CLASSES[1]))):
        return Ending("softmax", classes=tuple(range(targets)), class_dtype="int64"), classify
    if objective in LINKS and not classes and (LINKS[objective] == "identity" or targets == 1):
        return Ending(LINKS[objective]), regress
    kind = "a Booster" if classes is None else f"a classifier of {classes} classes" if classes else "a regressor"
    known = [*TWO_CLASSES[:1], *CLASSES, *(() if classes else LINKS)]
    raise UnsupportedModelError(
        f"the objective {objective} with {targets} raw sums in {kind} is not read",
        advice=f"train with one of {', '.join(known)}",
    )


def _base(model: dict[str, Any], part: dict[str, Any], inner: dict[str, Any]) -> NDArray[np.float64]:
    """The margin of a model whose leaves are all 0, asked of XGBoost itself: base scores through the link's inverse, in
    XGBoost's own arithmetic. What is left of ``model`` is its first round, without leaves."""
    kept = inner["iteration_indptr"][1]  # without any tree, the link would not be applied
    trees = inner["trees"][:kept]
    inner.update(trees=trees, tree_info=inner["tree_info"][:kept], iteration_indptr=[0, kept])
    inner["gbtree_model_param"]["num_trees"] = str(kept)
    if "weight_drop" in part:
        part["weight_drop"] = [1.0] * kept
    for tree in trees:
        for name in {"split_conditions", "base_weights", "leaf_weights"} & set(tree):
            tree[name] = [0.0] * len(tree[name])
    bare = xgboost.Booster({"nthread": 1}, model_file=bytearray(json.dumps(model).encode()))
    row = xgboost.DMatrix(np.zeros((1, 1)), nthread=1)
    margin = bare.predict(row, output_margin=True, validate_features=False)
    return np.asarray(margin, np.float64).ravel()


def _categories(inner: dict[str, Any]) -> dict[int, NDArray[Any]]:
    """The categories that training saw, by feature; none of a model that was trained on codes.

    Up to 3.3, XGBoost cuts other text than ASCII in the wrong places. What it kept is no name then, and the frame's own
    categories have to do, unless two became one: XGBoost itself mixes these up. Raises UnsupportedModelError for them.
    """
    made: dict[int, NDArray[Any]] = {}
    for i, known in enumerate(inner.get("cats", {}).get("enc", [])):
        values = known["values"]
        if "offsets" not in known:
            made[i] = np.array(values, NUMBERS[known["type"]])
            continue
        text = np.array(values, np.int8).tobytes()
        names = [text[start:end] for start, end in pairwise(known["offsets"])]
        if len(set(names)) < len(names):
            raise UnsupportedModelError(
                f"XGBoost takes two categories of feature {i} for one, since some are not ASCII",
                advice="train on ASCII names, or on the codes of an OrdinalEncoder",
            )
        if names and text.isascii():
            made[i] = np.array([name.decode("ascii") for name in names], object)
    return made


def _tree(tree: dict[str, Any], target: int, weight: np.float32) -> Tree:
    """Nodes that can be reached, root first: pruning leaves others behind."""
    left = np.array(tree["left_children"], np.int64)
    right = np.array(tree["right_children"], np.int64)
    feature = np.array(tree["split_indices"], np.int64)
    # Every decimal is that of one float32, the nearest; so is the double between.
    condition = np.array(tree["split_conditions"], np.float64).astype(np.float32)
    missing_left = np.array(tree["default_left"], bool)
    value = _leaf_values(tree, left, right, condition) * weight  # in float32, as XGBoost does
    with np.errstate(over="ignore"):
        threshold = np.nextafter(condition, np.float32(-np.inf)).astype(np.float64)
    threshold[condition == -np.inf] = np.nan  # nothing is less
    sets = {node: values for node, values in _sets(tree).items() if left[node] >= 0}
    for node in sets:  # those in the list go right; here they go left
        left[node], right[node] = right[node], left[node]
        missing_left[node] = not missing_left[node]
    kept = _reached(left, right)
    place = np.full(len(left), -1)
    place[kept] = np.arange(len(kept))
    inner = left[kept] >= 0
    if not np.isfinite(value[kept][~inner]).all():
        raise UnsupportedModelError("a leaf is no finite number", advice="train with regularisation")
    return Tree(
        feature[kept], threshold[kept], np.where(inner, place[left[kept]], -1), np.where(inner, place[right[kept]], -1),
        missing_left[kept], value[kept].astype(np.float64), target,
        {int(place[node]): values for node, values in sets.items() if place[node] >= 0},
    )  # fmt: skip


def _leaf_values(
    tree: dict[str, Any], left: NDArray[np.int64], right: NDArray[np.int64], condition: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[nodes, targets]; a leaf has its value in place of a condition, or a vector elsewhere."""
    width = int(tree["tree_param"]["size_leaf_vector"])
    if width <= 1:
        return condition[:, None]
    name = "leaf_weights" if "leaf_weights" in tree else "base_weights"  # before 3.2, one vector a node
    vectors = np.array(tree[name], np.float64).astype(np.float32).reshape(-1, width)
    if name == "base_weights":
        return vectors
    return vectors[np.where(left < 0, right, 0)]  # a leaf has the number of its vector in place of a right child


def _sets(tree: dict[str, Any]) -> dict[int, NDArray[np.float64]]:
    starts, sizes = tree["categories_segments"], tree["categories_sizes"]
    return {
        node: np.array(tree["categories"][start : start + size], np.float64)
        for node, start, size in zip(tree["categories_nodes"], starts, sizes, strict=True)
    }


def _reached(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """The nodes below the root, level by level. Raises UnsupportedModelError where that is no tree."""
    levels = [np.zeros(1, np.int64)]
    while len(levels[-1]):
        inner = levels[-1][left[levels[-1]] >= 0]
        levels.append(np.stack([left[inner], right[inner]], axis=1).ravel())
        below = levels[-1]
        if sum(map(len, levels)) > len(left) or (len(below) and not 0 < below.min() <= below.max() < len(left)):
            raise UnsupportedModelError("a tree's nodes do not form a tree", advice="train or save the model anew")
    return np.concatenate(levels)
