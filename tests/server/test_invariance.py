"""The same bits by every way into the server as by `Model.predict_one`."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edge_runtime import Model, load
from edge_runtime.server import create_app


def bits(value: Any) -> Any:
    """``value`` with each float as its 64 bits."""
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    if isinstance(value, list):
        return [bits(each) for each in value]
    return struct.pack("<d", value) if isinstance(value, float) else value


def one_by_one(client: TestClient, model: Model, rows: list[dict[str, Any]]) -> list[Any]:
    answers = [client.post("/predict", json=row).json() for row in rows]
    return [{name: value for name, value in answer.items() if name != "model_version"} for answer in answers]


def as_lists(client: TestClient, model: Model, rows: list[dict[str, Any]]) -> list[Any]:
    """Of different lengths, so that some are answered on the loop and some in a thread."""
    parts = [rows[:1], rows[1:8], rows[8:]]
    return [each for part in parts for each in client.post("/predict", json=part).json()["predictions"]]


def as_tensors(client: TestClient, model: Model, rows: list[dict[str, Any]], size: int = 1000) -> list[Any]:
    kinds = {"float64": "FP64", "float32": "FP32", "str": "BYTES", "bool": "BOOL"}
    answers: list[Any] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        inputs = [
            {"name": c.name, "shape": [len(part)], "datatype": kinds.get(c.dtype, c.dtype.upper()),
             "data": [row[c.name] for row in part]}
            for c in model.schema.columns
        ]  # fmt: skip
        found = client.post(f"/v2/models/{model.name}/infer", json={"inputs": inputs}).json()["outputs"]
        width = {output["name"]: len(output["data"]) // len(part) for output in found}
        for i in range(len(part)):
            answer = {}
            for output in found:
                k = width[output["name"]]
                flat = output["data"][i * k : (i + 1) * k]
                answer[output["name"]] = flat if len(output["shape"]) == 2 else flat[0]
            answers.append(answer)
    return answers


def as_tensors_one_by_one(client: TestClient, model: Model, rows: list[dict[str, Any]]) -> list[Any]:
    return as_tensors(client, model, rows[:50], 1) + as_tensors(client, model, rows[50:])


def as_a_frame(client: TestClient, model: Model, rows: list[dict[str, Any]]) -> list[Any]:
    names = list(rows[0])
    split = {"columns": names, "data": [[row[name] for name in names] for row in rows]}
    answer: list[Any] = client.post("/invocations", json={"dataframe_split": split}).json()["predictions"]
    return answer


def as_csv(client: TestClient, model: Model, rows: list[dict[str, Any]]) -> list[Any]:
    text = io.StringIO()
    text.write(",".join(rows[0]) + "\n")
    for row in rows:
        text.write(",".join("" if value is None else str(value) for value in row.values()) + "\n")
    body = text.getvalue().encode()
    answer: list[Any] = client.post("/invocations", content=body, headers={"content-type": "text/csv"}).json()[
        "predictions"
    ]
    return answer


WAYS = [one_by_one, as_lists, as_tensors, as_tensors_one_by_one, as_a_frame, as_csv]


@pytest.fixture(scope="module")
def asked(flights: Any) -> tuple[TestClient, Model, list[dict[str, Any]], list[Any]]:
    """Real flights with text and gaps; what the model says of each alone."""
    model = load(flights.bundle)
    rows = json.loads(flights.frame.iloc[:300].to_json(orient="records", double_precision=15))
    client = TestClient(create_app(load(flights.bundle)))
    return client, model, rows, [model.predict_one(row) for row in rows]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_bits(asked: Any, way: Any) -> None:
    """Labels, and each probability to the last bit."""
    client, model, rows, wanted = asked
    assert any(None in row.values() for row in rows)
    assert bits(way(client, model, rows)) == bits(wanted)


@pytest.mark.parametrize("way", WAYS)
def test_a_linear_model_gives_the_same_bits(irises: Path, iris_client: TestClient, way: Any) -> None:
    """Sums of products, whose order matters, and an exponential behind them."""
    model = load(irises)
    rows = [
        {c.name: 0.1 + 0.37 * ((7 * i + 3 * k) % 19) for k, c in enumerate(model.schema.columns)} for i in range(60)
    ]
    assert bits(way(iris_client, model, rows)) == bits([model.predict_one(row) for row in rows])
