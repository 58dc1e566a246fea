"""Files in, files out: the same answers whatever the kind, what stays, what is added, what is refused, what appears."""

from __future__ import annotations

import csv
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
from pyarrow import parquet

import edge_runtime
from edge_runtime.batch import score
from edge_runtime.errors import InputError

from .conftest import MODEL, Iris, Late, answers_in, same

HEADER = b"hour,distance,air_time,carrier,origin\n"
UUID = pyarrow.array([b"0123456789abcdef"], pyarrow.uuid())
KINDS = [".parquet", ".csv", ".jsonl"]
File = Callable[..., Path]


@pytest.mark.parametrize(("given", "wanted"), list(itertools.product(KINDS, KINDS)))
def test_answers_are_those_of_predict(late: Late, late_file: File, tmp_path: Path, given: str, wanted: str) -> None:
    """From every kind of file to every kind, to the bit."""
    source, sink = late_file(f"rows{given}", [*MODEL, "id"]), tmp_path / f"scored{wanted}"
    report = score(late.bundle, source, sink)
    assert report.rows == 600
    assert report.not_taken == ("id",)
    assert same(answers_in(sink, late.outputs, ["0", "1"]), late.outputs)


@pytest.mark.parametrize("rows", [1, 7, 128, 600])
@pytest.mark.parametrize("kind", [".parquet", ".jsonl"])
def test_the_block_does_not_matter(
    late: Late, late_file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, kind: str
) -> None:
    """The same bits whether rows come one by one or all together."""
    monkeypatch.setattr("edge_runtime.batch.readers.BLOCK_ROWS", rows)
    monkeypatch.setattr("edge_runtime.batch.json_reader.RECORDS", rows)
    sink = tmp_path / "scored.parquet"
    score(late.model, late_file(f"rows{kind}"), sink)
    assert same(answers_in(sink, late.outputs), late.outputs)


def test_parquet_keeps_columns_as_they_are(late: Late, late_file: File, tmp_path: Path) -> None:
    """Nulls, times, decimals, nested and coded columns come back with their types, in their order, before what is
    added."""
    score(late.bundle, late_file("rows.parquet"), tmp_path / "scored.parquet")
    table = parquet.read_table(tmp_path / "scored.parquet")
    assert table.select(late.table.column_names).equals(late.table)
    added = ["label", "probabilities", "model_version", "model_digest", "score_timestamp"]
    assert table.column_names == [*late.table.column_names, *added]
    assert table.schema.field("probabilities").type == pyarrow.list_(pyarrow.float64())


