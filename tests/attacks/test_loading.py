"""Hostile bundles that are whole and well-formed: each numbered abuse that only loading can see, with its verdict.

The container, `edge.json` and the graph of each pass their own checks; what is wrong is how they go together, what the
graph does when it is run, or what the golden rows say. Hostile files stand in test_bundle_attacks.py, hostile graphs in
test_graph_attacks.py. At the end: what loading and predicting do to the machine, seen from outside.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import edge_runtime
from edge_runtime import canonical, container
from edge_runtime.bundle import Bundle, describe
from edge_runtime.ending import Decision, Ending
from edge_runtime.errors import BundleError, EdgeError, IntegrityError
from edge_runtime.golden import Sample
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec

GraphOf = Callable[..., bytes]
WriteBundle = Callable[..., Path]


class Kit:
    """What attacks are made with: an honest bundle of each kind, one part of which is replaced."""

    def __init__(self, graph_of: GraphOf, write_bundle: WriteBundle) -> None:
        self.graph_of, self.write_bundle = graph_of, write_bundle

    # A table: raw = x @ w over [N, 3] float64.

    columns = tuple(ColumnSpec(name, "float64", True, "x", i, -inf, inf) for i, name in enumerate("abc"))
    row: ClassVar[dict[str, Any]] = {"a": 1.0, "b": 2.0, "c": 3.0}

    def gemm(self, rows: Any = None, width: int = 3, k: int = 1, x: str = "x", dtype: str = "float64") -> bytes:
        weights = np.ones((width, k), dtype)
        nodes = [helper.make_node("MatMul", [x, "w"], ["m"]), helper.make_node("Cast", ["m"], ["raw"], to=11)]
        return self.graph_of(nodes, [(x, dtype, [rows, width])], [("raw", "float64", [rows, k])], {"w": weights})

    def table(
        self,
        graph: bytes | None = None,
        *,
        columns: tuple[ColumnSpec, ...] | None = None,
        inputs: tuple[TensorSpec, ...] = (TensorSpec("x", "float64", (None, 3)),),
        ending: Ending | None = None,
        outputs: tuple[TensorSpec, ...] | None = None,
        rows: int = 2,
        **golden: Any,
    ) -> Path:
        """``golden``: fields of the recorded rows and outputs, or the whole of golden.json as `json`."""
        ending = ending or Ending("identity")
        schema = Schema(
            self.columns if columns is None else columns, inputs,
            (TensorSpec("prediction", "float64", (None,)),) if outputs is None else outputs,
        )  # fmt: skip
        document = {
            "rows": [{**self.row, **golden.get("row", {})}] * rows,
            "outputs": [{"prediction": 6.0, **golden.get("output", {})}] * rows,
        }
        raw = golden["json"] if "json" in golden else json.dumps(document).encode()
        return self.write_bundle(graph or self.gemm(), schema, ending, golden=raw)

    def sums(self, y: str, *, dtype: str = "float64", shape: tuple[Any, ...] = (None, 1)) -> bytes:
        """The sum of the three columns under the name ``y``, of this dtype and this declared shape."""
        nodes = [
            helper.make_node("ReduceSum", ["x", "axes"], ["s"], keepdims=len(shape) - 1),
            helper.make_node("CastLike", ["s", "like"], [y]),
        ]
        weights = {"axes": np.array([1]), "like": np.zeros(1, dtype)}
        return self.graph_of(nodes, [("x", "float64", [None, 3])], [(y, dtype, list(shape))], weights)

    def some(self, *which: bool, width: int | None) -> bytes:
        """The columns picked by ``which``: how many, only a run can tell; ``width`` is what is declared."""
        node = helper.make_node("Compress", ["x", "which"], ["raw"], axis=1)
        ends = [("x", "float64", [None, 3])], [("raw", "float64", [None, width])]
        return self.graph_of([node], *ends, {"which": np.array(which)})

    def two_outputs(self) -> bytes:
        nodes = [helper.make_node("Identity", ["x"], ["raw"]), helper.make_node("Neg", ["x"], ["more"])]
        out = [(name, "float64", [None, 3]) for name in ("raw", "more")]
        return self.graph_of(nodes, [("x", "float64", [None, 3])], out)

    def two_inputs(self) -> bytes:
        ends = [("x", "float64", [None, 3]), ("w", "float64", [3, 1])], [("raw", "float64", [None, 1])]
        return self.graph_of([helper.make_node("MatMul", ["x", "w"], ["raw"])], *ends)

    def sequence(self) -> bytes:
        """A graph whose output is a list of tensors."""
        node = helper.make_node("SplitToSequence", ["x"], ["y"], axis=0)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
        y = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
        graph, opsets = helper.make_graph([node], "g", [x], [y]), [helper.make_opsetid("", 17)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())

    def run(self, *nodes: tuple[Any, ...], **weights: Any) -> Path:
        """A table whose graph goes from m = a + b + c, [N, 1], to raw by ``nodes``: (operator, inputs, output)."""
        made = [helper.make_node("MatMul", ["x", "w"], ["m"])]
        made += [
            helper.make_node(kind, given.split(), [out], **(more[0] if more else {}))
            for kind, given, out, *more in nodes
        ]
        held = {"w": np.ones((3, 1)), **weights}
        return self.table(self.graph_of(made, [("x", "float64", [None, 3])], [("raw", "float64", [None, 1])], held))

    # Tensors: y = x + 1 over [N, 2] float32.

    def tensors(
        self,
        *,
        given: Any = None,
        change: Callable[[Any], None] | None = None,
        outputs: tuple[TensorSpec, ...] = (TensorSpec("y", "float32", (None, 2)),),
        inputs: tuple[TensorSpec, ...] = (TensorSpec("x", "float32", (None, 2)),),
        graph: bytes | None = None,
    ) -> Path:
        """One golden sample, whose description ``change`` works on."""
        node = helper.make_node("Add", ["x", "one"], ["y"])
        ends = [("x", "float32", [None, 2])], [("y", "float32", [None, 2])]
        graph = graph or self.graph_of([node], *ends, {"one": np.ones(1, np.float32)})
        x = np.zeros((2, 2), np.float32) if given is None else given
        sample = Sample({"x": x}, {"y": np.ones((2, 2), np.float32)})
        schema = Schema((), inputs, outputs)
        path = self.write_bundle(graph, schema, None, [sample])
        if change is None:
            return path
        document = json.loads(Bundle.open(path).read("golden.json"))
        change(document["samples"][0])
        return self.write_bundle(graph, schema, None, [sample], golden=json.dumps(document).encode())


Forge = Callable[[Kit], Path]


def at(*path: Any, to: Any) -> Callable[[Any], None]:
    """Set the value at ``path``."""

    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return change


def one_column(dtype: str, tensor: str, **more: Any) -> Forge:
    """A column of ``dtype`` in a tensor of ``tensor``."""
    low, high = (None, None) if dtype in ("str", "bool") else (-inf, inf)
    column = ColumnSpec("a", dtype, True, "x", 0, low, high, **more)

    def forge(kit: Kit) -> Path:
        node = helper.make_node("Cast", ["x"], ["raw"], to=TensorProto.DOUBLE)
        graph = kit.graph_of([node], [("x", tensor, [None, 1])], [("raw", "float64", [None, 1])])
        return kit.table(graph, columns=(column,), inputs=(TensorSpec("x", tensor, (None, 1)),), rows=0)

    return forge


def ending(kind: str, *classes: str, k: int, **more: Any) -> Forge:
    """An ending over ``k`` raw sums."""
    dtype = "str" if classes else None
    made = Ending(kind, 1.0, classes or None, dtype, **more)
    return lambda kit: kit.table(kit.gemm(k=k), ending=made, rows=0)


LABELS = (TensorSpec("label", "str", (None,)), TensorSpec("probabilities", "float64", (None, 2)))
TWO = Ending("logistic", 1.0, ("no", "yes"), "str")
INT64 = TensorProto.INT64
INPUTS, OUTPUTS = "edge.json declares other inputs than the graph has$", "edge.json declares other outputs than"
SHAPES = "edge.json declares other output shapes than the model gives$"
ONE_RAW = r"the ending wants a graph with the one output raw, float64 \[N, K\]$"
MALFORMED, NOT_SO = "golden rows are malformed", "the golden rows are not answered as recorded: golden "
NO_FIT, NO_RUN = "the golden rows do not fit the schema: ", "do not fit the schema: the graph cannot be run on it: "

ATTACKS: dict[str, tuple[Forge, type[BundleError], str]] = {
    # The schema is not the graph's.
    "1-another-input": (lambda kit: kit.table(kit.gemm(x="z")), BundleError, INPUTS),
    "2-another-dtype": (lambda kit: kit.table(kit.gemm(dtype="float32")), BundleError, INPUTS),
    "3-more-columns-in-the-graph": (lambda kit: kit.table(kit.gemm(width=4)), BundleError, INPUTS),
    "4-fewer-columns-in-the-graph": (lambda kit: kit.table(kit.gemm(width=2)), BundleError, INPUTS),
    "5-one-row-only": (lambda kit: kit.table(kit.gemm(rows=1)), BundleError, INPUTS),
    "6-an-input-too-many": (lambda kit: kit.table(kit.two_inputs()), BundleError, INPUTS),
    "7-an-input-too-few": (
        lambda kit: kit.table(
            columns=(*kit.columns, ColumnSpec("d", "bool", False, "z", 0)),
            inputs=(TensorSpec("x", "float64", (None, 3)), TensorSpec("z", "bool", (None,))),
        ),
        BundleError, INPUTS,
    ),
    "8-another-rank": (
        lambda kit: kit.table(columns=kit.columns[:1], inputs=(TensorSpec("x", "float64", (None,)),)), BundleError, INPUTS
    ),
    "9-tensors-of-another-size": (
        lambda kit: kit.tensors(inputs=(TensorSpec("x", "float32", (None, 2**60)),)), BundleError, INPUTS
    ),
    "10-another-output": (
        lambda kit: kit.tensors(outputs=(TensorSpec("z", "float32", (None, 2)),)), BundleError, OUTPUTS
    ),
    "11-another-output-dtype": (
        lambda kit: kit.tensors(outputs=(TensorSpec("y", "str", (None, 2)),)), BundleError, OUTPUTS
    ),
    "12-no-output": (lambda kit: kit.tensors(outputs=()), BundleError, OUTPUTS),
    "13-another-output-rank": (
        lambda kit: kit.tensors(outputs=(TensorSpec("y", "float32", (None,)),)), BundleError, SHAPES
    ),
    "14-an-output-of-an-exabyte": (
        lambda kit: kit.tensors(outputs=(TensorSpec("y", "float32", (None, 2**60)),)), BundleError, SHAPES
    ),
    # The ending is not the graph's, or its outputs are not those declared.
    "15-raw-under-another-name": (lambda kit: kit.table(kit.sums("sum")), BundleError, ONE_RAW),
    "16-raw-in-float32": (lambda kit: kit.table(kit.sums("raw", dtype="float32")), BundleError, ONE_RAW),
    "17-raw-without-an-axis": (lambda kit: kit.table(kit.sums("raw", shape=(None,))), BundleError, ONE_RAW),
    "18-raw-of-unknown-width": (lambda kit: kit.table(kit.some(True, width=None)), BundleError, ONE_RAW),
    "19-raw-of-no-width": (
        lambda kit: kit.table(kit.gemm(k=0), outputs=(TensorSpec("prediction", "float64", (None, 0)),)),
        BundleError, "the ending wants one raw sum or more$",
    ),
    "20-two-outputs": (lambda kit: kit.table(kit.two_outputs()), BundleError, ONE_RAW),
    "21-more-raw-sums-than-classes": (ending("softmax", "a", "b", k=3), BundleError, "2 classes do not go with 3 raw sums$"),
    "22-fewer-raw-sums-than-classes": (ending("share", "a", "b", "c", k=1), BundleError, "3 classes do not go with 1 raw"),
    "23-two-raw-sums-for-one-logistic": (ending("logistic", "a", "b", k=2), BundleError, "2 classes do not go with 2 raw"),
    "24-three-raw-sums-for-a-decision": (
        ending("share", "a", "b", k=3, decision=Decision("s", "d")), BundleError, "2 classes do not go with 3 raw sums$"
    ),
    "25-two-raw-sums-for-exp": (ending("exp", k=2), BundleError, "exp goes with one raw sum$"),
    "26-outputs-of-another-ending": (lambda kit: kit.table(ending=TWO), BundleError, OUTPUTS),
    "27-labels-of-another-dtype": (
        lambda kit: kit.table(ending=replace(TWO, classes=(0, 1), class_dtype="int64"), outputs=LABELS), BundleError, OUTPUTS
    ),
    "28-outputs-in-another-order": (lambda kit: kit.table(ending=TWO, outputs=LABELS[::-1]), BundleError, OUTPUTS),
    "29-a-decision-that-is-not-declared": (
        lambda kit: kit.table(ending=replace(TWO, decision=Decision("s", "d")), outputs=LABELS), BundleError, OUTPUTS
    ),
    "30-probabilities-of-another-width": (
        lambda kit: kit.table(ending=TWO, outputs=(LABELS[0], replace(LABELS[1], shape=(None, 3)))), BundleError, SHAPES
    ),
    "31-an-ending-without-a-table": (
        lambda kit: kit.table(columns=(), json=b'{"samples":[]}'), BundleError, "the ending goes with a table"
    ),
    # Columns that their tensor cannot hold.
    "32-unknown-text-in-unsigned": (
        one_column("str", "uint8", categories=("a",)), BundleError, "column 'a' of str cannot lie in a tensor of uint8$"
    ),
    "33-too-many-texts": (
        one_column("str", "int8", categories=tuple(map(str, range(129)))), BundleError, "cannot lie in a tensor of int8$"
    ),
    "34-text-without-categories": (one_column("str", "float64"), BundleError, "cannot lie in a tensor of float64$"),
    "35-a-float-among-integers": (one_column("float64", "int64"), BundleError, "cannot lie in a tensor of int64$"),
    "36-an-integer-as-a-bool": (one_column("int8", "bool"), BundleError, "cannot lie in a tensor of bool$"),
    "37-categories-beyond-float32": (
        one_column("float32", "float32", categories=(1e300,), open=False), BundleError, "categories beyond float32$"
    ),
    # The graph does not do what it declares, or fails when it is run.
    "38-more-answers-than-rows": (
        lambda kit: kit.run(("Concat", "m m", "raw", {"axis": 0})), BundleError, r"'raw' has the shape \[4, 1\] for 2 rows"
    ),
    "39-one-answer-for-all-rows": (
        lambda kit: kit.run(("ReduceSum", "m", "raw")), BundleError, r"'raw' has the shape \[1, 1\] for 2 rows"
    ),
    "40-answers-that-depend-on-each-other": (
        lambda kit: kit.run(("ReduceSum", "m", "all"), ("Sub", "m m", "o"), ("Add", "o all", "raw")),
        IntegrityError, NOT_SO + "row 0 in a table: prediction is 12.0, recorded 6.0$",
    ),
    "41-wider-answers-than-declared": (
        lambda kit: kit.table(kit.some(True, True, width=1)), BundleError, r"'raw' has the shape \[2, 2\] for 2 rows"
    ),
    "42-an-index-beyond-the-end": (
        lambda kit: kit.run(("Cast", "m", "i", {"to": INT64}), ("Gather", "t i", "raw"), t=np.ones(2)),
        IntegrityError, NO_RUN + ".*out of data bounds",
    ),
    "43-a-division-by-zero": (
        lambda kit: kit.run(
            ("Cast", "m", "i", {"to": INT64}), ("Sub", "i i", "o"), ("Div", "i o", "d"), ("CastLike", "d m", "raw")
        ),
        IntegrityError, NO_RUN + ".*division by zero",
    ),
    "44-a-petabyte-when-it-is-run": (
        lambda kit: kit.run(
            ("ReduceMax", "m", "r", {"keepdims": 0}), ("Cast", "r", "i", {"to": INT64}), ("Mul", "i huge", "n"),
            ("Expand", "one n", "e"), ("ReduceSum", "e", "raw"), huge=np.array([2**47, 1]), one=np.ones((1, 1)),
        ),
        IntegrityError, NO_RUN + ".*allocate",
    ),
    "45-an-output-that-is-a-list": (
        lambda kit: kit.tensors(graph=kit.sequence()), BundleError, "the graph's output 'y' is seq.* not a tensor"
    ),
    # Golden rows of a table.
    "46-a-row-without-a-column": (
        lambda kit: kit.table(json=b'{"outputs":[{"prediction":6.0}],"rows":[{"a":1.0,"b":2.0}]}'),
        IntegrityError, NO_FIT + "the key is missing",
    ),
    "47-a-row-with-another-column": (lambda kit: kit.table(row={"d": 1.0}), IntegrityError, NO_FIT + "the key is unknown"),
    "48-a-row-with-text-for-a-number": (lambda kit: kit.table(row={"a": "1"}), IntegrityError, NO_FIT + "got str '1'"),
    "49-a-row-with-a-list": (lambda kit: kit.table(row={"a": [1.0]}), IntegrityError, NO_FIT + "got a value of type list"),
    "50-another-answer": (lambda kit: kit.table(output={"prediction": 6.5}), IntegrityError, NOT_SO + "row 0: prediction is 6.0, recorded 6.5$"),
    "51-an-answer-of-text": (lambda kit: kit.table(output={"prediction": "6"}), IntegrityError, NOT_SO + "row 0: prediction"),
    "52-an-answer-of-null": (lambda kit: kit.table(output={"prediction": None}), IntegrityError, NOT_SO + "row 0: prediction"),
    "53-an-answer-that-is-a-list": (lambda kit: kit.table(output={"prediction": [6.0]}), IntegrityError, NOT_SO + "row 0: prediction"),
    "54-an-answer-that-is-nothing": (lambda kit: kit.table(output={"prediction": []}), IntegrityError, NOT_SO + "row 0: prediction"),
    "55-an-answer-of-ragged-lists": (lambda kit: kit.table(output={"prediction": [[1], [1, 2]]}), IntegrityError, NOT_SO + "row 0: prediction"),
    "56-an-answer-that-is-an-object": (lambda kit: kit.table(output={"prediction": {"a": 6.0}}), IntegrityError, NOT_SO + "row 0: prediction"),
    "57-an-answer-of-400-digits": (lambda kit: kit.table(output={"prediction": 10**400}), IntegrityError, NOT_SO + "row 0: prediction"),
    "58-an-answer-of-a-megabyte": (lambda kit: kit.table(output={"prediction": "x" * 2**20}), IntegrityError, NOT_SO + "row 0: .*…$"),
    "59-an-answer-too-many": (lambda kit: kit.table(output={"more": 1.0}), IntegrityError, NOT_SO + "row 0: outputs"),
    "60-no-answers": (lambda kit: kit.table(json=b'{"outputs":[],"rows":[{}]}'), BundleError, MALFORMED),
    "61-rows-that-are-no-objects": (lambda kit: kit.table(json=b'{"outputs":[1],"rows":[1]}'), BundleError, MALFORMED),
    "62-golden-rows-that-are-no-json": (lambda kit: kit.table(json=b"\x80\x04K\x01."), BundleError, MALFORMED),
    "63-golden-rows-nested-too-deep": (lambda kit: kit.table(json=b"[" * 10**6), BundleError, MALFORMED),
    "64-an-answer-nested-too-deep": (
        lambda kit: kit.table(json=b'{"rows":[{"a":1.0,"b":2.0,"c":3.0}],"outputs":[{"prediction":' + b"[" * 70 + b"]" * 70 + b"}]}"),
        IntegrityError, NOT_SO + "row 0: prediction",
    ),
    # Golden samples of tensors.
    "65-another-value": (lambda kit: kit.tensors(change=at("outputs", "y", "values", to=[1, 1, 1, 2])), IntegrityError, NOT_SO + "sample 0: y is 1.0, recorded 2"),
    "66-a-position-beyond-the-end": (
        lambda kit: kit.tensors(change=at("outputs", "y", "positions", to=[0, 1, 2, 4])), IntegrityError, "positions beyond the 4 values of 'y'$"
    ),
    "67-a-position-before-the-start": (
        lambda kit: kit.tensors(change=at("outputs", "y", "positions", to=[-1, 1, 2, 3])), IntegrityError, "positions beyond the 4 values of 'y'$"
    ),
    "68-a-position-of-21-digits": (lambda kit: kit.tensors(change=at("outputs", "y", "positions", to=[2**70] * 4)), BundleError, MALFORMED),
    "69-fewer-values-than-positions": (lambda kit: kit.tensors(change=at("outputs", "y", "values", to=[1])), BundleError, MALFORMED),
    "70-another-output-name": (lambda kit: kit.tensors(change=at("outputs", to={"z": {"positions": [], "shape": [0], "values": []}})), IntegrityError, NOT_SO + "sample 0: outputs"),
    "71-an-entry-that-is-not-there": (lambda kit: kit.tensors(change=at("inputs", "x", "entry", to="golden/9-9.bin")), BundleError, MALFORMED),
    "72-an-entry-that-is-a-path": (lambda kit: kit.tensors(change=at("inputs", "x", "entry", to="/etc/passwd")), BundleError, MALFORMED),
    "73-a-dtype-of-python-objects": (lambda kit: kit.tensors(change=at("inputs", "x", "dtype", to="object")), BundleError, MALFORMED),
    "74-a-shape-of-an-exabyte": (lambda kit: kit.tensors(change=at("inputs", "x", "shape", to=[2**60])), BundleError, MALFORMED),
    "75-a-shape-that-is-guessed": (lambda kit: kit.tensors(change=at("inputs", "x", "shape", to=[-1, 2])), BundleError, MALFORMED),
    "76-an-input-of-another-rank": (lambda kit: kit.tensors(change=at("inputs", "x", "shape", to=[4])), IntegrityError, NO_FIT + "shape"),
    "77-an-input-of-another-dtype": (
        lambda kit: kit.tensors(given=np.full((2, 2), 0.1)), IntegrityError, NO_FIT + "float64 values that float32 cannot hold"
    ),
    "78-an-input-of-another-name": (
        lambda kit: kit.tensors(change=at("inputs", to={})), IntegrityError, NO_FIT + "the tensor is missing"
    ),
    "79-an-output-of-another-shape": (
        lambda kit: kit.tensors(change=at("outputs", "y", "shape", to=[4, 1])),
        IntegrityError, r"golden sample 0 is answered with 'y' of the shape \[2, 2\], recorded \[4, 1\]$",
    ),
}  # fmt: skip


@pytest.fixture
def kit(graph_of: GraphOf, write_bundle: WriteBundle) -> Kit:
    return Kit(graph_of, write_bundle)


@pytest.mark.parametrize(("forge", "error", "says"), ATTACKS.values(), ids=ATTACKS)
def test_refused_before_the_first_answer(kit: Kit, forge: Forge, error: type[BundleError], says: str) -> None:
    """Each attack passes Bundle.open and ends in the error beside it: one printable line, the file first."""
    path = forge(kit)
    Bundle.open(path)
    with pytest.raises(error) as caught:
        edge_runtime.load(path)
    assert caught.type is error
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert re.search(says, text.removeprefix(f"{path}: "))
    assert text.isprintable()
    assert len(text) < 2000


def test_attacks_are_numbered() -> None:
    """The numbers run from 1 without a gap."""
    assert [int(name.split("-")[0]) for name in ATTACKS] == list(range(1, len(ATTACKS) + 1))


def test_the_honest_bundles_load(kit: Kit) -> None:
    """So an attack is its change alone."""
    for path, answer in ((kit.table(), {"prediction": 6.0}), (kit.table(kit.sums("raw")), {"prediction": 6.0})):
        assert edge_runtime.load(path).predict_one(kit.row) == answer
        assert edge_runtime.load(path).verify().ok
    assert edge_runtime.load(kit.tensors()).predict_one({"x": [1.0, 2.0]}) == {"y": [2.0, 3.0]}
    assert edge_runtime.load(kit.run(("Identity", "m", "raw"))).predict_one(kit.row) == {"prediction": 6.0}


HOSTILE = "\x1b]0;x\x07\n<script>alert(1)</script>\u202e{0.__class__}%s"


def test_hostile_text_is_only_text(kit: Kit, tmp_path: Path) -> None:
    """Names, classes, statements and provenance: loaded, answered, and escaped wherever they are shown."""
    columns = tuple(replace(column, name=HOSTILE + str(i)) for i, column in enumerate(kit.columns))
    ending = Ending("logistic", 1.0, (HOSTILE, "no"), "str")
    bundle = Bundle.open(kit.table(columns=columns, ending=ending, outputs=LABELS, rows=0))
    manifest = replace(
        bundle.manifest, name=HOSTILE, version=HOSTILE, created=HOSTILE, provenance={HOSTILE: HOSTILE},
        certificate=replace(bundle.manifest.certificate, statements=(HOSTILE,), largest={HOSTILE: 0.0}),
        variants=(replace(bundle.manifest.variants[0], name=HOSTILE, precision=HOSTILE),),
    )  # fmt: skip
    path = tmp_path / "hostile.edge"
    Bundle.write(path, manifest, {e.name: bundle.read(e.name) for e in bundle.manifest.entries})
    model = edge_runtime.load(path)
    assert (model.name, model.predict_one({c.name: -1.0 for c in columns})["label"]) == (HOSTILE, HOSTILE)
    assert repr(model).isprintable()
    page = model._repr_html_()
    assert "<script" not in page
    assert "\x1b" not in page
    for wrong in ({HOSTILE: 1.0}, {c.name: HOSTILE for c in columns}, {**{c.name: 1.0 for c in columns}, HOSTILE: 1}):
        with pytest.raises(EdgeError) as caught:
            model.predict_one(wrong)
        assert str(caught.value).isprintable()


# ---- Any change to what a bundle says: it is refused, or it still answers.


def contents_of(path: Path) -> dict[str, bytes]:
    return {name: container.unpack(member) for name, member in container.read(path.read_bytes()).items()}


def pack(path: Path, manifest: Any, contents: dict[str, bytes]) -> bool:
    """Write a bundle with this manifest, whose list of entries is made right; False if no writer could."""
    members = [container.store(name, content) for name, content in contents.items() if name != "edge.json"]
    if isinstance(manifest, dict) and isinstance(manifest.get("entries"), list):
        honest = {member.name: describe(member).to_json() for member in members}
        manifest["entries"] = [
            honest.get(str(e.get("name")), e) if isinstance(e, dict) else e for e in manifest["entries"]
        ]
    try:
        path.write_bytes(container.write([container.store("edge.json", canonical.dumps(manifest)), *members]))
    except (TypeError, UnicodeEncodeError, BundleError):
        return False
    return True


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def value_at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


WORDS = st.sampled_from(
    ["", "x", "raw", "inf", "-inf", "0.0", "-1.0", "1e308", "5e-324", "NaN", "float64", "float32", "int64", "uint8", "bool",
     "str", "logistic", "softmax", "share", "identity", "exp", "graph", "label", "probabilities", HOSTILE]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from([2**31, 2**53 + 1, 2**63, -(2**70)]) | WORDS
VALUES: st.SearchStrategy[Any] = (
    SCALARS | st.lists(SCALARS, max_size=3) | st.just({}) | st.dictionaries(WORDS, SCALARS, max_size=2)
)


def mutate(document: Any, data: st.DataObject) -> None:
    """One to three changes: another value, a value from elsewhere in the document, one less, one more, another order."""
    for _ in range(data.draw(st.integers(1, 3))):
        paths = list(leaves(document))
        if not paths:
            return
        *outer, key = data.draw(st.sampled_from(paths))
        parent = value_at(document, tuple(outer))
        how = data.draw(st.sampled_from(["other", "other", "copy", "copy", "drop", "twice"]))
        if how == "other":
            parent[key] = data.draw(VALUES)
        elif how == "copy":
            parent[key] = json.loads(json.dumps(value_at(document, data.draw(st.sampled_from(paths)))))
        elif how == "drop":
            parent.pop(key)
        elif isinstance(parent, list):
            parent.insert(0, json.loads(json.dumps(parent[key])))


@pytest.fixture
def honest(kit: Kit, flights: Any) -> dict[str, dict[str, bytes]]:
    """The contents of a real bundle, of a table made by hand, and of tensors."""
    decision = Ending("logistic", 1.0, ("no", "yes"), "str", decision=Decision("score", "yes"))
    outputs = (TensorSpec("score", "float64", (None,)), TensorSpec("yes", "bool", (None,)))
    table = kit.table(ending=decision, outputs=outputs, rows=0)
    return {
        "flights": contents_of(flights.bundle), "decision": contents_of(table), "table": contents_of(kit.table()),
        "tensors": contents_of(kit.tensors()),
    }  # fmt: skip


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_bundle_is_refused_or_answers(
    honest: dict[str, dict[str, bytes]], tmp_path: Path, data: st.DataObject
) -> None:
    """Any changes to `edge.json` and golden rows, all hashes made right: an EdgeError in one line, never another one."""
    contents = dict(honest[data.draw(st.sampled_from(sorted(honest)))])
    manifest, golden = json.loads(contents["edge.json"]), json.loads(contents["golden.json"])
    which = data.draw(st.sampled_from(["manifest", "manifest", "golden", "both"]))
    if which != "golden":
        mutate(manifest, data)
    if which != "manifest":
        mutate(golden, data)
        contents["golden.json"] = json.dumps(golden).encode()
    path = tmp_path / "changed.edge"
    if not pack(path, manifest, contents):
        return
    try:
        model = edge_runtime.load(path)
    except BundleError as error:
        assert str(error).removeprefix(str(path)).isprintable()  # noqa: PT017
        return
    assert repr(model).isprintable()
    assert "<script" not in model._repr_html_()
    with suppress(EdgeError):
        model.verify()
        for sample in model.golden_rows():
            model.predict_one(sample.inputs) if model.schema.columns else model.run(sample.inputs)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0), st.integers(0, 7)), min_size=1, max_size=3),
    kind=st.sampled_from(["table", "tensors"]),
)
def test_a_changed_graph_is_refused_or_answers(
    honest: dict[str, dict[str, bytes]], tmp_path: Path, flips: list[tuple[int, int]], kind: str
) -> None:
    """Any few bits of the graph, all hashes made right."""
    contents = dict(honest[kind])
    graph = bytearray(contents["graph.onnx"])
    for at_, bit in flips:
        graph[at_ % len(graph)] ^= 1 << bit
    contents["graph.onnx"] = bytes(graph)
    assert pack(tmp_path / "changed.edge", json.loads(contents["edge.json"]), contents)
    with suppress(BundleError):
        assert edge_runtime.load(tmp_path / "changed.edge").verify().ok


# ---- What a process does while it loads and predicts, seen from outside.

WATCHED = r"""
import json, os, re, sys, threading, time

