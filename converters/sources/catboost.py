"""CatBoost: its classifier, regressor and ranker, the plain model, and .cbm files.

A number goes right where, as float32, it is greater than a border; a category, where its hash is the split's. A model
keeps only hashes of its categories, so the rows given to `convert` must name them; it is CatBoost that hashes these.

Belongs here: reading trees, categories, links and files. Not here: lowering (sklearn/tabular.py).
Imported as edge_runtime.converters.sources.catboost.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OrdinalEncoder

from edge_runtime.ending import Ending
from edge_runtime.errors import UnsupportedModelError, extra

with extra("catboost", used_by="reading a model of CatBoost"):
    import catboost

from ..ensemble import Ensemble, Tree
from ..features import NotPulledBackError
from ..head import Head, classes_of
from ..source import Request, Source
from .sklearn.answers import classify, regress
from .sklearn.asking import arriving
from .sklearn.rules import NotColumnwiseError, is_missing
from .sklearn.tabular import read_tabular

__all__ = ["SUFFIXES", "accepts", "head", "open", "read"]

FRAMEWORK = f"CatBoost {catboost.__version__}"
SUFFIXES = (".cbm",)
KINDS = (catboost.CatBoostClassifier, catboost.CatBoostRegressor, catboost.CatBoostRanker, catboost.CatBoost)
CLASSES = {"Logloss": "logistic", "CrossEntropy": "logistic", "MultiClass": "softmax"}
NOT_READ = ("MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy", "RMSEWithUncertainty")
EXPONENT = ("Poisson", "Tweedie")
HASHES = "exact: an unknown category is none of the known; CatBoost takes one in 2^32 for each of them"
LONGEST_TRY = 300  # seconds
TRY = """
import sys, catboost
model = catboost.CatBoost().load_model(sys.argv[1])
model.save_model(sys.argv[2], format="json")
text = set(model.get_cat_feature_indices())
model.predict([["" if i in text else 0.5 for i in range(len(model.feature_names_))]], thread_count=1)
"""
Floats = NDArray[np.float64]
Json = dict[str, Any]


def accepts(model: Any) -> bool:
    return isinstance(model, catboost.CatBoost)


def read(model: Any, request: Request) -> Source:
    """Raises UnsupportedModelError for what is not lowered: nothing else would convert it."""
    found = head(model)
    if found is None:
        raise UnsupportedModelError(
            f"{type(model).__module__}.{type(model).__qualname__} is a class of your own",
            advice=f"pass one of {', '.join(kind.__name__ for kind in KINDS)}",
        )
    alone = _OneThread(model, "RawFormulaVal")
    request = replace(request, data=request.data.named(getattr(alone, "feature_names_in_", None)))
    made = found(arriving(alone, None, request)) if callable(found) else found
    try:
        return read_tabular(made.stands_in, made.prepares, made, request, FRAMEWORK)
    except (NotColumnwiseError, NotPulledBackError) as reason:
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be lowered: {reason}", advice="pass the columns that it was trained on"
        ) from reason


def head(estimator: Any) -> Head | Callable[[Any], Head] | None:
    """The head of a CatBoost model, or None for another; where it has categories, a function that makes it of the rows
    that reach the model. A plain CatBoost answers as the classifier or regressor of its loss would.

    Raises UnsupportedModelError for one that is not lowered: nothing else would convert it.
    """
    if type(estimator) not in KINDS:
        return None
    if not estimator.is_fitted():
        raise UnsupportedModelError(f"{type(estimator).__name__} is not fitted", advice="call fit before convert")
    for kind, columns in (
        ("text", estimator.get_text_feature_indices()),
        ("embedding", estimator.get_embedding_feature_indices()),
    ):
        if columns:
            raise UnsupportedModelError(
                f"column {estimator.feature_names_[columns[0]]!r} is a {kind} feature",
                advice="leave it away, or derive numbers from it before the model",
            )
    if not estimator.get_cat_feature_indices():
        return _head(estimator, _Trees(_exported(estimator, None)), None)

    def with_rows(rows: Any) -> Head:
        categories = _categories(estimator, rows)
        return _head(estimator, _Trees(_exported(estimator, _pool(estimator, categories)), categories), rows)

    return with_rows


def open(path: str) -> Any:
    """The model in a file. It is tried in a process of its own first, since a damaged file can end the process that
    reads it.

    Raises UnsupportedModelError for another file.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder, "model.json")
            command = [sys.executable, "-c", TRY, path, str(written)]
            tried = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LONGEST_TRY)
            if tried.returncode:
                lines = tried.stderr.strip().splitlines() or ["it ends CatBoost itself"]
                raise ValueError(lines[-1].removeprefix("_catboost.CatBoostError: "))
            trees = _Trees(json.loads(written.read_bytes()))
            trees.ensemble()
            trees.loss()
        return catboost.CatBoost().load_model(path)
    except (catboost.CatBoostError, subprocess.TimeoutExpired, LookupError, ValueError, TypeError) as error:
        reason = "its parts contradict one another" if isinstance(error, LookupError | TypeError) else str(error)
        raise UnsupportedModelError(
            f"{path}: not a whole model of CatBoost ({reason.partition(chr(10))[0]})",
            advice="pass a .cbm file that save_model wrote",
        ) from error


