"""What is told at the end: a table for people that says what its figures mean, and JSON that holds all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from edge_runtime.bundle import Bundle
from edge_runtime.converters import Conversion, convert
from edge_runtime.converters.precision.candidate import Layer, Outcome
from edge_runtime.converters.summary import data_of, precision_data, precision_text, summary


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Conversion, Bundle]:
    """A small model, for which nothing but its full precision was tried."""
    rows = pd.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0) % 7})
    conversion = convert(LinearRegression().fit(rows, rows["a"] - rows["b"]), data=rows, name="line", version="3")
    return conversion, conversion.save(tmp_path_factory.mktemp("summary") / "line.edge")


def test_one_line_where_nothing_was_tried(converted: tuple[Conversion, Bundle]) -> None:
    """It says why, and there is no table."""
    conversion, bundle = converted
    lines = summary(conversion, bundle, 4_200.0, 80).splitlines()
    assert lines[0] == "line 3"
    assert lines[1].startswith("30 rows checked: |Δ prediction| ≤ ")
    assert lines[1].endswith("; one row 4.2 µs")
    assert lines[-2].startswith("float64: nothing else was tried")
    assert lines[-1] == f"written to {bundle.path}, {bundle.digest}"


def test_the_check_is_told_apart_from_what_is_shipped(converted: tuple[Conversion, Bundle], outcome: Outcome) -> None:
    """It was the full precision that was held against the source."""
    conversion, bundle = converted
    lines = summary(replace(conversion, outcome=outcome), bundle, 4_200.0, 80).splitlines()
    assert lines[1].startswith("30 rows checked of float32: ")


@pytest.mark.parametrize("width", [80, 40])
def test_the_table_comes_with_what_its_figures_mean(outcome: Outcome, width: int) -> None:
    """How many were tried, what a loss is and how many rows bound it, which machine timed; at the end what was taken."""
    text = precision_text(outcome, "sample", width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for part in (
        "5 others were tried", "loss: top-1 disagreement of 'scores' with the reference", "on 1,812 rows",
        "p50: one sample", "int8 static, 5 of 7 layers is chosen",
    ):  # fmt: skip
        assert part in flat, part
    assert flat.index("5 others were tried") < flat.index("not surely faster") < flat.index("is chosen")


def test_json_holds_all_of_it(converted: tuple[Conversion, Bundle], outcome: Outcome) -> None:
    """It goes out and in again unchanged, with units in the keys."""
    conversion, bundle = converted
    data = data_of(replace(conversion, outcome=outcome), bundle, 4_200.0)
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["precision"] == data["precision"]
    precision = again["precision"]
    assert [each["name"] for each in precision["candidates"]] == [each.name for each in outcome.candidates]
    chosen = precision["candidates"][2]
    assert chosen["certified_loss"] == {"value": 0.0011, "low": 0.0, "high": 0.00449001}
    assert chosen["size_bytes"] == 27_400
    assert chosen["size_ratio"] == pytest.approx(27_400 / 92_000)
    assert chosen["latency_ns"]["value"] == 27.9e3
    assert chosen["latency_ratio"]["value"] == 0.68
    assert chosen["reason"] == outcome.candidates[2].reason
    assert len(precision["layers"]) == 48
    assert precision["ranges"][1] == {"activation": outcome.ranges[1][0], "lowest": -1.0, "highest": 2e-6}
    assert precision["shipped"] == ["int8-static-5-of-7-layers", "float32"]


def test_what_is_not_finite_is_null_in_json(outcome: Outcome) -> None:
    """JSON has no word for it."""
    first, second, third, *others = outcome.candidates
    assert third.drop is not None
    broken = replace(third, searched=nan, drop=replace(third.drop, high=inf))
    odd = replace(
        outcome,
        candidates=(first, second, broken, *others),
        layers=(Layer("a", "Conv", inf, nan),),
        ranges=(("x", -inf, nan),),
    )
    data = json.loads(json.dumps(precision_data(odd), allow_nan=False))
    assert data["candidates"][2]["certified_loss"]["high"] is None
    assert data["candidates"][2]["searched_loss"] is None
    assert (data["layers"][0]["loss"], data["layers"][0]["time_ratio"]) == (None, None)
    assert (data["ranges"][0]["lowest"], data["ranges"][0]["highest"]) == (None, None)
