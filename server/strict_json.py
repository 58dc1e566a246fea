"""JSON that came in: strict, with a limit to nesting and no key twice.

Belongs here: from bytes to Python's own objects. Not here: which objects a route takes (predict.py, inference.py,
invocations.py), what a value may be (edge_runtime.values).
Imported as edge_runtime.server.strict_json.

msgspec refuses NaN, numbers beyond float64, a byte order mark, trailing bytes and malformed UTF-8. Two things it lets
pass: of a key that comes twice it keeps the last, and it nests as deep as Python's stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edge_runtime.rows import parse
from edge_runtime.values import shorten
from edge_runtime.words import printable

from .problems import Problem, kind_of

__all__ = ["encode", "read_document", "read_records", "too_many_rows"]

Scalar = str | int | float | bool | None
Record = dict[str, Scalar]
encode = msgspec.json.Encoder().encode
"""JSON of an answer: floats so that the same bits come back, null for NaN and the infinities."""

decode_records = msgspec.json.Decoder(Record | list[Record]).decode
decode_any = msgspec.json.Decoder().decode


def read_records(body: bytes, max_nesting: int) -> Record | list[Record]:
    """One record or a list of them, whose values are scalars.

    Raises Problem: 400 for what is no JSON, 422 for JSON that is no records.
    """
    try:
        found: Record | list[Record] = decode_records(body)
    except msgspec.ValidationError:
        raise no_records(read_document(body, max_nesting)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from None
    keys = len(found) if isinstance(found, dict) else sum(map(len, found))
    if body.count(b":") != keys:  # more of them: in a text, or behind a key that came twice
        refuse_doubles(body)
    return found


def read_document(body: bytes, max_nesting: int) -> Any:
    """Any JSON value. Raises Problem 400 for what is no JSON, a key that comes twice, and too deep a nesting."""
    try:
        found = decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error, max_nesting) from None
    keys = check_nesting(found, max_nesting)
    if body.count(b":") != keys:
        refuse_doubles(body)
    return found


def too_many_rows(rows: int, limit: int) -> Problem:
    return Problem(413, f"the request has {rows:,} rows; this server takes up to {limit:,} at once")


def malformed(error: Exception, max_nesting: int | None = None) -> Problem:
    if isinstance(error, RecursionError):
        return too_deep(max_nesting)
    if isinstance(error, UnicodeDecodeError):
        return Problem(400, "the body is not JSON: it is not UTF-8")
    if isinstance(error, msgspec.ValidationError):  # untyped, so it can only be this
        return Problem(400, "the body is not JSON that can be read: a number is out of range")
    # msgspec names the place by its number and quotes nothing.
    return Problem(400, f"the body is not JSON: {printable(str(error)).removeprefix('JSON is malformed: ').lower()}")


def too_deep(max_nesting: int | None) -> Problem:
    limit = "" if max_nesting is None else f"; this server takes up to {max_nesting} levels"
    return Problem(400, f"the JSON is nested too deeply{limit}")


def check_nesting(found: Any, limit: int) -> int:
    """The number of keys in all objects. Raises Problem if containers lie in containers deeper than ``limit``."""
    level, depth, keys = [found] if isinstance(found, (dict, list)) else [], 0, 0
    while level:
        depth += 1
        if depth > limit:
            raise too_deep(limit)
        keys += sum(len(each) for each in level if type(each) is dict)
        items = (each.values() if type(each) is dict else each for each in level)
        level = [item for held in items for item in held if type(item) is list or type(item) is dict]
    return keys


def refuse_doubles(body: bytes) -> None:
    """Raise Problem if an object has a key twice. Python's own parser can tell; it is asked only where one may be."""
    try:
        parse(body.decode(), "")
    except ValueError as error:
        raise Problem(400, f"the body is ambiguous: {printable(str(error)[:200])}") from None
    except RecursionError:
        raise too_deep(None) from None


def no_records(found: Any) -> Problem:
    """Why a JSON value is neither a record nor a list of them."""
    if not isinstance(found, (dict, list)):
        return Problem(422, f"got {kind_of(found)}; expected an object (one record) or a list of objects")
    for row, record in enumerate(found if isinstance(found, list) else [found]):
        place = f", row {row}" if isinstance(found, list) else ""
        if not isinstance(record, Mapping):
            return Problem(422, f"row {row}: got {kind_of(record)}; expected an object with one value per column")
        for name, value in record.items():
            if isinstance(value, (dict, list)):
                sentence = f"the column {shorten(name)}{place}: got {kind_of(value)}; expected a single value"
                return Problem(422, sentence)
    return Problem(422, "a number is out of range")
