"""Frozen dataclasses as JSON data and back, so that a workstation renders what a device measured.

Belongs here: the one form that all results have on disk: fields by name, arrays and tuples as lists. Not here: files
and the document around them (document.py).
Imported as edge_runtime.benchmarks.stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from edge_runtime.errors import InputError

__all__ = ["Stored", "frozen"]

S = TypeVar("S", bound="Stored")


class Stored:
    """What a dataclass of results inherits: its JSON data, whose keys are its fields (the unit is the end of a key)."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """The result as JSON data."""
        return {name: plain(getattr(self, name)) for name in hints(type(self))}

    @classmethod
    def from_json(cls: type[S], data: object) -> S:
        """The result that ``data`` was made of; keys that it does not know are passed over, as later versions write
        more. Raises InputError for anything else."""
        made = read(cls, data, cls.__name__)
        assert isinstance(made, cls)
        return made


def frozen(array: Any, dtype: Any = np.int64) -> Any:
    """``array`` as a read-only array of its own."""
    made = np.array(array, dtype)
    made.flags.writeable = False
    return made


def hints(kind: Any) -> dict[str, Any]:
    known = get_type_hints(kind)
    return {field.name: known[field.name] for field in fields(kind)}


def plain(value: Any) -> Any:
    if is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in hints(type(value))}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return value


def read(kind: Any, data: Any, where: str) -> Any:
    """``data`` as ``kind``: a dataclass, an array, a tuple, a dict, an optional one of these, or what JSON has."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if data is None and NoneType in inner:
            return None
        return read(next(each for each in inner if each is not NoneType), data, where)
    if origin is np.ndarray:
        return read_array(get_args(inner[1])[0], data, where)
    if origin is tuple:
        expect(isinstance(data, list), where, "a list", data)
        return tuple(read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is Literal:
        expect(data in inner, where, f"one of {list(inner)}", data)
        return data
    if isinstance(kind, type) and is_dataclass(kind):
        expect(isinstance(data, dict), where, "an object", data)
        known = hints(kind)
        expect(known.keys() <= data.keys(), where, f"the keys {sorted(known.keys() - data.keys())}", data)
        return kind(**{name: read(hint, data[name], f"{where}.{name}") for name, hint in known.items()})
    if origin is dict:
        expect(isinstance(data, dict), where, "an object", data)
        return {name: read(inner[1], item, f"{where}.{name}") for name, item in data.items()}
    if kind is float and type(data) is int:
        return float(data)
    expect(type(data) is kind, where, f"a value of type {kind.__name__}", data)
    return data


def read_array(dtype: Any, data: Any, where: str) -> Any:
    try:
        made = frozen(data, dtype)
    except (ValueError, TypeError, OverflowError):
        made = None
    expect(isinstance(data, list) and made is not None, where, f"a list of {dtype.__name__}", data)
    return made


def expect(fits: bool, where: str, expected: str, found: object) -> None:
    if not fits:
        raise InputError(f"{where} is {type(found).__name__} {str(found)[:60]!r}: no stored result", expected=expected)
