"""The proof that a lowered ensemble routes every input as its source does, and how far the sums can be apart.

A tree node is a predicate of one column. Where the column is a number, the source's predicate is monotone and ours is a
comparison with a threshold: they are the same function if they agree at both ends of the column's range, at the
threshold, at the next float, at both zeros and at missing. Where it is a category, there are finitely many. So asking
the source's own arithmetic at these points settles all inputs (`prove_conditions`). What the graph does with the
conditions is read back from its bytes and followed beside the source's trees through every region of inputs
(`prove_routing`).

Belongs here: both steps and the bounds. Not here: making what is proven (features.py, placing.py, trees.py).
Imported as edge_runtime.converters.exact.proof. The argument at length: docs/exact-trees.md.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .ensemble import Conditions, Ensemble, Tree
from .features import ZERO, Block, FiniteColumn, Splits
from .graph import Graph, node_of
from .grid import is_exact, reach
from .lattice import from_ordinal, to_ordinal
from .region import EQUAL, LESS_OR_EQUAL, MEMBER, Condition, Region, can, narrow
from .tree_node import ReadTree, read_trees
from .trees import Lowered, columns_as_read

__all__ = ["AROUND", "UNIT", "ProofError", "prove_conditions", "prove_routing", "prove_sums"]

Floats = NDArray[np.float64]
AROUND = 64  # floats on each side of a threshold that a rounded function is asked at
UNIT: dict[Any, float] = {np.float64: 2.0**-53, np.float32: 2.0**-24}


class ProofError(Exception):
    """A claim about the lowered ensemble is false."""


def prove_conditions(
    blocks: Sequence[Block],
    finite: dict[int, FiniteColumn],
    bounds: dict[int, tuple[float, float]],
    nullable: Sequence[bool],
    conditions: Conditions,
    splits: Splits,
    whole: Collection[int] = (),
) -> int:
    """Ask the source's own preprocessing at the points that settle each condition; how many there are. In ``whole``
    columns only integers come, so there the neighbours are integers.

    Raises ProofError for the first one that differs.
    """
    start = 0
    for block in blocks:
        stop = start + len(block.features)
        chosen = np.flatnonzero((conditions.feature >= start) & (conditions.feature < stop))
        for feature in np.unique(conditions.feature[chosen]).tolist():
            index = chosen[conditions.feature[chosen] == feature]
            known = block.features[feature - start]
            if known.finite:
                _settle_category(block, feature - start, finite[known.column], index, conditions, splits)
            else:
                low, high = bounds[known.column]
                smooth = any(name == "smooth" for name, _ in known.steps)
                sets = [splits.members[i] + step for i in index.tolist() if i in splits.members for step in (-1, 0, 1)]
                hole = splits.holes.get(known.column)
                ends = [] if hole is None else [np.array([np.nextafter(hole.low, -np.inf), hole.low, hole.high])]
                at = np.concatenate([splits.threshold[index], *sets, *ends])
                points = _settling_points(at, low, high, nullable[known.column], smooth)
                if known.column in whole:
                    points = np.unique(np.concatenate([np.floor(points), np.ceil(points)]))
                values = block.seen({known.column: points}, len(points))[:, feature - start]
                _settle(index, points, values, conditions, splits)
        start = stop
    return len(conditions.feature)


def _settling_points(thresholds: Floats, low: float, high: float, nullable: bool, smooth: bool) -> Floats:
    """The thresholds and the next floats, the ends of the range, both zeros, missing where that is answered.

    A ``smooth`` function (logarithm, power) is computed by a library, which may round two neighbours out of order: so
    many floats around each threshold are asked as well.
    """
    inside = thresholds[np.isfinite(thresholds)]
    steps = np.arange(-AROUND, AROUND + 1) if smooth else np.array([0, 1])
    around = from_ordinal((to_ordinal(inside)[:, None] + steps).ravel())
    near = np.concatenate([around, [low, high, 0.0, -0.0, ZERO, -ZERO]])
    near = np.unique(near[(near >= low) & (near <= high)])
    special = [-0.0] if low <= 0.0 <= high else []
    return np.concatenate([near, special, [np.nan] if nullable else []])


def _settle_category(
    block: Block, feature: int, known: FiniteColumn, index: NDArray[np.int64], conditions: Conditions, splits: Splits
) -> None:
    values = block.seen({_column(splits, index): known.inputs}, len(known.inputs))[:, feature]
    codes = known.codes.copy()
    if known.unknown and not known.coded:  # any other number: one that no condition names
        codes[len(codes) - known.missing - 1] = float(known.inputs[len(codes) - known.missing - 1])
    _settle(index, codes, values, conditions, splits)


def _column(splits: Splits, index: NDArray[np.int64]) -> int:
    return int(splits.column[index[0]])


def _settle(index: NDArray[np.int64], points: Floats, values: Floats, conditions: Conditions, splits: Splits) -> None:
    """Compare where the source's condition on ``values`` and ours on ``points`` send each point."""
    missing = np.isnan(values)
    zero_missing = int(conditions.feature[index[0]]) in conditions.zero_missing
    if zero_missing:
        missing |= np.abs(values) <= ZERO
    asked = points
    if int(conditions.feature[index[0]]) in conditions.truncated:
        values = np.trunc(values)
        if splits.cut[index[0]]:  # the graph cuts a fraction off before any condition
            with np.errstate(invalid="ignore"):
                asked = points - np.fmod(points, 1.0)
    hole = splits.holes.get(_column(splits, index))
    if hole is not None:
        asked = np.where(np.isnan(asked), hole.fill, asked)
        asked = np.where((asked >= hole.low) & (asked <= hole.high), np.nan, asked)
    number = ~np.isnan(asked)
    if zero_missing and not splits.finite[index[0]]:  # the graph turns these into missing before any condition
        number &= ~(np.abs(points) <= ZERO)
    for i in index.tolist():
        chosen = conditions.sets.get(i)
        left = np.isin(values, chosen) if chosen is not None else values <= conditions.threshold[i]
        left = np.where(missing, conditions.missing_left[i], left)
        members = splits.members.get(i)
        if members is not None:
            true = np.isin(asked, members)
        else:
            true = asked == splits.threshold[i] if splits.equal[i] else asked <= splits.threshold[i]
        ours = np.where(number, true, splits.missing[i]) ^ splits.swap[i]
        if (ours != left).any():
            point = points[np.flatnonzero(ours != left)[0]]
            raise ProofError(f"condition {i} sends {point!r} of column {int(splits.column[i])} the other way")


