"""From the graph's raw sum to the model's outputs: the link, the label and the decision.

A lowered graph ends in `raw`, a float64 tensor [N, K] whose bits depend on nothing but the row. What follows is
computed here, alike for one row and for many, since onnxruntime's own nodes would change bits between the two.

Belongs here: the declared ending and its two forms. Not here: running the graph (session.py, model.py).
Imported as edge_runtime.ending; `Decision` is public in edge_runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canonical import take
from .errors import BundleError
from .exponential import exp, exp_array
from .schema import TensorSpec, decimal, in_range

__all__ = ["Decision", "Ending"]

Outputs = dict[str, Any]
Finish = Callable[[Sequence[float]], Outputs]
FinishArray = Callable[[NDArray[np.float64]], dict[str, NDArray[Any]]]

KINDS = {
    "graph": "the graph's outputs are the model's",
    "identity": "prediction = raw / scale",
    "exp": "prediction = exp(raw)",
    "logistic": "p = 1 / (1 + exp(-raw)) of the second class",
    "softmax": "p_k = exp(raw_k - max) / sum",
    "share": "p_k = raw_k / scale; one raw value stands for the second class less the first",
}
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
    """``kind`` is a key of KINDS; ``scale`` divides the raw sum; ``tie`` says whether a raw sum of exactly 0 is the
    second class; ``classes`` are the training labels in order, of ``class_dtype``."""

    kind: str
    scale: float = 1.0
    classes: tuple[Any, ...] | None = None
    class_dtype: str | None = None
    tie: bool = False
    decision: Decision | None = None

    def to_json(self) -> dict[str, Any]:
        exact = self.class_dtype != "float64"
        decision = self.decision
        return {
            "class_dtype": self.class_dtype,
            "classes": None if self.classes is None else [v if exact else repr(v) for v in self.classes],
            "decision": decision
            and {"name": decision.name, "score": decision.score, "threshold": repr(decision.threshold)},
            "kind": self.kind,
            "scale": repr(self.scale),
            "tie": self.tie,
        }

    @classmethod
    def from_json(cls, data: object) -> Ending:
        nothing = type(None)
        kind, scale, classes, class_dtype, tie, decision = take(
            data, "ending", kind=str, scale=str, classes=(list, nothing), class_dtype=(str, nothing), tie=bool,
            decision=(dict, nothing),
        )  # fmt: skip
        if kind not in KINDS:
            raise BundleError(f"the ending {kind!r} is not one of {sorted(KINDS)}")
        if (kind in ("logistic", "softmax", "share")) != (classes is not None) or (classes is None) != (
            class_dtype is None
        ):
            raise BundleError("classes and their dtype go with a classifier's ending, and only with it")
        if class_dtype is not None:
            if class_dtype not in CLASS_DTYPES:
                raise BundleError(f"classes have the unknown dtype {class_dtype!r}")
            stored = str if class_dtype == "float64" else CLASS_DTYPES[class_dtype]
            if len(classes) < 2 or not all(type(value) is stored for value in classes):
                raise BundleError(f"classes must be two or more values of {class_dtype}")
            classes = tuple(decimal(value, "classes") if class_dtype == "float64" else value for value in classes)
            if len(set(classes)) != len(classes) or (
                class_dtype == "int64" and not all(in_range(v, "int64") for v in classes)
            ):
                raise BundleError(f"classes must be distinct values of {class_dtype}")
            if kind == "logistic" and len(classes) != 2:
                raise BundleError("the ending logistic goes with two classes")
        made = None
        if decision is not None:
            name, score, threshold = take(decision, "decision", name=str, score=str, threshold=str)
            if classes is None or len(classes) != 2 or kind == "softmax":
                raise BundleError("a decision goes with two classes and one raw sum")
            try:
                made = Decision(score, name, decimal(threshold, "threshold"))
            except ValueError as error:
                raise BundleError(f"decision: {error}") from None
        divisor = decimal(scale, "scale")
        if not 0.0 < divisor < float("inf"):
            raise BundleError(f"the ending's scale is {scale}; expected a positive number")
        return cls(kind, divisor, classes, class_dtype, tie, made)

    def outputs(self, width: int) -> tuple[TensorSpec, ...]:
        """What the model gives out for raw sums [N, ``width``]. Raises BundleError if no ending has such a width."""
        if width < 1:
            raise BundleError("the ending wants one raw sum or more")
        if self.classes is None:
            if self.kind == "exp" and width != 1:
                raise BundleError("the ending exp goes with one raw sum")
            return (TensorSpec("prediction", "float64", (None,) if width == 1 else (None, width)),)
        if width != (1 if self.kind == "logistic" or self.decision else len(self.classes)) and not (
            self.kind == "share" and width == 1 and len(self.classes) == 2
        ):
            raise BundleError(f"{len(self.classes)} classes do not go with {width} raw sums")
        if self.decision is not None:
            return TensorSpec(self.decision.score, "float64", (None,)), TensorSpec(self.decision.name, "bool", (None,))
        assert self.class_dtype is not None
        return (
            TensorSpec("label", self.class_dtype, (None,)),
            TensorSpec("probabilities", "float64", (None, len(self.classes))),
        )

    def finish(self, width: int) -> Finish:
        """The function from one row's raw sums (``width`` floats) to its outputs as Python scalars and lists."""
        scale, classes = self.scale, self.classes
        if classes is None:
            if self.kind == "exp":
                return lambda raw: {"prediction": exp(raw[0])}
            if width == 1:
                return lambda raw: {"prediction": raw[0] / scale}
            return lambda raw: {"prediction": [value / scale for value in raw]}
        if len(classes) == 2 and width == 1:
            return self._finish_binary()

        def finish_many(raw: Sequence[float]) -> Outputs:
            best = max(raw)
            if any(value != value for value in raw):
                best = math.nan
            if self.kind == "share":
                shares = [value / scale for value in raw]
            else:
                powers = [exp(value - best) for value in raw]
                total = 0.0
                for power in powers:
                    total += power
                shares = [power / total for power in powers]
            return {"label": classes[0 if best != best else list(raw).index(best)], "probabilities": shares}

        return finish_many

    def _finish_binary(self) -> Finish:
        scale, tie, decision = self.scale, self.tie, self.decision
        assert self.classes is not None
        first, second = self.classes
        if self.kind == "logistic":
            if decision is not None:
                score, name, threshold = decision.score, decision.name, decision.threshold

                def finish_logistic_decision(raw: Sequence[float]) -> Outputs:
                    p = 1.0 / (1.0 + exp(-raw[0]))
                    return {score: p, name: p > threshold}

                return finish_logistic_decision

            def finish_logistic(raw: Sequence[float]) -> Outputs:
                z = raw[0]
                p = 1.0 / (1.0 + exp(-z))
                return {"label": second if z > 0.0 or (tie and z == 0.0) else first, "probabilities": [1.0 - p, p]}

            return finish_logistic
        double = 2.0 * scale

        def finish_share(raw: Sequence[float]) -> Outputs:
            z = raw[0]
            p = (scale + z) / double
            if decision is not None:
                return {decision.score: p, decision.name: p > decision.threshold}
            return {
                "label": second if z > 0.0 or (tie and z == 0.0) else first,
                "probabilities": [(scale - z) / double, p],
            }

        return finish_share

    def finish_array(self, width: int) -> FinishArray:
        """The function from raw sums [N, ``width``] to the outputs, one array of N rows each."""
        # Infinite and NaN come out without a warning, as they do for one row.
        return np.errstate(all="ignore")(self._finish_array(width))

    def _finish_array(self, width: int) -> FinishArray:
        scale, classes = self.scale, self.classes
        if classes is None:
            if self.kind == "exp":
                return lambda raw: {"prediction": exp_array(raw[:, 0])}
            if width == 1:
                return lambda raw: {"prediction": raw[:, 0] / scale}
            return lambda raw: {"prediction": raw / scale}
        labels = np.empty(len(classes), class_array_dtype(self.class_dtype))
        labels[:] = classes
        if len(classes) == 2 and width == 1:
            return self._finish_binary_array(labels)

        def finish_many(raw: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
            best = raw.max(axis=1)
            if self.kind == "share":
                shares = raw / scale
            else:
                shares = exp_array(raw - best[:, None])
                total = np.zeros(len(raw))
                for k in range(shares.shape[1]):  # in class order: the same sum as one row's
                    total += shares[:, k]
                shares /= total[:, None]
            return {"label": labels[np.argmax(raw == best[:, None], axis=1)], "probabilities": shares}

        return finish_many

    def _finish_binary_array(self, labels: NDArray[Any]) -> FinishArray:
        scale, tie, decision, logistic = self.scale, self.tie, self.decision, self.kind == "logistic"

        def finish_binary(raw: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
            z = raw[:, 0]
            second = 1.0 / (1.0 + exp_array(-z)) if logistic else (scale + z) / (2.0 * scale)
            if decision is not None:
                return {decision.score: second, decision.name: second > decision.threshold}
            probabilities = np.empty((len(z), 2))
            probabilities[:, 0] = 1.0 - second if logistic else (scale - z) / (2.0 * scale)
            probabilities[:, 1] = second
            chosen = z >= 0.0 if tie else z > 0.0
            return {"label": labels[chosen.astype(np.intp)], "probabilities": probabilities}

        return finish_binary


def class_array_dtype(class_dtype: str | None) -> Any:
    return object if class_dtype == "str" else np.dtype(class_dtype)
