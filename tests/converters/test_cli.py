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

import pytest

import edge_runtime
from edge_runtime.words import bytes_text

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
Flights = Any  # of tests/conftest.py

STAGES = [
    "read the model and its data, lower it",
    "compare all rows with the source",
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
    "target": (["--target", "lat"], "the target is not in the data (column 'lat')"),
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
