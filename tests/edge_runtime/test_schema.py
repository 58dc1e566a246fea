"""The schema: every column and tensor comes back from its JSON, and what could not be filled is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.canonical import dumps, loads
from edge_runtime.errors import BundleError
from edge_runtime.schema import (
    COLUMN_DTYPES,
    INTEGER_RANGE,
    TENSOR_DTYPES,
    ColumnSpec,
    Schema,
    TensorSpec,
    decimal,
    in_range,
)

INF = math.inf
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@st.composite
def columns(draw: st.DrawFn) -> ColumnSpec:
    """A column of any dtype, with bounds and categories that it may have."""
    dtype = draw(st.sampled_from(sorted(COLUMN_DTYPES)))
    values: st.SearchStrategy[Any] = {"str": TEXTS, "bool": st.booleans()}.get(dtype, FINITE)
    if dtype in INTEGER_RANGE:
        values = st.integers(*INTEGER_RANGE[dtype])
    low = draw(FINITE | st.just(-INF))
    high = draw(st.floats(low, allow_infinity=False) if math.isfinite(low) else FINITE) if draw(st.booleans()) else INF
    categories = draw(st.none() | st.lists(values, max_size=5, unique=True).map(tuple))
    numeric = dtype not in ("str", "bool")
    return ColumnSpec(
        draw(TEXTS), dtype, draw(st.booleans()), "x", 0, low if numeric else None,
        high if numeric else None, categories, draw(st.booleans()),
    )  # fmt: skip


@given(columns())
def test_columns_come_back_from_their_json(column: ColumnSpec) -> None:
    """Infinite bounds and categories of any dtype included, through canonical bytes."""
    again = ColumnSpec.from_json(loads(dumps(column.to_json())))
    assert again == column
    assert list(map(repr, again.categories or ())) == list(map(repr, column.categories or ()))


@given(
    st.builds(
        TensorSpec,
        TEXTS,
        st.sampled_from(sorted(TENSOR_DTYPES)),
        st.lists(st.none() | st.integers(0, 2**40), max_size=5).map(tuple),
    )
)
def test_tensors_come_back_from_their_json(tensor: TensorSpec) -> None:
    """Whatever dtype and shape, a scalar's among them."""
    assert TensorSpec.from_json(json.loads(json.dumps(tensor.to_json()))) == tensor


NUMBER = ColumnSpec("a", "float64", True, "x", 0, -INF, INF)
SCHEMA = Schema(
    (
        NUMBER,
        ColumnSpec("b", "str", True, "x", 1, categories=("p", "q")),
        ColumnSpec("c", "int8", False, "y", 0, 0.0, 9.0),
    ),
    (TensorSpec("x", "float64", (None, 2)), TensorSpec("y", "int64", (None,))),
    (TensorSpec("label", "str", (None,)),),
)


def test_a_schema_comes_back_from_its_json() -> None:
    """Columns, inputs and outputs in their order."""
    assert Schema.from_json(loads(dumps(SCHEMA.to_json()))) == SCHEMA


def test_a_schema_cannot_be_changed() -> None:
    """It may be shared by threads."""
    for part, name in ((SCHEMA, "columns"), (NUMBER, "low"), (SCHEMA.inputs[0], "shape")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, name, None)


def changed(**fields: Any) -> Any:
    return NUMBER.to_json() | fields


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (changed(dtype="float16"), "column 'a' has the unknown dtype 'float16'"),
        (changed(dtype="object"), "unknown dtype"),
        (changed(low=None), "bounds go with numbers, and only with them"),
        (changed(dtype="str"), "bounds go with numbers, and only with them"),
        (changed(dtype="bool", high=None), "bounds go with numbers, and only with them"),
        (changed(low="2.0", high="1.0"), "bounds between which no finite number lies: 2.0, 1.0"),
        (changed(low="inf"), "bounds between which no finite number lies: inf, inf"),
        (changed(high="-inf"), "bounds between which no finite number lies: -inf, -inf"),
        (changed(low="nan"), "a: 'nan' is not a number"),
        (changed(low="1"), "a: '1' is not a number in its shortest form"),
        (changed(low=1), "field 'low' has the wrong type int"),
        (changed(index=True), "field 'index' has the wrong type bool"),
        (changed(categories=[1.0]), "not distinct values of float64"),
        (changed(categories=["one"]), "a: 'one' is not a number"),
        (changed(categories=["1.0", "1.0"]), "not distinct values of float64"),
        (changed(dtype="int8", categories=[1, 128]), "categories outside int8"),
        (changed(dtype="uint64", categories=[-1]), "categories outside uint64"),
        (changed(dtype="int8", categories=[True]), "not distinct values of int8"),
        (changed(dtype="str", low=None, high=None, categories=["a", "a"]), "not distinct values of str"),
        (changed(dtype="str", low=None, high=None, categories=[["a"]]), "not distinct values of str"),
        (changed(dtype="bool", low=None, high=None, categories=[0, 1]), "not distinct values of bool"),
        ({}, "column must have the fields"),
        (None, "column must have the fields"),
    ],
)
def test_columns_that_make_no_sense_are_refused(data: Any, says: str) -> None:
    """Each with the column and what is wrong with it."""
    with pytest.raises(BundleError, match=says):
        ColumnSpec.from_json(data)


