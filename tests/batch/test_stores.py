"""Object stores by fsspec: memory, and S3 as moto serves it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from pyarrow import parquet

from edge_runtime.batch import score
from edge_runtime.errors import InputError

from .conftest import MODEL, Late, answers_in, same


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's files in memory, empty before and after."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    """A server that speaks S3, with the bucket `day`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.mkdir("day")
    yield files
    server.stop()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_memory_in_and_out(late: Late, memory: fsspec.AbstractFileSystem, tmp_path: Path, kind: str) -> None:
    """A folder of files, each under its own name."""
    for part in range(2):
        table = late.table.select([*MODEL, "id"]).slice(300 * part, 300)
        with memory.open(f"memory://day/{part}.parquet", "wb") as file:
            parquet.write_table(table, file)
    report = score(late.bundle, "memory://day", f"memory://scored/all.{kind}")
    assert (report.files, report.rows) == (2, 600)
    memory.get("/scored", str(tmp_path / "scored"), recursive=True)
    assert same(answers_in(tmp_path / "scored" / f"all.{kind}", late.outputs, ["0", "1"]), late.outputs)
    score(late.bundle, f"memory://scored/all.{kind}", f"memory://again.{kind}", keep=["id"])
    assert memory.exists(f"memory://again.{kind}")


def test_nothing_is_left_in_memory_after_a_failure(late: Late, memory: fsspec.AbstractFileSystem) -> None:
    """Not even the files of a folder that were whole."""
    for part, hours in enumerate((late.table.column("hour"), [1.5] * 600)):
        with memory.open(f"memory://day/{part}.parquet", "wb") as file:
            parquet.write_table(
                late.table.select(MODEL).drop_columns("hour").append_column("hour", [hours] if part else hours), file
            )
    with pytest.raises(InputError, match=r"day/1.parquet: got float 1.5 \(column 'hour', row 0\)"):
        score(late.bundle, "memory://day/*.parquet", "memory://scored")
    assert [path for path in memory.find("/") if "scored" in path] == []


def test_s3_in_and_out(
    late: Late, s3: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads are completed together, or not at all; a bucket that is not there is one line."""
    source = tmp_path / "rows.parquet"
    parquet.write_table(late.table, source, row_group_size=200)
    s3.put(str(source), "day/rows.parquet")
    report = score(late.bundle, "s3://day/rows.parquet", "s3://day/scored.parquet")
    assert report.rows == 600
    s3.get("day/scored.parquet", str(tmp_path / "scored.parquet"))
    assert same(answers_in(tmp_path / "scored.parquet", late.outputs), late.outputs)

    with s3.open("day/bad.csv", "w") as file:
        file.write(",".join(MODEL) + "\n" + "1,2,3,AA,JFK\n" * 5 + "x,2,3,AA,JFK\n")
    with pytest.raises(InputError, match=r"s3://day/bad.csv: got str 'x' \(column 'hour', row 5\)"):
        score(late.bundle, "s3://day/bad.csv", "s3://day/bad.jsonl")
    s3.invalidate_cache()
    assert sorted(os.path.basename(path) for path in s3.ls("day")) == ["bad.csv", "rows.parquet", "scored.parquet"]
    assert s3.call_s3("list_multipart_uploads", Bucket="day").get("Uploads", []) == []
    with pytest.raises(InputError, match="it is read and written"):
        score(late.bundle, "s3://day/bad.csv", "s3://day/bad.csv")
    with pytest.raises(InputError, match="no such file"):
        score(late.bundle, "s3://nowhere/rows.parquet", "s3://day/x.parquet")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError):
        score(late.bundle, "s3://day/bad.csv", "s3://day/bad.jsonl")
