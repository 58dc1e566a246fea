"""Networks for these tests: real ones that packages ship, and a small one trained on digits.

Belongs here: graphs and feeds. Not here: what must hold of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from edge_runtime.converters.precision.graphs import Array
from edge_runtime.converters.precision.preparing import prepared

FILES = {
    "magika": ("magika", "models/standard_v3_3/model.onnx"),
    "detection": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx"),
    "direction": ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "silero": ("silero_vad", "data/silero_vad.onnx"),
}


@cache
def network(name: str) -> ModelProto:
    """The graph as it is shipped; skips the test where its package is not installed."""
    package, path = FILES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip(f"needs the package {package}")
    return onnx.load(Path(next(iter(spec.submodule_search_locations))) / path)


def feeds(name: str, count: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(7)
    wide = {"detection": (1, 3, 64, 96), "direction": (1, 3, 48, 192)}
    if name == "magika":
        return [{"bytes": rng.integers(0, 257, (1, 2048)).astype(np.int32)} for _ in range(count)]
    if name == "silero":
        state = np.zeros((2, 1, 128), np.float32)
        sounds = [rng.normal(0, 0.1, (1, 576)).astype(np.float32) for _ in range(count)]
        return [{"input": sound, "state": state, "sr": np.array(16000)} for sound in sounds]
    return [{"x": rng.normal(0, 1, wide[name]).astype(np.float32)} for _ in range(count)]


@cache
def ready(name: str) -> ModelProto:
    if name == "digits":
        return prepared(digits_cnn(), digits_feeds(range(4)))
    return prepared(network(name), feeds(name, 2))


def digits_feeds(rows: Sequence[int]) -> list[dict[str, Array]]:
    images = (load_digits().images / 16).astype(np.float32)
    return [{"image": images[row][None, None]} for row in rows]


@cache
def digits_cnn() -> ModelProto:
    """Random 3x3 filters behind batch norm, a random layer, and one fitted to the digits: [N, 1, 8, 8] -> [N, 10]."""
    rng = np.random.default_rng(3)
    images, labels = load_digits().images / 16, load_digits().target
    filters = rng.normal(0, 0.5, (16, 1, 3, 3)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    mapped = np.maximum(np.einsum("nijkl,fkl->nfij", windows, filters[:, 0]), 0).reshape(len(images), -1)
    mixing, shift = rng.normal(0, 0.06, (mapped.shape[1], 256)), rng.normal(0, 0.3, 256)
    head = RidgeClassifier().fit(np.maximum(mapped @ mixing + shift, 0)[:1200], labels[:1200])
    first, second = (numpy_helper.from_array(w.astype(np.float32), n) for w, n in ((mixing, "A"), (head.coef_.T, "B")))
    bias = [numpy_helper.from_array(b.astype(np.float32), n) for b, n in ((shift, "a"), (head.intercept_, "b2"))]
    ones, zeros = (np.full(16, value, np.float32) for value in (1, 0))
    norm = [
        numpy_helper.from_array(value, name) for name, value in zip("sbmv", (ones, zeros, zeros, ones), strict=True)
    ]
    constant = helper.make_node("Constant", [], ["filters"], value=numpy_helper.from_array(filters))
    nodes = [
        constant,
        helper.make_node("Conv", ["image", "filters"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], epsilon=1e-9),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "A", "a"], ["g"]),
        helper.make_node("Relu", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "B", "b2"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        [first, second, *bias, *norm],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


@pytest.fixture(scope="session")
def networks() -> SimpleNamespace:
    """``network(name)`` as shipped, ``ready(name)`` prepared, ``feeds(name, count)``; of digits also the CNN."""
    return SimpleNamespace(network=network, ready=ready, feeds=feeds, digits_cnn=digits_cnn, digits_feeds=digits_feeds)
