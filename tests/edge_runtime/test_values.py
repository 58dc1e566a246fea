"""What a value may be: each line of the law, and that its fast form is the same law."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.errors import BundleError, InputError
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, Schema, TensorSpec
from edge_runtime.values import Coder, coder, coders, plain, shorten

INF = math.inf
NAN = math.nan


def column(dtype: str, *, nullable: bool = False, **more: Any) -> ColumnSpec:
    bounds = {} if dtype in ("str", "bool") else {"low": -INF, "high": INF}
    return ColumnSpec("c", dtype, nullable, "x", 0, **{**bounds, **more})


class Colour(str, enum.Enum):  # noqa: UP042 - unlike StrEnum, it has a hash of its own
    RED = "red"


class Level(enum.IntEnum):
    TWO = 2


class Reading(float):
    """A float of the app's own."""


class Text(str):
    __hash__ = None  # type: ignore[assignment]


FLOAT = coder(column("float64"), "float64")
FLOAT_NULL = coder(column("float64", nullable=True), "float64")
FLOAT_BYTE = coder(column("float64", low=0.0, high=255.0), "float64")
FLOAT_POSITIVE = coder(column("float64", low=0.0), "float64")
FLOAT_SOME = coder(column("float64", categories=(0.5, 1.0), open=False), "float64")
FLOAT_NAMED = coder(column("float64", categories=(0.5, 1.0)), "float64")
SINGLE = coder(column("float32"), "float32")
SINGLE_WIDE = coder(column("float32"), "float64")
SINGLE_TENSOR = coder(column("float64"), "float32")
SINGLE_SOME = coder(column("float32", categories=(float(np.float32(0.1)),), open=False), "float32")
HALF = coder(column("float32"), "float16")
INT = coder(column("int64"), "int64")
INT_DOUBLE = coder(column("int64"), "float64")
INT_SINGLE = coder(column("int64"), "float32")
INT_NULL = coder(column("int64", nullable=True), "float64")
INT_8 = coder(column("int8"), "float64")
INT_U64 = coder(column("uint64"), "uint64")
INT_IN_32 = coder(column("int64"), "int32")
INT_HOUR = coder(column("int64", low=-0.5, high=23.0), "float64")
INT_SOME = coder(column("int64", nullable=True, categories=(1, 2), open=False), "float64")
BOOL = coder(column("bool"), "bool")
BOOL_INT = coder(column("bool"), "int64")
BOOL_NULL = coder(column("bool", nullable=True), "float32")
BOOL_TRUE = coder(column("bool", categories=(True,), open=False), "float64")
CODE = coder(column("str", categories=("a", "", "é")), "float64")
CODE_NULL = coder(column("str", nullable=True, categories=("a", "")), "float64")
CODE_SHUT = coder(column("str", nullable=True, categories=("a", "b"), open=False), "float32")
CODE_INT = coder(column("str", categories=("a", "b")), "int64")
CODE_UNSIGNED = coder(column("str", categories=("a", "b"), open=False), "uint8")
TEXT = coder(column("str"), "str")
TEXT_NULL = coder(column("str", nullable=True), "str")
TEXT_SHUT = coder(column("str", categories=("a", "b"), open=False), "str")

CODERS: dict[str, Coder] = {name: value for name, value in globals().items() if isinstance(value, Coder)}

MISSING = {
    "None": None,
    "nan": NAN,
    "other nan": -NAN,
    "nan of a subclass": Reading("nan"),
    "numpy float64 nan": np.float64("nan"),
    "numpy float32 nan": np.float32("nan"),
    "numpy float16 nan": np.float16("nan"),
    "pandas.NA": pd.NA,
    "Arrow null": pa.scalar(None),
    "Arrow null of a type": pa.scalar(None, pa.int64()),
}

