"""The table of precisions: every candidate with its figures and its reason, on any terminal, and nothing foreign obeyed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edge_runtime.converters.candidate_table import candidate_table
from edge_runtime.converters.precision.candidate import Outcome


@pytest.mark.parametrize("width", [200, 80, 72, 71, 40])
def test_no_line_is_wider_than_the_terminal(outcome: Outcome, width: int) -> None:
    """On 80 columns a table, on 40 one candidate below the other."""
    assert max(map(len, candidate_table(outcome, width).splitlines())) <= width


@pytest.mark.parametrize("width", [120, 80, 40])
def test_every_candidate_is_there_with_figures_and_reason(outcome: Outcome, width: int) -> None:
    """Loss with its bound, size and time with their ratios; nothing gets lost where it is narrow."""
    text = " ".join(candidate_table(outcome, width).split())
    for each in outcome.candidates:
        assert each.verdict in text
    for each in outcome.candidates[1:]:
        assert " ".join(each.reason.split()[:3]) in text
    for figure in ("0.11%", "≤ 0.45%", "≤ 0.61%", "9.3%", "27 kB", "0.30×", "28 µs", "0.68× (0.67 to 0.71)", "92 kB"):
        assert figure in text, figure


@pytest.mark.parametrize("width", [120, 40])
def test_the_chosen_one_alone_is_marked(outcome: Outcome, width: int) -> None:
    """By a star, which needs no colour."""
    marked = re.findall(r"^\* +(.*?)(?:  |:|$)", candidate_table(outcome, width), re.MULTILINE)
    assert len(marked) == 1
    assert marked[0].startswith("int8 static, 5 of 7 layers")


@pytest.mark.parametrize("width", [80, 40])
def test_foreign_text_is_shown_and_not_obeyed(outcome: Outcome, width: int) -> None:
    """What a library says of a graph's own names may not move the cursor or turn text round; nor fill the screen."""
    text = candidate_table(outcome, width)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"\x1b[2J\u202e" in "".join(text.split())
    assert text.count("and so on") < 40


def test_memory_is_shown_where_it_was_measured(outcome: Outcome) -> None:
    """Its column stands only then, and the table keeps to its width."""
    assert "memory" not in candidate_table(outcome, 80)
    first, *others = outcome.candidates
    measured = replace(outcome, candidates=(replace(first, memory=61_000_000), *others))
    text = candidate_table(measured, 80)
    assert "memory" in text
    assert "61 MB" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "memory 61 MB" in candidate_table(measured, 40)
