"""The document: what the device wrote is what the workstation reads, and nothing else is read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.benchmarks.document import Document, read_document
from edge_runtime.benchmarks.figures import csv_of
from edge_runtime.benchmarks.screen import document_text
from edge_runtime.errors import InputError


@pytest.fixture
def stored(full_document: Document, tmp_path: Path) -> Path:
    """A document in a file."""
    path = tmp_path / "run.json"
    path.write_text(json.dumps(full_document.to_json()))
    return path


def test_a_document_survives_its_file(full_document: Document, stored: Path) -> None:
    """Every sample and every figure, so that both machines show the same screen."""
    found = read_document(str(stored))
    assert np.array_equal(found.runs[0].latency_ns, full_document.runs[0].latency_ns)
    assert found.figures() == full_document.figures()
    assert document_text(found) == document_text(full_document)


def test_the_form_of_the_document_is_this_one(full_document: Document) -> None:
    """Who changes a key changes docs/benchmarking.md, and maybe the number of the format."""
    data = full_document.to_json()
    assert data["format"] == 1
    assert list(data) == [
        "format", "target", "model", "environment", "runs", "rate_search", "sweeps", "cold_start", "memory", "energy",
        "profile", "comparisons", "gate", "notes", "status", "advice", "figures", "verdicts",
    ]  # fmt: skip
    assert list(data["runs"][0]) == [
        "target", "work", "scenario", "rows", "latency_ns", "at_ns", "process_calls", "warmup_ns", "warmup_calls",
        "steady", "service_ns", "rate_per_s", "own_cost_ns", "answers_checked", "answers_right", "environment",
        "conditions",
    ]  # fmt: skip
    assert list(data["figures"][0]) == ["part", "setting", "figure", "value", "low", "high", "unit"]
    assert [each["verdict"] for each in data["verdicts"]] == ["faster", "unfit", "unfit"]


def test_every_key_of_the_form_is_documented(full_document: Document) -> None:
    """docs/benchmarking.md names all keys, at whatever depth."""
    text = (Path(__file__).parents[2] / "docs" / "benchmarking.md").read_text(encoding="utf-8")
    missing = {key for key in keys_of(full_document.to_json()) if f"`{key}`" not in text}
    assert missing == set()


def keys_of(data: Any) -> set[str]:
    """All keys below ``data``; those of installed_bytes are names of packages."""
    if isinstance(data, list):
        return set().union(*map(keys_of, data))
    if not isinstance(data, dict):
        return set()
    return set(data) | set().union(*(keys_of(value) for name, value in data.items() if name != "installed_bytes"))


def test_csv_has_one_figure_a_line(full_document: Document) -> None:
    """With a heading; foreign text and line ends stay in their field."""
    rows = list(csv.DictReader(io.StringIO(csv_of(full_document.figures()))))
    assert len(rows) == len(full_document.figures())
    p50 = next(row for row in rows if row["figure"] == "p50")
    assert (p50["part"], p50["setting"], p50["unit"]) == ("run", "single-stream", "ns")
    assert float(p50["low"]) <= float(p50["value"]) <= float(p50["high"])
    assert {"p99 naive", "throughput", "A/A", "to the first answer", "peak RSS", "ratio"} <= {
        row["figure"] for row in rows
    }


REFUSED = {
    "no JSON": ("not json", "is no JSON"),
    "a list": ("[]", "is no run of edge-bench"),
    "another document": ('{"a": 1}', "is no run of edge-bench"),
    "a format to come": ('{"format": 2}', "has the format 2; expected 1"),
    "parts missing": ('{"format": 1, "target": "x"}', "no stored result; expected the keys"),
    "bytes": ("\x00\x01", "is no JSON"),
    "too deep": ("[" * 100_000, "is no JSON"),
}


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_another_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """With its name, and what would be right."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_document(str(path))
    assert str(path) in str(caught.value)


def test_wrong_answers_are_found_wherever_they_are(full_document: Document) -> None:
    """In a run, a sweep, a search or a comparison; none asked is None."""
    data = full_document.to_json()
    assert Document.from_json(data).answers_right is True
    for place in (
        data["runs"][1], data["sweeps"][0]["points"][1]["run"], data["rate_search"]["tries"][0],
    ):  # fmt: skip
        place["answers_right"] = False
        assert Document.from_json(data).answers_right is False
        place["answers_right"] = True
    data["comparisons"][0]["b_answers_right"] = False
    assert Document.from_json(data).answers_right is False
    empty = data | {"runs": [], "sweeps": [], "rate_search": None, "comparisons": []}
    assert Document.from_json(empty).answers_right is None
