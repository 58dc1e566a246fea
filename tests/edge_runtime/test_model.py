"""The model: one answer for a row, whatever way it is asked, by whom, in which block and in which process."""

from __future__ import annotations

import gc
import json
import math
import os
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

import edge_runtime
from edge_runtime import parallel
from edge_runtime.bundle import Bundle
from edge_runtime.ending import Ending
from edge_runtime.errors import BundleError, InputError, IntegrityError, UnsupportedModelError
from edge_runtime.golden import Sample
from edge_runtime.manifest import Manifest, Variant
from edge_runtime.model import BLOCK, SELF_TEST, Model
from edge_runtime.plain import LACKS
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec

INF = math.inf
Arrays = dict[str, NDArray[Any]]
GraphOf = Callable[..., bytes]
WriteBundle = Callable[..., Path]
Mirror = Callable[..., Model]

EXACT = ("flights", "forest", "softmax", "decision", "number")  # the same bits in every way of asking
ALL = (*EXACT, "as it is")


def same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether all outputs are the same, numbers by their bits."""
    if found.keys() != wanted.keys():
        return False
    pairs = [(np.asarray(found[name]), np.asarray(wanted[name])) for name in wanted]
    return all(
        a.shape == b.shape and (a.tolist() == b.tolist() if a.dtype.kind in "OU" else a.tobytes() == b.tobytes())
        for a, b in pairs
    )


def records_of(frame: Any) -> list[dict[str, Any]]:
    """Rows as an app has them: Python's own values, None where one is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    records: list[dict[str, Any]] = plain.to_dict("records")
    return records


def stacked(answers: list[dict[str, Any]], like: Arrays) -> Arrays:
    """Single answers as the arrays that a table gives."""
    made: Arrays = {}
    for name, array in like.items():
        made[name] = np.empty((len(answers), *array.shape[1:]), array.dtype)
        for i, answer in enumerate(answers):
            made[name][i] = answer[name]
    return made


def taken(outputs: Arrays, rows: Any) -> Arrays:
    return {name: array[rows] for name, array in outputs.items()}


@pytest.fixture(params=EXACT)
def exact(request: pytest.FixtureRequest, trained: dict[str, Any]) -> Any:
    return trained[request.param]


# ---- One answer for a row.


def test_one_row_and_a_table_have_the_same_bits(exact: Any) -> None:
    """Compiled, uncompiled and in a table."""
    model = edge_runtime.load(exact.bundle)
    records = records_of(exact.frame)
    table = model.predict(exact.frame)
    assert same(stacked([model.predict_one(r) for r in records], table), table)
    assert same(stacked([Model.predict_one(model, r) for r in records[:50]], table), taken(table, slice(50)))
    assert {name: len(array) for name, array in table.items()} == dict.fromkeys(table, len(records))
    for output in model.schema.outputs:
        assert table[output.name].dtype == (object if output.dtype == "str" else np.dtype(output.dtype))
        assert table[output.name].shape[1:] == output.shape[1:]


def test_answers_of_one_row_are_pythons_own(trained: dict[str, Any]) -> None:
    """Scalars and lists, ready for JSON."""
    for name in ALL:
        model = edge_runtime.load(trained[name].bundle)
        answer = model.predict_one(records_of(trained[name].frame[[c.name for c in model.schema.columns]])[0])
        assert {type(v) for a in answer.values() for v in (a if isinstance(a, list) else [a])} <= {
            str,
            float,
            int,
            bool,
        }
        assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_do_not_depend_on_block_neighbours_and_threads(exact: Any, threads: int) -> None:
    """Tables of sizes around the ends of blocks, their rows in any order: the bits of the same row in a small table."""
    model = edge_runtime.load(exact.bundle, threads=threads)
    wanted = edge_runtime.load(exact.bundle, threads=1).predict(exact.frame)
    random = np.random.default_rng(threads)
    for size in (0, 1, 2, 127, 128, 129, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK + 7):
        rows = random.integers(0, len(exact.frame), size)
        found = model.predict(exact.frame.iloc[rows])
        assert same(found, taken(wanted, rows)), size


def test_blocks_of_any_size_give_the_same_bits(exact: Any) -> None:
    """Tables of 1 to 100 rows."""
    model = edge_runtime.load(exact.bundle)
    wanted = model.predict(exact.frame)
    start = 0
    for size in range(1, 101):
        rows = [i % len(exact.frame) for i in range(start, start + size)]
        assert same(model.predict(exact.frame.iloc[rows]), taken(wanted, rows)), size
        start += size


def columns_of(frame: Any) -> dict[str, list[Any]]:
    records = records_of(frame)
    return {name: [record[name] for record in records] for name in frame.columns}


CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "records": records_of,
    "tuple of records": lambda frame: tuple(records_of(frame)),
    "columns of lists": columns_of,
    "columns of arrays": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "columns of series": lambda frame: dict(frame.items()),
    "array of objects": lambda frame: frame.astype(object).to_numpy(),
    "pandas, other index": lambda frame: frame.set_index(frame.index[::-1]),
    "pandas, other order": lambda frame: frame[frame.columns[::-1]],
    "pandas, Arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "pandas, more columns": lambda frame: frame.assign(id=1),
    "polars": lambda frame: pl.DataFrame(columns_of(frame)),
    "Arrow table": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "Arrow batches": lambda frame: pa.Table.from_batches(
        pa.Table.from_pandas(frame, preserve_index=False).to_batches(max_chunksize=77)
    ),
    "Arrow batch": lambda frame: pa.Table.from_pandas(frame, preserve_index=False).to_batches()[0],
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_every_container_gives_the_same_bits(exact: Any, make: Callable[[Any], Any]) -> None:
    """Frames by name, arrays by position, records and columns."""
    model = edge_runtime.load(exact.bundle)
    frame = exact.frame[[column.name for column in model.schema.columns]]
    assert same(model.predict(make(frame)), model.predict(frame))


def test_the_rows_are_left_as_they_were(exact: Any) -> None:
    """Predicting writes into nothing of the caller's; not even a read-only array is needed twice."""
    model = edge_runtime.load(exact.bundle)
    records = records_of(exact.frame.head(20))
    kept = [dict(record) for record in records]
    model.predict(records)
    for record in records:
        model.predict_one(record)
    assert records == kept
    before = exact.frame.copy()
    model.predict(exact.frame)
    pd.testing.assert_frame_equal(exact.frame, before)


def test_answers_are_the_callers_own(exact: Any) -> None:
    """What one call returned is not overwritten by the next."""
    model = edge_runtime.load(exact.bundle)
    records = records_of(exact.frame)
    first = model.predict_one(records[0])
    kept = json.dumps(first)
    for record in records[1:]:
        model.predict_one(record)
    assert json.dumps(first) == kept


