"""Tensors for a graph: a wider dtype is taken where nothing is lost, and refused where something would be."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.schema import INTEGER_RANGE, TENSOR_DTYPES, TensorSpec
from edge_runtime.tensors import check_tensors

NUMBERS = sorted(TENSOR_DTYPES - {"str", "bool"})


def check(value: Any, dtype: str = "float32", *shape: int | None) -> NDArray[Any]:
    return check_tensors({"x": value}, (TensorSpec("x", dtype, shape or (None,)),))["x"]


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    """One number of any dtype, those near powers of two most of all."""
    dtype = np.dtype(draw(st.sampled_from(NUMBERS)))
    near = draw(st.integers(-2, 2)) + draw(st.sampled_from([1, -1])) * 2 ** draw(st.integers(0, 64))
    if dtype.kind in "iu":
        low, high = INTEGER_RANGE[dtype.name]
        return np.array([min(max(near, low), high)], dtype)
    with np.errstate(over="ignore"):
        return np.array([draw(st.floats() | st.just(float(near)) | st.just(float(near) + 0.5))], np.float64).astype(
            dtype
        )


def exact(value: Any) -> Any:
    number = value.item()
    return Fraction(number) if np.isfinite(value) else repr(number)


@settings(max_examples=1500)
@given(arrays(), st.sampled_from(NUMBERS))
def test_a_value_is_taken_exactly_or_refused(given_: NDArray[Any], dtype: str) -> None:
    """Every pair of dtypes, judged by exact arithmetic: no value is rounded, wrapped or cut off in silence."""
    with np.errstate(all="ignore"):
        holds = exact(given_.astype(dtype)[0]) == exact(given_[0])
    info = INTEGER_RANGE.get(dtype)
    if info is not None:
        value = exact(given_[0])
        holds = isinstance(value, Fraction) and value.denominator == 1 and info[0] <= value <= info[1]
    if not holds:
        with pytest.raises(InputError, match="cannot hold"):
            check(given_, dtype)
        return
    found = check(given_, dtype)
    assert found.dtype == np.dtype(dtype)
    assert exact(found[0]) == exact(given_[0])


@pytest.mark.parametrize("dtype", NUMBERS)
def test_written_numbers_are_read_as_the_graphs(dtype: str) -> None:
    """A list has no dtype of its own: 0.1 is float32's 0.1 where the graph takes float32."""
    found = check([1, 2], dtype)
    assert (found.dtype, found.tolist()) == (np.dtype(dtype), [1, 2])
    if dtype.startswith("float"):
        assert check([0.1, 2], dtype).tolist() == np.array([0.1, 2], dtype).tolist()
    else:
        assert check([1.0, 2.0], dtype).tolist() == [1, 2]
        with pytest.raises(InputError, match="cannot hold"):
            check([0.5], dtype)


@pytest.mark.parametrize("value", [np.float32(0.5), 0.5, np.array(0.5), np.array(0.5, np.float32)])
def test_a_scalar_stays_a_scalar(value: Any) -> None:
    """A tensor without axes is none of one axis."""
    found = check_tensors({"x": value}, (TensorSpec("x", "float32", ()),))["x"]
    assert found.shape == ()
    assert found.dtype == np.float32
    with pytest.raises(InputError, match=r"shape \[\] .*; expected shape \[None\], None being free"):
        check(value)


def test_what_fits_is_not_copied() -> None:
    """The array itself where it lies in one piece; a copy where it does not."""
    x = np.arange(6, dtype=np.float32)
    assert check(x) is x
    assert check(x[::2]).flags.c_contiguous
    assert check(np.arange(3, dtype=">f4")).tolist() == [0.0, 1.0, 2.0]


def test_a_mask_that_hides_nothing_is_no_harm() -> None:
    """A masked array without masked values is an array."""
    for mask in (np.ma.nomask, [False, False]):
        assert check(np.ma.masked_array([1.0, 2.0], mask)).tolist() == [1.0, 2.0]