ACCEPTED: list[tuple[str, object, object]] = [
    ("FLOAT", 1.5, 1.5),
    ("FLOAT", 0.0, 0.0),
    ("FLOAT", -0.0, -0.0),
    ("FLOAT", 5e-324, 5e-324),
    ("FLOAT", INF, INF),
    ("FLOAT", -INF, -INF),
    ("FLOAT", 3, 3.0),
    ("FLOAT", 2**53, 2.0**53),
    ("FLOAT", -(2**53), -(2.0**53)),
    ("FLOAT", Level.TWO, 2.0),
    ("FLOAT", Reading(1.5), 1.5),
    ("FLOAT", np.float64(1.5), 1.5),
    ("FLOAT", np.float32(0.1), float(np.float32(0.1))),
    ("FLOAT", np.float16(0.5), 0.5),
    ("FLOAT", np.int8(-3), -3.0),
    ("FLOAT", pa.scalar(1.5), 1.5),
    ("FLOAT_BYTE", 0, 0.0),
    ("FLOAT_BYTE", -0.0, -0.0),
    ("FLOAT_BYTE", 255.0, 255.0),
    ("FLOAT_POSITIVE", INF, INF),
    ("FLOAT_SOME", 1, 1.0),
    ("FLOAT_NAMED", 7.0, 7.0),
    ("SINGLE", 0.1, float(np.float32(0.1))),
    ("SINGLE", 2**24 + 1, 2.0**24),
    ("SINGLE", INF, INF),
    ("SINGLE", 3.4028235677973362e38, float(np.finfo(np.float32).max)),  # the last double that rounds down
    ("SINGLE_WIDE", 0.1, float(np.float32(0.1))),
    ("SINGLE_TENSOR", 0.1, float(np.float32(0.1))),
    ("SINGLE_SOME", 0.1, float(np.float32(0.1))),
    ("HALF", 0.1, float(np.float16(0.1))),
    ("INT", 2**63 - 1, 2**63 - 1),
    ("INT", 3.0, 3),
    ("INT", -0.0, 0),
    ("INT", np.uint8(3), 3),
    ("INT", np.float32(3.0), 3),
    ("INT_DOUBLE", 2**53, 2.0**53),
    ("INT_DOUBLE", -0.0, -0.0),
    ("INT_SINGLE", 2**24, 2.0**24),
    ("INT_8", -128, -128.0),
    ("INT_8", 127.0, 127.0),
    ("INT_U64", 2**64 - 1, 2**64 - 1),
    ("INT_IN_32", 2**31 - 1, 2**31 - 1),
    ("INT_HOUR", 0, 0.0),
    ("INT_HOUR", 23, 23.0),
    ("INT_SOME", 2.0, 2.0),
    ("BOOL", True, True),
    ("BOOL", np.False_, False),
    ("BOOL_INT", True, 1),
    ("BOOL_NULL", False, 0.0),
    ("BOOL_TRUE", True, 1.0),
    ("CODE", "a", 0.0),
    ("CODE", "", 1.0),
    ("CODE", "é", 2.0),
    ("CODE", "e\u0301", -1.0),  # no Unicode normalisation
    ("CODE", "A", -1.0),
    ("CODE", "a ", -1.0),
    ("CODE", "nan", -1.0),
    ("CODE", "\ud800", -1.0),
    ("CODE", np.str_("a"), 0.0),
    ("CODE", Text("a"), 0.0),
    ("CODE", Colour.RED, -1.0),
    ("CODE_INT", "b", 1),
    ("CODE_INT", "x", -1),
    ("CODE_SHUT", "b", 1.0),
    ("CODE_UNSIGNED", "b", 1),
    ("TEXT", "", ""),
    ("TEXT", "a\0b", "a\0b"),
    ("TEXT", Colour.RED, "red"),
    ("TEXT_SHUT", "b", "b"),
]

