"""ONNX graphs as sources: what exporters write, taken as it is, or refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.common.data_types import FloatTensorType as Floats
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from edge_runtime.converters import convert
from edge_runtime.ending import Decision
from edge_runtime.errors import InputError, UnsupportedModelError

Edge = Callable[..., "subprocess.CompletedProcess[str]"]

TUMOURS, BENIGN = load_breast_cancer(return_X_y=True)
NARROW = TUMOURS[:, :4]
DRAW = np.random.default_rng(5)
SALES = pd.DataFrame({"city": DRAW.choice(["Ulm", "Graz", "Bern"], 200), "price": DRAW.normal(size=200)}).assign(
    count=DRAW.integers(0, 9, 200)
)
BOUGHT = np.array(["no", "yes"])[(SALES["price"] > 0).astype(int)]


def exported(model: Any, *, zipmap: bool = True, width: int = 4) -> onnx.ModelProto:
    """What skl2onnx writes for one float tensor."""
    options = {} if zipmap else {id(model): {"zipmap": False}}
    graph: onnx.ModelProto = skl2onnx.to_onnx(model, np.zeros((1, width), np.float32), options=options)
    return graph


@pytest.fixture(scope="module")
def forest() -> Any:
    return RandomForestClassifier(8, max_depth=4, random_state=0).fit(NARROW, BENIGN)


@pytest.fixture(scope="module")
def sales() -> onnx.ModelProto:
    """A pipeline with a column of text, one input per column."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), (StandardScaler(), ["price", "count"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(SALES, BOUGHT)
    types = [
        ("city", StringTensorType([None, 1])),
        ("price", FloatTensorType([None, 1])),
        ("count", Int64TensorType([None, 1])),
    ]
    graph: onnx.ModelProto = skl2onnx.to_onnx(model, initial_types=types)
    return graph


