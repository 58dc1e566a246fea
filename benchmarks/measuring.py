"""`measure`: a target in a scenario, in this process or in fresh ones, and the search for the highest rate.

Belongs here: what the library's users call to get a Run. Not here: the timed loops (scenarios.py), comparisons.
Imported as edge_runtime.benchmarks.measuring; `measure` and `find_max_rate` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edge_runtime.errors import InputError
from edge_runtime.timing import NeedsMoreSamples, samples_needed

from .fresh import cores_for, in_fresh_process
from .opening import Measurable, is_function, open_target
from .run import SCENARIOS, Run, Scenario, disturbed
from .scenarios import serve, stream
from .settings import Settings
from .stored import Stored
from .target import Target
from .web import is_url

__all__ = ["Progress", "RateSearch", "find_max_rate", "measure", "run_here", "share_of", "text_of"]

Progress = Callable[[str, float], None]  # what is being done, and which part of it is done, 0 to 1

LOWEST, HIGHEST = 0.02, 0.98  # the rates that are tried, as parts of what the target can do without a pause
TRIES = 7


def measure(
    target: Measurable,
    scenario: Scenario = "single-stream",
    *,
    seconds: float = 2.0,
    settings: Settings | None = None,
    inputs: str | None = None,
    rate: float | None = None,
    batch: int | None = None,
    processes: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Run:
    """Measure ``target`` (see `open_target`) for about ``seconds``, after a warm-up that ends when calls are steady.

    ``rate`` is the server scenario's, in calls a second, ``batch`` the offline scenario's rows of a call. With
    ``processes``, as many fresh ones measure one after the other, each bound to its cores before onnxruntime is
    imported, and share the time; it takes a target that is named by text. Without, this process measures.
    Raises InputError for a scenario that lacks what it needs or is given what it does not take, ValueError for a budget
    that is not positive, and what `open_target` raises.
    """
    check_request(scenario, seconds, rate, batch, processes)
    settings = settings if settings is not None else Settings()
    report = partial(progress, scenario) if progress is not None else None
    opened = open_target(target, settings, inputs)
    if processes is None:
        return run_here(opened, scenario=scenario, seconds=seconds, rate=rate, batch=batch, seed=seed, report=report)
    name = text_of(target)
    if scenario == "offline":
        batch_of(opened, batch or 1)
    del opened
    parts = []
    for number in range(processes):
        data = in_fresh_process(
            "measure", cores_of(name, settings), report=share_of(report, number, processes), target=name,
            settings=settings.to_json(), inputs=inputs, scenario=scenario, seconds=seconds / processes, rate=rate,
            batch=batch, seed=seed + number, parts=processes,
        )  # fmt: skip
        parts.append(Run.from_json(data))
        if report is not None:
            report((number + 1) / processes)
    return Run.merged(parts)


def share_of(report: Callable[[float], None] | None, number: int, of: int) -> Callable[[float], None] | None:
    """What tells ``report`` how far all ``of`` processes are, given how far the one of that number is."""
    return None if report is None else lambda part: report((number + part) / of)


def check_request(scenario: str, seconds: float, rate: float | None, batch: int | None, processes: int | None) -> None:
    if scenario not in SCENARIOS:
        raise InputError(f"unknown scenario {scenario!r}", expected=f"one of {list(SCENARIOS)}")
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds!r}; expected a positive number")
    if (rate is not None) != (scenario == "server"):
        raise InputError(f"{scenario} with rate {rate}", expected="a rate in the server scenario, and only there")
    if rate is not None and not rate > 0:
        raise InputError(f"rate is {rate}", expected="a positive number of calls a second")
    if batch is not None and scenario != "offline":
        raise InputError(f"{scenario} with batches of {batch}", expected="batches in the offline scenario only")
    if batch is not None and batch < 1:
        raise InputError(f"batch is {batch}", expected="1 row or more")
    if processes is not None and processes < 1:
        raise InputError(f"processes is {processes}", expected="1 or more")


def text_of(target: Measurable) -> str:
    """The text that names a target to another process. Raises InputError for an object."""
    if isinstance(target, str | os.PathLike):
        return os.fspath(target)
    raise InputError(
        f"a {type(target).__name__} cannot be handed to fresh processes", expected='a path, a URL or "module:function"'
    )


def cores_of(name: str, settings: Settings) -> tuple[int, ...]:
    """The cores to bind a target's process to: as many as it has threads; all for a function and a server."""
    return cores_for(None if is_url(name) or is_function(name) else settings.threads)


