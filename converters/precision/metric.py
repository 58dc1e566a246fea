"""What is measured: the metric that was asked for or that fits, and all that speaks against it.

Everything is looked at once, on all rows, before the long work starts; what comes out is fixed from then on.

Belongs here: choosing and refusing. Not here: the losses themselves (agreement.py, scoring.py), how far they may lie
from the truth (certifying.py).
Imported as edge_runtime.converters.precision.metric.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

from .agreement import Agreement, Output, outputs_of
from .losses import Answers, Losses
from .scoring import FIGURES, Figure, Scored, figure_of, part, stacked

__all__ = ["METRICS", "Metric", "choose_metric"]

Array = NDArray[Any]
METRICS = ("agreement", *FIGURES)

FEWEST_OF_A_CLASS = 20  # for a figure that needs both, on every part of the rows
PREFERRED = ("label", "probabilities", "prediction")
FITTING = {
    "accuracy": ("labels", "scores", "vector"),
    "roc_auc": ("scores", "number"),
    "log_loss": ("scores", "number"),
    "mae": ("number",),
    "rmse": ("number",),
    "r2": ("number",),
    "ndcg": ("number",),
}
"""Kinds of outputs that a metric can be of, the better one first. Of vectors, the highest value is the answer."""
TAKES = {
    "labels": "labels",
    "scores": "scores of classes that sum to 1",
    "vector": "logits",
    "number": "one float per row",
}


class Metric(Protocol):
    """``name`` is one of METRICS, or that of a caller's function; ``sentence`` says what is lost, in words."""

    @property
    def name(self) -> str: ...

    @property
    def sentence(self) -> str: ...

    @property
    def on_few(self) -> bool:
        """Whether any few rows have a figure of their own, as a mean over rows has and ROC AUC has not."""

    def losses(self, reference: Answers, candidate: Answers, rows: NDArray[np.int64]) -> Losses:
        """What ``candidate`` loses on the samples ``rows`` [n], which both have answered."""

    def measured(self, reference: Answers, candidate: Answers, rows: NDArray[np.int64]) -> float:
        """The largest of these losses, without what a bound needs: for search, where there are many candidates."""


def choose_metric(
    reference: Answers,
    *,
    target: Array | None = None,
    metric: str | Figure | None = None,
    groups: Array | None = None,
    classes: Array | None = None,
) -> Metric:
    """The metric for outputs as in ``reference``, the answers to all samples, with their ``target`` [N], if known.

    Left out, ``metric`` is accuracy where the target fits labels, scores or logits, r2 where the only output is one
    float per row, and else agreement with the reference. A function is called as metric(target [N], outputs {name:
    array [N, ...]}) and says more where the answers are better. ``groups`` [N] tell which rows are ranked together, for
    "ndcg" and functions; ``classes`` [K] what the columns of class scores stand for (left out: 0 to K - 1).

    Raises InputError for a metric that is unknown or does not fit outputs and target, groups that it has no use for, a
    target or groups of another length, a target with missing values, of one class or constant where the metric needs
    more, and a function that gives no finite number for the reference.
    """
    outputs = outputs_of(reference)
    if target is not None:
        target = checked(target, rows=len(next(iter(reference.values()))), name="target")
    if groups is not None:
        groups = checked(groups, rows=len(next(iter(reference.values()))), name="groups")
    if metric is None:
        metric = fitting(outputs, target, classes)
    if groups is not None and isinstance(metric, str) and metric in METRICS and metric != "ndcg":
        raise InputError(
            f"groups say that rows belong together, and {metric} is certified over rows that are independent",
            expected="metric='ndcg', a function as the metric, or no groups",
        )
    if metric == "agreement":
        check_several(outputs, reference)
        return Agreement(outputs)
    if target is None:
        raise InputError("a metric needs the true answers", expected="a target, or metric=None for agreement")
    if isinstance(metric, str):
        return named(metric, outputs, reference, target, groups, classes)
    if not callable(metric):
        raise InputError(f"metric {metric!r}", expected=f"one of {METRICS}, or a function")
    figure_of(metric, target, stacked(reference))
    return Scored(getattr(metric, "__name__", type(metric).__name__), None, target, None, groups, metric)


def check_several(outputs: tuple[Output, ...], reference: Answers) -> None:
    """Raise InputError where the only answers are class scores of one and the same class: to agree with that says
    nothing."""
    for output in outputs:
        if output.kind != "scores":
            return
        tops = {int(top) for values in reference[output.name] for top in np.unique(np.asarray(values).argmax(axis=-1))}
        if len(tops) > 1:
            return
    raise InputError(
        f"the reference answers class {tops.pop()} to all samples", expected="samples of two classes or more"
    )


