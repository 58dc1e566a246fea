"""Networks: tensors instead of rows, variants with golden answers of their own, batches of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import edge_runtime
from edge_runtime.benchmarks import measure, sweep
from edge_runtime.benchmarks.__main__ import main
from edge_runtime.benchmarks.opening import open_target
from edge_runtime.bundle import Bundle
from edge_runtime.ending import Ending
from edge_runtime.errors import InputError, VariantWarning
from edge_runtime.golden import Sample, encode, encode_answers
from edge_runtime.manifest import Certificate, Manifest, Variant
from edge_runtime.schema import Schema, TensorSpec

NETWORK = Schema((), (TensorSpec("x", "float32", (None, 4)),), (TensorSpec("y", "float32", (None, 4)),))
FEEDS = [{"x": np.arange(i, i + 4, dtype=np.float32)[None]} for i in range(3)]
Graph = Callable[..., bytes]


def graph(graph_of: Graph, *nodes: str) -> bytes:
    """`y` is `x` after these operators, one after the other."""
    names = ["x", *(f"h{i}" for i in range(len(nodes) - 1)), "y"]
    made = [helper.make_node(node, [names[i]], [names[i + 1]]) for i, node in enumerate(nodes)]
    return graph_of(made, [("x", "float32", [None, 4])], [("y", "float32", [None, 4])])


@pytest.fixture
def bundle_of(tmp_path: Path, graph_of: Graph) -> Callable[..., Path]:
    """bundle_of(off=0.0, feeds=FEEDS) -> a bundle whose first variant answers |x|, as it says itself, within 0.01 of
    ``off`` more than that, and whose second one answers x, as the golden samples say."""

    def make(off: float = 0.0, feeds: list[dict[str, Any]] = FEEDS) -> Path:
        negative = [{"x": -feed["x"] - 1} for feed in feeds]
        samples = [Sample(feed, {"y": feed["x"]}) for feed in negative]
        own = [{"y": np.abs(feed["x"]) + off} for feed in negative]
        contents = {
            **encode(samples, NETWORK), "golden/small.json": encode_answers(own, NETWORK),
            "small.onnx": graph(graph_of, "Abs"), "graph.onnx": graph(graph_of, "Neg", "Neg"),
        }  # fmt: skip
        exact = Variant("float32", "graph.onnx", "float32", 4096, False)
        small = replace(exact, name="small", graph="small.onnx", golden="golden/small.json", tolerance={"y": 0.01})
        manifest = Manifest(
            "net", "1", "2026-01-02T03:04:05Z", NETWORK, Ending("graph"), (small, exact),
            Certificate(0, 0, {}, {"y": 1e-5}, ()), {}, "golden.json", (),
        )  # fmt: skip
        path = tmp_path / f"net{off}.edge"
        Bundle.write(path, manifest, contents)
        return path

    return make


@pytest.mark.parametrize("off", [0.0, 0.005])
def test_a_variant_is_held_against_its_own_answers(bundle_of: Callable[..., Path], off: float) -> None:
    """Within its own tolerance; asked for by name, without one, and with its own bundle as the file of rows."""
    path = str(bundle_of(off))
    for name, inputs in ((path, None), (path, path), (f"{path}#float32", None), (f"{path}#float32", path)):
        run = measure(name, seconds=0.02, inputs=inputs)
        assert run.answers_right is True
        assert run.answers_checked >= 64


def test_another_bundle_gives_rows_and_no_answers(bundle_of: Callable[..., Path], tmp_path: Path) -> None:
    """Its answers are another model's. A plain graph is asked with the same rows, like for like."""
    path, other = str(bundle_of()), str(bundle_of(0.005))
    target = open_target(path, inputs=other)
    assert target.check is None
    assert target.work == f"run, 3 golden rows of {other} in turn"
    (tmp_path / "bare.onnx").write_bytes(Bundle.open(path).read("graph.onnx"))
    bare = open_target(str(tmp_path / "bare.onnx"), inputs=path)
    assert bare.work == open_target(path, inputs=path).work
    assert bare.check is None


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_batches_of_samples_are_checked_while_timing(bundle_of: Callable[..., Path], rows: int) -> None:
    """Each against the right answers to its samples, at the places that were kept."""
    opened = open_target(str(bundle_of(0.005)))
    assert opened.batch is not None
    target = opened.batch(rows)
    assert target.check is not None
    call = target.new_call()
    for number in range(target.rotation):
        answer: Any = call()
        assert answer["y"].shape == (rows, 4)
        assert target.check(number, answer) is True
        assert target.check(number, {"y": answer["y"] + 1}) is False
        assert target.check(number, {"y": answer["y"][:-1]}) is False
    assert measure(opened, "offline", batch=rows, seconds=0.02).answers_right is True