def test_bools_are_bools_only() -> None:
    """Neither is a number one, nor the other way round."""
    assert check([True, False], "bool").tolist() == [True, False]
    for value, dtype in (([1, 0], "bool"), ([True], "float32"), (np.array([True]), "int64"), (np.array([1.0]), "bool")):
        with pytest.raises(InputError, match="dtype"):
            check(value, dtype)


@pytest.mark.parametrize("value", [["a", "é"], np.array(["a", "é"]), np.array(["a", "é"], object), ("a", np.str_("é"))])
def test_text_is_taken_from_anything_that_holds_text(value: Any) -> None:
    """As an array of objects, which is what onnxruntime takes."""
    found = check(value, "str")
    assert (found.dtype, found.tolist()) == (np.dtype(object), ["a", "é"])


@pytest.mark.parametrize(
    ("value", "dtype", "says"),
    [
        ([1], "str", "a value is no text"),
        ([None], "str", "a value is no text"),
        ([b"a"], "str", "a value is no text"),
        ([["a"], ["b", "c"]], "str", "a value is no text"),
        ([["a"], np.zeros(2)], "str", "a value is no text|not a tensor"),
        (["\ud800"], "str", "lone surrogates"),
        (["1.0"], "float32", "dtype <U3"),
        ([None], "float32", "dtype object"),
        ([1.0, "a"], "float32", "dtype <U"),
        ([1j], "float32", "dtype complex128"),
        ([2**70], "int64", "dtype object"),
        ([[1.0], [1.0, 2.0]], "float32", "not a tensor"),
        (np.array(["2026-01-01"], "M8[D]"), "int64", r"dtype datetime64\[D\]"),
        ({"a": 1}, "float32", "dtype object"),
        (np.array([0.1]), "float32", "float64 values that float32 cannot hold"),
        (np.array([1e300]), "float32", "float64 values that float32 cannot hold"),
        (np.array([2**53 + 1]), "float64", "int64 values that float64 cannot hold"),
        (np.array([300]), "int8", "int64 values that int8 cannot hold"),
        (np.array([-1]), "uint64", "int64 values that uint64 cannot hold"),
        (np.array([np.nan]), "int64", "float64 values that int64 cannot hold"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "float32", "masked values"),
        (np.ma.masked_array(["a"], [True]), "str", "masked values"),
    ],
)
def test_what_the_graph_cannot_take_is_refused(value: Any, dtype: str, says: str) -> None:
    """With the tensor's name and what would be right, in one line."""
    with pytest.raises(InputError, match=says) as caught:
        check(value, dtype)
    assert caught.value.column == "x"
    assert "\n" not in str(caught.value)


SPECS = (TensorSpec("x", "float32", (None, 3, None)), TensorSpec("rate", "int64", ()))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ([1.0], r"got list; expected a dict of the tensors \['x', 'rate'\]"),
        ({"x": np.zeros((1, 3, 1))}, r"the tensor is missing \(column 'rate'\); expected int64 \[\]"),
        ({"x": 0, "rate": 1, "y": 0}, r"unknown tensor \(column 'y'\)"),
        ({1: 0}, r"unknown tensor \(column '1'\)"),
        ({"x": np.zeros((1, 4, 1)), "rate": 1}, r"shape \[1, 4, 1\] \(column 'x'\); expected shape \[None, 3, None\]"),
        ({"x": np.zeros((3, 1)), "rate": 1}, r"shape \[3, 1\]"),
        ({"x": np.zeros((1, 3, 1)), "rate": [1]}, r"shape \[1\] \(column 'rate'\); expected shape \[\]"),
    ],
)
def test_names_and_shapes_are_the_graphs(tensors: Any, says: str) -> None:
    """Every tensor once, none besides, free axes of any size."""
    check_tensors({"rate": 16_000, "x": np.zeros((5, 3, 7))}, SPECS)
    check_tensors({"rate": 16_000, "x": np.zeros((0, 3, 0))}, SPECS)
    with pytest.raises(InputError, match=says):
        check_tensors(tensors, SPECS)
