"""Live, ready, figures, metadata, documentation: what is asked about a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from onnx import helper
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime import IntegrityError, Model, UnsupportedModelError, load
from edge_runtime.golden import Sample
from edge_runtime.schema import Schema, TensorSpec
from edge_runtime.server import create_app
from edge_runtime.version import VERSION

from .conftest import TRANSACTION


def test_probes_say_live_and_ready_and_which_model(client: TestClient, model: Model) -> None:
    """Under the names that orchestrators, MLflow and habit have."""
    about = {"model_name": "fraud", "model_version": "2.1.0", "model_digest": model.digest}
    for path in ("/livez", "/health", "/ping"):
        assert client.get(path).json() == {"live": True, **about}
    for path in ("/readyz", "/ready"):
        assert client.get(path).json() == {"ready": True, **about}
    version = client.get("/version")
    assert (version.text, version.headers["content-type"]) == (VERSION, "text/plain; charset=utf-8")


def test_a_probe_may_be_asked_without_a_body(server: Any) -> None:
    """HEAD answers as GET does, as some load balancers ask."""
    for path in ("/livez", "/health", "/ping", "/readyz", "/ready"):
        asked, wanted = server.ask("HEAD", path), server.ask("GET", path)
        assert (asked.status, asked.body) == (200, b"")
        assert asked.headers["content-length"] == str(len(wanted.body))


def test_a_path_below_the_model_is_not_said_to_be_another_model(client: TestClient) -> None:
    """Of another one it says which there is."""
    for path, says in (
        ("/v2/models/fraud/nope", "there is nothing at this path; /docs lists what there is"),
        ("/v2/models/fraud/infer/", "there is nothing at this path; /docs lists what there is"),
        ("/v2/models/other/nope", "there is no such model; this server has 'fraud'"),
        ("/v2/models/..%2ffraud", "there is no such model; this server has 'fraud'"),
    ):
        response = client.get(path)
        assert (response.status_code, response.json()) == (404, {"error": says})


def test_a_server_that_drains_is_live_but_not_ready(fraud: Path) -> None:
    """503 on every readiness, in the form of an error and with the protocol's keys; the model still answers."""
    app = create_app(fraud)
    client = TestClient(app)
    app.state.server.draining = True
    for path in ("/readyz", "/ready", "/v2/health/ready", "/v2/models/fraud/ready"):
        response = client.get(path)
        assert response.status_code == 503
        assert response.json()["error"] == "this server is shutting down"
        assert response.json()["ready"] is False
    for path in ("/livez", "/health", "/v2/health/live"):
        assert client.get(path).status_code == 200
    response = client.post("/predict", json=TRANSACTION)
    assert response.status_code == 200
    assert response.headers["connection"] == "close"


def test_the_protocols_metadata(client: TestClient) -> None:
    """Columns as tensors, rows as -1, and no extension that is not there."""
    assert client.get("/v2").json() == {"name": "edge-runtime", "version": VERSION, "extensions": []}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True, "live": True}
    assert client.get("/v2/models/fraud/ready").json() == {"name": "fraud", "ready": True}
    described = client.get("/v2/models/fraud").json()
    assert described == client.get("/v2/models/fraud/versions/2.1.0").json()
    assert described == {
        "name": "fraud",
        "versions": ["2.1.0"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "amount", "datatype": "FP64", "shape": [-1]},
            {"name": "merchant_id", "datatype": "INT64", "shape": [-1]},
            {"name": "hour_of_day", "datatype": "INT64", "shape": [-1]},
            {"name": "distance_from_home", "datatype": "FP64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "fraud_score", "datatype": "FP64", "shape": [-1]},
            {"name": "is_fraud", "datatype": "BOOL", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/predict", 405), ("DELETE", "/readyz", 405), ("POST", "/v2", 405), ("GET", "/predict/", 404),
     ("GET", "/static-offline-docs/../app.py", 404), ("GET", "/static-offline-docs/..%2f..%2fapp.py", 404)],
)  # fmt: skip
def test_what_is_not_there_is_an_error_like_any_other(client: TestClient, method: str, path: str, status: int) -> None:
    """JSON, with the methods that would be right."""
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert (status == 405) == ("allow" in response.headers)


def test_figures_count_requests_rows_and_errors(fraud: Path, model: Model) -> None:
    """In base units, in a registry of their own, with labels that no request can choose."""
    client = TestClient(create_app(fraud))
    client.post("/predict", json=TRANSACTION)
    client.post("/predict", json=[TRANSACTION] * 3)
    client.post("/predict", json={})
    client.post("/v2/models/x%22%0a/infer", json={})
    text = client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(text.text)}
    found = {
        (sample.name, sample.labels.get("route"), sample.labels.get("status")): sample.value
        for family in families.values()
        for sample in family.samples
    }
    infer = "/v2/models/{model}/infer"
    assert found["edge_requests_total", "/predict", None] == 3
    assert found["edge_rows_total", "/predict", None] == 4
    assert found["edge_errors_total", "/predict", "422"] == 1
    assert found["edge_errors_total", infer, "404"] == 1
    assert found["edge_request_duration_seconds_count", "/predict", None] == 3
    assert found["edge_ready", None, None] == 1
    assert found["edge_requests_in_progress", None, None] == 0
    assert families["edge_model_info"].samples[0].labels == {
        "name": "fraud", "version": "2.1.0", "variant": model.variant, "digest": model.digest,
    }  # fmt: skip
    labels = {key for family in families.values() for sample in family.samples for key in sample.labels}
    assert labels <= {"route", "status", "le", "name", "version", "variant", "digest"}


