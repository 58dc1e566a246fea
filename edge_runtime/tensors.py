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
from .schema import TensorSpec

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
    if spec.dtype == "str":
        array = np.asarray(value, object)
        if not all(isinstance(text, str) for text in array.ravel().tolist()):
            raise InputError("a value is no text", column=spec.name, expected="text")
        return array
    wanted = np.dtype(spec.dtype)
    given = np.asarray(value) if hasattr(value, "dtype") or hasattr(value, "__array__") else None
    try:
        if given is None:
            given = np.asarray(value)
            if given.dtype.kind == "f" and wanted.kind == "f":
                return np.asarray(value, wanted)  # written numbers have no dtype of their own
        if given.dtype == wanted:
            return np.ascontiguousarray(given)
        if (given.dtype.kind == "b") != (wanted.kind == "b") or given.dtype.kind not in "biuf":
            raise InputError(f"dtype {given.dtype}", column=spec.name, expected=str(wanted))
        with np.errstate(all="ignore"):
            made = given.astype(wanted)
            exact = bool(((made == given) | ((given != given) & (made != made))).all())
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
