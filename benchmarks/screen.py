"""What a person reads: a run as a small table, a comparison as a sentence.

Belongs here: text from runs that stand. Not here: measuring, exit statuses (bench.py), pictures.
Imported as edge_runtime.benchmarks.screen.
"""

from __future__ import annotations

from edge_runtime.timing import Estimate, NeedsMoreSamples
from edge_runtime.words import printable

from .comparison import Comparison, percent, reach
from .environment import Environment
from .run import Run

__all__ = ["comparison_text", "run_text"]

PERCENTILES = (50, 90, 99, 99.9)
UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
ANSWERS = {True: "answered right", False: "ANSWERED WRONG", None: "none to check"}


def run_text(run: Run) -> str:
    """The run as lines: target, machine, golden rows, percentiles with their intervals, the A/A pair."""
    lines = [
        printable(run.target),
        machine_line(run.environment),
        f"golden rows: {ANSWERS[run.answers_right]}",
        f"one call: {printable(run.work)}",
        "",
        f"{run.scenario}, one call at a time: {len(run.latency_ns):,} calls after {run.warmup_calls:,} to warm up",
        f"  {'':7}{'latency':>10}   95% interval, of these calls alone: another run may differ by more",
        *(percentile_line(run, percent) for percent in PERCENTILES),
        f"the clock's own cost, included: {duration(run.own_cost_ns)} a call",
        itself_line(run.against_itself()),
    ]
    return "\n".join(lines)


def comparison_text(comparison: Comparison) -> str:
    """The comparison as lines: what was done, its A/A pair, the sentence, and whether the calls were alike."""
    rounds, calls = len(comparison.a_block_ns), comparison.calls
    done = f"interleaved: {rounds:,} rounds of {calls:,} {'call' if calls == 1 else 'calls'}, in random order"
    lines = [done, itself_line(comparison.against_itself), printable(comparison.sentence)]
    if comparison.a_work != comparison.b_work:
        unlike = f"{comparison.a}: {comparison.a_work}; {comparison.b}: {comparison.b_work}"
        lines.append(f"not like for like: {printable(unlike)}")
    return "\n".join(lines)


def percentile_line(run: Run, percent: float) -> str:
    name = f"p{percent:g}"
    try:
        found = run.percentile(percent)
    except NeedsMoreSamples as error:
        return f"  {name:7}{'–':>10}   needs {error.more:,} more samples"
    return f"  {name:7}{duration(found.value):>10}   {duration(found.low)} to {duration(found.high)}"


def itself_line(itself: Estimate) -> str:
    seen = f"±{percent(reach(itself))} is the smallest difference this run could have seen"
    return f"A/A: {itself.value:.3f} ({itself.low:.3f} to {itself.high:.3f}, 99% interval): {seen}"


def machine_line(environment: Environment) -> str:
    parts = [environment.cpu_model, plural(environment.cores, "core")]
    parts += [plural(environment.threads, "thread")] if environment.threads is not None else []
    parts += [f"load {environment.load:.2f}"] if environment.load is not None else []
    parts += [f"Python {environment.python}", f"numpy {environment.numpy}", f"onnxruntime {environment.onnxruntime}"]
    return printable(", ".join([*parts, environment.date]))


def duration(nanoseconds: float) -> str:
    """Three digits and a unit: 3.21 µs."""
    size, unit = next(((size, unit) for size, unit in UNITS if nanoseconds >= size), UNITS[-1])
    value = nanoseconds / size
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"


def plural(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
