"""/predict: one record, a list, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from onnx import helper

from edge_runtime import Model, load
from edge_runtime.schema import Schema, TensorSpec
from edge_runtime.server import create_app

from .conftest import TRANSACTION

IRIS = {"sepal_length": 5.9, "sepal_width": 3.0, "petal_length": 5.1, "petal_width": 1.8}


def test_the_guides_own_lines_work(fraud: Path) -> None:
    """TestClient, one JSON object, and the three fields that the guide's answer has."""
    client = TestClient(create_app(fraud))
    response = client.post("/predict", json=TRANSACTION)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["fraud_score", "is_fraud", "model_version"]
    assert answer["is_fraud"] is True
    assert 0.5 < answer["fraud_score"] <= 1.0
    assert answer["model_version"] == "2.1.0"


def test_a_list_is_answered_with_version_and_digest(client: TestClient, model: Model) -> None:
    """One answer per record, in order."""
    other = {**TRANSACTION, "amount": 3.5, "hour_of_day": 14, "distance_from_home": 2.25}
    answer = client.post("/predict", json=[TRANSACTION, other]).json()
    assert answer == {
        "predictions": [model.predict_one(TRANSACTION), model.predict_one(other)],
        "model_version": "2.1.0",
        "model_digest": model.digest,
    }


def test_an_empty_list_has_no_answers(client: TestClient) -> None:
    """A batch of nothing is no mistake."""
    assert client.post("/predict", json=[]).json()["predictions"] == []


def test_whole_numbers_stand_for_floats_and_null_for_missing(client: TestClient, model: Model) -> None:
    """JavaScript has no 8500.0, and JSON no NaN."""
    row = {**TRANSACTION, "amount": 8500, "merchant_id": 443.0, "distance_from_home": None}
    assert client.post("/predict", json=row).json() == {**model.predict_one(row), "model_version": "2.1.0"}


