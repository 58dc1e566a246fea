"""Bundles in MLflow: what lies there, what answers, and what is found again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from onnx import helper

import edge_runtime
from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError, IntegrityError, UnsupportedModelError
from edge_runtime.golden import Sample
from edge_runtime.mlflow import bundle_path, files, load_model, log_model, publish, registry, save_model
from edge_runtime.mlflow.asking import library
from edge_runtime.mlflow.registry import locate
from edge_runtime.schema import Schema, TensorSpec

Flights = Any  # of tests/conftest.py
Trained = Any  # of conftest.py


@pytest.fixture
def saved(flights: Flights, tmp_path: Path) -> Path:
    save_model(flights.bundle, tmp_path / "saved")
    return tmp_path / "saved"


def same(found: pd.DataFrame, wanted: dict[str, Any]) -> bool:
    """Whether a frame of answers holds the very bits of `Model.predict`."""
    return list(found.columns) == list(wanted) and all(
        np.array(found[name].tolist(), array.dtype).tobytes() == array.tobytes()
        if array.dtype.kind != "O"
        else found[name].tolist() == array.tolist()
        for name, array in wanted.items()
    )


# The flavor


def test_what_is_saved_is_the_bundle_and_no_pickle(flights: Flights, saved: Path) -> None:
    """The very bytes, beside what mlflow itself writes: text."""
    assert (saved / "model.edge").read_bytes() == flights.bundle.read_bytes()
    others = {path.name for path in saved.iterdir()} - {"model.edge"}
    assert {os.path.splitext(name)[1] for name in others} <= {"", ".yaml", ".txt", ".json"}
    for name in others:
        (saved / name).read_text("utf-8")
    flavors = mlflow.models.Model.load(saved).flavors
    assert flavors["edge_runtime"]["digest"] == Bundle.open(flights.bundle).digest
    assert flavors["edge_runtime"]["format_version"] == 1
    assert flavors["python_function"]["loader_module"] == "edge_runtime.mlflow"


def test_it_asks_for_the_light_runtime_only(saved: Path) -> None:
    """In the versions that were used; mlflow adds itself."""
    wanted = {
        f"edge-runtime=={edge_runtime.__version__}",
        f"numpy=={np.__version__}",
        f"onnxruntime=={onnxruntime.__version__}",
        f"mlflow=={mlflow.__version__}",
    }
    assert set((saved / "requirements.txt").read_text().split()) == wanted


def test_signature_and_example_come_of_the_bundle(saved: Path) -> None:
    """Types by which mlflow changes no value: integers that may be missing are left alone."""
    model = mlflow.models.Model.load(saved)
    inputs = {column.name: (str(column.type), column.required) for column in model.signature.inputs.inputs}
    assert inputs == {
        "hour": ("Any", True), "distance": ("Any", True), "air_time": ("DataType.double", True),
        "carrier": ("DataType.string", True), "origin": ("DataType.string", True),
    }  # fmt: skip
    outputs = [(column.name, str(column.type)) for column in model.signature.outputs.inputs]
    assert outputs == [("label", "DataType.long"), ("probabilities", "Array(double)")]
    example = model.load_input_example(str(saved))
    assert list(example.columns) == list(inputs)
    assert 1 <= len(example) <= 5


def test_every_kind_of_model_answers_as_itself(trained: dict[str, Trained], store: Path, tmp_path: Path) -> None:
    """Trees, votes, several sums, decisions, numbers, foreign graphs: the same bits through mlflow."""
    for name, made in trained.items():
        save_model(made.bundle, tmp_path / name)
        function = mlflow.pyfunc.load_model(tmp_path / name)
        frame = made.frame.set_axis(range(100, 100 + len(made.frame)))
        found = function.predict(frame)
        assert same(found, edge_runtime.load(made.bundle).predict(made.frame)), name
        assert found.index.equals(frame.index)


def test_the_model_itself_is_within_reach(saved: Path) -> None:
    """`get_raw_model` gives it, as with mlflow's own flavors."""
    assert isinstance(mlflow.pyfunc.load_model(saved).get_raw_model(), edge_runtime.Model)
    assert isinstance(load_model(saved), edge_runtime.Model)


def test_missing_values_pass_and_wrong_ones_are_named(flights: Flights, saved: Path) -> None:
    """Nothing is rounded on the way in, and the model's own error comes out."""
    function, model = mlflow.pyfunc.load_model(saved), edge_runtime.load(flights.bundle)
    holes = flights.frame.assign(hour=flights.frame["hour"].where(flights.frame["hour"] > 9))
    assert same(function.predict(holes), model.predict(holes))
    with pytest.raises(InputError, match=r"got float 3\.7 \(column 'hour', row 0\); expected an integer"):
        function.predict(flights.frame.assign(hour=3.7))
    with pytest.raises(MlflowException, match="hour"):
        function.predict(flights.frame.drop(columns="hour"))


