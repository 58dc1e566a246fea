"""Models to serve: the guide's transactions, irises (no value may be missing), sums of tensors; and servers of them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edge_runtime import Decision, Model, load
from edge_runtime.golden import Sample
from edge_runtime.schema import Schema, TensorSpec
from edge_runtime.server import create_app

with warnings.catch_warnings():
    # starlette prefers httpx2, and says so once, when its client is first imported; httpx serves it as well.
    warnings.filterwarnings("ignore", "Using `httpx` with")
    from fastapi.testclient import TestClient

TRANSACTION = {"amount": 8500.0, "merchant_id": 443, "hour_of_day": 3, "distance_from_home": 120.5}


@dataclass(frozen=True)
class Answer:
    """What a raw connection got."""

    status: int
    body: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    """`edge serve` as a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request over ``connection``; a dict or a list is sent as JSON."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, (dict, list)):
        body, sent = json.dumps(body), {"content-type": "application/json", **sent}
    connection.request(method, path, body, sent)
    response = connection.getresponse()
    return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})


@pytest.fixture(scope="session")
def fraud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the guide's model: four columns, a score and a decision."""
    import pandas
    from sklearn.ensemble import HistGradientBoostingClassifier

    from edge_runtime.converters import convert

    draw = np.random.default_rng(0)
    rows = pandas.DataFrame(
        {
            "amount": draw.lognormal(4, 1.5, 2000),
            "merchant_id": draw.integers(0, 1000, 2000),
            "hour_of_day": draw.integers(0, 24, 2000),
            "distance_from_home": draw.exponential(30, 2000),
        }
    )
    fraudulent = (rows["amount"] > 300) & (rows["hour_of_day"] < 8) | (rows["distance_from_home"] > 110)
    trees = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(rows, fraudulent.astype(int))
    path = tmp_path_factory.mktemp("fraud") / "fraud.edge"
    convert(trees, data=rows, name="fraud", version="2.1.0", decision=Decision("fraud_score", "is_fraud")).save(path)
    return path


@pytest.fixture(scope="session")
def irises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a linear model of irises: labels of text, and no value may be missing."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    from edge_runtime.converters import convert

    data = load_iris(as_frame=True)
    rows = data["data"].rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    model = LogisticRegression(max_iter=500).fit(rows, data["target_names"][data["target"]])
    path = tmp_path_factory.mktemp("irises") / "irises.edge"
    convert(model, data=rows, name="irises", version="1.0.0").save(path)
    return path


@pytest.fixture
def sums(graph_of: Callable[..., bytes], write_bundle: Callable[..., Path]) -> Path:
    """A bundle of tensors: twice x, float32 [rows, 2, 3], plus n, int64 [rows, 1, 1] as float32."""
    nodes = [
        helper.make_node("Cast", ["n"], ["m"], to=1),
        helper.make_node("Add", ["x", "x"], ["d"]),
        helper.make_node("Add", ["d", "m"], ["y"]),
    ]
    inputs = [("x", "float32", ["N", 2, 3]), ("n", "int64", ["N", 1, 1])]
    graph = graph_of(nodes, inputs, [("y", "float32", ["N", 2, 3])])
    schema = Schema(
        (),
        (TensorSpec("x", "float32", (None, 2, 3)), TensorSpec("n", "int64", (None, 1, 1))),
        (TensorSpec("y", "float32", (None, 2, 3)),),
    )
    x, n = np.arange(6, dtype=np.float32).reshape(1, 2, 3), np.full((1, 1, 1), 5)
    return write_bundle(graph, schema, samples=[Sample({"x": x, "n": n}, {"y": 2 * x + 5})], small=False)


@pytest.fixture(scope="session")
def model(fraud: Path) -> Model:
    """The guide's model, loaded."""
    return load(fraud)


@pytest.fixture(scope="session")
def client(fraud: Path) -> TestClient:
    """The guide's model behind FastAPI's own test client, as the guide does it."""
    return TestClient(create_app(fraud))


@pytest.fixture(scope="session")
def iris_client(irises: Path) -> TestClient:
    return TestClient(create_app(irises))


Serve = Callable[..., Running]


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """serve(path, "--option", …) -> a server that has said where it listens; whatever still runs is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path | str, *options: str, **environment: str) -> Running:
        command = [sys.executable, "-P", "-m", "edge_runtime", "serve", str(path), "--port", "0", *options]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kept | environment
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert " at http://127.0.0.1:" in line, process.communicate(timeout=10)
        return Running(process, int(line.split(",")[0].rpartition(":")[2]))

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def server(serve: Serve, fraud: Path) -> Running:
    """One server of the guide's model for all tests that leave it as it was."""
    return serve(fraud)