BIG = 10**5000
REFUSED: list[tuple[str, object, str]] = [
    ("FLOAT", True, "got bool True (column 'c', row 7); expected a number"),
    ("FLOAT", np.True_, "got bool True (column 'c', row 7); expected a number"),
    ("FLOAT", "1.5", "got str '1.5' (column 'c', row 7); expected a number"),
    (
        "FLOAT",
        2**53 + 1,
        "got int 9007199254740993 (column 'c', row 7); expected a float, or an integer up to 2**53 in size",
    ),
    ("FLOAT", BIG, "got int of 16610 bits (column 'c', row 7); expected a float, or an integer up to 2**53 in size"),
    ("FLOAT", decimal.Decimal("1.5"), "got a value of type Decimal (column 'c', row 7); expected a number"),
    ("FLOAT", 1j, "got a value of type complex (column 'c', row 7); expected a number"),
    ("FLOAT", b"1", "got a value of type bytes (column 'c', row 7); expected a number"),
    ("FLOAT", [1.0], "got a value of type list (column 'c', row 7); expected a number"),
    ("FLOAT", datetime.datetime(2024, 1, 1), "got a value of type datetime (column 'c', row 7); expected a number"),
    ("FLOAT", np.datetime64("2024-01-01"), "got a value of type datetime64 (column 'c', row 7); expected a number"),
    ("FLOAT", np.timedelta64(1), "got a value of type timedelta64 (column 'c', row 7); expected a number"),
    ("FLOAT", np.longdouble(1), "got a value of type longdouble (column 'c', row 7); expected a number"),
    ("FLOAT_NULL", pd.NaT, "got a value of type NaTType (column 'c', row 7); expected a number"),
    ("FLOAT_BYTE", 256, "got int 256 (column 'c', row 7); expected a number between 0 and 255"),
    ("FLOAT_BYTE", math.nextafter(255.0, INF), "expected a number between 0 and 255"),
    ("FLOAT_BYTE", math.nextafter(0.0, -1), "expected a number between 0 and 255"),
    ("FLOAT_BYTE", -INF, "got float -inf (column 'c', row 7); expected a number between 0 and 255"),
    ("FLOAT_POSITIVE", -1.0, "got float -1.0 (column 'c', row 7); expected a number of at least 0"),
    ("FLOAT_SOME", 0.75, "got float 0.75 (column 'c', row 7); expected one of 0.5, 1.0"),
    ("SINGLE", 1e39, "got float 1e+39 (column 'c', row 7); expected a number that float32 can hold"),
    ("SINGLE", 3.4028235677973366e38, "expected a number that float32 can hold"),
    ("HALF", 70000, "got int 70000 (column 'c', row 7); expected a number that float16 can hold"),
    ("INT", 1.5, "got float 1.5 (column 'c', row 7); expected an integer"),
    ("INT", INF, "got float inf (column 'c', row 7); expected an integer"),
    ("INT", False, "got bool False (column 'c', row 7); expected an integer"),
    ("INT", "3", "got str '3' (column 'c', row 7); expected an integer"),
    ("INT", 2.0**63, "expected an integer between -9223372036854775808 and 9223372036854775807"),
    ("INT", np.timedelta64(3), "got a value of type timedelta64"),
    ("INT_DOUBLE", 2**53 + 1, "expected an integer between -9007199254740992 and 9007199254740992"),
    ("INT_DOUBLE", 2**60, "expected an integer between -9007199254740992 and 9007199254740992"),
    ("INT_SINGLE", 2**24 + 1, "expected an integer between -16777216 and 16777216"),
    ("INT_8", 128, "expected an integer between -128 and 127"),
    ("INT_8", -129.0, "expected an integer between -128 and 127"),
    ("INT_U64", -1, "expected an integer between 0 and 18446744073709551615"),
    ("INT_U64", 2.0**64, "expected an integer between 0 and 18446744073709551615"),
    ("INT_IN_32", 2**31, "expected an integer between -2147483648 and 2147483647"),
    ("INT_HOUR", 24, "got int 24 (column 'c', row 7); expected an integer between 0 and 23"),
    ("INT_HOUR", 1.5, "got float 1.5 (column 'c', row 7); expected an integer between 0 and 23"),
    ("INT_SOME", 3, "got int 3 (column 'c', row 7); expected one of 1, 2"),
    ("BOOL", 1, "got int 1 (column 'c', row 7); expected true or false"),
    ("BOOL", 0.0, "got float 0.0 (column 'c', row 7); expected true or false"),
    ("BOOL", "true", "got str 'true' (column 'c', row 7); expected true or false"),
    ("BOOL_TRUE", False, "got bool False (column 'c', row 7); expected one of True"),
    ("CODE", 1, "got int 1 (column 'c', row 7); expected text"),
    ("CODE", True, "got bool True (column 'c', row 7); expected text"),
    ("CODE", b"a", "got a value of type bytes (column 'c', row 7); expected text"),
    ("CODE_SHUT", "c", "got str 'c' (column 'c', row 7); expected one of 'a', 'b'"),
    ("CODE_UNSIGNED", "", "got str '' (column 'c', row 7); expected one of 'a', 'b'"),
    ("TEXT", 1, "got int 1 (column 'c', row 7); expected text"),
    ("TEXT", "\ud800", r"got str '\ud800' (column 'c', row 7); expected text without lone surrogates"),
    ("TEXT_SHUT", "c", "got str 'c' (column 'c', row 7); expected one of 'a', 'b'"),
]


