"""The comparison has teeth: whatever is wrong with a graph and shows in an answer is found, shown, and not written."""

from __future__ import annotations

import copy
import itertools
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_runtime.converters import conversion, convert, parity
from edge_runtime.converters.data import read_data
from edge_runtime.converters.edge_rows import edge_rows
from edge_runtime.converters.parity import compare_data, compare_edge_rows
from edge_runtime.converters.source import Request, Source, read_source
from edge_runtime.errors import InputError, ParityError
from edge_runtime.manifest import Variant
from edge_runtime.model import Model

Mutation = tuple[str, onnx.ModelProto]
ROWS, BENIGN = load_breast_cancer(return_X_y=True)
GAPS = np.where(np.random.default_rng(2).random(ROWS.shape) < 0.1, np.nan, ROWS)
ENDS = [np.nan, -np.inf, np.inf, 0.0]


def silent(done: int, whole: int) -> None:
    """No progress is shown."""


def source_of(model: Any, rows: Any) -> Source:
    return read_source(model, Request(read_data(rows), "auto", None))


def opened(source: Source, graph: onnx.ModelProto) -> Model:
    variant = Variant("float64", "graph.onnx", "float64", 2**20, True)
    return Model(graph.SerializeToString(), source.schema, source.ending, variant, 1)


# Mutations of a lowered graph


def mutations(graph: onnx.ModelProto) -> Iterator[Mutation]:
    """The graph with one thing wrong at a time, each with what it is; some of them change no answer."""
    (number,) = [i for i, node in enumerate(graph.graph.node) if node.op_type == "TreeEnsemble"]
    held = {attribute.name: attribute for attribute in graph.graph.node[number].attribute}
    splits = numpy_helper.to_array(held["nodes_splits"].t)
    weights = numpy_helper.to_array(held["leaf_weights"].t)
    for i, split in enumerate(splits):
        if np.isfinite(split):
            for side, kind in ((np.inf, "threshold moved up"), (-np.inf, "threshold moved down")):
                yield kind, changed(graph, number, "nodes_splits", i, np.nextafter(split, side))
        yield "missing direction flipped", flipped(graph, number, "nodes_missing_value_tracks_true", i)
        yield "children swapped", swapped(graph, number, i)
    for i, weight in enumerate(weights):
        yield "leaf changed", changed(graph, number, "leaf_weights", i, weight + 1e-6)


def attribute_of(graph: onnx.ModelProto, number: int, name: str) -> Any:
    return next(attribute for attribute in graph.graph.node[number].attribute if attribute.name == name)


def changed(graph: onnx.ModelProto, number: int, name: str, i: int, value: float) -> onnx.ModelProto:
    made = copy.deepcopy(graph)
    tensor = attribute_of(made, number, name).t
    values = numpy_helper.to_array(tensor).copy()
    values[i] = value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return made


def flipped(graph: onnx.ModelProto, number: int, name: str, i: int) -> onnx.ModelProto:
    made = copy.deepcopy(graph)
    values = attribute_of(made, number, name).ints
    values[i] = 1 - values[i]
    return made


def swapped(graph: onnx.ModelProto, number: int, i: int) -> onnx.ModelProto:
    made = copy.deepcopy(graph)
    for name in ("nodes_{}nodeids", "nodes_{}leafs"):
        true = attribute_of(made, number, name.format("true")).ints
        false = attribute_of(made, number, name.format("false")).ints
        true[i], false[i] = false[i], true[i]
    return made


def corners(source: Source) -> list[list[float]]:
    """Per column every threshold with its neighbours, and the ends: one value at least of each piece of the lattice."""
    made = []
    for column in source.schema.columns:
        probes = source.probes.get(column.name, np.zeros(0))
        near = np.concatenate([np.nextafter(probes, -np.inf), probes, np.nextafter(probes, np.inf), ENDS])
        allowed = near[np.isnan(near) | ((near >= column.low) & (near <= column.high))]
        made.append(np.unique(allowed if column.nullable else allowed[~np.isnan(allowed)]).tolist())
    return made


def answers(model: Model, frame: pd.DataFrame) -> NDArray[np.int64]:
    return np.asarray(model.predict(frame)["prediction"]).view(np.int64)


