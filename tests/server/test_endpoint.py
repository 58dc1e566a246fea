"""What all routes to the model share: the head of a request, the limits of its body, and how it is answered."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edge_runtime import InputError, Model
from edge_runtime.server import create_app

from .conftest import TRANSACTION

ROUTES = ["/predict", "/invocations", "/v2/models/fraud/infer"]
MEGABYTE = b" " * 2**20


def sentence(response: Any) -> str:
    """Of an error, in either form."""
    body = response.json()
    return str(body["message"] if "message" in body else body["error"])


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/json; charset=utf-16"],
)
def test_another_content_type_is_refused(client: TestClient, route: str, kind: str) -> None:
    """415, and which one would be right."""
    response = client.post(route, content=b"{}", headers={"content-type": kind})
    assert response.status_code == 415
    assert response.headers["content-type"] == "application/json"
    assert "application/json" in sentence(response) or "UTF-8" in sentence(response)


def test_a_media_type_may_have_parameters_and_capitals(client: TestClient) -> None:
    """As some clients send it."""
    headers = {"content-type": 'Application/JSON ; charset="UTF-8"'}
    assert client.post("/predict", content=json.dumps(TRANSACTION), headers=headers).status_code == 200


def test_no_content_type_is_json_where_the_protocol_has_it_so(client: TestClient) -> None:
    """tritonclient sends none; elsewhere it is 415."""
    assert client.post("/v2/models/fraud/infer", content=b"{}").status_code == 400
    assert client.post("/predict", content=b"{}").status_code == 415


@pytest.mark.parametrize("route", ROUTES)
def test_a_compressed_body_is_refused(client: TestClient, route: str) -> None:
    """It is not guessed at, and cannot inflate."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = client.post(route, content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 415
    assert "compressed" in sentence(response)


def test_the_binary_form_of_tensors_is_refused_as_it_is_not_advertised(client: TestClient) -> None:
    """A client that does not ask /v2 for extensions is told."""
    assert client.get("/v2").json()["extensions"] == []
    headers = {"inference-header-content-length": "10", "content-type": "application/octet-stream"}
    response = client.post("/v2/models/fraud/infer", content=b"{}" * 20, headers=headers)
    assert response.status_code == 400
    assert "send JSON" in sentence(response)


@pytest.mark.parametrize("route", ROUTES)
def test_too_many_rows_are_refused(fraud: Path, route: str) -> None:
    """413, with the limit."""
    client = TestClient(create_app(fraud, max_rows=2))
    column = [{"name": n, "shape": [3], "datatype": "FP64", "data": [v] * 3} for n, v in TRANSACTION.items()]
    bodies: dict[str, Any] = {
        "/predict": [TRANSACTION] * 3,
        "/invocations": {"instances": [TRANSACTION] * 3},
        "/v2/models/fraud/infer": {"inputs": column},
    }
    response = client.post(route, json=bodies[route])
    assert response.status_code == 413
    assert sentence(response) == "the request has 3 rows; this server takes up to 2 at once"