def bits(values: Any, like: Coder) -> Any:
    """What to compare: NaN equals NaN of the same bits, and 0 differs from -0."""
    array = np.asarray(values, like.dtype)
    return array.tolist() if like.dtype.kind == "O" else (array.dtype, array.tobytes())


def ids(cases: list[tuple[str, Any, Any]]) -> list[str]:
    return [f"{name}-{i}-{type(value).__name__}" for i, (name, value, _) in enumerate(cases)]


@pytest.mark.parametrize(("name", "value", "wanted"), ACCEPTED, ids=ids(ACCEPTED))
def test_accepted_values_enter_as_the_law_says(name: str, value: object, wanted: object) -> None:
    """One value and an array of one give the same bits, as Python's own type for the former."""
    law = CODERS[name]
    found = law.one(value, None)
    assert type(found) is type(wanted)
    assert bits([found], law) == bits([wanted], law) == bits(law.many([value], None, 0), law)


@pytest.mark.parametrize(("name", "value", "says"), REFUSED, ids=ids(REFUSED))
def test_refused_values_say_what_where_and_what_would_be_right(name: str, value: object, says: str) -> None:
    """The error is one line with column and row, the same from one value and from an array."""
    law = CODERS[name]
    with pytest.raises(InputError) as one:
        law.one(value, 7)
    assert says in str(one.value)
    assert "\n" not in str(one.value)
    assert (one.value.column, one.value.row) == ("c", 7)
    with pytest.raises(InputError) as many:
        law.many([value], None, 7)
    assert str(many.value) == str(one.value)
    with pytest.raises(InputError) as alone:
        law.one(value, None)
    assert alone.value.row is None
    assert "row" not in str(alone.value)


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize("name", ["FLOAT_NULL", "INT_NULL", "INT_SOME", "BOOL_NULL", "CODE_NULL", "CODE_SHUT"])
def test_all_missing_values_are_one_thing(name: str, missing: object) -> None:
    """Where the column is nullable, each of them is the same NaN."""
    law = CODERS[name]
    assert bits([law.one(missing, 0)], law) == bits([NAN], law)
    assert bits(law.many([missing], None, 0), law) == bits([NAN], law)


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize(
    "name", ["FLOAT", "SINGLE", "INT", "INT_DOUBLE", "BOOL", "CODE", "CODE_INT", "TEXT", "TEXT_NULL"]
)
def test_missing_is_refused_where_nothing_can_say_it(name: str, missing: object) -> None:
    """A column that is not nullable, and a tensor without NaN, refuse it and name the column."""
    law = CODERS[name]
    for call in (lambda: law.one(missing, 3), lambda: law.many([missing], None, 3)):
        with pytest.raises(InputError, match=r"a value is missing \(column 'c', row 3\); expected"):
            call()


