"""Transformers one by one before trees: each number goes where the source sends it, or is refused as the source does."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters import Conversion, convert
from edge_runtime.errors import EdgeError, InputError, UnsupportedModelError

ROWS, BENIGN = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, [0, 4, 5, 10]]
GAPPY = np.where(np.random.default_rng(0).random(ROWS.shape) < 0.1, np.nan, ROWS)
WILD = [0.0, -0.0, 5e-324, 0.05, 0.5, 1.0, 12.0, 15.5, 20.0, -1.0, -0.5, 1e30, -1e30, 1e300, np.inf, -np.inf, np.nan]


def tree() -> Any:
    return DecisionTreeClassifier(max_depth=6, random_state=0)


def forest() -> Any:
    return RandomForestClassifier(3, max_depth=5, random_state=0)


def hist() -> Any:
    return HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=6, random_state=0)


def converted(model: Any, rows: Any = ROWS) -> Conversion:
    """Lowered, and the same on all rows."""
    conversion = convert(model.fit(rows, BENIGN), data=rows)
    assert any("proven: every float64 input" in text for text in conversion.report.statements)
    found = conversion.model().predict(rows)
    assert found["label"].tolist() == model.predict(rows).tolist()
    assert np.abs(found["probabilities"] - model.predict_proba(rows)).max() < 1e-12
    return conversion


def assert_alike(model: Any, conversion: Conversion) -> None:
    """Values of all sorts and next to each threshold, one column at a time: answered or refused alike."""
    device = conversion.model()
    quantiles = np.quantile(ROWS, np.linspace(0, 1, 9), axis=0)
    rows = []
    for column in range(ROWS.shape[1]):
        at = quantiles[:, column]
        for value in [*WILD, *at, *np.nextafter(at, np.inf), *np.nextafter(at, -np.inf)]:
            rows.append(ROWS[0].copy())
            rows[-1][column] = value
    answered, found = [], []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows:
            try:
                found.append(device.predict(row[None])["probabilities"][0])
                answered.append(row)
            except InputError:
                with pytest.raises(ValueError, match=r"Input|infinity|NaN"):
                    model.predict(row[None])
        assert np.abs(np.array(found) - model.predict_proba(np.array(answered))).max() < 1e-12


FUNCTIONS: dict[str, Any] = {
    **{f.__name__: FunctionTransformer(f) for f in (np.floor, np.ceil, np.rint, np.trunc, np.sign, np.positive)},
    **{f.__name__: FunctionTransformer(f) for f in (np.cbrt, np.tanh, np.arcsinh, np.deg2rad, np.nan_to_num)},
    "clip on both sides": FunctionTransformer(np.clip, kw_args={"a_min": 12, "a_max": 15.5}),
    "clip from below": FunctionTransformer(np.clip, kw_args={"min": 12.0}),
    "clip from above, partial": FunctionTransformer(partial(np.clip, a_min=None, a_max=15.5)),
    "clip to one value": FunctionTransformer(np.clip, kw_args={"a_min": 20, "a_max": 12}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_known_function_is_part_of_the_conditions(name: str) -> None:
    """Its own arithmetic decides, in float32 and in float64."""
    for final in (forest(), hist()):
        model = make_pipeline(FUNCTIONS[name], final)
        assert_alike(model, converted(model))


def test_clipping_before_a_linear_map_stays_an_operator() -> None:
    """The larger of a value and the lower bound, the smaller of that and the upper one."""
    clip = FunctionTransformer(np.clip, kw_args={"a_min": 12, "a_max": 15.5})
    model = make_pipeline(clip, StandardScaler(), LogisticRegression(max_iter=1000)).fit(ROWS, BENIGN)
    found = convert(model, data=ROWS).model().predict(ROWS)
    assert found["label"].tolist() == model.predict(ROWS).tolist()


UNKNOWN: dict[str, Any] = {
    "a function that turns": FunctionTransformer(np.square),
    "a function that decreases": FunctionTransformer(np.negative),
    "bounds of one's own per column": FunctionTransformer(np.clip, kw_args={"a_min": [1, 2, 3, 4], "a_max": 15}),
    "another argument": FunctionTransformer(np.log, kw_args={"where": True}),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_function_that_is_not_known_to_increase_is_refused(name: str) -> None:
    """In one line, with advice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(UNKNOWN[name], hist()).fit(ROWS, BENIGN)
    with pytest.raises(UnsupportedModelError, match=r"FunctionTransformer calls \w+, which a graph cannot hold; comp"):
        convert(model, data=ROWS)


