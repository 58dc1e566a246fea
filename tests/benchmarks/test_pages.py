"""The page: self-contained, without a script, and with every part of the document on it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from edge_runtime.benchmarks.document import Document
from edge_runtime.benchmarks.pages import page_of

PAGES: list[str] = []  # one is enough for all tests: it takes a second


@pytest.fixture
def page(full_document: Document) -> str:
    """The page of a document in which every part is there."""
    if not PAGES:
        PAGES.append(page_of(full_document))
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


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    """No script, no frame, no link to elsewhere: it opens offline and in mail."""
    seen = Seen(page)
    assert not {"script", "iframe", "link", "img", "object", "embed", "foreignobject"} & set(seen.tags)
    assert not [value for name, value in seen.values if name.startswith("on")]
    links = [value for name, value in seen.values if name in ("href", "src", "xlink:href")]
    assert all(value.startswith("#") for value in links)
    assert "url(http" not in page
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_foreign_text_is_shown_and_not_obeyed(page: str) -> None:
    """Tags, escape sequences and formulas in names are text, in tables as in pictures."""
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert "$x_1$" in page
    assert "模型" in page


def test_every_picture_is_well_formed_and_says_what_it_shows(page: str) -> None:
    """Distribution and time series of each run, batch curve, sweep, cold start, memory, profile, comparisons."""
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 2 * 2 + 1 + 2 + 1 + 1 + 1 + 3
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 20


def test_no_id_is_there_twice(page: str) -> None:
    """Pictures on one page do not borrow from one another."""
    ids = [value for name, value in Seen(page).values if name == "id"]
    assert len(ids) == len(set(ids))
    used = re.findall(r"(?:url\(|href=\")#([^)\"]+)", page)
    assert used
    assert set(used) <= set(ids)


def test_the_page_says_what_the_screen_says(page: str) -> None:
    """Sentence, figures, what was left out, the machine and what it did meanwhile."""
    text = Seen(page).text
    for part in (
        "not fit to judge", "histogram", "distribution function", "in the order of time", "warm-up",
        "by batch", "cold start", "memory and size", "energy", "profile", "highest rate", "environment",
        "not measured", "stolen by the hypervisor", "cpu model", "tools that count from when it was made",
    ):  # fmt: skip
        assert part in text, part


def test_a_page_is_the_same_each_time(full_document: Document, page: str) -> None:
    """So that a diff shows what has changed."""
    assert page_of(full_document) == page


def test_many_samples_do_not_make_a_large_page(full_document: Document, page: str) -> None:
    """A mail carries it."""
    assert len(page) < 1_000_000
