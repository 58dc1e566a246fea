"""LightGBM: every kind of model that is read answers as LightGBM does, and every kind that is not is refused."""

from __future__ import annotations

import re
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from edge_runtime.converters import Decision, convert
from edge_runtime.converters.exact.features import ZERO
from edge_runtime.converters.sources import lightgbm as reader
from edge_runtime.converters.sources.lightgbm_text import read_text
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.golden import differences
from edge_runtime.model import Model

lightgbm = pytest.importorskip("lightgbm")

Arrays = dict[str, NDArray[Any]]
Made = tuple[Any, Any]  # a fitted model and rows as it takes them
CLOSE = 2e-12
QUICK = {"n_estimators": 12, "num_leaves": 9, "min_child_samples": 5, "verbose": -1, "n_jobs": 1, "random_state": 0}
FOREST = {"boosting_type": "rf", "subsample": 0.6, "subsample_freq": 1}
NATIVE = {"num_leaves": 9, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "seed": 0, "cat_smooth": 1.0}


def numbers(n: int = 500, missing: float = 0.1) -> NDArray[np.float64]:
    """Four columns: normal, many zeros with a sign and tiny ones, whole, and of widely different sizes."""
    rng = np.random.default_rng(0)
    made = rng.normal(size=(n, 4))
    made[:, 1] = rng.choice([0.0, -0.0, 1e-300, -1e-36, ZERO, -ZERO, 2e-35, -1.0, 1.0, 3.0], n)
    made[:, 2] = rng.integers(0, 12, n)
    made[:, 3] = 10.0 ** rng.uniform(-30, 30, n)
    made[rng.random(made.shape) < missing] = np.nan
    return made


def target_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    filled = np.nan_to_num(rows)
    made = filled[:, 0] + (filled[:, 1] > 0) - 0.7 * np.isin(filled[:, 2], [1, 4, 5, 9]) + 0.02 * np.log1p(filled[:, 3])
    return np.asarray(made + np.isnan(rows[:, 0]) + 0.1 * np.random.default_rng(1).normal(size=len(rows)), np.float64)