class _OneThread(BaseEstimator):  # type: ignore[misc]
    """A fitted model on one thread; ``answer`` is what CatBoost calls its prediction. Refusals are ValueErrors, as they
    are everywhere else."""

    def __init__(self, model: Any, answer: str) -> None:
        self.model, self.answer = model, answer
        names = list(model.feature_names_)
        self.n_features_in_ = len(names)
        if names != [str(i) for i in range(len(names))]:  # otherwise it was trained on an array
            self.feature_names_in_ = names

    def fit(self, rows: Any, target: Any) -> _OneThread:
        return self

    def predict(self, rows: Any) -> NDArray[Any]:
        made = self._asked(rows, self.answer)
        return made.ravel() if self.answer == "Class" else made

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        return self._asked(rows, "Probability")

    def _asked(self, rows: Any, answer: str) -> NDArray[Any]:
        try:
            # The plain predict: those of the subclasses differ in what they give out by default.
            return np.asarray(catboost.CatBoost.predict(self.model, rows, prediction_type=answer, thread_count=1))
        except catboost.CatBoostError as error:
            raise ValueError(str(error)) from error


def _head(estimator: Any, trees: _Trees, rows: Any) -> Head:
    ensemble = trees.ensemble()
    ending, predicts = _ending(estimator, trees, ensemble.targets)
    return Head(
        ensemble, ending, np.float32, regress if ending.classes is None else classify, prepares=trees.coder(rows),
        stands_in=_OneThread(estimator, predicts), libraries=("catboost",),
        statements=(HASHES,) if trees.asked else (),
    )  # fmt: skip


def _ending(estimator: Any, trees: _Trees, targets: int) -> tuple[Ending, str]:
    """The ending, and what CatBoost calls the prediction. Raises UnsupportedModelError."""
    name, loss = type(estimator).__name__, trees.loss()
    ranker = isinstance(estimator, catboost.CatBoostRanker)
    classifier = isinstance(estimator, catboost.CatBoostClassifier)
    if loss in NOT_READ or (classifier and loss not in CLASSES):
        raise UnsupportedModelError(
            f"the loss {loss} in {name} is not read",
            advice=f"train with {', '.join(CLASSES)} or a loss that predicts one value per target",
        )
    if ranker or loss not in CLASSES:
        exponent = loss in EXPONENT and not ranker
        return (Ending("exp"), "Exponent") if exponent else (Ending("identity"), "RawFormulaVal")
    threshold = float(trees.model["model_info"].get("binclass_probability_threshold", 0.5))
    if threshold != 0.5:
        raise UnsupportedModelError(
            f"{name} takes the second class from a probability of {threshold}",
            advice="call set_probability_threshold(None), and give convert a decision with that threshold",
        )
    classes, dtype = classes_of(np.asarray(estimator.classes_))
    if targets != (1 if CLASSES[loss] == "logistic" else len(classes)):
        raise UnsupportedModelError(
            f"{name} has {targets} raw sums for {len(classes)} classes", advice="train it on two classes or more"
        )
    return Ending(CLASSES[loss], classes=classes, class_dtype=dtype), "Class"


@dataclass(frozen=True, slots=True)
class _Category:
    """One category: its ``value`` as rows have it, and its ``text``, which is what CatBoost hashes."""

    value: Any
    text: str


