"""LightGBM: every kind of model that is read answers as LightGBM does, and every kind that is not is refused."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
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

import edge_runtime
from edge_runtime.converters import Decision, convert
from edge_runtime.converters.features import ZERO
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


def of_named_columns() -> Made:
    data = pd.DataFrame(numbers(), columns=["first one", "b", "c", "d"])
    return classifier().fit(data, two(data.to_numpy())), data


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
    return (rows[:, 0] + (rows[:, 3] > 2**24 + 200) * 9 + np.isin(rows[:, 2], [2, 3, 7]) * 5 > 2).astype(np.int64)


def piped(make: Callable[[], Any], preparing: Callable[[], Any], **options: Any) -> Callable[[], Made]:
    def made() -> Made:
        rng = np.random.default_rng(5)
        rows = pd.DataFrame(numbers(), columns=list("abcd"))
        rows["carrier"] = rng.choice(["UA", "AA", "B6", "DL"], len(rows))
        target = two(rows.loc[:, "a":"d"].to_numpy())  # type: ignore[misc]
        return make_pipeline(preparing(), make()).fit(rows, target, **options), rows

    return made


def columns(*, sparse: bool, scaler: Any) -> ColumnTransformer:
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
    return ColumnTransformer(
        [("n", scaler, list("abcd")), ("c", one_hot, ["carrier"])], sparse_threshold=1.0 if sparse else 0.0
    )


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
    "own objective": on_array(lambda: regressor(objective=lambda y, p: (p - y, np.ones_like(y))), target_of),
    "ranker": ranked,
    # Boosting, and what changes nothing
    "dart": on_array(lambda: classifier(boosting_type="dart", drop_rate=0.5)),
    "goss": on_array(lambda: classifier(data_sample_strategy="goss")),
    "forest": on_array(lambda: classifier(boosting_type="rf", subsample=0.6, subsample_freq=1)),
    "forest of three classes": on_array(lambda: classifier(boosting_type="rf", subsample=0.6, subsample_freq=1), three),
    "forest regressor": on_array(lambda: regressor(boosting_type="rf", subsample=0.6, subsample_freq=1), target_of),
    "poisson forest": on_array(lambda: regressor(boosting_type="rf", subsample=0.6, subsample_freq=1, objective="poisson"), positive),
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
    "zero as missing": on_array(lambda: classifier(zero_as_missing=True)),
    "no missing": on_array(classifier, rows=lambda: numbers(missing=0.0)),
    "not used as missing": on_array(lambda: classifier(use_missing=False)),
    "many missing": on_array(classifier, rows=lambda: numbers(missing=0.6)),
    # Dtypes
    "float32": on_array(classifier, rows=lambda: numbers().astype(np.float32)),
    "integers as float32": on_array(classifier, of_whole, whole),
    "frame of integers": lambda: (classifier().fit(f := pd.DataFrame(whole(), columns=list("abcd")), of_whole(f.to_numpy())), f),
    "names with spaces": of_named_columns,
    # Categories
    "categories": of_categories(classifier),
    "categories in a regressor": of_categories(regressor),
    "numbers as categories": trained(categorical=[2], objective="binary"),
    "numbers as categories, zeros missing": trained(categorical=[2], objective="binary", zero_as_missing=True),
    "integers as categories": trained(of_whole, whole, categorical=[2], objective="binary"),
    "many categories": trained(
        lambda rows: np.isin(rows[:, 2] % 7, [1, 3, 4]).astype(int), lambda: whole(900) * np.array([1, 1, 31, 1]), categorical=[2], objective="binary", max_cat_to_onehot=1, min_data_per_group=1
    ),
    # Boosters
    "Booster": trained(objective="binary"),
    "Booster of three classes": trained(three, objective="multiclass", num_class=3),
    "Booster regressor": trained(target_of, objective="regression"),
    "Booster of a frame": trained(rows=frame, objective="regression"),
    "Booster of cross entropy": trained(objective="cross_entropy"),
    "Booster of an own objective": trained(three, objective=lambda p, d: ((g := p.reshape(3, -1).T - np.eye(3)[d.get_label().astype(int)]), np.ones_like(g)), num_class=3),
    # Pipelines
    "behind nothing": lambda: (make_pipeline(classifier()).fit(f := pd.DataFrame(numbers(), columns=list("abcd")), two(f.to_numpy())), f),
    "behind imputer and scaler": piped(classifier, lambda: columns(sparse=False, scaler=make_pipeline(SimpleImputer(), StandardScaler()))),
    "behind sparse columns": piped(classifier, lambda: columns(sparse=True, scaler="passthrough")),
    "behind sparse scaled columns": piped(classifier, lambda: columns(sparse=True, scaler=MaxAbsScaler())),
    "behind ordinal codes": piped(classifier, ordinal, lgbmclassifier__categorical_feature=[0]),
    "zero as missing behind columns": piped(lambda: classifier(zero_as_missing=True), lambda: columns(sparse=False, scaler="passthrough")),
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
        return (
            {"label": made.argmax(axis=1), "probabilities": made} if objective == "multiclass" else {"prediction": made}
        )
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
