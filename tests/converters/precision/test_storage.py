"""Weights kept in 16 or 8 bits: smaller files, folded when a session is created."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_runtime.converters.precision.failing import RecipeFailed
from edge_runtime.converters.precision.graphs import Array, every_graph
from edge_runtime.converters.precision.scales import quantized
from edge_runtime.converters.precision.storage import largest_folded, store_float16, store_int8, weights_of
from edge_runtime.graph_scan import scan
from edge_runtime.session import open_session


def run(model: ModelProto, feed: dict[str, Array], largest: int) -> list[Array]:
    raw = model.SerializeToString()
    scan(raw)
    answers: list[Array] = open_session(raw, threads=1, largest_tensor=largest).run(None, feed)
    return answers


@pytest.mark.parametrize("name", ["magika", "detection", "direction", "silero"])
def test_weights_in_float16_make_half_a_file_and_nearly_the_same_answers(networks: Any, name: str) -> None:
    """Of real networks, nested graphs included, the weights take half their bytes, and the answers move by 1e-3."""
    model, feed = networks.network(name), networks.feeds(name, 1)[0]
    stored = store_float16(model)
    kept = sum(weight.bytes for weight in weights_of(model) if weight.stored)
    assert model.ByteSize() - stored.ByteSize() > 0.45 * kept
    for wanted, found in zip(run(model, feed, 0), run(stored, feed, largest_folded(stored)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-3 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize(("name", "times"), [("magika", 4.0), ("detection", 3.9), ("silero", 4.0)])
def test_weights_in_int8_make_a_file_nearly_four_times_smaller(networks: Any, name: str, times: float) -> None:
    """Deflated, as a bundle's entries are, against the float32 file."""
    model = networks.network(name)
    assert model.ByteSize() / len(zlib.compress(store_int8(model).SerializeToString(), 9)) > times


@pytest.mark.parametrize("name", ["magika", "direction", "silero"])
@pytest.mark.parametrize("store", [store_float16, store_int8])
def test_stored_weights_are_folded_where_the_largest_of_them_is_declared(
    networks: Any, name: str, store: Any, tmp_path: Any
) -> None:
    """What onnxruntime makes of the graph has no integers and no Cast of a constant left."""
    made = store(networks.network(name))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = f"{tmp_path}/folded.onnx"
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    limit = str(max(65536, largest_folded(made)))
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", limit)
    onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for graph in every_graph(onnx.load(f"{tmp_path}/folded.onnx").graph):
        kinds = {tensor.data_type for tensor in graph.initializer}
        assert not kinds & {TensorProto.FLOAT16, TensorProto.INT8}


@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "scales"),
    [
        ("Conv", (64, 8, 3, 3), {}, (64, 1, 1, 1)),
        ("ConvTranspose", (32, 16, 3, 3), {}, (1, 16, 1, 1)),
        ("ConvTranspose", (32, 16, 3, 3), {"group": 2}, (32, 1, 1, 1)),
        ("Gemm", (64, 32), {}, (1, 32)),
        ("Gemm", (64, 32), {"transB": 1}, (64, 1)),
        ("MatMul", (4, 64, 32), {}, (1, 1, 32)),
        ("LSTM", (2, 128, 24), {}, (2, 128, 1)),
        ("Gather", (100, 24), {}, (100, 1)),
    ],
)
def test_scales_stand_along_the_channels_of_the_operator(
    operator: str, shape: tuple[int, ...], attributes: dict[str, Any], scales: tuple[int, ...]
) -> None:
    """One scale for each output channel, row or direction; the error of a weight is below half a step."""
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    node = helper.make_node(operator, ["x", "w", "r"], ["y"], **attributes)
    whole, scale = quantized(values, [(node, 0 if operator == "Gather" else 1)])
    assert scale.shape == scales
    largest = np.abs(values).max(axis=tuple(a for a, size in enumerate(scales) if size == 1), keepdims=True)
    plain = np.square(np.rint(values / (largest / 127)) * (largest / 127) - values).sum()
    assert np.square(whole * scale - values).sum() <= plain


def test_zeros_stay_zeros_and_a_channel_of_zeros_has_the_scale_one() -> None:
    """Pruned weights stay pruned, also where a whole channel is."""
    values = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    values[3], values[:, 5] = 0, 0
    whole, scale = quantized(values, [(helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), 1)])
    assert scale[3, 0] == 1
    assert not whole[values == 0].any()


def graph_of(weight: Array, opset: int = 13, copies: int = 2) -> ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], [f"y{number}"]) for number in range(copies)]
    outputs = [helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, None) for n in range(copies)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weight.shape[0]])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_a_weight_of_two_nodes_is_stored_once() -> None:
    """Both take what one Mul makes."""
    made = store_int8(graph_of(np.ones((64, 64), np.float32)))
    assert [node.op_type for node in made.graph.node] == ["Cast", "Mul", "MatMul", "MatMul"]


def test_weights_that_the_type_cannot_hold_stay_as_they_are() -> None:
    """70,000 is beyond float16, infinity beyond int8."""
    large, endless = np.ones((64, 64), np.float32), np.ones((64, 64), np.float32)
    large[0, 0], endless[0, 0] = 70000, np.inf
    assert len(store_float16(graph_of(large)).graph.node) == 2
    assert len(store_int8(graph_of(endless)).graph.node) == 2


def test_no_large_weight_is_left_at_any_depth(networks: Any) -> None:
    """silero-vad, prepared, has weights in its outer graph as well as in branches of branches; what is left are the
    scales that int8 came with."""
    for store in (store_float16, store_int8):
        left = [weight for weight in weights_of(store(networks.ready("silero"))) if weight.stored]
        assert {weight.operator for weight in left} == (set() if store is store_float16 else {"Mul"})


def test_an_opset_without_broadcasting_is_refused() -> None:
    """Mul broadcasts since opset 7."""
    with pytest.raises(RecipeFailed, match="opset 6; expected 7"):
        store_int8(graph_of(np.ones((64, 64), np.float32), opset=6))


def test_how_much_of_a_file_is_weights_is_told(networks: Any) -> None:
    """Of the direction classifier, 85% of the bytes; biases and small layers are not stored smaller."""
    model = networks.network("direction")
    weights = weights_of(model)
    assert 0.8 < sum(weight.bytes for weight in weights) / model.ByteSize() < 0.9
    assert sum(weight.bytes for weight in weights if weight.stored) < sum(weight.bytes for weight in weights)
    assert {weight.operator for weight in weights} == {"Conv", "MatMul"}
