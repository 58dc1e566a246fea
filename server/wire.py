"""One tensor of the Open Inference Protocol in JSON: its datatypes, its shape, its data flat or nested.

Belongs here: whether data are what they say to be. Not here: whether the model takes them (edge_runtime.values and
edge_runtime.tensors).
Imported as edge_runtime.server.wire.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_runtime.schema import INTEGER_RANGE, Schema, TensorSpec
from edge_runtime.values import shorten

from .problems import Problem, kind_of

__all__ = ["DATATYPES", "Tensor", "array_of", "described", "described_inputs", "described_outputs", "values_of"]

DATATYPES = {
    "bool": "BOOL", "str": "BYTES", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    **{dtype: dtype.upper() for dtype in INTEGER_RANGE},
}  # fmt: skip
"""numpy's name of a dtype → the protocol's."""
DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
EXACT = 2**53
NOTHING = type(None)


class Tensor(msgspec.Struct):
    """An input as it came."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


def described_inputs(schema: Schema) -> list[dict[str, Any]]:
    """What the model takes, as the protocol's metadata has it: a table's columns, or the tensors."""
    if schema.columns:
        return [{"name": c.name, "datatype": DATATYPES[c.dtype], "shape": [-1]} for c in schema.columns]
    return [described_spec(spec) for spec in schema.inputs]


def described_outputs(schema: Schema) -> list[dict[str, Any]]:
    return [described_spec(spec) for spec in schema.outputs]


def described_spec(spec: TensorSpec) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in spec.shape]
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": shape}


def described(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """An output: its data flat, row-major; NaN and the infinities become null. Raises Problem for float16."""
    dtype = "str" if array.dtype.kind in "OUT" else array.dtype.name
    if dtype == "float16":
        raise Problem(400, f"the output {shorten(name)} is FP16, which JSON cannot carry; use /predict")
    return {
        "name": name,
        "datatype": DATATYPES[dtype],
        "shape": list(array.shape),
        "data": array.ravel().tolist(),
    }


def values_of(tensor: Tensor) -> NDArray[Any] | list[Any]:
    """The values of a column, flat: an array of the tensor's dtype, or a list where there are nulls or texts.

    Raises Problem for data that the datatype or the shape does not allow.
    """
    flat, place = flatten(tensor), f"the input {shorten(tensor.name)}"
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise Problem(400, f"{place} has an unknown datatype; expected one of {', '.join(DTYPES)}")
    if dtype == "float16":
        raise Problem(400, f"{place} is FP16, which JSON cannot carry; send FP32")
    kinds = set(map(type, flat)) - {NOTHING}
    if dtype in INTEGER_RANGE:
        return integers(flat, kinds, dtype, place, tensor.datatype)
    allowed: dict[str, set[type]] = {"bool": {bool}, "str": {str}}
    if not kinds <= allowed.get(dtype, {int, float}):
        odd = next(value for value in flat if type(value) not in {*allowed.get(dtype, {int, float}), NOTHING})
        raise Problem(422, f"{place}: got {kind_of(odd)} among {tensor.datatype} data")
    return floats(flat, kinds, dtype, place) if dtype in ("float32", "float64") else flat


def integers(flat: list[Any], kinds: set[type], dtype: str, place: str, datatype: str) -> NDArray[Any] | list[Any]:
    low, high = INTEGER_RANGE[dtype]
    if kinds <= {int}:
        known = flat if None not in flat else [value for value in flat if value is not None]
        inside = not known or (low <= min(known) and max(known) <= high)
    else:
        odd = [value for value in flat if type(value) is not int and value is not None]
        whole = all(type(value) is float and value.is_integer() for value in odd)
        if not whole:
            raise Problem(422, f"{place}: got a value that is no whole number among {datatype} data")
        flat = [int(value) if value is not None else None for value in flat]
        inside = all(low <= value <= high for value in flat if value is not None)
    if not inside:
        raise Problem(422, f"{place}: got a number outside {datatype}")
    return flat if None in flat else np.array(flat, dtype)


def floats(flat: list[Any], kinds: set[type], dtype: str, place: str) -> NDArray[Any]:
    """An array, NaN where null stood. A number written in FP32 data means its nearest float32."""
    if int in kinds and any(type(value) is int and not -EXACT <= value <= EXACT for value in flat):
        raise Problem(422, f"{place}: got an integer beyond 2**53, which a float would round")
    wide = np.array([math.nan if value is None else value for value in flat], np.float64)
    with np.errstate(over="ignore"):
        made = wide.astype(dtype)
    if np.isinf(made).any():
        raise Problem(422, f"{place}: got a number outside FP32")
    return made


def array_of(tensor: Tensor) -> NDArray[Any]:
    """The tensor as an array of its own dtype and shape, text as objects. Raises Problem; a null is refused."""
    values = values_of(tensor)
    missing = np.isnan(values).any() if isinstance(values, np.ndarray) and values.dtype.kind == "f" else None in values
    if missing:
        raise Problem(422, f"the input {shorten(tensor.name)}: got null; expected a value at every place")
    dtype = DTYPES[tensor.datatype]
    if isinstance(values, np.ndarray):
        return values.reshape(tensor.shape)
    made = np.empty(len(values), object if dtype == "str" else dtype)
    made[:] = values
    return made.reshape(tensor.shape)


def flatten(tensor: Tensor) -> list[Any]:
    """The data as one flat list, row-major. Raises Problem unless they fill the shape."""
    shape, place = tensor.shape, f"the input {shorten(tensor.name)}"
    if not all(size >= 0 for size in shape):
        raise Problem(400, f"{place} has a negative size in its shape")
    data = tensor.data
    wrong = Problem(400, f"{place} holds other data than its shape says")
    if not data or type(data[0]) is not list:
        if len(data) != math.prod(shape):
            raise wrong
        return data
    level = [data]
    for axis, size in enumerate(shape):
        if not all(type(part) is list and len(part) == size for part in level):
            raise wrong
        if axis + 1 < len(shape):
            level = [inner for part in level for inner in part]
    flat = [value for part in level for value in part]
    if len(flat) != math.prod(shape):
        raise wrong
    return flat
