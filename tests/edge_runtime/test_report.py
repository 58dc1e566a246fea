"""Reports: one file, nothing fetched, all text escaped, and a line that says what is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from edge_runtime.errors import MissingExtraError
from edge_runtime.report import Picture, Section, Table, page, picture, require

WHO = "edge x --html"


def bars(axes: Any) -> None:
    axes.bar(["<b>", "$a_1$"], [1, 1000])
    axes.set(yscale="log", title="a & b")


def test_a_page_holds_its_sections_in_order() -> None:
    """Headings, paragraphs, tables; the lead stands out."""
    made = page(
        "T", [Section(title="one", parts=("first", Table(("h",), (("cell",),))), lead=True), Section(title="", parts=())],
        used_by=WHO,
    )  # fmt: skip
    assert made.startswith("<!doctype html>")
    for part in ("<h1>T</h1>", "<h2>one</h2>", '<p class="lead">first</p>', "<th>h</th>", "<td>cell</td>"):
        assert part in made
    assert made.count("<h2>") == 1


def test_all_text_is_escaped() -> None:
    """In titles, paragraphs, tables and captions; what could move a cursor is written out."""
    evil = "<script>&\x1b[2J\u202e"
    drawn = picture(bars, says=evil, used_by=WHO)
    made = page(evil, [Section(title=evil, parts=(evil, Table((evil,), ((evil,),)), drawn))], used_by=WHO)
    assert "<script" not in made
    assert "\x1b" not in made
    assert "\u202e" not in made
    assert made.count("&lt;script&gt;&amp;\\x1b[2J\\u202e") == 7 + 1


def test_a_picture_follows_the_readers_colours() -> None:
    """Text is text in the page's own ink, formulas are not set, and numbers on logarithmic axes are numbers."""
    drawn = picture(bars, says="bars", used_by=WHO)
    assert drawn.svg.startswith('<svg role="img" aria-label="bars"')
    assert "currentColor" in drawn.svg
    assert "#010203" not in drawn.svg
    for text in ("&lt;b&gt;", "$a_1$", "a &amp; b", ">1,000<"):
        assert text in drawn.svg
    assert "mathdefault" not in drawn.svg


def test_pictures_do_not_share_ids() -> None:
    """Two of the same on one page, and each refers to its own."""
    drawn = Picture('<svg><path id="a" clip-path="url(#a)"/><use xlink:href="#a"/></svg>', "x")
    made = page("T", [Section(title="", parts=(drawn, drawn))], used_by=WHO)
    assert '<path id="p1-0" clip-path="url(#p1-0)"/><use xlink:href="#p1-0"/>' in made
    assert '<path id="p2-0" clip-path="url(#p2-0)"/><use xlink:href="#p2-0"/>' in made


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """What needs it, and the command that installs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(missing), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=rf"^edge x --html needs {missing}.*edge-runtime\[bench\]"):
        require(used_by=WHO)


class Absent:
    """A finder for which one package is not installed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_importing_loads_neither() -> None:
    """A report is imported where one is made."""
    code = "import edge_runtime.report, sys; print('matplotlib' in sys.modules, 'jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False False\n"
