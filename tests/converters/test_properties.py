"""Pipelines put together at random, on data made up at random: each converts, and answers rows that it never saw."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from edge_runtime.converters import convert
from edge_runtime.golden import differences

KINDS = ["float64", "float32", "int64", "int16", "int8", "bool", "str"]
SCALERS = [None, StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler]
MODELS: dict[str, Any] = {
    "tree": lambda: DecisionTreeRegressor(max_depth=5, random_state=0),
    "forest": lambda: RandomForestRegressor(3, max_depth=4, random_state=0),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=4, random_state=0),
    "hist": lambda: HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=2, random_state=0),
    "ridge": Ridge,
}
WORDS = ["", " ", "a", "A", "ä", "an æon", "0", "nan", "None"]


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[Any, list[str], int, bool]:
    """A pipeline, the kinds of its columns, a seed for their values, and whether numbers may be missing."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
    name = draw(st.sampled_from(list(MODELS)))
    gaps = draw(st.booleans())
    if name == "ridge":  # scaled in float32, its sums are float32 as well: another matter
        kinds = ["float64" if kind == "float32" else kind for kind in kinds]
    parts = []
    alike: dict[int, list[str]] = {}  # numbers that enter one transformer side by side
    for i, kind in enumerate(kinds):
        column = f"column {i}"
        if kind == "str":
            unknown = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
            ordinal = OrdinalEncoder(**unknown, encoded_missing_value=draw(st.sampled_from([-2, 7])))
            one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=draw(st.booleans()))
            parts.append((column, draw(st.sampled_from([ordinal, one_hot])), [column]))
        else:
            alike.setdefault(draw(st.integers(0, 1)), []).append(column)
    for number, columns in alike.items():
        steps: list[Any] = []
        bools = any(kinds[int(column.split()[1])] == "bool" for column in columns)
        if gaps and (name in ("boosting", "ridge") or draw(st.booleans())):
            steps += [MaxAbsScaler()] if bools else []  # an imputer takes no bool
            steps.append(SimpleImputer(strategy=draw(st.sampled_from(["mean", "median", "constant"]))))
        scaler = draw(st.sampled_from(SCALERS))
        steps += [scaler()] if scaler is not None else []
        parts.append((f"numbers {number}", make_pipeline(*steps) if steps else "passthrough", columns))
    prepared = ColumnTransformer(parts, sparse_threshold=0)
    return make_pipeline(prepared, MODELS[name]()), kinds, draw(st.integers(0, 2**31)), gaps


def rows(kinds: list[str], seed: int, n: int, *, gaps: bool, words: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for i, kind in enumerate(kinds):
        if kind == "str":
            values: Any = rng.choice(np.array(WORDS[:words], object), n)
            if gaps:
                values[rng.random(n) < 0.2] = None
            made[f"column {i}"] = pd.Series(values, dtype=object)
        elif kind == "bool":
            made[f"column {i}"] = rng.random(n) < 0.5
        elif kind.startswith("int"):
            made[f"column {i}"] = rng.integers(-100, 100, n).astype(kind)
        else:
            values = np.round(rng.normal(size=n) * 10.0 ** rng.integers(-3, 6), int(rng.integers(0, 4))).astype(kind)
            made[f"column {i}"] = np.where(rng.random(n) < 0.2 * gaps, np.nan, values).astype(kind)
    return pd.DataFrame(made)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(pipelines())
def test_a_pipeline_at_random_answers_rows_at_random(drawn: tuple[Any, list[str], int, bool]) -> None:
    """Rows that neither training nor conversion has seen, with text that it does not know: by every path the source's
    answers, and the same bits in a table, in blocks and alone."""
    model, kinds, seed, gaps = drawn
    data = rows(kinds, seed, 60, gaps=gaps, words=5)
    target = np.random.default_rng(seed).normal(size=60)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # of training: a column without one value, and the like
        model.fit(data, target)
    device = convert(model, data=data).model()
    fresh = rows(kinds, seed + 1, 50, gaps=gaps, words=len(WORDS))
    nullable = {column.name for column in device.schema.columns if column.nullable}
    for name in fresh:
        if name not in nullable:
            fresh = fresh[fresh[name].notna()]
    if not len(fresh):
        return
    with threadpool_limits(1):
        wanted = model.predict(fresh)
    found = device.predict(fresh)["prediction"]
    assert differences(found, wanted).max() <= (1e-9 if isinstance(model[-1], Ridge) else 1e-12)
    halves = [device.predict(fresh.iloc[:7])["prediction"], device.predict(fresh.iloc[7:])["prediction"]]
    alone = [device.predict_one(record)["prediction"] for record in fresh.to_dict("records")]
    assert np.concatenate(halves).tobytes() == found.tobytes() == np.array(alone).tobytes()
