"""What was tried, as pictures: the trade between loss, time and size; what each layer does; what calibration saw.

Belongs here: what is drawn of an outcome. Not here: how a picture becomes SVG (edge_runtime.report), the page
(precision_page.py).
Imported as edge_runtime.converters.precision_pictures; needs the extra `bench`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from math import isfinite
from typing import Any

from edge_runtime.report import COLOURS, Picture, picture
from edge_runtime.words import printable

from .candidate_words import loss_of, percent_of, reference_of, size_ratio
from .precision.candidate import Layer, Outcome

__all__ = ["MOST_RANGES", "USED_BY", "layer_bars", "range_bars", "trade", "widest"]

USED_BY = "Conversion.save_report"
BLUE, ORANGE, GREY, GREEN = COLOURS
MOST_RANGES = 40
LONGEST = 44  # characters of a name beside a picture, ...
HEAD = 14  # ... and how many of them are its beginning
SAME_PLACE = 5.0  # pixels between marks that count as one
SIDES = ((9, 8), (9, -8), (-9, 8), (-9, -8))  # of a mark, in pixels, where its number may stand
draw = partial(picture, used_by=USED_BY)

MARKS: dict[str, dict[str, Any]] = {
    "reference": {"marker": "D", "color": GREY, "markersize": 8},
    "chosen": {"marker": "*", "color": GREEN, "markersize": 13},
    "accepted": {"marker": "o", "color": GREEN, "markersize": 6},
    "refused": {"marker": "x", "color": ORANGE, "markersize": 7, "markeredgewidth": 2},
    "no gain": {"marker": "o", "color": BLUE, "markersize": 6, "markerfacecolor": "none"},
}


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate where it stands: ``loss`` and ``bound`` as they are drawn, the others over the reference's."""

    number: int
    verdict: str
    loss: float
    bound: float | None
    time: float
    size: float


def trade(outcome: Outcome) -> Picture | None:
    """Loss by time and loss by size, the numbers of the table beside the marks; None where nothing was measured."""
    percent = percent_of(outcome)
    found = points(outcome, 100.0 if percent else 1.0)
    if len(found) < 2:
        return None

    def paint(left: Any, right: Any) -> None:
        for axes, quantity in ((left, "time"), (right, "size")):
            for point in found:
                x = getattr(point, quantity)
                if point.bound is not None:
                    axes.plot([x, x], [point.loss, point.bound], color=GREY, linewidth=1, zorder=1)
                    axes.plot([x], [point.bound], "_", color=GREY, markersize=8, zorder=1)
                axes.plot(
                    [x],
                    [point.loss],
                    linestyle="none",
                    zorder=3 if point.verdict == "chosen" else 2,
                    **MARKS[point.verdict],
                )
            axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
            axes.set(xlabel=f"{quantity} over the reference's", ylabel=f"loss{', %' if percent else ''}")
            axes.margins(x=0.09)
            losses(axes, found)
            numbers(axes, [(getattr(point, quantity), point.loss, point.number) for point in found])
        legend(right, {point.verdict for point in found})

    says = (
        "Down and to the left is better. Numbers are those of the table; a bar reaches to the certified bound. Where"
        " there is none, the loss is that on the search split."
    )
    return draw(paint, says=says, widths=(1, 1.45), height=4.2)


def points(outcome: Outcome, scale: float) -> list[Point]:
    """Candidates of which loss, time and size are known, with their numbers in the table."""
    reference = reference_of(outcome)
    found = []
    for number, each in enumerate(outcome.candidates):
        loss, size = loss_of(each), size_ratio(each, reference)
        time = 1.0 if each is reference else each.ratio.value if each.ratio is not None else None
        if loss is None or size is None or time is None or each.verdict not in MARKS or not isfinite(loss):
            continue
        bound = each.drop.high * scale if each.drop is not None and isfinite(each.drop.high) else None
        found.append(Point(number, each.verdict, loss * scale, bound, time, size))
    return found


def losses(axes: Any, found: Sequence[Point]) -> None:
    """The axis of losses: linear near 0, logarithmic above, where they are of several magnitudes; 0 is on it."""
    values = [abs(each) for point in found for each in (point.loss, point.bound or 0.0) if each]
    if not values or max(values) < 30 * min(values):
        axes.set_ylim(*spread([0.0, *(point.loss for point in found), *(point.bound or 0.0 for point in found)]))
        return
    symmetric(
        axes, "y", least=max(min(values), max(values) / 1e6), most=max(values), both=any(p.loss < 0 for p in found)
    )


def spread(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low or 1.0)
    return low - room, high + room