def remembered(source: Source) -> Source:
    """The source with its answers kept: it is asked the same rows for every mutation."""
    known: dict[int, Any] = {}

    def reference(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
        key = hash(tuple(pd.util.hash_pandas_object(frame.astype("float64"), index=False)))
        if key not in known:
            known[key] = source.reference(frame)
        return dict(known[key])

    return replace(source, reference=reference)


MODELS: dict[str, tuple[Callable[[], Any], NDArray[np.float64]]] = {
    "one column": (lambda: HistGradientBoostingRegressor(max_iter=4, max_leaf_nodes=9), GAPS[:, :1]),
    "three columns": (lambda: RandomForestRegressor(3, max_depth=3, random_state=0), GAPS[:, :3]),
    "three columns behind scaler": (
        lambda: make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=3, max_leaf_nodes=6)),
        GAPS[:, :3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_mutation_that_changes_an_answer_is_caught(name: str) -> None:
    """On rows with every combination of threshold neighbours no wrong bit of the graph that shows there passes, and on
    the edge rows none that shows there; a mutation that no such row can tell from the graph is none."""
    make, rows = MODELS[name]
    model = make().fit(rows, ROWS[:, 5])
    source = remembered(source_of(model, rows))
    grid = pd.DataFrame(list(itertools.product(*corners(source))), columns=[c.name for c in source.schema.columns])
    grid = grid.sample(min(len(grid), 20000), random_state=0).reset_index(drop=True)
    records = edge_rows(source, read_data(rows).frame.iloc[:3])
    right = opened(source, source.graph)
    compare_data(source, right, grid, silent)
    answered = list(compare_edge_rows(source, right, records).answered)
    edges = parity.as_frame(source, answered)
    wanted, wanted_edges = answers(right, grid), answers(right, edges)
    caught: Counter[str] = Counter()
    for kind, graph in mutations(source.graph):
        wrong = opened(source, graph)
        if (answers(wrong, grid) != wanted).any():
            caught[kind] += 1
            with pytest.raises(ParityError):
                compare_data(source, wrong, grid, silent)
        if (answers(wrong, edges) != wanted_edges).any():
            caught[f"{kind}, on edge rows"] += 1
            with pytest.raises(ParityError):
                compare_edge_rows(source, wrong, answered)
        elif name == "one column":
            # Its edge rows have all neighbours: what changes nothing there changes nothing.
            assert (answers(wrong, grid) == wanted).all(), kind
    kinds = {
        "threshold moved up",
        "threshold moved down",
        "missing direction flipped",
        "children swapped",
        "leaf changed",
    }
    assert {kind for kind in kinds if caught[kind] < 2} == set()
    assert {kind for kind in kinds if caught[f"{kind}, on edge rows"] < 2} == set()


# What is shown, and that nothing is written


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, and the working directory: both in sight."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(folder)
    return folder


def wrong_from_now_on(monkeypatch: pytest.MonkeyPatch, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> None:
    """Every source that is read has another graph than it should."""

    def read(model: Any, request: Request) -> Source:
        source = read_source(model, request)
        return replace(source, graph=change(source.graph))

    monkeypatch.setattr(conversion, "read_any", read)


def leaf_doubled(graph: onnx.ModelProto) -> onnx.ModelProto:
    weights = numpy_helper.to_array(attribute_of(graph, 0, "leaf_weights").t)
    heaviest = int(np.abs(weights).argmax())
    return changed(graph, 0, "leaf_weights", heaviest, -3.0 * weights[heaviest])


def test_the_worst_rows_are_shown_side_by_side_and_nothing_is_written(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error counts labels and numbers, and shows at most five rows with what each of the two answers."""
    frame = pd.DataFrame(ROWS[:, :3], columns=["radius", "texture", "perimeter"])
    model = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(frame, BENIGN)
    wrong_from_now_on(monkeypatch, leaf_doubled)
    with pytest.raises(ParityError) as caught:
        convert(model, data=frame)
    error = caught.value
    found = re.fullmatch(
        r"the converted model does not answer as its source: of 569 rows, ([\d,]+) labels and ([\d,]+) numbers differ"
        r" \(largest .+\)",
        error.summary,
    )
    assert found
    assert int(found[2]) >= int(found[1]) > 0
    assert str(error) == f"{error.summary}; nothing was written\n{error.rows}"
    rows = re.findall(r"^  row (\d+): radius=(\S+), texture=(\S+), perimeter=(\S+)$", error.rows, re.MULTILINE)
    assert 1 <= len(rows) <= 5
    for number, *values in rows:
        assert [float(value) for value in values] == frame.iloc[int(number)].tolist()
    assert error.rows.count("    label: source ") == error.rows.count("    probabilities: source ") == len(rows)
    number = int(rows[0][0])
    shown = re.search(r"label: source (\d), model (\d)", error.rows)
    assert shown
    assert int(shown[1]) == model.predict(frame.iloc[[number]])[0] == 1 - int(shown[2])
    assert list(temporary.iterdir()) == []


def test_an_edge_row_alone_is_enough_to_refuse(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data without a missing value says nothing of the missing direction; the edge rows do."""
    rows = ROWS[:, :2]
    model = HistGradientBoostingRegressor(max_iter=3).fit(rows, ROWS[:, 5])
    wrong_from_now_on(monkeypatch, lambda graph: flipped(graph, 0, "nodes_missing_value_tracks_true", 0))
    with pytest.raises(ParityError, match=r"on [\d,]+ of [\d,]+ edge rows; nothing was written\n  x0=None, x1="):
        convert(model, data=rows)
    assert list(temporary.iterdir()) == []


def test_an_infinite_difference_and_a_wrong_label_are_worse_than_any_number() -> None:
    """The rows that are shown are the worst ones, not the first."""
    rows = ROWS[:, :2]
    source = source_of(LogisticRegression().fit(rows, BENIGN), rows)
    frame = read_data(rows).frame

    def off(given: pd.DataFrame) -> dict[str, NDArray[Any]]:
        made = source.reference(given)
        made["probabilities"] = (
            made["probabilities"] + np.where(given["x0"].to_numpy() == rows[300, 0], 0.5, 1e-6)[:, None]
        )
        return made

    with pytest.raises(ParityError) as caught:
        compare_data(replace(source, reference=off), opened(source, source.graph), frame, silent)
    assert "0 labels and 569 numbers differ (largest 0.5)" in caught.value.summary
    assert "  row 300: " in caught.value.rows
    assert "  row 0: " not in caught.value.rows


def test_numbers_within_tolerance_pass_and_beyond_it_do_not() -> None:
    """The tolerance is the source's own, per output; labels have none."""
    rows = ROWS[:, :2]
    source = source_of(LogisticRegression().fit(rows, BENIGN), rows)
    frame, model = read_data(rows).frame, opened(source, source.graph)
    allowed = source.tolerance["probabilities"]
    for factor, passes in ((0.9, True), (1.1, False)):

        def off(given: pd.DataFrame, by: float = factor * allowed) -> dict[str, NDArray[Any]]:
            made = source.reference(given)
            return made | {"probabilities": made["probabilities"] + by}

        if passes:
            assert (
                compare_data(replace(source, reference=off), model, frame, silent).largest["probabilities"]
                > allowed / 2
            )
        else:
            with pytest.raises(ParityError, match="0 labels and 569 numbers"):
                compare_data(replace(source, reference=off), model, frame, silent)


def test_an_answer_where_the_source_refuses_is_a_difference_and_so_is_the_reverse() -> None:
    """Both are shown with the reason of the one that refuses."""
    rows = ROWS[:, :2]
    source = source_of(LogisticRegression().fit(rows, BENIGN), rows)
    model = opened(source, source.graph)
    records: list[dict[str, Any]] = [{"x0": 14.0, "x1": 20.0}, {"x0": 14.0, "x1": None}]
    kept = compare_edge_rows(source, model, records)
    assert (kept.rows, kept.refused) == (1, 1)
    willing = replace(source, reference=lambda frame: source.reference(frame.fillna(0.0)))
    with pytest.raises(ParityError, match=r"on 1 of 2 edge rows") as caught:
        compare_edge_rows(willing, model, records)
    assert re.search(r"x1=None\n    source: label=.*\n    model:  refused \(a value is missing", caught.value.rows)

    def unwilling(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
        raise ValueError("not today\nor tomorrow")

    with pytest.raises(ParityError, match=r"source: refused \(not today\)\n    model:  \{?'?label"):
        compare_edge_rows(replace(source, reference=unwilling), model, records[:1])


def test_a_row_of_the_data_that_the_source_refuses_is_named() -> None:
    """By its number in all of the data, however it is divided."""
    rows = ROWS[:, :2].copy()
    model = LogisticRegression().fit(rows, BENIGN)
    rows[411, 1] = np.nan
    with pytest.raises(InputError, match=r"the source refuses its data \(Input X contains NaN\.\) \(row 411\)"):
        convert(model, data=rows)


def test_rows_are_counted_through_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress, the worst rows and a refused row: a chunk's own numbers are nowhere to be seen."""
    monkeypatch.setattr(parity, "CHUNK", 100)
    rows = ROWS[:, :2]
    source = source_of(LogisticRegression().fit(rows, BENIGN), rows)
    frame, model = read_data(rows).frame, opened(source, source.graph)
    told: list[tuple[int, int]] = []
    assert compare_data(source, model, frame, lambda done, whole: told.append((done, whole))).rows == 569
    assert told == [(done, 569) for done in (100, 200, 300, 400, 500, 569)]

    def off(given: pd.DataFrame) -> dict[str, NDArray[Any]]:
        made = source.reference(given)
        return made | {"label": np.where(given["x0"].to_numpy() == rows[444, 0], 7, made["label"])}

    with pytest.raises(ParityError, match=r"  row 444: "):
        compare_data(replace(source, reference=off), model, frame, silent)
    broken = frame.copy()
    broken.loc[333, "x1"] = np.nan
    lenient = replace(source, reference=lambda given: source.reference(given.fillna(0.0)))
    with pytest.raises(InputError, match=r"missing \(column 'x1', row 333\)"):
        compare_data(lenient, model, broken, silent)


def test_one_row_that_answers_otherwise_among_others_is_caught() -> None:
    """What is lowered exactly has the same bits alone and in a table; an ulp between the two is too much."""
    rows = ROWS[:, :2]
    source = source_of(RandomForestRegressor(3, max_depth=3, random_state=0).fit(rows, ROWS[:, 5]), rows)
    model = opened(source, source.graph)
    records = edge_rows(source, read_data(rows).frame.iloc[:3])
    compare_edge_rows(source, model, records)

    class Uneven:
        """A model whose tables are an ulp off."""

        predict_one = staticmethod(model.predict_one)

        def predict(self, data: Any) -> dict[str, NDArray[Any]]:
            return {name: np.nextafter(array, np.inf) for name, array in model.predict(data).items()}

    uneven: Any = Uneven()
    with pytest.raises(ParityError, match=r"alone: prediction .*\n    among others: "):
        compare_edge_rows(source, uneven, records)


def test_long_rows_are_shown_short() -> None:
    """A terminal is not flooded, and nothing of what a refusal says beyond its first line is repeated."""
    assert len(parity.shown({f"column {i}": 0.1 for i in range(100)})) <= 241
    assert parity.shown(ValueError("one\ntwo")) == "refused (one)"
    assert os.linesep not in parity.shown({"text": "a\nb"})


def tied() -> tuple[RandomForestClassifier, NDArray[np.float64]]:
    """A forest with ties: scikit-learn adds 0.1 + 0.7 below 0.8, and its rounding chooses a label."""
    rng = np.random.default_rng(49)
    rows, label = rng.integers(0, 3, (30, 2)).astype(float), rng.integers(0, 3, 30)
    return RandomForestClassifier(5, max_depth=2, random_state=49).fit(rows, label), rows


def test_a_rare_tie_is_stated_and_no_fault() -> None:
    """Exact sums break it otherwise, where the source's own probabilities are one and the same within the bound."""
    forest, rows = tied()
    alike = forest.predict(rows) == convert_ties_apart(forest, rows)
    data = np.concatenate([np.repeat(rows[alike], 200, axis=0), rows[~alike][:1]])
    conversion = convert(forest, data=data)
    said = [text for text in conversion.report.statements if "labels differ" in text]
    assert re.search(r": [1-9]\d* labels differ, each where the source's own numbers are a tie", said[0])
    best = np.sort(forest.predict_proba(rows[~alike]), axis=1)
    assert (best[:, -1] - best[:, -2] <= 1e-13).all()


def convert_ties_apart(forest: RandomForestClassifier, rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Labels by exact sums: the first of those that are the largest."""
    shares = forest.predict_proba(rows).round(12)
    labels: NDArray[np.int64] = forest.classes_[shares.argmax(axis=1)]
    return labels


def test_a_model_of_ties_is_refused() -> None:
    """4 of 30 rows: that is another model."""
    forest, rows = tied()
    with pytest.raises(ParityError, match="of 30 rows, 4 labels and 0 numbers differ"):
        convert(forest, data=rows)
