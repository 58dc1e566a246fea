"""The Open Inference Protocol v2, in JSON."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from onnx import helper

from edge_runtime import Model, load
from edge_runtime.schema import Schema, TensorSpec
from edge_runtime.server import create_app

INFER = "/v2/models/fraud/infer"
ROWS = {
    "amount": ("FP64", [8500.0, 3.5]),
    "merchant_id": ("INT64", [443, 7]),
    "hour_of_day": ("INT64", [3, 14]),
    "distance_from_home": ("FP64", [120.5, None]),
}


def tensors(**changes: dict[str, Any]) -> dict[str, Any]:
    """A request of two rows, with ``changes`` to its tensors."""
    made = [{"name": n, "shape": [2], "datatype": kind, "data": data} for n, (kind, data) in ROWS.items()]
    return {"inputs": [{**tensor, **changes.get(str(tensor["name"]), {})} for tensor in copy.deepcopy(made)]}


def test_columns_are_tensors_and_so_are_outputs(client: TestClient, model: Model) -> None:
    """One tensor per column in, one per output out; the id comes back, and so do version and digest."""
    answer = client.post(INFER, json={"id": "a-1", "parameters": {"k": [1]}, **tensors()}).json()
    outputs = model.predict({name: data for name, (_, data) in ROWS.items()})
    assert answer == {
        "model_name": "fraud",
        "model_version": "2.1.0",
        "id": "a-1",
        "parameters": {"model_digest": model.digest},
        "outputs": [
            {"name": "fraud_score", "datatype": "FP64", "shape": [2], "data": outputs["fraud_score"].tolist()},
            {"name": "is_fraud", "datatype": "BOOL", "shape": [2], "data": outputs["is_fraud"].tolist()},
        ],
    }
    assert "id" not in client.post("/v2/models/fraud/versions/2.1.0/infer", json=tensors()).json()


def test_a_column_may_have_an_axis_of_one_and_come_nested(client: TestClient) -> None:
    """[rows] and [rows, 1], flat and nested, are the same."""
    flat = client.post(INFER, json=tensors()).json()
    for change in ({"shape": [2, 1]}, {"shape": [2, 1], "data": [[443], [7]]}):
        assert client.post(INFER, json=tensors(merchant_id=change)).json() == flat


def test_only_the_outputs_that_are_asked_for_come_back(client: TestClient) -> None:
    """In the order in which they were asked for."""
    asked = [{"name": "is_fraud", "parameters": {"binary_data": False}}]
    answer = client.post(INFER, json={**tensors(), "outputs": asked}).json()
    assert [output["name"] for output in answer["outputs"]] == ["is_fraud"]


def test_an_empty_list_of_outputs_asks_for_all(client: TestClient) -> None:
    """As in the protocol's gRPC form, where it is the same as no list."""
    assert client.post(INFER, json={**tensors(), "outputs": []}).json() == client.post(INFER, json=tensors()).json()


def test_the_datatype_is_the_clients_to_choose_while_values_fit(client: TestClient, model: Model) -> None:
    """Integers may come as floats without a fraction and the other way round; FP32 data are float32 numbers."""
    given = tensors(
        amount={"datatype": "FP32", "data": [8500.1, 3]},
        merchant_id={"datatype": "FP64", "data": [443.0, 7]},
        hour_of_day={"datatype": "UINT8", "data": [3.0, 14]},
    )
    outputs = model.predict(
        {
            "amount": np.array([8500.1, 3], np.float32),
            "merchant_id": [443, 7],
            "hour_of_day": [3, 14],
            "distance_from_home": [120.5, None],
        }
    )
    answer = client.post(INFER, json=given).json()
    assert answer["outputs"][0]["data"] == outputs["fraud_score"].tolist()


def test_no_rows_have_no_answers(client: TestClient) -> None:
    """A shape of 0 is a shape."""
    empty = {name: {"shape": [0], "data": []} for name in ROWS}
    assert client.post(INFER, json=tensors(**empty)).json()["outputs"][0] == {
        "name": "fraud_score", "datatype": "FP64", "shape": [0], "data": [],
    }  # fmt: skip


