"""The proof has teeth: whatever changes an answer is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from edge_runtime.converters.data import read_data
from edge_runtime.converters.exact import trees
from edge_runtime.converters.exact.ensemble import Ensemble
from edge_runtime.converters.exact.features import Hole, Splits, pull_back
from edge_runtime.converters.exact.graph import to_bytes
from edge_runtime.converters.exact.proof import ProofError, prove_conditions, prove_routing, prove_sums
from edge_runtime.converters.source import Request
from edge_runtime.converters.sources.sklearn import trees as heads
from edge_runtime.converters.sources.sklearn.asking import Asked
from edge_runtime.converters.sources.sklearn.domain import ask_domain
from edge_runtime.converters.sources.sklearn.preprocessing import blocks_of

MUTATIONS = 10_000
CASES = ("one-hot boosting", "ordinal forest", "native categories")


class Case:
    """A lowered ensemble with everything that its proof needs, and one row for every cell of its inputs."""

    def __init__(self, model: Pipeline, rows: pd.DataFrame) -> None:
        head = heads.head(model.steps[-1][1])
        assert head is not None
        assert isinstance(head.body, Ensemble)
        self.ensemble = head.body
        request = Request(read_data(rows), "auto", None)
        own = [] if head.prepares is None else [("own", head.prepares)]
        transformer = Pipeline([*model.steps[:-1], *own])
        asked = Asked(model, transformer, request)
        self.blocks, categories = blocks_of(transformer, asked.rows, asked.frame, asked.used, head.reads)
        self.domain = ask_domain(asked, self.blocks, categories, "auto")
        self.conditions = self.ensemble.conditions()
        domain = self.domain
        self.splits = pull_back(self.blocks, domain.finite, domain.bounds, domain.nullable, self.conditions)
        self.space = domain.space(asked.dtypes, self.ensemble, self.splits)
        self.lowered = trees.lower(self.ensemble, self.splits, self.space, "float64")
        self.cells = self.every_cell()

    def every_cell(self) -> NDArray[np.float64]:
        """All combinations of: each threshold and its neighbours, the ends, both zeros, missing."""
        axes = []
        for column, cell in self.space.items():
            at = np.unique(self.splits.threshold[(self.splits.column == column) & np.isfinite(self.splits.threshold)])
            near = [*at, *np.nextafter(at, np.inf), *np.nextafter(at, -np.inf), cell.low, cell.high, 0.0, -0.0]
            if cell.only is None and self.domain.finite.get(column) is not None:
                near = self.domain.finite[column].codes.tolist()
            held = [value for value in np.unique(near) if cell.low <= value <= cell.high]
            axes.append([*held, *([np.nan] if cell.missing else [])])
        return np.array(list(itertools.product(*axes)))

    def conditions_proven(self, splits: Splits) -> None:
        domain = self.domain
        prove_conditions(self.blocks, domain.finite, domain.bounds, domain.nullable, self.conditions, splits)

    def routing_proven(self, graph: bytes) -> None:
        prove_routing(self.ensemble, self.splits, self.lowered, self.space, graph)


def rows_and_labels(n: int = 400) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "amount": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(3, 1, n).round(2)),
            "hours": rng.integers(0, 24, n),
            "shop": rng.choice(np.array(["a", "b", "", "ä", "e"], object), n),
        }
    )
    label = (rows.amount.fillna(0) > 20) ^ (rows.hours < 6) ^ rows["shop"].isin(["b", ""])
    return rows, label.to_numpy().astype(np.int64)


def prepared(encoder: Any) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer([("numbers", numbers, ["amount", "hours"]), ("text", encoder, ["shop"])])


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    rows, label = rows_and_labels()
    unknown: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": np.nan}
    models = {
        "one-hot boosting": make_pipeline(
            prepared(OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
            HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, random_state=0),
        ),
        "ordinal forest": make_pipeline(
            prepared(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
            RandomForestClassifier(3, max_depth=3, random_state=0),
        ),
        "native categories": make_pipeline(
            ColumnTransformer([("text", OrdinalEncoder(**unknown), ["shop"])], remainder="passthrough"),
            HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, categorical_features=[0], random_state=0),
        ),
    }
    model = models[request.param].fit(rows, label)
    return Case(model, rows)


def test_what_was_lowered_is_proven(case: Case) -> None:
    """The untouched graph passes all three steps."""
    case.conditions_proven(case.splits)
    case.routing_proven(case.lowered.model.SerializeToString())
    moved, raw = prove_sums(case.ensemble, case.lowered, np.float64)
    assert 0.0 <= moved <= raw < 1e-11


def test_every_graph_that_answers_otherwise_is_refused(case: Case) -> None:
    """Random mutations of the operator's arrays: each one that changes any cell's answer fails the proof."""
    rng = np.random.default_rng(1)
    original = case.lowered.model.SerializeToString()
    right = answers(original, case.cells)
    assert right is not None
    changed = 0
    while changed < MUTATIONS // len(CASES) + 1:
        mutant = mutated(original, rng)
        given = answers(mutant, case.cells)
        if given is None or np.array_equal(given, right, equal_nan=True):
            continue
        changed += 1
        with pytest.raises(ProofError):
            case.routing_proven(mutant)
    assert changed == MUTATIONS // len(CASES) + 1


def test_every_condition_that_is_off_by_one_float_is_refused(case: Case) -> None:
    """A threshold moved by one ulp, a side or a missing value sent the other way: the source's arithmetic says no."""
    finite = np.isfinite(case.splits.threshold) & ~case.splits.finite
    for i in np.flatnonzero(finite):
        for away in (np.inf, -np.inf):
            threshold = case.splits.threshold.copy()
            threshold[i] = np.nextafter(threshold[i], away)
            with pytest.raises(ProofError):
                case.conditions_proven(replace(case.splits, threshold=threshold))
    for name in ("swap", "missing"):
        for place in range(len(case.splits.threshold)):
            flags = getattr(case.splits, name).copy()
            flags[place] = ~flags[place]
            column = int(case.splits.column[place])
            if name == "missing" and not case.domain.nullable[column]:
                continue  # never asked
            with pytest.raises(ProofError):
                case.conditions_proven(replace(case.splits, **{name: flags}))


