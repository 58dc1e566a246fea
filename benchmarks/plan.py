"""From a request to a document: which measurements are made, in which order, for how long.

Belongs here: what a request asks for. Not here: any measurement, what is printed (bench.py).
Imported as edge_runtime.benchmarks.plan.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import edge_runtime
from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError
from edge_runtime.parallel import usable_cores
from edge_runtime.timing import samples_needed

from .comparison import Comparison, Verdict, compare
from .consumption import Energy
from .document import FORMAT, Document, ModelFile, read_document
from .environment import Environment
from .footprint import memory
from .fresh import in_fresh_process
from .gating import compare_runs, gate
from .measuring import RateSearch, cores_of, measure
from .opening import is_function, path_and_variant
from .options import Request
from .profiling import Profile
from .progress import Line
from .run import Run, Scenario
from .starting import cold_start
from .stored import Stored
from .sweeping import sweep
from .web import is_url

__all__ = ["compared", "measured"]

S = TypeVar("S", bound=Stored)

DONE, NO = 0, 1
STATUS: dict[Verdict, int] = {"faster": DONE, "no difference": DONE, "slower": NO, "inconclusive": 3, "unfit": 4}
PROCESSES = 5
RUN_SECONDS, SERVER_SECONDS, SUSTAINED_SECONDS = 5.0, 10.0, 60.0
LONGEST_SERVER = 60.0
PROFILED = 200
WIDELY = 1.1  # more calls than a percentile needs at least


def measured(request: Request, line: Line) -> Document:
    """Measure what ``request`` asks for. Raises what the measurements raise."""
    settings = request.settings
    baseline = None
    if request.baseline is not None and request.scenario is not None:
        baseline = run_of(request.baseline, request.scenario)
    model = model_file(request)
    document = Document(
        format=FORMAT,
        target=os.path.basename(request.model) if model is not None else request.model,
        model=model,
        environment=Environment.here(threads=settings.threads),
    )
    document = everything(request, line, document) if request.everything else particular(request, line, document)
    if baseline is not None:
        allowed = {} if request.max_regression is None else {"max_regression": request.max_regression}
        judged = gate(document.runs[0], baseline, anyway=request.anyway, **allowed)
        document = replace(document, gate=judged)
    return replace(document, status=status_of(document))


def compared(request: Request) -> Document:
    """Compare the runs of two stored documents, scenario by scenario. Raises InputError where they share none."""
    new, old = map(read_document, request.files)
    kinds = {kind_of(run): run for run in old.runs}
    pairs = [(run, kinds[kind_of(run)]) for run in new.runs if kind_of(run) in kinds]
    if not pairs:
        raise InputError(
            f"{request.files[0]} and {request.files[1]} have no run in common",
            expected="two runs of one scenario, rate and batch",
        )
    found = tuple(compare_runs(mine, theirs, anyway=request.anyway) for mine, theirs in pairs)
    document = Document(
        format=FORMAT, target=new.target, model=new.model, environment=new.environment, comparisons=found
    )
    return replace(document, status=status_of(document))


def everything(request: Request, line: Line, document: Document) -> Document:
    """What a person wants to know first of ``request.model``."""
    settings, name = request.settings, request.model
    asked: dict[str, Any] = {"settings": settings, "inputs": request.data}
    document = replace(document, runs=(single_stream(request, line),))
    if document.model is None:
        note = "batches, cold start, memory and size are measured of files: a bundle or an .onnx file"
        return replace(document, notes=(note,))
    budget: dict[str, Any] = {} if request.seconds is None else {"seconds": request.seconds}
    line.stage("batch sizes")
    sweeps = [sweep(name, "batch", **asked, **budget, progress=line)]
    if settings.threads is None and usable_cores() > 1:
        line.stage("threads")
        sweeps.append(sweep(name, "threads", ["1", str(usable_cores())], **asked, **budget, progress=line))
    if len(variants_of(name)) > 1:
        line.stage("variants")
        sweeps.append(sweep(name, "variant", **asked, **budget, progress=line))
    line.stage("energy")
    found = apart(request, "energy", Energy, line, **budget)
    document = replace(document, sweeps=tuple(sweeps), energy=found)
    if settings.own_session:
        note = "cold start and memory are measured with edge-runtime's own session only"
        return replace(document, notes=(note,))
    line.stage("cold start")
    started = cold_start(name, **asked, progress=line)
    line.stage("memory")
    return replace(document, cold_start=started, memory=memory(name, **asked))


def particular(request: Request, line: Line, document: Document) -> Document:
    """What was asked for by name, and nothing else."""
    settings, name = request.settings, request.model
    asked: dict[str, Any] = {"settings": settings, "inputs": request.data}
    budget: dict[str, Any] = {} if request.seconds is None else {"seconds": request.seconds}
    sweeps = [
        sweep(name, parameter, values, batch=request.batch, **asked, **budget, progress=line)
        for parameter, values in request.sweep
    ]
    if request.scenario == "offline" and request.batch is None:
        line.stage("batch sizes")
        sweeps.append(sweep(name, "batch", **asked, **budget, progress=line))
    runs = () if (run := in_scenario(request, line)) is None else (run,)
    document = replace(document, runs=runs, sweeps=tuple(sweeps))
    if request.find_max_rate is not None:
        line.stage("highest rate")
        found = apart(request, "search", RateSearch, line, bound_ms=request.find_max_rate * 1e3, **budget)
        document = replace(document, rate_search=found)
    if request.profile:
        line.stage("profile")
        profiled = apart(request, "profile", Profile, line, calls=PROFILED, rows=request.batch or 1)
        document = replace(document, profile=profiled)
    if request.against is not None:
        line.stage(f"against {os.path.basename(request.against)}")
        document = replace(document, comparisons=(against(request, line),))
    return document


def apart(request: Request, task: str, kind: type[S], line: Line, **asked: Any) -> S:
    """What worker.py's ``task`` finds of ``request.model``, in a process that is bound to its cores from the start."""
    data = in_fresh_process(
        task, cores_of(request.model, request.settings), report=lambda part: line(task, part), target=request.model,
        settings=request.settings.to_json(), inputs=request.data, **asked,
    )  # fmt: skip
    return kind.from_json(data)


