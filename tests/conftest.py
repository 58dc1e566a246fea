"""What tests of several folders share: one small bundle, made by hand.

Belongs here: fixtures that more than one folder uses. Not here: trained models, anything that needs an extra but onnx.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_runtime.bundle import Bundle
from edge_runtime.ending import Ending
from edge_runtime.manifest import Certificate, Manifest, Variant
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec

WIDTH = 8


def gemm_graph() -> bytes:
    """The bytes of y = x @ w + b over ``WIDTH`` float64 columns, one raw sum a row."""
    weights = numpy_helper.from_array(np.ones((WIDTH, 1)), "w")
    bias = numpy_helper.from_array(np.zeros(1), "b")
    x = helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, [None, WIDTH])
    y = helper.make_tensor_value_info("raw", onnx.TensorProto.DOUBLE, [None, 1])
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["raw"])], "g", [x], [y], [weights, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def small_contents() -> dict[str, bytes]:
    """The entries of a small bundle: two that deflate well, one that does not."""
    rows = [{f"x{i}": float(row) for i in range(WIDTH)} for row in range(3)]
    outputs = [{"prediction": float(row * WIDTH)} for row in range(3)]
    return {
        "graph.onnx": gemm_graph(),
        "golden.json": json.dumps({"outputs": outputs, "rows": rows}).encode(),
        "golden/x.bin": bytes([7, 1, 250, 3, 99]),
    }


@pytest.fixture
def small_manifest() -> Manifest:
    """The manifest that goes with ``small_contents``, its entries still to be made."""
    infinity = float("inf")
    columns = tuple(ColumnSpec(f"x{i}", "float64", False, "x", i, -infinity, infinity) for i in range(WIDTH))
    return Manifest(
        name="small",
        version="1.0.0",
        created="2026-01-02T03:04:05Z",
        schema=Schema(
            columns, (TensorSpec("x", "float64", (None, WIDTH)),), (TensorSpec("prediction", "float64", (None,)),)
        ),
        ending=Ending("identity"),
        variants=(Variant("exact", "graph.onnx", "float64", 4096, True),),
        certificate=Certificate(3, 0, {"prediction": 0.0}, {"prediction": 0.0}, ("made by hand",)),
        provenance={"source": "tests/conftest.py"},
        golden="golden.json",
        entries=(),
    )


@pytest.fixture
def small_bundle(tmp_path: Path, small_manifest: Manifest, small_contents: dict[str, bytes]) -> Path:
    """The path of a small bundle with stored and deflated entries, about 3 kB."""
    path = tmp_path / "small.edge"
    Bundle.write(path, small_manifest, small_contents)
    return path