@pytest.mark.parametrize(
    ("dtype", "shape", "says"),
    [
        ("object", [], "unknown dtype 'object'"),
        ("bfloat16", [], "unknown dtype"),
        ("float32", [-1], "not a list of sizes"),
        ("float32", [True], "not a list of sizes"),
        ("float32", ["N"], "not a list of sizes"),
        ("float32", [[1]], "not a list of sizes"),
        ("float32", None, "field 'shape' has the wrong type NoneType"),
    ],
)
def test_tensors_that_make_no_sense_are_refused(dtype: str, shape: Any, says: str) -> None:
    """Free axes are null, and nothing else is."""
    with pytest.raises(BundleError, match=says):
        TensorSpec.from_json({"name": "x", "dtype": dtype, "shape": shape})


def first_column(**fields: Any) -> Callable[[Schema], Schema]:
    return lambda s: replace(s, columns=(replace(s.columns[0], **fields), *s.columns[1:]))


def first_input(*shape: int | None) -> Callable[[Schema], Schema]:
    return lambda s: replace(s, inputs=(replace(s.inputs[0], shape=shape), *s.inputs[1:]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (first_column(name="b"), "two columns of one name"),
        (lambda s: replace(s, inputs=(s.inputs[0], replace(s.inputs[1], name="x"))), "two inputs of one name"),
        (lambda s: replace(s, outputs=s.outputs * 2), "two outputs of one name"),
        (first_column(index=1), "do not fill"),
        (first_column(index=2), "do not fill"),
        (first_column(index=-1), "do not fill"),
        (first_column(tensor="z"), "do not fill"),
        (lambda s: replace(s, columns=s.columns[:2]), "do not fill"),
        (lambda s: replace(s, inputs=(*s.inputs, TensorSpec("z", "float64", (None, 1)))), "do not fill"),
        (lambda s: replace(s, inputs=(*s.inputs, TensorSpec("z", "float64", (None, None)))), "do not fill"),
        (first_input(None, 3), "do not fill"),
        (first_input(None, None), "do not fill"),
        (first_input(None, 2, 1), "do not fill"),
        (first_input(1, 2), "do not fill"),
        (first_input(), "do not fill"),
        (first_input(None, 2**40), "do not fill"),
    ],
)
def test_columns_fill_the_inputs_exactly_once(change: Callable[[Schema], Schema], says: str) -> None:
    """One value a row for every place of every input, whose first axis is the rows."""
    SCHEMA.check()
    with pytest.raises(BundleError, match=says):
        change(SCHEMA).check()


def test_a_tensor_model_may_have_any_inputs() -> None:
    """Without columns nothing has to be filled."""
    Schema((), (TensorSpec("image", "float32", (1, 3, None, None)), TensorSpec("rate", "int64", ())), ()).check()


@pytest.mark.parametrize("dtype", INTEGER_RANGE)
def test_ends_of_integers_are_in_their_range(dtype: str) -> None:
    """Both ends are, and their neighbours outside are not."""
    low, high = INTEGER_RANGE[dtype]
    assert in_range(low, dtype)
    assert in_range(high, dtype)
    assert not in_range(low - 1, dtype)
    assert not in_range(high + 1, dtype)


@given(st.floats(allow_nan=False))
def test_decimals_are_exact(value: float) -> None:
    """The shortest text stands for the very same float, its sign included."""
    assert repr(decimal(repr(value), "here")) == repr(value)


@pytest.mark.parametrize(
    "text", ["1", "1.00", "+1.0", " 1.0", "1_0.0", "1E5", "0x1p0", "infinity", "NaN", "nan", "", "१.0"]
)
def test_other_spellings_of_a_number_are_refused(text: str) -> None:
    """One number, one text."""
    with pytest.raises(BundleError, match=r"here: .* is not a number"):
        decimal(text, "here")
