"""scikit-learn's models of models over trees: soft voting, averaged regressors, and calibrated classifiers.

Belongs here: members, their weights and calibration maps. Not here: the members' own trees (trees.py and the boosters),
putting them into one ensemble (converters/exact/joining.py).
Imported as edge_runtime.converters.sources.sklearn.joined.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, VotingClassifier, VotingRegressor

from edge_runtime.ending import Ending
from edge_runtime.links import Link

from ...exact.ensemble import Ensemble
from ...exact.head import Head, classes_of
from ...exact.joining import Joined, View
from .answers import classify, regress
from .pipeline import behind, opened, split, with_final

__all__ = ["head"]

HeadOf = Callable[[Any, Any], Head | None]
"""From a transformer (None = none) and the estimator behind it to the estimator's head."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A model that others are joined with, behind a ``transformer`` of its own; ``final`` ends it."""

    model: Any
    transformer: Any
    final: Any
    head: Head
    body: Ensemble | Joined

    @property
    def width(self) -> int:
        return self.body.targets

    @property
    def link(self) -> Link:
        return self.head.ending.link(self.width)


def head(estimator: Any, head_of: HeadOf) -> Head | None:
    """The head of such a model, or None for another, or for one whose members are not lowered or not joined."""
    if type(estimator) is VotingRegressor or (type(estimator) is VotingClassifier and estimator.voting == "soft"):
        return _voting(estimator, head_of)
    if type(estimator) is CalibratedClassifierCV:
        return _calibrated(estimator, head_of)
    return None


def _voting(estimator: Any, head_of: HeadOf) -> Head | None:
    weights = estimator._weights_not_none or [1.0] * len(estimator.estimators_)
    if not all(0.0 <= weight < math.inf for weight in weights) or not any(weights):
        return None
    members = _members(estimator.estimators_, head_of)
    classifies = type(estimator) is VotingClassifier
    wanted = tuple(range(len(estimator.classes_))) if classifies else None
    if members is None or any(member.head.ending.classes != wanted for member in members):
        return None
    stands_in = copy.copy(estimator)
    stands_in.estimators_ = [
        member.model if member.head.stands_in is None else with_final(member.model, member.head.stands_in)
        for member in members
    ]
    counted = [(member, float(weight)) for member, weight in zip(members, weights, strict=True) if weight > 0.0]
    parts = [replace(member.link, weight=weight) for member, weight in counted]
    classes, dtype = classes_of(estimator.classes_) if classifies else (None, None)
    ending = Ending("mean", float(np.sum(weights)), classes, dtype, parts=tuple(parts))
    made = _joined([member for member, _ in counted], ending, classifies=classifies)
    return replace(made, stands_in=stands_in)


def _calibrated(estimator: Any, head_of: HeadOf) -> Head | None:
    """The mean of the folds' classifiers, each with its maps."""
    pairs = estimator.calibrated_classifiers_
    members = _members([pair.estimator for pair in pairs], head_of)
    classes, dtype = classes_of(estimator.classes_)
    # The maps are asked for scores in ways that a stand-in does not offer.
    if members is None or any(
        member.head.ending.classes != classes or (member.head.stands_in is not None and member.head.reads != np.float64)
        for member in members
    ):
        return None
    parts = []
    for member, pair in zip(members, pairs, strict=True):
        scores = _scores(member, len(classes))
        if pair.method == "temperature" and any(leaf.kind == "one_vs_rest" for leaf in scores.leaves()):
            return None  # taken for logits, as they do not add up to 1
        parts.append(Link(pair.method, member.width, maps=_maps(pair), parts=(scores,)))
    ending = Ending("mean", float(len(parts)), classes, dtype, parts=tuple(parts))
    return _joined(members, ending, classifies=True)


def _scores(member: _Member, count: int) -> Link:
    """What the maps are given: the raw sums of scikit-learn's boostings, the probabilities of others."""
    if not hasattr(member.final, "decision_function"):
        return member.link
    halved = type(member.final) is GradientBoostingClassifier and member.final.loss == "exponential" and count == 2
    return Link("identity", member.width, 2.0 if halved else 1.0)  # see trees.py: its leaves were doubled


def _maps(pair: Any) -> tuple[tuple[float, ...], ...]:
    if pair.method == "temperature":
        return ((float(pair.calibrators[0].beta_),),)
    if pair.method == "sigmoid":
        return tuple((float(own.a_), float(own.b_)) for own in pair.calibrators)
    made = []
    for own in pair.calibrators:
        knots = np.stack([own.X_thresholds_, own.y_thresholds_], axis=1).astype(np.float64)
        made.append(tuple(knots.ravel().tolist()))
    return tuple(made)


def _members(models: Sequence[Any], head_of: HeadOf) -> list[_Member] | None:
    """None if one of them is no ensemble of trees that can stand beside others."""
    members = []
    for model in map(opened, models):
        transformer, final = split(model)
        own = head_of(transformer, final)
        if own is None or not isinstance(own.body, (Ensemble, Joined)) or own.categories:
            return None
        if own.ending.kind in ("graph", "each", "anomaly"):
            return None
        own, body = _to_one(own, own.body)
        members.append(_Member(model, transformer, final, own, body))
    return members


def _to_one(own: Head, body: Ensemble | Joined) -> tuple[Head, Ensemble | Joined]:
    """Sums that are divided anyway brought near 1 by a power of two, which is exact: all members share one grid."""
    if not isinstance(body, Ensemble) or own.ending.kind not in ("identity", "share"):
        return own, body
    factor = 2.0 ** -math.frexp(max(body.reaches()))[1]
    trees = tuple(replace(tree, value=tree.value * factor) for tree in body.trees)
    scaled = replace(body, trees=trees, base=body.base * factor)
    return replace(own, body=scaled, ending=replace(own.ending, scale=own.ending.scale * factor)), scaled


def _joined(members: Sequence[_Member], ending: Ending, *, classifies: bool) -> Head:
    views: list[View] = []
    bodies: list[tuple[Ensemble, int]] = []
    for member in members:
        body = member.body
        places = []
        for view in member.head.views:
            seen = replace(view, transformer=behind(member.transformer, view.transformer))
            if seen not in views:
                views.append(seen)
            places.append(views.index(seen))
        if isinstance(body, Joined):
            bodies += [(ensemble, places[view]) for ensemble, view in body.members]
        else:
            bodies.append((body, places[0]))
    heads = [member.head for member in members]
    return Head(
        Joined(tuple(bodies), tuple(views)), ending, np.float64, classify if classifies else regress,
        sums=np.float32 if any(own.sums == np.float32 for own in heads) else np.float64,
        roundings=max(own.roundings for own in heads), closed=any(own.closed for own in heads),
        libraries=tuple(dict.fromkeys(name for own in heads for name in own.libraries)),
        statements=tuple(dict.fromkeys(text for own in heads for text in own.statements)),
    )  # fmt: skip
