"""CatBoost: its classifier, regressor and ranker, the plain model, and .cbm files.

A number goes right where, as float32, it is greater than a border; a category, where its hash is the split's. A model
keeps only hashes of its categories, so the rows given to `convert` must name them; it is CatBoost that hashes these.

Belongs here: categories, links, asking the model, files. Not here: its trees (catboost_json.py), lowering
(sklearn/tabular.py).
Imported as edge_runtime.converters.sources.catboost.
"""

from __future__ import annotations

import json
import tempfile
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

with extra("catboost", used_by="reading a model of CatBoost"):
    import catboost

from ..exact.features import NotPulledBackError
from ..exact.head import Head, classes_of
from ..source import Request, Source
from . import child
from .catboost_json import PARTS, Category, Trees, exported
from .sklearn.answers import classify, regress
from .sklearn.asking import arriving
from .sklearn.rules import NotColumnwiseError, is_missing
from .sklearn.tabular import read_tabular

__all__ = ["SUFFIXES", "accepts", "head", "open", "read"]

FRAMEWORK = f"CatBoost {catboost.__version__}"
SUFFIXES = (".cbm",)
KINDS = (catboost.CatBoostClassifier, catboost.CatBoostRegressor, catboost.CatBoostRanker, catboost.CatBoost)
CLASSES = {
    "Logloss": "logistic",
    "CrossEntropy": "logistic",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "one_vs_rest",
}
NOT_READ = ("MultiLogloss", "MultiCrossEntropy", "RMSEWithUncertainty")
EXPONENT = ("Poisson", "Tweedie")
HASHES = "exact: an unknown category is none of the known; CatBoost takes one in 2^32 for each of them"
REWRITING = """
import catboost
catboost.CatBoost().load_model(path).save_model(sys.argv[2], format="json")
"""


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
    request = replace(request, table=request.data.named(getattr(alone, "feature_names_in_", None)))
    made = found(arriving(alone, None, request)) if callable(found) else found
    try:
        return read_tabular(made.stands_in, None, made, request, FRAMEWORK)
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
        return _head(estimator, Trees(exported(estimator, None)), None)

    def with_rows(rows: Any) -> Head:
        categories = _categories(estimator, rows)
        return _head(estimator, Trees(exported(estimator, _pool(estimator, categories)), categories), rows)

    return with_rows


def open(path: str) -> Any:
    """The model in a file. CatBoost reads it in a process of its own, since a damaged file can end the process that
    does; what comes back is its own JSON, which is checked before it is read here.

    Raises UnsupportedModelError for another file.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder, "model.json")
            child.run(REWRITING, path, str(written))
            trees = Trees(json.loads(written.read_bytes()))
            trees.check()
            model = catboost.CatBoost().load_model(str(written), format="json")
        _restore(model, trees)
        return model
    except (catboost.CatBoostError, child.ChildError, LookupError, ValueError, TypeError) as error:
        reason = "its parts contradict one another" if isinstance(error, LookupError | TypeError) else str(error)
        raise UnsupportedModelError(
            f"{path}: not a whole model of CatBoost ({reason.partition(chr(10))[0]})",
            advice="pass a .cbm file that save_model wrote",
        ) from error


def _restore(model: Any, trees: Trees) -> None:
    """Give ``model`` every bit of the JSON that it was read from: CatBoost reads some decimals as a neighbouring float,
    and of class labels only ten digits. Raises ValueError where it still differs."""
    model.set_leaf_values(trees.leaf_values())
    model.set_scale_and_bias(*trees.model["scale_and_bias"])
    classes = trees.model["model_info"].get("class_params")
    if classes is not None:
        model.get_metadata()["class_params"] = json.dumps(classes, ensure_ascii=False)
    model.classes_  # noqa: B018 - raises where CatBoost cannot read them
    again = exported(model, None)
    if again["model_info"].get("class_params") != classes or any(
        again.get(part) != trees.model.get(part) for part in PARTS - {"model_info"}
    ):
        raise ValueError("CatBoost does not read what it wrote")


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


def _head(estimator: Any, trees: Trees, rows: Any) -> Head:
    ensemble = trees.ensemble()
    ending, predicts = _ending(estimator, trees, ensemble.targets)
    return Head(
        ensemble, ending, np.float32, regress if ending.classes is None else classify, prepares=trees.coder(rows),
        stands_in=_OneThread(estimator, predicts), libraries=("catboost",),
        statements=(HASHES,) if trees.asked else (),
    )  # fmt: skip


def _ending(estimator: Any, trees: Trees, targets: int) -> tuple[Ending, str]:
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
            f"{name} has {targets} raw sums for {len(classes)} classes", advice="train it on rows of every class"
        )
    return Ending(CLASSES[loss], classes=classes, class_dtype=dtype), "Class"


def _categories(estimator: Any, rows: Any) -> dict[int, list[Category]]:
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
        made[i] = [Category(v, v if isinstance(v, str) else str(int(v))) for v in values]
    return made


def _pool(estimator: Any, categories: dict[int, list[Category]]) -> Any:
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
