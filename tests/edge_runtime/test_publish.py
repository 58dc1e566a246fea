"""`edge publish`: what is registered, where, and what is refused before anything is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner

import edge_runtime
from edge_runtime.bundle import Bundle
from edge_runtime.commands.publish import publish as command
from edge_runtime.errors import InputError
from edge_runtime.manifest import Manifest
from edge_runtime.mlflow import load_model, publish

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
Flights = Any  # of tests/conftest.py


def test_a_bundle_becomes_a_version_with_all_that_is_known_of_it(flights: Flights, store: Path) -> None:
    """Signature, input example, the certificate's figures, tags, alias."""
    made = publish(flights.bundle, "models:/Late", alias="champion")
    bundle, client = Bundle.open(flights.bundle), mlflow.MlflowClient()
    version = client.get_model_version_by_alias("Late", "champion")
    assert (made.uri, made.digest, str(version.version)) == ("models:/Late/1", bundle.digest, "1")
    assert version.tags == {
        "edge_runtime.digest": bundle.digest, "edge_runtime.name": "flights", "edge_runtime.version": "1.2.0",
    }  # fmt: skip
    certificate = bundle.manifest.certificate
    metrics = {metric.key: metric.value for metric in client.get_logged_model(made.model_id).metrics}
    assert metrics == client.get_run(made.run_id).data.metrics
    assert metrics["certificate.rows"] == certificate.rows
    assert metrics["certificate.edge_rows"] == certificate.edge_rows
    assert metrics["certificate.largest.probabilities"] == certificate.largest["probabilities"]
    assert metrics["golden.largest.label"] == 0
    assert client.get_run(made.run_id).info.status == "FINISHED"
    info = mlflow.models.get_model_info("models:/Late@champion")
    assert info.signature.inputs.input_names() == [column.name for column in bundle.manifest.schema.columns]
    assert info.saved_input_example_info is not None
    assert publish(flights.bundle, "models:/Late").uri == "models:/Late/2"
    assert load_model("models:/Late@champion").digest == bundle.digest


