"""How right a candidate is, against how right the reference is, where the truth is known.

The two are paired: both answer the same rows, and what is judged is the difference. Of accuracy that is one value a row
in {-1, 0, 1}, of NDCG one a group. Mean errors, RMSE, R² and log loss are ratios of means: each row's part in the ratio
is known in closed form (the delta method). ROC AUC and a caller's own figure are asked again without one part of the
rows after the other (the jackknife), with scikit-learn's function or the caller's.

Belongs here: a figure of reference and candidate as losses. Not here: choosing the figure and refusing bad data
(metric.py), agreement without truth (agreement.py).
Imported as edge_runtime.converters.precision.scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError, extra

from .agreement import Output, blocks
from .losses import Answers, Loss, Losses, Values

__all__ = ["FIGURES", "Figure", "Scored", "figure_of", "part", "stacked"]

Array = NDArray[Any]
Figure = Callable[[Any, dict[str, Any]], float]
"""A caller's metric: (target [N], outputs {name: array [N, ...]}) to one number, higher is better."""

FIGURES = {
    "accuracy": "accuracy lost by {!r}",
    "roc_auc": "ROC AUC lost by {!r}",
    "log_loss": "log loss of {!r}, relative to the reference's",
    "mae": "mean absolute error of {!r}, relative to the reference's",
    "rmse": "root mean squared error of {!r}, relative to the reference's",
    "r2": "R² lost by {!r}",
    "ndcg": "NDCG lost by {!r}, mean over groups",
}
"""Names of metrics, and what is said of the loss by them."""
PARTS = 200
"""So many times a figure is asked without a part of the rows."""
NOT_SHARES = ("roc_auc", "r2", "ndcg")
LEAST_CHANCE = float(np.finfo(np.float64).eps)  # as scikit-learn clips probabilities


