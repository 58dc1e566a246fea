"""Canonical JSON: one value, one form; and fields that are exactly those expected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_runtime.canonical import dumps, loads, take
from edge_runtime.errors import BundleError

SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text('ab\u00e9\U0001f600"', max_size=3), v)
)


@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    """Any value of these kinds comes back, from bytes that every JSON reader takes."""
    raw = dumps(value)
    assert loads(raw) == value == json.loads(raw)


@given(VALUES)
def test_keys_are_sorted_and_nothing_is_wasted(value: Any) -> None:
    """Equal values have equal bytes, whatever the order in which they were built."""
    assert dumps(shuffled(value)) == dumps(value)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(st.binary(max_size=12) | st.text('[]{}",:0123456789.eE+-truefalsn \\u', max_size=12).map(str.encode))
@example(b"1.0")
@example(b'{"a":1,"a":1}')
def test_bytes_are_refused_or_are_the_ones_form(raw: bytes) -> None:
    """Whatever is accepted would be written as these very bytes."""
    try:
        value = loads(raw)
    except BundleError:
        return
    assert dumps(value) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1}',
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"a":1}\n',
        b' {"a":1}',
        b'"\\u0041"',
        b'"\\u00e9"',
        b'"\\/"',
        b'"\\ud800"',
        b"-0",
        b"01",
        b"1e2",
        b"1.5",
        b"NaN",
        b"Infinity",
        b"\xef\xbb\xbf1",
        '{"a":1}'.encode("utf-16"),
        b"\xff",
        b"",
        b"[" * 100_000,
        b"[" * 5_000 + b"]" * 5_000,
        b"9" * 5_000,
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_other_forms_of_a_value_are_refused(raw: bytes) -> None:
    """White space, order, doubled keys, other escapes, floats, other encodings, depth: one BundleError of one line."""
    with pytest.raises(BundleError, match="canonical") as caught:
        loads(raw)
    assert "\n" not in str(caught.value)


def test_escapes_are_the_shortest() -> None:
    """Only what must be escaped is, as docs/bundle-format.md lists it."""
    assert dumps('"\\\b\t\n\f\r\0\x1f/é☃\x7f') == '"\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001f/é☃\x7f"'.encode()


@pytest.mark.parametrize("value", [0.5, float("nan"), [1, [2.0]], {"a": {"b": 1.0}}, ({"a": (1, 2.5)},)])
def test_floats_are_never_written(value: Any) -> None:
    """Numbers that are no integers go as text, so that each has one form."""
    with pytest.raises(TypeError, match="decimal strings"):
        dumps(value)


FIELDS: dict[str, Any] = {"a": int, "b": (str, type(None)), "c": bool}


def test_fields_come_in_the_order_asked_for() -> None:
    """Not in the order in which they lie."""
    assert take({"c": True, "a": 1, "b": None}, "thing", **FIELDS) == (1, None, True)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"a": 1, "b": ""}, r"^thing must have the fields \['a', 'b', 'c'\]; found \['a', 'b'\]$"),
        ({"a": 1, "b": "", "c": True, "d": 0}, "found .*'d'"),
        ({"a": True, "b": "", "c": True}, "^thing: field 'a' has the wrong type bool$"),
        ({"a": 1, "b": 2, "c": True}, "^thing: field 'b' has the wrong type int$"),
        ({"a": 1, "b": "", "c": 1}, "^thing: field 'c' has the wrong type int$"),
        ([], "found list"),
        (None, "found NoneType"),
    ],
)
def test_fields_are_exactly_these_and_of_these_types(data: Any, says: str) -> None:
    """A bool is no integer, one field more is as wrong as one less."""
    with pytest.raises(BundleError, match=says):
        take(data, "thing", **FIELDS)
