"""MLflow's scoring protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edge_runtime import Model, load
from edge_runtime.server import create_app

from .conftest import TRANSACTION

NAMES, VALUES = list(TRANSACTION), list(TRANSACTION.values())

FORMS: dict[str, dict[str, Any]] = {
    "split": {"dataframe_split": {"columns": NAMES, "data": [VALUES, VALUES]}},
    "split, other order, with an index and an id": {
        "dataframe_split": {"columns": ["id", *NAMES[::-1]], "index": [0, 1], "data": [["a", *VALUES[::-1]]] * 2}
    },
    "records": {"dataframe_records": [TRANSACTION, {**TRANSACTION, "id": "a"}]},
    "instances by name": {"instances": [TRANSACTION, TRANSACTION]},
    "instances by position": {"instances": [VALUES, VALUES]},
    "inputs by column": {"inputs": {name: [value, value] for name, value in TRANSACTION.items()}, "params": {}},
    "inputs by position": {"inputs": [VALUES, VALUES]},
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_every_form_gets_the_same_answers(client: TestClient, model: Model, body: dict[str, Any]) -> None:
    """A list of records; columns that the model does not take are passed over, as a frame's."""
    response = client.post("/invocations", json=body)
    assert response.status_code == 200, response.text
    one = model.predict_one(TRANSACTION)
    wanted = {"predictions": [one, one], "model_version": "2.1.0", "model_digest": model.digest}
    assert response.json() == wanted


def csv(client: TestClient, body: bytes, kind: str = "text/csv") -> Any:
    return client.post("/invocations", content=body, headers={"content-type": kind})


def test_csv_is_read_as_a_bundle_of_these_columns_reads_it(client: TestClient, model: Model) -> None:
    """Numbers exactly as written, an empty field missing, quotes and line ends as usual, other columns passed over."""
    text = b'"amount",merchant_id,hour_of_day,note,distance_from_home\r\n8500.0,443,3,"a, b",120.5\r\n3.5,7,14,,\r\n'
    response = csv(client, text, "text/csv; charset=utf-8")
    other = {"amount": 3.5, "merchant_id": 7, "hour_of_day": 14, "distance_from_home": None}
    assert response.status_code == 200, response.text
    assert response.json()["predictions"] == [model.predict_one(TRANSACTION), model.predict_one(other)]


def test_csv_with_text_columns(flights: Any) -> None:
    """Empty text is missing where that is possible."""
    client, model = TestClient(create_app(flights.bundle)), load(flights.bundle)
    answer = csv(client, b"carrier,origin,hour,distance,air_time\nUA,EWR,5,1400,227\n,JFK,6,,\n").json()
    rows: list[dict[str, Any]] = [
        {"carrier": "UA", "origin": "EWR", "hour": 5, "distance": 1400, "air_time": 227},
        {"carrier": None, "origin": "JFK", "hour": 6, "distance": None, "air_time": None},
    ]
    assert answer["predictions"] == [model.predict_one(row) for row in rows]