def answered_by(graph: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """A plain session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def of_nodes(nodes: Any, shape: Any = ("N", 2), dtype: int = TensorProto.FLOAT, opset: int = 18) -> onnx.ModelProto:
    """A graph from x to y."""
    x, y = helper.make_tensor_value_info("x", dtype, shape), helper.make_tensor_value_info("y", dtype, None)
    graph = helper.make_graph(list(nodes), "made", [x], [y])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


def outputs_of(conversion: Any) -> list[tuple[str, str, tuple[int | None, ...]]]:
    return [(spec.name, spec.dtype, spec.shape) for spec in conversion.manifest.schema.outputs]


CLASSES = [("label", "int64", (None,)), ("probabilities", "float32", (None, 2))]


@pytest.mark.parametrize("zipmap", [True, False])
def test_one_tensor_takes_the_columns_by_position(forest: Any, zipmap: bool) -> None:
    """Under the frame's names, or x0 …; the numbers are the graph's own, and maps become the tensor before them."""
    graph = exported(forest, zipmap=zipmap)
    wanted = answered_by(exported(forest, zipmap=False), {"X": NARROW.astype(np.float32)})
    for data, names in (
        (NARROW, ["x0", "x1", "x2", "x3"]),
        (pd.DataFrame(NARROW, columns=["r", "t", "p", "a"]), ["r", "t", "p", "a"]),
    ):
        conversion = convert(graph, data=data)
        assert [column.name for column in conversion.manifest.schema.columns] == names
        assert {(column.dtype, column.nullable) for column in conversion.manifest.schema.columns} == {("float32", True)}
        assert outputs_of(conversion) == CLASSES
        found = conversion.model().predict(data)
        assert (found["label"] == wanted[0]).all()
        assert (found["probabilities"] == wanted[1]).all()
        says = "\n".join(conversion.report.statements)
        assert ("the graph does not name its columns" in says) == (data is not NARROW)
    assert conversion.manifest.provenance["source"] == f"ONNX skl2onnx {skl2onnx.__version__}"
    assert conversion.manifest.certificate.statements[0].startswith("checked: the graph as it is")


def test_columns_of_text_and_of_integers_go_by_the_inputs_names(sales: onnx.ModelProto) -> None:
    """In whatever order the frame has them; what the model answers with no number may not be missing."""
    conversion = convert(sales, data=SALES[["count", "price", "city"]])
    assert [(c.name, c.dtype, c.nullable, c.open) for c in conversion.manifest.schema.columns] == [
        ("city", "str", False, True), ("price", "float32", False, True), ("count", "int64", False, True),
    ]  # fmt: skip
    assert outputs_of(conversion) == [("label", "str", (None,)), ("probabilities", "float32", (None, 2))]
    device = conversion.model()
    assert (device.predict(SALES)["label"] == answered_by(sales, feeds_of(SALES))[0]).all()
    assert device.predict_one({"city": "Oslo", "price": 1.0, "count": 2})["label"] == "yes"
    with pytest.raises(InputError, match="price"):
        device.predict_one({"city": "Ulm", "price": None, "count": 2})


def feeds_of(frame: pd.DataFrame) -> dict[str, Any]:
    kinds: dict[str, Any] = {"city": object, "price": np.float32, "count": np.int64}
    return {name: frame[[name]].to_numpy().astype(kind) for name, kind in kinds.items()}


def test_an_array_may_stand_for_inputs_by_name(sales: onnx.ModelProto) -> None:
    """Its columns are theirs, in order."""
    columns = convert(sales, data=SALES.to_numpy()).manifest.schema.columns
    assert [column.name for column in columns] == ["city", "price", "count"]


def test_boosted_trees_of_onnxmltools_from_a_file(tmp_path: Path, edge: Edge) -> None:
    """By the command, and named in the provenance."""
    model = lightgbm.LGBMClassifier(n_estimators=9, verbose=-1).fit(NARROW, BENIGN)
    graph = onnxmltools.convert_lightgbm(model, initial_types=[("input", Floats([None, 4]))], target_opset=15)
    (tmp_path / "trees.onnx").write_bytes(graph.SerializeToString())
    pd.DataFrame(NARROW, columns=list("abcd")).assign(benign=BENIGN).to_parquet(tmp_path / "rows.parquet")
    done = edge("convert", "trees.onnx", "-o", "t.edge", "--data", "rows.parquet", "--target", "benign")
    assert done.returncode == 0, done.stderr
    assert "569 rows checked: 0 labels differ" in done.stdout
    conversion = convert(tmp_path / "trees.onnx", data=NARROW)
    assert conversion.manifest.provenance["source.file"] == "trees.onnx"
    assert outputs_of(conversion) == CLASSES
    wanted = answered_by(graph, {"input": NARROW.astype(np.float32)})
    found = conversion.model().predict(NARROW)
    assert (found["label"] == wanted[0]).all()
    assert found["probabilities"][:, 1].tolist() == [row[1] for row in wanted[1]]


def test_a_file_of_catboost_says_who_made_it_in_a_word(tmp_path: Path) -> None:
    """Its exporter writes the whole story of its build where a version belongs."""
    model = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False).fit(NARROW, BENIGN)
    model.save_model(str(tmp_path / "m.onnx"), format="onnx")
    conversion = convert(tmp_path / "m.onnx", data=NARROW)
    assert conversion.manifest.provenance["source"] == "ONNX CatBoost"
    assert outputs_of(conversion) == CLASSES
    assert (conversion.model().predict(NARROW)["label"] == model.predict(NARROW)).all()


def test_a_decision_goes_behind_two_probabilities(forest: Any) -> None:
    """The threshold is compared in float64, so 0.3 is not rounded to a float32."""
    conversion = convert(exported(forest), data=NARROW, decision=Decision("score", "benign", 0.3))
    found = conversion.model().predict(NARROW)
    score = answered_by(exported(forest, zipmap=False), {"X": NARROW.astype(np.float32)})[1][:, 1].astype(float)
    assert (found["score"] == score).all()
    assert (found["benign"] == (score > 0.3)).all()
    with pytest.raises(UnsupportedModelError, match="a decision needs a classifier of two classes"):
        convert(exported(LinearRegression().fit(NARROW, BENIGN)), data=NARROW, decision=Decision("score", "yes"))


OUTPUTS: dict[str, tuple[Callable[[], Any], list[tuple[str, str, tuple[int | None, ...]]]]] = {
    "a regressor": (
        lambda: LinearRegression().fit(NARROW, TUMOURS[:, 4] * 1e6),
        [("prediction", "float32", (None,))],
    ),
    "distances are no probabilities": (
        lambda: KMeans(3, n_init=1, random_state=0).fit(NARROW),
        [("label", "int64", (None,)), ("scores", "float32", (None, 3))],
    ),
    "nor are margins that are called so": (
        lambda: LinearSVC().fit(NARROW / 100, BENIGN),
        [("label", "int64", (None,)), ("probabilities", "float32", (None, 1))],
    ),
    "a transformer": (lambda: StandardScaler().fit(NARROW), [("variable", "float32", (None, 4))]),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_have_the_contracts_names_only_where_these_are_beyond_doubt(name: str) -> None:
    """Otherwise those of the graph."""
    make, outputs = OUTPUTS[name]
    conversion = convert(exported(make()), data=NARROW / 100)
    assert outputs_of(conversion) == outputs


def test_a_column_may_have_the_name_of_an_output() -> None:
    """Then the graph's own names stay."""
    frame = pd.DataFrame({"label": NARROW[:, 0], "b": NARROW[:, 1]})
    model = LogisticRegression().fit(frame.to_numpy(), BENIGN)
    whole = make_pipeline(make_column_transformer(("passthrough", ["label", "b"])), model).fit(frame, BENIGN)
    types = [(name, FloatTensorType([None, 1])) for name in frame]
    conversion = convert(skl2onnx.to_onnx(whole, initial_types=types), data=frame)
    assert [name for name, _, _ in outputs_of(conversion)] == ["output_label", "output_probability"]


def test_an_old_opset_is_raised_only_where_onnxruntime_does_not_run_it() -> None:
    """Normalization before opset 7 says by an attribute that it is no training, and has no kernel any more."""
    old = of_nodes([helper.make_node("BatchNormalization", ["x", "a", "b", "b", "a"], ["y"], is_test=1)], opset=6)
    for name, values in (("a", [1, 1]), ("b", [0, 0])):
        old.graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32), name))
    conversion = convert(old, data=NARROW[:, :2])
    assert any("raised from opset 6 to 18" in text for text in conversion.report.statements)
    assert np.allclose(conversion.model().predict(NARROW[:, :2])["y"], NARROW[:, :2], rtol=1e-4)
    kept = convert(of_nodes([helper.make_node("Neg", ["x"], ["y"])], opset=9), data=NARROW[:, :2])
    assert onnx.load_from_string(kept.contents["graph.onnx"]).opset_import[0].version == 9