path, frame = sys.argv[1], sys.argv[2]
import numpy as np, pandas as pd
table = pd.read_parquet(frame)
table = table.drop(columns="late")
records = table.astype(object).where(table.notna(), None).to_dict("records")

events = []
DENIED = re.compile(r"socket|subprocess|os\.(exec|fork|spawn|posix_spawn|system|startfile|remove|rename|mkdir|chmod|link"
                    r"|symlink|truncate|utime)|pty|pickle|shelve|ctypes|mmap|ftplib|http|urllib|smtp|webbrowser|glob|shutil"
                    r"|tempfile|syslog|sqlite3|code\.__new__|cpython\.run|sys\.set|builtins\.input|signal|winreg|msvcrt")
quiet = True

def watch(event, arguments):
    if quiet:
        return
    if event == "open":
        events.append((stage, str(arguments[0]), arguments[1], arguments[2]))
    elif DENIED.match(event):
        events.append(("denied", event, repr(arguments)[:200]))
        raise RuntimeError(f"{event} is not allowed here")

def tasks():
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 1

def descriptors():
    if not os.path.exists("/proc/self/fd"):
        return []
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return sorted(found)

sys.addaudithook(watch)
before = descriptors()
quiet, stage = False, "import"
import edge_runtime
stage = "load"
model = edge_runtime.load(path, threads=2)
one = [model.predict_one(record) for record in records[:50]]
started = tasks()
many = model.predict(table)
large = model.predict(pd.concat([table] * 20))
assert model.verify().ok
for wrong in ({}, {**records[0], "hour": "x"}):
    try:
        model.predict_one(wrong)
    except edge_runtime.InputError:
        pass
    else:
        raise SystemExit("not refused")