@pytest.mark.parametrize("place", ["", "no/such/mlflow.db"])
def test_a_store_that_cannot_be_opened_is_refused_at_once(
    flights: Flights, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in the store's place, and a store in no folder: mlflow alone tries either for minutes."""
    uri = f"sqlite:///{tmp_path}/{place}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError) as caught:
        publish(flights.bundle, "models:/Late")
    assert str(caught.value).startswith(f"MLflow at {uri} refuses (unable to open database file")
    assert list(tmp_path.iterdir()) == []


def test_the_run_of_the_source_becomes_a_tag(
    small_manifest: Manifest, small_contents: dict[str, bytes], store: Path, tmp_path: Path
) -> None:
    """So that a bundle leads back to its training."""
    path = tmp_path / "small.edge"
    Bundle.write(path, replace(small_manifest, provenance={"mlflow.run_id": "abc"}), small_contents)
    publish(path, "models:/a.b's model")
    assert mlflow.MlflowClient().get_model_version("a.b's model", "1").tags["edge_runtime.source_run"] == "abc"


def test_the_command_prints_the_uri(edge: Edge, small_bundle: Path, tmp_path: Path) -> None:
    """Without any setting it writes into mlflow.db of the working folder."""
    done = edge("publish", small_bundle, "models:/Small", "--alias", "champion", MLFLOW_TRACKING_URI="")
    digest = Bundle.open(small_bundle).digest
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{small_bundle}, {digest}\nregistered as models:/Small/1, models:/Small@champion\n"
    assert (tmp_path / "mlflow.db").is_file()


def test_as_json_it_prints_everything(small_bundle: Path, store: Path) -> None:
    """For the next command to read."""
    done = CliRunner().invoke(command, [str(small_bundle), "models:/Small", "--json"])
    made = json.loads(done.stdout)
    assert made.keys() == {"uri", "name", "version", "alias", "digest", "model_id", "run_id"}
    assert (made["uri"], made["alias"]) == ("models:/Small/1", None)
    assert load_model(made["uri"]).digest == made["digest"]


REFUSED = {
    "a path": ("models:/..%2fx", None, "is no name for a registered model; expected models:/<name>, without /"),
    "slashes": ("models:/a/b", None, "is no name for a registered model"),
    "up": ("models:/..", None, "is no name for a registered model"),
    "nothing": ("models:/", None, "is no name for a registered model"),
    "no URI": ("Late", None, "'Late' is no name for a registered model; expected models:/<name>"),
    "a line": ("models:/a\nb", None, "is no name for a registered model"),
    "a version": ("models:/Late/3", None, "names a version; expected models:/Late: the registry numbers its versions"),
    "an alias": ("models:/Late@best", None, "names an alias; expected models:/Late, and --alias best"),
    "latest": ("models:/Late", "latest", "'latest' is no alias; expected letters, digits, - and _"),
    "v2": ("models:/Late", "V2", "'V2' is no alias"),
    "spaces": ("models:/Late", "a b", "'a b' is no alias"),
}


@pytest.mark.parametrize(("target", "alias", "says"), REFUSED.values(), ids=REFUSED)
def test_what_a_registry_would_not_take_is_refused_before_it_is_asked(
    target: str, alias: str | None, says: str, small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens where the store should be."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(InputError) as caught:
        publish(small_bundle, target, alias=alias)
    assert says in str(caught.value)


def test_a_bundle_that_answers_otherwise_is_not_published(
    edge: Edge, small_manifest: Manifest, small_contents: dict[str, bytes], tmp_path: Path
) -> None:
    """The fifth golden row is off, which opening alone does not see: the answer is no, and no store is made."""
    golden = json.loads(small_contents["golden.json"])
    row = dict.fromkeys(golden["rows"][0], 1.0)
    golden = {
        "rows": [*golden["rows"], row, row],
        "outputs": [*golden["outputs"], {"prediction": 8.0}, {"prediction": 9.0}],
    }
    path = tmp_path / "off.edge"
    Bundle.write(path, small_manifest, {**small_contents, "golden.json": json.dumps(golden).encode()})
    edge_runtime.load(path)
    done = edge("publish", path, "models:/Off", MLFLOW_TRACKING_URI="")
    assert done.returncode == 1
    assert done.stderr.startswith(f"edge: {path}: not published, it answers otherwise here (golden row 4")
    assert not (tmp_path / "mlflow.db").exists()


def test_a_server_that_is_not_there_is_one_sentence(edge: Edge, small_bundle: Path) -> None:
    """Within seconds."""
    done = edge("publish", small_bundle, "models:/Small", MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr == (
        "edge: the MLflow server at http://127.0.0.1:1 cannot be reached;"
        " expected MLFLOW_TRACKING_URI with an MLflow server that runs\n"
    )


@pytest.fixture
def server(empty_store: Path, tmp_path: Path) -> Iterator[str]:
    """A real MLflow server on a port of its own; its URL."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "mlflow.db").write_bytes(empty_store.read_bytes())
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--artifacts-destination", "artifacts"]
    arguments += ["--backend-store-uri", f"sqlite:///{tmp_path}/served/mlflow.db"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mlflow", "server", *arguments], cwd=tmp_path / "served", env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers too; there is nothing to save
        process.wait(30)


def test_a_real_server_takes_and_gives(
    server: str,
    flights: Flights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Over HTTP, artifacts included: published, found by its alias, and answering as before; nothing is printed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "over HTTP")
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    assert publish(flights.bundle, "models:/Late", alias="champion").uri == "models:/Late/1"
    model = load_model("models:/Late@champion")
    assert model.digest == Bundle.open(flights.bundle).digest
    assert model.verify().ok
    for uri, says in (
        ("models:/Late/2", "Late has no version 2; expected version 1, or alias @champion (version 1)"),
        ("models:/..%2fLate/1", "there is no registered model '..%2fLate'; did you mean Late?; expected one of 'Late'"),
        ("runs:/none/x", "there is no run 'none'; expected the id of a run in this store"),
    ):
        with pytest.raises(InputError) as caught:
            load_model(uri)
        assert str(caught.value) == says
    assert capfd.readouterr() == ("", "")
