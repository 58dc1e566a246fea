"""`edge serve` as a process: its start, and an end that loses nothing."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import TRANSACTION

BODY = json.dumps(TRANSACTION)
HEADERS = {"content-type": "application/json"}

Serve = Callable[..., Any]
Edge = Callable[..., "subprocess.CompletedProcess[str]"]


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_listens_only_once_it_is_ready(serve: Serve, fraud: Path) -> None:
    """The first request that is taken is answered; the line that says where comes after the golden rows."""
    running = serve(fraud)
    assert running.ask("GET", "/readyz").status == 200
    answer = running.ask("POST", "/predict", TRANSACTION)
    assert answer.json()["model_version"] == "2.1.0"
    assert answer.headers["content-type"] == "application/json"
    assert running.ask("GET", "/docs").status == 200


def test_a_registered_model_is_served_by_its_name(serve: Serve, edge: Edge, fraud: Path, tmp_path: Path) -> None:
    """From MLflow's registry, by alias; an alias that is not there is one line that says which are."""
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    published = edge("publish", fraud, "models:/Fraud", "--alias", "champion", **store)
    assert published.returncode == 0, published.stderr
    running = serve("models:/Fraud@champion", **store)
    answer = running.ask("POST", "/predict", TRANSACTION)
    assert (answer.status, answer.json()["model_version"]) == (200, "2.1.0")
    missing = edge("serve", "models:/Fraud@challenger", **store)
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    assert "@champion" in missing.stderr


def test_a_mistake_at_the_start_is_one_line(edge: Edge, fraud: Path, irises: Path, server: Any) -> None:
    """A file that is not there, one that is no bundle, an address that is taken or not this machine's."""
    broken = fraud.with_name("broken.edge")
    broken.write_bytes(irises.read_bytes()[:-100])
    for arguments, says in (
        (("other.edge",), "no such file"),
        ((broken,), "broken.edge"),
        ((fraud, "--port", server.port), f"127.0.0.1 port {server.port}: address already in use; expected"),
        ((fraud, "--host", "203.0.113.1"), "203.0.113.1 port 8000: "),
        ((fraud, "--max-rows", "0"), "max_rows is 0; expected a positive number"),
    ):
        done = edge("serve", *arguments)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1, done.stderr
        assert says in done.stderr


def raw(port: int, sent: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """The status line, the headers and the body of what comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        came = b""
        while part := connection.recv(65536):
            came += part
    head, _, body = came.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, {name: value for name, _, value in (line.decode().partition(": ") for line in lines)}, body


@pytest.mark.parametrize("sent", [b"NONSENSE\r\n\r\n", b"GET /livez HTTP/1.1\r\n\r\n"], ids=["nonsense", "no host"])
def test_what_is_no_http_is_answered_in_the_form_of_all_errors(server: Any, sent: bytes) -> None:
    """As JSON, and the connection is closed; the server goes on."""
    status, headers, body = raw(server.port, sent)
    assert status == b"HTTP/1.1 400 Bad Request"
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    assert json.loads(body) == {"error": "the request is not valid HTTP/1.1"}
    assert server.ask("GET", "/livez").status == 200


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v2/models/fraud/infer", "/livez", "/nope"])
def test_a_length_stated_twice_is_refused(server: Any, path: str) -> None:
    """On every path: a proxy that believes the other one would take the rest of the body for a request."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
    status, headers, body = raw(
        server.port,
        head.encode() + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /livez HTTP/1.1\r\n\r\n",
    )
    assert status.startswith(b"HTTP/1.1 400 ")
    assert headers["connection"] == "close"
    assert "Content-Length and Transfer-Encoding exclude each other" in json.loads(body).values()


def test_sigterm_fails_readiness_answers_on_and_ends_with_zero(serve: Serve, fraud: Path) -> None:
    """Within the grace time a new connection is still taken and answered, and told to close."""
    running = serve(fraud, "--grace-seconds", "1.0")
    kept = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    kept.request("GET", "/readyz")
    assert kept.getresponse().read()
    running.process.send_signal(signal.SIGTERM)
    wait_until(lambda: running.ask("GET", "/readyz").status == 503)
    assert running.ask("GET", "/readyz").json()["error"] == "this server is shutting down"
    assert running.ask("GET", "/livez").status == 200
    kept.request("POST", "/predict", BODY, HEADERS)
    response = kept.getresponse()
    assert (response.status, response.getheader("connection")) == (200, "close")
    assert json.loads(response.read())["model_version"] == "2.1.0"
    assert running.process.wait(30) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))
    assert "not ready any more, closing in 1 s" in running.process.stderr.read()


def test_a_second_sigterm_skips_the_grace(serve: Serve, fraud: Path) -> None:
    """Whoever is in a hurry says it twice."""
    running = serve(fraud, "--grace-seconds", "600")
    running.process.send_signal(signal.SIGTERM)
    wait_until(lambda: running.ask("GET", "/readyz").status == 503)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) in (0, -signal.SIGTERM)


def test_ctrl_c_ends_it_at_once(serve: Serve, fraud: Path) -> None:
    """As every command, with the status of an interruption and no traceback."""
    running = serve(fraud)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 130
    assert running.process.stderr.read().strip() == ""


def test_a_request_in_progress_is_answered_after_sigterm(serve: Serve, fraud: Path) -> None:
    """A body that is still arriving when the listener goes is waited for."""
    running = serve(fraud, "--grace-seconds", "0")
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.putrequest("POST", "/predict")
    for name, value in (*HEADERS.items(), ("content-length", str(len(BODY)))):
        connection.putheader(name, value)
    connection.endheaders(BODY[:10].encode())
    running.ask("GET", "/livez")  # by now the head has been read
    running.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refused(running.port))  # nobody else is taken any more
    connection.send(BODY[10:].encode())
    response = connection.getresponse()
    assert response.status == 200
    assert json.loads(response.read())["model_version"] == "2.1.0"
    connection.close()
    assert running.process.wait(30) == 0


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


class Client:
    """A thread that sends until a connection is refused; ``lost`` holds whatever was accepted and not answered."""

    def __init__(self, port: int, *, keeps: bool) -> None:
        self.port, self.keeps, self.answered = port, keeps, 0
        self.lost: list[object] = []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
                except OSError as error:
                    self.lost.append(repr(error))
                    return
            try:
                connection.request("POST", "/predict", BODY, HEADERS)
                response = connection.getresponse()
                complete = response.status == 200 and json.loads(response.read())["model_version"] == "2.1.0"
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.lost.append(repr(error))
                connection.close()
                return
            if not complete:
                self.lost.append(response.status)
            self.answered += 1
            if not self.keeps or response.getheader("connection") == "close":
                connection.close()
                connection = None


@pytest.mark.parametrize("keeps", [True, False], ids=["kept connections", "a connection each"])
def test_nothing_accepted_is_lost_under_load(serve: Serve, fraud: Path, keeps: bool) -> None:
    """Clients that know nothing of readiness send until they are refused: each request that got a connection got its
    answer, up to the last."""
    running = serve(fraud, "--grace-seconds", "0.3")
    clients = [Client(running.port, keeps=keeps) for _ in range(12)]
    wait_until(lambda: all(client.answered > 20 for client in clients))
    running.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.thread.join(60)
    assert running.process.wait(30) == 0
    assert [client.lost for client in clients if client.lost] == []
    assert running.process.stderr.read().count("\n") == 1
