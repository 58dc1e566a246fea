"""JSON values that go into columns: types of all of them, or the line of the first that has none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from edge_runtime.batch import score
from edge_runtime.errors import InputError

from .conftest import Iris

SURROGATE = "\ud800"
DEEP: Any = json.loads("[" * 900 + "]" * 900)
REFUSED: dict[str, tuple[list[Any], str, str]] = {
    "beyond": ([1, 10**30], "parquet", "line 2: an integer beyond 64 bits"),
    "beyond-int64": ([1, 2, 3, 2**63], "csv", "line 4: an integer beyond 64 bits"),
    "text-then-number": (["a", 1], "parquet", "line 2: values of several kinds"),
    "number-then-text": ([1, None, "a"], "csv", "line 3: values of several kinds"),
    "number-then-bool": ([1, True], "parquet", "line 2: values of several kinds"),
    "bool-then-number": ([True, True, True, 1], "parquet", "line 4: values of several kinds"),
    "list-then-object": ([[1], {"a": 1}], "parquet", "line 2: values of several kinds"),
    "nested": ([{"a": 1}, None, {"a": "x"}], "parquet", "line 3: values of several kinds"),
    "rounded": ([2**53 + 1, 1.5], "parquet", "line 1: an integer that float64 would round"),
    "rounded-later": ([1.5, 1, 2, 2**53 + 1], "csv", "line 4: an integer that float64 would round"),
    "rounded-inside": ([[1, 2], [2**53 + 1, 1.5]], "parquet", "line 2: Integer value"),
    "surrogate": (["a", SURROGATE], "csv", "line 2: text with half a character"),
    "surrogate-key": ([{SURROGATE: 1}], "parquet", "line 1: text with half a character"),
    "empty-objects": ([None, None, {}, {}], "parquet", "line 3: objects without any key"),
}


def written(iris: Iris, path: Path, values: list[Any]) -> Path:
    """Flowers with ``values`` under the key `n`, and an empty line in front."""
    rows = iris.frame[: len(values)].to_dict("records")
    path.write_text("".join(json.dumps(row | {"n": value}) + "\n" for row, value in zip(rows, values, strict=True)))
    return path


@pytest.mark.parametrize("block", [2, 100])
@pytest.mark.parametrize(("values", "kind", "says"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_no_column_holds_is_refused_by_line(
    iris: Iris,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: list[Any],
    kind: str,
    says: str,
    block: int,
) -> None:
    """By column as well, whatever block it falls into, and nothing is written."""
    monkeypatch.setattr("edge_runtime.batch.json_reader.RECORDS", block)
    source = written(iris, tmp_path / "rows.jsonl", values)
    with pytest.raises(InputError, match=rf"^{source}: {says}.* \(column 'n'\); expected --keep without it") as caught:
        score(iris.bundle, source, tmp_path / f"scored.{kind}")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["rows.jsonl"]
    score(iris.bundle, source, tmp_path / f"scored.{kind}", keep=["petal_width"])
    score(iris.bundle, source, tmp_path / "scored.jsonl")
    lines = (tmp_path / "scored.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["n"] for line in lines] == values


@pytest.mark.parametrize("block", [1, 100])
def test_types_are_those_of_all_values(iris: Iris, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Integers beside fractions, objects of different keys, empty lists."""
    monkeypatch.setattr("edge_runtime.batch.json_reader.RECORDS", block)
    for values, expected in (
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([{"a": 1}, {}, {"b": [0.5]}], [{"a": 1, "b": None}, {"a": None, "b": None}, {"a": None, "b": [0.5]}]),
        ([[], [None], [2**60]], [[], [None], [2**60]]),
        ([None, None], [None, None]),
    ):
        score(iris.bundle, written(iris, tmp_path / "rows.jsonl", values), tmp_path / "scored.parquet")
        assert parquet.read_table(tmp_path / "scored.parquet").column("n").to_pylist() == expected


def test_deep_nesting_is_one_error(iris: Iris, tmp_path: Path) -> None:
    """Where text is made of it; by column and row."""
    source = written(iris, tmp_path / "rows.jsonl", [[], DEEP])
    with pytest.raises(InputError, match=r"rows.jsonl: a value is nested too deep \(column 'n'"):
        score(iris.bundle, source, tmp_path / "scored.csv")
    assert os.listdir(tmp_path) == ["rows.jsonl"]
