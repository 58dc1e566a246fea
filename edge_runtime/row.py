"""One record to one answer: an encoder compiled once from the schema, as dataclasses and attrs compile theirs.

The compiled function takes the plain case (exact types, within bounds) at full speed; whatever is not plainly right
goes to `slow`, which asks values.py, answers if the law allows it and raises InputError if not.

Belongs here: the generated text and its slow twin. Not here: what a value may be (values.py), sessions (session.py).
Imported as edge_runtime.row.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import InputError
from .session import ERRORS, failed
from .tables import check_keys
from .values import Coder, FloatCoder, IntegerCoder

__all__ = ["compile_row", "values_of"]

Slot = tuple[Callable[..., object], Any, Any, Any]
"""The bound run, its binding, the input's buffer and the output's view of floats; one per thread."""


def values_of(row: Mapping[str, Any], coders: Sequence[Coder], number: int | None) -> list[Any]:
    """What a record puts into the tensor(s), column by column; the law in its slow form.

    Raises InputError for an unknown, missing or unacceptable value; ``number`` is the row's, where it has one.
    """
    check_keys(row, [coder.column.name for coder in coders], number)
    return [coder.one(row[coder.column.name], number) for coder in coders]


def compile_row(
    coders: Sequence[Coder],
    dtype: str,
    local: Any,
    new_slot: Callable[[], Slot],
    options: Any,
    finish: Callable[[Any], Any],
) -> Callable[[Mapping[str, Any]], Any]:
    """The function from a record to its outputs, for columns that fill one numeric tensor, in any order.

    ``local`` is a thread's store (its attribute `slot`), ``new_slot`` fills it, ``finish`` makes outputs of raw sums.
    """
    order = sorted(range(len(coders)), key=lambda i: coders[i].column.index)  # of the tensor; errors go by the schema's
    names = [f"v{i}" for i in range(len(coders))]
    packer = struct.Struct(f"={len(coders)}{'d' if dtype == 'float64' else 'f'}")

    def slow(row: Mapping[str, Any]) -> Any:
        run, binding, buffer, raw = new_slot() if not hasattr(local, "slot") else local.slot
        values = values_of(row, coders, None)
        packer.pack_into(buffer, 0, *[values[i] for i in order])
        try:
            run(binding, options)
        except ERRORS as error:
            raise failed(error) from error
        return finish(raw)

    names_of = [coder.column.name for coder in coders]
    get = operator.itemgetter(*names_of)
    scope: dict[str, Any] = {
        "local": local, "new_slot": new_slot, "get": get, "slow": slow, "pack": packer.pack_into, "options": options,
        "finish": finish, "nan": float("nan"), "StructError": struct.error,
        "ERRORS": ERRORS, "failed": failed, "InputError": InputError,
    }  # fmt: skip
    checks: list[str] = []
    for i, coder in enumerate(coders):
        checks += [f"        {line}" for line in _check(f"v{i}", i, coder, dtype, scope)]
    text = "\n".join(
        [
            "def predict_one(row):",
            "    try:",
            "        run, binding, buffer, raw = local.slot",
            "    except AttributeError:",
            "        run, binding, buffer, raw = new_slot()",
            "    try:",
            # Other mappings may make up what is missing.
            f"        if row.__class__ is not dict or len(row) != {len(names)}: return slow(row)",
            f"        {', '.join(names)} = get(row)",
            *checks,
            f"        pack(buffer, 0, {', '.join(names[i] for i in order)})",
            # InputError as well: where two values are wrong, it is the schema's order that says which is named.
            "    except (KeyError, TypeError, OverflowError, StructError, InputError):",
            "        return slow(row)",
            "    try:",
            "        run(binding, options)",
            "    except ERRORS as error:",
            "        raise failed(error) from error",
            "    return finish(raw)",
        ]
    )
    exec(compile(text, "<edge_runtime.row>", "exec"), scope)
    compiled: Callable[[Mapping[str, Any]], Any] = scope["predict_one"]
    return compiled


def _check(v: str, i: int, coder: Coder, dtype: str, scope: dict[str, Any]) -> list[str]:
    """Lines that let a plain value of one column pass and send every other one to `slow`."""
    column = coder.column
    if column.dtype == "str":
        codes: dict[Any, float] = {value: float(code) for code, value in enumerate(column.categories or ())}
        if coder.nullable:
            codes[None] = scope["nan"]
        scope[f"codes{i}"] = codes.get
        return [f"{v} = codes{i}({v})", f"if {v} is None: return slow(row)"]
    if (not column.open and column.categories is not None) or (column.dtype == "float32" and dtype == "float64"):
        scope[f"one{i}"] = coder.one
        return [f"{v} = one{i}({v}, None)"]
    if column.dtype == "bool":
        lines = [f"if {v} is not True and {v} is not False:"]
        return (
            [*lines, f"    if {v} is not None: return slow(row)", f"    {v} = nan"]
            if coder.nullable
            else [f"{lines[0]} return slow(row)"]
        )
    assert isinstance(coder, (FloatCoder, IntegerCoder))
    low, high = coder.low, coder.high
    scope[f"low{i}"], scope[f"high{i}"] = low, high
    outside = f"not low{i} <= {v} <= high{i}"
    if "int" in column.dtype:
        refused = f"type({v}) is not int or {outside}"
        if coder.nullable:
            return [f"if {refused}:", f"    if {v} is not None: return slow(row)", f"    {v} = nan"]
        return [f"if {refused}: return slow(row)"]
    unbounded = (low, high) == (float("-inf"), float("inf"))
    if coder.nullable:
        beyond = "" if unbounded else f"elif {outside} and {v} == {v}: return slow(row)"
        lines = [f"if type({v}) is not float:", f"    if {v} is None: {v} = nan", "    else: return slow(row)"]
        return [*lines, beyond] if beyond else lines
    return [f"if type({v}) is not float or {outside}: return slow(row)"]
