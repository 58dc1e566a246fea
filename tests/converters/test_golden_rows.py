"""Golden rows: few, the app's own values, and visiting as many leaves as they can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from edge_runtime.bundle import Bundle
from edge_runtime.converters import Conversion, convert
from edge_runtime.converters.data import read_data
from edge_runtime.converters.golden_rows import Golden, choose
from edge_runtime.converters.source import Request, Source, read_source
from edge_runtime.golden import encode
from edge_runtime.manifest import Variant
from edge_runtime.model import Model

Converted = Any  # of conftest.py
ROWS, BENIGN = load_breast_cancer(return_X_y=True)
ROWS = ROWS[:, :4]


def golden_of(conversion: Conversion) -> Any:
    return json.loads(conversion.contents["golden.json"])


def chosen(source: Source, frame: pd.DataFrame, *, graph_bytes: int, edges: tuple[dict[str, Any], ...] = ()) -> Golden:
    variant = Variant("float64", "graph.onnx", "float64", 2**20, True)
    model = Model(source.graph.SerializeToString(), source.schema, source.ending, variant, 1)
    return choose(source, model, frame, graph_bytes, edges)


def source_of(model: Any, data: Any) -> tuple[Source, pd.DataFrame]:
    rows = read_data(data)
    return read_source(model, Request(rows, "auto", None)), rows.frame


@pytest.fixture
def forest() -> Any:
    return RandomForestClassifier(12, max_depth=5, random_state=0).fit(ROWS, BENIGN)


def leaves_visited(forest: Any, rows: Any) -> int:
    """Distinct leaves that rows end in, as scikit-learn counts them."""
    return sum(len(set(column)) for column in forest.apply(rows).T)


def test_they_visit_as_many_leaves_as_they_say(forest: Any) -> None:
    """Counted with scikit-learn's own apply; the whole forest's leaves are counted as well."""
    conversion = convert(forest, data=ROWS)
    rows = np.array([[row[f"x{i}"] for i in range(4)] for row in golden_of(conversion)["rows"]], np.float64)
    report = conversion.report
    assert report.leaves == sum(tree.tree_.n_leaves for tree in forest.estimators_)
    assert leaves_visited(forest, rows) >= report.leaves_visited > 0
    assert f"golden rows visit {report.leaves_visited:,} of {report.leaves:,} leaves" in "\n".join(report.statements)


def test_they_visit_more_leaves_than_as_many_rows_drawn_at_random(forest: Any) -> None:
    """Chosen one after the other, each adding the most leaves that none before it has visited."""
    source, frame = source_of(forest, ROWS)
    golden = chosen(source, frame, graph_bytes=0)
    drawn = np.random.default_rng(0)
    others = [leaves_visited(forest, ROWS[drawn.choice(len(ROWS), len(golden.samples), False)]) for _ in range(20)]
    assert golden.visited > max(others)
    assert leaves_visited(forest, [list(golden.samples[0].inputs.values())]) == 12


def test_no_row_is_there_that_adds_no_leaf() -> None:
    """A small tree needs few of them."""
    rows, kind = load_iris(return_X_y=True)
    forest = RandomForestClassifier(1, max_depth=2, random_state=0).fit(rows, kind)
    source, frame = source_of(forest, rows)
    golden = chosen(source, frame, graph_bytes=0)
    assert len(golden.samples) == golden.visited == golden.leaves == forest.estimators_[0].tree_.n_leaves


@pytest.mark.parametrize("graph_bytes", [0, 100_000, 320_001, 600_000, 2_000_000])
def test_they_take_no_more_than_their_room(graph_bytes: int) -> None:
    """max(16 kB, 5% of the graph), however wide a row is; and never fewer than one."""
    names = [f"a column with quite a long name, number {i}" for i in range(30)]
    data = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 30)), columns=names)
    forest = RandomForestRegressor(8, random_state=0).fit(data, data.to_numpy().sum(axis=1))
    source, frame = source_of(forest, data)
    golden = chosen(source, frame, graph_bytes=graph_bytes)
    size = len(encode(golden.samples, source.schema)["golden.json"])
    room = max(16_000, graph_bytes // 20)
    assert size <= room
    one = size / len(golden.samples)
    assert len(golden.samples) == 32 or size + 1.2 * one > room


def test_a_bundle_of_the_battery_keeps_to_the_room(battery: Converted) -> None:
    """In the finished bundle, measured by its own bytes."""
    bundle = Bundle.open(battery.path)
    room = max(16_000, len(bundle.read("graph.onnx")) // 20)
    assert len(bundle.read("golden.json")) <= room


def test_values_are_the_apps_own() -> None:
    """Text as text and not as codes, missing as null, infinities as words, labels as in training."""
    data = pd.DataFrame(
        {
            "carrier": ["UA", "AA", None, "Ünï", "", "UA"] * 10,
            "delay": [1.5, -0.0, np.nan, 3.0, 4.0, 5.0] * 10,
            "day": [1, 2, 3, 4, 5, 6] * 10,
            "night": [True, False, True, False, True, False] * 10,
        }
    ).astype({"carrier": object})
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough", sparse_threshold=0
    )
    forest = RandomForestClassifier(4, random_state=0)
    model = make_pipeline(columns, forest).fit(data, ["late", "early", "late", "early", "late", "late"] * 10)
    conversion = convert(model, data=data)
    golden = golden_of(conversion)
    rows, outputs = golden["rows"], golden["outputs"]
    assert {type(row["carrier"]) for row in rows} == {str, type(None)}
    assert {row["carrier"] for row in rows} >= {"UA", None}
    assert None in {row["delay"] for row in rows}
    assert {type(row["day"]) for row in rows} == {int}
    assert {type(row["night"]) for row in rows} <= {bool, type(None)}
    assert {output["label"] for output in outputs} == {"late", "early"}
    assert all(len(output["probabilities"]) == 2 for output in outputs)


def test_edge_rows_are_among_them(battery: Converted) -> None:
    """A device that treats a missing or huge value in its own way is found out when it loads the bundle."""
    rows = [sample.inputs for sample in battery.one.golden_rows()]
    data = read_data(battery.data).frame
    known = {name: set(map(repr, data[name].tolist())) for name in data}
    strange = [
        row for row in rows if any(repr(value) not in known[name] for name, value in row.items() if name in known)
    ]
    assert strange


def test_the_first_four_are_rows_of_the_data(forest: Any) -> None:
    """`load` replays four: ordinary rows, before the strange ones."""
    rows = golden_of(convert(forest, data=ROWS))["rows"]
    known = {tuple(row) for row in ROWS.tolist()}
    assert all(tuple(row[f"x{i}"] for i in range(4)) in known for row in rows[:4])
    assert not all(tuple(row[f"x{i}"] for i in range(4)) in known for row in rows[4:12])


@pytest.mark.parametrize("make", [LogisticRegression, GaussianNB], ids=["linear", "converted"])
def test_models_without_leaves_have_golden_rows_too(make: Callable[[], Any]) -> None:
    """The first rows of the data; nothing is said of leaves."""
    rows = ROWS[:, :2]
    conversion = convert(make().fit(rows, BENIGN), data=rows)
    assert conversion.report.golden_rows > 16
    assert (conversion.report.leaves, conversion.report.leaves_visited) == (0, 0)
    assert "leaves" not in "\n".join(conversion.report.statements)
    first = golden_of(conversion)["rows"][0]
    assert list(first.values()) == rows[0].tolist()


def test_one_row_of_data_is_enough() -> None:
    """There are edge rows beside it."""
    rows = ROWS[:, :2]
    conversion = convert(RandomForestClassifier(2, random_state=0).fit(rows, BENIGN), data=rows[:1])
    assert conversion.report.rows == 1
    assert conversion.report.golden_rows > 1
    assert conversion.model().verify().ok


def test_numbers_that_are_categories_stay_as_they_are() -> None:
    """Others are written in four digits; a closed category would become another value."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"rate": rng.choice([0.123456, 3.14159265, 2.71828], 300), "amount": rng.lognormal(3, 1, 300)})
    encode = make_column_transformer((OneHotEncoder(), ["rate"]), remainder="passthrough", sparse_threshold=0)
    model = make_pipeline(encode, RandomForestClassifier(4, random_state=0)).fit(data, data.amount > 20)
    rows = golden_of(convert(model, data=data))["rows"]
    assert {row["rate"] for row in rows[:4]} <= set(data.rate)
    assert all(
        len(f"{row['amount']:.17g}") <= 20 and float(f"{row['amount']:.4g}") == row["amount"] for row in rows[:4]
    )
