"""The range of every float tensor inside a graph, over any number of feeds, in the memory of one.

Ranges come from onnxruntime.quantization: its HistogramCollector for entropy and percentile, lows and highs as its
MinMaxCalibrater has them. Its calibrators keep all tensors of all feeds (100 GB were reported), and their histograms
grow without bound when a later feed is wider than the first. So one feed is looked at at a time, and twice: first for
lows and highs, then for histograms that have their final width from the start. What comes out is what the collector
gives for all feeds at once.

Belongs here: ranges. Not here: which of them a recipe takes (recipes.py), quantizing (integers.py).
Imported as edge_runtime.converters.precision.calibrating.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto
from onnxruntime.quantization.calibrate import CalibrationMethod, HistogramCollector, TensorData, TensorsData

from edge_runtime.errors import InputError
from edge_runtime.session import ERRORS, failed

from ..samples import Feed
from .failing import RecipeFailed
from .parts import Part, parts, taken_from_outside
from .sessions import session

__all__ = ["METHODS", "Range", "Ranges", "calibrate"]

METHODS = ("minmax", "entropy", "percentile")
# (bins of the histogram, settings of onnxruntime's collector). Its own default for entropy is 128 bins for 128 steps,
# which leaves a single threshold to choose from: the largest magnitude.
HISTOGRAMS: dict[str, tuple[int, dict[str, Any]]] = {
    "entropy": (256, {"num_quantized_bins": 128, "percentile": 99.999}),
    "percentile": (2048, {"num_quantized_bins": 128, "percentile": 99.999}),
}

Values = dict[str, NDArray[Any]]


class Range(NamedTuple):
    """Lowest and highest value that a tensor's integers must reach."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ranges:
    """What one method of ``METHODS`` says, by tensor."""

    method: str
    ranges: Mapping[str, Range]

    def tensors_data(self) -> TensorsData:
        """The same for onnxruntime.quantization."""
        data = {
            name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
            for name, (low, high) in self.ranges.items()
        }
        return TensorsData(CalibrationMethod.MinMax, data)


def calibrate(
    model: ModelProto, feeds: Iterable[Feed], *, methods: Sequence[str] = METHODS, percentile: float = 99.999
) -> dict[str, Ranges]:
    """Ranges by method, of all float32 tensors that ``model`` (prepared) takes or makes, those in branches included as
    far as a feed gets there. Constants have none.

    ``feeds`` is gone through twice where more than "minmax" is asked for, and may not be an iterator; shapes may differ
    from feed to feed. Needs the memory of one feed's tensors, however many there are. ``percentile``: percent of a
    tensor's values inside the range.

    Raises InputError for no feeds at all, for a tensor that is not finite (named, with the feed's number), where not a
    single tensor varies, and for a feed that the graph does not take; RecipeFailed for a graph without such tensors.
    """
    if iter(feeds) is feeds:
        raise TypeError("feeds is an iterator; expected something that can be gone through twice, such as a list")
    tracer = Tracer(model)
    extremes = Extremes()
    fed = 0
    for number, feed in enumerate(feeds):
        fed += 1
        for values in tracer.run(feed):
            extremes.add(values, number)
    if fed and not extremes.low:
        raise RecipeFailed("ranges", "nothing in the graph is computed in float32")
    found = {"minmax": Ranges("minmax", extremes.ranges())}
    counted = [method for method in methods if method != "minmax"]
    collectors = {method: collector(method, percentile, extremes) for method in counted}
    if collectors:
        for feed in feeds:
            for values in tracer.run(feed):
                for each in collectors.values():
                    quietly(each.collect_value, {name: value for name, value in values.items() if value.size})
    for method, each in collectors.items():
        chosen = quietly(each.compute_collection_result)
        ranges = {name: Range(float(low), float(high)) for name, (low, high, *_) in chosen.items()}
        found[method] = Ranges(method, ranges)
    return {method: found[method] for method in methods}