def without(name: str) -> dict[str, Any]:
    return {"inputs": [tensor for tensor in tensors()["inputs"] if tensor["name"] != name]}


def beside(**tensor: Any) -> dict[str, Any]:
    return {"inputs": [*tensors()["inputs"], {"shape": [2], "datatype": "FP64", "data": [1, 2], **tensor}]}


REFUSED: dict[str, tuple[Any, int, str]] = {
    "a list": ([], 400, "not one of the protocol"),
    "no inputs": ({}, 400, "missing required field `inputs`"),
    "an input without data": ({"inputs": [{"name": "amount"}]}, 400, "missing required field"),
    "a missing column": (without("amount"), 422, "the column 'amount' is missing"),
    "an extra column": (beside(name="x"), 422, "the column 'x' is unknown; expected 'amount', 'merchant_id'"),
    "a column twice": (beside(name="amount"), 400, "the input 'amount' comes twice"),
    "an unknown output": ({**tensors(), "outputs": [{"name": "x"}]}, 400, "no output 'x'; expected 'fraud_score'"),
    "an unknown datatype": (tensors(amount={"datatype": "FP8"}), 400, "unknown datatype; expected one of BOOL"),
    "FP16": (tensors(amount={"datatype": "FP16"}), 400, "FP16, which JSON cannot carry; send FP32"),
    "too few data": (tensors(amount={"data": [1.0]}), 400, "'amount' holds other data than its shape says"),
    "a ragged nesting": (tensors(amount={"shape": [2, 1], "data": [[1.0], []]}), 400, "other data than its shape"),
    "a list among numbers": (tensors(amount={"data": [1.0, [2.0]]}), 422, "got a list among FP64 data"),
    "a negative size": (tensors(amount={"shape": [-2]}), 400, "a negative size"),
    "a matrix": (tensors(amount={"shape": [1, 2]}), 422, "the wrong shape; expected [rows] or [rows, 1]"),
    "other rows": (tensors(hour_of_day={"shape": [1], "data": [3]}), 422, "another number of rows"),
    "text among numbers": (tensors(amount={"data": [1.0, "x"]}), 422, "'amount': got text among FP64 data"),
    "text for a number": (
        tensors(amount={"datatype": "BYTES", "data": ["1", "2"]}), 422, "'amount', row 0: got text; expected a number"
    ),
    "bools for numbers": (tensors(amount={"data": [True, False]}), 422, "got true or false among FP64 data"),
    "bools as a column": (
        tensors(amount={"datatype": "BOOL", "data": [True, False]}), 422, "row 0: got true or false; expected a number"
    ),
    "a fraction": (tensors(hour_of_day={"data": [3, 4.5]}), 422, "no whole number among INT64 data"),
    "beyond the datatype": (tensors(hour_of_day={"datatype": "INT8", "data": [3, 300]}), 422, "outside INT8"),
    "beyond the datatype, by far": (tensors(hour_of_day={"data": [3, 2**70]}), 422, "outside INT64"),
    "negative and unsigned": (tensors(hour_of_day={"datatype": "UINT8", "data": [3, -1]}), 422, "outside UINT8"),
    "beyond float32": (tensors(amount={"datatype": "FP32", "data": [1.0, 1e39]}), 422, "outside FP32"),
    "rounded by a float": (tensors(amount={"data": [1.0, 2**53 + 1]}), 422, "beyond 2**53"),
    "beyond the model": (tensors(merchant_id={"data": [1, 2**60]}), 422, "the column 'merchant_id', row 1: got a number"),
    "an id that is no text": ({**tensors(), "id": 5}, 400, "Expected `str`"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status", "says"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(client: TestClient, body: Any, status: int, says: str) -> None:
    """400 for what is not of the protocol, 422 for what the model does not take; never wrapped, never rounded."""
    response = client.post(INFER, json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert says in response.json()["error"]


def test_null_is_refused_where_nothing_may_be_missing(iris_client: TestClient, irises: Path) -> None:
    """The column is named."""
    names = [column.name for column in load(irises).schema.columns]
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [1.0]} for name in names]
    assert iris_client.post("/v2/models/irises/infer", json={"inputs": inputs}).status_code == 200
    inputs[2]["data"] = [None]
    response = iris_client.post("/v2/models/irises/infer", json={"inputs": inputs})
    assert response.status_code == 422
    assert response.json()["error"].startswith("the column 'petal_length', row 0: got null; expected a number")


@pytest.mark.parametrize("path", ["/v2/models/{}/infer", "/v2/models/fraud/versions/{}/infer", "/v2/models/{}"])
@pytest.mark.parametrize("name", ["other", "..%2ffraud", "..%2f..%2fetc%2fpasswd", "%2e%2e", "fraud%00", "2.1.0%2f.."])
def test_another_model_or_version_is_not_found(client: TestClient, path: str, name: str) -> None:
    """A name is compared, never part of a file's path."""
    method = "POST" if path.endswith("infer") else "GET"
    response = client.request(method, path.format(name), json=tensors())
    assert response.status_code == 404
    assert list(response.json()) == ["error"]
    assert "etc" not in response.text


def test_a_model_of_tensors_takes_them_with_rows(sums: Path) -> None:
    """Shapes and dtypes are the graph's; null, a wrong shape and a value that would be rounded are refused."""
    client = TestClient(create_app(sums))
    x = {"name": "x", "shape": [2, 2, 3], "datatype": "FP32", "data": [float(i) for i in range(12)]}
    n = {"name": "n", "shape": [2, 1, 1], "datatype": "INT64", "data": [[[1]], [[2]]]}
    answer = client.post("/v2/models/made/infer", json={"inputs": [x, n]}).json()
    assert answer["outputs"] == [
        {
            "name": "y",
            "datatype": "FP32",
            "shape": [2, 2, 3],
            "data": [2.0 * i + (1 if i < 6 else 2) for i in range(12)],
        }
    ]
    for change, says in (
        ({"data": [None, *range(11)]}, "the input 'x': got null; expected a value at every place"),
        ({"shape": [3, 4], "data": x["data"]}, "the tensor 'x' does not fit; expected shape [None, 2, 3]"),
        ({"shape": [3, 2, 3], "data": [0.0] * 18}, "the request does not fit the model; expected sizes and values"),
        ({"datatype": "FP64", "data": [0.1, *x["data"][1:]]}, "the tensor 'x' does not fit; expected float32"),
    ):
        response = client.post("/v2/models/made/infer", json={"inputs": [{**x, **change}, n]})
        assert response.status_code == 422, response.text
        assert says in response.json()["error"]


def test_text_and_bools_pass_through_tensors(graph_of: Callable[..., bytes], write_bundle: Callable[..., Path]) -> None:
    """BYTES is JSON's text, BOOL its true and false; an output of FP16 cannot be carried."""
    nodes = [
        helper.make_node("Identity", ["t"], ["s"]),
        helper.make_node("Not", ["b"], ["c"]),
        helper.make_node("Cast", ["b"], ["h"], to=10),
    ]
    shape = ["N", 2]
    graph = graph_of(
        nodes,
        [("t", "str", shape), ("b", "bool", shape)],
        [("s", "str", shape), ("c", "bool", shape), ("h", "float16", shape)],
    )
    spec = {"str": "BYTES", "bool": "BOOL"}
    schema = Schema(
        (),
        (TensorSpec("t", "str", (None, 2)), TensorSpec("b", "bool", (None, 2))),
        (TensorSpec("s", "str", (None, 2)), TensorSpec("c", "bool", (None, 2)), TensorSpec("h", "float16", (None, 2))),
    )
    client = TestClient(create_app(write_bundle(graph, schema, small=False)))
    given = {
        "inputs": [
            {"name": "t", "shape": [1, 2], "datatype": spec["str"], "data": ["a:b", "é\u0000"]},
            {"name": "b", "shape": [1, 2], "datatype": spec["bool"], "data": [True, False]},
        ]
    }
    answer = client.post("/v2/models/made/infer", json={**given, "outputs": [{"name": "s"}, {"name": "c"}]}).json()
    assert [output["data"] for output in answer["outputs"]] == [["a:b", "é\u0000"], [False, True]]
    response = client.post("/v2/models/made/infer", json=given)
    assert response.status_code == 400
    assert "the output 'h' is FP16" in response.json()["error"]
