"""Several ensembles as one: what each had summed stands beside the others' sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_runtime.converters.exact.ensemble import Ensemble, Tree
from edge_runtime.converters.exact.joining import Joined, View

Floats = NDArray[np.float64]


def stump(feature: int, threshold: float, value: Floats, target: int = 0) -> Tree:
    """One split: left where feature <= threshold."""
    return Tree(
        np.array([feature, -2, -2]), np.array([threshold, 0.0, 0.0]), np.array([1, -1, -1]), np.array([2, -1, -1]),
        np.array([True, False, False]), value, target,
    )  # fmt: skip


def sums(ensemble: Ensemble, row: Floats) -> Floats:
    total = ensemble.base.copy()
    for tree in ensemble.trees:
        leaf = tree.value[1 if row[tree.feature[0]] <= tree.threshold[0] else 2]
        total[tree.target : tree.target + len(leaf)] += leaf
    return total


NUMBERS = Ensemble(
    (stump(0, 1.0, np.array([[0.0], [1.0], [2.0]])), stump(1, 0.0, np.array([[0.0], [10.0], [20.0]]), 1)),
    np.array([0.5, 0.25]), frozenset({1}), frozenset({0}),
)  # fmt: skip
VECTORS = Ensemble((stump(1, 2.0, np.array([[0.0] * 3, [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])),), np.array([0.0, 0.0, 1.0]))
VIEWS = (View(None, np.float32), View("scaled", np.float64))


def test_each_member_keeps_its_sums() -> None:
    """Numbers and vectors of leaves alike; a member's features are those of its view."""
    for members in (((NUMBERS, 0), (NUMBERS, 1)), ((NUMBERS, 1), (VECTORS, 0), (NUMBERS, 0))):
        joined = Joined(members, VIEWS)
        made = joined.ensemble([2, 3])
        assert made.targets == joined.targets
        for row in np.random.default_rng(0).normal(1.0, 2.0, (50, 5)):
            seen = {0: row[:2], 1: row[2:]}
            wanted = np.concatenate([sums(ensemble, seen[view]) for ensemble, view in members])
            assert sums(made, row).tolist() == wanted.tolist()


def test_what_features_mean_moves_with_them() -> None:
    """Zero as missing, and categories without their fraction."""
    made = Joined(((VECTORS, 0), (NUMBERS, 1)), VIEWS).ensemble([2, 2])
    assert (made.zero_missing, made.truncated) == (frozenset({3}), frozenset({2}))


def test_no_sum_exceeds_its_reach() -> None:
    """Per target, whatever the row; leaves that are numbers or vectors."""
    for ensemble in (NUMBERS, VECTORS, Joined(((NUMBERS, 0), (VECTORS, 0)), VIEWS).ensemble([2, 0])):
        found = np.array([sums(ensemble, row) for row in np.random.default_rng(1).normal(1.0, 2.0, (50, 2))])
        assert ensemble.reaches() == tuple(np.abs(found).max(axis=0))
