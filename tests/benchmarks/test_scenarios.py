"""The timed loops, by a simulated clock: what they report is what was put in, and no wait is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special, stats

from edge_runtime.benchmarks import Run
from edge_runtime.benchmarks.scenarios import FEWEST, MOST, serve, stream
from edge_runtime.benchmarks.target import Target
from edge_runtime.timing import Call

from .conftest import Clock

OWN_COST = 50  # ns: one reading of the simulated clock
Law = Callable[[np.random.Generator, int], Any]  # ns since the timed rotation began -> ns of this call


def target_of(clock: Clock, law: Law, rng: np.random.Generator) -> Target:
    """A target whose calls take what ``law`` says, by the simulated clock."""

    def new_call() -> Call:
        began = clock.now
        return lambda: clock.spend(law(rng, clock.now - began))

    return Target(name="simulated", new_call=new_call)


def bimodal_quantile(share: float) -> float:
    def missing(x: float) -> float:
        return float(0.7 * stats.norm(1e6, 3e4).cdf(x) + 0.3 * stats.norm(3e6, 5e4).cdf(x)) - share

    return float(optimize.brentq(missing, 5e5, 4e6))


LAWS: dict[str, tuple[Law, Callable[[float], float]]] = {
    "busy loop": (lambda rng, at: rng.normal(1e6, 1e4), stats.norm(1e6, 1e4).ppf),
    "bimodal": (lambda rng, at: 1e6 * rng.normal(1, 0.03) if rng.random() < 0.7 else rng.normal(3e6, 5e4), bimodal_quantile),
    "heavy tail": (lambda rng, at: 1e6 * (1 + rng.pareto(2.5)), stats.pareto(2.5, scale=1e6).ppf),
}  # fmt: skip


@pytest.fixture
def cheap(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A thousand runs in a few seconds: blocks and windows of the warm-up are small."""
    monkeypatch.setattr("edge_runtime.benchmarks.steady.WINDOW", 16)
    return clock


@pytest.mark.parametrize("name", LAWS)
def test_intervals_of_whole_runs_hold_the_truth(cheap: Clock, name: str) -> None:
    """Of 1,000 simulated runs, warm-up, slices and all, 93% have the true percentiles within their 95% intervals."""
    law, quantile = LAWS[name]
    truths = [quantile(0.5) + OWN_COST, quantile(0.9) + OWN_COST]
    held = np.zeros(2)
    for seed in range(1_000):
        run = stream(target_of(cheap, law, np.random.default_rng([1, seed])), "single-stream", 0.2)
        for i, percent in enumerate((50, 90)):
            found = run.percentile(percent)
            held[i] += found.low <= truths[i] <= found.high
    assert held.min() >= 930


def test_a_warm_up_is_not_in_the_figures(clock: Clock) -> None:
    """Calls that start three times as slow: of 1,000 runs, 93% hold the steady percentiles and the steady mean."""
    truths = [1e6 + OWN_COST, stats.norm(1e6, 5e4).ppf(0.9) + OWN_COST, 1e9 / (1e6 + OWN_COST)]
    held = np.zeros(3)
    for seed in range(1_000):
        rng, born = np.random.default_rng([2, seed]), clock.now

        def call(rng: np.random.Generator = rng, born: int = born) -> None:
            clock.spend(1e6 * (1 + 2 * np.exp(-(clock.now - born) / 3e7)) * rng.normal(1, 0.05))

        run = stream(Target(name="x", new_call=lambda call=call: call), "single-stream", 0.2)  # type: ignore[misc]
        for i, found in enumerate((run.percentile(50), run.percentile(90), run.throughput())):
            held[i] += found.low <= truths[i] <= found.high
    assert held.min() >= 930


def test_a_drifting_run_holds_the_percentiles_of_its_own_time(cheap: Clock) -> None:
    """Half as slow again at the end: of 1,000 runs, 93% hold the percentiles of what the calls took over that time; and
    of 250, 97% how much slower the last fifth was than the first (99% intervals)."""
    held, told, noise = np.zeros(2), 0, 0.03
    for seed in range(1_000):
        rng = np.random.default_rng([3, seed])
        law: Law = lambda rng, at: 1e6 * (1 + 0.5 * at / 2e8) * rng.normal(1, noise)  # noqa: E731
        run = stream(target_of(cheap, law, rng), "single-stream", 0.2)
        levels = 1e6 * (1 + 0.5 * run.at_ns / 2e8)

        def share_below(latency: float, levels: Any = levels) -> float:
            return float(special.ndtr(((latency - OWN_COST) / levels - 1) / noise).mean())

        for i, percent in enumerate((50, 90)):
            found = run.percentile(percent)
            held[i] += share_below(found.low) <= percent / 100 <= share_below(found.high)
        if seed % 4 == 0:
            last, first = run.at_ns >= 0.8 * run.at_ns[-1], run.at_ns <= 0.2 * run.at_ns[-1]
            found = run.drift()
            told += found.low <= np.median(levels[last]) / np.median(levels[first]) <= found.high
    assert held.min() >= 930
    assert told >= 243


