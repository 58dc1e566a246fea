"""The page: self-contained, every candidate, layer and range on it, and no name in a graph that it obeys."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_runtime.converters.precision.candidate import Layer, Outcome
from edge_runtime.converters.precision_page import page_of, save_page
from edge_runtime.errors import InputError
from edge_runtime.manifest import Manifest

PAGES: list[str] = []  # one is enough for all tests: it takes a second


@pytest.fixture
def page(small_manifest: Manifest, outcome: Outcome) -> str:
    """The page of an outcome in which everything is there."""
    if not PAGES:
        PAGES.append(page_of(small_manifest, outcome))
    return PAGES[0]


class Seen(HTMLParser):
    """Every tag, its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def pictures_of(page: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", page, re.DOTALL)


def texts_of(svg: str) -> list[str]:
    """What is written in a picture."""
    return [
        "".join(each.itertext()).strip()
        for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    """No script, no link to elsewhere, no name that becomes a tag: in tables as in pictures."""
    seen = Seen(page)
    assert not {"script", "iframe", "link", "img", "object", "embed", "foreignobject"} & set(seen.tags)
    assert not [value for name, value in seen.values if name.startswith("on")]
    links = [value for name, value in seen.values if name in ("href", "src", "xlink:href")]
    assert all(value.startswith("#") for value in links)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;") >= 3


def test_the_first_sentence_is_what_was_taken(page: str) -> None:
    """And why, then what the figures stand on, and what is in the bundle."""
    lead = re.search(r'<p class="lead">(.*?)</p>', page)
    assert lead is not None
    assert lead[1].startswith("int8 static, 5 of 7 layers is chosen: 0.68×")
    text = Seen(page).text
    for part in (
        "5 others were tried", "on 1,812 rows that nothing was chosen by", "p50: one row",
        "int8-static-5-of-7-layers, which load takes, and beside it float32",
    ):  # fmt: skip
        assert part in text, part


def test_every_candidate_has_its_figures_and_its_reason(page: str, outcome: Outcome) -> None:
    """Those that failed too, with all that the library said."""
    text = Seen(page).text
    for number, each in enumerate(outcome.candidates):
        assert f"{number} {each.name}" in text
        assert each.reason.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e") in text
    assert "0.11%, ≤ 0.45%" in text
    assert "28 µs, 0.68× (0.67 to 0.71)" in text


def test_every_picture_is_well_formed_and_says_what_it_shows(page: str) -> None:
    """The trade, the layers, the ranges."""
    drawn = pictures_of(page)
    assert len(drawn) == 3
    for picture in drawn:
        root = ElementTree.fromstring(picture)
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 20


def test_the_trade_numbers_those_that_were_measured(page: str) -> None:
    """What failed has no place in it; refused ones have their own mark in the legend."""
    texts = texts_of(pictures_of(page)[0])
    numbered = {number for text in texts if re.fullmatch(r"\d(, \d)*", text) for number in text.split(", ")}
    assert {"0", "1", "2", "3", "4"} <= numbered
    assert "5" not in numbered
    assert {"reference", "chosen", "refused", "no gain"} <= set(texts)
    assert "accepted" not in texts


def test_each_of_48_layers_has_a_bar_and_a_number(page: str) -> None:
    """Names without what all of them begin with; those that cannot be in 8 bits say so."""
    texts = texts_of(pictures_of(page)[1])
    named = [text for text in texts if re.search(r"  \d+$", text)]
    assert [int(text.split()[-1]) for text in named] == list(range(1, 49))
    assert texts.count("not possible") == len(range(0, 48, 11))
    height = float(ElementTree.fromstring(pictures_of(page)[1]).attrib["viewBox"].split()[3])
    assert height / 48 > 8  # points for a line of 7


def test_the_widest_ranges_are_shown(page: str, outcome: Outcome) -> None:
    """40 of 60, the widest first, with their ends."""
    text = Seen(page).text
    assert "The widest 40 of 60 activations" in text
    widest = sorted(outcome.ranges, key=lambda each: each[1] - each[2])
    shown = [each[0].replace("\x1b", "\\x1b").replace("\u202e", "\\u202e") for each in widest]
    assert shown[0] in text
    assert shown[39] in text
    assert shown[40] not in text


def test_a_page_without_a_search_says_why(small_manifest: Manifest, outcome: Outcome) -> None:
    """One candidate, no pictures."""
    first = replace(outcome.candidates[0], reason="nothing else was tried")
    made = page_of(small_manifest, Outcome((first,), outcome.shipped[1:], (), "", 0.0, "latency", ""))
    assert '<p class="lead">float32: nothing else was tried</p>' in made
    assert pictures_of(made) == []


def test_losses_of_zero_or_below_are_drawn(small_manifest: Manifest, outcome: Outcome) -> None:
    """A candidate may be better than its reference, and all may lose nothing."""
    first, second, third, *_ = outcome.candidates
    assert third.drop is not None
    for gained in (-0.002, 0.0):
        better = replace(third, drop=replace(third.drop, value=gained, low=-0.01, high=max(0.0, gained)))
        layers = (Layer("a", "Conv", gained, 1.0),)
        odd = replace(outcome, candidates=(first, replace(second, searched=0.0), better), layers=layers, ranges=())
        assert len(pictures_of(page_of(small_manifest, odd))) == 2


def test_a_page_is_the_same_each_time(small_manifest: Manifest, outcome: Outcome, page: str) -> None:
    """So that a diff shows what has changed; and a mail carries it."""
    assert page_of(small_manifest, outcome) == page
    assert len(page) < 500_000


def test_a_page_is_written_where_it_may_be(small_manifest: Manifest, outcome: Outcome, tmp_path: Path) -> None:
    """Under a name that says what it is."""
    save_page(tmp_path / "tried.html", small_manifest, outcome)
    assert (tmp_path / "tried.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(InputError, match=r"expected one that ends in \.html"):
        save_page(tmp_path / "tried.txt", small_manifest, outcome)


def test_converting_does_not_load_the_libraries_of_the_page() -> None:
    """They are an extra."""
    script = "import sys, edge_runtime.converters.conversion; print({'matplotlib', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
