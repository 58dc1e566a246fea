"""Targets: whatever can be measured becomes one call that rotates its inputs and knows which answers are right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

import edge_runtime
from edge_runtime.benchmarks import Settings, Target, measure
from edge_runtime.benchmarks.opening import open_target
from edge_runtime.errors import EdgeError, InputError
from edge_runtime.parallel import usable_cores

called: list[None] = []


def callable_here() -> None:
    """What the tests name as module:function."""
    called.append(None)


def test_a_models_golden_rows_are_asked_in_turn(make_model: Callable[..., Any]) -> None:
    """One row repeated would flatter: all of them come, one after the other, from the first in each new call."""
    model = make_model()
    target = open_target(model)
    for _ in range(2):
        call = target.new_call()
        model.asked.clear()
        for _ in range(7):
            call()
        assert [row["amount"] for row in model.asked] == [0, 1, 2, 0, 1, 2, 0]
    assert target.name == "fraud 2.1.0"
    assert target.work == "predict_one, 3 golden rows in turn"
    assert target.rotation == 3
    assert target.threads == 1


def test_golden_answers_are_told_from_wrong_ones(make_model: Callable[..., Any]) -> None:
    """Each against its own row; a missing output, or one more, is wrong."""
    check = open_target(make_model()).check
    assert check is not None
    assert check(0, {"label": 1})
    assert check(0, {"label": 1})
    assert not check(0, {"label": 2})
    assert not check(1, {})
    assert not check(1, {"label": 1, "more": 2})


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool"])
def test_a_model_without_rows_gets_made_up_tensors(make_model: Callable[..., Any], dtype: str) -> None:
    """They have the schema's dtype and shape, one row each, and vary from call to call."""
    model = make_model(rows=0, dtype=dtype)
    run = measure(model, seconds=1e-9)
    assert run.answers_right is None
    assert run.work == "run, 16 made-up inputs in turn"
    assert {(feeds["x"].dtype.name, feeds["x"].shape) for feeds in model.asked} == {(dtype, (1, 4))}
    assert len({feeds["x"].tobytes() for feeds in model.asked}) > 4


def test_text_is_not_made_up(make_model: Callable[..., Any]) -> None:
    """A model that takes text and has no rows cannot be timed honestly."""
    with pytest.raises(ValueError, match="text cannot be made up"):
        open_target(make_model(rows=0, dtype="str"))


def test_a_file_goes_by_its_name(real_bundle: Path, bare_graph: Path) -> None:
    """Without its folder; a bundle answers golden rows, a bare graph takes tensors."""
    bundle, graph = open_target(str(real_bundle)), open_target(bare_graph)
    assert (bundle.name, graph.name) == ("real.edge", "bare.onnx")
    assert bundle.work == "predict_one, 3 golden rows in turn"
    assert graph.work == "run, 16 made-up inputs in turn"
    assert bundle.verify is not None
    assert bundle.verify()
    assert graph.verify is None


def test_a_variant_is_named_behind_the_bundle(real_bundle: Path) -> None:
    """One that is there is opened, another is refused with those that are."""
    variant = edge_runtime.load(real_bundle).variant
    assert open_target(f"{real_bundle}#{variant}").name == f"real.edge#{variant}"
    with pytest.raises(InputError, match="there is no variant 'int3'"):
        open_target(f"{real_bundle}#int3")


@pytest.mark.parametrize("batch", [1, 2, 50])
def test_batches_start_at_different_rows_and_are_checked(real_bundle: Path, batch: int) -> None:
    """Columns of golden rows, wrapped around; the answers are those of the rows."""
    opened = open_target(str(real_bundle))
    assert opened.batch is not None
    target = opened.batch(batch)
    call = target.new_call()
    answers: list[Any] = [call() for _ in range(target.rotation)]
    assert all(len(answer["prediction"]) == batch for answer in answers)
    assert len({answer["prediction"][0] for answer in answers}) == 3
    assert target.check is not None
    assert all(target.check(i, answer) for i, answer in enumerate(answers))
    assert not target.check(0, {"prediction": answers[0]["prediction"] + 1})


def test_batches_of_a_bare_graph_are_tensors(bare_graph: Path) -> None:
    """As many rows as asked for."""
    opened = open_target(str(bare_graph))
    assert opened.batch is not None
    answer: Any = opened.batch(5).new_call()()
    assert {len(array) for array in answer.values()} == {5}


@pytest.mark.parametrize(
    "settings",
    [Settings(spinning=True), Settings(spinning=False), Settings(optimisation="disabled"),
     Settings(provider="CPUExecutionProvider", threads=1)],
)  # fmt: skip
def test_settings_take_a_session_of_their_own(real_bundle: Path, settings: Settings) -> None:
    """Asked with tensors of the golden rows, held against what edge-runtime answers."""
    target = open_target(str(real_bundle), settings)
    answer: Any = target.new_call()()
    assert answer[0].shape[0] == 1
    assert target.verify is not None
    assert target.verify()
    assert target.work.startswith("session.run, 3 golden rows as tensors in turn; ")
    assert target.batch is not None
    many: Any = target.batch(4).new_call()()
    assert len(many[0]) == 4


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"threads": 0}, "threads is 0; expected 1 to "),
        ({"threads": usable_cores() + 1}, f"threads is {usable_cores() + 1}; expected 1 to {usable_cores()}"),
        ({"optimisation": "most"}, "optimisation is 'most'; expected one of"),
        ({"provider": "Abacus"}, "there is no provider 'Abacus' here; expected one of"),
    ],
)
def test_settings_that_this_machine_lacks_are_refused(wrong: dict[str, Any], says: str) -> None:
    """With those that it has."""
    with pytest.raises(InputError, match=says):
        Settings(**wrong)


