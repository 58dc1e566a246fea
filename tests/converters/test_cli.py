"""`edge convert`, as a process: from a model's file to a bundle, or to a refusal that says why."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest

import edge_runtime
from edge_runtime.converters.cli import convert as command
from edge_runtime.converters.cli import share
from edge_runtime.converters.precision.budget import OBJECTIVES, UNITS
from edge_runtime.converters.precision.metric import METRICS
from edge_runtime.words import bytes_text

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
Flights = Any  # of tests/conftest.py

CONTEXT = click.Context(command)
MAX_DROP = next(option for option in command.params if option.name == "max_drop")
STAGES = [
    "read the model and its data, lower it",
    "compare with the source, on all data",
    "compare edge rows: missing, infinite, unknown",
    "replay golden rows",
]


def test_convert_writes_a_bundle_and_sums_up(edge: Edge, flights: Flights, tmp_path: Path) -> None:
    """Stages on standard error, the outcome on standard output, and a file that answers as the source does."""
    done = edge(
        "convert", flights.model, "-o", "late.edge", "--data", flights.rows, "--target", "late",
        "--version", "2.1.0", "--trust",
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.splitlines() == STAGES
    model = edge_runtime.load(tmp_path / "late.edge")
    size = re.escape(bytes_text((tmp_path / "late.edge").stat().st_size))
    lines = done.stdout.splitlines()
    assert lines[0] == "late 2.1.0"
    assert re.fullmatch(
        rf"600 rows checked: 0 labels differ, \|Δ probabilities\| ≤ \de-1\d; {size}; one row [\d.]+ µs", lines[1]
    )
    assert lines[-1] == f"written to late.edge, {model.digest}"
    assert any("the same bits" in line for line in lines[2:-1])
    assert model.predict(flights.frame)["label"].shape == (600,)


def test_convert_carries_the_decision(edge: Edge, flights: Flights, tmp_path: Path) -> None:
    """The app gets the names that were asked for; as JSON, nothing but the report is printed."""
    done = edge(
        "convert", flights.model, "-o", "late.edge", "--data", flights.rows, "--target", "late", "--trust", "--json",
        "--name", "late flights", "--score", "risk", "--decision", "is_late", "--threshold", "0.25",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    model = edge_runtime.load(tmp_path / "late.edge", digest=data["digest"])
    assert (data["name"], data["version"], data["path"]) == ("late flights", "0", "late.edge")
    assert data["size"] == (tmp_path / "late.edge").stat().st_size
    assert data["report"]["rows"] == 600
    assert data["report"]["largest"].keys() == {"risk"}
    assert data["one_row_ns"] > 0
    row = {"hour": 17, "distance": 200, "air_time": None, "carrier": "UA", "origin": "EWR"}
    answer = model.predict_one(row)
    assert answer["is_late"] is (answer["risk"] > 0.25)


def test_a_terminal_sees_bars(flights: Flights, tmp_path: Path) -> None:
    """Each stage has one, up to its end."""
    reader, writer = pty.openpty()
    command = [sys.executable, "-P", "-m", "edge_runtime", "convert", str(flights.model), "-o", "t.edge", "--trust"]
    process = subprocess.Popen(
        [*command, "--data", str(flights.rows), "--target", "late"],
        cwd=tmp_path, stderr=writer, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(writer)
    seen = b""
    try:
        while part := os.read(reader, 4096):
            seen += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(reader)
    assert process.wait(60) == 0
    text = seen.decode()
    assert all(stage in text for stage in STAGES)
    assert "\x1b[" in text


WRONG = {
    "output-name": (["-o", "x.onnx"], "x.onnx: not a name to write to; expected one that ends in .edge"),
    "output-folder": (["-o", "none/x.edge"], "none/x.edge: there is no folder none; expected a folder that exists"),
    "no-data": (["--data", "none.parquet"], "none.parquet: no such file"),
    "half-a-decision": (["--score", "s"], "a decision needs both --score and --decision (see edge convert --help)"),
    "threshold": (
        ["--score", "s", "--decision", "d", "--threshold", "7"],
        "threshold is 7.0; expected a probability, 0 to 1 (see edge convert --help)",
    ),
    "target": (["--target", "lat"], "target: not in the data (column 'lat')"),
    "max-drop": (
        ["--max-drop", "5"],
        "Invalid value for '--max-drop': '5' is not a share; expected 0 or more and less",
    ),
    "metric": (["--max-drop", "1%", "--metric", "f1"], "metric 'f1'; expected one of agreement, accuracy"),
    "limit": (["--require", "size<1MB"], "'size<1MB' is no limit; expected one such as size<=1MB"),
    "report": (["--report", "x.pdf"], "x.pdf: not a name to write to; expected one that ends in .html"),
    "images": (["--preprocess", __file__], f"{__file__}: no JSON ("),
    "dtype": (["--input-dtype", "int8"], "Invalid value for '--input-dtype': 'int8' is not one of"),
}


@pytest.mark.parametrize(("options", "says"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_one_line_and_writes_nothing(
    edge: Edge, flights: Flights, tmp_path: Path, options: list[str], says: str
) -> None:
    """A later option wins, so each case is one mistake in a call that is right otherwise."""
    right = ["-o", "x.edge", "--data", str(flights.rows), "--target", "late", "--trust"]
    done = edge("convert", flights.model, *right, *options)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"edge: {says}")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("*.edge")) == []


@pytest.mark.parametrize(
    ("text", "value"), [("0.005", 0.005), ("0.5%", 0.005), (" 0.5 % ", 0.005), ("0", 0.0), ("99.9%", 0.999)]
)
def test_a_share_is_a_number_or_a_percentage(text: str, value: float) -> None:
    """Both are written in practice."""
    assert share(CONTEXT, MAX_DROP, text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["0.5%%", "half", "", "%", "-1%", "1", "100%", "nan", "inf"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """1 or more would let everything be lost."""
    with pytest.raises(click.BadParameter, match=r"as 0\.005 or 0\.5%"):
        share(CONTEXT, MAX_DROP, text)


def test_the_help_names_every_metric_and_objective() -> None:
    """It cannot look them up: they would load numpy for --help."""
    text = {option.name: str(getattr(option, "help", "")) for option in command.params}
    assert [name for name in METRICS if not re.search(rf"\b{name}\b", text["metric"])] == []
    objective = next(option for option in command.params if option.name == "objective")
    assert isinstance(objective.type, click.Choice)
    assert tuple(objective.type.choices) == OBJECTIVES
    assert [unit for unit in UNITS if f"'{unit}<=" not in text["require"]] == []


@pytest.fixture
def network(graph_of: Callable[..., bytes], tmp_path: Path) -> Path:
    """A folder with net.onnx, scores of 4 classes from 64 numbers, and 400 samples of it."""
    rng = np.random.default_rng(0)
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["h"]),
        onnx.helper.make_node("Relu", ["h"], ["r"]),
        onnx.helper.make_node("MatMul", ["r", "v"], ["z"]),
        onnx.helper.make_node("Softmax", ["z"], ["scores"], axis=-1),
    ]
    weights = {
        "w": rng.normal(size=(64, 128)).astype(np.float32) / 8, "v": rng.normal(size=(128, 4)).astype(np.float32)
    }  # fmt: skip
    graph = graph_of(nodes, [("x", "float32", [None, 2, 64])], [("scores", "float32", [None, 2, 4])], weights)
    (tmp_path / "net.onnx").write_bytes(graph)
    np.savez(tmp_path / "samples.npz", x=rng.normal(size=(400, 2, 64)).astype(np.float32))
    return tmp_path


def test_a_network_comes_out_smaller_and_the_report_says_how(edge: Edge, network: Path) -> None:
    """With --json nothing else is printed; the page holds what the JSON does; the bundle opens."""
    done = edge(
        "convert", "net.onnx", "-o", "net.edge", "--data", "samples.npz", "--max-drop", "5%", "--objective", "size",
        "--require", "ratio<=50", "--report", "net.html", "--json",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    precision = json.loads(done.stdout)["precision"]
    chosen = [each for each in precision["candidates"] if each["verdict"] == "chosen"]
    assert len(chosen) == 1
    assert chosen[0]["size_ratio"] < 0.6
    assert chosen[0]["certified_loss"]["high"] <= 0.05
    page = (network / "net.html").read_text(encoding="utf-8")
    assert f"{chosen[0]['name']} is chosen: " in page
    assert all(each["name"] in page for each in precision["candidates"])
    model = edge_runtime.load(network / "net.edge")
    assert [model.variant] == precision["shipped"]


def test_a_demand_that_nothing_keeps_is_status_1(edge: Edge, network: Path) -> None:
    """In one line, and nothing is written."""
    done = edge(
        "convert", "net.onnx", "-o", "net.edge", "--data", "samples.npz", "--max-drop", "5%", "--objective", "size",
        "--require", "size<=100B",
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"size<=100B was demanded$", done.stderr)
    assert not (network / "net.edge").exists()


def test_a_pickle_is_opened_only_on_trust(edge: Edge, flights: Flights) -> None:
    """Opening one runs its code, so the person has to say so."""
    done = edge("convert", flights.model, "-o", "x.edge", "--data", flights.rows)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"edge: {flights.model} is a pickle, and opening one runs whatever code is in it;"
        " if you trust where it comes from: trust=True, or --trust on the command line"
    )


def test_a_conversion_that_answers_otherwise_is_shown_and_not_written(
    edge: Edge, flights: Flights, tmp_path: Path
) -> None:
    """Trees behind a rotation go through skl2onnx, which moves rows across thresholds: status 1, rows side by side."""
    import joblib
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    numbers = flights.frame[["hour", "distance", "air_time"]]
    model = make_pipeline(SimpleImputer(), PCA(3, random_state=0), HistGradientBoostingClassifier(max_iter=50))
    joblib.dump(model.fit(numbers, numbers["hour"] * 7 % 5 > 2), tmp_path / "pca.joblib")
    numbers.to_parquet(tmp_path / "numbers.parquet")
    done = edge("convert", "pca.joblib", "-o", "pca.edge", "--data", "numbers.parquet", "--trust")
    assert done.returncode == 1
    assert done.stdout == ""
    first, *rows = [line for line in done.stderr.splitlines() if line not in STAGES]
    assert re.fullmatch(r"edge: the converted model does not answer as its source: .*; nothing was written", first)
    assert re.match(r"  row \d+: hour=", rows[0])
    assert any(re.match(r"    probabilities: source \[.*\], model \[", row) for row in rows)
    assert not (tmp_path / "pca.edge").exists()
