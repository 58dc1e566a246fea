"""One setting after another: threads, spinning, batch, variants, optimisation, providers; and which are worth having.

Belongs here: `sweep`, the Pareto set, the advice. Not here: what a setting means (settings.py), pictures.
Imported as edge_runtime.benchmarks.sweeping; `Sweep` and `sweep` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

import edge_runtime
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, InputError
from edge_runtime.parallel import usable_cores
from edge_runtime.timing import Estimate, time_block

from .intervals import percentile_of
from .measuring import Progress, batch_of, measure
from .opening import open_target, path_and_variant
from .run import Run, disturbed
from .settings import OPTIMISATIONS, Settings, providers
from .stored import Stored
from .target import Target

__all__ = ["PARAMETERS", "Parameter", "Sweep", "SweepPoint", "sweep"]

Parameter = Literal["threads", "spinning", "batch", "variant", "optimisation", "provider"]
PARAMETERS: tuple[Parameter, ...] = ("threads", "spinning", "batch", "variant", "optimisation", "provider")
BATCHES = (1, 8, 64, 512, 4096)
PASSES = 4  # every setting is measured so often, in fresh processes, in an order drawn anew
LONGEST_CALL_NS = 100_000_000  # of a batch that nobody asked for by name
WORTH_SAYING = 1.05
ELSEWHERE = ("AzureExecutionProvider",)  # asks another machine, and leaves every operator of a graph to the CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint(Stored):
    """One ``value`` of the parameter: its run, or why it was ``refused``; ``size_bytes`` is the variant's graph."""

    value: str
    run: Run | None
    refused: str | None
    size_bytes: int | None

    def median(self) -> Estimate:
        """The median latency of a call, in ns."""
        assert self.run is not None
        return percentile_of(self.run.latency_ns, 50, self.run.process_calls)

    def costs(self) -> tuple[Estimate, ...]:
        """What one wants little of: the latency of a call, the time of a row, the CPU time of a row, the size."""
        assert self.run is not None
        median, rows = self.median(), self.run.rows
        busy = self.run.conditions.cpu_seconds / self.run.conditions.seconds / rows
        size = float(self.size_bytes or 0)
        return median, scaled(median, 1 / rows), scaled(median, busy), Estimate(size, size, size, "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Stored):
    """What each value of ``parameter`` gives; ``usual`` is the one that a program gets that asks for nothing."""

    target: str
    parameter: Parameter
    usual: str
    points: tuple[SweepPoint, ...]

    @property
    def pareto(self) -> tuple[bool, ...]:
        """Which points no other one beats: one that is as good in everything (latency of a call, time and CPU time of a
        row, size) and clearly better in something."""
        costs = [point.costs() if point.run is not None else None for point in self.points]
        return tuple(
            mine is not None and not any(theirs is not None and beats(theirs, mine) for theirs in costs)
            for mine in costs
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What disturbed the whole of it, in sentences; () for a quiet machine."""
        return disturbed([point.run for point in self.points if point.run is not None])

    @property
    def advice(self) -> str | None:
        """A sentence on what to set, where it is faster than the usual by 5% or more, the intervals included."""
        ran = [point for point in self.points if point.run is not None]
        usual = next((point for point in ran if point.value == self.usual), None)
        if usual is None or len(ran) < 2:
            return None
        best = min(ran, key=lambda point: point.costs()[1].value)
        mine, theirs = best.costs()[1], usual.costs()[1]
        if theirs.low / mine.high < WORTH_SAYING:
            return None
        factor = f"{theirs.value / mine.value:.1f}x"
        if self.parameter == "batch":
            return f"rows in batches of {best.value} take {factor} less time a row than in batches of {self.usual} here"
        return f"{self.parameter}={best.value} is {factor} faster than {self.parameter}={self.usual} here"


def sweep(
    target: str,
    parameter: Parameter,
    values: Sequence[str] | None = None,
    *,
    seconds: float = 0.5,
    batch: int | None = None,
    settings: Settings | None = None,
    inputs: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sweep:
    """Measure ``target``, a file, with each of ``values`` (left out: all that make sense here), ``seconds`` each.

    Single-stream, or offline with ``batch`` rows a call. Every value is measured in four fresh processes, in random
    order, so that a machine that changes favours none. Raises InputError for an unknown parameter or value, and what
    `open_target` raises.
    """
    if parameter not in PARAMETERS:
        raise InputError(f"unknown parameter {parameter!r}", expected=f"one of {list(PARAMETERS)}")
    settings = settings if settings is not None else Settings()
    chosen = list(values) if values is not None else usual_values(target, parameter)
    asked_for = values is not None
    requests = {value: request_of(target, parameter, value, settings, batch) for value in chosen}
    parts: dict[str, list[Run]] = {value: [] for value in chosen}
    refused: dict[str, str] = {}
    if parameter == "batch" and not asked_for:
        refused = too_long(open_target(target, settings, inputs), chosen)
    rng = np.random.default_rng(seed)
    order = [chosen[i] for _ in range(PASSES) for i in rng.permutation(len(chosen))]
    for number, value in enumerate(order):
        if value not in refused:
            try:
                parts[value].append(
                    measure(**requests[value], seconds=seconds / PASSES, inputs=inputs, processes=1, seed=seed + number)
                )
            except (InputError, BundleError) as error:
                if asked_for:
                    raise
                refused[value] = str(error)
        if progress is not None:
            progress(parameter, (number + 1) / len(order))
    points = tuple(
        SweepPoint(
            value=value,
            run=Run.merged(parts[value]) if value not in refused else None,
            refused=refused.get(value),
            size_bytes=size_of(requests[value]["target"]),
        )
        for value in chosen
    )
    named = usual(target, parameter, chosen)
    return Sweep(target=os.path.basename(target), parameter=parameter, usual=named, points=points)


def usual_values(target: str, parameter: Parameter) -> list[str]:
    cores = usable_cores()
    match parameter:
        case "threads":
            return [str(2**k) for k in range(cores.bit_length()) if 2**k < cores] + [str(cores)]
        case "spinning":
            return ["off", "on"]
        case "batch":
            return [str(rows) for rows in BATCHES]
        case "variant":
            path, _ = path_and_variant(target)
            if path.lower().endswith(".onnx"):
                raise InputError(f"{target}: a plain .onnx file has one graph", expected="a bundle")
            return [variant.name for variant in Bundle.open(path).manifest.variants]
        case "optimisation":
            return list(OPTIMISATIONS)
        case "provider":
            return [name for name in providers() if name not in ELSEWHERE]


def too_long(opened: Target, sizes: Sequence[str]) -> dict[str, str]:
    """Which batches are not tried unless asked for, and why: a call would take so long that the curve takes minutes."""
    refused: dict[str, str] = {}
    row_ns = 0.0
    for place, size in enumerate(sizes):
        rows = int(size)
        if rows * row_ns > LONGEST_CALL_NS:
            refused[size] = f"a call would take about {rows * row_ns / 1e9:.2g} s; --sweep batch={size} tries it"
            continue
        try:
            call = batch_of(opened, rows).new_call()
        except InputError as error:  # which larger ones would meet as well
            return refused | dict.fromkeys(sizes[place:], str(error))
        time_block(call, 1)
        row_ns = time_block(call, 1) / rows
    return refused


def usual(target: str, parameter: Parameter, values: Sequence[str]) -> str:
    """The value of a program that asks for nothing: all cores, no spinning, one row, the variant that it gets here."""
    if parameter == "variant":
        return edge_runtime.load(path_and_variant(target)[0]).variant
    known = {
        "threads": str(usable_cores()), "spinning": "off", "batch": "1", "optimisation": "all",
        "provider": "CPUExecutionProvider",
    }  # fmt: skip
    return known.get(parameter, values[0] if values else "")


def request_of(target: str, parameter: Parameter, value: str, settings: Settings, batch: int | None) -> dict[str, Any]:
    """What `measure` is asked for one value. Raises InputError for a value that the parameter does not take."""
    path, _ = path_and_variant(target)
    made: dict[str, Any] = {"target": target, "settings": settings}
    if batch is not None or parameter == "batch":
        made |= {"scenario": "offline", "batch": batch}
    match parameter:
        case "threads":
            made["settings"] = replace(settings, threads=whole(value, "threads"))
        case "batch":
            made["batch"] = whole(value, "batch")
        case "variant":
            made["target"] = f"{path}#{value}"
        case "spinning":
            if value not in ("on", "off"):
                raise InputError(f"spinning is {value!r}", expected='"on" or "off"')
            made["settings"] = replace(settings, spinning=value == "on")
        case "optimisation":
            made["settings"] = replace(settings, optimisation=value)  # type: ignore[arg-type]  # Settings refuses others
        case "provider":
            made["settings"] = replace(settings, provider=value)
    return made


def whole(text: str, name: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{name} is {text!r}", expected="a whole number, 1 or more")
    return int(text)


def size_of(target: str) -> int | None:
    """The stored bytes of the graph that ``target`` names."""
    path, variant = path_and_variant(target)
    if path.lower().endswith(".onnx"):
        return os.path.getsize(path)
    manifest = Bundle.open(path).manifest
    graph = manifest.variant(variant).graph
    return next(entry.stored for entry in manifest.entries if entry.name == graph)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(estimate.value * factor, estimate.low * factor, estimate.high * factor, estimate.unit)


def beats(theirs: Sequence[Estimate], mine: Sequence[Estimate]) -> bool:
    pairs = list(zip(theirs, mine, strict=True))
    return all(a.value <= b.value for a, b in pairs) and any(a.high < b.low for a, b in pairs)
