"""From a request to a document: how long, and with which exit status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_runtime.benchmarks.document import Document
from edge_runtime.benchmarks.plan import server_seconds, status_of
from edge_runtime.timing import samples_needed


@pytest.mark.parametrize(("rate", "seconds"), [(10_000.0, 10.0), (20.0, 1.1 * samples_needed(99) / 20), (0.1, 60.0)])
def test_a_server_is_asked_long_enough_for_a_p99(rate: float, seconds: float) -> None:
    """Ten seconds, or as many as 662 calls take, and a minute at most."""
    assert server_seconds(rate) == pytest.approx(seconds)


def only(document: Document, **parts: Any) -> Document:
    """The document with these parts and no other that is judged."""
    empty: dict[str, Any] = {"runs": (), "sweeps": (), "comparisons": (), "gate": None, "rate_search": None}
    return replace(document, **(empty | parts))


def test_the_worst_finding_is_the_status(full_document: Document) -> None:
    """Wrong answers and no outweigh what is unfit, and that what is inconclusive."""
    faster, unfit = full_document.comparisons
    unsure = replace(faster, ratio=replace(faster.ratio, low=0.5, value=1.0, high=1.5))
    slower = replace(faster, ratio=replace(faster.ratio, low=1.9, value=2.0, high=2.1))
    assert (faster.verdict, unfit.verdict, unsure.verdict, slower.verdict) == (
        "faster", "unfit", "inconclusive", "slower",
    )  # fmt: skip
    for comparisons, status in (
        ((), 0), ((faster,), 0), ((faster, unsure), 3), ((unsure, unfit), 4), ((unfit, slower), 1),
        ((replace(faster, b_answers_right=False),), 1),
    ):  # fmt: skip
        assert status_of(only(full_document, comparisons=comparisons)) == status


def test_no_rate_that_keeps_the_bound_is_a_no(full_document: Document) -> None:
    """The question was whether there is one."""
    search = full_document.rate_search
    assert search is not None
    assert status_of(only(full_document, rate_search=search)) == 0
    assert status_of(only(full_document, rate_search=replace(search, rate_per_s=None))) == 1


def test_the_gate_has_its_own_status(full_document: Document) -> None:
    """That of its outcome."""
    gate = full_document.gate
    assert gate is not None
    assert status_of(only(full_document, gate=gate)) == gate.status == 4