def _categories(estimator: Any, rows: Any) -> dict[int, list[_Category]]:
    """The categories in ``rows``, in order, by column. Raises UnsupportedModelError for others than CatBoost takes."""
    made = {}
    for i in estimator.get_cat_feature_indices():
        column = rows.iloc[:, i] if isinstance(rows, pd.DataFrame) else pd.Series(rows[:, i])
        known = column.dtype.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique()
        values = [value for value in known.tolist() if not is_missing(value)] or [""]
        kinds = {type(value) for value in values}
        if len(kinds) > 1 or not kinds <= {str, int, bool}:
            raise UnsupportedModelError(
                f"column {estimator.feature_names_[i]!r} is categorical and holds {sorted(k.__name__ for k in kinds)}",
                advice="pass its categories as the model was trained on them: text, integers or bools",
            )
        values = [False, True] if kinds == {bool} else sorted(values)
        made[i] = [_Category(v, v if isinstance(v, str) else str(int(v))) for v in values]
    return made


def _pool(estimator: Any, categories: dict[int, list[_Category]]) -> Any:
    """Rows with all the categories, for CatBoost to hash."""
    rows = max(map(len, categories.values()))
    frame = pd.DataFrame(
        {
            name: [c.text for c in categories[i]] + [""] * (rows - len(categories[i]))
            if i in categories
            else [0.0] * rows
            for i, name in enumerate(estimator.feature_names_)
        }
    )
    return catboost.Pool(frame, cat_features=list(categories))


def _exported(estimator: Any, pool: Any) -> Json:
    """The model in CatBoost's JSON, where float32 borders and float64 leaves keep every bit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        estimator.save_model(str(path), format="json", pool=pool)
        made: Json = json.loads(path.read_bytes())
    return made


@dataclass(frozen=True, slots=True)
class _Split:
    """A condition as `Tree` has it; ``swapped`` where it holds on CatBoost's right side."""

    feature: int
    threshold: float = 0.0
    missing_left: bool = True
    members: Floats | None = None
    swapped: bool = False


