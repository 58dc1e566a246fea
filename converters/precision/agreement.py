"""How far a candidate's answers are from the reference's, output by output, with no truth at hand.

Belongs here: telling an output's kind from the reference's answers, and the loss of one sample of each kind. Not here:
what is right (scoring.py), which of the two is asked for (metric.py).
Imported as edge_runtime.converters.precision.agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

from .losses import Answers, Loss, Losses, Values

__all__ = ["Agreement", "Output", "blocks", "output_of", "outputs_of"]

Array = NDArray[Any]

SUMS_TO_ONE = 1e-3
SAME = 1e-6
"""Relative to a constant reference: what is no difference."""
SENTENCES = {
    "scores": "top-1 disagreement of {!r} with the reference",
    "labels": "disagreement of {!r} with the reference",
    "vector": "1 - cosine of {!r} with the reference",
    "number": "squared difference of {!r} from the reference, over the variance of the reference",
}


@dataclass(frozen=True, slots=True)
class Output:
    """``kind``: "scores" (of classes, along the last axis), "labels" (integers, text, bools), "vector" (other floats),
    "number" (one float per sample, of this ``variance``). ``single``: each sample has one position, that is one value
    or one vector of ``width``."""

    name: str
    kind: str
    single: bool
    width: int = 1
    variance: float = 0.0

    @property
    def what(self) -> str:
        return SENTENCES[self.kind].format(self.name)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Loss by loss within [0, 1]: the share of positions whose label or highest score is another one; 1 - cosine, where
    an answer that has nothing in common with the reference is lost as a whole, and an opposite one no more than that;
    the squared difference over the variance of the reference's answers, at most 1. A value that is not finite where the
    reference is, or another shape, loses the sample."""

    outputs: tuple[Output, ...]

    @property
    def name(self) -> str:
        return "agreement"

    @property
    def sentence(self) -> str:
        return "; ".join(output.what for output in self.outputs)

    @property
    def on_few(self) -> bool:
        return True

    def losses(self, reference: Answers, candidate: Answers, rows: NDArray[np.int64]) -> Losses:
        """One loss per output; which samples they are, ``rows``, makes no difference. Raises InputError for a candidate
        without an output, or with another number of answers."""
        for output in self.outputs:
            if output.name not in candidate:
                raise InputError(
                    "a candidate has not all outputs", column=output.name, expected=sorted_names(reference)
                )
        return tuple(
            Loss(
                output.what,
                sample_losses(output, reference[output.name], candidate[output.name]),
                whole=output.single and output.kind in ("scores", "labels"),
            )
            for output in self.outputs
        )

    def measured(self, reference: Answers, candidate: Answers, rows: NDArray[np.int64]) -> float:
        """The largest loss of an output."""
        return max(loss.value for loss in self.losses(reference, candidate, rows))


def sorted_names(answers: Answers) -> str:
    return f"those of the reference: {sorted(answers)}"


def outputs_of(reference: Answers) -> tuple[Output, ...]:
    """The kind of each output. Raises InputError for no outputs, no samples, or one that holds neither numbers, text
    nor bools."""
    if not reference or not all(map(len, reference.values())):
        raise InputError("the reference gave no answers", expected="one output and one sample or more")
    return tuple(output_of(name, values) for name, values in reference.items())


def output_of(name: str, values: Sequence[Array] | Array) -> Output:
    arrays = [array for _, array in blocks(values)]
    kinds = {kind_of(array) for array in arrays}
    if kinds <= {"i", "u", "b", "U", "O"}:
        return Output(name, "labels", all(size_of(array) == 1 for array in arrays))
    if kinds != {"f"}:
        raise InputError(
            f"values of {sorted({str(array.dtype) for array in arrays})}",
            column=name,
            expected="numbers, text or bools",
        )
    widths = {array.shape[-1] if array.ndim > 1 else 1 for array in arrays}
    width = widths.pop() if len(widths) == 1 else 0
    if all(map(is_scores, arrays)):
        return Output(name, "scores", all(size_of(array) == array.shape[-1] for array in arrays), width)
    if all(size_of(array) == 1 for array in arrays):
        numbers = np.concatenate([array.reshape(-1).astype(np.float64) for array in arrays])
        finite = numbers[np.isfinite(numbers)]
        return Output(name, "number", True, 1, variance_of(finite))
    return Output(name, "vector", all(size_of(array) == width for array in arrays), width)


def variance_of(numbers: Values) -> float:
    """Zero for a constant, whatever rounding says."""
    if not len(numbers) or np.ptp(numbers) <= SAME * np.abs(numbers).max():
        return 0.0
    return float(numbers.var())


def kind_of(array: Array) -> str:
    if array.dtype.kind == "O":
        return "O" if all(isinstance(value, (str, int, bool)) for value in array.ravel().tolist()) else "?"
    return "U" if array.dtype.kind == "T" else array.dtype.kind


