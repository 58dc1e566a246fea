"""Trees of scikit-learn: every split at its threshold and next to it, decided by both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from edge_runtime.converters import convert
from edge_runtime.converters.data import read_data
from edge_runtime.converters.source import Request, Source, read_source
from edge_runtime.converters.sources.sklearn import trees

Floats = NDArray[np.float64]

ROWS, BENIGN = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, :5]
GAPS = np.where(np.random.default_rng(2).random(ROWS.shape) < 0.1, np.nan, ROWS)
SMALL = {"max_depth": 4, "random_state": 0}


@dataclass(frozen=True)
class Splits:
    """One tree of the source: its nodes, as scikit-learn holds them."""

    feature: NDArray[Any]
    threshold: Floats
    left: NDArray[Any]
    right: NDArray[Any]
    missing_left: NDArray[Any]

    def goes_left(self, node: int, features: Floats) -> NDArray[np.bool_]:
        value = features[:, self.feature[node]]
        return np.where(np.isnan(value), bool(self.missing_left[node]), value <= self.threshold[node])

    def leaves(self, features: Floats) -> NDArray[np.int64]:
        """The node that each row ends in, walked here in plain Python."""
        ends = np.zeros(len(features), np.int64)
        pending = [(0, np.arange(len(features)))]
        while pending:
            node, rows = pending.pop()
            if self.left[node] < 0:
                ends[rows] = node
                continue
            left = self.goes_left(node, features[rows])
            pending += [(int(self.left[node]), rows[left]), (int(self.right[node]), rows[~left])]
        return ends

    def reaching(self, features: Floats) -> dict[int, int]:
        """A row of the training data for each inner node that comes by it."""
        found: dict[int, int] = {}
        pending = [(0, np.arange(len(features)))]
        while pending:
            node, rows = pending.pop()
            if self.left[node] < 0 or not len(rows):
                continue
            found[node] = int(rows[0])
            left = self.goes_left(node, features[rows])
            pending += [(int(self.left[node]), rows[left]), (int(self.right[node]), rows[~left])]
        return found


def splits_of(estimator: Any) -> list[Splits]:
    if hasattr(estimator, "_predictors"):
        made = []
        for predictor in (tree for stage in estimator._predictors for tree in stage):
            nodes = predictor.nodes
            inner = ~nodes["is_leaf"].astype(bool)
            left, right = (np.where(inner, nodes[side].astype(np.int64), -1) for side in ("left", "right"))
            made.append(Splits(nodes["feature_idx"], nodes["num_threshold"], left, right, nodes["missing_go_to_left"]))
        return made
    members = np.ravel(estimator.estimators_) if hasattr(estimator, "estimators_") else [estimator]
    held = [member.tree_ for member in members]
    return [Splits(t.feature, t.threshold, t.children_left, t.children_right, t.missing_go_to_left) for t in held]


def features_of(model: Any, rows: Floats) -> Floats:
    """What the last step reads of rows: in the arithmetic of the steps before it, cast as it casts."""
    with np.errstate(all="ignore"):
        made = model[:-1].transform(rows) if hasattr(model, "steps") else rows
        estimator = model[-1] if hasattr(model, "steps") else model
        reads = np.float64 if hasattr(estimator, "_predictors") else np.float32
        return np.asarray(made).astype(reads).astype(np.float64)


def source_of(model: Any, rows: Any, input_dtype: str = "auto") -> Source:
    return read_source(model, Request(read_data(rows), input_dtype, None))


def leaves_of(source: Source, rows: Floats) -> NDArray[np.int64]:
    """The leaf of each tree that the lowered graph sends rows to."""
    assert source.leaves is not None
    session = onnxruntime.InferenceSession(source.leaves.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": rows.astype(source.schema.inputs[0].dtype)})[0]).astype(np.int64)


MODELS: dict[str, tuple[Callable[[], Any], Floats]] = {
    "tree": (lambda: DecisionTreeClassifier(**SMALL), ROWS),
    "tree drawn at random": (lambda: ExtraTreeClassifier(**SMALL), ROWS),
    "forest": (lambda: RandomForestClassifier(6, **SMALL), ROWS),
    "forest of missing values": (lambda: RandomForestClassifier(6, **SMALL), GAPS),
    "extra trees": (lambda: ExtraTreesClassifier(6, **SMALL), ROWS),
    "boosting": (lambda: GradientBoostingClassifier(n_estimators=5, random_state=0), ROWS),
    "hist": (lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0), GAPS),
    "forest behind scaler": (lambda: make_pipeline(StandardScaler(), RandomForestClassifier(6, **SMALL)), ROWS),
    "forest behind range": (lambda: make_pipeline(MinMaxScaler((-3, 7)), RandomForestClassifier(6, **SMALL)), ROWS),
    "hist behind scaler": (lambda: make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5)), GAPS),
    "hist behind imputer and two scalers": (
        lambda: make_pipeline(
            SimpleImputer(), RobustScaler(), MaxAbsScaler(), HistGradientBoostingClassifier(max_iter=5, random_state=0)
        ),
        GAPS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threshold_neighbours_take_the_same_branch(name: str, dtype: str) -> None:
    """At every split that training rows reach: at the searched threshold and beside it, on the app's own lattice."""
    make, rows = MODELS[name]
    rows = rows.astype(dtype)
    model = make().fit(rows, BENIGN)
    source = source_of(model, rows, dtype)
    estimator = model[-1] if hasattr(model, "steps") else model
    splits = splits_of(estimator)
    entering = features_of(model, rows)
    probes, tried = [], 0
    for tree in splits:
        for node, row in tree.reaching(entering).items():
            column = int(tree.feature[node])
            if not math.isfinite(tree.threshold[node]):
                continue  # missing against the rest: tried below
            searched = threshold_for(model, source, rows, row, column, tree, node)
            step = np.dtype(dtype).type
            at = step(searched)  # a float64 between two float32 is as good as the lower one
            if at > searched:
                at = np.nextafter(at, step(-np.inf))
            for value in (np.nextafter(at, step(-np.inf)), at, np.nextafter(at, step(np.inf))):
                probe = rows[row].copy()
                probe[column] = value
                probes.append(probe)
            tried += 1
    assert tried > 6
    if source.schema.columns[0].nullable:
        probes += [np.where(np.arange(5) == column, np.nan, rows[7]).astype(dtype) for column in range(5)]
    asked = np.array(probes)
    wanted = np.stack([tree.leaves(features_of(model, asked)) for tree in splits], axis=1)
    assert (leaves_of(source, asked) == wanted).all()
    if hasattr(estimator, "apply"):  # and what was walked here is what scikit-learn walks
        assert (
            estimator.apply(model[:-1].transform(asked) if estimator is not model else asked).reshape(wanted.shape)
            == wanted
        ).all()