@dataclass(frozen=True, slots=True)
class Scored:
    """A metric against ``target`` [N], of one ``output``; all outputs where ``figure`` is a caller's. ``classes`` are
    what the scores stand for, in their order, and ``groups`` [N] which rows are ranked together."""

    name: str
    output: Output | None
    target: Array = field(repr=False)
    classes: Array | None = field(default=None, repr=False)
    groups: Array | None = field(default=None, repr=False)
    figure: Figure | None = field(default=None, repr=False)

    @property
    def sentence(self) -> str:
        if self.output is None:
            return f"{self.name} lost"
        return FIGURES[self.name].format(self.output.name)

    @property
    def on_few(self) -> bool:
        return self.name in ("accuracy", "log_loss") and self.output is not None

    def losses(self, reference: Answers, candidate: Answers, rows: NDArray[np.int64]) -> Losses:
        """What ``candidate`` loses on the samples ``rows``, in a tuple of one. Raises InputError for rows on which the
        figure has no value, and for a reference whose error is zero where errors are relative."""
        target = self.target[rows]
        if self.output is None or self.name == "roc_auc":
            return (self.again(reference, candidate, rows),)
        wanted, found = (part(self.output, answers[self.output.name]) for answers in (reference, candidate))
        if self.name == "accuracy":
            values = self.right(wanted, target) - self.right(found, target)
            return (Loss(self.sentence, values, low=-1.0, whole=True),)
        if self.name == "ndcg":
            assert self.groups is not None
            return (ndcg_loss(self.sentence, wanted, found, target, self.groups[rows]),)
        return (self.ratio(wanted, found, target),)

    def measured(self, reference: Answers, candidate: Answers, rows: NDArray[np.int64]) -> float:
        """The loss by itself; inf where the candidate has no finite answer."""
        if self.output is not None and self.name != "roc_auc":
            return self.losses(reference, candidate, rows)[0].value
        loss = self.asked(reference, candidate, self.target[rows])(np.arange(len(rows)))
        return loss if np.isfinite(loss) else float("inf")

    def right(self, answers: Array, target: Array) -> Values:
        """Which rows are right. Scores that are not finite never are."""
        assert self.output is not None
        if self.output.kind == "labels":
            return np.asarray(answers == target, dtype=np.float64)
        top = np.where(np.isfinite(answers).all(axis=1), answers.argmax(axis=1), -1)
        return np.asarray(top == self.numbered(target), dtype=np.float64)

    def numbered(self, target: Array) -> NDArray[np.int64]:
        """The target as numbers of classes."""
        if self.classes is None:
            return target.astype(np.int64)
        order = np.argsort(self.classes)
        return np.asarray(order[np.searchsorted(self.classes, target, sorter=order)], dtype=np.int64)

    def ratio(self, wanted: Array, found: Array, target: Array) -> Loss:
        percent = self.name not in NOT_SHARES
        if not np.isfinite(found).all():
            values = np.where(np.isfinite(found.reshape(len(found), -1)).all(axis=1), 0.0, np.inf)
            return Loss(self.sentence, values, low=-np.inf, bounded=False, percent=percent)
        if self.name == "log_loss":
            ours, theirs = (surprise(answers, self.numbered(target)) for answers in (wanted, found))
        else:
            power = 1 if self.name == "mae" else 2
            ours, theirs = (np.abs(answers - target.astype(np.float64)) ** power for answers in (wanted, found))
        base = (target.astype(np.float64) - target.mean()) ** 2 if self.name == "r2" else ours
        if not base.mean() > 0:
            raise InputError(
                f"{self.name} of these {len(target):,} rows is relative to zero", expected="metric=None, or more rows"
            )
        values = linearised(theirs - ours, base)
        if self.name == "rmse":
            root = np.sqrt(1 + values.mean())
            values = root - 1 + (values - values.mean()) / (2 * max(root, np.sqrt(LEAST_CHANCE)))
        return Loss(self.sentence, values, low=-np.inf, bounded=False, percent=percent)

    def again(self, reference: Answers, candidate: Answers, rows: NDArray[np.int64]) -> Loss:
        """The loss of a figure that is no mean, by asking for it without one part of the rows after the other."""
        target = self.target[rows]
        parts, units = parts_of(
            len(rows), None if self.groups is None or self.output is not None else self.groups[rows]
        )
        ask = self.asked(reference, candidate, target)
        whole = ask(np.arange(len(rows)))
        every = np.arange(parts.max() + 1)
        without = (
            np.array([ask(np.flatnonzero(parts != each)) for each in every]) if np.isfinite(whole) else every * np.nan
        )
        values = len(every) * whole - (len(every) - 1) * without
        values = values - values.mean() + whole if np.isfinite(values).all() else np.full(len(every), np.inf)
        per = units / len(every)
        counted = "rows" if units == len(rows) else "groups"
        return Loss(
            self.sentence, values, low=-np.inf, high=1 / per, bounded=False, counted=counted, percent=False, per=per
        )  # fmt: skip

    def asked(self, reference: Answers, candidate: Answers, target: Array) -> Callable[[NDArray[np.int64]], float]:
        """The function from rows to the loss on them; NaN for a candidate without finite answers."""
        if self.output is None:
            assert self.figure is not None
            figure, ours, theirs = self.figure, stacked(reference), stacked(candidate)
            return lambda keep: (
                figure_of(figure, target[keep], at(ours, keep))
                - figure_of(figure, target[keep], at(theirs, keep), strict=False)
            )
        wanted, found = (part(self.output, answers[self.output.name]) for answers in (reference, candidate))
        if not np.isfinite(found).all():
            return lambda keep: float("nan")
        true = self.numbered(target) if self.output.kind == "scores" else target
        return lambda keep: roc_auc(true[keep], wanted[keep]) - roc_auc(true[keep], found[keep])


def linearised(differences: Values, base: Values) -> Values:
    """Values whose mean is mean(differences) / mean(base), and whose spread is that of this ratio."""
    ratio = differences.mean() / base.mean()
    return np.asarray(ratio + (differences - ratio * base) / base.mean())


def surprise(chances: Array, classes: NDArray[np.int64]) -> Values:
    """-log of the chance that each row gives to what is true, of [N, K], or of [N]: the chance of class 1."""
    if chances.ndim == 1:
        chances = np.stack([1 - chances, chances], axis=1)
    true = chances[np.arange(len(chances)), classes] / chances.sum(axis=1)
    return np.asarray(-np.log(np.clip(true, LEAST_CHANCE, 1 - LEAST_CHANCE)))


