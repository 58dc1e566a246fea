"""From the graph's raw sum to the model's outputs: the link, the label and the decision.

A lowered graph ends in `raw`, a float64 tensor [N, K] whose bits depend on nothing but the row. What follows is
computed here, alike for one row and for many, since onnxruntime's own nodes would change bits between the two.

Belongs here: the declared ending, and what it gives out. Not here: the functions that it is computed by (links.py,
finishing.py), running the graph (session.py, model.py).
Imported as edge_runtime.ending; `Decision` is public in edge_runtime.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import finishing
from .canonical import take
from .errors import BundleError
from .finishing import Finish, FinishArray
from .links import PREDICTIONS, Link, links_from_json, places, positive
from .schema import TensorSpec, decimal, in_range

__all__ = ["Decision", "Ending"]

KINDS = {
    "graph": "the graph's outputs are the model's",
    "identity": "prediction = raw / scale",
    "exp": "prediction = exp(raw)",
    "expit": "prediction = 1 / (1 + exp(-raw))",
    "signed_square": "prediction = raw * |raw|",
    "anomaly": "score = -2^(-raw / scale) - offset; an outlier, -1, where it is negative, otherwise 1",
    "logistic": "p = 1 / (1 + exp(-raw)) of the second class",
    "softmax": "p_k = exp(raw_k - max) / sum",
    "one_vs_rest": "p_k = 1 / (1 + exp(-raw_k)), each for itself",
    "share": "p_k = raw_k / scale; one raw value stands for the second class less the first",
    "mean": "what the parts give, weighted and added, / scale",
    "each": "each part gives the probabilities of one target",
}
ALONE = ("exp", "expit", "signed_square", "anomaly")
"""Kinds that make one number of one raw sum."""
CLASSIFIERS = ("logistic", "softmax", "one_vs_rest", "share")
"""Kinds that have classes; a mean has them if it is one of probabilities."""
BY_RAW = ("softmax", "share")
"""Kinds whose label goes with the largest raw sum, the others' with the largest probability."""
CLASS_DTYPES: dict[str, type] = {"str": str, "bool": bool, "int64": int, "float64": float}


@dataclass(frozen=True, slots=True)
class Decision:
    """A yes or no that travels with a binary classifier: ``name`` is true where the second class's probability, given
    out as ``score``, is greater than ``threshold``."""

    score: str
    name: str
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold is {self.threshold!r}; expected a probability, 0 to 1")
        if not self.score or not self.name or self.score == self.name:
            raise ValueError(f"score {self.score!r} and decision {self.name!r} need two different names")


