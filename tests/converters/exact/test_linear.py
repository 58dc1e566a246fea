"""Linear maps lowered: steps as operators, categories as flags, one Gemm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.converters.exact.features import Block, Feature, FiniteColumn, NotPulledBackError
from edge_runtime.converters.exact.head import Linear
from edge_runtime.converters.exact.linear import lower
from edge_runtime.graph_scan import scan
from edge_runtime.session import open_session

Floats = NDArray[np.float64]
RNG = np.random.default_rng(0)


def run(graph: Any, rows: Floats) -> Floats:
    raw = graph.SerializeToString()
    scan(raw)
    return np.asarray(open_session(raw, threads=1, largest_tensor=2**20).run(None, {"x": rows})[0])


def number(column: int, *steps: tuple[str, float]) -> Block:
    return Block((Feature(column, False, steps),), lambda given, n: np.zeros((n, 1)))


def flags(
    column: int, table: Floats, *, coded: bool = True, unknown: bool, missing: bool
) -> tuple[Block, FiniteColumn]:
    """A column of categories whose features are the rows of ``table``: one per category, then unknown, then missing."""
    known = len(table) - unknown - missing
    codes = np.array([*range(known), *[-1] * unknown, *[math.nan] * missing], np.float64)
    inputs = np.arange(len(table)).astype(object)
    block = Block(tuple([Feature(column, True)] * table.shape[1]), lambda given, n: table[given[column].astype(int)])
    return block, FiniteColumn(inputs, codes, coded, True, unknown, missing)


STEPS: dict[str, tuple[tuple[tuple[str, float], ...], Any]] = {
    "itself": ((), lambda x: x),
    "scaled": ((("sub", 0.5), ("div", 3.0)), lambda x: (x - 0.5) / 3.0),
    "to a range": ((("mul", 2.0), ("add", -1.0)), lambda x: x * 2.0 - 1.0),
    "clipped": ((("max", -1.0), ("min", 1.0)), lambda x: np.clip(x, -1.0, 1.0)),
    "filled": ((("fill", 7.0), ("div", 2.0)), lambda x: np.where(np.isnan(x), 7.0, x) / 2.0),
    "whether missing": ((("missing", 0.0),), lambda x: np.isnan(x).astype(float)),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_operators_in_the_same_arithmetic(name: str) -> None:
    """With weights of 1 and no bias the raw sum is the feature itself, to the bit."""
    steps, function = STEPS[name]
    graph = lower(Linear(np.ones((1, 1)), np.zeros(1)), [number(1, *steps)], {}, 2, "float64")
    x = np.array(
        [-1e300, -1.0, -0.1, 0.0, 0.1, 0.3, 2.0, 1e17, *([math.nan] if name in ("filled", "whether missing") else [])]
    )
    rows = np.stack([np.full(len(x), 5.0), x], axis=1)
    assert run(graph, rows)[:, 0].tolist() == np.asarray(function(x)).tolist()


def test_numbers_of_several_kinds_and_targets_are_one_gemm() -> None:
    """Features with different steps stand in different parts; each keeps its own weight."""
    weights, bias = RNG.normal(size=(4, 3)), RNG.normal(size=3)
    blocks = [number(0, ("sub", 1.0)), number(2), number(1, ("fill", 2.0)), number(0, ("sub", -4.0))]
    graph = lower(Linear(weights, bias), blocks, {}, 3, "float64")
    assert [node.op_type for node in graph.graph.node].count("Gemm") == 1
    rows = RNG.normal(size=(50, 3))
    rows[::5, 1] = math.nan
    features = np.stack(
        [rows[:, 0] - 1.0, rows[:, 2], np.where(np.isnan(rows[:, 1]), 2.0, rows[:, 1]), rows[:, 0] + 4.0], axis=1
    )
    assert np.abs(run(graph, rows) - (features @ weights + bias)).max() < 1e-13


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("unknown", [False, True])
def test_a_category_adds_what_its_features_add(unknown: bool, missing: bool) -> None:
    """Each known one, the unknown and the missing; one that adds nothing needs no flag."""
    table = RNG.normal(size=(3 + unknown + missing, 2))
    table[1] = 0.0
    block, column = flags(1, table, unknown=unknown, missing=missing)
    weights, bias = RNG.normal(size=(3, 2)), RNG.normal(size=2)
    graph = lower(Linear(weights, bias), [number(0), block], {1: column}, 2, "float64")
    rows = np.stack([RNG.normal(size=len(table)), column.codes], axis=1)
    wanted = rows[:, :1] @ weights[:1] + table @ weights[1:] + bias
    assert np.abs(run(graph, rows) - wanted).max() < 1e-13


def test_an_unknown_number_with_a_weight_has_no_flag() -> None:
    """All numbers but these few: no operator of ours tells that, so the caller takes another route."""
    block, column = flags(0, np.array([[1.0], [2.0], [3.0]]), coded=False, unknown=True, missing=False)
    with pytest.raises(NotPulledBackError, match="an unknown number has a weight of its own"):
        lower(Linear(np.ones((1, 1)), np.zeros(1)), [block], {0: column}, 1, "float64")
    block, column = flags(0, np.array([[1.0], [2.0], [0.0]]), coded=False, unknown=True, missing=False)
    graph = lower(Linear(np.ones((1, 1)), np.zeros(1)), [block], {0: column}, 1, "float64")
    assert run(graph, np.array([[0.0], [1.0], [0.5], [-1.0]]))[:, 0].tolist() == [1.0, 2.0, 0.0, 0.0]


def test_any_block_of_rows_has_the_bits_of_the_whole() -> None:
    """One Gemm of float64: the bits do not depend on how many rows there are."""
    weights = RNG.normal(size=(40, 3))
    blocks = [number(c, ("sub", 0.3), ("div", 1.7)) for c in range(40)]
    raw = lower(Linear(weights, RNG.normal(size=3)), blocks, {}, 40, "float64").SerializeToString()
    session = open_session(raw, threads=1, largest_tensor=2**20)
    rows = RNG.normal(size=(1000, 40))
    whole = session.run(None, {"x": rows})[0]
    for size in [*range(1, 40), 64, 100, 333]:
        blocks_ = [session.run(None, {"x": rows[at : at + size]})[0] for at in range(0, 200, size)]
        assert np.concatenate(blocks_).tobytes() == whole[: sum(map(len, blocks_))].tobytes(), size
