"""What goes into a model and what comes out: tensors, and for tables the named columns behind them.

Belongs here: the types and their form in `edge.json`. Not here: checking values (values.py), reading tables
(tables.py).
Imported as edge_runtime.schema; the types are public in edge_runtime.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .canonical import take
from .errors import BundleError

__all__ = ["ColumnSpec", "Schema", "TensorSpec"]

INTEGER_RANGE = {
    f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
COLUMN_DTYPES = frozenset(INTEGER_RANGE) | {"float32", "float64", "bool", "str"}
TENSOR_DTYPES = COLUMN_DTYPES | {"float16"}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor. ``dtype`` is numpy's name of it ("str" for text); ``shape`` has None for rows and other free axes."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def to_json(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "name": self.name, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, data: object) -> TensorSpec:
        name, dtype, shape = take(data, "tensor", name=str, dtype=str, shape=list)
        if dtype not in TENSOR_DTYPES:
            raise BundleError(f"tensor {name!r} has the unknown dtype {dtype!r}")
        if not all(size is None or (type(size) is int and size >= 0) for size in shape):
            raise BundleError(f"tensor {name!r} has a shape that is not a list of sizes: {shape!r}")
        return cls(name, dtype, tuple(shape))


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column of a table, as the app hands it over.

    ``tensor`` and ``index`` say where it lies in the graph's inputs. ``low`` and ``high`` (numbers only) bound what the
    source answers, both included; they are infinite where it answers every number. ``categories`` are the values seen
    in training: a text column enters the graph as its position among them (unknown = -1, missing = NaN) unless its
    tensor is a text tensor; a number stays itself. ``open`` says whether a value outside ``categories`` is answered.
    """

    name: str
    dtype: str
    nullable: bool
    tensor: str
    index: int
    low: float | None = None
    high: float | None = None
    categories: tuple[str | int | float | bool, ...] | None = None
    open: bool = True

    def to_json(self) -> dict[str, Any]:
        exact = self.categories is None or self.dtype not in ("float32", "float64")
        return {
            "categories": None if self.categories is None else [v if exact else repr(v) for v in self.categories],
            "dtype": self.dtype,
            "high": None if self.high is None else repr(self.high),
            "index": self.index,
            "low": None if self.low is None else repr(self.low),
            "name": self.name,
            "nullable": self.nullable,
            "open": self.open,
            "tensor": self.tensor,
        }

    @classmethod
    def from_json(cls, data: object) -> ColumnSpec:
        name, dtype, nullable, tensor, index, low, high, categories, open_ = take(
            data, "column", name=str, dtype=str, nullable=bool, tensor=str, index=int,
            low=(str, type(None)), high=(str, type(None)), categories=(list, type(None)), open=bool,
        )  # fmt: skip
        if dtype not in COLUMN_DTYPES:
            raise BundleError(f"column {name!r} has the unknown dtype {dtype!r}")
        numeric = dtype not in ("str", "bool")
        if numeric != (low is not None) or numeric != (high is not None):
            raise BundleError(f"column {name!r}: bounds go with numbers, and only with them")
        if categories is not None:
            kind = {"str": str, "bool": bool, "float32": str, "float64": str}.get(dtype, int)
            if not all(type(value) is kind for value in categories) or len(set(categories)) != len(categories):
                raise BundleError(f"column {name!r} has categories that are not distinct values of {dtype}")
            if dtype in ("float32", "float64"):
                categories = [decimal(value, name) for value in categories]
            if dtype in INTEGER_RANGE and not all(in_range(value, dtype) for value in categories):
                raise BundleError(f"column {name!r} has categories outside {dtype}")
        least, most = (None if bound is None else decimal(bound, name) for bound in (low, high))
        if least is not None and most is not None and (least > most or least == math.inf or most == -math.inf):
            raise BundleError(f"column {name!r} has bounds between which no finite number lies: {low}, {high}")
        known = None if categories is None else tuple(categories)
        return cls(name, dtype, nullable, tensor, index, least, most, known, open_)


@dataclass(frozen=True, slots=True)
class Schema:
    """``columns`` of the table (empty for a tensor model), ``inputs`` of the graph, ``outputs`` of the model."""

    columns: tuple[ColumnSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [column.to_json() for column in self.columns],
            "inputs": [tensor.to_json() for tensor in self.inputs],
            "outputs": [tensor.to_json() for tensor in self.outputs],
        }

    @classmethod
    def from_json(cls, data: object) -> Schema:
        columns, inputs, outputs = take(data, "schema", columns=list, inputs=list, outputs=list)
        schema = cls(
            tuple(map(ColumnSpec.from_json, columns)),
            tuple(map(TensorSpec.from_json, inputs)),
            tuple(map(TensorSpec.from_json, outputs)),
        )
        schema.check()
        return schema

    def check(self) -> None:
        """Raise BundleError unless names are distinct and the columns fill each input exactly once."""
        for kind, specs in (("column", self.columns), ("input", self.inputs), ("output", self.outputs)):
            names = [spec.name for spec in specs]
            if len(set(names)) != len(names):
                raise BundleError(f"the schema has two {kind}s of one name: {names!r}")
        if not self.columns:
            return
        widths = {tensor.name: tensor.shape[1] if tensor.shape[1:] else 1 for tensor in self.inputs}
        flat = all(len(tensor.shape) in (1, 2) and tensor.shape[0] is None for tensor in self.inputs)
        filled = {(column.tensor, column.index) for column in self.columns}
        inside = all(0 <= index < (widths.get(tensor) or 0) for tensor, index in filled)
        exactly = len(filled) == len(self.columns) == sum(width or 0 for width in widths.values())
        if not (flat and inside and exactly and None not in widths.values()):
            raise BundleError("the schema's columns do not fill the graph's inputs exactly once")


def in_range(value: int, dtype: str) -> bool:
    low, high = INTEGER_RANGE[dtype]
    return low <= value <= high


def decimal(text: str, where: str) -> float:
    """The float that a canonical decimal string stands for; raises BundleError if it is not one."""
    try:
        value = float(text)
    except ValueError:
        raise BundleError(f"{where}: {text!r} is not a number") from None
    if repr(value) != text or value != value:
        raise BundleError(f"{where}: {text!r} is not a number in its shortest form")
    return value
