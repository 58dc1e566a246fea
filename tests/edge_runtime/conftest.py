"""What tests of the runtime share: models made by hand that show what entered their graph, and small trained ones.

Belongs here: fixtures that more than one file of this folder uses. Not here: bundles that other folders use too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from edge_runtime.ending import Ending
from edge_runtime.manifest import Variant
from edge_runtime.model import Model
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec

Mirror = Callable[..., Model]


@pytest.fixture(scope="session")
def mirror(graph_of: Callable[..., bytes]) -> Mirror:
    """mirror(columns, dtype) -> a model that answers with the very numbers that entered its one tensor `x`."""

    def make(columns: Sequence[ColumnSpec], dtype: str = "float64", *, threads: int = 1) -> Model:
        width = len(columns)
        cast = helper.make_node("Cast", ["x"], ["raw"], to=11)  # to float64
        raw = graph_of([cast], [("x", dtype, [None, width])], [("raw", "float64", [None, width])])
        ending = Ending("identity")
        schema = Schema(tuple(columns), (TensorSpec("x", dtype, (None, width)),), ending.outputs(width))
        schema.check()
        return Model(raw, schema, ending, Variant("exact", "g", dtype, 4096, True), threads)

    return make


@dataclass(frozen=True)
class Trained:
    """A bundle made of a trained model, and rows for it as a pandas frame."""

    bundle: Path
    frame: Any


@pytest.fixture(scope="session")
def trained(flights: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """One model of each way in which the runtime answers: boosted trees behind text and missing values (logistic), a
    forest's votes over float32 (share), several raw sums (softmax), a decision, a number, and a graph left as it is."""
    import numpy as np
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from edge_runtime.converters import Decision, convert

    random = np.random.default_rng(5)
    frame = pd.DataFrame(random.normal(size=(300, 4)).astype("float32"), columns=["a", "b", "c", "d"])
    kind = np.array(["low", "mid", "high"])[np.digitize(frame["a"] + frame["b"] * frame["c"], [-0.5, 0.5])]
    yes = (frame["a"] > frame["d"]).to_numpy()
    folder = tmp_path_factory.mktemp("trained")
    made = {"flights": Trained(flights.bundle, flights.frame)}
    for name, source, target, decision in (
        ("forest", RandomForestClassifier(10, max_depth=5, random_state=0), kind, None),
        ("softmax", LogisticRegression(), kind, None),
        (
            "decision",
            HistGradientBoostingClassifier(max_iter=10, random_state=0),
            yes,
            Decision("score", "is_yes", 0.3),
        ),
        ("number", GradientBoostingRegressor(n_estimators=10, random_state=0), frame["a"] * 3, None),
        (
            "as it is",
            make_pipeline(make_column_transformer((StandardScaler(), ["a", "b", "c"])), GaussianNB()),
            kind,
            None,
        ),
    ):
        conversion = convert(source.fit(frame, target), data=frame, name=name, version="1.0", decision=decision)
        path = folder / f"{name}.edge"
        conversion.save(path)
        made[name] = Trained(path, frame)
    return made
