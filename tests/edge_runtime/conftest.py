"""What tests of the runtime share: models made by hand that show what entered their graph, and small trained ones.

Belongs here: fixtures that more than one file of this folder uses. Not here: bundles that other folders use too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundle import Bundle
from edge_runtime.ending import Ending
from edge_runtime.golden import Sample, encode, encode_answers
from edge_runtime.manifest import Certificate, Manifest, Variant
from edge_runtime.model import Model
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec
from edge_runtime.session import open_session

Mirror = Callable[..., Model]


@pytest.fixture(scope="session")
def mirror(graph_of: Callable[..., bytes]) -> Mirror:
    """mirror(columns, dtype) -> a model that answers with the very numbers that entered its one tensor `x`."""

    def make(columns: Sequence[ColumnSpec], dtype: str = "float64", *, threads: int = 1) -> Model:
        width = len(columns)
        cast = helper.make_node("Cast", ["x"], ["raw"], to=11)  # to float64
        raw = graph_of([cast], [("x", dtype, [None, width])], [("raw", "float64", [None, width])])
        ending = Ending("identity")
        schema = Schema(tuple(columns), (TensorSpec("x", dtype, (None, width)),), ending.outputs(width))
        schema.check()
        return Model(raw, schema, ending, Variant("exact", "g", dtype, 4096, True), threads)

    return make


@dataclass(frozen=True)
class Trained:
    """A bundle made of a trained model, and rows for it as a pandas frame."""

    bundle: Path
    frame: Any


@pytest.fixture(scope="session")
def trained(flights: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """One model of each way in which the runtime answers: boosted trees behind text and missing values (logistic), a
    forest's votes over float32 (share), several raw sums (softmax), a decision, a number, and a graph left as it is."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from edge_runtime.converters import Decision, convert

    random = np.random.default_rng(5)
    frame = pd.DataFrame(random.normal(size=(300, 4)).astype("float32"), columns=["a", "b", "c", "d"])
    kind = np.array(["low", "mid", "high"])[np.digitize(frame["a"] + frame["b"] * frame["c"], [-0.5, 0.5])]
    yes = (frame["a"] > frame["d"]).to_numpy()
    folder = tmp_path_factory.mktemp("trained")
    made = {"flights": Trained(flights.bundle, flights.frame)}
    for name, source, target, decision in (
        ("forest", RandomForestClassifier(10, max_depth=5, random_state=0), kind, None),
        ("softmax", LogisticRegression(), kind, None),
        (
            "decision",
            HistGradientBoostingClassifier(max_iter=10, random_state=0),
            yes,
            Decision("score", "is_yes", 0.3),
        ),
        ("number", GradientBoostingRegressor(n_estimators=10, random_state=0), frame["a"] * 3, None),
        (
            "as it is",
            make_pipeline(make_column_transformer((StandardScaler(), ["a", "b", "c"])), GaussianNB()),
            kind,
            None,
        ),
    ):
        conversion = convert(source.fit(frame, target), data=frame, name=name, version="1.0", decision=decision)
        path = folder / f"{name}.edge"
        conversion.save(path)
        made[name] = Trained(path, frame)
    return made


WIDE = 32
NETWORK = Schema((), (TensorSpec("x", "float32", (None, WIDE)),), (TensorSpec("y", "float32", (None, 4)),))
WEIGHTS = np.random.default_rng(3).normal(size=(WIDE, 4)).astype(np.float32)
FEEDS = [{"x": np.random.default_rng(i).normal(size=(1 + i % 3, WIDE)).astype(np.float32)} for i in range(6)]


