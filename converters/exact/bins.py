"""Trees that ask for single bins of a number, rewritten to ask for the number of the bin.

A discretizer may give one feature of 0 and 1 per bin. Whether a number lies in one bin is no single comparison, but
whether its bin's number is at most k is one. So a node that asks for bin k becomes two, and fewer where the nodes above
have ruled out the bins on one side; the part of the tree that belongs to all other bins then stands twice.

Belongs here: that rewriting. Not here: pulling the comparisons back (features.py), which features are bins (sources/).
Imported as edge_runtime.converters.exact.bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .ensemble import Ensemble, Tree
from .features import ZERO, Block, NotPulledBackError

__all__ = ["unfold"]

MOST_GROWTH = 16  # times the nodes of the source; beyond, trees of bins are not what the device should get


@dataclass(frozen=True, slots=True)
class _Bin:
    """What a model's feature is: feature ``number`` of the blocks, or its bin ``k`` of ``count`` (0 = no bins).
    ``zero_missing``: its 0 is a missing value to the model."""

    number: int
    k: int
    count: int
    zero_missing: bool


def unfold(ensemble: Ensemble, blocks: Sequence[Block]) -> Ensemble:
    """``ensemble`` over the blocks' own features. Raises NotPulledBackError where it would grow too large."""
    features = [(feature, block.absent is not None) for block in blocks for feature in block.features]
    bins = [
        _Bin(number, k, feature.bins, absent)
        for number, (feature, absent) in enumerate(features)
        for k in range(max(feature.bins, 1))
    ]
    if not any(feature.bins for feature, _ in features):
        return ensemble
    bins = [replace(b, zero_missing=b.zero_missing or j in ensemble.zero_missing) for j, b in enumerate(bins)]
    left = MOST_GROWTH * sum(len(tree.left) for tree in ensemble.trees)
    trees = []
    for tree in ensemble.trees:
        trees.append(_unfold(tree, bins, left))
        left -= len(trees[-1].left)
    plain = {j: b.number for j, b in enumerate(bins) if not b.count}
    zero_missing, truncated = (
        frozenset(plain[j] for j in some if j in plain) for some in (ensemble.zero_missing, ensemble.truncated)
    )
    return replace(ensemble, trees=tuple(trees), zero_missing=zero_missing, truncated=truncated)


def _unfold(tree: Tree, bins: Sequence[_Bin], most: int) -> Tree:
    source: list[int] = []  # the node of ``tree`` that each new one stands for
    number: list[int] = []
    threshold: list[float] = []
    children: tuple[list[int], list[int]] = ([], [])
    waiting: list[tuple[int, dict[int, tuple[int, int]], int, int]] = [(0, {}, -1, 0)]
    while waiting:
        node, known, parent, side = waiting.pop()
        node = _settled(tree, node, bins, known)
        here = len(source)
        if here >= most:
            raise NotPulledBackError("trees that ask for single bins of numbers grow too large as comparisons")
        if parent >= 0:
            children[side][parent] = here
        source.append(node)
        asked = bins[int(tree.feature[node])] if tree.left[node] >= 0 else _Bin(0, 0, 0, False)
        number.append(asked.number)
        threshold.append(float(tree.threshold[node]))
        for below in children:
            below.append(-1)
        if tree.left[node] < 0:
            continue
        if not asked.count:
            waiting += [(int(tree.right[node]), known, here, 1), (int(tree.left[node]), known, here, 0)]
            continue
        low, high = known.get(asked.number, (0, asked.count - 1))
        none, this = (_child(tree, node, asked, value) for value in (0.0, 1.0))
        if asked.k == low:
            cut, lower, upper = low, this, none
        elif asked.k == high:
            cut, lower, upper = high - 1, none, this
        else:  # above the cut, it is asked again, as the lowest one
            cut, lower, upper = asked.k - 1, none, node
        threshold[here] = float(cut)
        waiting.append((upper, {**known, asked.number: (cut + 1, high)}, here, 1))
        waiting.append((lower, {**known, asked.number: (low, cut)}, here, 0))
    kept = {node for node in tree.sets if not bins[int(tree.feature[node])].count}
    binned = np.array([tree.left[node] >= 0 and bins[int(tree.feature[node])].count > 0 for node in source])
    return replace(
        tree,
        feature=np.array(number, np.int64),
        threshold=np.array(threshold),
        left=np.array(children[0], np.int64),
        right=np.array(children[1], np.int64),
        missing_left=tree.missing_left[source] & ~binned,
        value=tree.value[source],
        sets={here: tree.sets[node] for here, node in enumerate(source) if node in kept},
    )


def _settled(tree: Tree, node: int, bins: Sequence[_Bin], known: dict[int, tuple[int, int]]) -> int:
    """The first node from ``node`` on that does ask for something within the ``known`` ranges of bins."""
    while tree.left[node] >= 0:
        asked = bins[int(tree.feature[node])]
        if not asked.count:
            break
        low, high = known.get(asked.number, (0, asked.count - 1))
        none, this = (_child(tree, node, asked, value) for value in (0.0, 1.0))
        if none == this or not low <= asked.k <= high:
            node = none
        elif low == high:
            node = this
        else:
            break
    return node


def _child(tree: Tree, node: int, asked: _Bin, value: float) -> int:
    """Where the source's ``node`` sends 0 or 1."""
    if asked.zero_missing and value <= ZERO:
        left = bool(tree.missing_left[node])
    elif node in tree.sets:
        left = value in tree.sets[node]
    else:
        left = value <= float(tree.threshold[node])
    return int(tree.left[node] if left else tree.right[node])