def prove_routing(ensemble: Ensemble, splits: Splits, lowered: Lowered, space: Region, graph: bytes) -> int:
    """Read the graph back and follow it beside the source's trees; the number of source leaves.

    Raises ProofError if any input could reach another leaf, or a leaf another weight.
    """
    model = onnx.load_from_string(graph)
    nodes = [node for node in model.graph.node if node.op_type == "TreeEnsemble"]
    if len(nodes) != 1:
        raise ProofError("the graph has not one TreeEnsemble")
    try:
        trees = read_trees(nodes[0])
    except (ValueError, KeyError, IndexError) as error:
        raise ProofError(f"the operator's arrays do not fit: {error}") from error
    if len(trees) != len(lowered.placed):
        raise ProofError(f"the graph has {len(trees)} trees instead of {len(lowered.placed)}")
    before = _check_before(model, nodes[0], ensemble, splits, len(space))
    try:
        table = _check_after(model, before + 1, ensemble, lowered.base)
    except KeyError as error:
        raise ProofError(f"the graph behind the trees asks {error}, which is no constant") from error
    _check_operator(nodes[0], ensemble.targets if table is None else len(trees))
    starts = np.cumsum([0, *(int(tree.inner.sum()) for tree in ensemble.trees)]).tolist()
    pending_base = dict.fromkeys(range(ensemble.targets), True)
    covered: set[int] = set()
    for read, placed in zip(trees, lowered.placed, strict=True):
        expected: dict[int, Floats] = {}
        for number in placed.trees:
            if number in covered:
                raise ProofError(f"tree {number} is counted twice")
            covered.add(number)
            source = ensemble.trees[number]
            found = _follow(read, source, splits, starts[number], space, lowered.leaves[number])
            for leaf, value in found.items():
                expected[leaf] = expected.get(leaf, 0.0) + value
        target = ensemble.trees[placed.trees[0]].target
        base = lowered.base if table is not None else lowered.base[[target]]
        adds = pending_base.pop(target, False) if table is None else bool(pending_base)
        if table is not None:
            pending_base.clear()
        for leaf, value in expected.items():
            wanted = value + base if adds else value
            given = table[int(read.weights[leaf])] if table is not None else read.weights[[leaf]]
            if not np.array_equal(given, wanted):
                raise ProofError(f"a leaf has the weight {given!r} instead of {wanted!r}")
            if table is None and int(read.targets[leaf]) != target:
                raise ProofError(f"a leaf counts for target {int(read.targets[leaf])} instead of {target}")
    if len(covered) != len(ensemble.trees):
        raise ProofError("a tree of the source is not in the graph")
    return ensemble.leaves


def _follow(
    read: ReadTree, source: Tree, splits: Splits, start: int, space: Region, leaves: Floats
) -> dict[int, Floats]:
    """For each leaf of the graph's tree that inputs reach: the value of the source's leaves that they reach there."""
    inner = np.flatnonzero(source.inner)
    at = dict(zip(inner.tolist(), range(start, start + len(inner)), strict=True))
    left, right = source.left.tolist(), source.right.tolist()
    made: dict[int, tuple[Condition, int, int]] = {}

    def ours(node: int) -> tuple[Condition, int, int]:
        if node not in made:
            made[node] = _condition(splits, at[node], left[node], right[node])
        return made[node]

    found: dict[int, Floats] = {}
    pending: list[tuple[int, int, Region]] = [(read.root, 0, space)]
    while pending:
        here, node, region = pending.pop()
        while left[node] >= 0:
            condition, true, false = ours(node)
            can_true, can_false = can(region[condition.column], condition)
            if can_true and can_false:
                break
            node = true if can_true else false
        if here >= 0:
            condition = read.conditions[here]
            sides = (read.true[here], node), (read.false[here], node)
        elif left[node] >= 0:
            condition, true, false = ours(node)
            sides = (here, true), (here, false)
        else:
            value = leaves[node]
            if not np.array_equal(found.setdefault(~here, value), value):
                raise ProofError(f"one leaf of the graph stands for {found[~here]!r} and {value!r}")
            continue
        if condition.column not in region:
            raise ProofError(f"a condition asks column {condition.column}, which there is not")
        cell = region[condition.column]
        for side, possible, (next_here, next_node) in zip((True, False), can(cell, condition), sides, strict=True):
            if possible:
                pending.append((next_here, next_node, {**region, condition.column: narrow(cell, condition, side)}))
    return found


