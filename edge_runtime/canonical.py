"""JSON in the one form that a digest can stand on, and typed reading of it.

The form: UTF-8, keys sorted, no white space, integers as numbers, every other number as a decimal string.
Belongs here: writing, strict reading, taking typed fields. Not here: what the fields mean (manifest.py, schema.py).
Imported as edge_runtime.canonical.
"""

from __future__ import annotations

import json
from typing import Any

from .errors import BundleError

__all__ = ["dumps", "loads", "take"]


def dumps(data: object) -> bytes:
    """The canonical bytes of ``data`` (dicts with text keys, lists, text, integers, bools, None).

    Raises TypeError on a float: write ``repr(value)`` instead.
    """
    refuse_floats(data)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def loads(raw: bytes) -> Any:
    """The value of canonical bytes. Raises BundleError unless ``dumps`` would give back the very same bytes."""
    try:
        data = json.loads(raw)
        same = dumps(data) == raw
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"edge.json is not canonical JSON: {error}") from None
    if not same:
        raise BundleError("edge.json is not in its canonical form")
    return data


def take(data: object, what: str, /, **fields: type | tuple[type, ...]) -> tuple[Any, ...]:
    """The values of ``fields`` in the order given. Raises BundleError unless ``data`` has exactly these, so typed."""
    if type(data) is not dict or data.keys() != fields.keys():
        found = sorted(data) if type(data) is dict else type(data).__name__
        raise BundleError(f"{what} must have the fields {sorted(fields)}; found {found}")
    for name, kinds in fields.items():
        if type(data[name]) not in (kinds if isinstance(kinds, tuple) else (kinds,)):
            raise BundleError(f"{what}: field {name!r} has the wrong type {type(data[name]).__name__}")
    return tuple(data[name] for name in fields)


def refuse_floats(data: object) -> None:
    if isinstance(data, float):
        raise TypeError(f"{data!r} is a float; canonical JSON has them as decimal strings")
    if isinstance(data, dict):
        for value in data.values():
            refuse_floats(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            refuse_floats(value)
