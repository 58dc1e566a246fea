"""Where the time goes inside the graph: onnxruntime's own profile, by operator and by node.

Belongs here: running a profiled session, reading what it wrote. Not here: latencies, which a profile makes longer.
Imported as edge_runtime.benchmarks.profiling; `Profile` and `profile` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import edge_runtime
from edge_runtime.errors import InputError
from edge_runtime.timing import rotate, time_block

from .environment import Environment
from .inputs import inputs_of, tensors_of
from .opening import file_target, graph_of, own_session
from .settings import Settings
from .stored import Stored

__all__ = ["NodeTime", "OperatorTime", "Profile", "profile"]

WARM_UP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime(Stored):
    """All ``nodes`` of one ``operator``: ns per call of the graph, and their ``share`` of all nodes' time."""

    operator: str
    nodes: int
    ns_per_call: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime(Stored):
    """One node: its operator, ns per call of the graph, and its ``share`` of all nodes' time."""

    name: str
    operator: str
    ns_per_call: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Stored):
    """Times of ``calls`` calls of `session.run` on ``rows`` rows, slowest first, of the graph as onnxruntime optimised
    it. onnxruntime counts in whole microseconds, so a node that takes less is shown as 0 or 1 µs."""

    target: str
    calls: int
    rows: int
    operators: tuple[OperatorTime, ...]
    nodes: tuple[NodeTime, ...]
    environment: Environment


def profile(
    target: str, *, calls: int = 200, rows: int = 1, settings: Settings | None = None, inputs: str | None = None
) -> Profile:
    """Profile ``target``, a file, for ``calls`` calls on ``rows`` rows. Raises InputError for a target that is no file,
    and what `open_target` raises."""
    if calls < 1 or rows < 1:
        raise InputError(f"{calls} calls on {rows} rows", expected="1 or more of each")
    settings = settings if settings is not None else Settings()
    asked = file_target(target, Settings(threads=settings.threads), inputs)
    model = edge_runtime.load(asked["path"], threads=settings.threads, variant=asked["variant"])
    feeds = tensors_of(model, inputs_of(model, inputs), rows)
    events, kept = recorded(graph_of(asked["path"], asked["variant"]), settings, feeds, calls)
    operators, nodes = summed(events, kept)
    return Profile(
        target=os.path.basename(target),
        calls=kept,
        rows=rows,
        operators=operators,
        nodes=nodes,
        environment=Environment.here(threads=settings.threads),
    )


def recorded(raw: bytes, settings: Settings, feeds: Any, calls: int) -> tuple[list[dict[str, Any]], int]:
    """The events of the nodes' kernels, and how many calls they come from; the first ten calls are left out."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        options = settings.options()
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "profile")
        session = own_session(raw, settings, options)
        names = [output.name for output in session.get_outputs()]
        call = rotate(lambda feed: session.run(names, feed), feeds)
        time_block(call, WARM_UP + calls)
        with open(session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    counts: dict[str, int] = defaultdict(int)
    late = []
    for event in kernels:
        counts[event["name"]] += 1
        if counts[event["name"]] > WARM_UP:
            late.append(event)
    return late, max(1, max(counts.values(), default=WARM_UP + 1) - WARM_UP)


def summed(events: list[dict[str, Any]], calls: int) -> tuple[tuple[OperatorTime, ...], tuple[NodeTime, ...]]:
    by_node: dict[tuple[str, str], float] = defaultdict(float)
    for event in events:
        by_node[event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]] += event["dur"] * 1e3
    total = max(sum(by_node.values()), 1e-9)
    by_operator: dict[str, list[float]] = defaultdict(list)
    for (_, operator), took in by_node.items():
        by_operator[operator].append(took)
    nodes = [
        NodeTime(name=name, operator=operator, ns_per_call=took / calls, share=took / total)
        for (name, operator), took in by_node.items()
    ]
    operators = [
        OperatorTime(operator=operator, nodes=len(took), ns_per_call=sum(took) / calls, share=sum(took) / total)
        for operator, took in by_operator.items()
    ]
    return (
        tuple(sorted(operators, key=lambda each: -each.ns_per_call)),
        tuple(sorted(nodes, key=lambda each: -each.ns_per_call)),
    )
