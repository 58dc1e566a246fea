"""Ensembles lowered: the graph ends in the leaves that a walk in plain Python ends in, and sums them exactly."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from edge_runtime.converters.exact.ensemble import Ensemble, Tree
from edge_runtime.converters.exact.features import Block, Feature, pull_back
from edge_runtime.converters.exact.region import Cell
from edge_runtime.converters.exact.trees import leaf_numbers, lower
from edge_runtime.graph_scan import scan
from edge_runtime.session import open_session

Floats = NDArray[np.float64]
COLUMNS = 3
BLOCK = Block(
    tuple(Feature(c, False) for c in range(COLUMNS)),
    lambda given, n: np.stack([given.get(c, np.zeros(n)).astype(np.float64) for c in range(COLUMNS)], axis=1),
)
SPACE = {c: Cell(-math.inf, math.inf, True) for c in range(COLUMNS)}
BOUNDS = dict.fromkeys(range(COLUMNS), (-math.inf, math.inf))


def grown(rng: np.random.Generator, inner: int, width: int = 1, target: int = 0) -> Tree:
    """A tree of random shape: so many times a leaf is split."""
    left, right = [-1], [-1]
    for _ in range(inner):
        leaf = int(rng.choice([i for i, child in enumerate(left) if child < 0]))
        left[leaf], right[leaf] = len(left), len(left) + 1
        left += [-1, -1]
        right += [-1, -1]
    n = len(left)
    value = rng.normal(size=(n, width)) * 10.0 ** rng.integers(-3, 4)
    threshold = np.round(rng.normal(size=n), 1)
    return Tree(
        rng.integers(0, COLUMNS, n), threshold, np.array(left), np.array(right), rng.random(n) < 0.5, value, target
    )


def walked(tree: Tree, row: Floats) -> int:
    node = 0
    while tree.left[node] >= 0:
        value = row[tree.feature[node]]
        goes_left = tree.missing_left[node] if math.isnan(value) else value <= tree.threshold[node]
        node = int(tree.left[node] if goes_left else tree.right[node])
    return node


def lowered(ensemble: Ensemble, dtype: str = "float64") -> Any:
    splits = pull_back([BLOCK], {}, BOUNDS, [True] * COLUMNS, ensemble.conditions())
    return lower(ensemble, splits, SPACE, dtype), leaf_numbers(ensemble, splits, SPACE, dtype)


def run(graph: onnx.ModelProto, rows: Floats) -> Floats:
    raw = graph.SerializeToString()
    scan(raw)  # the graph rule lets it in
    session = open_session(raw, threads=1, largest_tensor=2**20)
    dtype = {"tensor(double)": np.float64, "tensor(float)": np.float32}[session.get_inputs()[0].type]
    return np.asarray(session.run(None, {"x": rows.astype(dtype)})[0])


def rows_for(rng: np.random.Generator, n: int = 300) -> Floats:
    """Rows on a grid that thresholds lie on as well, some values missing, infinite or of either zero."""
    rows = np.round(rng.normal(size=(n, COLUMNS)), 1)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[rng.random(rows.shape) < 0.05] = rng.choice([np.inf, -np.inf, 0.0, -0.0])
    return rows


def exact_sum(ensemble: Ensemble, leaves: list[int], target: int) -> Fraction:
    total = Fraction(float(ensemble.base[target]))
    for tree, leaf in zip(ensemble.trees, leaves, strict=True):
        if tree.value.shape[1] > 1:
            total += Fraction(float(tree.value[leaf, target]))
        elif tree.target == target:
            total += Fraction(float(tree.value[leaf, 0]))
    return total


ENSEMBLES = {
    "one tree": (1, 1, False),
    "several trees": (7, 1, False),
    "a target per tree": (9, 3, False),
    "a vector per leaf": (4, 3, True),
    "one tree of vectors": (1, 2, True),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ENSEMBLES)
def test_the_graph_ends_in_the_leaves_of_a_plain_walk(name: str, seed: int) -> None:
    """Missing values and equal thresholds included; the sum is within the bound that is stated, of the exact one."""
    count, targets, vectors = ENSEMBLES[name]
    rng = np.random.default_rng([seed, count])
    trees = tuple(
        grown(rng, int(rng.integers(0, 12)), targets if vectors else 1, 0 if vectors else i % targets)
        for i in range(count)
    )
    ensemble = Ensemble(trees, rng.normal(size=targets))
    made, numbers = lowered(ensemble)
    rows = rows_for(rng)
    wanted = [[walked(tree, row) for tree in trees] for row in rows]
    assert run(numbers, rows).tolist() == wanted
    raw = run(made.model, rows)
    assert raw.shape == (len(rows), targets)
    assert raw.dtype == np.float64
    for found, leaves in zip(raw.tolist(), wanted, strict=True):
        for target in range(targets):
            assert abs(Fraction(found[target]) - exact_sum(ensemble, leaves, target)) <= Fraction(made.moved)


def test_a_target_without_a_tree_has_its_base() -> None:
    """A class that no tree speaks for."""
    rng = np.random.default_rng(0)
    ensemble = Ensemble((grown(rng, 3, target=2),), np.array([0.25, 0.0, -1.5]))
    made, _ = lowered(ensemble)
    raw = run(made.model, rows_for(rng))
    assert set(raw[:, 0]) == {0.25}
    assert set(raw[:, 1]) == {0.0}
    assert len(set(raw[:, 2])) > 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_thresholds_are_compared_as_float64(dtype: str) -> None:
    """A float32 input is widened, not the threshold narrowed: 0.1 and its neighbours stay apart."""
    left, right = np.array([1, -1, -1]), np.array([2, -1, -1])
    value = np.array([[0.0], [1.0], [2.0]])
    tree = Tree(np.zeros(3, np.int64), np.array([0.1, 0.0, 0.0]), left, right, np.zeros(3, bool), value)
    made, _ = lowered(Ensemble((tree,), np.zeros(1)), dtype)
    values = (
        [0.1, math.nextafter(0.1, 1.0)]
        if dtype == "float64"
        else [float(np.nextafter(np.float32(0.1), np.float32(0))), float(np.float32(0.1))]
    )
    rows = np.array([[value, 0.0, 0.0] for value in values])
    assert run(made.model, rows)[:, 0].tolist() == [1.0, 2.0]


def test_a_tree_may_be_a_thousand_nodes_deep() -> None:
    """No recursion anywhere on the way."""
    depth = 3000
    n = 2 * depth + 1
    left, right = np.full(n, -1), np.full(n, -1)
    left[:depth] = np.arange(depth, 2 * depth)
    right[:depth] = [*range(1, depth), 2 * depth]
    threshold = np.concatenate([np.arange(depth, dtype=float), np.zeros(depth + 1)])
    tree = Tree(np.zeros(n, np.int64), threshold, left, right, np.zeros(n, bool), np.arange(n, dtype=float)[:, None])
    _, numbers = lowered(Ensemble((tree,), np.zeros(1)))
    rows = np.zeros((4, COLUMNS))
    rows[:, 0] = [-1.0, 1500.5, depth - 1, depth]
    assert run(numbers, rows)[:, 0].tolist() == [depth, depth + 1501, 2 * depth - 1, 2 * depth]


def test_a_tree_of_one_leaf_is_a_constant() -> None:
    """The operator wants a node at the root all the same."""
    alone = Tree(
        np.zeros(1, np.int64), np.zeros(1), np.array([-1]), np.array([-1]), np.zeros(1, bool), np.array([[0.375]])
    )
    made, numbers = lowered(Ensemble((alone, alone), np.array([1.0])))
    rows = rows_for(np.random.default_rng(1), 20)
    assert set(run(made.model, rows).ravel().tolist()) == {1.75}
    assert set(run(numbers, rows).ravel().tolist()) == {0.0}


def test_the_sum_of_any_block_is_that_of_the_whole() -> None:
    """Blocks and threads of plain onnxruntime: the raw sum has the same bits, since no order can round it otherwise."""
    rng = np.random.default_rng(3)
    ensemble = Ensemble(tuple(grown(rng, 14) for _ in range(150)), rng.normal(size=1))
    made, _ = lowered(ensemble)
    rows = rows_for(rng, 4000)
    whole = run(made.model, rows)
    for size in (1, 2, 3, 7, 30, 31, 64, 129):
        blocks = [run_bytes(made.model, rows[at : at + size]) for at in range(0, 390, size)]
        assert np.concatenate(blocks).tobytes() == whole[: sum(map(len, blocks))].tobytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(made.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": rows})[0].tobytes() == whole.tobytes()


SESSIONS: dict[int, Any] = {}


def run_bytes(graph: onnx.ModelProto, rows: Floats) -> Floats:
    session = SESSIONS.setdefault(id(graph), open_session(graph.SerializeToString(), threads=1, largest_tensor=2**20))
    return np.asarray(session.run(None, {"x": rows})[0])