def test_rows_come_from_a_file_if_one_is_given(real_bundle: Path, tmp_path: Path) -> None:
    """JSON Lines or CSV without any package; columns that the model does not have are left out."""
    rows = [{f"x{i}": float(row + i) for i in range(8)} for row in range(5)]
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(json.dumps(row | {"id": 7}) for row in rows))
    table = tmp_path / "rows.csv"
    table.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]))
    for path in (lines, table):
        target = open_target(str(real_bundle), inputs=str(path))
        call = target.new_call()
        answers: list[Any] = [call() for _ in range(5)]
        assert [answer["prediction"] for answer in answers] == [sum(row.values()) for row in rows]
        assert target.rotation == 5
        assert target.check is None
        assert target.work == f"predict_one, 5 rows of {path} in turn"


def test_tensors_come_from_an_npz(bare_graph: Path, tmp_path: Path) -> None:
    """One row each."""
    name = edge_runtime.load(bare_graph).schema.inputs[0].name
    spec = edge_runtime.load(bare_graph).schema.inputs[0]
    tensors: Any = {name: np.ones((3, *(size or 1 for size in spec.shape[1:])), spec.dtype)}
    np.savez(tmp_path / "rows.npz", **tensors)
    assert open_target(str(bare_graph), inputs=str(tmp_path / "rows.npz")).rotation == 3


def test_a_function_is_named_by_its_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One of the current folder too."""
    (tmp_path / "some_rival.py").write_text("class Model:\n    @staticmethod\n    def ask():\n        return 3\n")
    monkeypatch.chdir(tmp_path)
    target = open_target("some_rival:Model.ask")
    assert target.name == "some_rival:Model.ask"
    assert target.new_call()() == 3
    for wrong, says in (
        ("some_rival:nothing", "has no attribute 'nothing'"),
        ("no_rival:ask", "No module named 'no_rival'"),
        ("some_rival:__doc__", "is NoneType; expected a function"),
    ):
        with pytest.raises(InputError, match=says):
            open_target(wrong)


def test_a_callable_is_called_as_it_is() -> None:
    """By its own name, without a frame around it."""
    target = open_target(callable_here)
    assert target.new_call() is callable_here
    assert target.name == "callable_here"
    assert open_target(target) is target


def test_what_takes_no_settings_refuses_them(make_model: Callable[..., Any]) -> None:
    """A callable, a function, a model that has its session."""
    with pytest.raises(InputError, match="a callable takes neither settings nor rows"):
        open_target(callable_here, Settings(threads=1))
    with pytest.raises(InputError, match="a function takes neither settings nor rows"):
        open_target("math:pi", Settings(threads=1))
    with pytest.raises(InputError, match="a Model has its session already"):
        open_target(make_model(), Settings(threads=1))


def test_what_cannot_be_called_is_refused() -> None:
    """Neither model, path nor callable."""
    with pytest.raises(TypeError, match="cannot measure a int; expected a Model, a path, a URL or a callable"):
        open_target(3)  # type: ignore[arg-type]


class Adding(BaseHTTPRequestHandler):
    """A server that answers the sum of what it is sent, wrongly on /wrong, not at all elsewhere."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_POST(self) -> None:
        """Answer one row."""
        row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = sum(row.values()) + (self.path == "/wrong")
        body = json.dumps({"prediction": found, "model_version": "1"}).encode()
        self.send_response(200 if self.path in ("/predict", "/wrong") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """A real server on a free port: its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Adding) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_a_url_is_sent_golden_rows_and_its_answers_are_checked(server: str, real_bundle: Path) -> None:
    """Rows and right answers come from the bundle that it serves."""
    run = measure(f"{server}/predict", seconds=0.05, inputs=str(real_bundle))
    assert run.answers_right is True
    assert run.answers_checked > 0
    assert run.work == "POST, 3 golden rows in turn, one connection"
    assert measure(f"{server}/wrong", seconds=0.05, inputs=str(real_bundle)).answers_right is False


def test_a_server_that_does_not_answer_is_no_fast_one(server: str, real_bundle: Path, tmp_path: Path) -> None:
    """A refusal is an error, not a latency; so is nobody listening, and nothing to send."""
    rows = tmp_path / "rows.json"
    rows.write_text('[{"x0": 1.0}]')
    with pytest.raises(InputError, match=r"answered 404: .* expected 200"):
        measure(f"{server}/elsewhere", seconds=0.05, inputs=str(rows))
    with pytest.raises(EdgeError, match=r"http://127\.0\.0\.1:9/ does not answer: connection refused; expected"):
        measure("http://127.0.0.1:9/", seconds=0.05, inputs=str(rows))
    for url in ("http://host:port/", "http:///predict", "http://[::1/"):
        with pytest.raises(InputError, match="expected http://host:port/path"):
            open_target(url, inputs=str(rows))
    with pytest.raises(InputError, match="a server has no rows of its own"):
        open_target(f"{server}/predict")


def test_a_target_may_be_made_by_hand() -> None:
    """The type is public: whoever has a loop of their own gives its call."""
    assert measure(Target(name="mine", new_call=lambda: callable_here), seconds=1e-9).target == "mine"