def test_two_applications_count_for_themselves(fraud: Path) -> None:
    """No global registry, so that a test, or a process with two models, has two sets of figures."""
    first, second = TestClient(create_app(fraud)), TestClient(create_app(fraud))
    first.post("/predict", json=TRANSACTION)
    assert 'edge_requests_total{route="/predict"} 1.0' in first.get("/metrics").text
    assert 'edge_requests_total{route="/predict"} 0.0' in second.get("/metrics").text


def test_the_documentation_needs_no_network(client: TestClient) -> None:
    """Everything that the page loads comes from this server."""
    page = client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r"(?:src|href|url)\s*[=:]\s*[\"']([^\"']+)[\"']", page.text)
    assert len(loaded) >= 4
    for address in loaded:
        assert address.startswith("/"), address
        assert client.get(address).status_code == 200, address
    assert "//" not in re.sub(r"<!--.*?-->|//.*", "", page.text).replace("https://json-schema.org", "")


Make = Callable[..., Any]


def test_a_model_whose_answers_differ_is_not_served(graph_of: Make, write_bundle: Make) -> None:
    """Loading replays a few golden rows; a server replays all before it listens."""
    tensor = ("x", "float32", ["N", 1]), ("y", "float32", ["N", 1])
    graph = graph_of([helper.make_node("Neg", ["x"], ["y"])], tensor[:1], tensor[1:])
    schema = Schema((), (TensorSpec("x", "float32", (None, 1)),), (TensorSpec("y", "float32", (None, 1)),))
    rows = [np.full((1, 1), i, np.float32) for i in range(9)]
    samples = [Sample({"x": row}, {"y": -row if i < 8 else row}) for i, row in enumerate(rows)]
    path = write_bundle(graph, schema, samples=samples, small=False)
    load(path)
    with pytest.raises(IntegrityError, match="golden sample 8"):
        create_app(path)


def test_an_output_may_not_have_the_name_of_what_every_answer_carries(graph_of: Make, write_bundle: Make) -> None:
    """model_version is the bundle's."""
    x, y = ("x", "float32", ["N", 1]), ("model_version", "float32", ["N", 1])
    graph = graph_of([helper.make_node("Identity", ["x"], ["model_version"])], [x], [y])
    schema = Schema((), (TensorSpec("x", "float32", (None, 1)),), (TensorSpec("model_version", "float32", (None, 1)),))
    with pytest.raises(UnsupportedModelError, match="an output named 'model_version'"):
        create_app(write_bundle(graph, schema, small=False))


def test_a_plain_graph_is_served_as_it_is(graph_of: Make, tmp_path: Path) -> None:
    """Without a version, golden rows or examples, but by the same routes."""
    tensor = ("x", "float32", ["N", 2]), ("y", "float32", ["N", 2])
    (tmp_path / "plain.onnx").write_bytes(graph_of([helper.make_node("Neg", ["x"], ["y"])], tensor[:1], tensor[1:]))
    client = TestClient(create_app(tmp_path / "plain.onnx"))
    assert client.post("/predict", json={"x": [1, 2]}).json() == {"y": [-1.0, -2.0], "model_version": ""}
    assert client.get("/v2/models/plain").json()["versions"] == []
    assert client.get("/openapi.json").status_code == 200