def test_a_setting_must_be_positive(fraud: Path) -> None:
    """Said at once, not at the first request."""
    with pytest.raises(InputError, match="max_rows is 0; expected a positive number"):
        create_app(fraud, max_rows=0)


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield MEGABYTE


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_a_body_of_200_megabytes_is_refused_and_not_kept(server: Any, route: str, chunked: bool) -> None:
    """413 on the wire, while the process stays small and goes on answering."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"content-type": "application/json"}
    if not chunked:
        headers["content-length"] = str(200 * 2**20)
    connection.request("POST", route, chunks(200), headers, encode_chunked=chunked)
    response = connection.getresponse()
    assert response.status == 413
    assert response.getheader("content-type") == "application/json"
    assert b"the body is too large; this server takes up to 16,777,216 bytes" in response.read()
    connection.request("POST", "/predict", json.dumps(TRANSACTION), {"content-type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()
    peak = next(line for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) < 190_000


def test_a_length_that_is_too_large_is_refused_before_a_byte_is_sent(server: Any) -> None:
    """A client that asks first, with Expect: 100-continue, is spared the upload."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/predict")
    for name, value in (
        ("content-type", "application/json"),
        ("content-length", "200000000"),
        ("expect", "100-continue"),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_does_not_arrive_is_given_up(fraud: Path) -> None:
    """408, so that a slow client holds no place for ever."""
    app = create_app(fraud, body_seconds=0.05)
    sent: list[Any] = []

    async def ask() -> None:
        messages = iter([{"type": "http.request", "body": b'{"amount"', "more_body": True}])

        async def receive() -> Any:
            message = next(messages, None)
            return message if message is not None else await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope("/predict"), receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 408
    assert b"did not arrive within 0.05 s" in sent[1]["body"]


def scope(path: str) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")]
    return {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers,
            "query_string": b"", "http_version": "1.1", "root_path": "", "scheme": "http"}  # fmt: skip


def test_a_body_may_come_in_pieces_and_may_break_off(fraud: Path) -> None:
    """Pieces are put together; a connection that goes within a body is 400, if anybody still listens."""
    app = create_app(fraud)
    whole = json.dumps(TRANSACTION).encode()

    async def ask(*messages: Any) -> list[Any]:
        waiting, sent = list(messages), []

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope("/predict"), receive, send)
        return sent

    first = {"type": "http.request", "body": whole[:9], "more_body": True}
    answered = asyncio.run(ask(first, {"type": "http.request", "body": whole[9:]}))
    assert answered[0]["status"] == 200
    broken = asyncio.run(ask(first, {"type": "http.disconnect"}))
    assert broken[0]["status"] == 400


def test_beyond_the_limit_requests_are_told_to_wait(fraud: Path) -> None:
    """429 with Retry-After for one too many, while probes and what was taken are answered."""
    app = create_app(fraud, max_requests=2)
    whole = {"type": "http.request", "body": json.dumps(TRANSACTION).encode()}

    async def run() -> list[int]:
        gate = asyncio.Event()
        statuses: list[int] = []

        async def ask(waits: bool) -> None:
            async def receive() -> Any:
                if waits:
                    await gate.wait()
                return whole

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])
                    assert (b"retry-after", b"1") in message["headers"] or message["status"] == 200

            await app(scope("/predict"), receive, send)

        taken = [asyncio.create_task(ask(True)) for _ in range(2)]
        await asyncio.sleep(0)
        await ask(False)
        gate.set()
        await asyncio.gather(*taken)
        await ask(False)
        return statuses

    assert asyncio.run(run()) == [429, 200, 200, 200]


def test_a_fault_of_ours_is_one_sentence(fraud: Path) -> None:
    """500 without a trace, in the form that the route's clients read; the exception goes to the log."""
    app = create_app(fraud)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret")

    response = TestClient(app, raise_server_exceptions=False).get("/broken")
    assert response.status_code == 500
    assert response.json() == {"error": "the server failed on this request; its log says why"}


def test_many_threads_and_routes_at_once_get_their_own_answers(server: Any, model: Model) -> None:
    """Lists that go to a thread and records that do not, mixed: each answer is the model's."""
    rows = [{**TRANSACTION, "amount": float(i), "hour_of_day": i % 24} for i in range(200)]
    wanted = [model.predict_one(row) for row in rows]
    wrong: list[Any] = []

    def work(first: int) -> None:
        for i in range(first, 200, 8):
            one = server.ask("POST", "/predict", rows[i]).json()
            if one != {**wanted[i], "model_version": "2.1.0"}:
                wrong.append(one)
        if server.ask("POST", "/predict", rows).json()["predictions"] != wanted:
            wrong.append(first)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_application_may_lie_below_a_prefix(fraud: Path) -> None:
    """Mounted in another one, its routes are found by the router."""
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/models/fraud", create_app(fraud))
    client = TestClient(outer)
    assert client.post("/models/fraud/predict", json=TRANSACTION).json()["model_version"] == "2.1.0"
    assert client.post("/models/fraud/predict", json={}).status_code == 422
    response = client.post("/models/fraud/predict", content=b"{}")
    assert (response.status_code, response.headers["content-type"]) == (415, "application/json")