def test_a_graph_left_as_it_is_answers_alike_in_every_way(trained: dict[str, Any]) -> None:
    """Where the bits are onnxruntime's: equal labels, and numbers within the certificate."""
    source = trained["as it is"]
    model = edge_runtime.load(source.bundle)
    assert "predict_one" not in vars(model)
    frame = source.frame[[column.name for column in model.schema.columns]]
    table = model.predict(frame)
    for found in (
        stacked([model.predict_one(record) for record in records_of(frame)], table),
        taken(model.predict(pd.concat([frame] * 20)), slice(len(frame))),
        *(model.predict(make(frame)) for make in CONTAINERS.values()),
    ):
        assert found["label"].tolist() == table["label"].tolist()
        assert np.allclose(found["probabilities"], table["probabilities"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("empty", [list, tuple, lambda: pd.DataFrame(columns=["a", "b", "c", "d"], dtype=float)])
def test_no_rows_give_no_answers(trained: dict[str, Any], name: str, empty: Callable[[], Any]) -> None:
    """Arrays of the declared dtypes and shapes, of no rows."""
    model = edge_runtime.load(trained[name].bundle)
    data = empty() if name != "flights" else trained[name].frame.iloc[:0]
    found = model.predict(data)
    assert {n: (a.dtype, a.shape) for n, a in found.items()} == {
        o.name: (np.dtype(object if o.dtype == "str" else o.dtype), (0, *o.shape[1:])) for o in model.schema.outputs
    }


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("row", [0, BLOCK - 1, BLOCK, 2 * BLOCK + 123, 4 * BLOCK - 1])
def test_a_wrong_value_is_named_by_its_own_row(mirror: Mirror, threads: int, row: int) -> None:
    """Counted from the start of the table, not of the block; of several, the first."""
    model = mirror([ColumnSpec("x", "float64", False, "x", 0, -INF, INF)], threads=threads)
    values: list[Any] = [0.5] * (4 * BLOCK)
    values[row] = "x"
    later = values.copy()
    later[-1] = None
    for data in (values, later, np.array(later, object)):
        with pytest.raises(InputError) as caught:
            model.predict({"x": data})
        assert (caught.value.column, caught.value.row) == ("x", row)
    with pytest.raises(InputError) as caught:
        model.predict([{"x": value} for value in later])
    assert caught.value.row == row
    assert model.predict({"x": [0.5]})["prediction"].tolist() == [0.5]


def test_run_gives_the_raw_sums(trained: dict[str, Any]) -> None:
    """The graph's tensors in and out, without what follows."""
    model = edge_runtime.load(trained["number"].bundle)
    x = trained["number"].frame.to_numpy(np.float64)
    raw = model.run({"x": x})
    assert list(raw) == ["raw"]
    assert raw["raw"].shape == (len(x), 1)
    assert (raw["raw"][:, 0] / model.manifest.ending.scale).tolist() == model.predict(x)["prediction"].tolist()  # type: ignore[union-attr]
    call = model.bind()
    call.inputs["x"][...] = x[7]
    assert call()["raw"].tobytes() == raw["raw"][7].tobytes()


def test_a_run_that_fails_is_an_error_of_the_row(graph_of: GraphOf, write_bundle: WriteBundle) -> None:
    """A graph that does not take a value: an InputError of one line in every way of asking, and the next row is right."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["t", "i"], ["raw"]),
    ]
    ends = [("x", "float64", [None, 1])], [("raw", "float64", [None, 1])]
    path = write_bundle(graph_of(nodes, *ends, {"t": np.array([10.0, 20.0])}), HALF, Ending("identity"))
    model = edge_runtime.load(path)
    for ask in (model.predict_one, lambda row: Model.predict_one(model, row), lambda row: model.predict([row])):
        for value in (7.0, np.float64(7.0), 7):  # plain, and by the law
            with pytest.raises(InputError, match=r"the graph cannot be run on it: .*out of data bounds") as caught:
                ask({"x": value})
            assert "\n" not in str(caught.value)
            assert float(np.ravel(ask({"x": 1.0})["prediction"])[0]) == 20.0


def test_a_graph_that_gives_another_shape_is_refused_when_it_is_asked(
    graph_of: GraphOf, write_bundle: WriteBundle
) -> None:
    """Where no golden row told it before: never a part of the answer, nor one row's for another."""
    ends = [("x", "float64", [None, 1])], [("raw", "float64", [None, 1])]
    for node in (
        helper.make_node("Compress", ["x", "twice"], ["raw"], axis=1),
        helper.make_node("Concat", ["x", "x"], ["raw"], axis=0),
    ):
        weights = {"twice": np.array([False])} if node.op_type == "Compress" else {}
        model = edge_runtime.load(write_bundle(graph_of([node], *ends, weights), HALF, Ending("identity")))
        for ask in (model.predict_one, lambda row, model=model: model.predict([row])):
            with pytest.raises(
                UnsupportedModelError, match=r"the graph's output 'raw' has the shape \[.*\] for 1 row;"
            ):
                ask({"x": 1.0})


def test_a_tensor_of_integers_is_answered_too(graph_of: GraphOf, write_bundle: WriteBundle) -> None:
    """Not compiled, and the same answers."""
    node = helper.make_node("Cast", ["x"], ["raw"], to=TensorProto.DOUBLE)
    raw = graph_of([node], [("x", "int32", [None, 3])], [("raw", "float64", [None, 3])])
    columns = (
        ColumnSpec("b", "bool", False, "x", 2),
        ColumnSpec("n", "int32", False, "x", 0, -INF, INF),
        ColumnSpec("t", "str", False, "x", 1, categories=("p", "q")),
    )
    ending = Ending("identity")
    schema = Schema(columns, (TensorSpec("x", "int32", (None, 3)),), ending.outputs(3))
    model = edge_runtime.load(write_bundle(raw, schema, ending))
    row = {"n": -(2**31), "t": "q", "b": True}
    assert model.predict_one(row) == {"prediction": [-(2.0**31), 1.0, 1.0]}
    assert model.predict([row, {"n": 5, "t": "?", "b": False}])["prediction"].tolist() == [
        [-(2.0**31), 1.0, 1.0], [5.0, -1.0, 0.0],
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"got int 2147483648 \(column 'n'\)"):
        model.predict_one(row | {"n": 2**31})


# ---- Loading.


def test_a_loaded_model_says_what_it_is(flights: Any) -> None:
    """Name, version, variant, identity, schema and manifest are the bundle's."""
    model, bundle = edge_runtime.load(flights.bundle), Bundle.open(flights.bundle)
    assert (model.name, model.version, model.variant) == ("flights", "1.2.0", bundle.manifest.variants[0].name)
    assert (model.digest, model.manifest, model.schema) == (bundle.digest, bundle.manifest, bundle.manifest.schema)
    assert [column.name for column in model.schema.columns] == list(flights.frame.columns)
    assert repr(model) == f"<Model 'flights' '1.2.0' '{model.variant}' {model.digest[:19]}…>"
    assert model._repr_html_().startswith("<div")


def test_a_digest_pins_the_bundle(small_bundle: Path) -> None:
    """That one, or none."""
    digest = Bundle.open(small_bundle).digest
    assert edge_runtime.load(small_bundle, digest=digest).digest == digest
    with pytest.raises(IntegrityError, match="expected sha256:00") as caught:
        edge_runtime.load(small_bundle, digest="sha256:" + "0" * 64)
    assert str(caught.value).startswith(f"{small_bundle}: ")


def test_a_variant_is_chosen_by_name(
    tmp_path: Path, small_manifest: Manifest, small_contents: dict[str, bytes]
) -> None:
    """The first if none is named; each has its own graph; what is not there is refused with what there is."""
    variants = (*small_manifest.variants, Variant("twice", "twice.onnx", "float64", 0, True))
    manifest = replace(small_manifest, variants=variants)
    twice = small_contents["graph.onnx"].replace(np.ones(8).tobytes(), np.full(8, 2.0).tobytes())
    assert twice != small_contents["graph.onnx"]
    golden = b'{"outputs":[],"rows":[]}'
    path = tmp_path / "two.edge"
    Bundle.write(path, manifest, {**small_contents, "twice.onnx": twice, "golden.json": golden})
    row = {f"x{i}": 1.0 for i in range(8)}
    for name, wanted in ((None, 8.0), ("exact", 8.0), ("twice", 16.0)):
        model = edge_runtime.load(path, variant=name)
        assert model.variant == name or name is None
        assert model.predict_one(row) == {"prediction": wanted}
    with pytest.raises(InputError, match=r"there is no variant 'int8'; expected one of \['exact', 'twice'\]"):
        edge_runtime.load(path, variant="int8")


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_one_or_more(small_bundle: Path, threads: int) -> None:
    """Nothing is opened for none."""
    with pytest.raises(InputError, match=f"threads is {threads}; expected 1 or more"):
        edge_runtime.load(small_bundle, threads=threads)


@pytest.mark.parametrize("ending", ["edge", "onnx", "ONNX"])
def test_what_is_no_file_is_refused(tmp_path: Path, ending: str) -> None:
    """Nothing there, a folder, something else: each in one line with the path."""
    path = tmp_path / f"model.{ending}"
    with pytest.raises(FileNotFoundError):
        edge_runtime.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(BundleError) as caught:
        edge_runtime.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    path.unlink()
    path.mkdir()
    with pytest.raises(BundleError, match="not a regular file") as caught:
        edge_runtime.load(path)
    assert str(caught.value).startswith(f"{path}: ")


NUMBER = ColumnSpec("x", "float64", True, "x", 0, -INF, INF)
HALF = Schema((NUMBER,), (TensorSpec("x", "float64", (None, 1)),), (TensorSpec("prediction", "float64", (None,)),))


@pytest.fixture
def half(graph_of: GraphOf, write_bundle: WriteBundle) -> Callable[..., Path]:
    """A bundle of x / 2 with the golden rows that are given."""
    node = helper.make_node("Mul", ["x", "half"], ["raw"])
    raw = graph_of([node], [("x", "float64", [None, 1])], [("raw", "float64", [None, 1])], {"half": np.array([0.5])})

    def write(*rows: tuple[dict[str, Any], Any], tolerance: float | None = None) -> Path:
        samples = [Sample(row, {"prediction": answer}) for row, answer in rows]
        return write_bundle(
            raw, HALF, Ending("identity"), samples, None if tolerance is None else {"prediction": tolerance}
        )

    return write


@pytest.mark.parametrize("tolerance", [None, 0.0])
def test_a_bundle_that_answers_one_ulp_off_is_refused(half: Callable[..., Path], tolerance: float | None) -> None:
    """The same bits are the same bits."""
    right = ({"x": 0.3}, 0.15)
    edge_runtime.load(half(right, tolerance=tolerance))
    path = half(right, ({"x": 0.3}, math.nextafter(0.15, 1)), tolerance=tolerance)
    with pytest.raises(
        IntegrityError, match="the golden rows are not answered as recorded: golden row 1: pred"
    ) as caught:
        edge_runtime.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    edge_runtime.load(half(right, ({"x": 0.3}, math.nextafter(0.15, 1)), tolerance=1e-15))


def test_golden_rows_of_a_real_bundle_are_held_to_the_bit(flights: Any, tmp_path: Path) -> None:
    """Each recorded probability of the first rows, moved by one ulp."""
    bundle = Bundle.open(flights.bundle)
    contents = {entry.name: bundle.read(entry.name) for entry in bundle.manifest.entries}
    document = json.loads(contents["golden.json"])
    path = tmp_path / "moved.edge"
    for row in range(SELF_TEST):
        moved = json.loads(contents["golden.json"])
        probabilities = moved["outputs"][row]["probabilities"]
        probabilities[1] = math.nextafter(probabilities[1], 2.0)
        Bundle.write(path, bundle.manifest, {**contents, "golden.json": json.dumps(moved).encode()})
        with pytest.raises(IntegrityError, match=f"golden row {row}: probabilities is"):
            edge_runtime.load(path)
    assert len(document["rows"]) > SELF_TEST


def test_verify_replays_all_rows(half: Callable[..., Path]) -> None:
    """Loading replays a few; a later row that is off is in the report, alone and in a table."""
    rows = [({"x": float(i)}, i / 2) for i in range(SELF_TEST)]
    model = edge_runtime.load(half(*rows, ({"x": 8.0}, 4.25), ({"x": None}, math.nan), ({"x": INF}, INF)))
    report = model.verify()
    assert not report.ok
    assert (report.rows, report.largest) == (SELF_TEST + 3, {"prediction": 0.25 / 4.25})
    assert report.problems == (
        "golden row 4: prediction is 4.0, recorded 4.25",
        "golden row 4 in a table: prediction is 4.0, recorded 4.25",
    )


def test_verify_refuses_rows_that_do_not_fit(half: Callable[..., Path]) -> None:
    """They say nothing about the answers; the bundle is not what it says."""
    rows = [({"x": float(i)}, i / 2) for i in range(SELF_TEST)]
    model = edge_runtime.load(half(*rows, ({"x": "text"}, 1.0)))
    with pytest.raises(IntegrityError, match="the golden rows do not fit the schema: got str 'text'"):
        model.verify()


@pytest.mark.parametrize("name", ALL)
def test_a_converted_model_verifies(trained: dict[str, Any], name: str) -> None:
    """All rows; and they are given out as they were recorded."""
    model = edge_runtime.load(trained[name].bundle)
    report = model.verify()
    assert report.ok
    assert report.rows == len(model.golden_rows()) > SELF_TEST
    assert set(report.largest) == {output.name for output in model.schema.outputs}


# ---- Tensor models.


class Image:
    """A convolution over pictures of any height and width: NCHW float32."""

    weights = np.random.default_rng(1).normal(size=(4, 3, 3, 3)).astype(np.float32)
    schema = Schema(
        (),
        (TensorSpec("image", "float32", (None, 3, None, None)),),
        (TensorSpec("scores", "float32", (None, 4)), TensorSpec("best", "int64", (None,))),
    )

    @classmethod
    def graph(cls, graph_of: GraphOf) -> bytes:
        nodes = [
            helper.make_node("Conv", ["image", "w"], ["c"]),
            helper.make_node("GlobalAveragePool", ["c"], ["p"]),
            helper.make_node("Flatten", ["p"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        ]
        out = [("scores", "float32", ["n", 4]), ("best", "int64", ["n"])]
        return graph_of(nodes, [("image", "float32", ["n", 3, "h", "w"])], out, {"w": cls.weights})

    @staticmethod
    def pictures(count: int, seed: int = 0) -> NDArray[np.float32]:
        return np.random.default_rng(seed).normal(size=(count, 3, 8, 6)).astype(np.float32)


def plain(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "plain.onnx"
    path.write_bytes(raw)
    return path


def test_pictures_go_through_every_way_of_asking(tmp_path: Path, graph_of: GraphOf) -> None:
    """An array, a dict, one picture, a bound call: one model, one answer."""
    model = edge_runtime.load(plain(tmp_path, Image.graph(graph_of)))
    pictures = Image.pictures(5)
    wanted = model.run({"image": pictures})
    assert {name: (a.dtype.name, a.shape) for name, a in wanted.items()} == {
        "scores": ("float32", (5, 4)), "best": ("int64", (5,)),
    }  # fmt: skip
    assert same(model.predict(pictures), wanted)
    assert same(model.predict({"image": pictures}), wanted)
    assert same(model.predict(pictures.astype(np.float64)), wanted)
    assert same(model.predict({"image": pictures.tolist()}), wanted)
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (3, 3), axis=(2, 3))
    by_hand = np.einsum("nchwij,kcij->nk", windows, Image.weights) / (6 * 4)
    assert np.allclose(wanted["scores"], by_hand, atol=1e-5)
    for i, picture in enumerate(pictures):
        for one in (model.predict_one({"image": picture}), model.predict_one({"image": picture.tolist()})):
            assert one["best"] == wanted["best"][i]
            assert np.allclose(one["scores"], wanted["scores"][i], atol=1e-6)
    call = model.bind(shapes={"image": (5, 3, 8, 6)})
    call.inputs["image"][...] = pictures
    assert same(call(), wanted)
    assert model.run({"image": pictures[:0]})["scores"].shape == (0, 4)


def test_sound_goes_through_with_its_state(tmp_path: Path, graph_of: GraphOf) -> None:
    """Two inputs, two outputs; the state that comes out goes in again, chunk by chunk, as numpy does it."""
    a = np.random.default_rng(2).normal(size=(8, 8)).astype(np.float32) / 4
    b = np.random.default_rng(3).normal(size=(16, 8)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["state", "a"], ["sa"]),
        helper.make_node("MatMul", ["sound", "b"], ["xb"]),
        helper.make_node("Add", ["sa", "xb"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["state_out"]),
        helper.make_node("ReduceMean", ["state_out"], ["loud"], axes=[1], keepdims=0),
    ]
    raw = graph_of(
        nodes, [("sound", "float32", ["n", 16]), ("state", "float32", ["n", 8])],
        [("loud", "float32", ["n"]), ("state_out", "float32", ["n", 8])], {"a": a, "b": b},
    )  # fmt: skip
    model = edge_runtime.load(plain(tmp_path, raw))
    assert model.schema.columns == ()
    chunks = np.random.default_rng(4).normal(size=(20, 16)).astype(np.float32)
    state, by_hand = np.zeros((1, 8), np.float32), np.zeros((1, 8), np.float32)
    one: dict[str, Any] = {"state_out": [0.0] * 8}
    call = model.bind()
    for chunk in chunks:
        answer = model.run({"sound": chunk[None], "state": state})
        one = model.predict_one({"sound": chunk, "state": one["state_out"]})
        call.inputs["sound"][0] = chunk
        call.inputs["state"][...] = call()["state_out"]
        state, by_hand = answer["state_out"], np.tanh(by_hand @ a + chunk @ b)
        assert np.allclose(state, by_hand, atol=1e-5)
        assert one["state_out"] == state[0].tolist()
        assert same(call.outputs, answer)
        assert one["loud"] == answer["loud"][0]
    with pytest.raises(InputError, match=r"got ndarray; expected a dict of \['sound', 'state'\]"):
        model.predict(chunks)
    with pytest.raises(InputError, match=r"got ndarray; expected a record, \{input: array\}"):
        model.predict_one(chunks)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rows is 0; expected 1 or more"):
        model.bind(rows=0)


def test_text_ids_of_any_length_go_through(tmp_path: Path, graph_of: GraphOf) -> None:
    """int64 with two free axes; an id that the table does not have is an error of one line."""
    table = np.random.default_rng(5).normal(size=(50, 6)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("ReduceMean", ["words"], ["logits"], axes=[1], keepdims=0),
    ]
    out = [("logits", "float32", ["n", 6])]
    model = edge_runtime.load(plain(tmp_path, graph_of(nodes, [("ids", "int64", ["n", "t"])], out, {"table": table})))
    ids = np.random.default_rng(6).integers(0, 50, (4, 9))
    assert np.allclose(model.predict(ids)["logits"], table[ids].mean(axis=1), atol=1e-6)
    assert same(model.predict(ids.astype(np.int32)), model.predict(ids))
    assert same(model.predict(ids.tolist()), model.predict(ids))
    assert model.predict_one({"ids": [3]})["logits"] == table[3].tolist()
    call = model.bind(shapes={"ids": (2, 9)})
    call.inputs["ids"][...] = ids[:2]
    assert same(call(), taken(model.predict(ids), slice(2)))
    for wrong, says in (
        (ids + 0.5, "float64 values that int64 cannot hold"),
        (ids[0], r"shape \[9\] \(column 'ids'\); expected shape \[None, None\]"),
        (np.full((1, 2), 50), "the graph cannot be run on it: .*indices element out of data bounds"),
        ([["a"]], "dtype <U1"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            model.predict(wrong)
        assert "\n" not in str(caught.value)
    call.inputs["ids"][...] = -51
    with pytest.raises(InputError, match="the graph cannot be run on it"):
        call()


def test_text_goes_in_and_out(tmp_path: Path, graph_of: GraphOf) -> None:
    """A graph over strings, one row and many."""
    node = helper.make_node("Identity", ["text"], ["same"])
    raw = graph_of([node], [("text", "str", ["n", 2])], [("same", "str", ["n", 2])])
    model = edge_runtime.load(plain(tmp_path, raw))
    texts = [["a", ""], ["é☃", "b\0c"]]
    assert model.predict(texts)["same"].tolist() == texts
    assert model.predict({"text": np.array(texts)})["same"].tolist() == texts
    assert model.predict_one({"text": ["a", "b"]}) == {"same": ["a", "b"]}
    with pytest.raises(UnsupportedModelError, match="is text, which cannot be bound"):
        model.bind()


def test_outputs_that_are_no_rows_need_run(tmp_path: Path, graph_of: GraphOf) -> None:
    """One row's answer cannot be picked out of a scalar, or of a tensor whose first axis is something else."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Transpose", ["x"], ["turned"]),
    ]
    out: list[Any] = [("sum", "float32", []), ("turned", "float32", [2, None])]
    for some in (out[:1], out[1:]):
        used = [node for node in nodes if node.output[0] == some[0][0]]
        model = edge_runtime.load(plain(tmp_path, graph_of(used, [("x", "float32", [None, 2])], some)))
        assert list(model.run({"x": np.ones((3, 2))})) == [some[0][0]]
        with pytest.raises(UnsupportedModelError, match=r"has the shape \[.*\] for 1 row; use run"):
            model.predict_one({"x": [1.0, 1.0]})


def test_a_scalar_beside_rows_goes_in_as_one(tmp_path: Path, graph_of: GraphOf) -> None:
    """As a sampling rate does."""
    raw = graph_of(
        [helper.make_node("Mul", ["x", "rate"], ["y"])],
        [("x", "float32", [2, None]), ("rate", "float32", [])], [("y", "float32", [2, None])],
    )  # fmt: skip
    model = edge_runtime.load(plain(tmp_path, raw))
    for rate in (2, 2.0, np.float32(2), np.array(2.0, np.float32)):
        assert model.run({"x": np.ones((2, 3)), "rate": rate})["y"].tolist() == [[2.0] * 3] * 2
    call = model.bind(shapes={"x": (2, 3)})
    call.inputs["x"][...], call.inputs["rate"][...] = 1.0, 3.0
    assert call()["y"].tolist() == [[3.0] * 3] * 2


def test_a_bundle_of_tensors_is_replayed_and_held_to_its_answers(graph_of: GraphOf, write_bundle: WriteBundle) -> None:
    """Raw golden samples: loaded, verified, given out again; refused where one value is off by more than it may."""
    raw = Image.graph(graph_of)
    path = write_bundle(raw, Image.schema, file="image.edge")
    model = edge_runtime.load(path)
    samples = []
    for seed in range(SELF_TEST + 1):
        given = {"image": Image.pictures(seed, seed)}
        samples.append(Sample(given, model.run(given)))
    recorded = write_bundle(raw, Image.schema, None, samples, {"scores": 1e-6})
    model = edge_runtime.load(recorded)
    report = model.verify()
    assert (report.ok, report.rows, report.largest) == (True, SELF_TEST + 1, {"scores": 0.0, "best": 0.0})
    assert model.golden_rows()[3].inputs["image"].tobytes() == samples[3].inputs["image"].tobytes()
    assert same(model.predict(samples[3].inputs), samples[3].outputs)
    samples[2].outputs["scores"][1, 3] += 1e-3
    with pytest.raises(IntegrityError, match=r"golden sample 2: scores is -?\d.\d+, recorded -?\d.\d+$"):
        edge_runtime.load(write_bundle(raw, Image.schema, None, samples, {"scores": 1e-6}))
    edge_runtime.load(write_bundle(raw, Image.schema, None, samples, {"scores": 1e-2}))
    samples[2].outputs["best"][0] += 1
    with pytest.raises(IntegrityError, match="golden sample 2: best is"):
        edge_runtime.load(write_bundle(raw, Image.schema, None, samples, {"scores": 1e-2}))


# ---- A plain graph.


def test_a_plain_graph_of_columns_is_a_table(tmp_path: Path, graph_of: GraphOf) -> None:
    """As skl2onnx writes a frame's columns: by name, with text, in every container; errors name column and row."""
    nodes = [
        helper.make_node(
            "LabelEncoder", ["city"], ["code"], domain="ai.onnx.ml",
            keys_strings=["A", "B"], values_floats=[1.0, 2.0], default_float=0.0,
        ),
        helper.make_node("Cast", ["age"], ["years"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["code", "years", "income"], ["y"]),
    ]  # fmt: skip
    given = [("city", "str", [None, 1]), ("age", "int64", [None, 1]), ("income", "float32", [None, 1])]
    model = edge_runtime.load(plain(tmp_path, graph_of(nodes, given, [("y", "float32", [None, 1])])))
    assert [(c.name, c.dtype, c.nullable) for c in model.schema.columns] == [
        ("city", "str", False), ("age", "int64", False), ("income", "float32", True),
    ]  # fmt: skip
    frame = pd.DataFrame({"age": [1, 2, 3], "city": ["A", "B", "?"], "income": [10.0, 20.0, np.nan]})
    wanted = [[12.0], [24.0], [math.nan]]
    for data in (frame, records_of(frame), pa.Table.from_pandas(frame), pl.DataFrame(columns_of(frame))):
        assert np.array_equal(model.predict(data)["y"], wanted, equal_nan=True)
    assert model.predict_one({"city": "B", "age": 1, "income": 0.5}) == {"y": [3.5]}
    assert model.predict(frame.iloc[:0])["y"].shape == (0, 1)
    assert model.predict(pd.concat([frame] * 3000))["y"].shape == (9000, 1)
    with pytest.raises(InputError, match=r"a value is missing \(column 'city', row 1\); expected text"):
        model.predict(frame.assign(city=["A", None, "B"]))
    with pytest.raises(InputError, match=r"got float 0.5 \(column 'age'\); expected an integer"):
        model.predict_one({"city": "B", "age": 0.5, "income": 0.5})


def test_a_plain_graph_says_what_it_lacks(tmp_path: Path, graph_of: GraphOf) -> None:
    """No manifest, no version, no golden rows; its identity is that of its bytes."""
    raw = Image.graph(graph_of)
    path = plain(tmp_path, raw)
    model = edge_runtime.load(path)
    assert (model.name, model.version, model.variant, model.manifest) == ("plain", "", "onnx", None)
    assert model.golden_rows() == []
    report = model.verify()
    assert (report.ok, report.rows, report.largest) == (True, 0, {})
    assert LACKS in model._repr_html_()
    assert edge_runtime.load(path, digest=model.digest).digest == model.digest
    with pytest.raises(IntegrityError, match="expected sha256:0"):
        edge_runtime.load(path, digest="sha256:0")
    with pytest.raises(InputError, match=r"there is no variant 'int8'; expected none: a plain \.onnx file"):
        edge_runtime.load(path, variant="int8")


def test_a_plain_graph_that_gives_no_tensors_is_refused_with_advice(tmp_path: Path) -> None:
    """As skl2onnx writes classifiers unless told otherwise."""
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    number = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, number))
    y = helper.make_value_info("y", maps)
    opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=8)
    path = plain(tmp_path, bytes(model.SerializeToString()))
    with pytest.raises(UnsupportedModelError, match="zipmap") as caught:
        edge_runtime.load(path)
    assert str(caught.value).startswith(f"{path}: ")


# ---- Many threads.


@pytest.mark.parametrize("name", EXACT)
def test_many_threads_may_ask_at_once(trained: dict[str, Any], name: str) -> None:
    """Eight of them, one row and many rows, on one model: the answers of one after the other."""
    frame = trained[name].frame
    model = edge_runtime.load(trained[name].bundle, threads=2)
    records = records_of(frame)
    wanted = model.predict(frame)
    large = pd.concat([frame] * 20)
    ready = threading.Barrier(8)

    def ask(number: int) -> bool:
        ready.wait(20)
        mine = list(range(number, len(records), 8))
        good = [same(model.predict_one(records[i]), row_of(wanted, i)) for i in mine * 3]
        good.append(same(model.predict(frame.iloc[mine]), taken(wanted, mine)))
        if number < 3:
            good.append(same(taken(model.predict(large), slice(len(frame))), wanted))
        return all(good)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [True] * 8


def row_of(outputs: Arrays, i: int) -> dict[str, Any]:
    return {name: array[i] for name, array in outputs.items()}


def test_refused_rows_of_one_thread_do_not_reach_another(trained: dict[str, Any]) -> None:
    """Half of the threads ask nonsense."""
    model = edge_runtime.load(trained["flights"].bundle)
    records = records_of(trained["flights"].frame)[:100]
    wanted = [model.predict_one(record) for record in records]

    def ask(number: int) -> int:
        wrong = 0
        for record, answer in zip(records * 5, wanted * 5, strict=True):
            if number % 2:
                try:
                    model.predict_one(record | {"carrier": 1.0})
                except InputError:
                    continue
                wrong += 1
            else:
                wrong += model.predict_one(record) != answer
        return wrong

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))) == [0] * 6


LEFT = """
import sys, threading
from pathlib import Path
import pandas as pd
import edge_runtime

def running():
    tasks = Path("/proc/self/task")
    return threading.active_count(), len(list(tasks.iterdir())) if tasks.exists() else 0

frame = pd.concat([pd.read_pickle(sys.argv[2])] * 20)
before = running()
model = edge_runtime.load(sys.argv[1], threads=3)
model.predict(frame)
print(before, running())
"""


def test_no_thread_is_left(trained: dict[str, Any], tmp_path: Path) -> None:
    """Neither after loading nor after predicting; an idle model costs nothing. In a process where nobody else starts
    any."""
    trained["flights"].frame.to_pickle(tmp_path / "rows.pkl")
    command = [sys.executable, "-P", "-c", LEFT, trained["flights"].bundle, tmp_path / "rows.pkl"]
    before, after = re.findall(r"\(.*?\)", subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert after == before


def test_a_model_is_freed(trained: dict[str, Any]) -> None:
    """With its session, once nobody holds it."""
    model = edge_runtime.load(trained["flights"].bundle)
    model.predict_one(records_of(trained["flights"].frame)[0])
    gone = weakref.ref(model), weakref.ref(model.session)
    del model
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


# ---- After a fork. In processes of their own: a test runner that forks is in nobody's interest.

FORK = """
import json, multiprocessing, os, sys, threading
import numpy as np
import edge_runtime as er

path, threads, rows = sys.argv[1], int(sys.argv[2]), json.loads(sys.stdin.read())
model = er.load(path, threads=threads)
table = bool(model.schema.columns)
rows = rows if table else [{k: np.array(v, np.float32) for k, v in row.items()} for row in rows]
bulk = rows * 40 if table else {k: np.stack([row[k] for row in rows] * 40) for k in rows[0]}
f = model.predict_one
never_used = er.load(path, threads=threads)


def answers(model=model, ask=None):
    ask = ask or model.predict_one
    many = {name: array.tolist() for name, array in model.predict(bulk).items()}
    return json.dumps([[ask(row) for row in rows], many])


wanted = answers()
session, slot = model.session, getattr(model._local, "slot", None)
worker = threading.Thread(target=answers)
worker.start(); worker.join()
busy = threading.Thread(target=lambda: [answers() for _ in range(3)])
if "busy" in sys.argv:
    busy.start()


def child():
    assert answers() == wanted
    assert answers(ask=f) == wanted
    assert model.session is not session  # whose threads are not here
    assert slot is None or model._local.slot is not slot
    assert answers(never_used) == wanted
    found = []
    other = threading.Thread(target=lambda: found.append(answers()))
    other.start(); other.join()
    assert found == [wanted]
    assert er.load(path).predict_one(rows[0]) == f(rows[0])


def forked(then):
    pid = os.fork()
    if pid == 0:
        then()
        sys.stdout.flush()
        if "os._exit" in sys.argv:
            os._exit(7)
        sys.exit(7)  # with all that an interpreter does when it ends
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


forked(child)
forked(lambda: None)  # a child that does not ask
forked(lambda: (child(), forked(child)))  # a child's child
if "busy" in sys.argv:
    busy.join()
process = multiprocessing.get_context("fork").Process(target=child)
process.start(); process.join()
assert process.exitcode == 0
assert answers() == wanted  # and the parent goes on
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("threads", "how"), [(1, "exit"), (3, "exit"), (3, "os._exit"), (2, "busy")])
@pytest.mark.parametrize("kind", ["flights", "image"])
def test_a_child_process_answers_alike(
    tmp_path: Path, graph_of: GraphOf, trained: dict[str, Any], kind: str, threads: int, how: str
) -> None:
    """After the parent has used the model, in threads too: one row, a stored function, bulk, and the child ends."""
    if kind == "flights":
        path, rows = trained["flights"].bundle, records_of(trained["flights"].frame)[:150]
    else:  # its session has threads of its own
        path = plain(tmp_path, Image.graph(graph_of))
        rows = [{"image": picture.tolist()} for picture in Image.pictures(3)]
    # Python 3.12 warns of a fork beside threads: that is what is tested.
    command = [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", FORK, str(path), str(threads), how]
    done = subprocess.run(command, input=json.dumps(rows), capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_usable_cores_are_the_default(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the caller says how many."""
    monkeypatch.setattr(parallel, "usable_cores", lambda: 5)
    assert edge_runtime.load(small_bundle)._threads == 5
    assert edge_runtime.load(small_bundle, threads=2)._threads == 2
