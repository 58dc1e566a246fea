"""Bound calls: the graph's own answers, through arrays that are filled and read in place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from edge_runtime.binding import Call
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.schema import TENSOR_DTYPES
from edge_runtime.session import inputs_of, open_session, outputs_of

GraphOf = Callable[..., bytes]
Bound = Callable[..., Call]


@pytest.fixture
def bound() -> Bound:
    """bound(graph, rows, shapes) -> a call over a session of its own."""

    def make(raw: bytes, rows: int = 1, **shapes: tuple[int, ...]) -> Call:
        session = open_session(raw, threads=1, largest_tensor=0)
        return Call(session, inputs_of(session), outputs_of(session), rows, shapes)

    return make


@pytest.fixture
def affine(graph_of: GraphOf) -> bytes:
    """y = x @ w, z = x + 1 over [N, 3] float64."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Add", ["x", "one"], ["z"])]
    out = [("y", "float64", [None, 2]), ("z", "float64", [None, 3])]
    return graph_of(nodes, [("x", "float64", [None, 3])], out, {"w": np.arange(6.0).reshape(3, 2), "one": np.ones(3)})


@pytest.mark.parametrize("rows", [1, 2, 7, 4097])
def test_a_bound_call_gives_the_bits_of_a_run(bound: Bound, affine: bytes, rows: int) -> None:
    """For any number of rows, call after call."""
    call = bound(affine, rows)
    session = onnxruntime.InferenceSession(affine, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(rows)
    for _ in range(3):
        call.inputs["x"][...] = random.normal(size=(rows, 3))
        found = call()
        for name, wanted in zip(("y", "z"), session.run(None, {"x": call.inputs["x"]}), strict=True):
            assert found[name].tobytes() == wanted.tobytes()


def test_arrays_are_the_same_from_call_to_call(bound: Bound, affine: bytes) -> None:
    """Outputs are views that the next call overwrites; inputs start at zero and stay as they were left."""
    call = bound(affine)
    assert call.inputs["x"].tolist() == [[0.0, 0.0, 0.0]]
    first = call()
    kept = first["z"].copy()
    call.inputs["x"][0, 2] = 3.0
    second = call()
    assert second is first is call.outputs
    assert (kept.tolist(), first["z"].tolist()) == ([[1.0, 1.0, 1.0]], [[1.0, 1.0, 4.0]])
    assert call.inputs["x"].tolist() == [[0.0, 0.0, 3.0]]


def test_calls_do_not_share_their_arrays(affine: bytes) -> None:
    """One object for each thread, any number of them over one session."""
    session = open_session(affine, threads=1, largest_tensor=0)
    wrong: list[int] = []

    def ask(number: int) -> None:
        call = Call(session, inputs_of(session), outputs_of(session), 1, {})
        for _ in range(500):
            call.inputs["x"][...] = number
            if call()["z"].tolist() != [[number + 1.0] * 3]:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_parts_are_the_call_spelt_out(bound: Bound, affine: bytes) -> None:
    """For callers that save the frame of a call."""
    call = bound(affine)
    run, binding, options = call.parts
    call.inputs["x"][...] = 1.0
    run(binding, options)
    assert call.outputs["z"].tolist() == [[2.0, 2.0, 2.0]]


@pytest.mark.parametrize("dtype", sorted(TENSOR_DTYPES - {"str"}))
@pytest.mark.parametrize("shape", [[], [2], [2, 3]])
def test_every_dtype_and_a_scalar_can_be_bound(bound: Bound, graph_of: GraphOf, dtype: str, shape: list[int]) -> None:
    """Bits go in and come out."""
    raw = graph_of([helper.make_node("Identity", ["x"], ["y"])], [("x", dtype, shape)], [("y", dtype, shape)])
    call = bound(raw)
    assert (call.inputs["x"].dtype, call.inputs["x"].shape) == (np.dtype(dtype), tuple(shape))
    call.inputs["x"][...] = np.array([1, 0, 1, 1, 0, 1])[: call.inputs["x"].size].reshape(shape)
    assert call()["y"].tobytes() == call.inputs["x"].tobytes()
    assert call.outputs["y"].shape == tuple(shape)


def test_free_axes_need_shapes(bound: Bound, graph_of: GraphOf) -> None:
    """Rows are the first axis; what else is free has to be said, and what is fixed cannot be."""
    raw = graph_of(
        [helper.make_node("Add", ["x", "y"], ["z"])],
        [("x", "float32", ["n", 3, "t"]), ("y", "float32", [1, 3, "t"])],
        [("z", "float32", ["n", 3, "t"])],
    )
    call = bound(raw, x=(2, 3, 5), y=(1, 3, 5))
    assert call.outputs["z"].shape == (2, 3, 5)
    for shapes, says in (
        ({}, r"the tensor has free axes \(column 'x'\); expected shapes={'x': …} for \(None, 3, None\)"),
        ({"x": (2, 3, 5)}, r"the tensor has free axes \(column 'y'\)"),
        ({"x": (2, 4, 5), "y": (1, 3, 5)}, r"shape \(2, 4, 5\) \(column 'x'\); expected shape \(None, 3, None\)"),
        ({"x": (2, 3), "y": (1, 3, 5)}, r"shape \(2, 3\)"),
        ({"x": (2, 3, -5), "y": (1, 3, 5)}, r"shape \(2, 3, -5\)"),
        ({"x": (2, 3, 5), "y": (2, 3, 5)}, r"shape \(2, 3, 5\) \(column 'y'\)"),
        ({"x": (2, 3, 5), "y": (1, 3, 4)}, "the graph cannot be run on it: .*; expected sizes and values"),
        ({"x": (2, 3, 5), "y": (1, 3, 5), "w": (1,)}, r"unknown tensor \(column 'w'\)"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            bound(raw, **shapes)
        assert "\n" not in str(caught.value)


def test_outputs_have_the_shapes_that_a_run_gives(bound: Bound, graph_of: GraphOf) -> None:
    """Where the graph does not say them, where it has more rows than the input, and where it says them wrongly."""
    nodes = [
        helper.make_node("Concat", ["x", "x"], ["twice"], axis=0),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    out: list[Any] = [("twice", "float32", [None, 2]), ("sum", "float32", []), ("same", "float32", [None, None])]
    call = bound(graph_of(nodes, [("x", "float32", [None, 2])], out), 3)
    call.inputs["x"][...] = 1.0
    found = call()
    assert {name: array.shape for name, array in found.items()} == {"twice": (6, 2), "sum": (), "same": (3, 2)}
    assert found["sum"] == 6.0


def test_an_output_that_changes_its_shape_is_refused(bound: Bound, graph_of: GraphOf) -> None:
    """What depends on the values does not fit into an array made before: an error, never a wrong view."""
    raw = graph_of([helper.make_node("NonZero", ["x"], ["y"])], [("x", "float32", [4])], [("y", "int64", [1, None])])
    call = bound(raw)
    assert call()["y"].shape == (1, 0)
    call.inputs["x"][...] = 1.0
    with pytest.raises(InputError, match="the graph cannot be run on it") as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", ["input", "output"])
def test_text_cannot_be_bound(bound: Bound, graph_of: GraphOf, side: str) -> None:
    """Its bytes do not lie in the tensor."""
    node = helper.make_node("Cast", ["x"], ["y"], to=1 if side == "input" else 8)
    ends = ("str", "float32") if side == "input" else ("float32", "str")
    raw = graph_of([node], [("x", ends[0], [None])], [("y", ends[1], [None])])
    with pytest.raises(UnsupportedModelError, match="is text, which cannot be bound; use run or predict"):
        bound(raw)