def size_of(array: Array) -> int:
    """Values of one sample, of a block [n, ...]."""
    return int(np.prod(array.shape[1:], dtype=np.int64))


def is_scores(block: Array) -> bool:
    """Whether all vectors along the last axis are distributions over two classes or more."""
    if block.ndim < 2 or block.shape[-1] < 2 or not block.size:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        sums = block.astype(np.float64).sum(axis=-1)
        return bool((block >= 0).all() and (np.abs(sums - 1) <= SUMS_TO_ONE).all())


def blocks(values: Sequence[Array] | Array) -> list[tuple[NDArray[np.int64], Array]]:
    """Samples of one shape and dtype stacked, with their numbers: [(which [n], block [n, ...])]."""
    if isinstance(values, np.ndarray):
        return [(np.arange(len(values)), values)]
    alike: dict[tuple[Any, ...], list[int]] = {}
    arrays = [np.asarray(value) for value in values]
    for i, array in enumerate(arrays):
        kind = "U" if array.dtype.kind == "U" else str(array.dtype)  # text of any length
        alike.setdefault((array.shape, kind), []).append(i)
    return [(np.array(which), np.stack([arrays[i] for i in which])) for which in alike.values()]


def sample_losses(output: Output, reference: Sequence[Array] | Array, candidate: Sequence[Array] | Array) -> Values:
    """The loss of each sample; 1 for those that cannot be compared."""
    if len(reference) != len(candidate):
        raise InputError(
            f"{len(candidate):,} answers of a candidate",
            column=output.name,
            expected=f"{len(reference):,}, as the reference",
        )
    lost = np.ones(len(reference))
    for which, wanted in blocks(reference):
        for part, found in blocks(
            candidate[which] if isinstance(candidate, np.ndarray) else [candidate[i] for i in which]
        ):
            wanted_part = wanted[part]
            if found.shape == wanted_part.shape and size_of(found):
                lost[which[part]] = block_losses(output, wanted_part, found)
            elif found.shape == wanted_part.shape:
                lost[which[part]] = 0.0  # nothing was to be said, and nothing was
    return lost


def block_losses(output: Output, wanted: Array, found: Array) -> Values:
    """Losses [n] of two blocks of one shape [n, ...]."""
    n = len(wanted)
    if output.kind == "labels":
        return np.asarray((wanted != found).reshape(n, -1).mean(axis=1), dtype=np.float64)
    if found.dtype.kind not in "fiu":
        return np.ones(n)
    wanted, found = wanted.astype(np.float64), found.astype(np.float64)
    # Where the reference is not finite (a mask of -inf), the candidate must be the same; no figure is made of it.
    finite = np.isfinite(wanted)
    with np.errstate(invalid="ignore"):
        same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    broken = ~np.where(finite, np.isfinite(found), same).reshape(n, -1).all(axis=1)
    usable = finite & np.isfinite(found)
    if output.kind == "scores":
        lost = (wanted.argmax(axis=-1) != found.argmax(axis=-1)).reshape(n, -1).mean(axis=1)
    else:
        wanted, found = (np.where(usable, array, 0.0).reshape(n, -1) for array in (wanted, found))
        lost = distances(wanted, found) if output.kind == "vector" else squares(wanted, found, output.variance)
    return np.asarray(np.where(broken, 1.0, lost), dtype=np.float64)


def distances(wanted: Array, found: Array) -> Values:
    """1 - cosine of two blocks [n, k], 1 at most: of unit vectors, half their squared distance, which is exact near 0,
    where 1 - cosine itself is rounding."""
    a, b = (np.abs(block).max(axis=1, initial=0.0, keepdims=True) for block in (wanted, found))
    wanted, found = wanted / np.where(a > 0, a, 1.0), found / np.where(b > 0, b, 1.0)  # squares do not overflow
    long, short = (np.sqrt((block**2).sum(axis=1, keepdims=True)) for block in (wanted, found))
    gap = ((wanted / np.where(long > 0, long, 1.0) - found / np.where(short > 0, short, 1.0)) ** 2).sum(axis=1) / 2
    zero_a, zero_b = a[:, 0] == 0, b[:, 0] == 0
    return np.asarray(np.where(zero_a | zero_b, np.where(zero_a & zero_b, 0.0, 1.0), np.minimum(gap, 1.0)))


def squares(wanted: Array, found: Array, variance: float) -> Values:
    """Squared differences [n] of blocks [n, 1] over ``variance``, 1 at most; of a constant, whether there is one."""
    if variance == 0.0:
        return np.asarray(np.abs(found - wanted)[:, 0] > SAME * np.abs(wanted)[:, 0], dtype=np.float64)
    with np.errstate(over="ignore"):
        return np.asarray(np.minimum((found - wanted)[:, 0] ** 2 / variance, 1.0))
