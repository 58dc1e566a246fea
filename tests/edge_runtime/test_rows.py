"""Files of rows: what is read exactly, what is refused, and that what is written can be read again."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from edge_runtime.answers import check_target, write_rows, write_tensors
from edge_runtime.errors import InputError
from edge_runtime.rows import Rows, read_for, read_rows, read_tensors
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec

INFINITY = math.inf
SCHEMA = Schema(
    (
        ColumnSpec("count", "int64", True, "x", 0, -INFINITY, INFINITY),
        ColumnSpec("amount", "float64", True, "x", 1, -INFINITY, INFINITY),
        ColumnSpec("code", "str", True, "x", 2, categories=("007", "")),
        ColumnSpec("note", "str", False, "x", 3, categories=("",)),
        ColumnSpec("flag", "bool", True, "x", 4),
    ),
    (TensorSpec("x", "float64", (None, 5)),),
    (TensorSpec("prediction", "float64", (None,)),),
)
HEADER = "count,amount,code,note,flag\n"
OUTPUTS: dict[str, Any] = {
    "label": np.array(["yes", "no, never", "=1+1"], object),
    "score": np.array([0.1, 1 / 3, -0.0]),
    "sure": np.array([True, False, True]),
    "count": np.array([2**53 + 1, -1, 0]),
    "probabilities": np.array([[0.1, 0.9], [1e-300, 1.0], [2 / 3, 1 / 3]]),
}


def file(folder: Path, name: str, content: str | bytes) -> Path:
    """A file in ``folder``."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv_columns(folder: Path, content: str) -> dict[str, list[Any]]:
    """The columns of a CSV file, as a model of SCHEMA is given them."""
    data: dict[str, list[Any]] = read_for(SCHEMA, file(folder, "rows.csv", content)).data
    return data


def test_csv_numbers_are_the_written_ones(tmp_path: Path) -> None:
    """Integers beside empty fields stay integers of any size, floats are the nearest float64."""
    columns = csv_columns(tmp_path, HEADER + "9007199254740993,0.1,a,b,true\n,1e-3,a,b,\n 7 ,-0.0,a,b,False\n")
    assert columns["count"] == [9007199254740993, None, 7]
    assert list(map(repr, columns["amount"])) == ["0.1", "0.001", "-0.0"]
    assert columns["flag"] == [True, None, False]


def test_csv_text_stays_text(tmp_path: Path) -> None:
    """ "007" is no number and "NA" is Namibia; an empty field is missing where it may be, and empty text where not."""
    columns = csv_columns(tmp_path, HEADER + '1,1,007,NA,\n1,1,,,\n1,1,"a,\nb",null,\n')
    assert columns["code"] == ["007", None, "a,\nb"]
    assert columns["note"] == ["NA", "", "null"]


@pytest.mark.parametrize("text", ["NA", "1_000", "0x10", "1,5".replace(",", ";"), "1e999", "٣", "yes", "--1", "1 2"])
def test_csv_leaves_what_is_no_number_to_the_schema(tmp_path: Path, text: str) -> None:
    """The text itself is handed on, so that the refusal names column and row."""
    assert csv_columns(tmp_path, f"count\n{text}\n") == {"count": [text]}


def test_csv_has_missing_and_infinite_numbers_as_words(tmp_path: Path) -> None:
    """As pandas and others write them."""
    found = csv_columns(tmp_path, "amount\nNaN\nInfinity\n-inf\n")["amount"]
    assert found[0] != found[0]
    assert found[1:] == [INFINITY, -INFINITY]


def test_csv_may_begin_with_a_mark_and_hold_other_columns(tmp_path: Path) -> None:
    """A byte-order mark, as spreadsheets write it, is not part of the first name; names are kept for the report."""
    rows = read_for(SCHEMA, file(tmp_path, "rows.csv", b"\xef\xbb\xbfcount,id\r\n1,a\r\n\r\n"))
    assert rows == Rows({"count": [1], "id": ["a"]}, ("count", "id"))


