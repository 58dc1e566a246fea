"""Models in MLflow: every flavor that is read, what it brings along, and what needs trust."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
import skl2onnx
import xgboost
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from edge_runtime.converters import convert
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.mlflow import publish

Edge = Callable[..., "subprocess.CompletedProcess[str]"]

RANDOM = np.random.default_rng(3)
FRAME = pd.DataFrame(RANDOM.normal(size=(200, 3)), columns=["a", "b", "c"]).assign(n=RANDOM.integers(0, 5, 200))
QUICK: Any = {"pip_requirements": ["mlflow"]}  # or mlflow loads each model in a new process, to see what it needs
KIND = (FRAME["a"] + FRAME["b"] * FRAME["c"] > 0).to_numpy().astype(int)


@pytest.fixture(autouse=True)
def calm(store: Path) -> None:
    """A store for each test, and mlflow's own warnings about pickles not on the screen."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)


@pytest.fixture
def linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, KIND)


@pytest.fixture
def tree() -> Any:
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(FRAME, KIND)


def as_source(uri: str, model: Any, **more: Any) -> Any:
    """The conversion of a registered model, which answers as ``model`` does."""
    conversion = convert(uri, **more)
    answers = conversion.model().predict(FRAME)
    assert (answers["label"] == model.predict(FRAME)).all()
    return conversion


# What is registered comes along


def test_signature_example_and_origin_come_along(linear: Any) -> None:
    """Columns and rows from the model, name and version from the registry, the rest into the provenance."""
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(
            linear, **QUICK, name="linear", registered_model_name="Fraud", input_example=FRAME.head(4),
            signature=infer_signature(FRAME, linear.predict(FRAME)),
        )  # fmt: skip
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("Fraud", "champion", "1")
    client.set_model_version_tag("Fraud", "1", "team", "risk")
    conversion = as_source("models:/Fraud@champion", linear)
    assert (conversion.name, conversion.version) == ("Fraud", "1")
    assert [(c.name, c.dtype) for c in conversion.manifest.schema.columns] == [
        ("a", "float64"), ("b", "float64"), ("c", "float64"), ("n", "int64"),
    ]  # fmt: skip
    assert conversion.report.rows == 4
    alone = "compared on the 4 rows of the registered model's input example, and on no other data"
    assert alone in conversion.report.statements
    told = {key: value for key, value in conversion.manifest.provenance.items() if key.startswith("mlflow.")}
    assert told == {
        "mlflow.name": "Fraud", "mlflow.version": "1", "mlflow.run_id": run.info.run_id,
        "mlflow.model_id": info.model_id, "mlflow.aliases": "champion", "mlflow.tag.team": "risk",
    }  # fmt: skip
    for uri in (f"runs:/{run.info.run_id}/linear", f"models:/{info.model_id}", info.artifact_path):
        other = as_source(uri, linear, data=FRAME, name="mine", version="7")
        assert (other.name, other.version, other.report.rows) == ("mine", "7", 200)
        assert other.manifest.provenance["mlflow.run_id"] == run.info.run_id
        assert alone not in other.report.statements


def test_the_way_out_and_in_again(linear: Any, tmp_path: Path) -> None:
    """What was converted from a version is published with the run of its training."""
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(
            linear, **QUICK, name="linear", registered_model_name="Fraud", input_example=FRAME.head(4)
        )
    bundle = convert("models:/Fraud/1").save(tmp_path / "fraud.edge")
    made = publish(bundle.path, "models:/Fraud", alias="edge")
    tags = mlflow.MlflowClient().get_model_version("Fraud", made.version).tags
    assert tags["edge_runtime.source_run"] == run.info.run_id
    with pytest.raises(UnsupportedModelError, match=r"models:/Fraud/2 is a bundle already; edge_runtime\.mlflow\.load"):
        convert("models:/Fraud@edge", data=FRAME)


def test_the_signature_picks_and_types_the_columns(tmp_path: Path) -> None:
    """Other columns are left out, and whole numbers are floats where it says that fractions may come."""
    model = LinearRegression().fit(FRAME[["n", "a"]].astype(float), FRAME["b"])
    signature = ModelSignature(Schema([ColSpec("double", "n"), ColSpec("double", "a")]))
    mlflow.sklearn.save_model(model, tmp_path / "m", **QUICK, signature=signature)
    rows = FRAME.assign(when="now")[["when", "a", "n"]]
    conversion = convert(tmp_path / "m", data=rows)
    assert [(c.name, c.dtype) for c in conversion.manifest.schema.columns] == [("n", "float64"), ("a", "float64")]
    assert conversion.manifest.provenance["source.file"] == "m"


