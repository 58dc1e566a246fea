"""A network on its way into a bundle: compared sample by sample, golden samples chosen.

Belongs here: what a conversion has to show of a network. Not here: comparing (network_parity.py), the order of the
steps (conversion.py).
Imported as edge_runtime.converters.checked_network.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_runtime.ending import Ending
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.generated import Generated
from edge_runtime.golden import Sample, encode
from edge_runtime.manifest import Variant
from edge_runtime.model import Model
from edge_runtime.timing import Call, rotate
from edge_runtime.words import at_most

from .checked import Figures, Tell
from .exact.graph import to_bytes
from .golden_rows import room_for
from .network import Network
from .network_parity import NetworkParity, compare_samples, ulps_together
from .precision.losses import Answers, restricted
from .provenance import fingerprint_of_tensors, provenance
from .samples import Feed, Samples, Tensors, all_finite

__all__ = ["CheckedNetwork", "SampleRows"]

MOST_GOLDEN = 8
LARGEST_TENSOR = 2**20


class SampleRows:
    """Samples as the precisions are judged by them."""

    classes: NDArray[Any] | None = None

    def __init__(self, samples: Samples, target: NDArray[Any] | None, groups: NDArray[Any] | None) -> None:
        self.samples, self.target, self.groups = samples, target, groups
        self.known: tuple[Model, Answers] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def keys(self) -> list[int] | None:
        """Recordings and pictures that are equal are copies, and say nothing twice; rows of numbers, and ids, may well
        be equal."""
        if all(len(spec.shape) < 3 for spec in self.samples.inputs):
            return None
        return [hash(tuple(values.tobytes() for values in self.samples.feed(i).values())) for i in range(len(self))]

    def feeds(self, which: Sequence[int]) -> Iterator[Feed]:
        return map(self.samples.feed, which)

    def remember(self, model: Model, answers: Answers) -> None:
        """What ``model`` answered to all samples, so that it need not be asked again."""
        self.known = model, answers

    def answers(self, model: Model, which: Sequence[int]) -> Answers:
        if self.known is not None and model is self.known[0]:
            return restricted(self.known[1], np.asarray(which))
        made: dict[str, list[NDArray[Any]]] = {}
        for feed in self.feeds(which):
            for name, values in model.run(feed).items():
                made.setdefault(name, []).append(values)
        return made

    def asking(self, model: Model, which: Sequence[int]) -> Call:
        return rotate(model.run, list(self.feeds(which)))


class CheckedNetwork:
    """See `checked.Checked`."""

    def __init__(self, network: Network, tensors: Tensors, origin: dict[str, str]) -> None:
        text = [spec.name for spec in network.schema.inputs if spec.dtype == "str"]
        if text:
            raise UnsupportedModelError(
                f"the input {text[0]!r} takes text", advice="export the model behind its tokenizer: ids in"
            )
        self.network = network
        self.schema, self.ending = network.schema, Ending("graph")
        self.graph = to_bytes(network.graph)
        self.samples = tensors.of(network.schema.inputs)
        self.rows = SampleRows(self.samples, tensors.target, tensors.groups)
        floats = [spec.name for spec in network.schema.outputs if spec.dtype.startswith("float")]
        self.tolerance = dict.fromkeys(floats, network.tolerance)
        precision = precision_of(network.graph)
        self.reference = Variant(precision, "graph.onnx", precision, LARGEST_TENSOR, False)
        self.provenance = provenance(
            network.framework, network.libraries, len(self.samples), fingerprint_of_tensors(self.samples), origin
        )
        self.parity = NetworkParity(0, {}, {})
        self.apart: float | None = None

    def check(self) -> None:
        """Raise InputError for a sample that is not finite and gets an answer that is not: it shows nothing. A mask of
        -inf gets a finite one."""
        for i in self.samples.broken():
            answers = self.network.reference(self.samples.feed(i))
            lost = [name for name, values in answers.items() if not all_finite(values)]
            if lost:
                raise InputError(
                    f"sample {i} holds NaN or infinity, and the model answers it with such",
                    column=lost[0],
                    expected="samples of finite numbers",
                )

    def compare(self, model: Model, tell: Tell) -> None:
        self.check()
        self.parity = compare_samples(
            self.network, model, self.samples, lambda done, whole: tell("compare", done, whole)
        )
        self.apart = ulps_together(model, self.samples)
        self.rows.remember(model, self.parity.answers)

    def choose(self, model: Model, graph_bytes: int) -> list[Sample]:
        """Samples from all over the data, as many as there is room for; where not even one fits, its large tensors are
        noise in the same range."""
        room = room_for(graph_bytes)
        spread = np.unique(np.linspace(0, len(self.samples) - 1, MOST_GOLDEN).astype(int)).tolist()
        chosen: list[Sample] = []
        used = 0
        for i in spread:
            sample = self.answered(model, self.samples.feed(i))
            size = size_of(sample, self)
            if used + size <= room:
                chosen.append(sample)
                used += size
        if chosen:
            return chosen
        for seed, i in enumerate(spread):
            sample = self.answered(model, generated(self.samples.feed(i), room // 8, seed))
            size = size_of(sample, self)
            if chosen and used + size > room:
                break
            chosen.append(sample)
            used += size
        return chosen

    def answered(self, model: Model, inputs: dict[str, Any]) -> Sample:
        feed = {name: value.array() if isinstance(value, Generated) else value for name, value in inputs.items()}
        return Sample(inputs, model.run(feed))

    def figures(self) -> Figures:
        return Figures(self.parity.samples, 0, 0, self.parity.largest, 0, 0)

    def statements(self) -> tuple[str, ...]:
        gaps = ", ".join(f"|Δ {name}| ≤ {at_most(value)}" for name, value in self.parity.largest.items())
        made = [*self.network.statements, f"checked on {self.parity.samples:,} samples{': ' + gaps if gaps else ''}"]
        if self.apart is not None:
            made.append(
                f"checked: a sample alone or among others: at most {self.apart:.0f} ulp of its largest value apart"
            )
        for fed, given in self.states():
            made.append(
                f"samples are judged one by one: where {given} is fed back as {fed}, what adds up over time is not"
            )
        return tuple(made)

    def states(self) -> list[tuple[str, str]]:
        """Inputs and outputs of the same dtype and shape, of three axes or more beside rows alone: a state, most
        likely."""
        feed, answers = self.samples.feed(0), self.parity.answers
        return [
            (name, output)
            for name, array in feed.items()
            for output, values in answers.items()
            if array.ndim >= 2 and array.size > 1 and (array.shape, array.dtype) == (values[0].shape, values[0].dtype)
        ]


def precision_of(graph: onnx.ModelProto) -> str:
    """What the graph computes in, as it came."""
    if any(node.op_type == "DequantizeLinear" for node in graph.graph.node):
        return "as-trained"
    doubles = any(tensor.data_type == onnx.TensorProto.DOUBLE for tensor in graph.graph.initializer)
    return "float64" if doubles else "float32"


def generated(feed: Feed, small: int, seed: int) -> dict[str, Any]:
    """``feed`` with noise in the place of tensors of more than ``small`` bytes."""
    made: dict[str, Any] = {}
    for name, values in feed.items():
        if values.nbytes <= small or values.dtype.kind not in "biuf":
            made[name] = values
        else:
            low, high = (float(bound) for bound in (values.min(), values.max()))
            made[name] = Generated(values.dtype.name, values.shape, seed, low, high)
    return made


def size_of(sample: Sample, checked: CheckedNetwork) -> int:
    """What a golden sample takes in a bundle, about."""
    return sum(len(zlib.compress(entry, 9)) + 150 for entry in encode([sample], checked.schema).values())