def symmetric(axes: Any, which: str, *, least: float, most: float, both: bool) -> None:
    """Logarithmic beyond ±``least``, up to ``most``, with plain numbers at the powers of ten."""
    from math import ceil, floor, log10

    first, last = floor(log10(least)), max(ceil(log10(most)), floor(log10(least)) + 1)
    step = max(1, (last - first) // 5)
    powers = [10.0**power for power in range(first, last + 1, step)]
    ticks = [*([-each for each in reversed(powers)] if both else []), 0.0, *powers]
    getattr(axes, f"set_{which}scale")("symlog", linthresh=10.0**first)
    getattr(axes, f"set_{which}ticks")(ticks)
    getattr(axes, f"set_{which}ticklabels")([f"{tick:,.10g}" for tick in ticks])
    axis = getattr(axes, f"{which}axis")
    axis.set_minor_locator(no_ticks())
    low = -(10.0**last) if both else -0.3 * 10.0**first
    getattr(axes, f"set_{which}lim")(1.15 * low, 1.5 * 10.0**last)


def no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def numbers(axes: Any, places: Sequence[tuple[float, float, int]]) -> None:
    """The numbers beside the marks, where nothing stands yet; marks that lie on one another share a label."""
    groups: list[tuple[Any, tuple[float, float], list[int]]] = []
    for x, y, number in sorted(places):
        at = axes.transData.transform((x, y))
        near = next((each for each in groups if abs(each[0] - at).max() < SAME_PLACE), None)
        if near is None:
            groups.append((at, (x, y), [number]))
        else:
            near[2].append(number)
    taken = [at for at, _, _ in groups]
    for at, place, shared in groups:
        side = max(SIDES, key=lambda side: min(abs((at + side - other) / (1.5, 1)).max() for other in taken))
        taken.append(at + side)
        text = ", ".join(map(str, sorted(shared)))
        axes.annotate(
            text,
            place,
            side,
            textcoords="offset pixels",
            fontsize=8,
            va="center",
            ha="left" if side[0] > 0 else "right",
        )


def legend(axes: Any, verdicts: set[str]) -> None:
    from matplotlib.lines import Line2D

    shown = [verdict for verdict in MARKS if verdict in verdicts]
    handles = [Line2D([], [], linestyle="none", **MARKS[verdict]) for verdict in shown]
    axes.legend(handles, shown, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def layer_bars(layers: Sequence[Layer], percent: bool) -> Picture:
    """What each layer loses and what it does to the time, in 8 bits alone; in the order of the graph."""
    names = [f"{name}  {number}" for number, name in enumerate(shortened([layer.node for layer in layers]), 1)]
    unit = 100.0 if percent else 1.0

    def paint(left: Any, right: Any) -> None:
        rows = range(len(layers))
        left.barh(rows, [(layer.loss or 0.0) * unit for layer in layers], color=ORANGE, height=0.7)
        for place, layer in enumerate(layers):
            if layer.ratio is None:
                right.text(1.0, place, " not possible", va="center", fontsize=7, color=GREY)
                continue
            faster = layer.ratio < 1
            right.barh(place, layer.ratio - 1, left=1, color=GREEN if faster else GREY, height=0.7)
        right.axvline(1, color=GREY, linewidth=0.8)
        left.set(xlabel=f"loss{', %' if percent else ''}", title="loss with this layer alone in 8 bits")
        right.set(xlabel="times the time of the whole", title="time (left of 1: faster)")
        for axes in (left, right):
            axes.set(yticks=list(rows), ylim=(len(layers) - 0.4, -0.6))
            axes.tick_params(axis="y", labelsize=7)
        left.set_yticklabels(names)
        right.set_yticklabels([])
        if not any(layer.loss for layer in layers):
            left.set_xlim(0, 1)

    says = "Each layer in 8 bits with all others as they are: what the whole network loses, and what time it takes."
    return draw(paint, says=says, widths=(1, 1), height=1.1 + 0.17 * len(layers))


def range_bars(ranges: Sequence[tuple[str, float, float]]) -> Picture:
    """From the smallest to the largest value of the widest activations, on an axis that is logarithmic beyond ±1."""
    shown = widest(ranges)
    names = shortened([name for name, _, _ in shown])
    most = max(max(abs(low), abs(high)) for _, low, high in shown)

    def paint(axes: Any) -> None:
        for place, (_, low, high) in enumerate(shown):
            axes.plot([low, high], [place, place], color=BLUE, linewidth=4, solid_capstyle="butt")
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set(yticks=range(len(shown)), ylim=(len(shown) - 0.4, -0.6), xlabel="value")
        axes.set_yticklabels(names)
        axes.tick_params(axis="y", labelsize=7)
        if most > 30:
            symmetric(axes, "x", least=1.0, most=most, both=any(low < 0 for _, low, _ in shown))

    many = f"The widest {len(shown)} of {len(ranges):,} activations" if len(ranges) > len(shown) else "Activations"
    return draw(paint, says=f"{many}: smallest to largest value in calibration.", height=1.1 + 0.17 * len(shown))


def widest(ranges: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """The few with the longest way from the smallest to the largest value, of those that are finite."""
    known = [each for each in ranges if isfinite(each[1]) and isfinite(each[2])]
    return sorted(known, key=lambda each: each[1] - each[2])[:MOST_RANGES]


def shortened(names: Sequence[str]) -> list[str]:
    """Long names without what all of them begin with, and without their middle: their ends tell one from another."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = len(list(alike)) if len(names) > 1 else 0
    cut = common if common > 8 else 0
    texts = [f"…{printable(name[cut:])}" if cut else printable(name) for name in names]
    return [text if len(text) <= LONGEST else f"{text[:HEAD]}…{text[HEAD + 1 - LONGEST :]}" for text in texts]
