"""The edge rows: what every conversion is tried on beside its data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters.data import read_data
from edge_runtime.converters.edge_rows import edge_rows, edge_values
from edge_runtime.converters.source import Request, read_source
from edge_runtime.schema import ColumnSpec

INFINITY = math.inf
LARGE = float(np.finfo(np.float64).max)
FLOAT = ColumnSpec("a", "float64", True, "x", 0, -INFINITY, INFINITY)


def floats(values: list[Any]) -> list[float]:
    return [value for value in values if value is not None]


def test_a_number_is_tried_missing_infinite_signed_zero_and_huge() -> None:
    """0.0 and -0.0 are two of them, though they compare equal; the least and the largest floats are there too."""
    values = edge_values(FLOAT, None)
    assert values.count(None) == 1
    assert {INFINITY, -INFINITY, 5e-324, -5e-324, LARGE, -LARGE, 2.0**24 + 1} <= set(floats(values))
    assert {math.copysign(1.0, value) for value in floats(values) if value == 0.0} == {1.0, -1.0}
    assert len({repr(value) for value in values}) == len(values)


def test_a_threshold_is_tried_with_its_neighbours() -> None:
    """At it, just below and just above."""
    threshold = 0.30000000000000004
    values = edge_values(FLOAT, np.array([threshold]))
    assert {math.nextafter(threshold, -1.0), threshold, math.nextafter(threshold, 1.0)} <= set(floats(values))


def test_the_neighbours_of_a_threshold_are_those_of_the_columns_own_lattice() -> None:
    """A float32 column can hold no other; one of them lies on each side of the threshold."""
    threshold = 0.1
    values = floats(edge_values(replace(FLOAT, dtype="float32", low=-1e3, high=1e3), np.array([threshold])))
    assert all(float(np.float32(value)) == value for value in values)
    close = sorted(value for value in values if abs(value - threshold) < 1e-7)
    assert close[0] < threshold < close[-1]
    assert float(np.nextafter(np.float32(close[0]), np.float32(1.0))) in close


def test_a_bound_is_tried_and_so_is_what_lies_beyond() -> None:
    """What is refused must be refused by both."""
    values = floats(edge_values(replace(FLOAT, low=-2.5, high=1e300), None))
    assert {-2.5, math.nextafter(-2.5, -INFINITY), 1e300, math.nextafter(1e300, INFINITY)} <= set(values)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int8", -128, 127), ("uint8", 0, 255), ("int64", -(2**63), 2**63 - 1), ("uint64", 0, 2**64 - 1)],
)
def test_an_integer_is_tried_on_both_sides_of_a_threshold(dtype: str, low: int, high: int) -> None:
    """Within its dtype's range, where float32 and float64 end to tell integers apart among others."""
    values = edge_values(replace(FLOAT, dtype=dtype, low=float(low), high=float(high)), np.array([7.5, 30.0, -3.25]))
    whole = [value for value in values if value is not None]
    assert values.count(None) == 1
    assert all(type(value) is int and low <= value <= high for value in whole)
    assert {7, 8, 29, 30, 31} <= set(whole)
    assert ({-3, -4} <= set(whole)) is (low < 0)
    assert ({2**24 + 1, 2**53} <= set(whole)) is (high > 2**32)


def test_text_is_tried_missing_empty_unknown_and_known() -> None:
    """Empty text is a value, and no category is left out while they are few."""
    column = ColumnSpec("c", "str", True, "x", 0, categories=("AA", "UA"))
    values = edge_values(column, None)
    assert {None, "", "AA", "UA"} <= set(values)
    assert any(value not in ("", "AA", "UA", None) for value in values)
    many = tuple(f"c{i}" for i in range(1000))
    assert len(edge_values(replace(column, categories=many), None)) < 100


def test_a_bool_has_three_values() -> None:
    """Both, and missing."""
    assert set(edge_values(ColumnSpec("b", "bool", True, "x", 0), None)) == {None, True, False}


def test_each_row_differs_from_the_data_in_one_column() -> None:
    """So that a difference says where it comes from; the values are plain Python, as an app hands them over."""
    rows, kind = load_iris(return_X_y=True)
    frame = pd.DataFrame(rows, columns=list("abcd"))
    source = read_source(
        DecisionTreeClassifier(random_state=0).fit(frame, kind), Request(read_data(frame), "auto", None)
    )
    base = frame.iloc[:3]
    records = edge_rows(source, base)
    assert len(records) == sum(len(edge_values(c, source.probes.get(c.name))) for c in source.schema.columns)
    known = base.to_dict("records")
    for record in records:
        assert min(sum(record[name] != value for name, value in row.items()) for row in known) <= 1
        assert {type(value) for value in record.values()} <= {float, type(None)}
    thresholds = {(name, float(value)) for name, values in source.probes.items() for value in values}
    assert thresholds
    assert thresholds <= {(name, value) for record in records for name, value in record.items()}


def test_missing_values_of_the_data_come_as_none() -> None:
    """Whatever the frame calls them."""
    frame = pd.DataFrame(
        {"a": [np.nan, 1.0, 2.0], "c": pd.array(["x", None, "y"], "str"), "n": pd.array([None, 1, 2], "Int64")}
    )
    model = DecisionTreeClassifier(random_state=0).fit(np.zeros((3, 1)), [0, 1, 0])
    source = read_source(model, Request(read_data(np.zeros((3, 1))), "auto", None))
    column = source.schema.columns[0]
    renamed = replace(source, schema=replace(source.schema, columns=(replace(column, name="a"),)))
    records = edge_rows(renamed, frame)
    assert records[0] == {"a": None, "c": "x", "n": None}
    assert records[1]["c"] is None
    assert records[1]["n"] == 1