def two(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    return (target_of(rows) > 0.5).astype(np.int64)


def three(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.digitize(target_of(rows), [0.0, 1.0])


def frame(n: int = 500) -> pd.DataFrame:
    """Numbers of several dtypes, and categories of text, in an order, of integers, and of one value."""
    rng = np.random.default_rng(2)
    rows = numbers(n)
    return pd.DataFrame(
        {
            "a number": rows[:, 0],
            "narrow": rows[:, 1].astype(np.float32),
            "kind": pd.Categorical(rng.choice(list("xyzw"), n)).set_categories(list("wxyz")),
            "size": pd.Categorical(rng.choice(["low", "mid", "high"], n), ["low", "mid", "high"], ordered=True),
            "code": pd.Categorical(
                np.where(rng.random(n) < 0.1, np.nan, rng.choice([10.0, 20.0, 30.0], n))
            ).rename_categories(int),
            "single": pd.Categorical(["q"] * n),
            "flag": rng.random(n) < 0.4,
            "small": rng.integers(-5, 100, n).astype(np.int16),
        }
    )


def framed_target(rows: pd.DataFrame) -> NDArray[np.float64]:
    made = rows["a number"].fillna(1.0) + (rows["kind"] == "y") * 2.0 + (rows["size"] == "high") - (rows["code"] == 20)
    return np.asarray(made + rows["flag"] + 0.02 * rows["small"], np.float64)


def on_array(
    make: Callable[[], Any], target: Callable[..., Any] = two, rows: Callable[[], Any] = numbers
) -> Callable[[], Made]:
    def made() -> Made:
        data = rows()
        return make().fit(data, target(np.asarray(data, np.float64))), data

    return made


def trained(
    target: Callable[..., Any] = two,
    rows: Callable[[], Any] = numbers,
    rounds: int = 12,
    categorical: Any = "auto",
    **options: Any,
) -> Callable[[], Made]:
    """A Booster."""

    def made() -> Made:
        data = rows()
        labels = framed_target(data) if isinstance(data, pd.DataFrame) else target(np.asarray(data, np.float64))
        matrix = lightgbm.Dataset(data, labels, categorical_feature=categorical)
        return lightgbm.train({**NATIVE, **options}, matrix, rounds), data

    return made


def classifier(**options: Any) -> Any:
    return lightgbm.LGBMClassifier(**{**QUICK, **options})


def zero_is_missing() -> Any:
    return classifier(zero_as_missing=True)


def regressor(**options: Any) -> Any:
    return lightgbm.LGBMRegressor(**{**QUICK, **options})


def positive(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.clip(target_of(rows), -2, 4))


def ranked() -> Made:
    data = numbers()
    relevance = np.clip(np.round(target_of(data)), 0, 4).astype(int)
    return lightgbm.LGBMRanker(**QUICK).fit(data, relevance, group=[50] * 10), data


def stopped_early() -> Made:
    data = numbers()
    model = classifier(n_estimators=60, learning_rate=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 4.7 calls eval_set old, and 4.6 knows no other name
        validation = [(data[250:], two(data[250:]))]
        stop = lightgbm.early_stopping(3, verbose=False)
        model.fit(data[:250], two(data[:250]), eval_set=validation, callbacks=[stop])
    assert 0 < model.best_iteration_ < 60
    return model, data


def stopped_early_and_kept() -> Made:
    """A Booster that still has the trees behind the best ones, and all digits of its sigmoid."""
    data = numbers()
    first, second = (lightgbm.Dataset(part, two(part), free_raw_data=False) for part in (data[:250], data[250:]))
    options = {**NATIVE, "objective": "binary", "learning_rate": 0.5, "sigmoid": 0.123456789}
    stop = lightgbm.early_stopping(3, verbose=False)
    model = lightgbm.train(options, first, 60, valid_sets=[second], callbacks=[stop], keep_training_booster=True)
    assert 0 < model.best_iteration < model.current_iteration()
    return model, data


def from_a_start() -> Made:
    data = numbers()
    start = np.random.default_rng(3).normal(size=len(data))
    return lightgbm.train(
        {**NATIVE, "objective": "binary"}, lightgbm.Dataset(data, two(data), init_score=start), 8
    ), data


def of_text_labels() -> Made:
    data = numbers()
    return classifier().fit(data, np.array(["no", "yes"])[two(data)]), data


def of_bool_labels() -> Made:
    data = numbers()
    return classifier().fit(data, two(data).astype(bool)), data


def on_frame(
    make: Callable[[], Any], target: Callable[..., Any] = two, rows: Callable[[], Any] = numbers, names: Any = "abcd"
) -> Callable[[], Made]:
    def made() -> Made:
        data = pd.DataFrame(rows(), columns=list(names))
        return make().fit(data, target(data.to_numpy())), data

    return made


def of_categories(model: Callable[[], Any]) -> Callable[[], Made]:
    def made() -> Made:
        data = frame()
        target = framed_target(data)
        return model().fit(data, target > 1.0 if isinstance(model(), lightgbm.LGBMClassifier) else target), data

    return made


def whole(n: int = 500) -> NDArray[np.int64]:
    """Integers beyond what float32 tells apart."""
    rng = np.random.default_rng(4)
    made = rng.integers(-20, 20, (n, 4))
    made[:, 3] = rng.integers(2**24 - 40, 2**24 + 400, n)
    made[:, 2] = rng.integers(0, 12, n)
    return made


def of_whole(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    score = rows[:, 0] + (rows[:, 3] > 2**24 + 200) * 9 + np.isin(rows[:, 2], [2, 3, 7]) * 5
    return np.asarray(score > 2, np.int64)


def many(n: int = 900) -> NDArray[np.int64]:
    """Categories up to 341."""
    return np.asarray(whole(n) * np.array([1, 1, 31, 1]), np.int64)


def of_many(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.isin(rows[:, 2] % 7, [1, 3, 4]), np.int64)


def least_squares(target: NDArray[np.float64], scores: NDArray[np.float64]) -> tuple[Any, Any]:
    return scores - target, np.ones_like(scores)


def own_gradient(scores: NDArray[np.float64], data: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gradient = scores.reshape(3, -1).T - np.eye(3)[data.get_label().astype(int)]
    return gradient, np.ones_like(gradient)


def piped(make: Callable[[], Any], preparing: Callable[[], Any], **options: Any) -> Callable[[], Made]:
    def made() -> Made:
        rng = np.random.default_rng(5)
        rows = pd.DataFrame(numbers(), columns=list("abcd"))
        rows["carrier"] = rng.choice(["UA", "AA", "B6", "DL"], len(rows))
        target = two(rows[list("abcd")].to_numpy())
        return make_pipeline(preparing(), make()).fit(rows, target, **options), rows

    return made


def columns(*, scaler: Any, sparse: bool = False) -> ColumnTransformer:
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
    return ColumnTransformer(
        [("n", scaler, list("abcd")), ("c", one_hot, ["carrier"])], sparse_threshold=1.0 if sparse else 0.0
    )


def dense() -> ColumnTransformer:
    return columns(scaler=make_pipeline(SimpleImputer(), StandardScaler()))


def ordinal() -> ColumnTransformer:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([("c", encoder, ["carrier"]), ("n", "passthrough", list("abcd"))])


CASES: dict[str, Callable[[], Made]] = {
    # Objectives
    "two classes": on_array(classifier),
    "text labels": of_text_labels,
    "bool labels": of_bool_labels,
    "unequal sigmoid": on_array(lambda: classifier(sigmoid=0.123456789)),
    "three classes": on_array(classifier, three),
    "two classes by softmax": on_array(lambda: classifier(objective="multiclass", num_class=2)),
    "one against all": on_array(lambda: classifier(objective="multiclassova"), three),
    "one against all, unequal sigmoid": on_array(lambda: classifier(objective="multiclassova", sigmoid=0.3), three),
    "forest of one against all": on_array(lambda: classifier(objective="multiclassova", **FOREST), three),
    "cross entropy": on_array(lambda: classifier(objective="cross_entropy")),
    "least squares": on_array(regressor, target_of),
    "absolute error": on_array(lambda: regressor(objective="mae"), target_of),
    "huber": on_array(lambda: regressor(objective="huber"), target_of),
    "fair": on_array(lambda: regressor(objective="fair"), target_of),
    "quantile": on_array(lambda: regressor(objective="quantile", alpha=0.8), target_of),
    "mape": on_array(lambda: regressor(objective="mape"), positive),
    "poisson": on_array(lambda: regressor(objective="poisson"), positive),
    "gamma": on_array(lambda: regressor(objective="gamma"), positive),
    "tweedie": on_array(lambda: regressor(objective="tweedie"), positive),
    "root of the target": on_array(lambda: regressor(reg_sqrt=True), target_of),
    "forest on the root of the target": on_array(lambda: regressor(reg_sqrt=True, **FOREST), target_of),
    "cross entropy in a regressor": on_array(
        lambda: regressor(objective="cross_entropy"), lambda rows: 1 / (1 + np.exp(-target_of(rows)))
    ),
    "two classes in a regressor": on_array(lambda: regressor(objective="binary", sigmoid=0.7)),
    "own objective": on_array(lambda: regressor(objective=least_squares), target_of),
    "ranker": ranked,
    # Boosting, and what changes nothing
    "dart": on_array(lambda: classifier(boosting_type="dart", drop_rate=0.5)),
    "goss": on_array(lambda: classifier(data_sample_strategy="goss")),
    "forest": on_array(lambda: classifier(**FOREST)),
    "forest, unequal sigmoid": on_array(lambda: classifier(**FOREST, sigmoid=0.123456789)),
    "forest of three classes": on_array(lambda: classifier(**FOREST), three),
    "forest regressor": on_array(lambda: regressor(**FOREST), target_of),
    "poisson forest": on_array(lambda: regressor(**FOREST, objective="poisson"), positive),
    "stopped early": stopped_early,
    "stopped early and kept": stopped_early_and_kept,
    "from a start": from_a_start,
    "not from the average": on_array(lambda: classifier(boost_from_average=False)),
    "monotone": on_array(lambda: classifier(monotone_constraints=[1, 0, 0, -1])),
    "interactions": on_array(lambda: classifier(interaction_constraints=[[0, 1], [2, 3]])),
    "deep": on_array(lambda: classifier(num_leaves=120, min_child_samples=1, n_estimators=3)),
    "nothing to learn": on_array(lambda: classifier(min_child_samples=400)),
    "balanced by chance": on_array(lambda: classifier(n_estimators=1), lambda rows: np.arange(len(rows)) % 2),
    # Missing values
    "zero as missing": on_array(zero_is_missing),
    "no missing": on_array(classifier, rows=lambda: numbers(missing=0.0)),
    "not used as missing": on_array(lambda: classifier(use_missing=False)),
    "many missing": on_array(classifier, rows=lambda: numbers(missing=0.6)),
    # Dtypes
    "float32": on_array(classifier, rows=lambda: numbers().astype(np.float32)),
    "integers as float32": on_array(classifier, of_whole, whole),
    "frame of integers": on_frame(classifier, of_whole, whole),
    "names with spaces": on_frame(classifier, names=["first one", "b", "c", "d"]),
    # Categories
    "categories": of_categories(classifier),
    "categories in a regressor": of_categories(regressor),
    "numbers as categories": trained(categorical=[2], objective="binary"),
    "numbers as categories, zeros missing": trained(categorical=[2], objective="binary", zero_as_missing=True),
    "integers as categories": trained(of_whole, whole, categorical=[2], objective="binary"),
    "many categories": trained(
        of_many, many, categorical=[2], objective="binary", max_cat_to_onehot=1, min_data_per_group=1
    ),
    # Boosters
    "Booster": trained(objective="binary"),
    "Booster of three classes": trained(three, objective="multiclass", num_class=3),
    "Booster of one against all": trained(three, objective="multiclassova", num_class=3),
    "Booster on the root of the target": trained(target_of, objective="regression", reg_sqrt=True),
    "Booster regressor": trained(target_of, objective="regression"),
    "Booster of a frame": trained(rows=frame, objective="regression"),
    "Booster of cross entropy": trained(objective="cross_entropy"),
    "Booster of an own objective": trained(three, objective=own_gradient, num_class=3),
    # Pipelines
    "behind nothing": on_frame(lambda: make_pipeline(classifier()), names=["a a", "b", "c", "d"]),
    "behind imputer and scaler": piped(classifier, dense),
    "behind sparse columns": piped(classifier, lambda: columns(sparse=True, scaler="passthrough")),
    "behind sparse scaled columns": piped(classifier, lambda: columns(sparse=True, scaler=MaxAbsScaler())),
    "behind ordinal codes": piped(classifier, ordinal, lgbmclassifier__categorical_feature=[0]),
    "zero as missing behind columns": piped(zero_is_missing, lambda: columns(scaler="passthrough")),
}  # fmt: skip


class Converted:
    def __init__(self, made: Callable[[], Made], **options: Any) -> None:
        self.source, self.data = made()
        self.conversion = convert(self.source, data=self.data, **options)
        self.model: Model = self.conversion.model()


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Converted:
    """Each case, converted."""
    return Converted(CASES[request.param])


def asked(source: Any, rows: Any) -> Arrays:
    """What LightGBM itself answers, by the names of the contract."""
    final = source.steps[-1][1] if isinstance(source, Pipeline) else source
    if isinstance(final, lightgbm.Booster):
        made = final.predict(rows)
        objective = read_text(final.model_to_string()).objective
        if objective in ("binary", "cross_entropy"):
            return {"label": (made > 0.5).astype(int), "probabilities": np.stack([1.0 - made, made], axis=1)}
        several = objective in ("multiclass", "multiclassova")
        return {"label": made.argmax(axis=1), "probabilities": made} if several else {"prediction": made}
    if isinstance(final, lightgbm.LGBMClassifier):
        return {"label": source.predict(rows), "probabilities": source.predict_proba(rows)}
    return {"prediction": source.predict(rows)}


def close(found: Arrays, wanted: Arrays) -> None:
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        assert found[name].shape == values.shape
        assert float(differences(found[name], values).max()) <= (0.0 if name == "label" else CLOSE), name


def bits(outputs: Arrays) -> list[Any]:
    return [array.tolist() if array.dtype == object else array.tobytes() for array in outputs.values()]


def rows_of(data: Any, picked: Any) -> Any:
    return data.iloc[picked] if isinstance(data, pd.DataFrame) else data[picked]


def test_every_row_is_answered_as_lightgbm_answers_it(case: Converted) -> None:
    """No label differs, and no number by more than float64 sums differ."""
    close(case.model.predict(case.data), asked(case.source, case.data))


def test_rows_at_thresholds_and_zeros_are_answered_as_lightgbm_answers_them(case: Converted) -> None:
    """Every column at once at values next to thresholds, within and beside LightGBM's zero, infinite, missing."""
    rng = np.random.default_rng(6)
    final = case.source.steps[-1][1] if isinstance(case.source, Pipeline) else case.source
    booster = final if isinstance(final, lightgbm.Booster) else final.booster_
    text = read_text(booster.model_to_string())
    at = np.unique(
        np.concatenate([tree.threshold[tree.inner] for tree in text.trees] + [[-ZERO, ZERO, 1.0, 4.0, -1.0]])
    )
    near = np.concatenate([at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf), [0.0, -0.0, 5e-324, -0.5, 0.5]])
    wild = np.append(near, [np.inf, -np.inf, 1e300, 2.0**31, np.nan, np.nan])
    rows = rows_of(case.data, rng.integers(0, len(case.data), 400)).copy()
    if isinstance(rows, pd.DataFrame):
        rows = rows.reset_index(drop=True)
        for name in rows:
            if pd.api.types.is_float_dtype(rows[name].dtype):
                with np.errstate(over="ignore"):
                    made = np.where(rng.random(400) < 0.7, rng.choice(wild, 400), rows[name])
                    spec = next(column for column in case.model.schema.columns if column.name == name)
                    rows[name] = np.clip(made, spec.low, spec.high).astype(rows[name].dtype)  # what the source answers
    elif rows.dtype.kind == "f":
        with np.errstate(over="ignore"):
            rows = np.where(rng.random(rows.shape) < 0.7, rng.choice(wild, rows.shape), rows).astype(rows.dtype)
    else:
        fitting = near[np.abs(near) < 2**53]
        rows = np.where(rng.random(rows.shape) < 0.7, rng.choice(fitting, rows.shape), rows).astype(rows.dtype)
    with np.errstate(all="ignore"):
        close(case.model.predict(rows), asked(case.source, rows))


def test_no_bit_depends_on_the_other_rows(case: Converted) -> None:
    """Blocks of several sizes, another order, and rows alone: the same bits."""
    whole_ = case.model.predict(case.data)
    part = rows_of(case.data, np.arange(60))
    first = bits({name: array[:60] for name, array in whole_.items()})
    for size in (1, 7, 60):
        blocks = [case.model.predict(rows_of(part, slice(at, at + size))) for at in range(0, 60, size)]
        assert bits({name: np.concatenate([block[name] for block in blocks]) for name in whole_}) == first
    order = np.random.default_rng(7).permutation(len(case.data))
    assert bits(case.model.predict(rows_of(case.data, order))) == bits({n: a[order] for n, a in whole_.items()})


def test_integers_of_an_array_are_read_as_float32_even_beside_a_missing_one() -> None:
    """So LightGBM takes an array of integers; a missing one would make it float64, and the row's answer another."""
    converted = Converted(CASES["integers as float32"])
    assert any("float32" in statement for statement in converted.conversion.report.statements)
    for value in range(2**24, 2**24 + 400):
        one, beside = ({"x0": 3, "x1": other, "x2": 1, "x3": value} for other in (0, None))
        rows = np.array([[3, 0, 1, value]])
        assert converted.model.predict_one(one)["label"] == converted.source.predict(rows)[0]
        narrow = np.array([[3, np.nan, 1, value]], np.float32)
        assert converted.model.predict_one(beside)["label"] == converted.source.predict(narrow)[0]


def test_infinite_thresholds_are_kept() -> None:
    """LightGBM's JSON dump cuts them to 1e300, beyond which numbers would then go where missing ones go."""
    rng = np.random.default_rng(8)
    rows = np.where(rng.random(400) < 0.4, np.nan, rng.normal(size=400))[:, None]
    source = lightgbm.train(NATIVE, lightgbm.Dataset(rows, np.isnan(rows[:, 0]).astype(float)), 2)
    assert any(np.isinf(tree.threshold).any() for tree in read_text(source.model_to_string()).trees)
    model = convert(source, data=rows).model()
    wild = np.array([[1e300], [1.7e308], [np.inf], [-np.inf], [np.nan]])
    close(model.predict(wild), {"prediction": source.predict(wild)})


def test_a_number_is_a_category_without_its_fraction() -> None:
    """2.7 is category 2, -0.5 is category 0, -1 and what no int32 holds are none: as LightGBM's cast has it."""
    converted = Converted(CASES["numbers as categories"])
    rows = np.repeat(converted.data[:1], 14, axis=0)
    rows[:, 2] = [2.7, 2.0, -0.5, -0.0, 0.0, 0.99, -1.0, 4.999999, 5.0, 2.0**31, 1e300, np.inf, -np.inf, np.nan]
    close(converted.model.predict(rows), asked(converted.source, rows))
    assert len({str(p) for p in converted.model.predict(rows)["probabilities"][:, 1]}) > 1


def test_an_unseen_category_is_answered_as_a_missing_one() -> None:
    """So does LightGBM, which sets the categories of training."""
    converted = Converted(CASES["categories"])
    record = converted.data.iloc[0].to_dict() | {"code": 10}
    answers = [converted.model.predict_one(record | {"kind": value}) for value in (None, "unheard of", "")]
    assert answers[0] == answers[1] == answers[2] != converted.model.predict_one(record | {"kind": "y"})


def test_data_may_have_its_categories_as_text_or_in_another_order() -> None:
    """What counts are the categories of training; a file of rows has no others, and a sample has fewer."""
    source, data = CASES["categories"]()
    fewer = data[data["kind"] != "x"].copy()
    for name in ("kind", "size", "single"):
        fewer[name] = fewer[name].astype(object)
    fewer["kind"] = fewer["kind"].astype("category").cat.reorder_categories(["z", "y", "w"])
    as_trained = fewer.copy()
    for name in ("kind", "size", "single", "code"):
        as_trained[name] = fewer[name].astype(data[name].dtype)
    wanted = asked(source, as_trained)
    close(convert(source, data=data).model().predict(fewer), wanted)
    text = fewer.assign(kind=fewer["kind"].astype(object))
    booster = lightgbm.train(
        {**NATIVE, "objective": "binary"}, lightgbm.Dataset(data.drop(columns="code"), framed_target(data) > 1.0), 9
    )
    model = convert(booster, data=text.drop(columns="code")).model()
    close(model.predict(text.drop(columns="code")), asked(booster, as_trained.drop(columns="code")))


def test_columns_go_by_name() -> None:
    """A Booster itself goes by position, whatever the names say."""
    source, data = CASES["names with spaces"]()
    shuffled = data[["d", "first one", "c", "b"]].assign(other=1.0)
    for model in (source, source.booster_):
        converted = convert(model, data=shuffled).model()
        assert [column.name for column in converted.schema.columns] == list(data.columns)
        close(converted.predict(shuffled), asked(source, data) if model is source else asked(model, data))
    with pytest.raises(InputError, match="first_one"):
        convert(source, data=data.drop(columns="first one"))


def test_a_decision_is_that_of_lightgbms_probability() -> None:
    """The score is the second class's probability, and the decision whether it is above the threshold."""
    converted = Converted(CASES["two classes"], decision=Decision("risk", "act", 0.3))
    score = converted.source.predict_proba(converted.data)[:, 1]
    close(converted.model.predict(converted.data), {"risk": score, "act": score > 0.3})


def test_float32_apps_are_answered_as_lightgbm_answers_them() -> None:
    """Thresholds are compared with what the app hands over."""
    source, data = CASES["two classes"]()
    with np.errstate(over="ignore"):
        narrow = data.astype(np.float32)
    model = convert(source, data=narrow, input_dtype="float32").model()
    assert {column.dtype for column in model.schema.columns} == {"float32"}
    close(model.predict(narrow), asked(source, narrow))


def test_the_callers_model_stays_as_it_is() -> None:
    """Neither threads nor trees nor parameters change."""
    source, data = CASES["stopped early and kept"]()
    before = source.model_to_string(num_iteration=-1), source.best_iteration, dict(source.params)
    estimator = classifier(n_jobs=2).fit(data, two(data))
    parameters = dict(estimator.get_params())
    convert(source, data=data)
    convert(make_pipeline(StandardScaler().fit(data), estimator), data=data)
    assert (source.model_to_string(num_iteration=-1), source.best_iteration, dict(source.params)) == before
    assert estimator.get_params() == parameters


def test_provenance_names_lightgbm() -> None:
    """Also where it stands at the end of a pipeline."""
    for name in ("two classes", "behind ordinal codes"):
        manifest = Converted(CASES[name]).conversion.manifest
        assert manifest.provenance["library.lightgbm"] == lightgbm.__version__


def grown_twice() -> Made:
    """Zero is missing for the later trees only."""
    data = numbers()
    first = lightgbm.train({**NATIVE, "objective": "binary"}, lightgbm.Dataset(data, two(data), free_raw_data=False), 3)
    later = lightgbm.Dataset(data, two(data), params={"zero_as_missing": True})
    return lightgbm.train({**NATIVE, "objective": "binary", "zero_as_missing": True}, later, 3, init_model=first), data


def scaled_categories() -> Made:
    data = numbers()
    model = make_pipeline(StandardScaler(), classifier())
    return model.fit(data, two(data), lgbmclassifier__categorical_feature=[2]), data


def without_categories() -> Made:
    source, data = CASES["categories"]()
    return source, data.assign(**dict.fromkeys(("kind", "size", "code", "single"), 1.0))


REFUSED: dict[str, tuple[Callable[[], Made], str]] = {
    "linear leaves": (on_array(lambda: regressor(linear_tree=True), target_of), "linear_tree"),
    "cross entropy lambda": (trained(objective="cross_entropy_lambda"), "cross_entropy_lambda in a Booster"),
    "own objective": (on_array(lambda: classifier(objective=least_squares)), "of your own in LGBMClassifier of 2"),
    "one class": (on_array(classifier, lambda rows: np.zeros(len(rows), int)), "of 1 classes"),
    "trees left out": (on_array(lambda: classifier(pred_early_stop=True)), "pred_early_stop"),
    "not fitted": (lambda: (classifier(), numbers()), "not fitted"),
    "grown twice": (grown_twice, "zero is missing in some trees only"),
    "category behind arithmetic": (scaled_categories, "set of values"),
    "too few columns": (lambda: (on_array(classifier)()[0], numbers()[:, :3]), "3 columns"),
    "no categories": (without_categories, "training had 4 columns of categories"),
}  # fmt: skip


@pytest.mark.parametrize(("made", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_read_is_refused_in_one_line(made: Callable[[], Made], says: str) -> None:
    """Nothing is converted by guessing, and the error says what would be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source, data = made()
        with pytest.raises(UnsupportedModelError, match=says) as refusal:
            convert(source, data=data)
    assert "\n" not in str(refusal.value)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Any, pd.DataFrame]:
    """A text file, its Booster, and rows as a file would have them."""
    source, data = CASES["Booster of a frame"]()
    source.save_model(tmp_path / "model.txt")
    return (
        tmp_path / "model.txt",
        source,
        data.assign(**{name: data[name].astype(object) for name in ("kind", "size", "single")}),
    )


def test_a_text_file_is_a_source(saved: tuple[Path, Any, pd.DataFrame]) -> None:
    """It answers as the Booster that wrote it, with text for categories, and needs no trust."""
    path, source, rows = saved
    conversion = convert(path, data=rows)
    _, data = CASES["Booster of a frame"]()
    close(conversion.model().predict(rows), {"prediction": source.predict(data)})
    assert conversion.manifest.provenance["source.file"] == "model.txt"


def test_nothing_of_a_file_changes_on_the_way(saved: tuple[Path, Any, pd.DataFrame]) -> None:
    """LightGBM's own writing of it has the same trees, bit for bit."""
    path, source, _ = saved
    found, wanted = (read_text(booster.model_to_string()).trees for booster in (reader.open(str(path)), source))
    for one, other in zip(found, wanted, strict=True):
        assert (one.threshold.tobytes(), one.value.tobytes()) == (other.threshold.tobytes(), other.value.tobytes())
        assert {k: v.tolist() for k, v in one.sets.items()} == {k: v.tolist() for k, v in other.sets.items()}


def line(key: str, change: Callable[[str], str]) -> Callable[[str], str]:
    """The first line of a key, changed; the sizes of trees as the text then has them."""

    def forge(text: str) -> str:
        before, _, rest = text.partition(f"\n{key}=")
        value, _, after = rest.partition("\n")
        made = f"{before}\n{key}={change(value)}\n{after}"
        parts = re.split(r"(?m)^(?=Tree=|end of trees)", made)[1:-1]
        return re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={' '.join(str(len(part)) for part in parts)}", made, count=1)

    return forge


def one_token(new: str) -> Callable[[str], str]:
    return lambda value: " ".join([*value.split(" ")[:-1], new])


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "end of trees"),
    "another format": (lambda text: '{"learner": {}}', "end of trees"),
    "cut in a tree": (lambda text: text[: text.index("Tree=2") + 300], "end of trees"),
    "cut, and ended": (lambda text: text[: text.index("Tree=2") + 300] + "\n\n\nend of trees\n", "tree_sizes"),
    "no head": (lambda text: text[text.index("Tree=0") :], "max_feature_idx"),
    "jumping trees": (lambda text: re.sub(r"tree_sizes=\d+", "tree_sizes=99999999", text), "tree_sizes"),
    "more leaves than values": (line("num_leaves", lambda value: "2000000000"), "instead of"),
    "fewer leaves": (line("num_leaves", lambda value: "2"), "instead of"),
    "negative leaves": (line("num_leaves", lambda value: "-3"), "num_leaves"),
    "child out of range": (line("left_child", one_token("99")), "form a tree"),
    "child of itself": (line("left_child", lambda value: " ".join(["0", *value.split(" ")[1:]])), "form a tree"),
    "two parents": (line("right_child", lambda value: " ".join(value.split(" ")[:1] * 8)), "form a tree"),
    "feature out of range": (line("split_feature", one_token("4000")), "there is not"),
    "unknown kind of split": (line("decision_type", one_token("127")), "there is not"),
    "set out of range": (lambda text: re.sub(r"num_cat=[1-9]", "num_cat=0", text), "instead of"),
    "sets that overlap": (line("cat_boundaries", lambda value: " ".join(reversed(value.split(" ")))), "overlap"),
    "sets beyond the words": (line("cat_boundaries", one_token("50000")), "instead of"),
    "word beyond 32 bits": (line("cat_threshold", one_token("99999999999")), "set of categories"),
    "no number": (line("leaf_value", one_token("abc")), "no numbers"),
    "a number for Python only": (line("leaf_value", one_token("1_0")), "no numbers"),
    "an infinite leaf": (line("leaf_value", one_token("inf")), "infinite leaf"),
    "a threshold that is none": (line("threshold", one_token("nan")), "no number"),
    "a count that is none": (line("internal_count", one_token("x")), "no numbers"),
    "a line twice": (line("num_cat", lambda value: f"{value}\nnum_cat={value}"), "twice"),
    "no trees per iteration": (line("num_tree_per_iteration", lambda value: "0"), "num_tree_per_iteration"),
    "more classes than trees": (line("objective", lambda value: "multiclass num_class:9"), "classes"),
    "too few names": (line("feature_names", lambda value: "one"), "names"),
    "bytes": (lambda text: text.replace("tree", "tr\udcffee", 1), "decode"),
}  # fmt: skip


@pytest.mark.parametrize(("forge", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_before_lightgbm_sees_it(
    forge: Callable[[str], str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_of_model: str
) -> None:
    """Truncated, forged, of another format: one line that says what is wrong."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("LightGBM was asked")

    monkeypatch.setattr(subprocess, "run", never)
    monkeypatch.setattr(lightgbm, "Booster", never)
    path = tmp_path / "broken.txt"
    path.write_bytes(forge(text_of_model).encode("utf-8", "surrogateescape"))
    with pytest.raises(UnsupportedModelError, match=says) as refusal:
        convert(path, data=numbers())
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


@pytest.fixture(scope="module")
def text_of_model() -> str:
    text: str = CASES["numbers as categories"]()[0].model_to_string()
    return text


def test_the_text_that_is_forged_is_whole(text_of_model: str) -> None:
    """Otherwise the attacks would prove nothing."""
    assert len(read_text(line("num_cat", str)(text_of_model)).trees) == 12


def test_what_lightgbm_writes_is_checked_as_well(
    saved: tuple[Path, Any, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that reads the file may have been led astray by it."""
    monkeypatch.setattr(reader, "REWRITING", "out.write(b'tree')")
    with pytest.raises(UnsupportedModelError, match="end of trees"):
        reader.open(str(saved[0]))
