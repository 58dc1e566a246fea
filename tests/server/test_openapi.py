"""The OpenAPI document: it shows the model's own columns, and what it says is what the server does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edge_runtime.server import create_app


def test_the_document_shows_the_models_own_columns(client: TestClient) -> None:
    """Names, types, whether a value may be missing; and outputs beside the version."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    record = schemas["Record"]
    assert record["required"] == ["amount", "merchant_id", "hour_of_day", "distance_from_home"]
    assert record["additionalProperties"] is False
    assert record["properties"]["amount"] == {"type": ["number", "null"], "format": "double"}
    assert record["properties"]["merchant_id"]["type"] == ["integer", "null"]
    assert schemas["Answer"]["required"] == ["fraud_score", "is_fraud", "model_version"]
    assert schemas["Answer"]["properties"]["is_fraud"] == {"type": "boolean"}
    assert schemas["Answers"]["required"] == ["predictions", "model_version", "model_digest"]


def test_the_examples_are_golden_rows_and_are_answered(client: TestClient) -> None:
    """What the page offers to try works."""
    operation = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == {"one record", "a list"}
    for example in examples.values():
        assert client.post("/predict", json=example["value"]).status_code == 200


def test_categories_and_classes_are_shown_where_they_are_few(flights: Any, iris_client: TestClient) -> None:
    """Text columns say what was seen in training; a label says which classes there are."""
    schemas = TestClient(create_app(flights.bundle)).get("/openapi.json").json()["components"]["schemas"]
    origin = schemas["Record"]["properties"]["origin"]
    assert origin["type"] == ["string", "null"]
    assert '"EWR"' in origin["description"]
    assert "enum" not in origin
    schemas = iris_client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Answer"]["properties"]["label"]["enum"] == ["setosa", "versicolor", "virginica"]
    assert schemas["Answer"]["properties"]["probabilities"]["maxItems"] == 3
    assert schemas["Record"]["properties"]["petal_width"]["type"] == "number"


def test_tensors_are_shown_as_nested_lists(sums: Path) -> None:
    """With the sizes of their axes; the example is a golden sample without its row axis."""
    client = TestClient(create_app(sums))
    document = client.get("/openapi.json").json()
    x = document["components"]["schemas"]["Record"]["properties"]["x"]
    assert (x["minItems"], x["items"]["maxItems"], x["items"]["items"]) == (2, 3, {"type": "number"})
    example = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert client.post("/predict", json=example["one record"]["value"]).status_code == 200


@pytest.mark.parametrize("name", ["irises", "flights"])
def test_the_document_and_the_server_agree(
    serve: Callable[..., Any], name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """schemathesis: what the document allows is answered as it says, what it does not is refused, and nothing fails."""
    path = request.getfixturevalue(name)
    running = serve(getattr(path, "bundle", path))
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"http://127.0.0.1:{running.port}/openapi.json",
    ]
    options = ["--max-examples", "6", "--seed", "1", "--generation-database", "none", "--no-color"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Tested: 23" in done.stdout
