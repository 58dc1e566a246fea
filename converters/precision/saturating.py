"""Proof from the weights that no integer product saturates on x86 without VNNI, and the repair where one might.

There onnxruntime multiplies u8 by s8 with `vpmaddubsw`, which adds two neighbouring products in 16 bits and cuts what
is beyond. (It turns s8 activations into u8 first, so S8S8 is no better; u8 by u8 is exact.) An activation is at most
255, so a pair of weights of one sign whose magnitudes add up to at most 128 stays within 255 x 128 = 32,640. Which
weights are neighbours depends on a kernel's packing: where the two largest of a channel fulfil this, every pair does.

Belongs here: the proof, and quantizing again. Not here: which machine needs it (cpu.py).
Imported as edge_runtime.converters.precision.saturating.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from .calibrating import Ranges
from .cpu import Combination
from .graphs import array, constants
from .integers import static

__all__ = ["MOST", "Repaired", "fits", "offending", "repaired"]

MOST = 128
"""What the magnitudes of two weights of one sign may add up to: 255 x 128 < 2^15."""
# (operator, input that holds the weights, input that holds the activations)
TAKERS = {
    "Conv": (1, 0), "ConvTranspose": (1, 0), "MatMul": (1, 0), "Gemm": (1, 0), "MatMulInteger": (1, 0),
    "ConvInteger": (1, 0), "QLinearConv": (3, 0), "QLinearMatMul": (3, 0), "QGemm": (3, 0),
}  # fmt: skip
QUANTIZED_INPUTS = {"MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul", "QGemm"}


class Repaired(NamedTuple):
    """The graph, the nodes whose weights were quantized again in 7 bits, and those that are still not proven: with any
    of these, the variant needs the session option `session.x64quantprecision=1`."""

    model: ModelProto
    nodes: tuple[str, ...]
    unproven: tuple[str, ...]


def offending(model: ModelProto) -> tuple[str, ...]:
    """Names of the nodes, branches included, for which it is not proven that nothing saturates: their weights allow
    it, or are not constant."""
    found = multiplications(model.graph, {}, {})
    names = (node.name for node, weights, channels in found if not proven(weights, channels))
    return tuple(dict.fromkeys(names))


def repaired(model: ModelProto, ranges: Ranges, nodes: Collection[str] | None, combination: Combination) -> Repaired:
    """``static`` of these arguments, with 7 bits for the weights of those nodes alone that would not be proven
    otherwise. Raises RecipeFailed as ``static`` does."""
    first = static(model, ranges, nodes, combination)
    bad = offending(first)
    if not bad:
        return Repaired(first, (), ())
    second = static(model, ranges, nodes, combination, reduced=bad)
    unproven = offending(second)
    return Repaired(second, tuple(name for name in bad if name not in unproven), unproven)


def fits(weights: NDArray[np.int8], channels: tuple[int, ...]) -> bool:
    """No two weights of one sign, from the same place along the axes ``channels``, add up to more than ``MOST``."""
    others = [axis for axis in range(weights.ndim) if axis not in channels]
    count = int(np.prod([weights.shape[axis] for axis in channels]))
    rows = np.transpose(weights, [*channels, *others]).reshape(count, -1).astype(np.int32)
    if not rows.size:
        return True
    for signed in (np.maximum(rows, 0), np.maximum(-rows, 0)):
        largest = np.partition(signed, max(signed.shape[1] - 2, 0), axis=1)[:, -2:]
        if largest.sum(axis=1).max() > MOST:
            return False
    return True


def proven(weights: TensorProto | None, channels: tuple[int, ...]) -> bool:
    return weights is not None and fits(array(weights).astype(np.int8), channels)


def multiplications(
    graph: GraphProto, makers: dict[str, NodeProto], fixed: dict[str, TensorProto]
) -> Iterator[tuple[NodeProto, TensorProto | None, tuple[int, ...]]]:
    """Each node that multiplies integers by s8: the node, its constant weights or None, and their channels' axes."""
    makers = {**makers, **{name: node for node in graph.node for name in node.output}}
    fixed = {**fixed, **constants(graph)}
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input)}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from multiplications(attribute.g, makers, fixed)
        if node.op_type == "DynamicQuantizeLSTM":  # [directions, in, 4 * hidden], for the input and for the state
            for name in (node.input[1], node.input[2]):
                weights = fixed.get(name)
                if weights is None or weights.data_type == TensorProto.INT8:
                    yield node, weights, (0, 2)
        if node.op_type not in TAKERS:
            continue
        at, other = TAKERS[node.op_type]
        name, activation = node.input[at], node.input[other]
        if node.op_type not in QUANTIZED_INPUTS:
            before, source = makers.get(name), makers.get(activation)
            if not (is_dequantize(before) and is_dequantize(source)):
                continue  # computed in float32
            assert before is not None
            name, zero = before.input[0], before.input[2] if len(before.input) > 2 else ""
        else:
            zero = ""
        weights = fixed.get(name)
        kind = weights.data_type if weights is not None else element_type(name, zero, fixed, types, makers)
        if kind != TensorProto.UINT8:
            yield node, weights, channel_axes(node, len(weights.dims) if weights is not None else 0)


def is_dequantize(node: NodeProto | None) -> bool:
    return node is not None and node.op_type == "DequantizeLinear"


def element_type(
    name: str, zero: str, fixed: dict[str, TensorProto], types: dict[str, int], makers: dict[str, NodeProto]
) -> int:
    """The type of integers that are not constant: that of their zero point; 0 where it cannot be told."""
    if zero in fixed:
        return fixed[zero].data_type
    maker = makers.get(name)
    if maker is not None and maker.op_type == "QuantizeLinear" and len(maker.input) > 2 and maker.input[2] in fixed:
        return fixed[maker.input[2]].data_type
    if maker is not None and maker.op_type in ("DynamicQuantizeLinear",):
        return int(TensorProto.UINT8)
    return types.get(name, 0)


def channel_axes(node: NodeProto, rank: int) -> tuple[int, ...]:
    """Along which axes of the weights the sums of products are different ones."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
        return (0,)
    if node.op_type == "ConvTranspose":
        return (1,)
    if node.op_type in ("Gemm", "QGemm"):
        return (0,) if attributes.get("transB", 0) else (1,)
    return tuple(axis for axis in range(rank) if axis != rank - 2)