def test_long_text_is_never_echoed() -> None:
    """An error shows some 40 characters of a value, escaped."""
    with pytest.raises(InputError) as error:
        FLOAT.one("\x1b\n" + "x" * 100_000, 0)
    assert len(str(error.value)) < 120
    assert "\\x1b\\n" in str(error.value)
    assert "\x1b" not in str(error.value)


def test_many_categories_are_listed_in_part() -> None:
    """The first five and their number."""
    law = coder(column("str", categories=tuple(f"c{i}" for i in range(2000)), open=False), "float64")
    with pytest.raises(InputError, match=r"expected one of 'c0', 'c1', 'c2', 'c3', 'c4', … \(2000 in all\)"):
        law.one("x", 0)


def test_plain_leaves_what_it_does_not_know() -> None:
    """Only values of the law are turned into Python's own."""
    thing = object()
    assert plain(thing) is thing
    assert type(plain(Level.TWO)) is int
    assert type(plain(Colour.RED)) is str
    assert shorten(2**200) == "of 201 bits"


BAD_HOMES = {
    "float in int64": (column("float64"), "int64"),
    "float in bool": (column("float32"), "bool"),
    "int in bool": (column("int8"), "bool"),
    "int in text": (column("int8"), "str"),
    "bool in text": (column("bool"), "str"),
    "text in bool": (column("str", categories=("a",)), "bool"),
    "text without categories": (column("str"), "float64"),
    "unknown in unsigned": (column("str", categories=("a",)), "uint8"),
    "more codes than int8": (column("str", categories=tuple(map(str, range(129)))), "int8"),
    "more codes than float16": (column("str", categories=tuple(map(str, range(2**11 + 2)))), "float16"),
}


@pytest.mark.parametrize(("spec", "dtype"), BAD_HOMES.values(), ids=BAD_HOMES)
def test_column_in_a_tensor_that_cannot_hold_it_is_refused(spec: ColumnSpec, dtype: str) -> None:
    """Such a bundle would round or guess: it does not open."""
    with pytest.raises(BundleError, match=f"column 'c' of {spec.dtype} cannot lie in a tensor of {dtype}"):
        coder(spec, dtype)


def test_categories_beyond_float32_are_refused() -> None:
    """No value of a float32 column could equal them."""
    with pytest.raises(BundleError, match="categories beyond float32"):
        coder(column("float32", categories=(1e39,), open=False), "float32")


def test_coders_follow_the_schema() -> None:
    """One per column, in order, for the tensor that the column lies in."""
    schema = Schema(
        (replace(column("str"), name="t", tensor="texts"), column("float64")),
        (TensorSpec("x", "float64", (None, 1)), TensorSpec("texts", "str", (None, 1))),
        (),
    )
    text, number = coders(schema)
    assert (text.column.name, text.dtype) == ("t", np.dtype(object))
    assert (number.column.name, number.dtype) == ("c", np.dtype("float64"))


# One law, two forms.