def test_tensors_go_by_name(graph_of: Callable[..., bytes], write_bundle: Callable[..., Path], tmp_path: Path) -> None:
    """A model of tensors takes and gives dicts of arrays."""
    graph = graph_of(
        [helper.make_node("Neg", ["x"], ["y"])], [("x", "float32", [None, 2])], [("y", "float32", [None, 2])]
    )
    schema = Schema((), (TensorSpec("x", "float32", (None, 2)),), (TensorSpec("y", "float32", (None, 2)),))
    x = np.array([[1.0, -2.0]], np.float32)
    path = write_bundle(graph, schema, samples=[Sample({"x": x}, {"y": -x})])
    save_model(Bundle.open(path), tmp_path / "saved")
    function = mlflow.pyfunc.load_model(tmp_path / "saved")
    assert str(function.metadata.signature.inputs) == "['x': Tensor('float32', (-1, 2))]"
    assert function.predict({"x": np.vstack([x, x])})["y"].tolist() == [[-1.0, 2.0]] * 2


def test_a_plain_graph_is_refused(graph_of: Callable[..., bytes], tmp_path: Path) -> None:
    """It has no certificate, no golden rows and no digest of its own."""
    path = tmp_path / "plain.onnx"
    path.write_bytes(
        graph_of([helper.make_node("Neg", ["x"], ["y"])], [("x", "float32", [1])], [("y", "float32", [1])])
    )
    with pytest.raises(InputError, match=r"plain\.onnx is a plain graph; expected a bundle"):
        save_model(path, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


# mlflow's own ways of asking


def test_mlflow_predicts_from_the_registry(flights: Flights, store: Path, tmp_path: Path) -> None:
    """`mlflow.models.predict`, which goes through JSON."""
    log_model(flights.bundle, "late", registered_model_name="Late")
    rows = flights.frame.head(7)
    mlflow.models.predict(
        "models:/Late/1", input_data=rows, content_type="json", output_path=str(tmp_path / "out"), env_manager="local"
    )
    found = pd.DataFrame(json.loads((tmp_path / "out").read_text())["predictions"])
    assert same(found, edge_runtime.load(flights.bundle).predict(rows))


# Back from it


def test_one_bundle_is_found_by_all_its_names(flights: Flights, store: Path, saved: Path) -> None:
    """By run, by version, by alias, by id and in a folder; a path is returned as it is."""
    with mlflow.start_run() as run:
        info = log_model(flights.bundle, "late", registered_model_name="Late", tags={"team": "risk"})
    mlflow.MlflowClient().set_registered_model_alias("Late", "champion", "1")
    digest = Bundle.open(flights.bundle).digest
    names = ["models:/Late/1", "models:/Late@champion", "models:/Late/latest", f"runs:/{run.info.run_id}/late"]
    for name in (*names, f"models:/{info.model_id}", str(saved), str(flights.bundle)):
        assert load_model(name).digest == digest, name
    assert bundle_path(flights.bundle) == str(flights.bundle)
    assert bundle_path("no/such.edge") == "no/such.edge"
    assert dict(locate("models:/Late/1").tags)["team"] == "risk"


def test_a_bundle_is_downloaded_once(
    flights: Flights, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in the cache under its digest; only the small file that names it is read again."""
    log_model(flights.bundle, "late", registered_model_name="Late")
    fetched: list[str] = []
    real = registry.download

    def counting(uri: str, folder: str) -> str:
        fetched.append(os.path.basename(uri))
        return real(uri, folder)

    monkeypatch.setattr(files, "download", counting)
    path = bundle_path("models:/Late/1")
    assert path == str(tmp_path / "cache" / f"{Bundle.open(flights.bundle).digest.removeprefix('sha256:')}.edge")
    assert bundle_path("models:/Late/1") == path
    assert fetched == ["MLmodel", "model.edge", "MLmodel"]


def artifacts(store: Path) -> Path:
    """The folder of the one version of the model Late."""
    return Path(locate("models:/Late/1").files)


def test_bytes_that_are_not_those_published_are_refused(flights: Flights, store: Path, tmp_path: Path) -> None:
    """In the artifact store and in the cache; nothing is left in the cache that was not whole."""
    log_model(flights.bundle, "late", registered_model_name="Late")
    bundle = artifacts(store) / "model.edge"
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-200] + b"\0" + whole[-199:])
    with pytest.raises(IntegrityError, match="models:/Late/1: the artifact is not the bundle that was published"):
        bundle_path("models:/Late/1")
    with pytest.raises(ValueError, match=r"model\.edge"):
        mlflow.pyfunc.load_model("models:/Late/1")
    assert not (tmp_path / "cache").exists()
    bundle.write_bytes(whole)
    cached = Path(bundle_path("models:/Late/1"))
    cached.write_bytes(whole[:-1])
    with pytest.raises(IntegrityError, match="models:/Late/1: its copy in the cache was changed; delete that file"):
        bundle_path("models:/Late/1")


def test_another_bundle_in_the_place_of_a_version_is_refused(
    flights: Flights, small_bundle: Path, store: Path, tmp_path: Path
) -> None:
    """Even a whole one: the registry knows which digest was published."""
    log_model(flights.bundle, "late", registered_model_name="Late")
    bundle_path("models:/Late/1")
    folder = artifacts(store)
    shutil.rmtree(folder)
    save_model(small_bundle, folder)
    with pytest.raises(IntegrityError, match=r"models:/Late/1 was published as sha256:\w+, and what lies there now is"):
        bundle_path("models:/Late/1")


def test_an_alias_that_moves_meanwhile_changes_nothing(
    flights: Flights, small_bundle: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is resolved once; from then on the version is asked for."""
    client = mlflow.MlflowClient()
    log_model(flights.bundle, "late", registered_model_name="Late")
    log_model(small_bundle, "late", registered_model_name="Late")
    client.set_registered_model_alias("Late", "champion", "1")
    real = registry.download

    def moving(uri: str, folder: str) -> str:
        client.set_registered_model_alias("Late", "champion", "2")
        return real(uri, folder)

    monkeypatch.setattr(files, "download", moving)
    assert load_model("models:/Late@champion").digest == Bundle.open(flights.bundle).digest
    assert load_model("models:/Late@champion").digest == Bundle.open(small_bundle).digest


def test_a_model_of_another_flavor_is_no_bundle(store: Path, tmp_path: Path) -> None:
    """What it is, and the command that makes one of it."""
    mlflow.models.Model(flavors={"prophet": {}}).save(tmp_path / "MLmodel")
    with pytest.raises(UnsupportedModelError, match=r"is no bundle, its flavors are 'prophet'; make one of it: edge"):
        bundle_path(tmp_path)
    mlflow.models.Model(flavors={"edge_runtime": {"data": "../x.edge", "digest": "7"}}).save(tmp_path / "MLmodel")
    with pytest.raises(InputError, match="its MLmodel file names no bundle"):
        bundle_path(tmp_path)
    (tmp_path / "MLmodel").write_text("flavors: [")
    with pytest.raises(InputError, match="its MLmodel file cannot be read"):
        bundle_path(tmp_path)


# What there is instead

ABSENT = {
    "name": ("models:/late/1", "there is no registered model 'late'; did you mean Late?; expected one of 'Late'"),
    "path": ("models:/..%2f..%2fetc/1", "there is no registered model '..%2f..%2fetc'; expected one of 'Late'"),
    "version": ("models:/Late/7", "Late has no version 7; expected version 1, 2, or alias @champion (version 2)"),
    "alias": (
        "models:/Late@champ",
        "Late has no alias 'champ'; did you mean champion?; expected version 1, 2, or alias @champion (version 2)",
    ),
    "stage": (
        "models:/Late/Staging",
        "Late has no version in the stage 'Staging'; stages are deprecated in MLflow, aliases are in their place;"
        " expected version 1, 2, or alias @champion (version 2)",
    ),
    "nothing": ("models:/Late", "models:/Late names no version; expected version 1, 2, or alias @champion (version 2)"),
    "too much": ("models:/Late/1/x", "models:/Late/1/x names no model; expected models:/<name>/<version> or"),
    "empty": ("models:/", "models:/ names no model; expected models:/<name>/<version> or models:/<name>@<alias>"),
    "logged": (f"models:/m-{'0' * 32}", f"there is no logged model m-{'0' * 32}; expected an id that log_model gave"),
    "run": ("runs:/x/late", "there is no run 'x'; expected the id of a run in this store"),
    "run alone": ("runs:/x", "runs:/x names no model of a run; expected runs:/<run id>/<name of the model>"),
    "name in run": ("runs:/RUN/lat", "logged no model 'lat'; did you mean late?; expected one of 'late'"),
}


def test_what_is_not_there_is_said_with_what_is(flights: Flights, store: Path) -> None:
    """One sentence each, from one store."""
    with pytest.raises(InputError, match="expected a model that was registered: there is none"):
        bundle_path("models:/Late/1")
    with mlflow.start_run() as run:
        log_model(flights.bundle, "late", registered_model_name="Late")
    log_model(flights.bundle, "late", registered_model_name="Late")
    mlflow.MlflowClient().set_registered_model_alias("Late", "champion", "2")
    for uri, says in ABSENT.values():
        with pytest.raises(InputError) as caught:
            bundle_path(uri.replace("RUN", run.info.run_id))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_stage_still_works_with_a_hint(flights: Flights, store: Path) -> None:
    """As mlflow 3 does."""
    log_model(flights.bundle, "late", registered_model_name="Late")
    with pytest.warns(FutureWarning, match="transition_model_version_stage"):
        mlflow.MlflowClient().transition_model_version_stage("Late", "1", "Production")
    with pytest.warns(
        FutureWarning, match="models:/Late/Production: stages are deprecated in MLflow; give the version"
    ):
        assert locate("models:/Late/Production").uri == "models:/Late/1"


def test_a_server_that_is_not_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """And soon: the environment that makes mlflow give up early is gone again afterwards."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:1")
    before = dict(os.environ)
    with pytest.raises(
        InputError, match=r"the MLflow server at http://127\.0\.0\.1:1 cannot be reached; expected MLFL"
    ):
        bundle_path("models:/Late@champion")
    assert before.items() <= os.environ.items()
    assert set(os.environ) - set(before) <= {"MLFLOW_DISABLE_TELEMETRY"}


def test_looking_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlflow would make one, only to find nothing in it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"there is no MLflow store at .*mlflow\.db, and MLFLOW_TRACKING_URI is not set"
    ):
        bundle_path("models:/Late@champion")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_none_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database under mlflow says becomes the reason."""
    (tmp_path / "x.db").write_text("no database, and long enough for SQLite to see it " * 3)
    for uri, reason in (
        (f"sqlite:///{tmp_path}/x.db", "file is not a database"),
        ("foo://x", "unsupported URI 'foo://x'"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(InputError) as caught:
            bundle_path("models:/Late@champion")
        assert str(caught.value).startswith(f"MLflow at {uri} refuses (")
        assert reason in str(caught.value)


ELSEWHERE = {
    "a page": (404, "text/html", b"<h1>nothing here</h1>"),
    "any page": (200, "text/html", b"<h1>welcome</h1>"),
    "another api": (404, "application/json", b'{"detail":"Not Found"}'),
    "a file server": (501, "text/html", b"Unsupported method"),
    "an empty answer": (200, "application/json", b"{}"),
}


@pytest.mark.parametrize(("status", "kind", "body"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_another_web_server_is_said_to_be_none_of_mlflow(
    status: int, kind: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it answers."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
            with pytest.raises(InputError, match=f"no MLflow server answers at {url}; expected MLFLOW_TRACKING_URI"):
                bundle_path("models:/Late@champion")
        finally:
            server.shutdown()
            thread.join()


def test_a_store_of_files_is_one_short_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow 3 explains at length why it refuses one."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    with pytest.raises(
        InputError, match=r"mlruns is a folder of files, which MLflow 3 no longer serves; expected MLFL"
    ):
        bundle_path("models:/Late@champion")
    assert list(tmp_path.iterdir()) == []


def test_a_version_beyond_all_numbers_is_not_there(small_bundle: Path, store: Path) -> None:
    """No database is asked for it."""
    publish(small_bundle, "models:/Small")
    for number in ("9" * 23, "9" * 5000):
        with pytest.raises(InputError, match=r"Small has no version '9{23,40}'?…?; expected version 1; it has no al"):
            bundle_path(f"models:/Small/{number}")


def test_a_cache_that_is_no_folder_is_named(
    small_bundle: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And which setting names it."""
    publish(small_bundle, "models:/Small")
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        InputError, match=r"the cache folder .*file cannot be written \(file exists\); expected EDGE_CACHE"
    ):
        bundle_path("models:/Small/1")


# Silence


def test_telemetry_is_off_and_nothing_is_loaded_before_it_is_needed() -> None:
    """In a process whose environment says nothing of it."""
    program = (
        "import sys\nfrom edge_runtime.mlflow.asking import library\nassert 'mlflow' not in sys.modules\n"
        "print(library('a test').telemetry.get_telemetry_client())"
    )
    signs = ("MLFLOW_", "CI", "GITHUB_", "PYTEST_", "DO_NOT_TRACK")  # mlflow sends nothing from a test, either
    kept = {name: value for name, value in os.environ.items() if not name.startswith(signs)}
    command = [sys.executable, "-P", "-c", program]
    assert subprocess.run(command, env=kept, capture_output=True, text=True, check=True).stdout == "None\n"


def test_who_wants_telemetry_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of it stays."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert library("a test") is mlflow
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