def test_json_is_an_object_a_list_or_an_object_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object is told from a list of one, since its answer is one object too."""
    one, two = {"count": 1}, {"count": 2**70, "amount": None}
    assert read_for(SCHEMA, file(tmp_path, "a.json", json.dumps(one))) == Rows([one], single=True)
    assert read_for(SCHEMA, file(tmp_path, "a.json", json.dumps([one]))) == Rows([one])
    lines = f"{json.dumps(one)}\n\n{json.dumps(two)}\n"
    for name in ("a.json", "a.jsonl"):
        assert read_for(SCHEMA, file(tmp_path, name, lines)) == Rows([one, two])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(one, indent=2).encode())))
    assert read_for(SCHEMA, "-") == Rows([one], single=True)


def test_parquet_comes_as_arrow_and_keeps_its_integers(tmp_path: Path) -> None:
    """pandas would make floats of integers with gaps."""
    path = tmp_path / "part=1.parquet"
    parquet.write_table(pyarrow.table({"count": [2**53 + 1, None], "id": ["a", "b"]}), path)
    rows = read_for(SCHEMA, path)
    assert rows.data.column("count").to_pylist() == [2**53 + 1, None]
    assert rows.columns == ("count", "id")


def test_training_rows_have_their_types_inferred(tmp_path: Path) -> None:
    """Conversion has no schema yet: what pandas makes of the file is what the model was trained on."""
    frame = read_rows(file(tmp_path, "rows.csv", "a,b,c\n1,x,0.1\n2,NA,\n"))
    assert [str(kind) for kind in frame.dtypes] == ["int64", "str", "float64"]
    assert frame["b"].tolist() == ["x", "NA"]
    assert read_rows(file(tmp_path, "rows.jsonl", '{"a": 0.1}\n{"a": null}\n')) == [{"a": 0.1}, {"a": None}]


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("r.json", "", "it holds 0 values; expected an object, a list of objects, or an object a line"),
    "scalar": ("r.json", "3", "it holds a single int; expected an object, a list of objects, or an object a line"),
    "scalars": ("r.json", "1 2", "it holds 2 values; expected an object, a list of objects, or an object a line"),
    "no-rows": ("r.json", "[]", "there are no rows in it; expected at least one"),
    "no-lines": ("r.jsonl", "\n\n", "there are no rows in it; expected at least one"),
    "nan": ("r.json", '{"a": NaN}', "NaN is not JSON; a missing value is null"),
    "infinity": ("r.json", '{"a": -Infinity}', "-Infinity is not JSON; a missing value is null"),
    "overflow": ("r.json", '{"a": 1e999}', "1e999 is beyond float64"),
    "twice": ("r.json", '{"a": 1, "a": 2}', "an object has the key 'a' twice"),
    "broken": ("r.jsonl", '{"a": 1}\n{"a": }', "line 2: Expecting value, column 7"),
    "deep": ("r.json", "[" * 10**5, "it is nested too deep"),
    "deep-line": ("r.jsonl", '{"a": 1}\n' + "[" * 10**5, "line 2: it is nested too deep"),
    "digits": ("r.jsonl", '{"a": ' + "9" * 5000 + "}", "line 1: an integer of too many digits"),
    "latin": ("r.json", b'{"a": "\xe9"}', "line 1: not UTF-8 (byte 0xe9)"),
    "latin-line": ("r.jsonl", b'{"a": 1}\n{"a": "\xe9"}', "line 2: not UTF-8 (byte 0xe9)"),
    "latin-csv": ("r.csv", b"a\n\xe9\n", "not UTF-8 (byte 0xe9)"),
    "ragged": ("r.csv", "a,b\n1\n", "line 2 has 1 fields, the first line 2"),
    "names": ("r.csv", "a,a\n1,2\n", "two columns have one name (column 'a'); expected distinct names"),
    "header": ("r.csv", "a,b\n", "there are no rows in it; expected at least one"),
    "nothing": ("r.csv", "", "there are no rows in it; expected at least one"),
    "quote": ("r.csv", 'a\n"b\n', "unexpected end of data"),
    "parquet": ("r.parquet", b"PAR1", "Could not open Parquet input"),
    "kind": ("r.xlsx", "", "not a file that can be read here; expected .parquet, .csv, .jsonl or .json"),
}


@pytest.mark.parametrize(("name", "content", "says"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_read_whole_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    """One error, with the file and what is wrong with it."""
    path = file(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        read_for(SCHEMA, path)
    assert str(caught.value).startswith(f"{path}: {says}")
    assert "\n" not in str(caught.value)


def test_no_file_is_no_rows(tmp_path: Path) -> None:
    """Neither a missing file nor a folder is read."""
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(InputError, match=r"no such file; expected a \.csv file"):
            read_for(SCHEMA, tmp_path / name)


def test_csv_out_holds_every_number_exactly(tmp_path: Path) -> None:
    """Read back, each number has the same bits; a vector is a column per class."""
    path = tmp_path / "out.csv"
    write_rows(str(path), OUTPUTS, classes=("a", "b,c"))
    assert path.read_text(encoding="utf-8").splitlines() == [
        'label,score,sure,count,probabilities.a,"probabilities.b,c"',
        "yes,0.1,true,9007199254740993,0.1,0.9",
        '"no, never",0.3333333333333333,false,-1,1e-300,1.0',
        "=1+1,-0.0,true,0,0.6666666666666666,0.3333333333333333",
    ]


@pytest.mark.parametrize(
    ("classes", "names"), [((False, True), ["p.false", "p.true"]), ((3, 7), ["p.3", "p.7"]), (None, ["p.0", "p.1"])]
)
def test_csv_columns_are_called_after_the_classes(tmp_path: Path, classes: Any, names: list[str]) -> None:
    """Or counted, where there are none."""
    path = tmp_path / "out.csv"
    write_rows(str(path), {"p": np.array([[0.5, 0.5]])}, classes=classes)
    assert path.read_text().splitlines()[0].split(",") == names


def test_json_out_has_words_for_numbers_that_json_lacks(tmp_path: Path) -> None:
    """A file that every JSON reader reads, in ASCII, numbers exact."""
    outputs = {
        "a": np.array([math.nan, 0.1, -INFINITY]),
        "b": np.array([[INFINITY], [1.0], [1 / 3]]),
        "c": OUTPUTS["label"],
    }
    wanted = [
        {"a": "NaN", "b": ["Infinity"], "c": "yes"},
        {"a": 0.1, "b": [1.0], "c": "no, never"},
        {"a": "-Infinity", "b": [1 / 3], "c": "=1+1"},
    ]
    for name in ("out.json", "out.jsonl"):
        write_rows(str(tmp_path / name), outputs)
    assert json.loads((tmp_path / "out.json").read_text(encoding="ascii")) == wanted
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="ascii").splitlines()] == wanted
    write_rows(str(tmp_path / "out.json"), {"a": np.array([1])}, single=True)
    assert (tmp_path / "out.json").read_text() == '{"a": 1}\n'


def test_parquet_out_has_lists_and_says_which_model(tmp_path: Path) -> None:
    """A vector is one list column; the file carries the model's digest."""
    path = tmp_path / "out.parquet"
    write_rows(str(path), OUTPUTS, about={"edge_runtime.digest": "sha256:0"})
    table = parquet.read_table(path)
    assert table.to_pydict() == {name: array.tolist() for name, array in OUTPUTS.items()}
    assert str(table.schema.field("probabilities").type) == "list<element: double>"
    assert table.schema.metadata[b"edge_runtime.digest"] == b"sha256:0"


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing is one step: a full disk neither truncates the old file nor leaves a temporary one."""
    path = file(tmp_path, "out.csv", "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_rows(str(path), OUTPUTS)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_tensors_travel_as_npz_without_pickles(tmp_path: Path) -> None:
    """Numbers of any shape and text; an array of objects is refused, since reading it would run code."""
    path = tmp_path / "t.npz"
    written = {"a": np.zeros((2, 3, 4), np.float32), "t": np.array(["x", "yz"], object)}
    write_tensors(str(path), written)
    found = read_tensors(path)
    assert found["a"].dtype.name == "float32"
    assert found["a"].shape == (2, 3, 4)
    assert found["t"].tolist() == ["x", "yz"]
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(InputError, match="allow_pickle=False"):
        read_tensors(path)
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"t\.npz: "):
        read_tensors(path)


def test_a_target_is_checked_before_the_work(tmp_path: Path) -> None:
    """A wrong suffix or a folder that is not there is found at once."""
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(
        InputError, match=r"out\.xls: not a name to write to; expected one that ends in \.csv or \.json"
    ):
        check_target("out.xls", (".csv", ".json"))
    with pytest.raises(InputError, match="there is no folder"):
        check_target(str(tmp_path / "none" / "out.csv"), (".csv",))
    with pytest.raises(InputError, match="it is a folder"):
        check_target(str(tmp_path / "a.csv"), (".csv",))
    check_target("out.CSV", (".csv",))