def test_without_an_example_there_must_be_data(linear: Any, tmp_path: Path) -> None:
    """And the message says how to give it."""
    mlflow.sklearn.save_model(linear, tmp_path / "m", **QUICK)
    with pytest.raises(InputError, match=r"m was registered without an input example; expected data=…, or --data with"):
        convert(tmp_path / "m")
    with pytest.raises(InputError, match=r"data is no table .*; expected a frame"):
        convert(linear)


# Flavors


@pytest.mark.parametrize("kind", ["ubj", "json"])
def test_xgboost_needs_no_trust(kind: str, tmp_path: Path) -> None:
    """Its files are no code; the estimator is known from the file."""
    model = xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(FRAME, KIND)
    mlflow.xgboost.save_model(model, tmp_path / "m", **QUICK, model_format=kind)
    as_source(str(tmp_path / "m"), model, data=FRAME)


def test_a_booster_of_lightgbm_needs_no_trust(tmp_path: Path) -> None:
    """Its text is read by the reader of such files."""
    model = lightgbm.LGBMClassifier(n_estimators=4, min_child_samples=5, verbose=-1).fit(FRAME, KIND)
    mlflow.lightgbm.save_model(model.booster_, tmp_path / "m", **QUICK, input_example=FRAME.head(9))
    conversion = convert(tmp_path / "m")
    found = conversion.model().predict(FRAME)["probabilities"]
    assert np.abs(found - np.asarray(model.predict_proba(FRAME))).max() < 1e-12


def test_catboost_needs_no_trust(tmp_path: Path) -> None:
    """Nor does it as a classifier."""
    model = catboost.CatBoostClassifier(iterations=4, verbose=0, allow_writing_files=False).fit(FRAME, KIND)
    mlflow.catboost.save_model(model, tmp_path / "m", **QUICK)
    as_source(str(tmp_path / "m"), model, data=FRAME)


def test_an_estimator_of_lightgbm_is_skops_and_needs_trust(tmp_path: Path) -> None:
    """mlflow writes it so."""
    model = lightgbm.LGBMClassifier(n_estimators=4, min_child_samples=5, verbose=-1).fit(FRAME, KIND)
    mlflow.lightgbm.save_model(model, tmp_path / "m", **QUICK)
    with pytest.raises(
        UnsupportedModelError, match=r"holds .*'lightgbm\.basic\.Booster'.*, which skops does not trust"
    ):
        convert(tmp_path / "m", data=FRAME)
    as_source(str(tmp_path / "m"), model, data=FRAME, trust=True)


def test_a_graph_is_read_with_the_data_that_mlflow_puts_beside_it(tree: Any, tmp_path: Path) -> None:
    """Of one tensor and of one input per column; as it is no code, it needs no trust."""
    tensor = skl2onnx.to_onnx(tree, FRAME[:1].to_numpy(np.float32))
    weights = np.ones((4, 400), np.float32)  # beyond mlflow's threshold, so they get a file of their own
    tensor.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    tensor.graph.node.append(onnx.helper.make_node("MatMul", ["X", "weights"], ["unused"]))
    logged = mlflow.onnx.log_model(
        tensor, **QUICK, name="tensor", registered_model_name="Tensor",
        signature=infer_signature(FRAME, tree.predict(FRAME)), input_example=FRAME.head(4),
    )  # fmt: skip
    apart = skl2onnx.to_onnx(
        make_pipeline(make_column_transformer(("passthrough", list(FRAME))), clone(tree)).fit(FRAME, KIND),
        initial_types=[(name, FloatTensorType([None, 1])) for name in FRAME],
    )
    mlflow.onnx.save_model(apart, tmp_path / "apart", **QUICK)
    wanted = tree.predict(FRAME.astype(np.float32).set_axis(list(FRAME), axis=1))
    left = onnx.load(Path(logged.artifact_path) / "model.onnx", load_external_data=False)
    assert any(each.data_location == onnx.TensorProto.EXTERNAL for each in left.graph.initializer)
    for uri, more in (("models:/Tensor/1", {}), (str(tmp_path / "apart"), {"data": FRAME})):
        conversion = convert(uri, **more)
        assert [column.name for column in conversion.manifest.schema.columns] == list(FRAME)
        assert (conversion.model().predict(FRAME)["label"] == wanted).all()
    assert convert("models:/Tensor/1").manifest.provenance["mlflow.name"] == "Tensor"


def test_an_example_of_tensors_is_rows(tree: Any, tmp_path: Path) -> None:
    """mlflow keeps what a graph takes as arrays by input."""
    graph = skl2onnx.to_onnx(tree, FRAME[:1].to_numpy(np.float32))
    example = {"X": FRAME[:5].to_numpy(np.float32)}
    mlflow.onnx.save_model(graph, tmp_path / "one", **QUICK, input_example=example)
    assert convert(tmp_path / "one").report.rows == 5


