"""All 327,346 flights of the demo: not one label differs, while the usual way gets hundreds wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

import edge_runtime
from edge_runtime.converters import convert

DEMO = Path(__file__).resolve().parents[2] / "examples" / "flights" / "flights.py"


@pytest.fixture(scope="module")
def demo() -> Any:
    """The demo's own module: its rows, its pipeline."""
    spec = importlib.util.spec_from_file_location("flights", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wrong_labels_of_skl2onnx(pipeline: Any, rows: pd.DataFrame, labels: Any) -> int:
    """What its own graph answers otherwise than its source, over the same rows: float32 numbers, text as text."""
    numbers = [name for name in rows if pd.api.types.is_numeric_dtype(rows[name])]
    types = [(name, FloatTensorType([None, 1]) if name in numbers else StringTensorType([None, 1])) for name in rows]
    graph = skl2onnx.to_onnx(
        pipeline, initial_types=types, options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3}
    )
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {name: rows[[name]].to_numpy(np.float32 if name in numbers else object) for name in rows}
    return int((session.run(None, feeds)[0] != labels).sum())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of protobuf, for what skl2onnx hands it
def test_no_flight_of_327346_is_answered_otherwise(demo: Any, tmp_path: Path) -> None:
    """Converted, saved, loaded on one thread and on two: every label is the source's, every probability within 1e-12 of
    it and the same bit for bit in whatever order and company the rows come. skl2onnx's own graph of that very pipeline
    has wrong labels on those very rows: that is why there is a converter."""
    rows, late = demo.arrived()
    assert len(rows) == 327_346
    pipeline = demo.train(rows, late)
    conversion = convert(pipeline, data=rows, name="flights")
    assert conversion.report.rows == 327_346
    assert conversion.report.largest["probabilities"] <= 1e-12
    conversion.save(tmp_path / "flights.edge")
    one, two = (edge_runtime.load(tmp_path / "flights.edge", threads=threads) for threads in (1, 2))
    found = one.predict(rows)
    labels = pipeline.predict(rows)
    assert (found["label"] == labels).all()
    bits = found["probabilities"].view(np.int64)
    assert (two.predict(rows)["probabilities"].view(np.int64) == bits).all()
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = two.predict(rows.iloc[order])
    assert (shuffled["probabilities"].view(np.int64) == bits[order]).all()
    assert (shuffled["label"] == labels[order]).all()
    for row in order[:500].tolist():
        alone = one.predict_one(rows.iloc[row].to_dict())
        assert np.array(alone["probabilities"]).view(np.int64).tolist() == bits[row].tolist()
        assert alone["label"] == labels[row]
    assert wrong_labels_of_skl2onnx(pipeline, rows, labels) > 100