def test_one_golden_sample_is_not_repeated(bundle_of: Callable[..., Path]) -> None:
    """Others are made of it, whose answers nobody knows."""
    target = open_target(str(bundle_of(feeds=FEEDS[:1])))
    assert (target.rotation, target.work) == (16, "run, 1 golden row and 15 made of it in turn")
    assert target.check is not None
    call = target.new_call()
    assert [target.check(i, call()) for i in range(16)] == [True] + [None] * 15
    run = measure(target, seconds=0.05)
    assert run.answers_right is True
    assert 0 < run.answers_checked < len(run.latency_ns)


def test_a_variant_that_is_wrong_here_is_left_out(bundle_of: Callable[..., Path], capsys: Any) -> None:
    """The one that answers is measured, after one line of warning; in a sweep it is refused; by its name, status 1."""
    path = str(bundle_of(1.0))
    assert main([path, "--scenario", "single-stream", "--seconds", "0.04", "--processes", "1", "--csv"]) == 0
    told = capsys.readouterr().err
    assert told.startswith("edge-bench: warning: ")
    assert "variant 'small' is left out here, 'float32' answers" in told
    assert told.count("\n") == 1
    assert main([f"{path}#small"]) == 1
    with pytest.warns(VariantWarning):
        found = sweep(path, "variant", seconds=0.04)
    assert found.usual == "float32"
    assert [point.refused is None for point in found.points] == [False, True]


def test_samples_of_a_file_are_asked_one_by_one(bundle_of: Callable[..., Path], tmp_path: Path) -> None:
    """With or without an axis for the row of each; arrays that are no inputs are passed over, others are missed."""
    path, file = str(bundle_of()), tmp_path / "samples.npz"
    for shape in ((5, 4), (5, 1, 4)):
        np.savez(file, x=np.ones(shape, np.float32), target=np.zeros(5))
        target = open_target(path, inputs=str(file))
        answer: Any = target.new_call()()
        assert (target.rotation, answer["y"].shape) == (5, (1, 4))
    for arrays, says in (({"z": np.ones(3)}, "a tensor is not there"), ({"x": np.ones(3)}, r"has the shape \[3\]"),
                         ({"x": np.ones((0, 4))}, "there are no samples")):  # fmt: skip
        np.savez(file, **arrays)
        with pytest.raises(InputError, match=says):
            open_target(path, inputs=str(file))


def test_large_batches_are_not_tried_unasked(bundle_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of which a call takes too long for a curve, or that would fill the memory; whoever names them gets them."""
    monkeypatch.setattr("edge_runtime.benchmarks.sweeping.BATCHES", (1, 4096))
    monkeypatch.setattr("edge_runtime.benchmarks.sweeping.LONGEST_CALL_NS", 1)
    found = sweep(str(bundle_of()), "batch", seconds=0.04)
    assert found.points[0].run is not None
    assert "--sweep batch=4096 tries it" in (found.points[1].refused or "")
    opened = open_target(str(bundle_of()))
    assert opened.batch is not None
    with pytest.raises(InputError, match=r"8,000,000 rows are 128,000,000 bytes; expected 64,000,000 bytes"):
        opened.batch(8_000_000)
    assert edge_runtime.load(bundle_of()).variant == "small"