REFUSED: dict[str, tuple[Any, str]] = {
    "a list": ([TRANSACTION], "got a list; expected an object with one of dataframe_split"),
    "no form": ({}, "got 0 forms of data; expected exactly one of"),
    "two forms": ({"instances": [], "inputs": []}, "got 2 forms of data"),
    "an unknown key": ({"instances": [], "x": 1}, "the key 'x' is unknown"),
    "params": ({"instances": [], "params": {"t": 1}}, "the model takes no params"),
    "a split without data": ({"dataframe_split": {"columns": NAMES}}, "must hold columns, a list of names, and data"),
    "a column twice": (
        {"dataframe_split": {"columns": ["amount", "amount"], "data": []}}, "two columns of one name"
    ),
    "a short row": ({"dataframe_split": {"columns": NAMES, "data": [VALUES, [1]]}}, "row 1 has 1 values; expected 4"),
    "a missing column": (
        {"dataframe_split": {"columns": NAMES[1:], "data": [VALUES[1:]]}}, "the column 'amount' is missing"
    ),
    "a missing key": ({"dataframe_records": [TRANSACTION, {"amount": 1.0}]}, "'merchant_id', row 1 is missing"),
    "records of numbers": ({"dataframe_records": [1]}, "dataframe_records must be a list of objects"),
    "instances of numbers": ({"instances": [1]}, "must be a list of objects, or of lists with one value per column"),
    "ragged columns": (
        {"inputs": {**{name: [1] for name in NAMES}, "amount": [1, 2]}}, "the columns are of different lengths"
    ),
    "a column that is no list": ({"inputs": {"amount": 1}}, "must hold a list of values for each column"),
    "text for a number": (
        {"instances": [VALUES, ["secret", *VALUES[1:]]]}, "the column 'amount', row 1: got text; expected a number"
    ),
    "a list for a number": ({"instances": [[[1], *VALUES[1:]]]}, "the column 'amount', row 0: got a list"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "says"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_a_bad_request(client: TestClient, body: Any, says: str) -> None:
    """MLflow's own form of an error, without the value."""
    response = client.post("/invocations", json=body)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error_code", "message"}
    assert response.json()["error_code"] == "BAD_REQUEST"
    assert says in response.json()["message"]
    assert "secret" not in response.text


CSV = {
    "no header": (b"\n1,2,3,4\n", "must begin with a line of distinct column names"),
    "a name twice": (b"amount,amount\n1,2\n", "distinct column names"),
    "a short line": (b"amount,merchant_id,hour_of_day,distance_from_home\n1,2\n", "row 0 has 2 values; expected 4"),
    "a missing column": (b"amount\n1\n", "the column 'merchant_id' is missing"),
    "text for a number": (b"amount,merchant_id,hour_of_day,distance_from_home\n1,two,3,4\n", "'merchant_id', row 0: got text"),
    "an open quote": (b'amount\n"1\n', "a quote is open"),
    "no UTF-8": (b"amount\n\xff\n", "it is not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "says"), CSV.values(), ids=CSV)
def test_csv_that_does_not_fit_is_a_bad_request(client: TestClient, body: bytes, says: str) -> None:
    """Each says what is wrong, and where."""
    response = csv(client, body)
    assert response.status_code == 400
    assert says in response.json()["message"]


@pytest.mark.parametrize("held", [{"inputs": {}}, {"dataframe_split": {"columns": [], "data": []}}])
def test_no_columns_at_all_are_a_missing_column(client: TestClient, held: Any) -> None:
    """And of no row: there is none."""
    response = client.post("/invocations", json=held)
    assert (response.status_code, response.json()["message"]) == (400, "the column 'amount' is missing")


def test_other_errors_have_mlflows_form_too(client: TestClient) -> None:
    """A wrong type, a wrong method, an empty body."""
    for response, status in (
        (csv(client, b"x", "text/html"), 415),
        (client.get("/invocations"), 405),
        (csv(client, b""), 400),
    ):
        assert response.status_code == status
        assert response.json().keys() == {"error_code", "message"}


def test_a_model_of_tensors_takes_instances_and_inputs(sums: Path) -> None:
    """instances without the row axis, one by one; inputs with it, all at once."""
    client = TestClient(create_app(sums))
    x, n = [[0, 1, 2], [3, 4, 5]], [[1]]
    y = [[1.0, 3.0, 5.0], [7.0, 9.0, 11.0]]
    instances = client.post("/invocations", json={"instances": [{"x": x, "n": n}] * 2})
    assert instances.json()["predictions"] == [{"y": y}, {"y": y}]
    inputs = client.post("/invocations", json={"inputs": {"x": [x, x], "n": [n, n]}})
    assert inputs.json()["predictions"] == {"y": [y, y]}
    for body, says in (
        ({"dataframe_records": [{}]}, "expected instances or inputs"),
        ({"inputs": [x]}, "takes several tensors"),
        ({"inputs": {"x": [x]}}, "the tensor 'n' is missing"),
        ({"instances": {"x": x}}, "instances must be a list"),
    ):
        response = client.post("/invocations", json=body)
        assert response.status_code == 400
        assert says in response.json()["message"]
    assert csv(client, b"x\n1\n").status_code == 400
