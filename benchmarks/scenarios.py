"""The scenarios, with MLPerf's names: single-stream, server, offline, sustained.

Every one of them warms up until the calls are steady, spreads its samples over the whole time, looks at the machine
meanwhile, and holds answers against the golden rows between the timed calls.

Belongs here: the timed loops. Not here: opening targets (opening.py), fresh processes (measuring.py), figures (run.py).
Imported as edge_runtime.benchmarks.scenarios.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from time import perf_counter_ns, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.timing import Call, samples_needed, time_block

from .conditions import Watch
from .environment import Environment
from .run import Run, Scenario
from .steady import WarmUp, warm_up
from .stored import frozen
from .target import Target

__all__ = ["own_cost_ns", "serve", "stream"]

Nanoseconds = NDArray[np.int64]
Progress = Callable[[float], None]

SLICES = 100  # stretches of a run: in each of them some calls are timed, some answers checked, the kernel is run once
SLICE_NS = 20_000_000  # what one of them lasts at least
MOST = 20_000  # samples of one process: enough for p99.9, and a stored run of five stays below 3 MB
FEWEST = samples_needed(90)
FEWEST_BATCHES = 16
KEPT = 64  # answers held at once: more would call the garbage collector into the timed loop
LARGEST_KEPT = 65_536  # bytes of an answer; holding larger ones would change how memory is reused
WAKE_NS = 1_500_000  # before a call is due, sleeping ends and spinning begins
IDLE_NS = 2_000_000  # slack in which an answer is checked and the kernel run
LOOK_NS = 20_000_000


class Checks:
    """Answers of timed calls, held until there is time to check them."""

    def __init__(self, target: Target) -> None:
        self.target, self.checked, self.right = target, 0, True
        self.held: list[tuple[int, Any]] = []
        self.room = KEPT if target.check is not None else 0

    def limit(self, answer: Any) -> None:
        """Hold one answer at a time where answers are large."""
        if self.room and size_of(answer) > LARGEST_KEPT:
            self.room = 1

    def settle(self) -> None:
        check = self.target.check
        if check is not None:
            found = [check(number % self.target.rotation, answer) for number, answer in self.held]
            self.checked += sum(each is not None for each in found)
            self.right = self.right and False not in found
        self.held.clear()

    def verdict(self) -> bool | None:
        """Whether all were right, and the golden rows are answered right now; None if nobody knows."""
        after = self.target.verify() if self.target.verify is not None else None
        if after is None and not self.checked:
            return None
        return self.right and after is not False


def size_of(answer: Any) -> int:
    values = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list | tuple) else (answer,)
    return sum(getattr(value, "nbytes", 0) for value in values)


def time_series(call: Call, into: Nanoseconds, at: Nanoseconds, answers: list[Any] | None) -> None:
    """Call once per element of ``into`` [n]: store each latency, and in ``at`` [n] when it began, by the clock."""
    clock = perf_counter_ns
    if answers is None:
        for i in range(len(into)):
            start = clock()
            call()
            into[i] = clock() - start
            at[i] = start
        return
    for i in range(len(into)):
        start = clock()
        answer = call()
        into[i] = clock() - start
        at[i] = start
        answers.append(answer)


def own_cost_ns() -> float:
    """What these loops add to each latency, in ns: the median they report of a call that does nothing."""
    into, at = np.empty(10_000, np.int64), np.empty(10_000, np.int64)
    time_series(nothing, into, at, None)
    return float(np.median(into))


def nothing() -> None:
    """The empty call."""


def stream(
    target: Target,
    scenario: Scenario,
    seconds: float,
    *,
    rows: int = 1,
    parts: int = 1,
    progress: Progress | None = None,
) -> Run:
    """One call after another for ``seconds``: single-stream, offline on batches of ``rows``, sustained.

    At least 64 samples are taken (16 batches), whatever they take, by all ``parts`` of a run together, and at most
    20,000, spread over the whole time; the machine is kept as busy in between.
    """
    environment = Environment.here(threads=target.threads)
    warm = warm_up(target.new_call())
    fewest = ceil((FEWEST_BATCHES if scenario == "offline" else FEWEST) / parts)
    slices = max(1, min(SLICES if scenario != "sustained" else 4 * SLICES, int(seconds * 1e9 / SLICE_NS)))
    call, asked, checks = target.new_call(), 0, Checks(target)
    latency, at = np.empty(MOST + fewest, np.int64), np.empty(MOST + fewest, np.int64)
    taken, number = 0, 0
    checks.limit(call())
    asked += 1
    watch = Watch()
    began = perf_counter_ns()
    while number < slices or taken < fewest:
        number += 1
        ends = began + int(number * seconds * 1e9 / slices)
        call()  # after the checks and the kernel, caches are the call's again
        asked += 1
        left = (ends - perf_counter_ns()) / warm.call_ns
        count = max(1, min(int(left), MOST // slices, len(latency) - taken))
        kept = min(checks.room, count)
        answers: list[Any] = []
        middle, stop = taken + kept, taken + count
        time_series(call, latency[taken:middle], at[taken:middle], answers)
        checks.held.extend(enumerate(answers, asked))
        time_series(call, latency[middle:stop], at[middle:stop], None)
        taken, asked = stop, asked + count
        checks.settle()
        watch.run_kernel()
        if progress is not None:
            progress(min(1.0, number / slices))
        asked += fill(call, warm.call_ns, ends)
    return Run(
        target=target.name,
        work=target.work,
        scenario=scenario,
        rows=rows,
        latency_ns=frozen(latency[:taken]),
        at_ns=frozen(at[:taken] - began),
        process_calls=(taken,),
        service_ns=None,
        rate_per_s=None,
        **common(warm, checks, environment, watch),
    )


def fill(call: Call, call_ns: float, ends: int) -> int:
    """Keep calling, without timing each, until about ``ends``; how many calls that took."""
    made = 0
    while (left := ends - perf_counter_ns()) > 2 * call_ns:
        count = max(1, int(min(left / 2, SLICE_NS) / call_ns))
        time_block(call, count)
        made += count
    return made


def serve(target: Target, rate_per_s: float, seconds: float, *, seed: int = 0, progress: Progress | None = None) -> Run:
    """Calls arrive at random, ``rate_per_s`` on average (Poisson), for ``seconds``, and are answered one at a time in
    order: a call's latency counts from when it was due, so what it waited behind a slow one is in it.

    At least 64 calls are made, and at most 20,000.
    """
    environment = Environment.here(threads=target.threads)
    warm = warm_up(target.new_call())
    count = int(min(max(rate_per_s * seconds, FEWEST), MOST))
    due = np.cumsum(np.random.default_rng(seed).exponential(1e9 / rate_per_s, count)).astype(np.int64)
    latency, service = np.empty(count, np.int64), np.empty(count, np.int64)
    call, checks, watch = target.new_call(), Checks(target), Watch()
    began = looked = perf_counter_ns()
    for i, wanted in enumerate((began + due).tolist()):
        now = perf_counter_ns()
        if wanted - now > IDLE_NS and now - looked > LOOK_NS:
            checks.settle()
            watch.run_kernel()
            looked = now
            if progress is not None and wanted - perf_counter_ns() > IDLE_NS:
                progress(i / count)
        now = wait(wanted)
        answer = call()
        end = perf_counter_ns()
        latency[i], service[i] = end - wanted, end - now
        if i == 0:
            checks.limit(answer)
        if len(checks.held) < checks.room:
            checks.held.append((i, answer))
    checks.settle()
    return Run(
        target=target.name,
        work=target.work,
        scenario="server",
        rows=1,
        latency_ns=frozen(latency),
        at_ns=frozen(due),
        process_calls=(count,),
        service_ns=frozen(service),
        rate_per_s=rate_per_s,
        **common(warm, checks, environment, watch),
    )


def wait(until: int) -> int:
    """Return at ``until``, or at once where that is over: the time it is then."""
    now = perf_counter_ns()
    while now < until:
        if until - now > WAKE_NS:
            sleep((until - now - WAKE_NS) / 1e9)
        now = perf_counter_ns()
    return now


def common(warm: WarmUp, checks: Checks, environment: Environment, watch: Watch) -> dict[str, Any]:
    """What every scenario says of its run."""
    conditions = watch.conditions()
    return {
        "warmup_ns": warm.block_ns,
        "warmup_calls": warm.calls,
        "steady": warm.steady,
        "own_cost_ns": own_cost_ns(),
        "answers_right": checks.verdict(),
        "answers_checked": checks.checked,
        "environment": environment,
        "conditions": conditions,
    }