def test_leaves_that_are_not_on_a_grid_are_refused(case: Case) -> None:
    """A sum that could depend on its order is found by its leaves."""
    leaves = [values.copy() for values in case.lowered.leaves]
    leaf = int(np.flatnonzero(~case.ensemble.trees[0].inner)[0])
    leaves[0][leaf] = 1e-30
    with pytest.raises(ProofError, match="grid"):
        prove_sums(case.ensemble, replace(case.lowered, leaves=tuple(leaves)), np.float64)


def test_nothing_may_stand_around_the_trees(case: Case) -> None:
    """A node that changes the sum, or the columns, is found even if the trees are right."""
    model = onnx.load_from_string(case.lowered.model.SerializeToString())
    model.graph.node[-1].output[0] = "sum"
    model.graph.node.append(onnx.helper.make_node("Neg", ["sum"], ["raw"]))
    with pytest.raises(ProofError, match="behind the trees"):
        case.routing_proven(model.SerializeToString())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_stands_before_the_trees_is_held_to_the_last_number(case: Case, dtype: str) -> None:
    """Holes, fractions that stand for other categories, casts: no constant, operator or wire of theirs may change."""
    splits = replace(case.splits, holes={1: Hole(3.0, 4.0, 7.0)}, others={0: 5.0})
    lowered = trees.lower(case.ensemble, splits, case.space, dtype)
    original = to_bytes(lowered.model)

    def proven(graph: bytes) -> None:
        prove_routing(case.ensemble, splits, lowered, case.space, graph)

    proven(original)
    for mutant in around_the_operator(original):
        with pytest.raises(ProofError):
            proven(mutant)


def test_what_stands_behind_the_trees_is_held_to_the_last_number() -> None:
    """Leaves that are vectors: table, axis, wires."""
    rows, label = rows_and_labels()
    forest = RandomForestClassifier(3, max_depth=3, random_state=0)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    case = Case(make_pipeline(prepared(ordinal), forest).fit(rows, label + (rows.hours > 12)), rows)
    original = to_bytes(case.lowered.model)
    case.routing_proven(original)
    assert [node.op_type for node in onnx.load_from_string(original).graph.node][1:] == ["Cast", "Gather", "ReduceSum"]
    for mutant in around_the_operator(original):
        with pytest.raises(ProofError):
            case.routing_proven(mutant)


