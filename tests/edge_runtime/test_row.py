"""One record: the compiled function answers as the law does, and as the same record in a table."""

from __future__ import annotations

import math
import sys
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import IntEnum
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import InputError
from edge_runtime.model import Model
from edge_runtime.row import values_of
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec
from edge_runtime.values import coders

INF, NAN = math.inf, math.nan
Mirror = Callable[..., Model]


def column(dtype: str, *, nullable: bool = False, low: float = -INF, high: float = INF, **more: Any) -> ColumnSpec:
    numeric = dtype not in ("str", "bool")
    return ColumnSpec("c", dtype, nullable, "x", 0, low if numeric else None, high if numeric else None, **more)


# Every kind of column, with a value that it takes without asking the law.
KINDS: dict[str, tuple[ColumnSpec, Any]] = {
    "float64": (column("float64"), 0.1),
    "float64?": (column("float64", nullable=True), 0.1),
    "float64 bounded": (column("float64", low=-1.0, high=2.5), 2.5),
    "float64? bounded": (column("float64", nullable=True, low=-1.0, high=2.5), -1.0),
    "float64 closed": (column("float64", categories=(0.1, 0.5, -0.0), open=False), 0.5),
    "float32": (column("float32"), 0.1),
    "float32?": (column("float32", nullable=True, low=-9.0), 0.1),
    "float32 closed": (column("float32", nullable=True, categories=(0.1,), open=False), 0.1),
    **{dtype: (column(dtype), 7) for dtype in INTEGER_RANGE},
    "int64?": (column("int64", nullable=True), -7),
    "int64 bounded": (column("int64", low=-0.5, high=10.5), 10),
    "int64? bounded": (column("int64", nullable=True, low=0.0, high=10.0), 0),
    "int8 closed": (column("int8", nullable=True, categories=(1, 3), open=False), 3),
    "int8 open": (column("int8", categories=(1, 3)), 5),
    "bool": (column("bool"), True),
    "bool?": (column("bool", nullable=True), None),
    "bool closed": (column("bool", categories=(True,), open=False), True),
    "text": (column("str", categories=("a", "", "é")), "é"),
    "text?": (column("str", nullable=True, categories=("a", "nan", "None")), None),
    "text closed": (column("str", categories=("a", "b"), open=False), "b"),
    "text? closed": (column("str", nullable=True, categories=("a", "b"), open=False), "a"),
    "text unseen": (column("str", nullable=True, categories=()), None),
}
ORDER = [(7 * i) % len(KINDS) for i in range(len(KINDS))]  # in the tensor, another than in the schema
assert sorted(ORDER) == list(range(len(KINDS)))
COLUMNS = tuple(
    replace(spec, name=name, index=index) for (name, (spec, _)), index in zip(KINDS.items(), ORDER, strict=True)
)
GOOD = {name: value for name, (_, value) in KINDS.items()}


