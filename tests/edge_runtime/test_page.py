"""The page of a model in a notebook: complete, self-contained, and nothing foreign in it acts."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

import edge_runtime
from edge_runtime.inspection import page_of_bundle, parts
from edge_runtime.manifest import Manifest
from edge_runtime.page import html_of
from edge_runtime.schema import ColumnSpec

Flights = Any  # of tests/conftest.py

TAGS = {"div", "style", "details", "summary", "table", "tr", "th", "td", "code", "span"}
HOSTILE = "</style><script>alert(1)</script>\"'&\x1b[2J\u202e"


class Reader(HTMLParser):
    """The tags, attributes and text of a page; every tag must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_says_what_inspect_says(flights: Flights) -> None:
    """Every text of the page, each once, in the order of the terminal's page."""
    model = edge_runtime.load(flights.bundle)
    assert model.manifest is not None
    page = page_of_bundle(model.manifest, model.digest)
    text = Reader(model._repr_html_()).text
    for row in (*page.facts, *page.columns, *page.outputs, *page.certificate, *page.variants, *page.provenance):
        assert all(not cell or cell in text for cell in row)
    assert page.title in text
    assert "columns (5)" in text


def test_nothing_foreign_acts(small_manifest: Manifest) -> None:
    """Names, statements and provenance end up as text, whatever is in them."""
    columns = tuple(replace(column, name=f"{HOSTILE}{i}") for i, column in enumerate(small_manifest.schema.columns))
    manifest = replace(
        small_manifest,
        name=HOSTILE,
        schema=replace(small_manifest.schema, columns=columns),
        provenance={HOSTILE: HOSTILE},
        certificate=replace(small_manifest.certificate, statements=(HOSTILE,)),
    )
    reader = Reader(html_of(page_of_bundle(manifest, HOSTILE)))
    assert set(reader.tags) <= TAGS
    shown = "</style><script>alert(1)</script>\"'&\\x1b[2J\\u202e"
    assert sum(shown in text for text in reader.text) >= 12
    assert all(name in ("class", "style", "open") for name, _ in reader.attributes)


def test_the_page_needs_nothing_from_anywhere(flights: Flights) -> None:
    """A notebook without a network shows it; one style, and no colour that a dark page would swallow."""
    html = edge_runtime.load(flights.bundle)._repr_html_()
    assert not re.search(r"https?:|url\(|@import|src=|href=|<script", html)
    assert html.count("<style>") == 1
    colours = set(re.findall(r"(?:color|background):([^;}!]+)", html))
    assert colours == {"inherit", "none", "currentColor"}


def test_a_plain_graph_says_what_it_lacks(tmp_path: Path, small_contents: dict[str, bytes]) -> None:
    """The page is as short as what is known."""
    path = tmp_path / "plain.onnx"
    path.write_bytes(small_contents["graph.onnx"])
    text = Reader(edge_runtime.load(path)._repr_html_()).text
    assert any(line.startswith("a plain .onnx file: no certificate") for line in text)
    assert "certificate" not in text


def test_the_parts_are_the_file(flights: Flights) -> None:
    """Graph, golden rows, edge.json and headers add up to the file's bytes."""
    bundle = edge_runtime.Bundle.open(flights.bundle)
    assert sum(parts(bundle.manifest).values()) == bundle.size == flights.bundle.stat().st_size


def test_ranges_are_told_in_words(small_manifest: Manifest) -> None:
    """What a column accepts, as a person would say it."""
    infinity, largest = float("inf"), float(np.finfo(np.float64).max)
    wanted = {
        ("float64", -infinity, infinity): "any number",
        ("float64", -largest, largest): "any finite number",
        ("float32", -float(np.finfo(np.float32).max), float(np.finfo(np.float32).max)): "any finite number",
        ("float64", -1.5, 1e9): "-1.5 to 1e+09",
        ("int8", -128.0, 127.0): "any int8",
        ("int64", -(2.0**53), 2.0**53): "-2^53 to 2^53",
        ("int32", 0.0, 12_000.0): "0 to 12,000",
        ("int64", -(2.0**24), 2.0**24): "-2^24 to 2^24",
    }
    for (dtype, low, high), words in wanted.items():
        column = ColumnSpec("x0", dtype, True, "x", 0, low, high)
        schema = replace(small_manifest.schema, columns=(column,))
        page = page_of_bundle(replace(small_manifest, schema=schema), "sha256:0")
        assert page.columns == (("x0", dtype, "answered", words, ""),)


def test_categories_are_named_and_counted(small_manifest: Manifest) -> None:
    """The first few, how many there are, and what happens to others."""
    columns = (
        ColumnSpec("a", "str", False, "x", 0, categories=("p", "q")),
        ColumnSpec("b", "str", False, "x", 1, categories=tuple("abcdef"), open=False),
        ColumnSpec("c", "bool", True, "x", 2, categories=(False, True), open=False),
        ColumnSpec("d", "str", False, "x", 3),
    )
    page = page_of_bundle(replace(small_manifest, schema=replace(small_manifest.schema, columns=columns)), "sha256:0")
    assert [row[2:] for row in page.columns] == [
        ("refused", "'p', 'q'", "answered"),
        ("refused", "'a', 'b', 'c', 'd', … (6)", "refused"),
        ("answered", "false, true", "refused"),
        ("refused", "any text", ""),
    ]


def test_the_page_loads_only_when_it_is_asked_for() -> None:
    """A device that never shows a page does not pay for it."""
    program = "import sys, edge_runtime; print('edge_runtime.page' in sys.modules, 'html' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
