"""Integer graphs: of real networks that onnxruntime's own recipes fail on, and of chosen nodes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from sklearn.datasets import load_digits

from edge_runtime.converters.precision.calibrating import calibrate
from edge_runtime.converters.precision.cpu import Combination
from edge_runtime.converters.precision.failing import RecipeFailed, library
from edge_runtime.converters.precision.graphs import every_graph
from edge_runtime.converters.precision.half import float16
from edge_runtime.converters.precision.integers import dynamic, nodes_of, static
from edge_runtime.converters.precision.preparing import prepared
from edge_runtime.graph_scan import scan
from edge_runtime.session import open_session

U8S8 = Combination("uint8", "int8", per_channel=True, reduce_range=False)
COMBINATIONS = [
    U8S8, U8S8._replace(reduce_range=True), Combination("int8", "int8", True, False),
    Combination("uint8", "uint8", False, False),
]  # fmt: skip
NAMES = ["magika", "detection", "direction", "silero"]


def answers(model: ModelProto, feed: dict[str, Any]) -> list[Any]:
    raw = model.SerializeToString()
    scan(raw)
    found: list[Any] = open_session(raw, threads=1, largest_tensor=2**24).run(None, feed)
    return found


def operators(model: ModelProto) -> list[str]:
    return [node.op_type for graph in every_graph(model.graph) for node in graph.node]


@pytest.mark.parametrize("name", [*NAMES, "digits"])
def test_a_prepared_graph_answers_as_before(networks: Any, name: str) -> None:
    """Opset 13 or later, no Constant, every node named, every tensor typed, at every depth."""
    model = networks.ready(name)
    assert model.opset_import[0].version >= 13
    assert "Constant" not in operators(model)
    nodes = [node for graph in every_graph(model.graph) for node in graph.node]
    assert len({node.name for node in nodes} - {""}) == len(nodes)
    typed = {v.name for g in every_graph(model.graph) for v in (*g.value_info, *g.output) if v.type.WhichOneof("value")}
    assert {name for node in nodes for name in node.output if name} <= typed
    original = networks.digits_cnn() if name == "digits" else networks.network(name)
    feed = networks.digits_feeds([9])[0] if name == "digits" else networks.feeds(name, 1)[0]
    for wanted, found in zip(answers(original, feed), answers(model, feed), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_batch_norms_are_folded_and_a_weight_in_two_branches_is_kept_once(networks: Any) -> None:
    """35 of them in the direction classifier; silero-vad repeats its LSTM's weights in each branch."""
    assert "BatchNormalization" in operators(networks.network("direction"))
    assert "BatchNormalization" not in operators(networks.ready("direction"))
    assert networks.ready("silero").ByteSize() < networks.network("silero").ByteSize()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda c: c.name)
def test_static_integers_work_on_real_networks(networks: Any, name: str, combination: Combination) -> None:
    """Each combination gives a graph that may be in a bundle and runs, of the layers with weights."""
    model, feeds = networks.ready(name), networks.feeds(name, 2)
    ranges = calibrate(model, feeds, methods=["minmax"])["minmax"]
    made = static(model, ranges, [node.name for node in nodes_of(model, heavy=True)], combination)
    assert "DequantizeLinear" in operators(made)
    assert all(np.isfinite(answer).all() for answer in answers(made, feeds[0]))


@pytest.mark.parametrize("name", NAMES)
def test_dynamic_integers_work_on_real_networks(networks: Any, name: str) -> None:
    """Also where weights lie behind Constant nodes, on which quantize_dynamic fails."""
    made = dynamic(networks.ready(name))
    assert {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM"} & set(operators(made))
    assert all(np.isfinite(answer).all() for answer in answers(made, networks.feeds(name, 1)[0]))


def test_digits_keep_their_classes_in_integers(networks: Any) -> None:
    """A CNN over digits: at most 1% of the rows that nobody calibrated on get another class."""
    model = networks.ready("digits")
    rows = {"image": (load_digits().images[300:, None] / 16).astype(np.float32)}
    wanted = answers(model, rows)[0].argmax(axis=1)
    ranges = calibrate(model, networks.digits_feeds(range(300)))
    for method in ranges:
        made = static(model, ranges[method], None, U8S8)
        assert (answers(made, rows)[0].argmax(axis=1) != wanted).mean() <= 0.01
    assert (answers(dynamic(model), rows)[0].argmax(axis=1) != wanted).mean() <= 0.01
    assert (answers(float16(model), rows)[0].argmax(axis=1) != wanted).mean() <= 0.01


def test_only_the_chosen_nodes_are_quantized(networks: Any) -> None:
    """One Gemm of two: one weight in 8 bits, the graph given is not touched, and no file is left behind."""
    model = networks.ready("digits")
    before = model.SerializeToString(deterministic=True)
    ranges = calibrate(model, networks.digits_feeds(range(20)), methods=["minmax"])["minmax"]
    first = next(node.name for node in nodes_of(model, heavy=True) if node.op_type == "Gemm")
    made = static(model, ranges, [first], U8S8)
    assert sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2 for t in made.graph.initializer) == 1
    assert model.SerializeToString(deterministic=True) == before


def test_quantizing_is_silent_and_leaves_no_file(
    networks: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing on stdout, stderr or in the working folder, and logging is as before."""
    monkeypatch.chdir(tmp_path)
    model = networks.ready("digits")
    ranges = calibrate(model, networks.digits_feeds(range(5)))
    static(model, ranges["entropy"], None, U8S8)
    dynamic(model)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
    assert logging.root.manager.disable == logging.NOTSET


def test_nothing_to_quantize_is_a_failed_recipe(networks: Any) -> None:
    """No names, or none of them in the graph."""
    model = networks.ready("digits")
    ranges = calibrate(model, networks.digits_feeds(range(5)), methods=["minmax"])["minmax"]
    for names in ([], ["elsewhere"]):
        with pytest.raises(RecipeFailed, match="no node of the graph can be quantized"):
            static(model, ranges, names, U8S8)


def test_branches_in_float16_are_a_failed_recipe(networks: Any) -> None:
    """onnxconverter-common leaves types in contradiction there; elsewhere inputs and outputs stay float32."""
    with pytest.raises(RecipeFailed, match="branches"):
        float16(networks.ready("silero"))
    made = float16(networks.ready("magika"))
    wanted, found = (answers(m, networks.feeds("magika", 1)[0])[0] for m in (networks.ready("magika"), made))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-2)


def test_a_librarys_error_is_a_reason_and_ours_is_not() -> None:
    """What is raised inside onnx becomes RecipeFailed; a wrong call and our own mistake pass."""
    with pytest.raises(RecipeFailed, match=r"trial: .* in onnx"), library("trial", "onnx"):
        onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [1.0])
    with pytest.raises(TypeError), library("trial", "onnx"):
        onnx.helper.make_tensor()  # type: ignore[call-arg]
    with pytest.raises(ZeroDivisionError), library("trial", "onnx"):
        1 / 0  # noqa: B018


def test_a_graph_that_no_library_reads_cannot_be_prepared() -> None:
    """The reason is onnxruntime's, in one line."""
    with pytest.raises(RecipeFailed, match="preparation: "):
        prepared(
            onnx.helper.make_model(
                onnx.helper.make_graph([onnx.helper.make_node("Nothing", ["x"], ["y"])], "g", [], [])
            )
        )
