"""Fields of CSV are read in bulk as one by one."""

from __future__ import annotations

import math
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.batch.texts import values_of
from edge_runtime.rows import number, truth
from edge_runtime.schema import ColumnSpec

FIELDS = [
    "", " ", "1", "-0", "-0.0", "+5", " 7 ", "007", "0x10", "1e3", "1E400", "nan", "NaN", "inf", "-Infinity", "1_0", "٣",
    "9007199254740993", "9007199254740992", "18446744073709551616", "1.", ".5", "1.5", "0.1", "nan(1)", "abc", "1e-400",
    "2.2250738585072011e-308", "true", "False", "TRUE ", "yes",
]  # fmt: skip


def as_python(value: Any) -> Any:
    """A value told apart by type and bits; None and NaN are one thing, as they are to a column."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return repr(float(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def column(dtype: str, *, nullable: bool = True) -> ColumnSpec:
    """A column that takes all numbers."""
    return ColumnSpec("c", dtype, nullable, "x", 0, -math.inf, math.inf)


def listed(values: Any) -> list[Any]:
    """An Arrow array or a list, as a list."""
    return list(values.to_pylist() if isinstance(values, pyarrow.Array) else values)


@given(st.lists(st.one_of(st.sampled_from(FIELDS), st.floats().map(repr), st.integers().map(str)), max_size=5))
def test_numbers_are_those_of_edge_predict(texts: list[str]) -> None:
    """What Arrow reads otherwise than `edge_runtime.rows.number` does is left to that."""
    for dtype in ("float64", "float32", "int64", "uint8"):
        found = listed(values_of(pyarrow.array(texts, pyarrow.string()), column(dtype)))
        expected = [number(text) for text in texts]
        assert [as_python(value) for value in found] == [as_python(value) for value in expected], dtype
        exact = [value for value in expected if isinstance(value, int)]
        if dtype == "int64" and len(exact) == len(texts):
            assert found == exact


@pytest.mark.parametrize("text", FIELDS)
def test_each_alone(text: str) -> None:
    """Without a neighbour that sends all to Python."""
    for dtype in ("float64", "int64"):
        (found,) = listed(values_of(pyarrow.array([text]), column(dtype)))
        assert as_python(found) == as_python(number(text)), dtype
    assert listed(values_of(pyarrow.array([text]), column("bool"))) == [truth(text)]


def test_text_is_missing_where_it_may_be() -> None:
    """And empty where not."""
    texts = pyarrow.array(["", "NA", " "])
    assert listed(values_of(texts, column("str"))) == [None, "NA", " "]
    assert listed(values_of(texts, column("str", nullable=False))) == ["", "NA", " "]