@pytest.mark.parametrize("name", ["aggregate_function", "post_transform", "n_targets"])
def test_the_operator_may_do_nothing_but_add(case: Case, name: str) -> None:
    """Another aggregate, a transform behind the sum, one target more."""
    model = onnx.load_from_string(case.lowered.model.SerializeToString())
    for attribute in model.graph.node[-1].attribute:
        if attribute.name == name:
            attribute.i += 1
    with pytest.raises(ProofError, match="another thing"):
        case.routing_proven(model.SerializeToString())


def around_the_operator(graph: bytes) -> Iterator[bytes]:
    """One change to each number of each constant, to each node's operator, inputs and attributes."""
    model = onnx.load_from_string(graph)
    for i, constant in enumerate(model.graph.initializer):
        for place in range(numpy_helper.to_array(constant).size):
            mutant = onnx.load_from_string(graph)
            values = numpy_helper.to_array(constant).copy()
            flat = values.reshape(-1)
            flat[place] = ~flat[place] if flat.dtype == bool else 0 if flat[place] else 3
            mutant.graph.initializer[i].CopyFrom(numpy_helper.from_array(values, constant.name))
            yield mutant.SerializeToString()
    for i, node in enumerate(model.graph.node):
        if node.op_type == "TreeEnsemble":
            continue
        for change in ("op_type", "input", "attribute"):
            mutant = onnx.load_from_string(graph)
            changed = mutant.graph.node[i]
            if change == "op_type":
                changed.op_type = "Neg"
            elif change == "input":
                changed.input[0] = "x" if changed.input[0] != "x" else model.graph.node[-1].output[0]
            elif not changed.attribute:
                continue
            else:
                changed.attribute[0].i += 1
            yield mutant.SerializeToString()


def answers(graph: bytes, cells: NDArray[np.float64]) -> NDArray[np.float64] | None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception:  # a mutant that onnxruntime itself refuses
        return None
    raw: NDArray[np.float64] = session.run(None, {"x": cells})[0]
    return raw


def mutated(graph: bytes, rng: np.random.Generator) -> bytes:
    """One random change to one attribute of the operator."""
    model = onnx.load_from_string(graph)
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    attributes = {attribute.name: attribute for attribute in node.attribute}

    def change(name: str, to: Any) -> None:
        attribute = attributes[name]
        if attribute.type == onnx.AttributeProto.TENSOR:
            values = numpy_helper.to_array(attribute.t).copy()
            place = int(rng.integers(len(values)))
            values[place] = to(values, place)
            attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
        else:
            place = int(rng.integers(len(attribute.ints)))
            attribute.ints[place] = int(to(attribute.ints, place))

    kind = int(rng.integers(8))
    if kind == 0:
        change("nodes_splits", lambda values, i: np.nextafter(values[i], rng.choice([-np.inf, np.inf])))
    elif kind == 1:  # children exchanged
        i = int(rng.integers(len(attributes["nodes_truenodeids"].ints)))
        for one, other in (("nodes_truenodeids", "nodes_falsenodeids"), ("nodes_trueleafs", "nodes_falseleafs")):
            a, b = attributes[one].ints, attributes[other].ints
            a[i], b[i] = b[i], a[i]
    elif kind == 2:
        change("leaf_weights", lambda values, i: np.nextafter(values[i], rng.choice([-np.inf, np.inf])))
    elif kind == 3:
        change("leaf_weights", lambda values, i: values[rng.integers(len(values))])
    elif kind == 4:
        change("nodes_missing_value_tracks_true", lambda values, i: 1 - values[i])
    elif kind == 5:
        columns = len(numpy_columns(model))
        change("nodes_featureids", lambda values, i: rng.integers(columns))
    elif kind == 6:
        change("nodes_modes", lambda values, i: rng.choice([0, 1, 2, 3, 4, 5]))
    elif "membership_values" in attributes:
        change("membership_values", lambda values, i: values[i] + 1.0)
    else:
        change("nodes_splits", lambda values, i: values[i] + 1.0)
    raw: bytes = model.SerializeToString()
    return raw


def numpy_columns(model: onnx.ModelProto) -> range:
    return range(model.graph.input[0].type.tensor_type.shape.dim[1].dim_value)