UNREAD: dict[str, tuple[Any, str]] = {
    "other": ({"prophet": {}}, "are 'prophet'; those that are read: lightgbm, xgboost, catboost, sklearn, onnx"),
    "none": ({}, "are none; those that are read: lightgbm, xgboost, catboost, sklearn, onnx"),
}


@pytest.mark.parametrize(("flavors", "says"), UNREAD.values(), ids=UNREAD)
def test_other_flavors_are_refused_with_what_would_be_read(flavors: Any, says: str, tmp_path: Path) -> None:
    """By name."""
    mlflow.models.Model(flavors=flavors).save(tmp_path / "MLmodel")
    with pytest.raises(UnsupportedModelError) as caught:
        convert(tmp_path, data=FRAME)
    assert says in str(caught.value)


# Trust


class Trap:
    """What a hostile pickle is: opening it runs a call of its maker's choice."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["pickle", "cloudpickle"])
def test_a_pickle_is_not_opened_without_trust(kind: str, tree: Any, tmp_path: Path) -> None:
    """Not a byte of it is run, and the message says why and how."""
    mlflow.sklearn.save_model(tree, tmp_path / "m", **QUICK, serialization_format=kind)
    good = (tmp_path / "m" / "model.pkl").read_bytes()
    import pickle

    (tmp_path / "m" / "model.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    with pytest.raises(
        UnsupportedModelError, match=r"m is a pickle, and opening one runs whatever code .*; if you trust"
    ):
        convert(tmp_path / "m", data=FRAME)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "m" / "model.pkl").write_bytes(good)
    as_source(str(tmp_path / "m"), tree, data=FRAME, trust=True)


def test_the_types_that_a_skops_file_asks_for_are_not_trusted(tree: Any, tmp_path: Path) -> None:
    """Who wrote the list of trusted types wrote the file."""
    types = ["sklearn.tree._tree.Tree", "numpy.dtype"]
    mlflow.sklearn.save_model(tree, tmp_path / "m", **QUICK, skops_trusted_types=types)
    with pytest.raises(UnsupportedModelError, match=r"holds 'sklearn\.tree\._tree\.Tree', which skops does not trust"):
        convert(tmp_path / "m", data=FRAME)
    as_source(str(tmp_path / "m"), tree, data=FRAME, trust=True)
    (tmp_path / "m" / "model.skops").write_bytes(b"no ZIP at all")
    with pytest.raises(UnsupportedModelError, match=r"m: it cannot be opened \(BadZipFile: "):
        convert(tmp_path / "m", data=FRAME)


def test_modules_of_its_own_are_code_too(linear: Any, tmp_path: Path) -> None:
    """They run only with trust, and leave the path again."""
    (tmp_path / "helper_of_a_model.py").write_text("FLAG = 1\n")
    code = [str(tmp_path / "helper_of_a_model.py")]
    mlflow.sklearn.save_model(linear, tmp_path / "m", **QUICK, code_paths=code)
    with pytest.raises(UnsupportedModelError, match="m brings modules of its own, and opening it runs them"):
        convert(tmp_path / "m", data=FRAME)
    before = list(sys.path)
    as_source(str(tmp_path / "m"), linear, data=FRAME, trust=True)
    assert sys.path == before


def test_files_outside_the_model_are_not_opened(tmp_path: Path) -> None:
    """Whatever its MLmodel file names."""
    flavors = {"lightgbm": {"data": "../elsewhere.txt", "model_class": "lightgbm.basic.Booster"}}
    (tmp_path / "m").mkdir()
    (tmp_path / "elsewhere.txt").write_text("tree")
    mlflow.models.Model(flavors=flavors).save(tmp_path / "m" / "MLmodel")
    with pytest.raises(InputError, match=r"m has no file '\.\./elsewhere\.txt'; expected the files that its MLmodel"):
        convert(tmp_path / "m", data=FRAME)


# The command


def test_the_command_takes_a_model_from_the_registry(edge: Edge, linear: Any, tmp_path: Path) -> None:
    """Without --data it says what stands behind the parity; what is not there is one sentence."""
    mlflow.sklearn.log_model(linear, **QUICK, name="linear", registered_model_name="Fraud", input_example=FRAME.head(4))
    mlflow.MlflowClient().set_registered_model_alias("Fraud", "champion", "1")
    done = edge("convert", "models:/Fraud@champion", "-o", "fraud.edge")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "fraud 1"
    assert (
        "  stated: compared on the 4 rows of the registered model's input example, and on no other data" in done.stdout
    )
    done = edge("convert", "models:/Fraud@champ", "-o", "other.edge")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "edge: Fraud has no alias 'champ'; did you mean champion?; expected version 1, or alias @champion (version 1)",
    )
    assert not (tmp_path / "other.edge").exists()
    assert os.environ["MLFLOW_TRACKING_URI"].endswith("mlflow.db")
