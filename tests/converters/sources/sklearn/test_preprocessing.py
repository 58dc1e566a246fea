"""Preprocessing of scikit-learn: which column a feature comes from, and every category on its way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from edge_runtime.converters import Conversion, convert
from edge_runtime.errors import InputError
from edge_runtime.model import Model

ROWS, KIND = load_iris(return_X_y=True)
FRAME = pd.DataFrame(ROWS, columns=["a", "b", "c", "d"])
RNG = np.random.default_rng(0)
CODES = list("ABCDEFGHIJ")


def tree(depth: int = 5) -> Any:
    return DecisionTreeClassifier(max_depth=depth, random_state=0)


def ordinal(**options: Any) -> OrdinalEncoder:
    return OrdinalEncoder(**{"handle_unknown": "use_encoded_value", "unknown_value": -1, **options})


# Columns


COLUMNS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "by name": (lambda: ColumnTransformer([("x", "passthrough", ["d", "b"])]), ["b", "d"]),
    "by position": (lambda: ColumnTransformer([("x", "passthrough", [3, 1])]), ["b", "d"]),
    "by position from the end": (lambda: ColumnTransformer([("x", "passthrough", [-1, 0])]), ["a", "d"]),
    "by slice": (lambda: ColumnTransformer([("x", "passthrough", slice(1, 3))]), ["b", "c"]),
    "by slice of names": (lambda: ColumnTransformer([("x", "passthrough", slice("b", "c"))]), ["b", "c"]),
    "by mask": (lambda: ColumnTransformer([("x", "passthrough", [True, False, False, True])]), ["a", "d"]),
    "by selector": (lambda: ColumnTransformer([("x", "passthrough", make_column_selector("[cd]"))]), ["c", "d"]),
    "twice": (lambda: ColumnTransformer([("x", "passthrough", ["d", "b"]), ("y", MaxAbsScaler(), ["d"])]), ["b", "d"]),
    "one dropped": (lambda: ColumnTransformer([("x", "drop", ["a"])], remainder=MinMaxScaler()), ["b", "c", "d"]),
    "one inside another": (
        lambda: ColumnTransformer(
            [("x", ColumnTransformer([("y", StandardScaler(), ["b"])], remainder="passthrough"), ["d", "b"])]
        ),
        ["b", "d"],
    ),
    "behind another step": (
        lambda: make_pipeline(StandardScaler(), ColumnTransformer([("x", MinMaxScaler(), [2, 0])])),
        ["a", "b", "c", "d"],
    ),
    "none left out by variance": (lambda: VarianceThreshold(0.2), ["a", "b", "c", "d"]),
}  # fmt: skip


@pytest.mark.parametrize("behind", [None, StandardScaler()], ids=["at once", "then scaled"])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_feature_comes_from_the_column_that_it_comes_from(name: str, behind: Any) -> None:
    """However columns are chosen; the app hands over those that are used, in the order of training."""
    make, used = COLUMNS[name]
    model = make_pipeline(make(), behind or "passthrough", tree()).fit(FRAME, KIND)
    conversion = convert(model, data=FRAME)
    assert [column.name for column in conversion.manifest.schema.columns] == used
    device = conversion.model()
    shuffled = pd.DataFrame({column: RNG.permutation(FRAME[column].to_numpy()) for column in "dcba"})
    assert device.predict(shuffled)["label"].tolist() == model.predict(shuffled[["a", "b", "c", "d"]]).tolist()
    assert is_exact(conversion)


@pytest.mark.parametrize("name", ["by position", "by slice", "by mask", "behind another step"])
def test_an_array_has_all_of_its_columns_whichever_are_used(name: str) -> None:
    """They go by position: leaving one out would move the others."""
    model = make_pipeline(COLUMNS[name][0](), StandardScaler(), tree()).fit(ROWS, KIND)
    conversion = convert(model, data=ROWS)
    assert [column.name for column in conversion.manifest.schema.columns] == ["x0", "x1", "x2", "x3"]
    shuffled = np.stack([RNG.permutation(column) for column in ROWS.T], axis=1)
    assert conversion.model().predict(shuffled)["label"].tolist() == model.predict(shuffled).tolist()
    assert is_exact(conversion)


def is_exact(conversion: Conversion) -> bool:
    return "TreeEnsemble" in str(onnx.load_from_string(conversion.contents["graph.onnx"]).graph.node[0].op_type)


@pytest.mark.parametrize("data", [FRAME, ROWS, FRAME[["d", "c", "b", "a"]]], ids=["frame", "array", "another order"])
@pytest.mark.parametrize("trained", [FRAME, ROWS], ids=["trained on a frame", "trained on an array"])
def test_frames_and_arrays_serve_models_of_both(data: Any, trained: Any) -> None:
    """Without a warning: an array is given the names of training, a frame is shown without its names where there were
    none, in its own order."""
    model = make_pipeline(StandardScaler(), tree()).fit(trained, KIND)
    if trained is ROWS and list(data if data is not ROWS else []) == ["d", "c", "b", "a"]:
        return  # nothing says that they are in another order
    conversion = convert(model, data=data)
    names = ["a", "b", "c", "d"] if trained is FRAME or data is not ROWS else ["x0", "x1", "x2", "x3"]
    assert [column.name for column in conversion.manifest.schema.columns] == names
    assert conversion.model().predict(ROWS)["label"].tolist() == model.predict(trained).tolist()


@pytest.mark.parametrize("together", [False, True], ids=["in two transformers", "in one"])
def test_small_integers_are_scaled_in_the_arithmetic_that_their_neighbours_give_them(together: bool) -> None:
    """Beside a float32 in one transformer int8 is scaled in float32, alone in float64, whatever the rest of the frame
    is. A split may lie exactly on a whole number, where one rounding goes left and the other right."""
    moved = 0
    for seed in (2, 3, 4, 6, 13, 20):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(
            {"f": rng.normal(size=40).astype(np.float32), "i": rng.integers(-100, 100, 40).astype(np.int8)}
        )
        chosen = (
            [("x", MinMaxScaler(), ["f", "i"])]
            if together
            else [("x", "passthrough", ["f"]), ("y", MinMaxScaler(), ["i"])]
        )
        model = make_pipeline(ColumnTransformer(chosen), DecisionTreeRegressor(max_depth=6, random_state=0))
        model.fit(frame, rng.normal(size=40))
        every = pd.DataFrame({"f": np.zeros(200, np.float32), "i": np.arange(-100, 100).astype(np.int8)})
        wanted = model.predict(every)
        assert np.abs(convert(model, data=frame).model().predict(every)["prediction"] - wanted).max() < 1e-12
        moved += bool(np.abs(model.predict(every.astype(np.float32)) - wanted).max() > 1e-3)
    assert together or moved > 2  # the other arithmetic would have shown


# Categories


def asked(model: Any, device: Model, values: list[Any], dtype: Any = object) -> tuple[list[Any], list[Any]]:
    """What both answer to every value of the first column, refusals as None."""

    def of_source(value: Any) -> Any:
        frame = pd.DataFrame({"k": pd.Series([value], dtype=dtype), "n": [0.5]})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found unknown categories")  # the converter kept silent about them
            try:
                return model.predict_proba(frame)[0].tolist()
            except ValueError:
                return None

    def of_device(value: Any) -> Any:
        try:
            return device.predict_one({"k": value, "n": 0.5})["probabilities"]
        except InputError:
            return None

    return [of_source(value) for value in values], [of_device(value) for value in values]


def assert_close(wanted: list[Any], found: list[Any]) -> None:
    assert [value is None for value in wanted] == [value is None for value in found]
    answered = [(a, b) for a, b in zip(wanted, found, strict=True) if a is not None]
    assert answered
    assert max(abs(x - y) for a, b in answered for x, y in zip(a, b, strict=True)) < 1e-12


def one_hot(**options: Any) -> OneHotEncoder:
    return OneHotEncoder(**options, sparse_output=False)


def filled(with_: str, encoder: Any) -> Any:
    return make_pipeline(SimpleImputer(strategy="constant", fill_value=with_, missing_values=None), encoder)


ENCODERS: dict[str, Callable[[], Any]] = {
    "one-hot, unknown ignored": lambda: one_hot(handle_unknown="ignore"),
    "one-hot, unknown refused": one_hot,
    "one-hot, first dropped": lambda: one_hot(drop="first"),
    "one-hot, one of two dropped": lambda: one_hot(drop="if_binary", handle_unknown="ignore"),
    "one-hot, infrequent": lambda: one_hot(handle_unknown="infrequent_if_exist", min_frequency=20),
    "one-hot, at most four": lambda: one_hot(handle_unknown="infrequent_if_exist", max_categories=4),
    "one-hot, infrequent and first dropped": lambda: one_hot(min_frequency=20, drop="first"),
    "ordinal, unknown -1": ordinal,
    "ordinal, unknown refused": OrdinalEncoder,
    "ordinal, unknown missing": lambda: ordinal(unknown_value=np.nan),
    "ordinal, missing -2": lambda: ordinal(encoded_missing_value=-2),
    "ordinal, infrequent": lambda: ordinal(min_frequency=20),
    "filled, then one-hot": lambda: filled("B", one_hot()),
    "filled with its own, then ordinal": lambda: filled("?", ordinal()),
}
HEADS: dict[str, Callable[[], Any]] = {
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=6, min_samples_leaf=5, random_state=0),
    "linear": lambda: LogisticRegression(max_iter=3000),
}


# Of these two the source itself refuses what its encoder makes of its own data.
PAIRS = [(name, head) for name in ENCODERS for head in HEADS if (name, head) != ("ordinal, unknown missing", "linear")]


@pytest.mark.parametrize(("name", "head"), PAIRS)
def test_every_category_goes_where_it_goes_in_the_source(name: str, head: str) -> None:
    """Each known one, missing, empty, unknown ones before, between and behind: answered or refused alike."""
    picked = RNG.choice(
        np.array([*CODES, None], object), 300, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02, 0.02, 0.04]
    )
    frame = pd.DataFrame({"k": pd.Series(picked, dtype=object), "n": RNG.normal(size=300)})
    late = np.array([value in ("A", "D", "E", "I", None) for value in picked]) ^ (RNG.random(300) < 0.1)
    columns = make_column_transformer((ENCODERS[name](), ["k"]), remainder="passthrough", sparse_threshold=0)
    if head == "linear" and name.startswith("ordinal"):
        columns = make_pipeline(columns, SimpleImputer())
    model = make_pipeline(columns, HEADS[head]()).fit(frame, late)
    device = convert(model, data=frame).model()
    values = [*CODES, None, "", " ", "0", "CC", "Z", "a", "é", "A\u0301"]
    assert_close(*asked(model, device, values))


NUMBERS = [
    (name, kind)
    for name in (
        "one-hot, unknown ignored",
        "one-hot, unknown refused",
        "ordinal, unknown -1",
        "ordinal, unknown missing",
        "ordinal, unknown refused",
    )
    for kind in ("int64", "int8", "float64", "float32")
]


@pytest.mark.parametrize(("name", "kind"), NUMBERS)
def test_numbers_may_be_categories(name: str, kind: str) -> None:
    """1.7 is not 1, a number between two categories is none of them, and -0.0 is 0."""
    picked = RNG.choice([0, 1, 2, 5, 9, 17], 300).astype(kind)
    frame = pd.DataFrame({"k": picked, "n": RNG.normal(size=300)})
    late = np.isin(picked, [1, 9]) ^ (RNG.random(300) < 0.1)
    columns = make_column_transformer((ENCODERS[name](), ["k"]), remainder="passthrough", sparse_threshold=0)
    model = make_pipeline(columns, tree(6)).fit(frame, late)
    device = convert(model, data=frame).model()
    values: list[Any] = [0, 1, 2, 3, 5, 9, 10, 17, 18, -1]
    if kind == "float64":
        values = [*map(float, values), -0.0, 0.5, 1.7, float(np.nextafter(1.0, 2.0)), 1e300, 2.0**63, None]
    assert_close(*asked(model, device, values, kind))


@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_a_number_may_be_a_category_that_is_refused_beside_itself(kind: str) -> None:
    """Scaled together behind the encoder, so that no other number can be tried: each known one goes its way."""
    picked = RNG.choice([0, 1, 2, 5, 9, 17], 300).astype(kind)
    frame = pd.DataFrame({"k": picked, "n": RNG.normal(size=300)})
    late = np.isin(picked, [1, 9]) ^ (picked > 4) ^ (RNG.random(300) < 0.1)
    columns = make_column_transformer((OrdinalEncoder(), ["k"]), ("passthrough", ["k", "n"]))
    for head in (tree(6), LogisticRegression()):
        model = make_pipeline(columns, StandardScaler(), head).fit(frame, late)
        device = convert(model, data=frame).model()
        assert_close(*asked(model, device, [0, 1, 2, 3, 5, 9, 17, 18, -1], kind))


def test_a_set_of_categories_is_one_condition() -> None:
    """Codes far from one another go one way: the graph stays as small as the source's tree."""
    picked = RNG.choice(CODES, 500)
    frame = pd.DataFrame({"k": pd.Series(picked, dtype=object), "n": RNG.normal(size=500)})
    late = np.isin(picked, ["B", "E", "J"])
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["k"]), remainder="passthrough"), tree(3)
    ).fit(frame, late)
    device = convert(model, data=frame).model()
    assert_close(*asked(model, device, [*CODES, "Z", None]))