REFUSED: dict[str, tuple[Any, int, str]] = {
    "text for a number": ({**TRANSACTION, "amount": "seven"}, 422, "the column 'amount': got text; expected a number"),
    "a bool for a number": ({**TRANSACTION, "amount": True}, 422, "'amount': got true or false; expected a number"),
    "a fraction": ({**TRANSACTION, "hour_of_day": 3.25}, 422, "'hour_of_day': got a number; expected an integer"),
    "a missing column": ({"amount": 7.5}, 422, "the column 'merchant_id' is missing"),
    "an extra column": ({**TRANSACTION, "hours_of_day": 3}, 422, "the column 'hours_of_day' is unknown; expected 'hour_of_day'"),
    "a misspelt column in a list": (
        [TRANSACTION, {"amout": 1.0}], 422, "the column 'amount', row 1 is missing"
    ),
    "a bad value in a list": (
        [TRANSACTION, {**TRANSACTION, "amount": "x"}], 422, "the column 'amount', row 1: got text; expected a number"
    ),
    "a list for a value": ({**TRANSACTION, "amount": [1.0]}, 422, "'amount': got a list; expected a single value"),
    "an object for a value": ([{**TRANSACTION, "amount": {}}], 422, "'amount', row 0: got an object; expected"),
    "a number for a record": ([TRANSACTION, 5], 422, "row 1: got a number; expected an object"),
    "a number": (5, 422, "got a number; expected an object (one record) or a list of objects"),
    "a hostile name": ({**TRANSACTION, "\x1b[31m\u202e" + "x" * 200: 1}, 422, r"\x1b[31m\u202ex"),
    "an integer that a float would round": ({**TRANSACTION, "amount": 2**53 + 1}, 422, "up to 2**53 in size"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status", "says"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(client: TestClient, body: Any, status: int, says: str) -> None:
    """Each mistake has its status, and a sentence that names the place and what is expected."""
    response = client.post("/predict", json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert says in response.json()["error"]
    assert len(response.content) < 500


RAW = {
    "nothing": (b"", 400, "the body is empty"),
    "blanks": (b"  ", 400, "truncated"),
    "NaN": (b'{"amount": NaN}', 400, "invalid character (byte 11)"),
    "Infinity": (b'{"amount": Infinity}', 400, "invalid character"),
    "beyond float64": (b'{"amount": 1e999}', 400, "a number is out of range"),
    "an endless integer": (b'{"amount": ' + b"9" * 5000 + b"}", 400, "a number is out of range"),
    "a byte order mark": (b'\xef\xbb\xbf{"amount": 1}', 400, "invalid character"),
    "trailing bytes": (b'{"amount": 1} 2', 400, "trailing characters"),
    "half a document": (b'{"amount": 1', 400, "truncated"),
    "no UTF-8": (b'{"amount": "\xff"}', 400, "it is not UTF-8"),
    "a lone surrogate": (b'{"amount": "\\ud800"}', 400, "not JSON"),
    "a key twice": (b'{"amount": 1, "amount": 2}', 400, "ambiguous: an object has the key 'amount' twice"),
    "a key twice in a list": (b'[{"amount": 1, "\\u0061mount": 2}]', 400, "ambiguous: an object has the key 'amount'"),
    "null": (b"null", 422, "got null; expected an object"),
    "a nesting of 100,000": (b"[" * 100_000, 400, "nested too deeply"),
    "a nesting of 100,000, closed": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "nested too deeply"),
    "a nesting of 65": (b"[" * 65 + b"]" * 65, 400, "nested too deeply; this server takes up to 64 levels"),
}


@pytest.mark.parametrize(("body", "status", "says"), RAW.values(), ids=RAW)
def test_what_is_no_json_of_records_is_refused(client: TestClient, body: bytes, status: int, says: str) -> None:
    """Nothing is guessed: no NaN, no mark, no key that comes twice."""
    response = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert says in response.json()["error"]


def test_colons_in_texts_are_no_second_keys(flights: Any) -> None:
    """What only looks like a double is looked at twice and passes."""
    client = TestClient(create_app(flights.bundle))
    row = {"hour": 5, "distance": 1400, "air_time": 227.0, "carrier": 'U:A "x": 1', "origin": "EWR"}
    answer = client.post("/predict", json=row)
    assert answer.status_code == 200
    assert answer.json() == {**load(flights.bundle).predict_one(row), "model_version": "1.2.0"}


def test_no_value_of_the_request_comes_back(iris_client: TestClient) -> None:
    """An error may be logged or shown; what was sent stays with whoever sent it."""
    for value in ("4111 1111 1111 1111", 4111111111111111111, [41111111], {"k": 41111111}):
        for body in ({**IRIS, "petal_width": value}, [{**IRIS, "petal_width": value}]):
            response = iris_client.post("/predict", json=body)
            assert response.status_code == 422
            assert "4111" not in response.text
    text = iris_client.post("/predict", content=b'{"petal_width": 4111', headers={"content-type": "application/json"})
    assert "4111" not in text.text


def test_null_is_refused_where_nothing_may_be_missing(iris_client: TestClient) -> None:
    """A clear 422 that names the column, for one record and in a list."""
    for body, place in (({**IRIS, "petal_width": None}, ""), ([{**IRIS, "petal_width": None}], ", row 0")):
        response = iris_client.post("/predict", json=body)
        assert response.status_code == 422
        assert response.json()["error"].startswith(f"the column 'petal_width'{place}: got null; expected a number")


def test_labels_of_text_and_vectors_are_answered(iris_client: TestClient, irises: Path) -> None:
    """A classifier's own outputs, the vector as a list."""
    answer = iris_client.post("/predict", json=IRIS).json()
    assert answer == {**load(irises).predict_one(IRIS), "model_version": "1.0.0"}
    assert answer["label"] == "virginica"
    assert len(answer["probabilities"]) == 3


def test_what_is_not_finite_is_null(iris_client: TestClient) -> None:
    """JSON has no NaN: a sum that overflows is answered, not an error and not a bare token."""
    huge = dict.fromkeys(IRIS, 1.7e308)
    response = iris_client.post("/predict", json=huge)
    assert response.status_code == 200
    assert None in response.json()["probabilities"]


def test_a_model_without_answers_per_row_says_so(
    graph_of: Callable[..., bytes], write_bundle: Callable[..., Path]
) -> None:
    """Its tensors are there by v2."""
    tensors = ("x", "float32", ["N", 2]), ("y", "float32", [2, "N"])
    graph = graph_of([helper.make_node("Transpose", ["x"], ["y"])], tensors[:1], tensors[1:])
    schema = Schema((), (TensorSpec("x", "float32", (None, 2)),), (TensorSpec("y", "float32", (2, None)),))
    client = TestClient(create_app(write_bundle(graph, schema, small=False)))
    for body in ({"x": [1, 2]}, [{"x": [1, 2]}]):
        response = client.post("/predict", json=body)
        assert response.status_code == 422
        assert response.json()["error"].startswith("this model does not answer row by row")
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    answer = client.post("/v2/models/made/infer", json={"inputs": [tensor]}).json()
    assert answer["outputs"][0]["shape"] == [2, 1]


def test_a_model_of_tensors_takes_nested_lists(sums: Path) -> None:
    """A record is {input: list without the row axis}; a list of records is answered one by one."""
    client = TestClient(create_app(sums))
    record = {"x": [[0, 1, 2], [3, 4, 5.5]], "n": [[7]]}
    wanted = [[7.0, 9.0, 11.0], [13.0, 15.0, 18.0]]
    assert client.post("/predict", json=record).json() == {"y": wanted, "model_version": "1.0"}
    answer = client.post("/predict", json=[record, record]).json()
    assert answer["predictions"] == [{"y": wanted}, {"y": wanted}]
    for body, says in (
        ({"x": record["x"]}, "the tensor 'n' is missing"),
        ({**record, "z": 1}, "the tensor 'z' is unknown"),
        ({**record, "n": [[0.5]]}, "the tensor 'n' does not fit"),
        ({**record, "x": [[0, 1, 2]]}, "the tensor 'x' does not fit; expected shape"),
        ({**record, "x": [["a", 1, 2], [3, 4, 5]]}, "the tensor 'x' does not fit"),
        ([5], "row 0: got a number"),
    ):
        response = client.post("/predict", json=body)
        assert response.status_code == 422
        assert says in response.json()["error"]
