"""int8 per channel: the axis that is right for the operator, and the scales with the least squared error.

Belongs here: numbers of one weight. Not here: graphs (storage.py).
Imported as edge_runtime.converters.precision.scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

__all__ = ["channel_axes", "quantized"]

CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)
"""Shares of a channel's largest magnitude that are tried as its range."""
TOP = 127  # -128 is left out: then zero is in the middle and a weight and its negative are equally exact
SCALE_SHARE = 4  # a scale has 4 bytes; channels shorter than this many weights would make the file larger


def channel_axes(node: NodeProto, position: int, rank: int) -> tuple[int, ...] | None:
    """The axes along which the weight at input ``position`` of ``node`` has channels of its own; None = unknown."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    match node.op_type, position:
        case (("Conv" | "ConvInteger"), 1):
            return (0,)
        case "ConvTranspose", 1:  # [in, out / group, ...]: with groups, one output channel is no slice of it
            return (1,) if attributes.get("group", 1) == 1 else (0,)
        case "Gemm", 1:
            return (0,) if attributes.get("transB", 0) else (1,)
        case "Gemm", 0:
            return (1,) if attributes.get("transA", 0) else (0,)
        case "MatMul", 1:
            return (rank - 1,)
        case "MatMul", 0:
            return (rank - 2,)
        case (("LSTM" | "GRU" | "RNN"), (1 | 2)):
            return (0, 1)
        case "Gather", 0:
            return (int(attributes.get("axis", 0)) % rank,)
    return None


def quantized(
    values: NDArray[np.float32], users: Sequence[tuple[NodeProto, int]]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """``(q, scale)``: int8 in -127..127 of the weight's shape, and float32 that broadcasts against it;
    ``q * scale`` stands for ``values``. ``users`` take the weight, each at an input's position. Zeros stay zeros, and
    a channel of zeros has the scale 1."""
    known = [axes for node, at in users if (axes := channel_axes(node, at, values.ndim)) is not None]
    choices = known[:1] or [(axis,) for axis in range(values.ndim)]
    affordable = [axes for axes in choices if channel_count(values, axes) * SCALE_SHARE <= values.size] or [()]
    tried = [rounded(values, axes) for axes in affordable]
    return min(tried, key=lambda pair: squared_error(values, *pair))


def channel_count(values: NDArray[np.float32], axes: tuple[int, ...]) -> int:
    return int(np.prod([values.shape[axis] for axis in axes]))


def squared_error(values: NDArray[np.float32], whole: NDArray[np.int8], scale: NDArray[np.float32]) -> float:
    return float(np.square(whole * scale - values, dtype=np.float64).sum())


def rounded(values: NDArray[np.float32], axes: tuple[int, ...]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """One scale for each place along ``axes``, each of the least squared error among the clips."""
    others = tuple(axis for axis in range(values.ndim) if axis not in axes)
    largest = np.abs(values).max(axis=others, keepdims=True)
    best = np.where(largest / np.float32(TOP) > 0, largest / np.float32(TOP), np.float32(1))
    least = errors(values, best, others)
    for clip in CLIPS[1:]:
        # Among all scales for these whole numbers, the one that fits the weights best.
        whole = steps(values, best_or(largest * np.float32(clip / TOP)))
        power = np.square(whole).sum(axis=others, keepdims=True)
        fitted = best_or(((whole * values).sum(axis=others, keepdims=True) / np.maximum(power, 1)).astype(np.float32))
        error = errors(values, fitted, others)
        best, least = np.where(error < least, fitted, best), np.minimum(error, least)
    return steps(values, best).astype(np.int8), best


def best_or(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(scale > 0, scale, np.float32(1))


def steps(values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    whole: NDArray[np.float32] = np.clip(np.rint(values / scale), -TOP, TOP)
    return whole


def errors(values: NDArray[np.float32], scale: NDArray[np.float32], others: tuple[int, ...]) -> NDArray[np.float64]:
    difference = steps(values, scale) * scale - values
    total: NDArray[np.float64] = np.square(difference, dtype=np.float64).sum(axis=others, keepdims=True)
    return total