def test_data_beside_the_file_come_into_the_bundle(tmp_path: Path) -> None:
    """As MLflow's flavor writes them; data that are not there, or lie outside the folder, are refused."""
    model = of_nodes([helper.make_node("Mul", ["x", "w"], ["y"])])
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3], np.float32), "w"))
    onnx.save_model(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").exists()
    found = convert(tmp_path / "m.onnx", data=NARROW[:, :2]).model().predict(NARROW[:, :2])["y"]
    assert (found == NARROW[:, :2].astype(np.float32) * np.array([2, 3], np.float32)).all()
    outside = onnx.load(str(tmp_path / "m.onnx"), load_external_data=False)
    with pytest.raises(UnsupportedModelError, match=r"a bundle may not hold this: .*data in another file"):
        convert(outside, data=NARROW[:, :2])
    (tmp_path / "w.bin").rename(tmp_path.parent / "w.bin")
    with pytest.raises(UnsupportedModelError, match=r"m\.onnx: it cannot be read as ONNX"):
        convert(tmp_path / "m.onnx", data=NARROW[:, :2])
    outside.graph.initializer[0].external_data[0].value = "../w.bin"
    (tmp_path / "m.onnx").write_bytes(outside.SerializeToString())
    with pytest.raises(UnsupportedModelError, match=r"m\.onnx: it cannot be read as ONNX"):
        convert(tmp_path / "m.onnx", data=NARROW[:, :2])


NEG = [helper.make_node("Neg", ["x"], ["y"])]
REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "a network": (
        lambda: of_nodes(NEG, ("N", 3, 8, 8)),
        r"the graph's input 'x' has the shape \['N', 3, 8, 8\], and only graphs over rows .*edge_runtime\.load",
    ),
    "a fixed number of rows": (lambda: of_nodes(NEG, (1, 2)), r"has the shape \[1, 2\], and only graphs over rows"),
    "another width": (lambda: of_nodes(NEG, ("N", 3)), r"data has 2 columns, the graph's input 'x' takes 3"),
    "float16": (lambda: of_nodes(NEG, dtype=TensorProto.FLOAT16), r"'x' is of float16; export it with float32"),
    "whole numbers": (
        lambda: of_nodes(NEG, dtype=TensorProto.INT64),
        r"column 'x0' is of float64 with fractions or missing values, the graph's input 'x' takes int64",
    ),
    "text": (
        lambda: of_nodes([helper.make_node("Identity", ["x"], ["y"])], dtype=TensorProto.STRING),
        r"column 'x0' is of float64.*takes str",
    ),
    "an operator that draws": (
        lambda: of_nodes([helper.make_node("RandomNormalLike", ["x"], ["y"])]),
        r"a bundle may not hold this: .*RandomNormalLike.*random numbers",
    ),
    "an operator of somebody's": (
        lambda: of_nodes([helper.make_node("Mine", ["x"], ["y"], domain="me")]),
        r"a bundle may not hold this: .*'Mine' of 'me' is not allowed",
    ),
    "no answer per row": (
        lambda: of_nodes([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)]),
        r"the graph's output 'y' has the shape \[1, 1\] for 8 rows",
    ),
    "a list": (
        lambda: of_nodes([helper.make_node("SequenceConstruct", ["x"], ["y"])]),
        r"Type Error|not a tensor",
    ),
    "nothing": (onnx.ModelProto, r"has no graph in it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_or_may_not_be_in_a_bundle_is_refused(name: str) -> None:
    """In one sentence that says what would do."""
    make, says = REFUSED[name]
    with pytest.raises(UnsupportedModelError, match=says) as caught:
        convert(make(), data=NARROW[:, :2])
    assert "\n" not in str(caught.value)


def test_inputs_of_several_columns_each_are_refused() -> None:
    """Nobody could say which columns are whose."""
    model = of_nodes([helper.make_node("Concat", ["x", "z"], ["y"], axis=1)])
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("N", 3)))
    with pytest.raises(UnsupportedModelError, match=r"has 2 inputs, of which 'x' takes 2 columns; export it with one"):
        convert(model, data=NARROW)


def test_float64_is_not_rounded_in_silence(forest: Any) -> None:
    """The graph reads float32, so an app cannot hand float64 over."""
    with pytest.raises(UnsupportedModelError, match=r"'X' is of float32, which would round float64"):
        convert(exported(forest), data=NARROW, input_dtype="float64")


def test_a_missing_column_is_named(sales: onnx.ModelProto) -> None:
    """With those that the graph takes."""
    with pytest.raises(InputError, match=r"data lacks \['price'\]"):
        convert(sales, data=SALES.drop(columns="price"))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """By its path."""
    (tmp_path / "m.onnx").write_text("no graph")
    with pytest.raises(UnsupportedModelError, match=r"m\.onnx: it cannot be read as ONNX"):
        convert(tmp_path / "m.onnx", data=NARROW)