def test_pandas_reads_the_index_back(late: Late, tmp_path: Path) -> None:
    """What pandas wrote into the file's metadata stays, so its index and types do."""
    frame = late.table.select(MODEL).to_pandas().set_index(pandas.Index(range(1000, 1600), name="row"))
    frame.to_parquet(tmp_path / "rows.parquet")
    score(late.bundle, tmp_path / "rows.parquet", tmp_path / "scored.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "scored.parquet")[MODEL], frame)


def test_every_row_says_what_answered_it_and_when(late: Late, late_file: File, tmp_path: Path) -> None:
    """One version, one digest, one time in UTC for a run."""
    before = datetime.now(UTC)
    report = score(late.bundle, late_file("rows.parquet"), tmp_path / "scored.parquet")
    table = parquet.read_table(
        tmp_path / "scored.parquet", columns=["model_version", "model_digest", "score_timestamp"]
    )
    (stamps,) = {tuple(row.values()) for row in table.to_pylist()}
    assert stamps[:2] == ("1.2.0", late.model.digest) == (report.model_version, report.model_digest)
    assert before <= stamps[2] <= datetime.now(UTC)
    assert datetime.fromisoformat(report.score_timestamp) == stamps[2]
    assert table.schema.field("score_timestamp").type == pyarrow.timestamp("us", "UTC")


def test_csv_stays_as_it_was_written(iris: Iris, tmp_path: Path) -> None:
    """The text of a field is copied, quotes and line ends in it too; vectors become one column per class."""
    lines = ["sepal_length,sepal_width,petal_length,petal_width,code,note"]
    lines += ['5.10,3.50,1.40,0.20,007,"a, ""b""\nc"', "5.9,3.0,5.1,1.8,,"]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    score(iris.bundle, tmp_path / "rows.csv", tmp_path / "scored.csv")
    with open(tmp_path / "scored.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    probabilities = [f"probabilities.{kind}" for kind in ("setosa", "versicolor", "virginica")]
    assert header[:10] == [*lines[0].split(","), "label", *probabilities]
    assert rows[0][:6] == ["5.10", "3.50", "1.40", "0.20", "007", 'a, "b"\nc']
    assert rows[1][:6] == ["5.9", "3.0", "5.1", "1.8", "", ""]
    assert [row[6] for row in rows] == ["setosa", "virginica"]
    assert rows[0][-1].endswith("Z")


def test_kept_columns_in_csv_and_json(late: Late, late_file: File, tmp_path: Path) -> None:
    """Times and decimals as text, a coded column as its text, nested values as JSON."""
    for kind in ("csv", "jsonl"):
        score(late.bundle, late_file("rows.parquet"), tmp_path / f"scored.{kind}")
    record = json.loads((tmp_path / "scored.jsonl").read_text(encoding="utf-8").splitlines()[2])
    with open(tmp_path / "scored.csv", encoding="utf-8", newline="") as file:
        row = list(csv.DictReader(file))[2]
    assert record["route"] == json.loads(row["route"]) == {"via": ["A", "B"], "legs": 2}
    assert record["fare"] == row["fare"] == "0.02"
    assert record["class"] == row["class"] == "Y"
    assert record["seen"] == row["seen"] == "1970-01-01 00:00:02.000006Z"
    assert datetime.fromisoformat(record["seen"]).tzinfo is not None


def test_json_objects_stay_as_they_are(iris: Iris, tmp_path: Path) -> None:
    """Ragged, mixed and nested values, and keys that only later objects have."""
    row = dict(zip(iris.frame.columns, iris.frame.iloc[0].tolist(), strict=True))
    records = [row | {"tag": 1}, row | {"tag": "x", "more": {"a": [None, 1.5]}}, row | {"when": "é"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n\n", encoding="utf-8")
    score(iris.bundle, tmp_path / "rows.jsonl", tmp_path / "scored.jsonl")
    found = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [
        {k: v for k, v in each.items() if k in record} for each, record in zip(found, records, strict=True)
    ] == records
    assert found[0]["probabilities"] == iris.outputs["probabilities"][0].tolist()


def test_json_types_are_found_before_parquet_is_written(
    iris: Iris, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that begins with nulls or integers has the type that all its values need."""
    monkeypatch.setattr("edge_runtime.batch.json_reader.RECORDS", 2)
    row = dict(zip(iris.frame.columns, iris.frame.iloc[0].tolist(), strict=True))
    records = [row | {"a": None, "b": 1}, row | {"b": 2}, row | {"a": "x", "b": 2.5}, row | {"c": [1]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    score(iris.bundle, tmp_path / "rows.jsonl", tmp_path / "scored.parquet")
    table = parquet.read_table(tmp_path / "scored.parquet")
    assert table.column("a").to_pylist() == [None, None, "x", None]
    assert table.column("b").to_pylist() == [1.0, 2.0, 2.5, None]
    assert table.column("c").to_pylist() == [None, None, None, [1]]


def test_mixed_json_values_are_no_parquet_column(iris: Iris, tmp_path: Path) -> None:
    """They are refused by name, and nothing is written."""
    row = dict(zip(iris.frame.columns, iris.frame.iloc[0].tolist(), strict=True))
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row | {"tag": tag}) for tag in (1, "x")))
    with pytest.raises(InputError, match=r"rows.jsonl: line 2: values of several kinds .*'tag'.*--keep"):
        score(iris.bundle, tmp_path / "rows.jsonl", tmp_path / "scored.parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_keep_names_what_stays(late: Late, late_file: File, tmp_path: Path, kind: str) -> None:
    """In the input's order; the model's columns go unless they are named."""
    sink = tmp_path / f"scored{kind}"
    score(late.bundle, late_file(f"rows{kind}"), sink, keep=["id", "hour"])
    if kind == ".parquet":
        names = parquet.read_schema(sink).names
    else:
        first = sink.read_text(encoding="utf-8").splitlines()[0]
        names = first.split(",") if kind == ".csv" else list(json.loads(first))
    assert names[:3] == ["hour", "id", "label"]
    assert same(answers_in(sink, late.outputs, ["0", "1"]), late.outputs)


def test_a_scored_file_can_be_scored_again(late: Late, late_file: File, tmp_path: Path) -> None:
    """Not with the old answers in it, but without them."""
    score(late.bundle, late_file("rows.parquet"), tmp_path / "once.parquet")
    with pytest.raises(InputError, match=r"once.parquet: 5 columns have names of what is added \('label', .*--keep"):
        score(late.bundle, tmp_path / "once.parquet", tmp_path / "twice.parquet")
    score(late.bundle, tmp_path / "once.parquet", tmp_path / "twice.parquet", keep=["id"])
    assert same(answers_in(tmp_path / "twice.parquet", late.outputs), late.outputs)


def test_an_unknown_column_to_keep_is_refused(late: Late, late_file: File, tmp_path: Path) -> None:
    """With the name that was meant."""
    with pytest.raises(InputError, match=r"a column to keep is missing.*'ids'.*expected 'id'"):
        score(late.bundle, late_file("rows.parquet"), tmp_path / "scored.parquet", keep=["ids"])


# Columns that do not fit


def test_every_difference_is_listed_at_once(late: Late, tmp_path: Path) -> None:
    """Missing columns, wrong types and what would be right, in one line, before anything is written."""
    table = late.table.select(["distance", "air_time", "carrier"]).rename_columns(["distance", "airtime", "carrier"])
    table = table.set_column(0, "distance", table.column(0).cast("string"))
    parquet.write_table(table.append_column("origin", pyarrow.array([1.5] * 600)), tmp_path / "rows.parquet")
    with pytest.raises(InputError) as caught:
        score(late.bundle, tmp_path / "rows.parquet", tmp_path / "scored.parquet")
    message = str(caught.value)
    assert "rows.parquet: 4 columns do not fit the model: 'hour' is missing, 'distance' is string" in message
    assert "'air_time' is missing (there is 'airtime'), 'origin' is double; expected hour int64, distance " in message
    assert message.endswith("origin str")
    assert os.listdir(tmp_path) == ["rows.parquet"]


def test_a_decimal_is_no_number(late: Late, tmp_path: Path) -> None:
    """It may be kept, but is not fed: float64 would round it."""
    table = late.table.drop_columns("distance").append_column("distance", late.table.column("fare"))
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r"'distance' is decimal128\(9, 2\); expected distance"):
        score(late.bundle, tmp_path / "rows.parquet", tmp_path / "scored.parquet")


@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
def test_missing_columns_of_text_files(late: Late, late_file: File, tmp_path: Path, kind: str) -> None:
    """CSV and JSON Lines have no types, but names."""
    source = late_file(f"rows{kind}", ["hour", "carrier", "id"])
    with pytest.raises(InputError, match=r"3 columns do not fit.*'distance' is missing, 'air_time' .*'origin'"):
        score(late.bundle, source, tmp_path / "scored.parquet")


def test_json_of_another_type_is_refused_as_a_column(iris: Iris, tmp_path: Path) -> None:
    """Where no value is of the column's kind, it is the column that is wrong."""
    rows = iris.frame.astype({"sepal_width": str}).assign(petal_width=True).to_dict("records")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match=r"2 columns do not fit.*'sepal_width' is string, 'petal_width' is bool"):
        score(iris.bundle, tmp_path / "rows.jsonl", tmp_path / "scored.jsonl")


@pytest.mark.parametrize("kind", [".parquet", ".csv"])
def test_two_columns_of_one_name_are_refused(late: Late, late_file: File, tmp_path: Path, kind: str) -> None:
    """Even where the model takes neither."""
    source = tmp_path / f"rows{kind}"
    if kind == ".parquet":
        names = [*late.table.column_names[:-1], "id"]
        parquet.write_table(late.table.rename_columns(names), source)
    else:
        text = late_file("rows.csv").read_text(encoding="utf-8").replace("origin,id", "id,id", 1)
        source.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"two columns have one name.*'id'"):
        score(late.bundle, source, tmp_path / "scored.csv")


# Values that do not fit


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_value_is_named_with_file_column_and_row(
    late: Late, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The row is the file's, whatever the block; nothing is half-written."""
    monkeypatch.setattr("edge_runtime.batch.readers.BLOCK_ROWS", 100)
    monkeypatch.setattr("edge_runtime.batch.json_reader.RECORDS", 100)
    source = tmp_path / f"rows{kind}"
    frame = late.table.select(MODEL).to_pandas().astype({"hour": float})
    frame.loc[432, "hour"] = 1.5
    if kind == ".parquet":
        frame.to_parquet(source)
    elif kind == ".csv":
        frame.to_csv(source, index=False)
    else:
        frame.to_json(source, orient="records", lines=True)
    with pytest.raises(InputError, match=r"got float 1.5 \(column 'hour', row 432\); expected an integer") as caught:
        score(late.bundle, source, tmp_path / "scored.parquet")
    assert str(caught.value).startswith(f"{source}: ")
    assert os.listdir(tmp_path) == [source.name]


def test_a_bad_file_of_many_leaves_nothing(late: Late, late_file: File, tmp_path: Path) -> None:
    """Nor does it touch what an earlier run left."""
    late_file("day/0.csv")
    text = late_file("day/1.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "day" / "1.csv").write_text("\n".join([*text[:5], "x" + text[5], *text[6:]]), encoding="utf-8")
    (tmp_path / "scored.csv").write_text("of yesterday")
    for sink in ("scored.csv", "scored"):
        with pytest.raises(InputError, match=r"day/1.csv: got str 'x.*\(column 'hour', row 4\)"):
            score(late.bundle, tmp_path / "day", tmp_path / sink)
    assert sorted(os.listdir(tmp_path)) == ["day", "scored.csv"]
    assert (tmp_path / "scored.csv").read_text() == "of yesterday"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"PAR1 this is no parquet file PAR1", "rows.parquet: .*file"),
        (b"hour,distance\n", "rows.parquet: .*not a parquet file"),
    ],
)
def test_a_corrupt_parquet_file_is_one_line(late: Late, tmp_path: Path, content: bytes, says: str) -> None:
    """Before anything is written."""
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        score(late.bundle, tmp_path / "rows.parquet", tmp_path / "scored.parquet")
    assert "\n" not in str(caught.value)


def test_a_parquet_file_that_is_corrupt_further_on(late: Late, late_file: File, tmp_path: Path) -> None:
    """The footer is whole, the pages are not: still one line, and nothing written."""
    source = late_file("rows.parquet", MODEL)
    raw = bytearray(source.read_bytes())
    raw[len(raw) // 4 : len(raw) // 3] = np.random.default_rng(0).bytes(len(raw) // 3 - len(raw) // 4)
    source.write_bytes(raw)
    with pytest.raises(InputError, match=r"rows.parquet: ") as caught:
        score(late.bundle, source, tmp_path / "scored.parquet")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["rows.parquet"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.csv", b"", "the file is empty"),
        ("rows.csv", HEADER + b"1,2,3,AA,JFK\n\n1,2,3,AA\n", "row 1 has 4 fields, the header 5; expected"),
        ("rows.csv", HEADER + b"1,2,3,AA,JFK\n" * 9 + b"1,2,3,AA,JFK,1\n", "row 9 has 6 fields, the header 5; exp"),
        ("rows.csv", HEADER + b"1,2,3,AA,JFK\n1,2,3,AA," + b"x" * 9 * 2**20, "row 1 is longer than 4 MB, or a quoted"),
        ("rows.csv", HEADER + b'1,2,3,AA,"JFK\n1,2,3,AA,JFK\n', "a quoted field is not closed"),
        ("rows.csv", HEADER + b'1,2,3,AA,JFK\n1,2,"3,AA,JFK\n1,2,3,AA,JFK\n', "a quoted field is not closed, in row 1"),
        ("rows.csv", HEADER + b"1,2,3,\xff,JFK\n", "not UTF-8 in row 0 or further on"),
        ("rows.csv", "hour,distance\n1,2\n".encode("utf-16"), "the header is not UTF-8"),
        ("rows.jsonl", b"", "the file is empty"),
        ("rows.jsonl", b'{"hour": 1}\n[1]\n', "line 2 holds a list; expected an object a line"),
        ("rows.jsonl", b'{"hour": 1, "hour": 2}\n', "line 1: an object has the key 'hour' twice"),
        ("rows.jsonl", b'{"hour": NaN}\n', "line 1: NaN is not JSON"),
        ("rows.jsonl", b'{"hour": 1\n', "line 1: Expecting ',' delimiter, column 11; expected"),
        ("rows.jsonl", b'{"hour": 1}\n{"hour": "\xff"}\n', r"line 2: not UTF-8 \(byte 0xff\); expected"),
        ("rows.jsonl", b'{"hour": 1}\n{"hour": ' + b"9" * 5000 + b"}", "line 2: an integer of too many digits; exp"),
        ("rows.jsonl", b'{"hour": 1}\n' + b"[" * 100_000, "line 2: it is nested too deep; expected"),
    ],
)
def test_broken_text_files_are_refused(late: Late, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """By file and line where there is one; a quote that is never closed does not swallow the rest."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {says}"):
        score(late.bundle, tmp_path / name, tmp_path / "scored.jsonl")
    assert os.listdir(tmp_path) == [name]


def test_empty_lines_may_stand_before_a_header(late: Late, late_file: File, tmp_path: Path) -> None:
    """As pandas reads it, and `edge predict`."""
    source = late_file("rows.csv")
    source.write_bytes(b"\xef\xbb\xbf\r\n\n" + source.read_bytes())
    score(late.bundle, source, tmp_path / "scored.csv")
    assert same(answers_in(tmp_path / "scored.csv", late.outputs, ["0", "1"]), late.outputs)


def test_a_key_that_is_missing_further_on(late: Late, late_file: File, tmp_path: Path) -> None:
    """An object without one of the model's keys is refused, null is what says missing."""
    source = late_file("rows.jsonl")
    lines = source.read_text(encoding="utf-8").splitlines()
    lines[40] = json.dumps({key: value for key, value in json.loads(lines[40]).items() if key != "carrier"})
    source.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=r"the key is missing \(column 'carrier', row 40\)"):
        score(late.bundle, source, tmp_path / "scored.jsonl")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", KINDS[:2])
def test_no_rows_in_no_rows_out(late: Late, late_file: File, tmp_path: Path, given: str, kind: str) -> None:
    """A table without rows, unlike an empty file, has columns, and so has what is written."""
    sink = tmp_path / f"scored{kind}"
    report = score(late.bundle, late_file(f"rows{given}", [*MODEL, "id"], slice(0, 0)), sink)
    assert report.rows == 0
    if kind == ".parquet":
        assert parquet.read_table(sink).num_rows == 0
        assert parquet.read_schema(sink).field("label").type == pyarrow.int64()
    else:
        assert len(sink.read_text(encoding="utf-8").splitlines()) == (kind == ".csv")


# Places


def test_a_folder_gives_a_folder_of_the_same_names(late: Late, late_file: File, tmp_path: Path) -> None:
    """Below it too; hidden files and others are passed over."""
    for name, rows in (("a.parquet", slice(0, 200)), ("b/c.parquet", slice(200, 600))):
        late_file(f"day/{name}", rows=rows)
    for name in ("_SUCCESS", ".hidden.parquet", "_metadata.parquet", "notes.txt"):
        (tmp_path / "day" / name).write_text("no rows")
    (tmp_path / "scored").mkdir()
    report = score(late.bundle, tmp_path / "day", tmp_path / "scored")
    assert (report.files, report.rows) == (2, 600)
    assert (
        answers_in(tmp_path / "scored" / "a.parquet", late.outputs)["label"].tolist()
        == late.outputs["label"][:200].tolist()
    )
    found = answers_in(tmp_path / "scored" / "b" / "c.parquet", late.outputs)
    assert same(found, {name: array[200:] for name, array in late.outputs.items()})
    assert sorted(os.listdir(tmp_path / "scored")) == ["a.parquet", "b"]


def test_a_glob_gives_one_file_in_the_order_of_names(
    late: Late, late_file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative names are told as they were given."""
    for name, rows in (("2.parquet", slice(400, 600)), ("0.parquet", slice(0, 100)), ("1.parquet", slice(100, 400))):
        late_file(f"day/{name}", rows=rows)
    monkeypatch.chdir(tmp_path)
    report = score(late.bundle, "day/*.parquet", "scored.parquet")
    assert report.files == 3
    assert same(answers_in(tmp_path / "scored.parquet", late.outputs), late.outputs)


def test_one_file_wants_the_same_columns_of_all(late: Late, late_file: File, tmp_path: Path) -> None:
    """Two schemas cannot be one; a folder can hold both."""
    late_file("day/0.parquet", [*MODEL, "id"])
    late_file("day/1.parquet", [*MODEL, "fare"])
    with pytest.raises(InputError, match=r"1.parquet: other columns than .*0.parquet has \(fare, id\)"):
        score(late.bundle, tmp_path / "day", tmp_path / "scored.parquet")
    assert score(late.bundle, tmp_path / "day", tmp_path / "scored").rows == 1200


@pytest.mark.parametrize(
    ("source", "sink", "says"),
    [
        ("none.parquet", "out.parquet", "none.parquet: no such file or folder"),
        ("day/*.jsonl", "out.jsonl", "there is no file of rows"),
        ("bare", "out", "there is no file of rows"),
        ("mixed", "out", "there are files of .csv and .parquet"),
        ("rows.txt", "out.csv", "not a file that can be read here; expected .parquet, .csv or .jsonl"),
        ("rows.parquet", "out.txt", "not a name to write to"),
        ("rows.parquet", "none/out.csv", "there is no folder"),
        ("rows.parquet", "bare", "not a name to write to"),
        ("rows.parquet", "rows.parquet", "it is read and written"),
        ("rows.parquet", "./day/../rows.parquet", "it is read and written"),
        ("rows.parquet", "link.parquet", "it is read and written"),
        ("day", "day", "it lies within"),
        ("day", "day/scored", "it lies within"),
        ("day/*.parquet", "day/scored.parquet", "it lies within"),
        ("day", "mixed", "it is there already; expected a new or an empty folder"),
        ("day", "rows.txt.d/../rows.txt", "it is there already"),
        ("day/**/*.parquet", "day/scored", "it lies within"),
        ("d*/*.parquet", "day/scored.parquet", "it lies within"),
        ("", "out.parquet", "the name of what is read is empty"),
        ("rows.parquet", "", "the name of what is written is empty"),
        ("nowhere://x/rows.parquet", "out.parquet", "nowhere://x/rows.parquet: Protocol not known"),
        ("zip://a.parquet::rows.txt", "out.parquet", "zip://a.parquet::rows.txt: File is not a zip file; expected"),
        ("data:text/csv,a", "out.parquet", "data:text/csv,a: its file system failed"),
        ("http://127.0.0.1:9/a.parquet", "out.parquet", "http://127.0.0.1:9/a.parquet: Cannot connect to host"),
        ("ftp://127.0.0.1:9/a.parquet", "out.parquet", r"ftp://127.0.0.1:9/a.parquet: \[Errno 111\] Connection ref"),
        ("hdfs://x/a.parquet", "out.parquet", "hdfs://x/a.parquet: .{,99}; expected a place"),
        ("rows.parquet", "http://127.0.0.1:9/a.parquet", "http://127.0.0.1:9/a.parquet: "),
    ],
)
def test_places_that_will_not_do(
    late: Late, late_file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sink: str, says: str
) -> None:
    """Each is one error, before anything is read."""
    for name in ("rows.parquet", "day/0.parquet", "mixed/0.parquet", "mixed/1.csv"):
        late_file(name)
    for name in ("bare", "rows.txt.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "rows.txt").write_text("no rows")
    (tmp_path / "link.parquet").symlink_to("rows.parquet")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        score(late.bundle, source, sink)
    assert "\n" not in str(caught.value)


def test_a_place_beside_what_a_glob_reads_will_do(late: Late, late_file: File, tmp_path: Path) -> None:
    """Even within its folder, where the glob does not reach."""
    late_file("day/0.parquet")
    assert score(late.bundle, f"{tmp_path}/day/*.parquet", f"{tmp_path}/day/scored").rows == 600
    assert score(late.bundle, f"{tmp_path}/day/*.parquet", f"{tmp_path}/day/scored.csv").rows == 600


def test_a_file_that_is_there_is_replaced_in_one_step(late: Late, late_file: File, tmp_path: Path) -> None:
    """As `edge convert` and `edge predict` do; a reader of the old one keeps it."""
    sink = tmp_path / "scored.parquet"
    sink.write_text("of yesterday")
    with open(sink, encoding="utf-8") as old:
        score(late.bundle, late_file("rows.parquet"), sink)
        assert old.read() == "of yesterday"
    assert parquet.read_table(sink).num_rows == 600


# What is told


def test_progress_reaches_the_end(late: Late, late_file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and share grow over all files, up to all of them."""
    monkeypatch.setattr("edge_runtime.batch.readers.BLOCK_ROWS", 150)
    for name in ("0.parquet", "1.parquet"):
        late_file(f"day/{name}")
    told: list[tuple[int, float]] = []
    score(
        late.bundle, tmp_path / "day", tmp_path / "out.jsonl", progress=lambda rows, share: told.append((rows, share))
    )
    assert told == sorted(told)
    assert told[-1] == (1200, 1.0)
    assert (600, 0.5) in told


def test_the_report_counts_labels_and_scores(late: Late, late_file: File, tmp_path: Path) -> None:
    """Exactly, but for percentiles, which are within 0.1%."""
    report = score(late.bundle, late_file("rows.parquet"), tmp_path / "scored.parquet")
    values, counts = np.unique(late.outputs["label"], return_counts=True)
    assert report.labels == {
        "label": dict(sorted(zip(map(str, values), counts.tolist(), strict=True), key=lambda p: -p[1]))
    }
    second = late.outputs["probabilities"][:, 1]
    found = report.scores["probabilities.1"]
    assert (found.count, found.not_finite) == (600, 0)
    assert (found.least, found.largest) == (second.min(), second.max())
    assert found.mean == pytest.approx(second.mean())
    exact = np.percentile(second, list(found.percentiles), method="inverted_cdf")
    np.testing.assert_allclose(list(found.percentiles.values()), exact, rtol=1e-3)


def test_a_model_of_tensors_is_refused(tmp_path: Path, graph_of: Any) -> None:
    """It has no columns that a row could fill."""
    from onnx import helper

    graph = graph_of(
        [helper.make_node("Neg", ["x"], ["y"])], [("x", "float32", (None, 3))], [("y", "float32", (None, 3))]
    )
    (tmp_path / "plain.onnx").write_bytes(graph)
    with pytest.raises(InputError, match=r"plain takes tensors \(x\), not rows"):
        score(tmp_path / "plain.onnx", "rows.csv", "out.csv")


def test_a_model_may_be_open_already(late: Late, late_file: File, tmp_path: Path) -> None:
    """With the threads that it was loaded with."""
    one = edge_runtime.load(late.bundle, threads=1)
    score(one, late_file("rows.parquet"), tmp_path / "scored.parquet")
    assert same(answers_in(tmp_path / "scored.parquet", late.outputs), late.outputs)


def test_a_key_of_what_is_added_does_not_get_lost(iris: Iris, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the first object that has it comes late."""
    monkeypatch.setattr("edge_runtime.batch.json_reader.RECORDS", 2)
    records = [*iris.frame[:4].to_dict("records"), {**iris.frame.iloc[4], "label": "mine"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, records)))
    with pytest.raises(InputError, match=r"rows.jsonl: a key is that of what is added \(column 'label', row 4\)"):
        score(iris.bundle, tmp_path / "rows.jsonl", tmp_path / "scored.jsonl")
    assert os.listdir(tmp_path) == ["rows.jsonl"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_bytes_have_no_form_in_text(iris: Iris, tmp_path: Path, kind: str) -> None:
    """They go into Parquet, or stay behind."""
    iris.frame.assign(raw=b"\xff").to_parquet(tmp_path / "rows.parquet")
    says = r"rows.parquet: a column of bytes has no form in text \(column 'raw'\); expected --keep without it"
    with pytest.raises(InputError, match=says):
        score(iris.bundle, tmp_path / "rows.parquet", tmp_path / f"scored.{kind}")
    assert os.listdir(tmp_path) == ["rows.parquet"]


def test_missing_and_infinite_numbers_in_text(late: Late, late_file: File, tmp_path: Path) -> None:
    """A kept NaN is null in JSON and a word in CSV; infinity is a word in both."""
    table = late.table.select([*MODEL, "id"])
    table = table.append_column("far", pyarrow.array([float("nan"), float("inf"), None, 0.1] * 150))
    parquet.write_table(table, tmp_path / "rows.parquet")
    for kind in ("csv", "jsonl"):
        score(late.bundle, tmp_path / "rows.parquet", tmp_path / f"scored.{kind}", keep=["far"])
    records = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text(encoding="utf-8").splitlines()]
    with open(tmp_path / "scored.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [record["far"] for record in records[:4]] == [None, "Infinity", None, 0.1]
    assert [row["far"] for row in rows[:4]] == ["NaN", "Infinity", "", "0.1"]


def test_memory_does_not_grow_with_the_rows(iris: Iris, tmp_path: Path) -> None:
    """A table of 20 MB passes through a fraction of that."""
    frame = pandas.concat([iris.frame] * 4000, ignore_index=True)
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=100_000)
    program = (
        "import sys, pyarrow\n"
        "from edge_runtime.batch import score, readers, writers\n"
        "readers.BLOCK_ROWS = writers.ROW_GROUP = 2048\n"
        "report = score(*sys.argv[1:])\n"
        "print(report.rows, pyarrow.default_memory_pool().max_memory())"
    )
    command = [sys.executable, "-P", "-c", program, iris.bundle, tmp_path / "rows.parquet", tmp_path / "out.parquet"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    rows, most = map(int, done.stdout.split())
    assert rows == 600_000
    assert most < 0.35 * frame.memory_usage().sum()


@pytest.mark.parametrize(
    ("column", "kind", "says"),
    [
        (UUID, "csv", "the type arrow.uuid has no form in text"),
        (pyarrow.ListArray.from_arrays([0, 1], UUID), "jsonl", "the type arrow.uuid has no form in text"),
        (pyarrow.array([[b"\xff"]]), "jsonl", "a column of bytes has no"),
        (pyarrow.array([[2**62]], pyarrow.list_(pyarrow.timestamp("us"))), "csv", "a nested value has no text"),
        (
            pyarrow.array([{"a": [2**62]}], pyarrow.struct([("a", pyarrow.list_(pyarrow.timestamp("us")))])),
            "jsonl",
            "a",
        ),
    ],
)
def test_what_text_has_no_form_for_is_refused_by_column(
    iris: Iris, tmp_path: Path, column: pyarrow.Array, kind: str, says: str
) -> None:
    """Nothing is written."""
    table = pyarrow.Table.from_pandas(iris.frame[:1], preserve_index=False).append_column("odd", column)
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=rf"rows.parquet: {says}.* \(column 'odd'\); expected --keep without it"):
        score(iris.bundle, tmp_path / "rows.parquet", tmp_path / f"scored.{kind}")
    assert os.listdir(tmp_path) == ["rows.parquet"]


@pytest.mark.parametrize("first", [1, 9])
def test_a_key_to_keep_may_come_late(iris: Iris, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """One of any object will do, into every kind of file."""
    monkeypatch.setattr("edge_runtime.batch.json_reader.RECORDS", 4)
    rows = iris.frame[:12].to_dict("records")
    rows[first] |= {"late": "x"}
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for kind in ("jsonl", "parquet", "csv"):
        score(iris.bundle, tmp_path / "rows.jsonl", tmp_path / f"scored.{kind}", keep=["late"])
        with pytest.raises(InputError, match="a column to keep is missing"):
            score(iris.bundle, tmp_path / "rows.jsonl", tmp_path / f"none.{kind}", keep=["later"])
    assert parquet.read_table(tmp_path / "scored.parquet").column("late").to_pylist()[first] == "x"
