"""`edge batch` as a process: what is printed, what is written, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pytest
from pyarrow import parquet

from .conftest import MODEL, Late, answers_in, same

File = Callable[..., Path]


def test_a_column_without_a_name_is_seen_in_the_summary(edge: Any, late: Late, late_file: File, tmp_path: Path) -> None:
    """As pandas writes its index into CSV."""
    rows = pandas.read_csv(late_file("rows.csv"))[[column.name for column in late.model.schema.columns]]
    rows.to_csv(tmp_path / "indexed.csv")
    done = edge("batch", late.bundle, tmp_path / "indexed.csv", "scored.csv")
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "  not taken by the model: ''")


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
    assert "FutureWarning" not in done.stderr
    assert "[Stage" not in done.stderr
    assert json.loads(done.stdout)["rows"] == 600
    table = parquet.read_table(tmp_path / "scored").sort_by("id")
    assert table.column("label").to_pylist() == late.outputs["label"].tolist()


def test_spark_without_java_is_one_sentence(edge: Any, late: Late, late_file: File, tmp_path: Path) -> None:
    """Whether there is none, or JAVA_HOME leads nowhere."""
    pytest.importorskip("pyspark")
    arguments = "batch", late.bundle, late_file("rows.parquet"), "scored", "--engine", "spark"
    wrong = edge(*arguments, JAVA_HOME=str(tmp_path))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith(f"edge: Spark needs Java, and JAVA_HOME is {tmp_path}, and there is no {tmp_path}/")
    assert wrong.stderr.endswith("; expected Java 17 or later, on PATH or in JAVA_HOME\n")
    none = edge(*arguments, JAVA_HOME="", PATH=str(tmp_path))
    expected = (
        "edge: Spark needs Java, and there is no java on PATH; expected Java 17 or later, on PATH or in JAVA_HOME\n"
    )
    assert (none.returncode, none.stderr) == (2, expected)


SLOWLY = """
import sys
from edge_runtime.batch import readers
from edge_runtime.cli import main
readers.BLOCK_ROWS = 1
sys.exit(main(["batch", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("sink", ["scored.parquet", "scored"])
def test_sigterm_leaves_nothing(late: Late, tmp_path: Path, sink: str) -> None:
    """The command ends as a process that the signal ended, and its half-written files are gone."""
    (tmp_path / "day").mkdir()
    parquet.write_table(pyarrow.concat_tables([late.table] * 100), tmp_path / "day" / "rows.parquet")
    command = [sys.executable, "-P", "-c", SLOWLY, str(late.bundle), "day", sink]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not any(name.endswith(".tmp") for name in os.listdir(tmp_path)):
            assert process.poll() is None
            time.sleep(0.02)
        process.terminate()
        shown = process.communicate(timeout=60)
    assert (process.returncode, *shown) == (143, b"", b"")
    assert os.listdir(tmp_path) == ["day"]


FULL = """
import resource, sys
from edge_runtime.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
sys.exit(main(["batch", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("folder", [False, True])
def test_a_disk_without_room_is_one_line(late: Late, late_file: File, tmp_path: Path, kind: str, folder: bool) -> None:
    """By the name of what is written, whatever it is called until then; nothing is left of it."""
    late_file(f"day/rows.{kind}", [*MODEL, "id"])
    sink = "scored" if folder else f"scored.{kind}"
    command = [sys.executable, "-P", "-c", FULL, str(late.bundle), "day", sink]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"edge: {sink}: file too large\n")
    assert os.listdir(tmp_path) == ["day"]