class Level(IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Strange:
    """A value of no known kind."""


FLOATS = (
    st.floats() | st.floats(width=32) | st.sampled_from([2.5, math.nextafter(2.5, 3), 0.5, 1e39, -0.0, 3.0, 2.0**53])
)
INTEGERS = st.integers(-3, 130) | st.sampled_from(
    [s * (2**b + d) for b in (7, 24, 31, 53, 63, 64) for s in (1, -1) for d in (0, 1)]
)
TEXTS = st.sampled_from(["a", "b", "", "é", "nan", "None", "1", "\ud800", "e\u0301"]) | st.text(max_size=2)
SCALARS = st.sampled_from(
    [np.float64(0.5), np.float32(0.1), np.float16(2.5), np.int8(3), np.int64(2**53), np.uint64(2**64 - 1),
     np.bool_(True), np.str_("a"), np.float64(NAN), np.datetime64("2026-01-01"), np.datetime64("NaT")]
)  # fmt: skip
OTHERS = st.sampled_from(
    [
        None,
        pd.NA,
        pd.NaT,
        Level.LOW,
        Text("a"),
        b"a",
        1j,
        [],
        [1.0],
        {},
        (1,),
        Strange(),
        np.array([1.0]),
        np.array(1.0),
    ]
)
ANYTHING = FLOATS | INTEGERS | TEXTS | st.booleans() | SCALARS | OTHERS


@st.composite
def rows(draw: st.DrawFn) -> dict[Any, Any]:
    """A record that is right but for a few values, or keys."""
    row: dict[Any, Any] = {name: GOOD[name] for name in draw(st.permutations(list(GOOD)))}
    for name in draw(st.lists(st.sampled_from(list(GOOD)), max_size=3)):
        row[name] = draw(ANYTHING)
    for change in draw(st.lists(st.sampled_from(["drop", "add"]), max_size=2)):
        if change == "drop":
            row.pop(draw(st.sampled_from(list(GOOD))), None)
        else:
            row[draw(st.sampled_from(["float65", "", "row", 1, None, b"bool"]))] = 1.0
    return row


def outcome(call: Callable[[], Mapping[str, Any]]) -> Any:
    """The numbers by their bits (NaN is one), or the refusal without the row's number."""
    try:
        numbers = call()["prediction"]
    except InputError as error:
        return error.problem, error.column, error.expected
    return [repr(float(number)) for number in np.ravel(numbers)]


def asked(model: Model, row: dict[Any, Any]) -> Any:
    """The one outcome of the three ways to ask: compiled, uncompiled, as a record of a table."""
    found = outcome(lambda: model.predict_one(row))
    assert found == outcome(lambda: Model.predict_one(model, row))
    assert found == outcome(lambda: model.predict([row]))
    return found


@pytest.fixture(scope="module")
def models(mirror: Mirror) -> dict[str, Model]:
    """All kinds of columns in one tensor."""
    return {dtype: mirror(COLUMNS, dtype) for dtype in ("float64", "float32")}


TWO_WRONG = {**GOOD, "float64": 3.4028235677973366e38, "float64?": 0.1}  # the first would only fail when it is packed


@settings(max_examples=500, deadline=None)
@given(dtype=st.sampled_from(["float64", "float32"]), row=rows())
@example(dtype="float32", row={**TWO_WRONG, "float64 closed": 1.0})
def test_the_compiled_row_is_the_law(models: dict[str, Model], dtype: str, row: dict[Any, Any]) -> None:
    """Compiled, uncompiled, as a record of a table, as the law says value by value: the same, to the bit or word."""
    model = models[dtype]
    laws = coders(model.schema)

    def law() -> dict[str, Any]:
        tensor = np.zeros(len(laws), dtype)
        for coder, value in zip(laws, values_of(row, laws, None), strict=True):
            tensor[coder.column.index] = value
        return {"prediction": tensor}

    assert asked(model, row) == outcome(law)


SIGN = (1, -1)
EDGES: list[Any] = [
    *(s * v for v in (0.0, 0.1, 0.5, 1.0, 2.5, 3.0, 9.0, 2.0**24 + 1, 2.0**53, 1e39, 1e308, INF, 5e-324) for s in SIGN),
    math.nextafter(2.5, 3), math.nextafter(-1.0, -2), math.nextafter(10.5, 0), NAN, float(np.float32(0.1)),
    *(s * v for v in (0, 1, 3, 5, 10, 11, 127, 128, 255, 256, 2**24, 2**24 + 1, 2**53, 2**53 + 1, 2**64) for s in SIGN),
    True, False, None, pd.NA, Level.LOW, Text("a"), b"a", [], {}, Strange(), np.float64(0.5), np.float64(NAN),
    np.float32(0.1), np.int8(3), np.int64(2**53 + 1), np.bool_(True), np.str_("a"), "a", "b", "",
    "é", "nan", "None", "z",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_takes_and_refuses_what_the_law_does(models: dict[str, Model], kind: str, dtype: str) -> None:
    """Each edge value, one column at a time."""
    model, answered = models[dtype], 0
    for value in EDGES:
        row = GOOD | {kind: value}
        answered += isinstance(asked(model, row), list)
    assert 0 < answered < len(EDGES)


def test_there_is_a_compiled_row(models: dict[str, Model]) -> None:
    """The test above compares two things, not one with itself."""
    for model in models.values():
        assert "predict_one" in vars(model)
        assert code_of(model).co_filename == "<edge_runtime.row>"


def test_a_plain_record_does_not_ask_the_law(models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the fast way would be none, and the tests above would not see it."""
    wanted = [asked(model, GOOD) for model in models.values()]
    monkeypatch.setattr("edge_runtime.row.values_of", None)
    assert [outcome(partial(model.predict_one, GOOD)) for model in models.values()] == wanted


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=5),
    dtype=st.sampled_from(["float64", "float32"]),
    data=st.data(),
)
def test_any_columns_in_any_order(mirror: Mirror, kinds: list[str], dtype: str, data: st.DataObject) -> None:
    """One column or several, of any kinds, wherever they lie in the tensor."""
    order = data.draw(st.permutations(range(len(kinds))))
    names = data.draw(st.lists(st.text(max_size=3), min_size=len(kinds), max_size=len(kinds), unique=True))
    columns = [replace(KINDS[kind][0], name=name, index=i) for kind, name, i in zip(kinds, names, order, strict=True)]
    model = mirror(columns, dtype)
    row = {name: data.draw(st.just(KINDS[kind][1]) | ANYTHING) for kind, name in zip(kinds, names, strict=True)}
    asked(model, row)


def test_the_first_wrong_column_of_the_schema_is_named(models: dict[str, Model]) -> None:
    """Not the first in the tensor, nor the first that the fast way happens to see."""
    for first, second in (("float64", "text? closed"), ("float64 closed", "float64"), ("bool", "int8 closed")):
        wrong = sorted([first, second], key=list(KINDS).index)
        row = GOOD | dict.fromkeys(wrong, Strange())
        for ask in (models["float64"].predict_one, lambda row: models["float64"].predict([row])):
            with pytest.raises(InputError) as caught:
                ask(row)
            assert caught.value.column == wrong[0]


def many(count: int) -> list[ColumnSpec]:
    return [replace(column("float64", nullable=True), name=f"x{i}", index=count - 1 - i) for i in range(count)]


@pytest.mark.parametrize("count", [1, 2, 200, 1000])
def test_any_number_of_columns(mirror: Mirror, count: int) -> None:
    """One, two hundred, a thousand; the last value missing."""
    model = mirror(many(count))
    row = {f"x{i}": i / 7 if i < count - 1 else None for i in range(count)}
    wanted = [repr(float("nan" if v is None else v)) for v in reversed(row.values())]
    assert outcome(lambda: model.predict_one(row)) == outcome(lambda: model.predict([row])) == wanted


NAMES = [
    "row", "get", "slow", "pack", "finish", "nan", "local", "v0", "low0", "codes0", "predict_one", "buffer", "raw",
    "", " ", "'", '"', "\\", "\n", "\r\n", "\0", "{x}", "%s", "#", "class", "None", "__class__", "ÄÖ☃", "\ud800",
    "__import__('os').abort()", "x'); import sys; sys.edge_was_here = 1; ('",
    'x"\nimport sys\nsys.edge_was_here = 1\n#', "a" * 10_000,
]  # fmt: skip


def code_of(model: Model) -> Any:
    return model.predict_one.__code__


def test_names_are_data_and_never_code(mirror: Mirror) -> None:
    """Names that are no identifiers, or that are the function's own, or that try to be statements."""
    columns = [replace(column("float64"), name=name, index=i) for i, name in enumerate(NAMES)]
    model = mirror(columns)
    row = {name: float(i) for i, name in enumerate(NAMES)}
    assert model.predict_one(row) == {"prediction": list(map(float, range(len(NAMES))))}
    assert not hasattr(sys, "edge_was_here")
    plain = mirror([replace(spec, name=f"x{i}") for i, spec in enumerate(columns)])
    assert code_of(model) == code_of(plain)
    for name in NAMES:
        with pytest.raises(InputError) as caught:
            model.predict_one(row | {name: "no number"})
        assert caught.value.column == name
        assert str(caught.value).isprintable()


def test_text_that_looks_like_code_is_text(mirror: Mirror) -> None:
    """Categories are data, too."""
    model = mirror([replace(column("str", categories=tuple(NAMES)), name="t")])
    assert [model.predict_one({"t": name})["prediction"] for name in NAMES] == list(map(float, range(len(NAMES))))


@pytest.mark.parametrize("make", [OrderedDict, MappingProxyType, UserDict, lambda row: defaultdict(float, row)])
def test_any_mapping_is_a_record(mirror: Mirror, make: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """With the same answer as the dict."""
    model = mirror(many(3))
    row = {"x0": 0.5, "x1": None, "x2": -1.0}
    assert outcome(lambda: model.predict_one(make(row))) == outcome(lambda: model.predict_one(row))


@pytest.mark.parametrize("row", [{"x0": 0.5, "x1": 1.0}, {"x0": 0.5, "x1": 1.0, "other": 2.0}, {}])
def test_a_record_that_makes_up_values_is_not_believed(mirror: Mirror, row: dict[str, float]) -> None:
    """A defaultdict lacks what it does not hold, in every path alike, and is left as it was."""
    model = mirror(many(3))
    record = defaultdict(float, row)
    for ask in (model.predict_one, lambda record: model.predict([record])):
        with pytest.raises(InputError, match="the key is missing"):
            ask(record)
    assert record == row


@pytest.mark.parametrize(
    "row", [None, 1.0, "x0", [("x0", 0.5)], [0.5], (0.5,), {"x0"}, np.zeros(1), pd.Series({"x0": 0.5})]
)
def test_what_is_no_record_is_refused(mirror: Mirror, row: Any) -> None:
    """Whatever else may be asked for an item."""
    with pytest.raises(InputError, match="expected a dict with one value per column"):
        mirror(many(1)).predict_one(row)


def test_a_refused_row_leaves_no_trace(models: dict[str, Model]) -> None:
    """The next row is answered as if nothing had been."""
    model = models["float64"]
    wanted = outcome(lambda: model.predict_one(GOOD))
    for name in GOOD:
        with pytest.raises(InputError):
            model.predict_one(GOOD | {name: Strange()})
        assert outcome(lambda: model.predict_one(GOOD)) == wanted
