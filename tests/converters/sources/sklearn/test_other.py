"""What skl2onnx converts: compared, bounded by where it was seen to agree, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, OneClassSVM

from edge_runtime.converters import convert
from edge_runtime.converters.sources.sklearn import trees
from edge_runtime.errors import InputError, ParityError

ROWS, KIND = load_iris(return_X_y=True)
TUMOURS, BENIGN = load_breast_cancer(return_X_y=True)


def classes(dtype: str, of: int) -> dict[str, Any]:
    return {"label": (dtype, (None,)), "probabilities": ("float64", (None, of))}


OUTPUTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "numbers": (lambda: GaussianNB().fit(ROWS, KIND), classes("int64", 3)),
    "text": (lambda: GaussianNB().fit(ROWS, np.array(["a", "b", "c"])[KIND]), classes("str", 3)),
    "bools": (lambda: GaussianNB().fit(ROWS, KIND > 0), classes("bool", 2)),
    "floats": (lambda: GaussianNB().fit(ROWS, KIND.astype(float)), classes("float64", 3)),
    "scores": (lambda: SVC().fit(ROWS, KIND), {"label": ("int64", (None,)), "scores": ("float64", (None, 3))}),
    "clusters": (lambda: KMeans(3, n_init=1, random_state=0).fit(ROWS), {"label": ("int64", (None,))}),
    "outliers": (
        lambda: OneClassSVM(nu=0.1).fit(ROWS),
        {"label": ("int64", (None,)), "score": ("float64", (None,))},
    ),
    "transformer": (lambda: StandardScaler().fit(ROWS), {"features": ("float64", (None, 4))}),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_have_the_names_of_the_contract_and_the_dtype_of_training(name: str) -> None:
    """skl2onnx gives bools and floats back as integers; here a label is what it was in training."""
    make, outputs = OUTPUTS[name]
    model = make()
    device = convert(model, data=ROWS).model()
    assert {spec.name: (spec.dtype, spec.shape) for spec in device.schema.outputs} == outputs
    found = device.predict(ROWS)
    if "label" in outputs:
        wanted = model.predict(ROWS)
        assert found["label"].tolist() == wanted.tolist()
        one = device.predict_one(dict(zip(["x0", "x1", "x2", "x3"], ROWS[0].tolist(), strict=True)))["label"]
        assert type(one) is type(wanted.tolist()[0])


@pytest.mark.parametrize("name", ["numbers", "scores", "clusters", "outliers", "transformer"])
def test_a_model_of_a_frame_converts_like_one_of_an_array(name: str) -> None:
    """One tensor for all of its columns, though the app goes by their names; a name may be that of an output."""
    frame = pd.DataFrame(ROWS, columns=["score", "label", "c", "d"])
    model = clone(OUTPUTS[name][0]()).fit(frame, KIND)
    device = convert(model, data=frame).model()
    assert [(spec.name, spec.shape) for spec in device.schema.inputs] == [("x", (None, 4))]
    assert [column.name for column in device.schema.columns] == list(frame)
    found = device.predict(frame[["d", "c", "label", "score"]])
    wanted = model.predict(frame) if "label" in found else model.transform(frame)
    assert np.abs(found["label" if "label" in found else "features"] - wanted).max() < 1e-5
    record = dict(zip(frame, ROWS[0].tolist(), strict=True))
    assert all(np.allclose(device.predict_one(record)[key], array[0]) for key, array in found.items())


def test_what_is_converted_is_not_asked_beyond_where_it_was_seen_to_agree() -> None:
    """Missing values, and numbers larger than those that were tried, are refused by the column's own bounds."""
    model = GaussianNB().fit(ROWS, KIND)
    conversion = convert(model, data=ROWS)
    device = conversion.model()
    record = dict(zip(["x0", "x1", "x2", "x3"], ROWS[0].tolist(), strict=True))
    for column in device.schema.columns:
        assert not column.nullable
        assert column.low is not None
        assert column.high is not None
        present = ROWS[:, column.index]
        assert column.low <= present.min() <= present.max() <= column.high
        with pytest.raises(InputError, match=f"column '{column.name}'"):
            device.predict_one(record | {column.name: None})
        for edge in (column.low, column.high):
            if np.isfinite(edge):
                row = ROWS[:1].copy()
                row[0, column.index] = edge
                with np.errstate(over="ignore"):
                    assert device.predict(row)["label"][0] == model.predict(row)[0]
                with pytest.raises(InputError):
                    device.predict_one(record | {column.name: math.nextafter(edge, math.copysign(math.inf, edge))})


def test_a_wrong_graph_of_skl2onnx_is_found_and_not_written() -> None:
    """Its neighbours vote with distances in another precision: a tie is broken otherwise."""
    with pytest.raises(ParityError, match="the converted model does not answer as its source: of 150 rows"):
        convert(KNeighborsClassifier().fit(ROWS, KIND), data=ROWS)


@pytest.fixture
def flights() -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(TUMOURS[:, :6].round(1), columns=list("abcdef"))
    frame = frame.mask(rng.random(frame.shape) < 0.1)
    frame["text"] = rng.choice(["UA", "AA", "B6"], len(frame)).astype(object)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list("abcdef")),
        (OneHotEncoder(sparse_output=False), ["text"]),
    )
    return frame, make_pipeline(columns, HistGradientBoostingClassifier(max_iter=60, random_state=0)).fit(frame, BENIGN)


def test_trees_behind_a_scaler_would_fail_on_the_usual_way(
    flights: tuple[pd.DataFrame, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """skl2onnx scales in float32 and moves rows across thresholds. That is why trees are lowered; lowered, they agree."""
    frame, model = flights
    assert convert(model, data=frame).report.largest["probabilities"] <= 1e-12
    monkeypatch.setattr(trees, "head", lambda estimator: None)
    with pytest.raises(ParityError, match="numbers differ"):
        convert(model, data=frame)


def test_the_graph_is_one_that_any_runtime_of_the_promise_opens() -> None:
    """Plain onnxruntime runs it as it stands, by the schema's tensors."""
    conversion = convert(GaussianNB().fit(ROWS, KIND), data=ROWS)
    session = onnxruntime.InferenceSession(conversion.contents["graph.onnx"], providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == ["label", "probabilities"]
    label, _ = session.run(None, {"x": ROWS.astype(conversion.manifest.schema.inputs[0].dtype)})
    assert label.tolist() == conversion.model().predict(ROWS)["label"].tolist()


def test_statements_say_that_it_was_converted_and_only_checked() -> None:
    """By which version, and why it was not lowered."""
    text = "\n".join(convert(GaussianNB().fit(ROWS, KIND), data=ROWS).report.statements)
    assert "converted by skl2onnx 1." in text
    assert "GaussianNB is not lowered" in text
    assert "exact" not in text