@dataclass(frozen=True, slots=True)
class Ending:
    """``kind`` is a key of KINDS; ``scale`` divides, ``offset`` is taken off an anomaly's score; ``tie`` says whether a
    raw sum of exactly 0 is the second class; ``classes`` are the training labels in order, of ``class_dtype``;
    ``targets`` are those of each of several targets; ``parts`` are links of the raw sums, in order."""

    kind: str
    scale: float = 1.0
    classes: tuple[Any, ...] | None = None
    class_dtype: str | None = None
    tie: bool = False
    decision: Decision | None = None
    offset: float = 0.0
    parts: tuple[Link, ...] = ()
    targets: tuple[tuple[Any, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        decision = self.decision

        def stored(classes: tuple[Any, ...]) -> list[Any]:
            return [repr(value) if self.class_dtype == "float64" else value for value in classes]

        return {
            "class_dtype": self.class_dtype,
            "classes": None if self.classes is None else stored(self.classes),
            "decision": decision
            and {"name": decision.name, "score": decision.score, "threshold": repr(decision.threshold)},
            "kind": self.kind,
            "offset": repr(self.offset),
            "parts": [part.to_json() for part in self.parts],
            "scale": repr(self.scale),
            "targets": [stored(classes) for classes in self.targets],
            "tie": self.tie,
        }

    @classmethod
    def from_json(cls, data: object) -> Ending:
        nothing = type(None)
        kind, scale, offset, classes, class_dtype, tie, decision, parts, targets = take(
            data, "ending", kind=str, scale=str, offset=str, classes=(list, nothing), class_dtype=(str, nothing),
            tie=bool, decision=(dict, nothing), parts=list, targets=list,
        )  # fmt: skip
        if kind not in KINDS:
            raise BundleError(f"the ending {kind!r} is not one of {sorted(KINDS)}")
        if (kind != "mean" and (kind in CLASSIFIERS) != (classes is not None)) or (
            (class_dtype is not None) != (classes is not None or kind == "each")
        ):
            raise BundleError("classes and their dtype go with a classifier's ending, and only with it")
        if class_dtype is not None and class_dtype not in CLASS_DTYPES:
            raise BundleError(f"classes have the unknown dtype {class_dtype!r}")
        if classes is not None:
            classes = classes_from_json(classes, class_dtype, fewest=2)
            if kind == "logistic" and len(classes) != 2:
                raise BundleError("the ending logistic goes with two classes")
        if targets and kind != "each":
            raise BundleError(f"the ending {kind} has no targets")
        known = tuple(classes_from_json(own, class_dtype, fewest=1) for own in targets)
        made = None
        if decision is not None:
            name, score, threshold = take(decision, "decision", name=str, score=str, threshold=str)
            if classes is None or len(classes) != 2:
                raise BundleError("a decision goes with two classes")
            try:
                made = Decision(score, name, decimal(threshold, "threshold"))
            except ValueError as error:
                raise BundleError(f"decision: {error}") from None
        zero = decimal(offset, "offset")
        if not (zero == 0.0 or (kind == "anomaly" and math.isfinite(zero))):
            raise BundleError(f"the ending {kind} does not go with the offset {offset}")
        links = links_from_json(parts)
        if (kind in ("mean", "each")) != bool(links) or (kind == "each" and len(links) != len(known)):
            raise BundleError(f"the ending {kind} has another number of parts than {len(links)}")
        return cls(kind, positive(scale, "scale"), classes, class_dtype, tie, made, zero, links, known)

    def outputs(self, width: int) -> tuple[TensorSpec, ...]:
        """What the model gives out for raw sums [N, ``width``]. Raises BundleError if no ending has such a width."""
        if width < 1:
            raise BundleError("the ending wants one raw sum or more")
        if self.parts and sum(part.width for part in self.parts) != width:
            raise BundleError(f"the ending's parts do not add up to {width} raw sums")
        if self.kind in ALONE and width != 1:
            raise BundleError(f"the ending {self.kind} goes with one raw sum")
        if self.kind == "anomaly":
            return TensorSpec("label", "int64", (None,)), TensorSpec("score", "float64", (None,))
        if self.kind == "each":
            return self._outputs_of_each()
        count = self.count(width)
        if self.classes is None:
            return (TensorSpec("prediction", "float64", (None,) if count == 1 else (None, count)),)
        if self.decision is not None:
            return TensorSpec(self.decision.score, "float64", (None,)), TensorSpec(self.decision.name, "bool", (None,))
        assert self.class_dtype is not None
        return (
            TensorSpec("label", self.class_dtype, (None,)),
            TensorSpec("probabilities", "float64", (None, len(self.classes))),
        )

    def _outputs_of_each(self) -> tuple[TensorSpec, ...]:
        assert self.class_dtype is not None
        made = [TensorSpec("label", self.class_dtype, (None, len(self.targets)))]
        for i, (part, classes) in enumerate(zip(self.parts, self.targets, strict=True)):
            if not part.gives(len(classes)):
                raise BundleError(f"a part of the ending does not give the probabilities of {len(classes)} classes")
            made.append(TensorSpec(f"probabilities_{i}", "float64", (None, len(classes))))
        return tuple(made)

    def classes_of(self, output: str) -> tuple[Any, ...] | None:
        """The classes whose probabilities are the numbers of a row's ``output``, in order; None for another output."""
        if self.decision is None and output == "probabilities":
            return self.classes
        named = {f"probabilities_{i}": classes for i, classes in enumerate(self.targets)}
        return named.get(output)

    def count(self, width: int) -> int:
        """How many numbers a row has: one for each class, or prediction. Raises BundleError if there is no such
        count for ``width`` raw sums."""
        if self.classes is not None:
            count = len(self.classes)
        elif self.kind == "mean":
            leaves = self.link(width).leaves()
            count = leaves[0].width if all(leaf.kind in PREDICTIONS for leaf in leaves) else 0
        else:
            count = width
        if not count or not self.link(width).gives(count):
            what = "predictions" if self.classes is None else f"{count} classes"
            raise BundleError(f"{what} do not go with {width} raw sums")
        return count

    def link(self, width: int) -> Link:
        return Link(self.kind, width, self.scale, parts=self.parts)

    def finish(self, width: int) -> Finish:
        """The function from one row's raw sums (``width`` floats) to its outputs as Python scalars and lists."""
        classes, decision = self.classes, self.decision
        if self.kind == "anomaly":
            return finishing.anomaly(self.scale, self.offset)
        if self.kind == "each":
            return finishing.each([(place, part.one(len(own)), own) for place, part, own in self._slices()])
        if classes is not None and len(classes) == 2 and width == 1 and self.kind in ("logistic", "share"):
            if self.kind == "logistic":
                if decision is not None:
                    return finishing.logistic_decided(decision.score, decision.name, decision.threshold)
                return finishing.logistic(classes, tie=self.tie)
            if decision is not None:
                return finishing.share_decided(self.scale, decision.score, decision.name, decision.threshold)
            return finishing.share(classes, self.scale, tie=self.tie)
        count = self.count(width)
        numbers = self.link(width).one(count)
        if classes is None:
            return finishing.predicted(self.kind, self.scale, width, count, numbers)
        if decision is not None:
            return finishing.decided(numbers, decision.score, decision.name, decision.threshold)
        return finishing.labelled(numbers, classes, by_raw=self.kind in BY_RAW)

    def finish_array(self, width: int) -> FinishArray:
        """The function from raw sums [N, ``width``] to the outputs, one array of N rows each."""
        # Infinite and NaN come out without a warning, as they do for one row.
        return np.errstate(all="ignore")(self._finish_array(width))

    def _finish_array(self, width: int) -> FinishArray:
        classes, decision = self.classes, self.decision
        if self.kind == "anomaly":
            return finishing.anomalies(self.scale, self.offset)
        if self.kind == "each":
            return finishing.each_array(
                [(place, part.many(len(own)), self._labels(own)) for place, part, own in self._slices()]
            )
        count = self.count(width)
        numbers = self.link(width).many(count)
        if classes is None:
            return finishing.predicted_array(count, numbers)
        if decision is not None:
            return finishing.decided_array(numbers, decision.score, decision.name, decision.threshold)
        if count == 2 and width == 1 and self.kind in ("logistic", "share"):
            return finishing.pairs_array(numbers, self._labels(classes), tie=self.tie)
        return finishing.labelled_array(numbers, self._labels(classes), by_raw=self.kind in BY_RAW)

    def _slices(self) -> list[tuple[slice, Link, tuple[Any, ...]]]:
        """Of each target: where its raw sums are, their link, the classes."""
        return list(zip(places(self.parts), self.parts, self.targets, strict=True))

    def _labels(self, classes: tuple[Any, ...]) -> NDArray[Any]:
        made = np.empty(len(classes), object if self.class_dtype == "str" else np.dtype(self.class_dtype))
        made[:] = classes
        return made


def classes_from_json(data: object, class_dtype: str, fewest: int) -> tuple[Any, ...]:
    """Raises BundleError."""
    stored = str if class_dtype == "float64" else CLASS_DTYPES[class_dtype]
    if type(data) is not list or len(data) < fewest or not all(type(value) is stored for value in data):
        raise BundleError(f"classes must be {'two' if fewest == 2 else 'one'} or more values of {class_dtype}")
    classes: tuple[Any, ...] = tuple(decimal(value, "classes") if class_dtype == "float64" else value for value in data)
    if len(set(classes)) != len(classes) or (class_dtype == "int64" and not all(in_range(v, "int64") for v in classes)):
        raise BundleError(f"classes must be distinct values of {class_dtype}")
    return classes
