"""Spark: the same bits, what stays and what is added, errors that say where, and one bundle for all executors."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from edge_runtime.batch.spark import score
from edge_runtime.batch.spark_files import score_files
from edge_runtime.batch.spark_session import interruptible
from edge_runtime.errors import BundleError, InputError

from .conftest import MODEL, Iris, Late, same

File = Callable[..., Path]


def answers_of(rows: list[Any], outputs: Any) -> Any:
    """The outputs in collected rows, in the dtypes of ``outputs``."""
    return {name: np.asarray([row[name] for row in rows], array.dtype) for name, array in outputs.items()}


def test_answers_are_those_of_predict(spark: Any, late: Late, late_file: File) -> None:
    """To the bit, over four partitions and batches that divide no block; other columns stay as they are."""
    frame = spark.read.parquet(str(late_file("rows.parquet"))).repartition(4)
    before = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "37")
    try:
        scored = score(frame, late.bundle)
        rows = scored.orderBy("id").collect()
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", before)
    assert same(answers_of(rows, late.outputs), late.outputs)
    added = ["label", "probabilities", "model_version", "model_digest", "score_timestamp"]
    assert scored.columns == [*late.table.column_names, *added]
    assert dict(scored.dtypes) | {
        "label": "bigint",
        "probabilities": "array<double>",
        "score_timestamp": "timestamp",
    } == dict(scored.dtypes)
    assert [row["fare"] for row in rows] == late.table.column("fare").to_pylist()
    assert [row["route"].asDict() for row in rows] == late.table.column("route").to_pylist()
    assert {(row["model_version"], row["model_digest"]) for row in rows} == {("1.2.0", late.model.digest)}
    assert len({row["score_timestamp"] for row in rows}) == 1
    shipped = [file for file in spark.sparkContext.listFiles if file.endswith(".edge")]
    score(frame, late.bundle)
    assert [file for file in spark.sparkContext.listFiles if file.endswith(".edge")] == shipped


def test_text_labels_and_keep(spark: Any, iris: Iris, tmp_path: Path) -> None:
    """Two models in one session do not meet."""
    iris.frame.assign(row=range(150)).to_parquet(tmp_path / "rows.parquet")
    frame = spark.read.parquet(str(tmp_path / "rows.parquet"))
    rows = score(frame, iris.bundle, keep=["row"]).orderBy("row").collect()
    assert same(answers_of(rows, iris.outputs), iris.outputs)
    assert list(rows[0].asDict())[:3] == ["row", "label", "probabilities"]


def test_columns_that_do_not_fit_are_refused_at_once(spark: Any, late: Late, late_file: File) -> None:
    """Before a task starts."""
    frame = spark.read.parquet(str(late_file("rows.parquet")))
    with pytest.raises(
        InputError, match=r"the DataFrame: 2 columns do not fit.*'distance' is missing, 'origin' is double"
    ):
        score(frame.drop("distance").withColumn("origin", frame.air_time), late.bundle)
    with pytest.raises(InputError, match="a column has the name of what is added"):
        score(frame.withColumn("label", frame.hour), late.bundle)
    with pytest.raises(InputError, match="'Label' and 'label' differ in case only"):
        score(frame.withColumn("Label", frame.hour), late.bundle)


def test_files_appear_whole_with_a_report(spark: Any, late: Late, late_file: File, tmp_path: Path) -> None:
    """A folder of Parquet, counted by Spark."""
    sink = tmp_path / "scored"
    report = score_files(spark, late.bundle, str(late_file("rows.parquet")), str(sink), keep=["id"])
    table = parquet.read_table(sink).sort_by("id")
    found = {name: np.array(table.column(name).to_pylist(), array.dtype) for name, array in late.outputs.items()}
    assert same(found, late.outputs)
    assert (report.rows, report.files) == (600, 1)
    assert report.labels["label"] == {str(k): int((late.outputs["label"] == k).sum()) for k in (0, 1)}
    scores = report.scores["probabilities.1"]
    second = late.outputs["probabilities"][:, 1]
    assert (scores.count, scores.least, scores.largest) == (600, second.min(), second.max())
    with pytest.raises(InputError, match="scored: it is there already"):
        score_files(spark, late.bundle, str(late_file("rows.parquet")), str(sink))


def test_a_bad_value_is_one_line_and_leaves_nothing(spark: Any, late: Late, tmp_path: Path) -> None:
    """By partition, column and row in it."""
    hours = [float(hour) for hour in late.table.column("hour").to_pylist()]
    hours[9] = 1.5
    table = late.table.select(MODEL[1:]).append_column("hour", [hours])
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(
        InputError, match=r"rows.parquet: partition 0: got float 1.5 \(column 'hour', row 9\); exp"
    ) as caught:
        score_files(spark, late.bundle, str(tmp_path / "rows.parquet"), str(tmp_path / "scored"))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["rows.parquet"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("none.parquet", "none.parquet: no such file or folder"),
        ("rows.csv", "Spark reads Parquet here; expected Parquet, or --engine pandas"),
        ("corrupt.parquet", "corrupt.parquet"),
        ("", "the name of what is read is empty"),
    ],
)
def test_places_that_will_not_do(spark: Any, late: Late, tmp_path: Path, source: str, says: str) -> None:
    """One line each."""
    (tmp_path / "corrupt.parquet").write_bytes(b"PAR1 no parquet PAR1")
    (tmp_path / "rows.csv").write_text("hour\n1\n")
    with pytest.raises(InputError, match=says) as caught:
        score_files(spark, late.bundle, str(tmp_path / source) if source else "", str(tmp_path / "scored"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "scored").exists()
    with pytest.raises(BundleError):
        score(spark.range(1), tmp_path / "corrupt.parquet")


def test_a_folder_is_what_it_is_to_the_other_engine(spark: Any, late: Late, late_file: File, tmp_path: Path) -> None:
    """Files below it, with names that Spark would take for a glob, and columns whose names are its syntax; times go out
    as every reader has them."""
    table = late.table.select([*MODEL, "id"]).rename_columns([*MODEL, "the.`id` ü"])
    beside = pyarrow.array([0] * 600, pyarrow.timestamp("ns"))
    for name, rows in (("a.parquet", (0, 400)), ("b [1] {x,y}/c*.parquet", (400, 200))):
        path = tmp_path / "day" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table.append_column("seen", beside).slice(*rows), path)
    (tmp_path / "day" / "_old.parquet").write_text("passed over")
    (tmp_path / "scored").mkdir()
    before = spark.conf.get("spark.sql.parquet.outputTimestampType")
    report = score_files(spark, late.bundle, f"{tmp_path}/day", f"{tmp_path}/scored", keep=["the.`id` ü"])
    assert spark.conf.get("spark.sql.parquet.outputTimestampType") == before
    assert (report.rows, report.files, report.not_taken) == (600, 2, ("the.`id` ü", "seen"))
    found = parquet.read_table(tmp_path / "scored").sort_by("the.`id` ü")
    assert found.column_names[:3] == ["the.`id` ü", "label", "probabilities"]
    assert found.column("label").to_pylist() == late.outputs["label"].tolist()
    assert found.schema.field("score_timestamp").type == pyarrow.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("source", "sink", "says"),
    [
        ("lacks", "out", r"lacks/sub/1.parquet: a column does not fit the model: 'hour' is missing"),
        ("more", "out", r"more/1.parquet: other columns than .*more/0.parquet has \(fare\).*or --engine pandas"),
        ("wider", "out", r"wider/1.parquet: other columns than .*wider/0.parquet has \(distance\)"),
        ("nanos", "out", r"nanos/0.parquet: Spark has no times in nanoseconds \(column 'seen'\); expected micros"),
        ("more", "out.parquet", "out.parquet: Spark writes a folder of files; expected a name without .parquet"),
        ("more", "none/out", "there is no folder .*none"),
        ("more", "wider", "it is there already"),
        ("more", "", "the name of what is written is empty"),
        ("more", "more/out", "it lies within"),
        ("lacks/**/*.parquet", "lacks/out", "it lies within"),
    ],
)
def test_what_would_go_wrong_is_refused_before_a_task_starts(
    spark: Any, late: Late, late_file: File, tmp_path: Path, source: str, sink: str, says: str
) -> None:
    """A column that a file lacks would be null, and one that only some have would be dropped."""
    late_file("lacks/0.parquet", MODEL)
    late_file("lacks/sub/1.parquet", MODEL[1:])
    late_file("more/0.parquet", MODEL)
    late_file("more/1.parquet", [*MODEL, "fare"])
    late_file("wider/0.parquet", MODEL)
    narrow = late.table.select(MODEL).set_column(1, "distance", late.table.column("distance").cast("float32"))
    parquet.write_table(narrow, tmp_path / "wider" / "1.parquet")
    (tmp_path / "nanos").mkdir()
    nanos = late.table.append_column("when", pyarrow.array([0] * 600)).drop_columns("seen")
    nanos = nanos.append_column("seen", pyarrow.array([0] * 600, pyarrow.timestamp("ns")))
    parquet.write_table(nanos, tmp_path / "nanos" / "0.parquet")
    with pytest.raises(InputError, match=says):
        score_files(spark, late.bundle, str(tmp_path / source), str(tmp_path / sink) if sink else "")
    assert sorted(os.listdir(tmp_path)) == ["lacks", "more", "nanos", "wider"]


def test_a_signal_ends_the_jobs(spark: Any) -> None:
    """At once, and Spark can be talked to afterwards."""

    class Ended(BaseException):
        """What the signal raises."""

    def end(*_: object) -> None:
        raise Ended

    def work() -> None:
        spark.sparkContext.parallelize([0], 1).foreach(lambda _: time.sleep(600))

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Ended):
            interruptible(spark, work)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert spark.range(3).count() == 3
