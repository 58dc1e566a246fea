"""A second opinion: onnx's own reference implementation runs the lowered graphs on the cells of their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
from onnx.reference import ReferenceEvaluator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from edge_runtime.converters import convert
from edge_runtime.tables import read_table

ESTIMATORS = {
    "boosting": HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=6, random_state=0),
    "forest": RandomForestClassifier(5, max_depth=4, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_onnx_itself_routes_every_edge_row_alike(name: str) -> None:
    """The same raw sums, bit for bit, from an implementation that shares no code with onnxruntime."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=300), "b": rng.integers(0, 9, 300), "c": rng.choice(list("xyz"), 300)})
    label = ((rows.a > 0.3) ^ (rows.b > 4) ^ (rows.c == "y")).to_numpy().astype(int)
    prepared = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]),
            ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["c"]),
        ]
    )
    conversion = convert(make_pipeline(prepared, ESTIMATORS[name]).fit(rows, label), data=rows)
    graph = conversion.contents["graph.onnx"]
    records = [sample.inputs for sample in conversion.model().golden_rows()]
    changes: list[dict[str, Any]] = [{"a": None}, {"b": None}, {"c": "unknown"}, {"a": 0.0}]
    records += [records[0] | change for change in changes]
    table = read_table(records, conversion.manifest.schema)
    x = np.zeros((table.rows, 3))
    table.fill(0, table.rows, {"x": x})
    (theirs,) = ReferenceEvaluator(graph).run(None, {"x": x})
    ours = ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    assert len(x) > 20
    assert np.array_equal(ours, theirs)
