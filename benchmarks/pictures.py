"""Results as pictures: distributions, time series, curves and bars.

Belongs here: what is drawn of a result. Not here: how a picture becomes SVG (edge_runtime.report), the page (pages.py).
Imported as edge_runtime.benchmarks.pictures; needs the extra `bench`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.report import COLOURS, Picture, picture
from edge_runtime.timing import Estimate, NeedsMoreSamples
from edge_runtime.words import printable

from .comparison import Comparison
from .footprint import Memory
from .measuring import RateSearch
from .profiling import Profile
from .run import Run
from .starting import ColdStart
from .sweeping import Sweep
from .wording import duration

__all__ = [
    "USED_BY",
    "batch_curve",
    "cold_start_bars",
    "distribution",
    "memory_bars",
    "over_time",
    "profile_bars",
    "rate_curve",
    "ratio_picture",
    "sweep_dots",
]

USED_BY = "edge-bench --html"
BLUE, ORANGE, GREY, GREEN = COLOURS
MARKED = (50, 90, 99)
BINS = 80
SHOWN = 2.0  # times p99: what the histogram shows; outliers are in the distribution function
POINTS = 400  # of a curve: more cannot be seen, and an SVG holds every one of them
MOST_OPERATORS = 20
UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
draw = partial(picture, used_by=USED_BY)


def distribution(run: Run) -> Picture:
    """The latencies as a histogram and as an empirical distribution function, on a logarithmic axis."""
    unit, name = unit_of(float(np.median(run.latency_ns)))
    latency = np.maximum(run.latency_ns, 1) / unit

    shown = latency[latency <= SHOWN * np.quantile(latency, 0.99)]
    beyond = len(latency) - len(shown)

    def paint(left: Any, right: Any) -> None:
        low, high = float(shown.min()), float(shown.max())
        edges = np.geomspace(low, max(high, low * 1.01), BINS + 1)
        counts, _ = np.histogram(shown, edges)
        left.stairs(100 * counts / len(latency), edges, fill=True, color=BLUE)
        far = f"; {beyond:,} calls are beyond it, up to {duration(float(run.latency_ns.max()))}" if beyond else ""
        left.set(xscale="log", xlabel=f"latency, {name}", ylabel="% of the calls", title=f"histogram{far}")
        right.plot(*steps(latency), color=BLUE, label="from when a call was due" if run.service_ns is not None else "")
        if run.service_ns is not None:
            naive = np.maximum(run.service_ns, 1) / unit
            right.plot(*steps(naive), color=ORANGE, linestyle="--", label="from when it was made (naive)")
            right.legend(loc="lower right")
        right.set(xscale="log", xlabel=f"latency, {name}", ylabel="share of the calls", title="distribution function")
        for place, percent in enumerate(MARKED):
            try:
                value = run.percentile(percent).value / unit
            except NeedsMoreSamples:
                break
            for axes in (left, right):
                axes.axvline(value, color=GREY, linewidth=0.8)
            where = left.get_xaxis_transform()
            left.text(value, 0.98 - 0.1 * place, f" p{percent}", transform=where, va="top", fontsize=8)

    return draw(paint, says="How long calls took, each counted alike; lines at p50, p90 and p99.", widths=(1, 1))


def over_time(run: Run) -> Picture:
    """The warm-up, the latencies in the order of time, and the fixed computation that ran in between."""
    unit, name = unit_of(float(np.median(run.latency_ns)))
    at, starts = clock_of(run)

    def paint(warm: Any, series: Any, kernel: Any) -> None:
        warm.plot(np.arange(1, len(run.warmup_ns) + 1), run.warmup_ns / unit, ".-", color=ORANGE, markersize=3)
        title = "warm-up" if run.steady else "warm-up: no steady state"
        warm.set(xlabel="block of calls", ylabel=f"{name} a call", title=title)
        warm.set_yscale("log")
        middle, (low, half, high) = binned(at, run.latency_ns / unit, (10, 50, 99))
        series.fill_between(middle, low, high, color=BLUE, alpha=0.25, linewidth=0, label="p10 to p99")
        series.plot(middle, half, color=BLUE, linewidth=1, label="median")
        for start in starts[1:]:
            series.axvline(start, color=GREY, linewidth=0.8, linestyle=":")
        series.set(xlabel="seconds (dotted: a fresh process)", ylabel=f"latency, {name}", title="in the order of time")
        series.set_yscale("log")
        series.legend(loc="upper right", ncols=2)
        kernel.plot(run.conditions.kernel_ns / 1e3, color=GREY, linewidth=0.8)
        kernel.set(xlabel="in order", ylabel="µs", title="fixed computation")
        kernel.set_yscale("log")

    says = "Warm-up, then what was measured; where the fixed computation changes as well, it was the machine."
    return draw(paint, says=says, widths=(1, 2.4, 1.1))


def batch_curve(sweep: Sweep) -> Picture:
    """Rows per second and the latency of a call, by batch size."""
    points = [(int(point.value), point) for point in sweep.points if point.run is not None]
    sizes = [size for size, _ in points]
    rates = [point.run.throughput() for _, point in points if point.run is not None]
    medians = [point.median() for _, point in points]

    def paint(left: Any, right: Any) -> None:
        whiskers(left, sizes, rates, 1.0, BLUE)
        whiskers(right, sizes, medians, 1e6, ORANGE)
        left.set(xlabel="rows of a call", ylabel="rows/s", title="throughput")
        right.set(xlabel="rows of a call", ylabel="ms", title="median latency of a call")
        for axes in (left, right):
            axes.set(xscale="log", yscale="log", xticks=sizes)
            axes.set_xticklabels([f"{size:,}" for size in sizes])
            axes.minorticks_off()

    return draw(paint, says="What batches bring and what they cost; bars are 95% intervals.", widths=(1, 1))


def sweep_dots(sweep: Sweep) -> Picture:
    """The median latency at each value; full dots are those that no other value beats."""
    ran = [(point, best) for point, best in zip(sweep.points, sweep.pareto, strict=True) if point.run is not None]
    found = [point.median() for point, _ in ran]
    unit, name = unit_of(max(each.value for each in found))

    def paint(axes: Any) -> None:
        for place, (centre, (_, best)) in enumerate(zip(found, ran, strict=True)):
            axes.plot([centre.low / unit, centre.high / unit], [place, place], color=BLUE, linewidth=1)
            axes.plot([centre.value / unit], [place], "o", color=BLUE, markerfacecolor=BLUE if best else "none")
        labels = [f"{printable(point.value)}{' (usual)' if point.value == sweep.usual else ''}" for point, _ in ran]
        axes.set(yticks=range(len(ran)), xlabel=f"median of a call, {name}", title=sweep.parameter)
        axes.set_yticklabels(labels)
        axes.set_ylim(len(ran) - 0.5, -0.5)
        axes.set_xlim(left=0)

    says = "Median latency with its 95% interval; full dots: no other value is better in speed, CPU time and size."
    return draw(paint, says=says, height=1.0 + 0.3 * len(ran))


def cold_start_bars(found: ColdStart) -> Picture:
    """The median of each phase, from nothing to the second answer."""
    medians = [found.phase(name) for name in found.phases]

    def paint(axes: Any) -> None:
        bars(axes, found.phases, medians, 1e6)
        axes.set(xlabel="ms")

    count = len(found.phase_ns)
    return draw(paint, says=f"Medians of {count} fresh processes with their 95% intervals.", height=2.4)


def memory_bars(found: Memory) -> Picture:
    """The peak of each phase."""
    phases = [(phase.name, float(phase.peak_rss_bytes or 0)) for phase in found.phases]

    def paint(axes: Any) -> None:
        bars(axes, [name for name, _ in phases], [Estimate(size, size, size, "bytes") for _, size in phases], 1e6)
        axes.set(xlabel="MB")

    of = "each phase" if found.peak_is_per_phase else "all phases so far"
    return draw(paint, says=f"Peak resident memory of {of}.", height=2.2)


def profile_bars(found: Profile) -> Picture:
    """Where the time goes, by operator."""
    operators = found.operators[:MOST_OPERATORS]
    taken = [Estimate(each.ns_per_call, each.ns_per_call, each.ns_per_call, "ns") for each in operators]

    def paint(axes: Any) -> None:
        bars(axes, [printable(f"{each.operator} ×{each.nodes}") for each in operators], taken, 1e3)
        axes.set(xlabel="µs a call")

    return draw(paint, says="Time in each operator, all its nodes together.", height=1.0 + 0.28 * len(operators))


def ratio_picture(found: Comparison) -> Picture:
    """The ratio and the A/A pair with their intervals, and the ratio round by round."""
    pairs = (("A/A", found.against_itself, GREY), ("ratio", found.ratio, BLUE))

    def paint(left: Any, right: Any) -> None:
        for place, (_, each, colour) in enumerate(pairs):
            left.plot([each.low, each.high], [place, place], color=colour, linewidth=2)
            left.plot([each.value], [place], "o", color=colour)
        left.axvline(1, color=GREY, linewidth=0.8)
        left.set(yticks=(0, 1), ylim=(-0.6, 1.6), xlabel="times the time", title="99% intervals")
        left.set_yticklabels([name for name, _, _ in pairs])
        if found.interleaved:
            ratios = found.a_block_ns / np.maximum(found.b_block_ns, 1)
            middle, (low, half, high) = binned(np.arange(1, len(ratios) + 1), ratios, (10, 50, 90))
            right.fill_between(middle, low, high, color=BLUE, alpha=0.25, linewidth=0, label="p10 to p90")
            right.plot(middle, half, color=BLUE, linewidth=1, label="median")
            right.legend(loc="upper right", ncols=2)
            right.axhline(1, color=GREY, linewidth=0.8)
            right.set(xlabel="round", ylabel="ratio", title="round by round")
            right.set_yscale("log")
        else:
            for samples, colour, name in ((found.a_block_ns, BLUE, found.a), (found.b_block_ns, ORANGE, found.b)):
                right.plot(*steps(np.maximum(samples, 1) / 1e3), color=colour, label=printable(name))
            right.set(xscale="log", xlabel="latency, µs", title="distribution functions")
            right.legend(loc="lower right")

    says = f"Time of {found.a} over time of {found.b}; A/A is the first against itself."
    return draw(paint, says=says, widths=(1, 1.4))


def rate_curve(search: RateSearch) -> Picture:
    """The percentile by the rate that was offered, and its bound."""
    found = []
    for run in sorted(search.tries, key=lambda run: run.rate_per_s or 0):
        try:
            found.append((run.rate_per_s or 0.0, run.percentile(search.percent)))
        except NeedsMoreSamples:
            continue

    def paint(axes: Any) -> None:
        if found:
            whiskers(axes, [rate for rate, _ in found], [each for _, each in found], 1e6, BLUE)
        axes.axhline(search.bound_ns / 1e6, color=ORANGE, linestyle="--", label="the bound")
        axes.set(xlabel="calls a second", ylabel=f"p{search.percent:g}, ms", yscale="log")
        axes.legend(loc="upper left")

    return draw(paint, says="From when a call was due; bars are 95% intervals.")


def clock_of(run: Run) -> tuple[NDArray[np.float64], list[float]]:
    """When each call began, in seconds, one process behind the other, and when each process began."""
    at, starts, begins = [], [], 0.0
    for part in np.split(run.at_ns / 1e9, np.cumsum(run.process_calls)[:-1]):
        starts.append(begins)
        at.append(begins + part)
        begins = float(at[-1][-1])
    return np.concatenate(at), starts


def binned(
    at: NDArray[Any], values: NDArray[Any], percents: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Neighbours in time together: the middle of each bin, and its percentiles [percents, bins]."""
    parts = np.array_split(np.arange(len(values)), min(POINTS // 2, len(values)))
    middle = np.array([at[part].mean() for part in parts])
    return middle, np.array([np.percentile(values[part], percents) for part in parts]).T


def steps(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The empirical distribution function at no more points than can be seen, its tail included."""
    ordered, n = np.sort(values), len(values)
    tail = n - np.unique(np.geomspace(1, n, POINTS // 2).astype(int))
    places = np.unique(np.concatenate([np.linspace(0, n - 1, min(n, POINTS // 2)).astype(int), tail]))
    return ordered[places].astype(float), (places + 1) / n


def whiskers(axes: Any, x: Sequence[float], found: Sequence[Estimate], unit: float, colour: str) -> None:
    values = np.array([each.value for each in found]) / unit
    low, high = (np.array([getattr(each, end) for each in found]) / unit for end in ("low", "high"))
    axes.errorbar(
        x, values, [values - low, high - values], fmt="o-", color=colour, markersize=4, capsize=2, linewidth=1
    )


def bars(axes: Any, names: Sequence[str], found: Sequence[Estimate], unit: float) -> None:
    values = np.array([each.value for each in found]) / unit
    spread = np.array([[each.value - each.low for each in found], [each.high - each.value for each in found]]) / unit
    axes.barh(range(len(names)), values, color=BLUE, height=0.65)
    if spread.any():
        axes.errorbar(values, range(len(names)), xerr=spread, fmt="none", ecolor=GREY, capsize=2)
    axes.set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
    axes.set_yticklabels(list(names))
    for place, value in enumerate(values):
        end = value + spread[1][place]
        axes.annotate(f"{value:.3g}", (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8)


def unit_of(nanoseconds: float) -> tuple[float, str]:
    return next(((unit, name) for unit, name in UNITS if nanoseconds >= unit), UNITS[-1])
