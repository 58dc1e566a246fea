"""Objectives and limits: what can be said, and what is said when they are not kept."""

from __future__ import annotations

import pytest

from edge_runtime.converters.precision.budget import Budget
from edge_runtime.errors import InputError


def test_limits_are_read_with_their_units() -> None:
    """From one text, or from a list; bytes, ns and parts of 1 come out."""
    budget = Budget.read("size", ["size<=1MB, memory <= 20 MiB", "latency<=2.5ms,drop<=0.5%,ratio<=.8"])
    quantities = ("size", "memory", "latency", "drop", "ratio")
    assert [budget.of(each) for each in quantities] == pytest.approx([1e6, 20 * 2**20, 2.5e6, 0.005, 0.8])
    assert Budget.read("latency").of("size") is None


@pytest.mark.parametrize(
    ("text", "ns"), [("latency<=80us", 8e4), ("latency<=80µs", 8e4), ("latency<=80μs", 8e4), ("latency<=1e-3s", 1e6)]
)
def test_a_microsecond_is_written_in_three_ways(text: str, ns: float) -> None:
    """us, the micro sign, and the Greek letter that looks like it."""
    assert Budget.read(require=text).of("latency") == pytest.approx(ns)


@pytest.mark.parametrize(
    ("require", "says"),
    [
        ("size<=1", "'size<=1' has no unit; expected one of B, kB, MB"),
        ("size<=1mb", "has the unit 'mb'; expected one of B, kB, MB"),
        ("size<1MB", "is no limit; expected one such as size<=1MB"),
        ("size<=-1MB", "is no limit"),
        ("size<=0MB", "lets nothing pass; expected a number above 0"),
        ("latency<=1e999s", "lets nothing pass"),
        ("latency<=2MB", "has the unit 'MB'; expected one of ns, us"),
        ("accuracy<=1%", "a limit on 'accuracy'; expected one of size"),
        ("size<=1MB,size<=2MB", "two limits on size; expected one per quantity"),
        ("size<=1MB,", "'' is no limit"),
        ("\x1b[2J", r"'\\x1b\[2J' is no limit"),
    ],
)
def test_what_is_no_limit_is_refused(require: str, says: str) -> None:
    """In one line that says what would be right."""
    with pytest.raises(InputError, match=says):
        Budget.read(require=require)


def test_an_objective_is_one_of_three() -> None:
    """Nothing is guessed."""
    with pytest.raises(InputError, match="objective 'speed'; expected one of latency, size, memory"):
        Budget.read("speed")


def test_what_is_not_kept_is_said_in_the_limits_own_unit() -> None:
    """With as many digits as tell the two apart; what was not measured is not kept either."""
    budget = Budget.read(require="size<=1MB,latency<=2ms,drop<=0.5%,memory<=20MB,ratio<=0.8")
    measured = {"size": 1_000_300, "latency": 1.9e6, "drop": 0.0061, "ratio": 0.8}
    assert budget.unmet(measured) == [
        "size is 1.0003 MB; size<=1MB was demanded",
        "drop is 0.61%; drop<=0.5% was demanded",
        "memory is not known; memory<=20MB was demanded",
    ]
    assert Budget.read().unmet({}) == []


def test_a_figure_that_is_no_number_keeps_no_limit() -> None:
    """NaN is not below anything."""
    assert Budget.read(require="ratio<=0.8").unmet({"ratio": float("nan")})
