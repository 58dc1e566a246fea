"""Comparing two targets: the verdict is the right one, or says that it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.benchmarks import Comparison, Estimate, compare
from edge_runtime.benchmarks.comparison import Verdict, judge
from edge_runtime.timing import median_ratio

from .conftest import Clock, compared

BLOCKS = np.full(30, 3_500_000, np.int64)


def ratio(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, "ratio")


def comparison(found: Estimate, itself: Estimate) -> Comparison:
    """A comparison that found these."""
    return compared(a_block_ns=BLOCKS, ratio=found, against_itself=itself)


CASES: dict[str, tuple[Estimate, Estimate, Verdict, str]] = {
    "faster": (
        ratio(0.763, 0.750, 0.775), ratio(1.0, 0.99, 1.01), "faster",
        "new.edge is 1.31x faster than old.edge (99% interval 1.29 to 1.33)",
    ),
    "a little faster": (
        ratio(0.98, 0.975, 0.985), ratio(1.0, 0.995, 1.005), "faster",
        "new.edge is 1.020x faster than old.edge (99% interval 1.015 to 1.026)",
    ),
    "slower": (
        ratio(1.5, 1.45, 1.55), ratio(1.0, 0.99, 1.01), "slower",
        "new.edge is 1.50x slower than old.edge (99% interval 1.45 to 1.55)",
    ),
    "alike": (
        ratio(1.01, 0.99, 1.03), ratio(1.0, 0.98, 1.04), "no difference",
        "no difference between new.edge and old.edge: ±4.0% is the smallest this run could have seen",
    ),
    "within what the A/A pair reached": (
        ratio(1.02, 1.005, 1.03), ratio(1.0, 0.97, 1.03), "no difference",
        "no difference between new.edge and old.edge: ±3.1% is the smallest this run could have seen",
    ),
    "too wide to tell": (
        ratio(1.1, 0.9, 1.3), ratio(1.0, 0.8, 1.1), "inconclusive",
        (
            "inconclusive: new.edge takes 0.90 to 1.30 times as long as old.edge; "
            "±25% is the smallest difference this run could have seen"
        ),
    ),
    "different, but the A/A pair is as wide": (
        ratio(1.1, 1.02, 1.2), ratio(1.0, 0.85, 1.15), "inconclusive",
        (
            "inconclusive: new.edge takes 1.02 to 1.20 times as long as old.edge; "
            "±18% is the smallest difference this run could have seen"
        ),
    ),
    "a thing differs from itself": (
        ratio(0.5, 0.45, 0.55), ratio(1.04, 1.02, 1.06), "unfit",
        (
            "this machine is not fit to judge now: new.edge differed from itself (1.020 to 1.060); "
            "measure again when it is quiet"
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("found", "itself", "verdict", "sentence"), CASES.values(), ids=CASES)
def test_the_verdict_and_its_sentence(found: Estimate, itself: Estimate, verdict: Verdict, sentence: str) -> None:
    """What the intervals allow to be said is said, in these words."""
    result = comparison(found, itself)
    assert result.verdict == verdict
    assert result.sentence == sentence


def test_the_smallest_effect_is_how_far_the_pair_reaches() -> None:
    """Either way: an interval down to 0.8 hides a quarter more."""
    assert comparison(ratio(1, 1, 1), ratio(1, 0.8, 1.1)).smallest_effect == pytest.approx(0.25)
    assert comparison(ratio(1, 1, 1), ratio(1, 0.99, 1.1)).smallest_effect == pytest.approx(0.1)


def verdicts(blocks: Callable[[np.random.Generator], NDArray[np.float64]], count: int) -> list[Verdict]:
    """The verdicts on ``count`` simulated comparisons; ``blocks`` gives [rounds, 3]: a, a again, b."""
    found = []
    for seed in range(count):
        a, again, b = blocks(np.random.default_rng([17, seed])).T
        found.append(judge(median_ratio(a, b, seed=seed), median_ratio(a, again, seed=seed)))
    return found


def machine(rng: np.random.Generator, *, busy: float) -> NDArray[np.float64]:
    """100 rounds of three blocks on a machine that drifts, with 1% noise and now and then a neighbour who takes
    ``busy`` of it for several blocks; the order within a round is drawn anew. [rounds, 3]"""
    at, load = 0, np.ones(300)
    while at < 300:
        at += rng.geometric(1 / 30)
        lasts = rng.geometric(1 / 10)
        load[at : at + lasts] += busy
        at += lasts
    drift = np.exp(np.cumsum(rng.normal(0, 0.001, 300)))
    return rng.permuted((load * drift * rng.normal(1, 0.01, 300)).reshape(100, 3), axis=1)


@pytest.mark.parametrize("busy", [0.0, 0.3])
def test_the_same_thing_is_rarely_called_different(busy: float) -> None:
    """Of 200 A/A comparisons on a simulated machine, with and without a neighbour, at most 5 raise an alarm."""
    found = verdicts(lambda rng: machine(rng, busy=busy), 200)
    assert sum(verdict in ("faster", "slower") for verdict in found) <= 5
    assert sum(verdict == "unfit" for verdict in found) <= 8


def test_five_per_cent_are_found_on_a_quiet_machine() -> None:
    """Of 60 simulated slowdowns by 5%, at least 90% are called so."""
    found = verdicts(lambda rng: machine(rng, busy=0.0) * [1.05, 1.05, 1.0], 60)
    assert found.count("slower") >= 54
    assert "faster" not in found


@pytest.mark.parametrize("busy", [0.3, 2.0])
def test_five_per_cent_beside_a_neighbour_get_no_false_verdict(busy: float) -> None:
    """Of 30 simulated slowdowns by 5%, none is called faster or no difference: it is found, or nothing is said."""
    found = verdicts(lambda rng: machine(rng, busy=busy) * [1.05, 1.05, 1.0], 30)
    assert set(found) <= {"slower", "inconclusive", "unfit"}


def test_a_comparison_runs_both_and_the_first_twice() -> None:
    """Three lanes of as many calls, apart from the warm-up; all samples are kept."""
    counts = {"a": 0, "b": 0}

    def count(which: str) -> None:
        counts[which] += 1

    result = compare(lambda: count("a"), lambda: count("b"), seconds=1e-9)
    assert len(result.a_block_ns) == len(result.again_block_ns) == len(result.b_block_ns) == 30
    assert counts["a"] > 60 * result.calls
    assert counts["b"] > 30 * result.calls
    assert result.ratio.unit == "ratio"
    assert result.ratio.low <= result.ratio.value <= result.ratio.high
    assert result.verdict in ("faster", "slower", "no difference", "inconclusive", "unfit")
    with pytest.raises(ValueError, match="read-only"):
        result.a_block_ns[0] = 1


def test_two_of_one_name_are_told_apart(make_model: Callable[..., Any]) -> None:
    """A sentence about "fraud" and "fraud" helps nobody."""
    result = compare(make_model(), make_model(), seconds=1e-9)
    assert (result.a, result.b) == ("fraud 2.1.0 (a)", "fraud 2.1.0 (b)")


def test_no_time_at_all_is_refused_for_two() -> None:
    """A budget is positive."""
    with pytest.raises(ValueError, match="expected a positive number"):
        compare(int, int, seconds=0)


def test_json_of_a_comparison_keeps_samples_and_verdict() -> None:
    """What a program needs to judge again is there."""
    data = json.loads(json.dumps(comparison(*CASES["faster"][:2]).to_json()))
    assert data["verdict"] == "faster"
    assert data["a_block_ns"] == BLOCKS.tolist()
    assert data["ratio"] == {"value": 0.763, "low": 0.75, "high": 0.775, "unit": "ratio"}
    assert Comparison.from_json(data).sentence == data["sentence"]
    assert data["smallest_effect_ratio"] == pytest.approx(0.0101, abs=1e-4)


def test_processes_of_a_comparison_are_joined(real_bundle: Path, bare_graph: Path) -> None:
    """Fresh ones interleave as many rounds of as many calls each; golden rows are checked in all of them."""
    result = compare(str(real_bundle), str(bare_graph), seconds=0.05, processes=2)
    assert len(result.process_rounds) == 2
    assert result.process_rounds[0] == result.process_rounds[1] == len(result.a_block_ns) / 2
    assert (result.a_answers_right, result.b_answers_right) == (True, None)
    assert (result.a, result.b) == ("real.edge", "bare.onnx")
    assert result.environment.processes == 2
    assert Comparison.from_json(result.to_json()).verdict == result.verdict


def test_wrong_answers_of_a_comparison_are_recorded(make_model: Callable[..., Any]) -> None:
    """Of the one that gives them."""
    result = compare(make_model(), make_model(right=False), seconds=1e-9)
    assert (result.a_answers_right, result.b_answers_right) == (True, False)


def test_a_disturbed_machine_is_told_beside_the_verdict(clock: Clock) -> None:
    """What interleaving cancels does not change the verdict: a processor that falls to half its speed slows both."""

    def work(nanoseconds: float) -> Callable[[], None]:
        rng = np.random.default_rng(1)
        return lambda: clock.spend(nanoseconds * rng.normal(1, 0.01) * (2 if clock.now > 1e9 else 1))

    result = compare(work(100_000), work(110_000), seconds=2.0)
    assert result.verdict == "faster"
    assert 1.08 < 1 / result.ratio.value < 1.12