def test_bools_are_categories_or_numbers() -> None:
    """Either way true and false reach their own side."""
    night = RNG.random(200) < 0.4
    frame = pd.DataFrame({"k": night, "n": RNG.normal(size=200)})
    for encoder in (OneHotEncoder(sparse_output=False), "passthrough", StandardScaler()):
        columns = make_column_transformer((encoder, ["k"]), remainder="passthrough")
        model = make_pipeline(columns, tree(2)).fit(frame, night)
        device = convert(model, data=frame).model()
        assert device.schema.columns[0].dtype == "bool"
        assert [device.predict_one({"k": value, "n": 0.0})["label"] for value in (True, False)] == [True, False]
        with pytest.raises(InputError, match=r"column 'k'.*expected true or false"):
            device.predict_one({"k": 1, "n": 0.0})


# What is not column by column


@pytest.mark.parametrize(
    "step", [PCA(2), make_pipeline(StandardScaler(), PCA(3))], ids=["components", "components behind a scaler"]
)
def test_what_mixes_columns_is_only_checked(step: Any) -> None:
    """It goes the usual way, says so and why, and is compared like everything else."""
    conversion = convert(make_pipeline(step, LogisticRegression(max_iter=1000)).fit(ROWS, KIND), data=ROWS)
    assert any("PCA is not known to work column by column" in text for text in conversion.report.statements)
    assert not is_exact(conversion)


def test_a_target_encoder_of_many_categories_costs_no_more_than_an_ordinal_one() -> None:
    """Categories are numbered by their encoded values, so a split is a cut through them; unknown ones lie amid."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"merchant": rng.integers(0, 300, 4000).astype(str), "amount": rng.normal(size=4000)})
    target = (np.sin(rows.merchant.astype(int)) + rows.amount > 0).to_numpy()
    sizes = []
    for encoder in (TargetEncoder(), OrdinalEncoder()):
        steps = make_column_transformer((encoder, ["merchant"]), remainder="passthrough")
        model = make_pipeline(steps, HistGradientBoostingClassifier(max_iter=10, random_state=0)).fit(rows, target)
        conversion = convert(model, data=rows)
        sizes.append(len(conversion.contents["graph.onnx"]))
        if isinstance(encoder, TargetEncoder):
            tried = rows.head(300).assign(merchant=["unknown", "", *rows.merchant[2:300]])
            found = conversion.model().predict(tried)["probabilities"]
            assert np.abs(found - model.predict_proba(tried)).max() < 1e-12
    assert sizes[0] < 1.5 * sizes[1]