def batch_of(target: Target, rows: int) -> Target:
    if target.batch is None:
        raise InputError(f"{target.name} takes no batches", expected="a bundle or an .onnx file")
    return target.batch(rows)


def run_here(
    target: Target,
    *,
    scenario: Scenario,
    seconds: float,
    rate: float | None = None,
    batch: int | None = None,
    seed: int = 0,
    parts: int = 1,
    report: Callable[[float], None] | None = None,
) -> Run:
    """One process' share of `measure`; there are ``parts``, which need so many fewer samples each."""
    if scenario == "server":
        assert rate is not None
        return serve(target, rate, seconds, seed=seed, progress=report)
    if scenario == "offline":
        rows = batch or 1
        return stream(batch_of(target, rows), scenario, seconds, rows=rows, parts=parts, progress=report)
    return stream(target, scenario, seconds, parts=parts, progress=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSearch(Stored):
    """The highest rate at which the ``percent``th percentile of the latency stayed below ``bound_ns``, its interval
    included; ``rate_per_s`` is None if it never did. ``tries`` are the server runs, in order: calls are answered one at
    a time, so no rate is above what the target does without a pause."""

    bound_ns: float
    percent: float
    rate_per_s: float | None
    tries: tuple[Run, ...]

    @property
    def at_its_limit(self) -> bool:
        """Whether the first rate that was tried kept the bound: nearly what the target does without a pause."""
        return self.rate_per_s is not None and len(self.tries) == 1

    @property
    def problems(self) -> tuple[str, ...]:
        """What disturbed the search, in sentences; () for a quiet machine."""
        return disturbed(self.tries)


def find_max_rate(
    target: Measurable,
    *,
    bound_ms: float,
    percent: float = 99.0,
    seconds: float = 10.0,
    settings: Settings | None = None,
    inputs: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RateSearch:
    """Search the highest rate at which ``percent`` of the calls are answered within ``bound_ms`` of when they were due,
    one at a time.

    Halves the range of rates seven times, in ``seconds`` together (longer at rates that give too few calls). Raises
    InputError for a bound that is not positive, and what `open_target` raises.
    """
    if not bound_ms > 0:
        raise InputError(f"the bound is {bound_ms} ms", expected="a positive number")
    opened = open_target(target, settings, inputs)
    alone = stream(opened, "single-stream", seconds / (TRIES + 1))
    most = 1e9 / float(alone.latency_ns.mean())
    low, high, found = LOWEST * most, HIGHEST * most, None
    tries: list[Run] = []
    for number in range(TRIES):
        rate = high if number == 0 else (low + high) / 2
        share = max(seconds / (TRIES + 1), 1.05 * samples_needed(percent) / rate)
        run = serve(opened, rate, share, seed=seed + number)
        tries.append(run)
        if progress is not None:
            progress("server", (number + 1) / TRIES)
        if keeps(run, percent, bound_ms * 1e6):
            low, found = rate, max(found or 0.0, rate)
            if number == 0:
                break
        else:
            high = rate
    return RateSearch(bound_ns=bound_ms * 1e6, percent=percent, rate_per_s=found, tries=tuple(tries))


def keeps(run: Run, percent: float, bound_ns: float) -> bool:
    try:
        return run.percentile(percent).high <= bound_ns
    except NeedsMoreSamples:
        return False
