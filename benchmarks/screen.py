"""What a person reads on a terminal: a document as text, without an extra.

Belongs here: text from results that stand. Not here: measuring, exit statuses (plan.py), pictures (pictures.py).
Imported as edge_runtime.benchmarks.screen.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_runtime.timing import Estimate, NeedsMoreSamples
from edge_runtime.words import bytes_text, printable

from .comparison import Comparison, percent
from .consumption import Energy
from .document import Document, ModelFile
from .environment import Environment
from .figures import PERCENTILES
from .footprint import Memory
from .gating import Gate
from .intervals import reach
from .measuring import RateSearch
from .profiling import Profile
from .run import Run
from .starting import ColdStart
from .sweeping import Sweep, SweepPoint
from .wording import duration, plural, rate, span, table

__all__ = [
    "cold_start_text",
    "comparison_text",
    "document_text",
    "energy_text",
    "golden_words",
    "machine_words",
    "memory_text",
    "model_words",
    "not_quiet",
    "percentile_row",
    "profile_title",
    "refusals",
    "run_remarks",
    "run_text",
    "run_title",
    "search_row",
    "search_title",
    "sweep_row",
    "timed",
]

SCENARIO = {
    "single-stream": "one call after another",
    "server": "calls that arrive at random",
    "offline": "one batch after another",
    "sustained": "one call after another, for long",
}
MOST_NODES = 10


def document_text(document: Document) -> str:
    """The document as lines: what was measured where, each part that is there, the verdict or the advice at the end."""
    head = [model_words(document.model) if document.model is not None else printable(document.target)]
    head.append(machine_words(document.environment))
    head += [golden_words(document)] if timed(document) else []
    parts = ["\n".join(head), *(run_text(run) for run in document.runs)]
    if document.rate_search is not None:
        parts.append(search_text(document.rate_search))
    parts += [sweep_text(sweep) for sweep in document.sweeps]
    small = []
    if document.cold_start is not None:
        small.append(cold_start_text(document.cold_start))
    if document.memory is not None:
        small.append(memory_text(document.memory))
    if document.energy is not None:
        small.append(energy_text(document.energy))
    parts += ["\n".join(small)] if small else []
    parts += [profile_text(document.profile)] if document.profile is not None else []
    parts += [comparison_text(comparison) for comparison in document.comparisons]
    parts += [gate_text(document.gate)] if document.gate is not None else []
    parts += ["\n".join(printable(f"not measured: {note}") for note in document.notes)] if document.notes else []
    if document.sweeps:
        kept = "none: nothing that was tried here is clearly faster than what a program gets that asks for nothing"
        parts.append(f"advice: {printable(document.advice or kept)}")
    return "\n\n".join(parts)


def model_words(model: ModelFile) -> str:
    """Name, version, variant, size, identity."""
    name = " ".join(filter(None, [model.name, model.version])) or "a model without a name"
    return printable(f"{name} ({model.variant}), {bytes_text(model.file_bytes)}, {model.digest}")


def machine_words(environment: Environment) -> str:
    """The machine, and what runs on it."""
    parts = [environment.cpu_model, plural(environment.cores, "core")]
    parts += [plural(environment.threads, "thread")] if environment.threads is not None else []
    parts += [bytes_text(environment.memory_bytes)] if environment.memory_bytes is not None else []
    parts += [f"governor {environment.governor}"] if environment.governor is not None else []
    parts += [f"load {environment.load:.2f}"] if environment.load is not None else []
    parts += [environment.system, f"Python {environment.python}", f"numpy {environment.numpy}"]
    parts += [f"onnxruntime {environment.onnxruntime}", environment.date]
    return printable(", ".join(parts))


def timed(document: Document) -> bool:
    """Whether anything was timed whose answers could be checked."""
    return bool(document.runs or document.sweeps or document.comparisons or document.rate_search is not None)


def golden_words(document: Document) -> str:
    """Whether what was timed was right."""
    checked = sum(run.answers_checked for run in document.runs)
    while_timing = f", {checked:,} of them while timing" if checked else ""
    match document.answers_right:
        case True:
            return f"golden rows: answered right{while_timing}"
        case False:
            return "golden rows: ANSWERED WRONG"
        case None:
            return "golden rows: none to check"


def run_text(run: Run) -> str:
    """Percentiles with their intervals, and what else there is to say of a run."""
    rows = [percentile_row(run, each) for each in PERCENTILES]
    lines = table(rows, ("", "latency", "95% interval"))
    work, *remarks = run_remarks(run)
    return "\n".join([run_title(run), f"  {work}", *lines, *(f"  {remark}" for remark in remarks)])


def run_title(run: Run) -> str:
    """The scenario, and how often how many processes called."""
    processes = plural(len(run.process_calls), "fresh process", "fresh processes")
    rows = f" of {plural(run.rows, 'row')}" if run.scenario == "offline" else ""
    offered = f", {run.rate_per_s:g} a second" if run.rate_per_s is not None else ""
    return f"{run.scenario}: {SCENARIO[run.scenario]}{offered}; {len(run.latency_ns):,} calls{rows} in {processes}"


def run_remarks(run: Run) -> list[str]:
    """What one call did; throughput or the naive figures, drift, the A/A pair; what disturbed the run."""
    lines = [f"one call: {printable(run.work)}"]
    if run.service_ns is not None:
        lines.append(naive_line(run))
    else:
        found = run.throughput()
        lines.append(f"{rate(found.value)} rows/s ({rate(found.low)} to {rate(found.high)})")
    if run.scenario == "sustained":
        lines.append(drift_line(run))
    lines.append(itself_line(run.against_itself()))
    lines.append(f"the clock's own cost, included: {duration(run.own_cost_ns)} a call")
    return [*lines, *(f"not quiet: {printable(problem)}" for problem in run.problems)]


def percentile_row(run: Run, percent: float) -> tuple[str, str, str]:
    try:
        found = run.percentile(percent)
    except NeedsMoreSamples as error:
        return f"p{percent:g}", "–", f"needs {error.more:,} more samples"
    return f"p{percent:g}", duration(found.value), span(found)


def naive_line(run: Run) -> str:
    """What a tool would have found that waits for an answer before it asks again."""
    found = []
    for each in PERCENTILES:
        try:
            found.append(f"p{each:g} {duration(run.naive_percentile(each).value)}")
        except NeedsMoreSamples:
            break
    figures = ", ".join(found) or "unknown"
    return f"counted from when a call was due; tools that count from when it was made would say {figures}"


def drift_line(run: Run) -> str:
    try:
        found = run.drift()
    except ValueError as error:
        return f"drift: unknown, {error}"
    at_the_end = "slower at the end" if found.value > 1 else "faster at the end"
    told = "no drift" if found.low <= 1 <= found.high else at_the_end
    interval = f"99% interval {found.low:.3f} to {found.high:.3f}"
    return f"{told}: calls of the last fifth of the time took {found.value:.3f} times those of the first ({interval})"


def search_text(search: RateSearch) -> str:
    """The highest rate that kept the bound, and those that were tried."""
    tried = sorted(search.tries, key=lambda run: run.rate_per_s or 0)
    rows = [search_row(search, run) for run in tried]
    lines = table(rows, ("offered", f"p{search.percent:g}", "95% interval", ""))
    return "\n".join([search_title(search), *lines, *not_quiet(search.problems)])


def not_quiet(problems: Iterable[str]) -> list[str]:
    return [f"  not quiet: {printable(problem)}" for problem in problems]


def search_title(search: RateSearch) -> str:
    """What was found, in a sentence."""
    bound = f"p{search.percent:g} within {duration(search.bound_ns)}"
    if search.rate_per_s is None:
        return f"highest rate: no rate that was tried keeps {bound}, one call at a time"
    limit = "; more than that it hardly does without a pause" if search.at_its_limit else ""
    return f"highest rate: {rate(search.rate_per_s)} calls a second keep {bound}, one at a time{limit}"


def search_row(search: RateSearch, run: Run) -> tuple[str, str, str, str]:
    _, value, interval = percentile_row(run, search.percent)
    return f"{rate(run.rate_per_s or 0)}/s", value, interval, plural(len(run.latency_ns), "call")


def sweep_text(sweep: Sweep) -> str:
    """One line for each value; * marks those that no other value beats."""
    headings = (sweep.parameter, "rows/s", "95% interval", "a call", "")
    rows = [sweep_row(sweep, point, best) for point, best in zip(sweep.points, sweep.pareto, strict=True)]
    lines = [f"by {sweep.parameter} (* no other is better in speed, CPU time and size)", *table(rows, headings)]
    lines += [f"  {refusal}" for refusal in refusals(sweep)]
    return "\n".join([*lines, *not_quiet(sweep.problems)])


def refusals(sweep: Sweep) -> list[str]:
    """Why values did not run, each reason once."""
    reasons: dict[str, list[str]] = {}
    for point in sweep.points:
        if point.refused is not None:
            reasons.setdefault(point.refused, []).append(point.value)
    return [printable(f"{', '.join(values)}: {reason}") for reason, values in reasons.items()]


def sweep_row(sweep: Sweep, point: SweepPoint, best: bool) -> tuple[str, ...]:
    if point.run is None:
        return printable(point.value), "–", "refused", "–", ""
    found = point.run.throughput()
    marks = [mark for mark, on in (("*", best), ("the usual", point.value == sweep.usual)) if on]
    interval = f"{rate(found.low)} to {rate(found.high)}"
    return printable(point.value), rate(found.value), interval, duration(point.median().value), " ".join(marks)


def cold_start_text(found: ColdStart) -> str:
    total = found.total()
    phases = [f"{name} {duration(found.phase(name).value)}" for name in found.phases]
    processes = f"median of {len(found.phase_ns)} fresh processes, files in the cache"
    return (
        f"cold start: {duration(total.value)} to the first answer ({span(total)}), {processes}\n  {', '.join(phases)}"
    )


def memory_text(found: Memory) -> str:
    held = found.phases[-1].rss_bytes
    peaks = [(phase.name, phase.peak_rss_bytes) for phase in found.phases]
    if held is None or any(peak is None for _, peak in peaks):
        lines = ["memory: this system does not say it"]
    else:
        shares = ", ".join(f"{name} {bytes_text(peak)}" for name, peak in peaks if peak is not None)
        which = "peak of each phase" if found.peak_is_per_phase else "peak up to the end of each phase"
        pss = found.phases[-1].pss_bytes
        shared = f", {bytes_text(pss)} of it its own share (PSS)" if pss is not None else ""
        lines = [f"memory: {bytes_text(held)} resident after the runs{shared}", f"  {which}: {shares}"]
    installed = ", ".join(f"{package} {bytes_text(size)}" for package, size in found.installed_bytes.items())
    return "\n".join([*lines, f"size: the file {bytes_text(found.model_bytes)}; installed: {installed}"])


def energy_text(found: Energy) -> str:
    proxy = f"CPU time {duration(found.cpu_seconds_per_call * 1e9)} a call, idle tail included"
    if found.joules_per_call is None:
        return f"energy: unavailable ({printable(found.unavailable or '')}); as a proxy, {proxy}"
    joules = found.joules_per_call
    return f"energy: {joules.value:.3g} J a call ({joules.low:.3g} to {joules.high:.3g}), whole package; {proxy}"


def profile_text(found: Profile) -> str:
    """Operators, and the slowest nodes."""
    operators = [
        (printable(each.operator), plural(each.nodes, "node"), duration(each.ns_per_call), f"{each.share:.1%}")
        for each in found.operators
    ]
    lines = [profile_title(found), *table(operators, ("operator", "", "a call", "share"))]
    if len(found.nodes) > len(found.operators):
        nodes = [
            (printable(each.name), printable(each.operator), duration(each.ns_per_call), f"{each.share:.1%}")
            for each in found.nodes[:MOST_NODES]
        ]
        lines += table(nodes, ("slowest nodes", "", "a call", "share"))
    return "\n".join(lines)


def profile_title(found: Profile) -> str:
    return f"profile: {plural(found.calls, 'call')} of the graph on {plural(found.rows, 'row')}; counted in whole µs"


def comparison_text(comparison: Comparison) -> str:
    """How it was done, the A/A pair, whether the calls were alike and the machine quiet, and the sentence."""
    rounds, calls = len(comparison.a_block_ns), comparison.calls
    if comparison.interleaved:
        processes = len(comparison.process_rounds)
        within = f" in {processes} fresh processes" if processes > 1 else ""
        lines = [f"interleaved: {rounds:,} rounds of {plural(calls, 'call')}{within}, in random order"]
    else:
        lines = ["two stored runs, not interleaved: they say less than --against does"]
    lines.append(itself_line(comparison.against_itself))
    if comparison.a_work != comparison.b_work:
        unlike = f"{comparison.a}: {comparison.a_work}; {comparison.b}: {comparison.b_work}"
        lines.append(f"not like for like: {printable(unlike)}")
    wrong = ((comparison.a, comparison.a_answers_right), (comparison.b, comparison.b_answers_right))
    lines += [f"golden rows: {printable(name)} ANSWERS WRONG" for name, right in wrong if right is False]
    if comparison.interleaved:  # the sentence says it otherwise
        lines += [f"not quiet: {printable(problem)}" for problem in comparison.problems]
    return "\n".join([*lines, printable(comparison.sentence)])


def gate_text(gate: Gate) -> str:
    return f"{itself_line(gate.comparison.against_itself)}\n{printable(gate.sentence)}"


def itself_line(itself: Estimate) -> str:
    seen = f"±{percent(reach(itself))} is the smallest difference this run could have seen"
    return f"A/A: {itself.value:.3f} ({itself.low:.3f} to {itself.high:.3f}, 99% interval): {seen}"
