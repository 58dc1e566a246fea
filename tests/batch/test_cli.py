"""`edge batch` as a process: what is printed, what is written, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from .conftest import Late, answers_in, same

File = Callable[..., Path]


def test_a_run_ends_with_a_summary(edge: Any, late: Late, late_file: File, tmp_path: Path) -> None:
    """Counts, speed, distribution, where it is; no progress where nobody looks."""
    source = late_file("rows.parquet")
    done = edge("batch", late.bundle, source, "scored.parquet", "--keep", "id,hour")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("600 rows scored by flights 1.2.0 in ")
    assert lines[0].endswith(" rows/s")
    assert lines[1] == "  not taken by the model: id, seen, fare, route, class"
    assert lines[2].startswith("  label: 0 ")
    assert lines[4].startswith("  probabilities.1: 0.")
    assert lines[-1] == f"written to scored.parquet, {late.model.digest}"
    assert same(answers_in(tmp_path / "scored.parquet", late.outputs), late.outputs)
    assert parquet.read_schema(tmp_path / "scored.parquet").names[:3] == ["hour", "id", "label"]


def test_json_is_the_report(edge: Any, late: Late, late_file: File) -> None:
    """For a program to read."""
    done = edge("batch", late.bundle, late_file("rows.csv"), "scored.csv", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["rows"], report["files"], report["model_digest"]) == (600, 1, late.model.digest)
    assert sum(report["labels"]["label"].values()) == report["scores"]["probabilities.0"]["count"] == 600


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none.parquet", "out.parquet"), "edge: none.parquet: no such file or folder; expected"),
        (("rows.parquet", "rows.parquet"), "edge: rows.parquet: it is read and written; expected"),
        (("rows.parquet", "out.csv", "--keep", "ids"), "a column to keep is missing (column 'ids'); expected 'id'"),
        (("rows.parquet", "out.csv", "--engine", "dask"), "'dask' is not one of"),
    ],
)
def test_mistakes_are_one_line(edge: Any, late: Late, late_file: File, arguments: tuple[str, ...], says: str) -> None:
    """On standard error, with status 2."""
    late_file("rows.parquet")
    done = edge("batch", late.bundle, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_a_terminal_sees_progress(late: Late, late_file: File, tmp_path: Path) -> None:
    """Rows, rows/s and the time left, on standard error."""
    master, slave = pty.openpty()
    paths = map(str, (late.bundle, late_file("rows.parquet"), "out.parquet"))
    command = [sys.executable, "-P", "-m", "edge_runtime", "batch", *paths]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=slave, env=environment, timeout=60)
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert done.returncode == 0
    assert "100%" in shown
    assert "600 rows" in shown
    assert "rows/s" in shown


def test_spark_from_the_command_line(edge: Any, java: None, late: Late, late_file: File, tmp_path: Path) -> None:
    """A session of its own; a mistake is one line behind what the JVM prints as it starts."""
    source = late_file("rows.parquet")
    local = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_SUBMIT_ARGS": "--master local[1] --driver-memory 1g pyspark-shell"}
    done = edge("batch", late.bundle, source, "scored", "--engine", "spark", "--json", "--keep", "id", **local)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 600
    table = parquet.read_table(tmp_path / "scored").sort_by("id")
    assert table.column("label").to_pylist() == late.outputs["label"].tolist()