def network(nodes: Sequence[Any], weights: dict[str, NDArray[Any]], *, output: str = "y") -> bytes:
    """The bytes of a graph from x, float32 [N, 32], to ``output``, float32 [N, 4]."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, WIDE])
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 4])
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def float_network(*, factor: float = 1.0, detours: int = 0, size: int = 600, output: str = "y") -> bytes:
    """y = x @ w; ``detours`` products of matrices that are added as 0 make it slow, and change no bit."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y0" if detours else output])]
    weights: dict[str, NDArray[Any]] = {"w": WEIGHTS * np.float32(factor)}
    if detours:
        nodes += [
            helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
            helper.make_node("Mul", ["m", "nothing"], ["n"]),
            helper.make_node("Expand", ["n", "size"], ["a0"]),
            *(helper.make_node("MatMul", [f"a{i}", f"a{i}"], [f"a{i + 1}"]) for i in range(detours)),
            helper.make_node("ReduceMax", [f"a{detours}"], ["z"], keepdims=0),
            helper.make_node("Add", ["y0", "z"], [output]),
        ]
        weights |= {"size": np.array([size, size], np.int64), "nothing": np.zeros((), np.float32)}
    return network(nodes, weights, output=output)


def int8_network(*, saturated: bool = False) -> bytes:
    """x @ w with 8-bit weights and activations. ``saturated``: as a processor would answer whose 16-bit sums of two
    products end at 32,767, which is played by weights that are cut off."""
    scale = np.abs(WEIGHTS).max(0) / 127
    weights = np.round(WEIGHTS / scale).astype(np.int8)
    if saturated:
        weights = weights.clip(-64, 64)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], axis=1),
        helper.make_node("MatMul", ["xd", "wd"], ["y"]),
    ]
    return network(
        nodes,
        {
            "xs": np.array(4 / 127, np.float32), "xz": np.array(128, np.uint8), "wq": weights,
            "ws": scale.astype(np.float32), "wz": np.zeros(4, np.int8),
        },
    )  # fmt: skip


def nan_network() -> bytes:
    """0 / 0 for each value."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y0"]),
        helper.make_node("Sub", ["y0", "y0"], ["none"]),
        helper.make_node("Div", ["none", "none"], ["y"]),
    ]
    return network(nodes, {"w": WEIGHTS})


def crashing_network() -> bytes:
    """The smallest int64 divided by -1 ends a process with SIGFPE; the graph is one that may be opened."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y0"]),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Sub", ["s", "s"], ["none"]),
        helper.make_node("Add", ["none", "smallest"], ["a"]),
        helper.make_node("Div", ["a", "minus"], ["b"]),
        helper.make_node("ReduceMax", ["b"], ["c"], keepdims=0),
        helper.make_node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["y0", "d"], ["y"]),
    ]
    return network(nodes, {"w": WEIGHTS, "smallest": np.array(-(2**63)), "minus": np.array(-1)})


def answers_of(graph: bytes) -> list[dict[str, NDArray[Any]]]:
    """What ``graph`` answers to FEEDS here."""
    session = open_session(graph, threads=1, largest_tensor=0)
    return [{"y": session.run(None, feed)[0]} for feed in FEEDS]


Several = Callable[..., Path]


@pytest.fixture
def several(tmp_path: Path) -> Several:
    """several(float32=graph, int8=(graph, answers), …) -> the path of a bundle with these variants, in this order. One
    with answers of its own may differ from them by 0.001, the others from what float_network() answers by 0.00001."""

    def write(file: str = "several.edge", **graphs: bytes | tuple[bytes, list[dict[str, NDArray[Any]]]]) -> Path:
        samples = [Sample(feed, answer) for feed, answer in zip(FEEDS, answers_of(float_network()), strict=True)]
        contents, variants = encode(samples, NETWORK), []
        for name, given in graphs.items():
            graph, own = given if isinstance(given, tuple) else (given, None)
            contents[f"{name}.onnx"] = graph
            variant = Variant(name, f"{name}.onnx", name, 4096, False)
            if own is not None:
                variant = replace(variant, golden=f"golden/{name}.json", tolerance={"y": 1e-3})
                contents[variant.golden] = encode_answers(own, NETWORK)
            variants.append(variant)
        certificate = Certificate(0, 0, {}, {"y": 1e-5}, ())
        manifest = Manifest(
            "several", "1.0", "2026-01-02T03:04:05Z", NETWORK, Ending("graph"), tuple(variants), certificate, {},
            "golden.json", (),
        )  # fmt: skip
        Bundle.write(tmp_path / file, manifest, contents)
        return tmp_path / file

    return write


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, so that no test sees what another one, or this machine, remembers."""
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