class _Trees:
    """A model's JSON. Features are numbered as columns are; with ``categories`` (by column) these come first, as the
    coder gives them out. Without, nobody asks which category a split means."""

    def __init__(self, model: Json, categories: dict[int, list[_Category]] | None = None) -> None:
        self.model, self.categories = model, categories or {}
        features = model["features_info"]
        self.text = {f["feature_index"]: f for f in features.get("categorical_features", [])}
        self.numbers = {f["feature_index"]: f for f in features.get("float_features", [])}
        width = len(self.text) + len(self.numbers)
        self.others = [column for column in range(width) if column not in self.categories]
        self.place = {column: i for i, column in enumerate([*self.categories, *self.others])}
        hashes = {known["value"]: known["hash"] for known in features.get("cat_features_hash", [])}
        self.hashes = {i: np.array([hashes[c.text] for c in known]) for i, known in self.categories.items()}
        self.asked: set[int] = set()  # columns whose categories some split tells apart

    def loss(self) -> str:
        """The name of the loss. Raises UnsupportedModelError where the model has none."""
        info = self.model["model_info"]
        found = info.get("params", {}).get("loss_function")
        if found is None:  # a sum of models
            found = json.loads(info.get("loss_function", "{}"))
        if not found.get("type"):
            raise UnsupportedModelError("the model does not name its loss", advice="save it anew where it was trained")
        return str(found["type"])

    def ensemble(self) -> Ensemble:
        """Raises UnsupportedModelError for splits that are not read; LookupError, ValueError or TypeError where the
        model contradicts itself."""
        scale, bias = self.model["scale_and_bias"]
        if "oblivious_trees" in self.model:
            trees = [self.oblivious(tree, len(bias)) for tree in self.model["oblivious_trees"]]
        else:
            trees = [self.branching(tree, len(bias)) for tree in self.model["trees"]]
        if not trees:
            raise UnsupportedModelError("the model has no trees", advice="train it for one iteration at least")
        return Ensemble(tuple(replace(tree, value=tree.value * scale) for tree in trees), np.array(bias, np.float64))

    def coder(self, rows: Any) -> Any:
        """The transformer that gives categories numbers and puts them first, or None where there are no categories."""
        if not self.categories:
            return None
        # Of a column that no split looks at, one category stands for all.
        kept = [[c.value for c in (known if i in self.asked else known[:1])] for i, known in self.categories.items()]
        codes = OrdinalEncoder(categories=kept, handle_unknown="use_encoded_value", unknown_value=-1)
        parts = [("categories", codes, list(self.categories)), ("numbers", "passthrough", self.others)]
        return ColumnTransformer(parts).fit(rows[:1])

    def oblivious(self, tree: Json, targets: int) -> Tree:
        """A tree with one condition per level, written out: nodes level by level, the first condition at the root."""
        splits = [self.split(split) for split in tree.get("splits") or []]
        depth = len(splits)
        number = np.arange(2 ** (depth + 1) - 1)
        level = np.frexp(number + 1.0)[1] - 1
        inner = number < 2**depth - 1
        level[~inner] = depth
        leaf = number[~inner] - (2**depth - 1)  # the first condition is its highest bit; in CatBoost, the lowest
        theirs = sum((leaf >> (depth - 1 - k) & 1) << k for k in range(depth)) + np.zeros_like(leaf)
        values = np.array(tree["leaf_values"], np.float64).reshape(2**depth, targets)
        value = np.zeros((len(number), targets))
        value[~inner] = values[theirs]
        left = np.where(inner, 2 * number + 1, -1)
        right = np.where(inner, 2 * number + 2, -1)
        return _tree([splits[k] if k < depth else None for k in level.tolist()], left, right, value)

    def branching(self, root: Json, targets: int) -> Tree:
        """A tree of nodes; those that wait are visited last in, first out, since trees may be deep."""
        splits: list[_Split | None] = []
        left: list[int] = []
        right: list[int] = []
        value: list[Floats] = []
        waiting: list[tuple[Json, list[int], int]] = [(root, [0], 0)]
        while waiting:
            node, side, parent = waiting.pop()
            here = len(splits)
            side[parent] = here
            left.append(-1)
            right.append(-1)
            if "split" in node:
                splits.append(self.split(node["split"]))
                value.append(np.zeros(targets))
                waiting += [(node["right"], right, here), (node["left"], left, here)]
            else:
                splits.append(None)
                value.append(np.array(node["value"], np.float64).reshape(targets))
        return _tree(splits, np.array(left, np.int64), np.array(right, np.int64), np.stack(value))

    def split(self, split: Json) -> _Split:
        kind = split["split_type"]
        if kind == "FloatFeature":
            feature = self.numbers[split["float_feature_index"]]
            missing_left = feature["nan_value_treatment"] != "AsTrue"
            return _Split(self.place[feature["flat_feature_index"]], float(split["border"]), missing_left)
        if kind == "OneHotFeature":
            feature = self.text[split["cat_feature_index"]]
            members = self.members(feature, split["value"])
            return _Split(self.place[feature["flat_feature_index"]], members=members, swapped=True)
        raise UnsupportedModelError(
            f"a tree asks for statistics of a category ({kind}), not for the category",
            advice="train with one_hot_max_size of at least the number of categories (255 at most), or encode them",
        )

    def members(self, feature: Json, value: int) -> Floats:
        """The codes of the categories with this hash. Raises UnsupportedModelError where ``categories`` has none."""
        if not self.categories:
            return np.zeros(1)
        column = feature["flat_feature_index"]
        self.asked.add(column)
        found = np.flatnonzero(self.hashes[column] == value % 2**32)
        if not len(found):
            raise UnsupportedModelError(
                f"column {feature['feature_id'] or f'x{column}'!r} had a category in training that is not in data",
                advice="pass data with all of them, as the training rows are: the model keeps their hashes only",
            )
        return found.astype(np.float64)


def _tree(splits: list[_Split | None], left: NDArray[np.int64], right: NDArray[np.int64], value: Floats) -> Tree:
    """Nodes with a split, or None at a leaf. What a member of a category's set takes is the left side here."""
    filled = [split or _Split(0) for split in splits]
    swapped = np.array([split.swapped for split in filled])
    return Tree(
        np.array([split.feature for split in filled], np.int64),
        np.array([split.threshold for split in filled], np.float64),
        np.where(swapped, right, left),
        np.where(swapped, left, right),
        np.array([split.missing_left for split in filled]),
        value,
        sets={i: split.members for i, split in enumerate(filled) if split.members is not None},
    )