EDGES = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**11,
    2**24,
    2**24 + 1,
    2**31,
    2**53 - 1,
    2**53,
    2**53 + 1,
    2**63,
    2**64 - 1,
    2**64,
]
NUMBERS = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.sampled_from([float(s * e) for e in EDGES for s in (1, -1)]),
    st.sampled_from([0.1, 0.5, 1.5, 1e39, 65520.0, 3.4028235677973366e38, 3.4028235677973362e38, NAN]),
)
INTEGERS = st.sampled_from([s * e for e in EDGES for s in (1, -1)]) | st.integers(-300, 300)
TEXTS = st.sampled_from(["a", "b", "", "é", "z", "\ud800", "nan"]) | st.text(max_size=3)
ANYTHING = st.one_of(
    NUMBERS,
    INTEGERS,
    TEXTS,
    st.booleans(),
    st.sampled_from([None, pd.NA, np.float32(0.5), np.int8(1), b"a", np.str_("a")]),
)


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    """A typed array of the values that a column of a frame may hold, NaNs of any bits among them."""
    dtype = np.dtype(draw(st.sampled_from([*INTEGER_RANGE, "float16", "float32", "float64", "bool", "U3", "O"])))
    if dtype.kind in "iu":
        low, high = INTEGER_RANGE[dtype.name]
        values: list[Any] = [v for v in draw(st.lists(INTEGERS)) if low <= v <= high]
    elif dtype.kind == "f":
        if dtype.name == "float64" and draw(st.booleans()):
            raw = draw(st.lists(st.integers(0, 2**64 - 1)))
            return np.array(raw, np.uint64).view(np.float64)
        with np.errstate(over="ignore"):
            return np.array(draw(st.lists(NUMBERS)), np.float64).astype(dtype)
    else:
        values = draw(st.lists({"b": st.booleans(), "U": TEXTS, "O": ANYTHING}[dtype.kind]))
    out = np.empty(len(values), dtype)
    out[:] = values
    return out


COLUMNS = st.sampled_from(list(CODERS.values()))
KINDS = st.sampled_from([NUMBERS, INTEGERS, TEXTS, st.booleans(), ANYTHING]).flatmap(
    lambda kind: st.lists(kind) | st.lists(kind | st.none())
)


def outcome(call: Any, law: Coder) -> Any:
    try:
        return bits(call(), law)
    except InputError as error:
        return str(error)


@settings(max_examples=1500, deadline=None)
@given(law=COLUMNS, values=arrays() | KINDS, data=st.data())
def test_many_is_one_repeated(law: Coder, values: Any, data: st.DataObject) -> None:
    """The same bits, or the same error for the same first row, whatever the values come in."""
    missing = None
    if data.draw(st.booleans(), "some are missing"):
        drawn = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)), "missing")
        missing = np.array(drawn, np.bool_)

    def one_by_one() -> list[Any]:
        return [law.one(None if missing is not None and missing[i] else v, 100 + i) for i, v in enumerate(values)]

    assert outcome(lambda: law.many(values, missing, 100), law) == outcome(one_by_one, law)


def test_fast_form_never_asks_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that are right go through without a Python call for each value."""
    monkeypatch.setattr(Coder, "one", None)
    some_nan = np.array([1.0, NAN, 3.0])
    gap = np.array([False, True, False])
    assert FLOAT.many([1.0, 2.0], None, 0).tolist() == [1.0, 2.0]
    assert FLOAT.many(np.array([1, 2]), None, 0).tolist() == [1.0, 2.0]
    assert np.isnan(FLOAT_NULL.many(some_nan, None, 0)).tolist() == gap.tolist()
    assert np.isnan(INT_NULL.many(some_nan, None, 0)).tolist() == gap.tolist()
    assert np.isnan(INT_NULL.many([1, None, 3], None, 0)).tolist() == gap.tolist()
    assert np.isnan(BOOL_NULL.many([True, None, False], None, 0)).tolist() == gap.tolist()
    assert np.isnan(INT_NULL.many(np.array([1, 2**62, 3]), gap, 0)).tolist() == gap.tolist()
    assert np.isnan(CODE_SHUT.many(np.array(["a", NAN, "b"], object), None, 0)).tolist() == gap.tolist()
    assert INT_SOME.many(np.array([1, 2, 1]), None, 0).tolist() == [1.0, 2.0, 1.0]
    assert TEXT_SHUT.many(["a", "b"], None, 0).tolist() == ["a", "b"]


def test_clean_column_is_not_copied() -> None:
    """Float64 in, float64 out: the array itself."""
    values = np.arange(4.0)
    values.flags.writeable = False
    assert FLOAT.many(values, None, 0) is values