class Extremes:
    """Lowest and highest value of each tensor so far."""

    def __init__(self) -> None:
        self.low: dict[str, np.float32] = {}
        self.high: dict[str, np.float32] = {}

    def add(self, values: Values, number: int) -> None:
        """Raise InputError for a value that is not finite; ``number`` is the feed's."""
        for name, value in values.items():
            if not value.size:
                continue
            low, high = value.min(), value.max()
            if not (np.isfinite(low) and np.isfinite(high)):  # NaN is both the minimum and the maximum
                raise InputError(
                    f"the tensor {name!r} inside the graph is not finite", row=number, expected="finite numbers only"
                )
            self.low[name] = min(self.low.get(name, low), low)
            self.high[name] = max(self.high.get(name, high), high)

    def ranges(self) -> dict[str, Range]:
        """Raise InputError where there is nothing, or nothing that varies."""
        if not self.low:
            raise InputError("there is nothing to calibrate on", expected="one sample at least")
        if all(self.low[name] == self.high[name] for name in self.low):
            raise InputError(
                "every tensor inside the graph has one value only: there are no ranges to be found in constant inputs",
                expected="samples that differ as those in use will",
            )
        return {name: Range(float(self.low[name]), float(self.high[name])) for name in self.low}


def collector(method: str, percentile: float, extremes: Extremes) -> HistogramCollector:
    """onnxruntime's, with empty histograms of the final width: they never have to grow."""
    bins, settings = HISTOGRAMS[method]
    made = HistogramCollector(
        method=method, symmetric=False, num_bins=bins, scenario="same", **{**settings, "percentile": percentile}
    )
    for name, low in extremes.low.items():
        high = extremes.high[name]
        threshold: Any = np.array(max(abs(low), abs(high)), np.float32)
        _, edges = np.histogram(np.empty(0, np.float32), bins, range=(-threshold, threshold))
        made.histogram_dict[name] = (np.zeros(bins, np.int64), edges, low, high, threshold)
    return made


def quietly(call: Callable[..., Any], *arguments: Any) -> Any:
    with redirect_stdout(StringIO()):  # the collector prints what it does
        return call(*arguments)


class Tracer:
    """Runs a graph and gives out every float32 tensor in it; branches are run where their condition says so."""

    def __init__(self, model: ModelProto) -> None:
        found = list(parts(model))
        self.root = found[0]
        self.branches: dict[str, list[Part]] = {}
        for part in found[1:]:
            self.branches.setdefault(part.owner, []).append(part)
        self.sessions: dict[tuple[str, str], onnxruntime.InferenceSession] = {}

    def run(self, feed: Feed) -> Iterator[Values]:
        """The float32 tensors of the outer graph, then those of each branch taken. Raises InputError."""
        yield from self.run_part(self.root, dict(feed))

    def run_part(self, part: Part, feed: Values) -> Iterator[Values]:
        opened = self.opened(part)
        names = [output.name for output in opened.get_outputs()]
        try:
            made = opened.run(names, feed)
        except ERRORS as error:
            raise failed(error) from error
        values: Values = {**feed, **dict(zip(names, made, strict=True))}
        yield {name: value for name, value in values.items() if value.dtype == np.float32}
        for node in part.model.graph.node:
            for branch in self.branches.get(node.name, ()):
                if bool(values[branch.condition]) == (branch.branch == "then_branch"):
                    needed = [value.name for value in branch.model.graph.input]
                    yield from self.run_part(branch, {name: values[name] for name in needed})

    def opened(self, part: Part) -> onnxruntime.InferenceSession:
        place = (part.owner, part.branch)
        if place not in self.sessions:
            self.sessions[place] = session(telling(part.model), optimized=False)
        return self.sessions[place]


def telling(model: ModelProto) -> ModelProto:
    """A copy that gives out every float32 tensor, and whatever the branches inside take."""
    copy = ModelProto()
    copy.CopyFrom(model)
    given = {value.name for value in copy.graph.output}
    inside = {
        name
        for node in copy.graph.node
        for attribute in node.attribute
        if attribute.HasField("g")
        for name in (node.input[0], *taken_from_outside(attribute.g))
    }
    made = {name for node in copy.graph.node for name in node.output} - given
    for value in list(copy.graph.value_info):
        is_float = value.type.tensor_type.elem_type == TensorProto.FLOAT
        if value.name in made and (is_float or value.name in inside):
            copy.graph.output.append(ValueInfoProto(name=value.name))
    return copy