# Bins of which each is a feature


def bins(count: int = 5, **options: Any) -> KBinsDiscretizer:
    return KBinsDiscretizer(count, **{"encode": "onehot-dense", "quantile_method": "averaged_inverted_cdf", **options})


BINS: dict[str, Callable[[], Any]] = {
    "alone": bins,
    "two": lambda: bins(2),
    "sparse": lambda: bins(encode="onehot"),
    "of equal width, behind a scaler": lambda: make_pipeline(StandardScaler(), bins(strategy="uniform"), "passthrough"),
    "beside others": lambda: ColumnTransformer(
        [("x", bins(), [0, 1]), ("y", bins(4, encode="ordinal"), [2]), ("z", MinMaxScaler(), [3])]
    ),
    "in a union": lambda: FeatureUnion([("x", make_pipeline(bins(encode="onehot"))), ("y", MinMaxScaler())]),
    "nested": lambda: make_pipeline(
        ColumnTransformer([("x", ColumnTransformer([("y", bins(3), [0, 1])]), [1, 2])], remainder="passthrough")
    ),
}


@pytest.mark.parametrize("make", [tree, forest])
@pytest.mark.parametrize("name", BINS)
def test_a_bin_of_its_own_is_two_comparisons(name: str, make: Callable[[], Any]) -> None:
    """At each edge of a bin and next to it, and beyond the outermost ones."""
    model = make_pipeline(BINS[name](), make())
    assert_alike(model, converted(model))


@pytest.mark.filterwarnings("ignore:Bins whose width")  # of the indicators
def test_bins_of_imputed_numbers() -> None:
    """A missing number is in the bin of what stands for it, and its indicator is a bin of two."""
    model = make_pipeline(SimpleImputer(add_indicator=True), bins(4), hist())
    assert_alike(model, converted(model, GAPPY))


@pytest.mark.parametrize("library", ["lightgbm", "xgboost", "catboost"])
def test_bins_before_boosters_of_other_libraries(library: str) -> None:
    """Also where a zero that a sparse matrix leaves out is missing to them."""
    package = pytest.importorskip(library)
    quiet = {
        "lightgbm": lambda: package.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1, zero_as_missing=True),
        "xgboost": lambda: package.XGBClassifier(n_estimators=5, n_jobs=1),
        "catboost": lambda: package.CatBoostClassifier(
            iterations=5, depth=4, verbose=0, allow_writing_files=False, thread_count=1
        ),
    }
    for encode in ("onehot", "onehot-dense"):
        model = make_pipeline(bins(encode=encode), quiet[library]()).fit(ROWS, BENIGN)
        conversion = convert(model, data=ROWS)
        assert any("proven: every float64 input" in text for text in conversion.report.statements)
        found = conversion.model().predict(ROWS)
        assert found["label"].tolist() == model.predict(ROWS).tolist()
        assert np.abs(found["probabilities"] - model.predict_proba(ROWS)).max() < 1e-6


def test_bins_behind_which_something_stands_are_not_lowered() -> None:
    """Nor are those before a linear map; the reason is said."""
    for model, why in (
        (make_pipeline(bins(), StandardScaler(), tree()), "stands before another step"),
        (make_pipeline(bins(), LogisticRegression(max_iter=1000)), "before the linear map makes one feature per bin"),
    ):
        try:
            conversion = convert(model.fit(ROWS, BENIGN), data=ROWS)
        except EdgeError:  # skl2onnx bins in float32, and not every row survives that
            continue
        assert any(why in text for text in conversion.report.statements)


