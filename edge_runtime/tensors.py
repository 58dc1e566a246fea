"""Tensors for a graph, checked: names, dtypes, shapes, and no value rounded in silence.

Belongs here: what `run` accepts. Not here: tables (tables.py, values.py).
Imported as edge_runtime.tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .schema import INTEGER_RANGE, TensorSpec
from .values import is_unicode

__all__ = ["check_tensors"]


def check_tensors(tensors: Mapping[str, Any], specs: tuple[TensorSpec, ...]) -> dict[str, NDArray[Any]]:
    """Arrays as the graph takes them. A wider dtype is accepted where every value is exact in the graph's own; lists
    are read as the graph's dtype. Raises InputError with the tensor's name."""
    names = [spec.name for spec in specs]
    if not isinstance(tensors, Mapping):
        raise InputError(f"got {type(tensors).__name__}", expected=f"a dict of the tensors {names}")
    for name in tensors:
        if name not in names:
            raise InputError("unknown tensor", column=str(name), expected=f"the tensors {names}")
    made: dict[str, NDArray[Any]] = {}
    for spec in specs:
        if spec.name not in tensors:
            raise InputError("the tensor is missing", column=spec.name, expected=f"{spec.dtype} {list(spec.shape)}")
        array = _array(tensors[spec.name], spec)
        shape = array.shape
        if len(shape) != len(spec.shape) or any(
            a is not None and a != b for a, b in zip(spec.shape, shape, strict=True)
        ):
            raise InputError(
                f"shape {list(shape)}", column=spec.name, expected=f"shape {list(spec.shape)}, None being free"
            )
        made[spec.name] = array
    return made


def _array(value: Any, spec: TensorSpec) -> NDArray[Any]:
    if hasattr(value, "filled") and np.any(value.mask):  # numpy's masked array, whose mask asarray would drop
        raise InputError("masked values", column=spec.name, expected="a value at every place")
    if spec.dtype == "str":
        return _texts(value, spec)
    wanted = np.dtype(spec.dtype)
    given = np.asarray(value) if hasattr(value, "dtype") or hasattr(value, "__array__") else None
    try:
        if given is None:
            given = np.asarray(value)
            if given.dtype.kind == "f" and wanted.kind == "f":
                return np.asarray(value, wanted)  # written numbers have no dtype of their own
        if given.dtype == wanted:
            return np.asarray(given, order="C")
        if (given.dtype.kind == "b") != (wanted.kind == "b") or given.dtype.kind not in "biuf":
            raise InputError(f"dtype {given.dtype}", column=spec.name, expected=str(wanted))
        made, exact = _converted(given, wanted)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"not a tensor ({error})", column=spec.name, expected=f"{wanted} {list(spec.shape)}"
        ) from error
    if not exact:
        raise InputError(
            f"{given.dtype} values that {wanted} cannot hold",
            column=spec.name,
            expected=f"{wanted}, or values exact in it",
        )
    return made


def _converted(given: NDArray[Any], wanted: np.dtype[Any]) -> tuple[NDArray[Any], bool]:
    """``given`` in another dtype, and whether every value is the same there.

    numpy compares integers with floats as floats, where neighbours beyond 2^53 are equal: integers are compared as
    integers, and only within their range, since what a float beyond it becomes is the machine's choice.
    """
    with np.errstate(all="ignore"):
        made = given.astype(wanted)
        if given.dtype.kind in "iu" and wanted.kind == "f":
            same = _within(made, given.dtype) & (made.astype(given.dtype) == given)
        elif given.dtype.kind == "f" and wanted.kind in "iu":
            same = _within(given, wanted) & (made == given)
        else:
            same = (made == given) | ((given != given) & (made != made))
    return made, bool(same.all())


def _within(floats: NDArray[Any], dtype: np.dtype[Any]) -> Any:
    low, high = INTEGER_RANGE[dtype.name]
    wide = floats.astype(np.float64)  # a narrower dtype may not hold the bounds
    return (wide >= float(low)) & (wide < float(high + 1))


def _texts(value: Any, spec: TensorSpec) -> NDArray[Any]:
    try:
        array = np.asarray(value, object)
    except ValueError as error:
        raise InputError(f"not a tensor ({error})", column=spec.name, expected=f"text {list(spec.shape)}") from error
    texts = array.ravel().tolist()
    if not all(isinstance(text, str) for text in texts):
        raise InputError("a value is no text", column=spec.name, expected="text")
    if not is_unicode("".join(texts)):
        raise InputError("a text has lone surrogates", column=spec.name, expected="text without lone surrogates")
    return array