def roc_auc(target: Array, scores: Array) -> float:
    """scikit-learn's figure; of three classes or more, each against the rest, all counting alike."""
    with extra("convert", used_by="edge_runtime.converters.precision"):
        from sklearn.metrics import roc_auc_score
    if len(np.unique(target)) < 2:
        raise InputError(f"{len(target):,} rows of one class", expected="two classes for roc_auc")
    if scores.ndim == 1:
        return float(roc_auc_score(target, scores))
    if scores.shape[1] == 2:
        return float(roc_auc_score(target, scores[:, 1]))
    shares = scores / scores.sum(axis=1, keepdims=True)  # float32 does not sum to 1 closely enough
    return float(roc_auc_score(target, shares, multi_class="ovr", labels=np.arange(scores.shape[1])))


def ndcg_loss(sentence: str, wanted: Array, found: Array, target: Array, groups: Array) -> Loss:
    """One loss per group of two rows or more, by scikit-learn's figure."""
    with extra("convert", used_by="edge_runtime.converters.precision"):
        from sklearn.metrics import ndcg_score
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    values = []
    for which in np.split(order, starts[1:]):
        if len(which) > 1:
            ideal = target[which][None].astype(np.float64)
            ours = ndcg_score(ideal, wanted[which][None])
            theirs = ndcg_score(ideal, found[which][None]) if np.isfinite(found[which]).all() else 0.0
            values.append(ours - theirs)
    if not values:
        raise InputError("no group has two rows", expected="groups of two rows or more for ndcg")
    return Loss(sentence, np.array(values), low=-1.0, counted="groups", percent=False)


def figure_of(figure: Figure, target: Array, outputs: dict[str, Array], *, strict: bool = True) -> float:
    """What the caller's metric says. Raises InputError if that is no number; not finite, if ``strict``."""
    value = figure(target, outputs)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"the metric gave {value!r:.100}", expected="one number, higher is better") from None
    if strict and not np.isfinite(number):
        raise InputError(f"the metric gave {number} for the reference", expected="a finite number")
    return number


def parts_of(rows: int, groups: Array | None) -> tuple[NDArray[np.int64], int]:
    """Of each row the part that it is left out with, by a fixed draw, and how many rows or groups there are."""
    of, units = np.arange(rows), rows
    if groups is not None:
        names, of = np.unique(groups, return_inverse=True)
        units = len(names)
    drawn = np.random.default_rng(0).permutation(units) % min(PARTS, units)
    return np.asarray(drawn[of], dtype=np.int64), units


def part(output: Output, values: Sequence[Array] | Array) -> Array:
    """Answers of one position a sample: labels [N], numbers float64 [N], scores float64 [N, K]; NaN for what has
    another shape than most."""
    stacks = blocks(values)
    if output.kind == "labels":
        labels = np.empty(len(values), dtype=object)
        for which, block in stacks:
            if block[0].size == 1:
                labels[which] = block.reshape(-1)
        return labels
    if output.kind == "number":
        numbers = np.full(len(values), np.nan)
        for which, block in stacks:
            if block[0].size == 1:
                numbers[which] = block.reshape(-1)
        return numbers
    scores = np.full((len(values), output.width), np.nan)
    for which, block in stacks:
        if block[0].size == output.width:
            scores[which] = block.reshape(-1, output.width)
    return scores


def stacked(answers: Answers) -> dict[str, Array]:
    """All samples of each output in one array: along the row axis where each sample has one row, else along a new one.
    Raises InputError for samples of several shapes."""
    made = {}
    for name, values in answers.items():
        if not isinstance(values, np.ndarray):
            shapes = {np.shape(value) for value in values}
            if len(shapes) > 1:
                raise InputError(
                    f"samples of the shapes {sorted(shapes)[:3]}",
                    column=name,
                    expected="one shape for a metric of your own",
                )
            shape = shapes.pop()
            made[name] = np.concatenate(values) if shape[:1] == (1,) else np.stack(values)
        else:
            made[name] = values
    return made


def at(outputs: dict[str, Array], keep: NDArray[np.int64]) -> dict[str, Array]:
    return {name: array[keep] for name, array in outputs.items()}