def threshold_for(model: Any, source: Source, rows: Floats, row: int, column: int, tree: Splits, node: int) -> float:
    """The searched threshold of a split: the largest number on this column that goes left there; the next does not."""
    candidates = source.probes[source.schema.columns[column].name]
    tried = np.repeat(rows[row : row + 1].astype(rows.dtype), len(candidates), axis=0)
    tried[:, column] = candidates
    left = tree.goes_left(node, features_of(model, tried))
    if rows.dtype == np.float32:
        # The searched number need not be a float32 itself: the last float32 up to it goes left, the next goes right.
        narrow = candidates.astype(np.float32)
        narrow = np.where(narrow > candidates, np.nextafter(narrow, np.float32(-np.inf)), narrow)
        tried[:, column] = narrow
        left = tree.goes_left(node, features_of(model, tried))
    assert left.any()
    found = float(candidates[left].max())
    edge = np.repeat(rows[row : row + 1], 2, axis=0)
    lower = rows.dtype.type(found)
    if float(lower) > found:
        lower = np.nextafter(lower, rows.dtype.type(-np.inf))
    edge[:, column] = [lower, np.nextafter(lower, rows.dtype.type(np.inf))]
    assert tree.goes_left(node, features_of(model, edge)).tolist() == [True, False]
    return found


def test_float64_neighbours_are_told_apart_where_the_source_tells_them_apart() -> None:
    """Histogram boosting reads float64: two values whose float32 is one have two answers, through every path."""
    low, high = 0.1, math.nextafter(0.1, 1.0)
    rows = np.array([[low], [high]] * 40)
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1).fit(rows, [0, 1] * 40)
    assert model.predict(rows[:2]).tolist() == [0, 1]
    converted = convert(model, data=rows).model()
    assert converted.schema.columns[0].dtype == "float64"
    assert converted.predict(rows[:2])["label"].tolist() == [0, 1]
    assert [converted.predict_one({"x0": value})["label"] for value in (low, high)] == [0, 1]


def test_a_forest_reads_float32_so_float64_neighbours_are_one() -> None:
    """The source rounds before it compares; the searched threshold lies where rounding changes, not at the split."""
    rows = np.array([[0.1], [0.3], [0.1], [0.3]])
    model = RandomForestRegressor(3, random_state=0).fit(rows, [0.0, 1.0, 0.0, 1.0])
    converted = convert(model, data=rows).model()
    around = [np.float64(np.float32(split)) for split in model.estimators_[0].tree_.threshold[:1]]
    values = [
        math.nextafter(around[0], -1.0),
        around[0],
        math.nextafter(around[0], 1.0),
        around[0] * (1 + 2.0**-25),
        around[0] * (1 + 2.0**-23),
    ]
    assert (
        converted.predict(np.array(values)[:, None])["prediction"].tolist()
        == model.predict(np.array(values)[:, None]).tolist()
    )


@pytest.mark.parametrize(
    "estimator",
    [
        GradientBoostingClassifier(n_estimators=2, init=DecisionTreeClassifier(max_depth=1)),
        IsolationForest(max_samples=1),
        DecisionTreeClassifier(),
    ],
    ids=["boosting on another model", "isolated from nothing", "one class"],
)
def test_forms_that_are_not_read_have_no_head(estimator: Any) -> None:
    """The caller takes another route, or refuses."""
    target: Any = BENIGN
    if isinstance(estimator, DecisionTreeClassifier):
        target = np.zeros(len(ROWS))
    assert trees.head(estimator.fit(ROWS, target)) is None


def test_a_subclass_is_not_taken_for_its_base() -> None:
    """It may answer in another way."""

    class Mine(RandomForestClassifier):  # type: ignore[misc]
        pass

    assert trees.head(Mine(2).fit(ROWS, BENIGN)) is None
    assert trees.head(RandomForestClassifier(2).fit(ROWS, BENIGN)) is not None