# Categories in columns of floats


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("known", [[0, 1, 2, 3, 5, 9, 40], [-7, 0, 1, 2, 3, 100, 1000]])
def test_categories_may_be_held_as_floats(known: list[int], missing: bool) -> None:
    """HistGradientBoosting's own: a fraction is a value that training did not have, and so missing."""
    draw = np.random.default_rng(1)
    codes = draw.choice(known, 400).astype(float)
    if missing:
        codes[draw.random(400) < 0.1] = np.nan
    rows = np.column_stack([draw.normal(size=400), codes])
    yes = np.isin(codes, [known[1], known[3], known[5]]) ^ (rows[:, 0] > 1.0)
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=[1], random_state=0).fit(rows, yes)
    conversion = convert(model, data=rows)
    assert any("proven: every float64 input" in text for text in conversion.report.statements)
    device = conversion.model()
    near = [float(v) + step for v in known for step in (0.0, 0.5, -0.5)] + [float(np.nextafter(v, 9e9)) for v in known]
    for value in [*near, np.nan, -0.0, 1e300, -1e300, 2.0**31, 2.0**63, 64.0]:
        row = np.array([[2.0, value]])
        assert np.array_equal(device.predict(row)["label"], model.predict(row)), value
    with pytest.raises(InputError, match="'x1'"):
        device.predict(np.array([[2.0, np.inf]]))
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.array([[2.0, np.inf]]))


def test_categories_with_a_fraction_are_refused() -> None:
    """No set of floats is told apart from its neighbours in every runtime."""
    draw = np.random.default_rng(2)
    rows = np.column_stack([draw.choice([0.5, 1.0, 2.0, 3.25, 4.0, 5.0], 300), draw.normal(size=300)])
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(rows, np.isin(rows[:, 0], [1, 4]))
    says = "the categories of HistGradientBoostingClassifier cannot be lowered: .*; train on .* whole numbers"
    with pytest.raises(UnsupportedModelError, match=says):
        convert(model, data=rows)


def test_a_float_that_is_a_category_and_a_number_is_not_cut() -> None:
    """Its fraction is unknown to one feature and counts for the other: checked only, or refused."""
    draw = np.random.default_rng(3)
    rows = np.column_stack([draw.choice(np.arange(8.0), 400), draw.normal(size=400)])
    yes = np.isin(rows[:, 0], [1, 4, 6]) ^ (rows[:, 0] > 5)
    encode = ColumnTransformer([("x", OneHotEncoder(handle_unknown="ignore"), [0]), ("y", "passthrough", [0, 1])])
    model = make_pipeline(encode, tree()).fit(rows, yes)
    conversion = convert(model, data=rows)
    for value in (1.0, 1.5, 3.999, 4.0, 6.5):
        row = np.array([[value, 0.0]])
        assert conversion.model().predict(row)["label"] == model.predict(row)
    assert re.search("proven|checked", "".join(conversion.report.statements))


def test_what_a_library_computes_is_checked_not_proven() -> None:
    """Behind a logarithm, the certificate says at how many floats each threshold was asked."""
    said = convert(make_pipeline(FunctionTransformer(np.log1p), hist()).fit(ROWS, BENIGN), data=ROWS).report.statements
    assert re.search(r"but for the \d+ conditions behind a logarithm, .* checked at 129 floats around each", said[0])
    said = convert(make_pipeline(StandardScaler(), hist()).fit(ROWS, BENIGN), data=ROWS).report.statements
    assert "but for" not in said[0]


def test_quantiles_of_the_normal_distribution_are_not_lowered() -> None:
    """They round neighbours out of order; those of the uniform one are."""
    make = partial(QuantileTransformer, n_quantiles=50)
    with pytest.raises(UnsupportedModelError, match=r"out of order .* and skl2onnx .* cannot convert"):
        convert(make_pipeline(make(output_distribution="normal"), hist()).fit(ROWS, BENIGN), data=ROWS)
    converted(make_pipeline(make(), hist()))