def in_scenario(request: Request, line: Line) -> Run | None:
    """The run in the scenario that was asked for; None where that is not one run."""
    asked: dict[str, Any] = {"settings": request.settings, "inputs": request.data}
    match request.scenario:
        case "single-stream":
            return single_stream(request, line)
        case "server" if request.rate is not None:
            seconds = request.seconds or server_seconds(request.rate)
            line.stage(f"server, {request.rate:g} calls a second{until(seconds)}")
            asked |= {"rate": request.rate, "seconds": seconds}
            return measure(request.model, "server", **asked, processes=1, progress=line)
        case "sustained":
            seconds = request.sustained or request.seconds or SUSTAINED_SECONDS
            line.stage(f"sustained{until(seconds)}")
            return measure(request.model, "sustained", **asked, seconds=seconds, processes=1, progress=line)
        case "offline" if request.batch is not None:
            line.stage("offline")
            return measure(request.model, "offline", batch=request.batch, **shared(request), **asked, progress=line)
    return None


def single_stream(request: Request, line: Line) -> Run:
    line.stage("single-stream")
    settings, data = request.settings, request.data
    return measure(request.model, settings=settings, inputs=data, **shared(request), progress=line)


def against(request: Request, line: Line) -> Comparison:
    assert request.against is not None
    return compare(
        request.model,
        request.against,
        settings=request.settings,
        inputs=request.data,
        **shared(request),
        progress=line,
    )


def shared(request: Request) -> dict[str, Any]:
    """The time that fresh processes share."""
    return {"seconds": request.seconds or RUN_SECONDS, "processes": request.processes or PROCESSES}


def server_seconds(rate: float) -> float:
    """Long enough for a p99, within a minute."""
    return min(max(SERVER_SECONDS, WIDELY * samples_needed(99) / rate), LONGEST_SERVER)


def until(seconds: float) -> str:
    """When a measurement ends that is long."""
    return f", until {time.strftime('%H:%M:%S', time.localtime(time.time() + seconds))}"


def model_file(request: Request) -> ModelFile | None:
    """What the file says of itself; None for a URL and a function. Raises what `edge_runtime.load` raises."""
    if is_url(request.model) or is_function(request.model):
        return None
    path, variant = path_and_variant(request.model)
    model = edge_runtime.load(path, variant=variant, threads=request.threads)
    return ModelFile(
        name=model.name,
        version=model.version,
        variant=model.variant,
        digest=model.digest,
        file_bytes=os.path.getsize(path),
        golden_rows=len(model.golden_rows()),
    )


def variants_of(name: str) -> Sequence[str]:
    path, variant = path_and_variant(name)
    if variant is not None or path.lower().endswith(".onnx"):
        return ()
    return [each.name for each in Bundle.open(path).manifest.variants]


def run_of(path: str, scenario: Scenario) -> Run:
    """The stored run that a new one is held against."""
    for run in read_document(path).runs:
        if run.scenario == scenario:
            return run
    raise InputError(
        f"{path} has no {scenario} run", expected=f"edge-bench MODEL --scenario {scenario} --json > {path}"
    )


def kind_of(run: Run) -> tuple[str, int, float | None]:
    return run.scenario, run.rows, run.rate_per_s


def status_of(document: Document) -> int:
    """A wrong answer outweighs any speed; then the gate, the comparisons, the search."""
    if document.answers_right is False:
        return NO
    found = [STATUS[comparison.verdict] for comparison in document.comparisons]
    if document.gate is not None:
        found.append(document.gate.status)
    if document.rate_search is not None and document.rate_search.rate_per_s is None:
        found.append(NO)
    return NO if NO in found else max(found, default=DONE)
