"""A model's bytes: shorter than protobuf writes them, and the same model to every reader."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from sklearn.ensemble import RandomForestClassifier

from edge_runtime.converters import convert
from edge_runtime.converters.exact.graph import to_bytes
from edge_runtime.graph_scan import scan

ROWS = np.random.default_rng(0).normal(size=(2000, 5))


def model_with(*values: int) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3]) for name in "xy")
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("Squeeze", ["t"], ["y"], axes=list(values), name="last"),
    ]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y]), producer_name="somebody")


@pytest.mark.parametrize("values", [(0,), (-1, 0), (127, 128, 300, 2**31, 2**63 - 1, -(2**63)), tuple(range(-70, 70))])
def test_every_integer_comes_back(values: tuple[int, ...]) -> None:
    """So do the other fields, in the order that they had."""
    model = model_with(*values)
    assert onnx.load_from_string(to_bytes(model)) == model


def test_a_graph_of_trees_is_a_fifth_smaller_and_passes_the_scan() -> None:
    """What a bundle holds is written so."""
    forest = RandomForestClassifier(20, random_state=0).fit(ROWS, ROWS[:, 0] * ROWS[:, 1] > 0.0)
    raw = convert(forest, data=ROWS).contents["graph.onnx"]
    scan(raw)
    again = onnx.load_from_string(raw).SerializeToString()
    assert len(raw) < 0.82 * len(again)
