"""Trees that ask for single bins answer as before when they ask for the number of the bin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.converters.exact.bins import unfold
from edge_runtime.converters.exact.ensemble import Ensemble, Tree
from edge_runtime.converters.exact.features import Block, Feature, NotPulledBackError

FEATURES = (Feature(0, False, bins=4), Feature(1, False), Feature(2, False, bins=3), Feature(3, False, bins=1))
WIDTH = 9  # 4 + 1 + 3 + 1


def block(*, sparse: bool) -> Block:
    def never(*_: object) -> NDArray[np.bool_]:
        raise AssertionError("only whether there is such a function matters")

    return Block(FEATURES, never, never if sparse else None)  # type: ignore[arg-type]


def grown(draw: np.random.Generator, depth: int) -> Tree:
    """A full tree of random conditions, thresholds among them that no 0 or 1 passes, and sets."""
    count = 2 ** (depth + 1) - 1
    inner = np.arange(count) < 2**depth - 1
    sets = {i: np.array([1.0, 5.0]) for i in np.flatnonzero(inner).tolist() if draw.random() < 0.1}
    return Tree(
        draw.integers(0, WIDTH, count),
        draw.choice([-0.5, 0.0, 0.5, 1.0, 1.5], count),
        np.where(inner, 2 * np.arange(count) + 1, -1),
        np.where(inner, 2 * np.arange(count) + 2, -1),
        draw.random(count) < 0.5,
        np.arange(count, dtype=np.float64)[:, None],
        sets=sets,
    )


def leaf(tree: Tree, row: NDArray[np.float64], missing: NDArray[np.bool_]) -> float:
    """Where a row of what the model sees ends; ``missing`` says which features are."""
    node = 0
    while tree.left[node] >= 0:
        j = int(tree.feature[node])
        if missing[j]:
            left = bool(tree.missing_left[node])
        else:
            left = row[j] in tree.sets[node] if node in tree.sets else row[j] <= tree.threshold[node]
        node = int(tree.left[node] if left else tree.right[node])
    return float(tree.value[node, 0])


def seen(row: list[float]) -> NDArray[np.float64]:
    """What the model sees of the blocks' features."""
    parts = [
        np.eye(max(feature.bins, 1))[int(value)] if feature.bins else np.array([value])
        for feature, value in zip(FEATURES, row, strict=True)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("zero", ["a number", "left out of a sparse matrix", "missing to the model"])
@pytest.mark.parametrize("seed", range(6))
def test_every_bin_reaches_the_leaf_that_it_reached(seed: int, zero: str) -> None:
    """All bins of all numbers, and a missing one where a feature is no bin."""
    tree = grown(np.random.default_rng(seed), 6)
    ensemble = Ensemble((tree,), np.zeros(1), frozenset(range(WIDTH)) if zero.startswith("missing") else frozenset())
    made = unfold(ensemble, [block(sparse=zero.startswith("left"))])
    (unfolded,) = made.trees
    for a, b, c in np.ndindex(4, 4, 3):
        plain = [-1.0, 0.25, 1.25, np.nan][b]
        row = [float(a), plain, float(c), 0.0]
        asked = seen(row)
        missing = np.isnan(asked) if zero == "a number" else np.isnan(asked) | (asked == 0.0)
        assert leaf(unfolded, np.array(row), np.isnan(row)) == leaf(tree, asked, missing)
    if zero.startswith("missing"):
        assert made.zero_missing == {1}


def test_trees_without_bins_stay_as_they_are() -> None:
    """Not even copied."""
    ensemble = Ensemble((grown(np.random.default_rng(0), 3),), np.zeros(1))
    plain = Block(tuple(Feature(i, False) for i in range(WIDTH)), block(sparse=False).evaluate)
    assert unfold(ensemble, [plain]) is ensemble


def test_a_bin_that_nodes_above_have_ruled_out_is_not_asked_for() -> None:
    """Bins of one number, one after the other, need one comparison each."""
    tree = grown(np.random.default_rng(1), 1)
    chain = replace(
        tree,
        feature=np.array([0, 1, 2, 0, 0, 0, 0]),
        threshold=np.full(7, 0.5),
        left=np.array([1, 2, 3, -1, -1, -1, -1]),
        right=np.array([4, 5, 6, -1, -1, -1, -1]),
        missing_left=np.zeros(7, bool),
        value=np.arange(7.0)[:, None],
        sets={},
    )
    (made,) = unfold(Ensemble((chain,), np.zeros(1)), [block(sparse=False)]).trees
    assert len(made.left) == 7


def test_trees_that_would_grow_too_large_are_not_unfolded() -> None:
    """A row of questions for bins of many numbers doubles with each."""
    count = 20
    features = tuple(Feature(i, False, bins=5) for i in range(count))
    number = np.arange(2 * count + 1)
    inner = number < count
    tree = Tree(
        np.where(inner, 5 * number + 2, 0) % (5 * count),
        np.full(len(number), 0.5),
        np.where(inner, number + 1, -1),
        np.where(inner, number + count + 1, -1),
        np.zeros(len(number), bool),
        number[:, None].astype(np.float64),
    )
    tree = replace(tree, right=np.where(inner, np.minimum(number + count + 1, 2 * count), -1))
    with pytest.raises(NotPulledBackError, match="single bins of numbers grow too large"):
        unfold(Ensemble((tree,), np.zeros(1)), [Block(features, block(sparse=False).evaluate)])