def checked(values: Any, *, rows: int, name: str) -> Array:
    """One value per row, none missing; classes that are whole numbers as integers."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != rows:
        raise InputError(
            f"the {name} has the shape {list(array.shape)}", expected=f"one value for each of {rows:,} rows"
        )
    if array.dtype.kind == "f":
        missing = ~np.isfinite(array)
    elif array.dtype.kind == "O":
        missing = np.array([value is None or value != value for value in array.tolist()])
    else:
        return array
    if missing.any():
        raise InputError(
            f"the {name} is missing or infinite in {missing.sum():,} of {rows:,} rows",
            row=int(missing.argmax()),
            expected="a value in each",
        )
    return array


def fitting(outputs: tuple[Output, ...], target: Array | None, classes: Array | None) -> str:
    """The name of the metric that goes with these outputs and this target."""
    if target is None:
        return "agreement"
    for kind in FITTING["accuracy"]:
        if any(output.kind == kind and output.single and answers_to(output, target, classes) for output in outputs):
            return "accuracy"
    if [output.kind for output in outputs] == ["number"] and target.dtype.kind in "iufb":
        return "r2"
    kinds = {output.name: output.kind for output in outputs}
    raise InputError(
        f"the target ({shown(target)}) is no answer of the outputs {kinds}",
        expected="the class's number or label, or one number per row, or metric='agreement' to leave the target aside",
    )


def answers_to(output: Output, target: Array, classes: Array | None) -> bool:
    """Whether the target can be an answer of this output: labels, or the number of a column."""
    if output.kind == "labels":
        return True
    if classes is not None:
        return len(classes) == output.width and bool(np.isin(target, classes).all())
    return target.dtype.kind in "iub" and bool((target >= 0).all() and (target < max(2, output.width)).all())


def named(
    name: str,
    outputs: tuple[Output, ...],
    reference: Answers,
    target: Array,
    groups: Array | None,
    classes: Array | None,
) -> Scored:
    if name not in FIGURES:
        raise InputError(f"metric {name!r}", expected=f"one of {METRICS}, or a function")
    output = output_for(name, outputs)
    scored = Scored(name, output, target, None if classes is None else np.asarray(classes), groups)
    answers = part(output, reference[output.name])
    if output.kind != "labels" and not np.isfinite(answers).all():
        raise InputError(
            f"the reference gives values that are not finite, and {name} has no figure for them",
            column=output.name,
            expected="metric='agreement'",
        )
    if name in ("accuracy", "roc_auc", "log_loss"):
        if len(set(target.tolist())) < 2:
            expected = f"two classes for {name}, or metric='agreement'"
            raise InputError(f"the target is of one class, {shown(target)}", expected=expected)
        check_classes(name, scored, answers)
    else:
        check_numbers(name, scored, answers)
    return scored


def output_for(name: str, outputs: tuple[Output, ...]) -> Output:
    """The output that the metric is of."""
    for kind in FITTING[name]:
        fit = [output for output in outputs if output.kind == kind and output.single]
        fit = [output for output in fit if output.name in PREFERRED] or fit
        if len(fit) == 1:
            return fit[0]
        if fit:
            raise InputError(
                f"{name} fits several outputs, {[output.name for output in fit]}",
                expected="a function as the metric, which takes the one that it is about",
            )
    kinds = {output.name: output.kind if output.single else f"{output.kind}, several a sample" for output in outputs}
    raise InputError(
        f"metric {name!r} does not fit the outputs {kinds}",
        expected=f"{' or '.join(TAKES[kind] for kind in FITTING[name])}, or another metric",
    )


def check_classes(name: str, scored: Scored, answers: Array) -> None:
    """Raise InputError unless the target says which class each row is of, in the output's own words."""
    output, target = scored.output, scored.target
    assert output is not None
    if output.kind == "labels":
        if not (answers == target).any():
            raise InputError(
                f"the target ({shown(target)}) never is the label ({shown(answers)})",
                expected="labels of the same kind",
            )
        return
    if not answers_to(output, target, scored.classes):
        wanted = f"0 to {max(2, output.width) - 1}" if scored.classes is None else shown(scored.classes)
        raise InputError(f"the target has values as {shown(target)}", column=output.name, expected=f"classes: {wanted}")
    if name == "accuracy":
        return
    if output.kind == "number" and name == "log_loss" and not ((answers >= 0) & (answers <= 1)).all():
        raise InputError("values outside [0, 1]", column=output.name, expected="probabilities for log_loss")
    counts = np.bincount(scored.numbered(target), minlength=max(2, output.width))
    if name == "roc_auc" and counts.min() < FEWEST_OF_A_CLASS:
        raise InputError(
            f"class {int(counts.argmin())} has {counts.min():,} rows",
            expected=f"{FEWEST_OF_A_CLASS} or more of each for roc_auc",
        )


def check_numbers(name: str, scored: Scored, answers: Array) -> None:
    """Raise InputError unless the target are numbers with which the figure has a value."""
    target = scored.target
    if target.dtype.kind not in "iufb":
        raise InputError(f"the target has values as {shown(target)}", expected=f"numbers for {name}")
    if name == "r2" and np.ptp(target.astype(np.float64)) == 0:
        raise InputError(f"the target is constant, {shown(target)}", expected="metric='mae', or metric='agreement'")
    if name in ("mae", "rmse") and not np.abs(answers - target.astype(np.float64)).max() > 0:
        raise InputError(
            f"the reference's {name} is 0, and what is lost is relative to it",
            expected="metric='r2', or metric='agreement'",
        )
    if name == "ndcg":
        if scored.groups is None:
            raise InputError("ndcg is a figure of groups", expected="groups, one value per row")
        if target.min() < 0:
            raise InputError("the target has negative relevances", expected="0 or more for ndcg")
        if np.unique(scored.groups, return_counts=True)[1].max() < 2:
            raise InputError("no group has two rows", expected="groups of two rows or more for ndcg")


def shown(values: Array) -> str:
    """A few of the distinct values."""
    distinct = list(dict.fromkeys(values[:1000].tolist()))
    return ", ".join(repr(value) for value in distinct[:3]) + (", …" if len(distinct) > 3 else "")
