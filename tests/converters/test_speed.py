"""The time of one answer: rows are asked as an app asks them, samples as tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from edge_runtime.converters import convert
from edge_runtime.converters.speed import time_one


def test_a_row_and_a_sample_are_timed(small_bundle: Path, graph_of: Callable[..., bytes], tmp_path: Path) -> None:
    """A bundle of a table, and one of a network whose sample is too large to be kept as it is."""
    node = onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2, 3], keepdims=0)
    graph = onnx.load_from_string(graph_of([node], [("x", "float32", [1, 3, 80, 80])], [("y", "float32", [1])]))
    samples = np.random.default_rng(0).random((3, 1, 3, 80, 80), dtype=np.float32)
    conversion = convert(graph, data={"x": samples})
    conversion.save(tmp_path / "mean.edge")
    for path in (small_bundle, tmp_path / "mean.edge"):
        assert 100 < time_one(str(path)) < 1e9
