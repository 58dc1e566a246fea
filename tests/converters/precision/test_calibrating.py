"""Ranges of activations: onnxruntime's own, in the memory of one feed, and clear errors for data that has none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper
from onnxruntime.quantization.calibrate import HistogramCollector, MinMaxCalibrater

from edge_runtime.converters.precision.calibrating import METHODS, Range, calibrate
from edge_runtime.converters.precision.preparing import prepared
from edge_runtime.errors import InputError


class Reader:
    """onnxruntime's way to take feeds."""

    def __init__(self, feeds: list[dict[str, Any]]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        return next(self.feeds, None)


@pytest.mark.parametrize("name", ["magika", "detection", "direction"])
def test_lows_and_highs_are_those_of_onnxruntimes_calibrater(networks: Any, name: str, tmp_path: Path) -> None:
    """Bit for bit, for every tensor, on real networks (one thread: two change the bits of a convolution)."""
    model, feeds = networks.ready(name), networks.feeds(name, 3)
    onnx.save(model, tmp_path / "model.onnx")
    theirs = MinMaxCalibrater(tmp_path / "model.onnx", augmented_model_path=str(tmp_path / "more.onnx"))
    theirs.augment_graph()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    theirs.infer_session = onnxruntime.InferenceSession(
        str(tmp_path / "more.onnx"), options, providers=["CPUExecutionProvider"]
    )
    theirs.collect_data(Reader(feeds))
    wanted = {n: Range(float(v.lowest.min()), float(v.highest.max())) for n, v in theirs.compute_data().items()}
    assert calibrate(model, feeds, methods=["minmax"])["minmax"].ranges == wanted


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_histograms_feed_by_feed_are_those_of_all_feeds_at_once(networks: Any, method: str) -> None:
    """Also where the widest feed comes last: onnxruntime's own histograms would grow, and move the thresholds."""
    model = networks.ready("digits")
    feeds = [
        {"image": feed["image"] * scale}
        for feed, scale in zip(networks.digits_feeds(range(30)), range(30), strict=True)
    ]
    bins = {"entropy": 256, "percentile": 2048}[method]
    collector = HistogramCollector(method, False, bins, 128, 99.999, "same")
    collector.collect({"image": np.concatenate([feed["image"] for feed in feeds])})
    low, high, *_ = collector.compute_collection_result()["image"]
    found = calibrate(model, feeds, methods=[method])[method].ranges["image"]
    assert found == pytest.approx((float(low), float(high)))


def test_percentiles_leave_out_what_is_rare(networks: Any) -> None:
    """One pixel of a thousand times the others does not set the range."""
    feeds = networks.digits_feeds(range(40))
    feeds[7] = {"image": feeds[7]["image"].copy()}
    feeds[7]["image"][0, 0, 3, 3] = 1000
    found = calibrate(networks.ready("digits"), feeds, percentile=99.9)
    assert found["minmax"].ranges["image"].high == 1000
    assert found["percentile"].ranges["image"].high < 10


FLAT = """
import resource, sys, numpy as np, onnx
from edge_runtime.converters.precision.calibrating import calibrate
class Feeds:
    def __iter__(self):
        rng = np.random.default_rng(0)
        return ({"x": rng.random((1, 1024), np.float32) + 1} for _ in range(int(sys.argv[2])))
calibrate(onnx.load(sys.argv[1]), Feeds(), methods=["minmax", "percentile"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")
def test_ten_thousand_samples_need_no_more_memory_than_a_hundred(tmp_path: Path) -> None:
    """The peak of the whole process is at most 5% higher; all tensors together would take 120 MB."""
    onnx.save(prepared(reciprocal(1024)), tmp_path / "graph.onnx")
    peaks = [
        int(subprocess.check_output([sys.executable, "-P", "-c", FLAT, tmp_path / "graph.onnx", count], text=True))
        for count in ("100", "10000")
    ]
    assert peaks[1] <= 1.05 * peaks[0]


def test_a_branch_has_ranges_where_a_feed_takes_it(networks: Any) -> None:
    """silero-vad computes 16 kHz and 8 kHz in two branches of If."""
    found = calibrate(networks.ready("silero"), networks.feeds("silero", 2), methods=["minmax"])["minmax"].ranges
    assert any("then_branch" in name for name in found)
    assert not any("else_branch" in name and "Conv" in name for name in found)


def test_shapes_may_differ_from_feed_to_feed(networks: Any) -> None:
    """Images of three sizes, each method."""
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.random((1, 3, 32, 32 * size), np.float32)} for size in (1, 2, 3)]
    found = calibrate(networks.ready("detection"), feeds, methods=["minmax", "percentile"])
    assert set(found) == {"minmax", "percentile"}


def test_what_is_not_finite_is_refused_by_name(networks: Any) -> None:
    """NaN in a feed, and infinity that only arises inside the graph."""
    feeds = networks.digits_feeds(range(3))
    feeds[1] = {"image": np.full((1, 1, 8, 8), np.nan, np.float32)}
    with pytest.raises(InputError, match=r"'image' inside the graph is not finite \(row 1\)"):
        calibrate(networks.ready("digits"), feeds)
    with pytest.raises(InputError, match="'y' inside the graph is not finite"):
        calibrate(prepared(reciprocal()), [{"x": np.zeros((1, 4), np.float32)}])


def reciprocal(width: int = 4) -> ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name in "xz"]
    nodes = [helper.make_node("Reciprocal", ["x"], ["y"]), helper.make_node("Tanh", ["y"], ["z"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_nothing_and_constant_inputs_are_refused(networks: Any) -> None:
    """There are no ranges in either."""
    model = prepared(reciprocal())
    with pytest.raises(InputError, match="nothing to calibrate on; expected one sample"):
        calibrate(model, [])
    with pytest.raises(InputError, match="one value only"):
        calibrate(model, [{"x": np.ones((1, 4), np.float32)}] * 5)


def test_a_feed_that_the_graph_does_not_take_is_the_callers(networks: Any) -> None:
    """onnxruntime's reason, as InputError; an iterator would be empty the second time."""
    model = networks.ready("digits")
    with pytest.raises(InputError, match="cannot be run"):
        calibrate(model, [{"image": np.zeros((1, 1, 9, 9), np.float32)}])
    with pytest.raises(TypeError, match="an iterator"):
        calibrate(model, iter(networks.digits_feeds([1])))


def test_ranges_are_what_onnxruntimes_quantizer_takes(networks: Any) -> None:
    """As TensorsData, under each method."""
    for method, ranges in calibrate(networks.ready("digits"), networks.digits_feeds(range(5))).items():
        assert method in METHODS
        data = ranges.tensors_data()
        assert {name: Range(*map(float, value.range_value)) for name, value in data.items()} == ranges.ranges
