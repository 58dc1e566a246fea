"""Precisions in words: sentences and figures that claim no more than was measured."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from edge_runtime.converters import candidate_words as words
from edge_runtime.converters.precision.candidate import Outcome
from edge_runtime.timing import Estimate


def test_the_sentence_says_what_was_chosen_and_why(outcome: Outcome) -> None:
    """Time and size against the reference, and the reason of the judgement."""
    assert words.outcome_words(outcome) == (
        "int8 static, 5 of 7 layers is chosen: 0.68× (0.67 to 0.71) the time and 0.30× the size of float32;"
        " top-1 disagreement of 'scores' with the reference: 0.45% at most"
    )


def test_the_sentence_says_that_the_reference_was_kept(outcome: Outcome) -> None:
    """Which is a normal end."""
    first, others = outcome.candidates[0], outcome.candidates[3:]
    kept = replace(outcome, candidates=(replace(first, reason="kept: nothing is faster here"), *others))
    assert words.outcome_words(kept) == "float32 kept: nothing is faster here"
    alone = replace(outcome, candidates=(replace(first, reason="nothing else was tried"),))
    assert words.outcome_words(alone) == "float32: nothing else was tried"


def test_verdicts_are_counted(outcome: Outcome) -> None:
    """The reference is none of those that were tried."""
    assert words.counted(outcome) == "5 others were tried: 1 chosen, 2 refused, 1 no gain, 1 failed"


@pytest.mark.parametrize(
    ("high", "percent", "said"),
    [
        (0.00449001, True, "≤ 0.45%"),
        (0.005, True, "≤ 0.5%"),
        (0.0050000001, True, "≤ 0.501%"),
        (0.0, True, "≤ 0%"),
        (1.0, True, "≤ 100%"),
        (0.01234, False, "≤ 0.0124"),
        (-0.00123456, True, "≤ -0.123%"),
        (inf, True, "no bound"),
    ],
)
def test_a_bound_is_rounded_up(outcome: Outcome, high: float, percent: bool, said: str) -> None:
    """So that what is printed holds too: a refused 0.50000001% does not read as the 0.5% that is allowed."""
    chosen = outcome.candidates[2]
    assert words.bound_text(replace(chosen, drop=Estimate(high, high, high, "%")), percent) == said


def test_what_was_not_certified_has_no_bound(outcome: Outcome) -> None:
    """A loss on the search split is no promise."""
    searched = outcome.candidates[4]
    assert words.loss_text(searched, True) == "9.3%"
    assert words.bound_text(searched, True) == ""


def test_the_rows_of_the_bound_are_told(outcome: Outcome) -> None:
    """And where nothing was certified, that."""
    assert "on 1,812 rows that nothing was chosen by" in words.metric_words(outcome)
    nothing = replace(outcome, candidates=tuple(replace(each, drop=None, rows=0) for each in outcome.candidates))
    assert "no candidate came so far as to be certified" in words.metric_words(nothing)
    assert "≤" not in words.metric_words(nothing)


def test_figures_that_are_no_shares_are_not_percents(outcome: Outcome) -> None:
    """As the judgement tells by its unit."""
    assert words.percent_of(outcome)
    plain = tuple(
        replace(each, drop=None if each.drop is None else replace(each.drop, unit="1")) for each in outcome.candidates
    )
    assert not words.percent_of(replace(outcome, candidates=plain))


def test_the_machine_is_named() -> None:
    """Processor, cores, instructions for integers, onnxruntime: what a time depends on."""
    here = words.machine()
    text = words.machine_words("sample")
    assert text.startswith("p50: one sample, taken in turns with the reference, on ")
    assert all(str(here[name]) in text for name in ("processor", "cores", "instructions", "onnxruntime"))