quiet = True

used = time.process_time()
time.sleep(0.3)
idle = time.process_time() - used
print(json.dumps({
    "events": events, "idle": idle, "tasks": tasks() - started, "threads": threading.active_count(),
    "descriptors": [name for name in descriptors() if name not in before], "answers": len(large["label"]),
}))
"""


def test_loading_and_predicting_touches_nothing(flights: Any, tmp_path: Path) -> None:
    """No socket, process, pickle or foreign code, no file but the bundle (and modules), none written; idle afterwards.

    Each of these is denied while it is watched, the network among them."""
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-P", "-c", WATCHED, str(flights.bundle), str(flights.rows)]
    environment = {"HOME": str(home), "PATH": "", "XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    seen = json.loads(done.stdout)
    assert [event for event in seen["events"] if event[0] == "denied"] == []
    for _, name, mode, flags in seen["events"]:
        assert not set(mode or "r") & set("wax+"), name
        assert flags & (os.O_WRONLY | os.O_RDWR) == 0, name
    loaded = {name for stage, name, _, _ in seen["events"] if stage == "load"}
    modules = sys.base_prefix, sys.prefix, str(Path(edge_runtime.__file__).parent)
    assert {name for name in loaded if not name.startswith(modules)} == {str(flights.bundle)}
    assert seen["answers"] == 20 * len(flights.frame)
    assert seen["idle"] < 0.05
    assert (seen["tasks"], seen["threads"], seen["descriptors"]) == (0, 1, [])
    assert list(home.iterdir()) == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["home"]


BOMB = r"""
import re, sys
import edge_runtime

def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read()).group(1))

edge_runtime.load(sys.argv[1])
before = peak()
try:
    edge_runtime.load(sys.argv[2])
except edge_runtime.BundleError:
    pass
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("name", [name for name in ATTACKS if "byte" in name])
def test_large_numbers_take_no_memory(kit: Kit, tmp_path: Path, name: str) -> None:
    """An exabyte declared, or asked for when the graph is run, is not even begun with."""
    forged = ATTACKS[name][0](kit).rename(tmp_path / "forged.edge")
    command = [sys.executable, "-P", "-W", "ignore::ResourceWarning", "-c", BOMB, str(kit.table()), str(forged)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    assert int(done.stdout) / 1024 < 24