def test_a_run_lasts_as_long_as_it_was_told(clock: Clock) -> None:
    """Samples are spread over the whole time, and not more than 20,000, however fast a call."""
    run = stream(target_of(clock, lambda rng, at: 1_000, np.random.default_rng(0)), "single-stream", 3.0)
    assert MOST * 0.9 <= len(run.latency_ns) <= MOST
    assert 2.9e9 < run.at_ns[-1] < 3.1e9
    assert (run.latency_ns == 1_000 + OWN_COST).all()
    assert np.histogram(run.at_ns, 10, (0, 3e9))[0].min() > 0.09 * MOST
    assert len(run.conditions.kernel_ns) == 100


def test_a_slow_call_is_still_made_often_enough(clock: Clock) -> None:
    """64 samples, so that p90 can be told, though it takes longer than it was told."""
    run = stream(target_of(clock, lambda rng, at: 1e8, np.random.default_rng(0)), "single-stream", 0.5)
    assert len(run.latency_ns) == FEWEST == 64
    assert run.percentile(90).value == 1e8 + OWN_COST


def test_a_sustained_run_shows_throttling(clock: Clock) -> None:
    """A processor that is a third slower after half of ten minutes: the drift says so."""
    law: Law = lambda rng, at: 1e6 * rng.normal(1, 0.02) * (1.5 if at > 300e9 else 1.0)  # noqa: E731
    run = stream(target_of(clock, law, np.random.default_rng(0)), "sustained", 600.0)
    assert run.drift().value == pytest.approx(1.5, rel=0.01)
    assert run.drift().low > 1.45
    assert run.at_ns[-1] > 590e9
    assert len(run.latency_ns) <= MOST


def stalling(rng: np.random.Generator, stall: dict[str, int], clock: Clock) -> float:
    """0.2 ms, and 50 ms once every second."""
    second = clock.now // 1_000_000_000
    if second > stall.get("last", 0):
        stall["last"] = second
        return 50e6
    return 2e5


@pytest.fixture
def stalled(clock: Clock) -> Run:
    """20 s of the server scenario at 500 calls a second, with a stall of 50 ms in each."""
    stall: dict[str, int] = {}
    return serve(target_of(clock, lambda rng, at: stalling(rng, stall, clock), np.random.default_rng(0)), 500.0, 20.0)


def test_no_stall_is_omitted(stalled: Run) -> None:
    """A call in twenty comes while the target stalls, and waits: p99 shows it. The naive figure does not."""
    assert stalled.percentile(99).value > 20e6
    assert stalled.naive_percentile(99).high < 0.3e6
    assert stalled.percentile(50).value < 0.3e6


def test_calls_arrive_at_random_at_the_rate_that_was_asked(stalled: Run) -> None:
    """The gaps are exponential, by scipy's test, and their mean is the rate's."""
    gaps = np.diff(stalled.at_ns)
    assert len(gaps) + 1 == 10_000
    assert stats.kstest(gaps, stats.expon(scale=2e6).cdf).pvalue > 0.01
    assert stalled.rate_per_s == 500.0


def test_waiting_is_what_queueing_theory_says(clock: Clock) -> None:
    """Constant service at 70% load: the mean time in the system is Pollaczek and Khinchin's, within 5%."""
    run = serve(target_of(clock, lambda rng, at: 1e6, np.random.default_rng(0)), 700.0, 100.0)
    expected = 1e6 * (1 + 0.7 / (2 * (1 - 0.7)))
    assert run.latency_ns.mean() == pytest.approx(expected, rel=0.05)


def answering(clock: Clock, wrong: set[int], held: list[int]) -> Target:
    """Answers 0, 1, 2 in turn, wrongly in the timed calls of these numbers."""

    def new_call() -> Call:
        made = 0

        def call() -> int:
            nonlocal made
            made += 1
            clock.spend(10_000)
            return -1 if made - 1 in wrong else (made - 1) % 3

        return call

    def check(i: int, answer: Any) -> bool:
        held.append(i)
        return bool(answer == i)

    return Target(name="x", new_call=new_call, rotation=3, check=check, verify=lambda: True)


@pytest.mark.parametrize("measured", [lambda t: stream(t, "single-stream", 0.5), lambda t: serve(t, 1_000.0, 0.5)])
def test_answers_are_checked_while_they_are_timed(clock: Clock, measured: Callable[[Target], Run]) -> None:
    """Against the row that was asked; a target that is right afterwards but was wrong meanwhile is wrong."""
    held: list[int] = []
    run = measured(answering(clock, set(), held))
    assert run.answers_right is True
    assert run.answers_checked == len(held) >= 64
    assert set(held) == {0, 1, 2}
    assert measured(answering(clock, set(range(5, 5000, 7)), [])).answers_right is False


def test_large_answers_are_not_hoarded(clock: Clock) -> None:
    """One of them at a time is held for its check."""
    checked: list[int] = []

    def call() -> dict[str, Any]:
        clock.spend(1e5)
        return {"y": np.zeros(100_000)}

    def check(i: int, answer: Any) -> bool:
        checked.append(i)
        return True

    target = Target(name="x", new_call=lambda: call, check=check, verify=lambda: True)
    run = stream(target, "single-stream", 0.2)
    assert run.answers_checked == len(checked) <= 10


def test_nobody_to_ask_is_not_right(clock: Clock) -> None:
    """A callable has no golden rows."""
    run = stream(target_of(clock, lambda rng, at: 1e5, np.random.default_rng(0)), "single-stream", 0.1)
    assert run.answers_right is None
    assert run.answers_checked == 0