def _condition(splits: Splits, i: int, left: int, right: int) -> tuple[Condition, int, int]:
    """Condition, and the source's nodes where it is true and false: read here anew, since what made the graph
    (placing.py) is what is to be proven."""
    members = splits.members.get(i)
    mode = MEMBER if members is not None else EQUAL if splits.equal[i] else LESS_OR_EQUAL
    listed = () if members is None else tuple(members.tolist())
    threshold = 0.0 if members is not None else float(splits.threshold[i])
    condition = Condition(int(splits.column[i]), mode, threshold, listed, bool(splits.missing[i]))
    return (condition, right, left) if splits.swap[i] else (condition, left, right)


def _check_operator(node: onnx.NodeProto, targets: int) -> None:
    """Raise ProofError unless the operator adds the leaves of each target, and does no more."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    settings = tuple(given.get(name) for name in ("aggregate_function", "post_transform", "n_targets"))
    if settings != (1, 0, targets):
        raise ProofError(f"the operator does another thing than adding leaves for {targets} targets: {settings}")


def _check_before(model: onnx.ModelProto, node: onnx.NodeProto, ensemble: Ensemble, splits: Splits, width: int) -> int:
    """How many nodes stand before the trees. Raises ProofError unless they, and their constants, are those that make
    of the columns what `prove_conditions` has taken them for."""
    is_float32 = model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    wanted = Graph()
    x = columns_as_read(wanted, ensemble, splits, width, "float32" if is_float32 else "float64")
    count = len(wanted.nodes)
    held = {value.name: value for value in model.graph.initializer}
    if (
        list(model.graph.node[:count]) != wanted.nodes
        or any(held.get(value.name) != value for value in wanted.constants)
        or list(node.input) != [x]
        or model.graph.node[count] != node
    ):
        raise ProofError("the graph makes something else of the columns before the trees")
    return count


def _check_after(model: onnx.ModelProto, first: int, ensemble: Ensemble, base: Floats) -> Floats | None:
    """The table of leaf vectors, if the graph has one. Raises ProofError unless the nodes from ``first`` on, behind the
    operator, do nothing else to its sums."""
    nodes = list(model.graph.node[first:])
    constants = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    operators = [node.op_type for node in nodes]
    raw = model.graph.node[first - 1].output[0]
    if operators == ["Cast", "Gather", "ReduceSum"]:
        cast, gather, total = nodes
        wanted = [
            node_of("Cast", [raw], cast.output[0], to=onnx.TensorProto.INT64),
            node_of("Gather", [gather.input[0], cast.output[0]], gather.output[0], axis=0),
            node_of("ReduceSum", [gather.output[0], total.input[1]], "raw", keepdims=0),
        ]
        if nodes != wanted or constants[total.input[1]].tolist() != [1]:
            raise ProofError("the graph does not add one row of its table for each tree")
        table: Floats = constants[gather.input[0]]
        return table
    if operators == ["Add"]:  # targets that no tree counts for
        trees = {tree.target for tree in ensemble.trees}
        alone = np.array([target not in trees for target in range(ensemble.targets)])
        wanted = [node_of("Add", [raw, nodes[0].input[1]], "raw")]
        if nodes != wanted or not np.array_equal(constants[nodes[0].input[1]], np.where(alone, base, 0.0)[None, :]):
            raise ProofError("another offset than the base is added")
        return None
    if nodes or raw != "raw":
        raise ProofError(f"the graph has other nodes behind the trees: {operators}")
    return None


def prove_sums(ensemble: Ensemble, lowered: Lowered, sums: type, roundings: float = 1.0) -> tuple[float, float]:
    """(what the grid moves a raw sum at most, that plus what the source may lose by adding in ``sums``).

    Raises ProofError if a sum of the graph could depend on its order. The source's bound is the usual one for adding n
    terms one after the other: n units of rounding, each of the largest partial sum; ``roundings`` times as many where a
    term costs more than its addition.
    """
    given = [*lowered.leaves, lowered.base[None, :]]
    if not is_exact(given):
        raise ProofError("the leaves are not on a common grid")
    wanted = [np.where(tree.inner[:, None], 0.0, tree.value) for tree in ensemble.trees] + [ensemble.base[None, :]]
    moved = sum(float(np.abs(a - b).max(initial=0.0)) for a, b in zip(given, wanted, strict=True))
    return moved, moved + (roundings * len(wanted) + 2) * UNIT[sums] * reach(wanted)
