"""The scan of honest graphs: what passes, what the words of a refusal are, and that its tables are ONNX's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skl2onnx
from onnx import AttributeProto, NodeProto, TensorProto, defs, helper, numpy_helper, onnx_ml_pb2
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from edge_runtime import graph_scan
from edge_runtime.errors import BundleError
from edge_runtime.graph_scan import SCHEMA, scan
from edge_runtime.operators import LEFT_OUT, OPERATORS
from edge_runtime.session import open_session

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("own", 1)]


def model_of(
    *nodes: NodeProto, initializers: list[TensorProto] | None = None, functions: object = ()
) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, FLOAT, None) for name in "xy")
    graph = helper.make_graph(list(nodes), "g", [x], [y], initializers or [])
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9, functions=functions)


# ---- The tables are those of ONNX.


def test_the_schema_has_every_field_of_the_messages_it_walks() -> None:
    """Number, name, type and repetition are those of onnx's own descriptors; only fields for devices are missing."""
    scalars = {1: "double", 2: "float", 3: "int", 4: "int", 5: "int", 9: "bytes", 11: "message", 12: "bytes", 14: "int"}
    for kind in SCHEMA:
        described = onnx_ml_pb2.DESCRIPTOR.message_types_by_name[kind].fields
        ours = {(tag >> 3, name): (once, inner) for tag, (name, once, _, inner, _) in graph_scan.FIELDS[kind].items()}
        missing = {field.name for field in described} - {name for _, name in ours}
        assert missing == {"ModelProto": {"configuration"}, "NodeProto": {"device_configurations"}}.get(kind, set())
        for field in described:
            if field.name in missing:
                continue
            once, inner = ours[field.number, field.name]
            scalar = scalars[field.type]
            wire = {"double": 1, "float": 5, "int": 0}.get(scalar, 2)
            assert (field.number << 3 | wire) in graph_scan.FIELDS[kind]
            assert once != field.is_repeated
            if inner:
                assert field.message_type.name == inner
        assert len(ours) == len(described) - len(missing)


def test_every_message_with_a_node_or_a_tensor_in_it_is_walked() -> None:
    """Fields whose type leads to nodes, tensors or attributes are walked or refused, and never skipped as bytes."""
    for kind in SCHEMA:
        for name, _, _, walked, _ in graph_scan.FIELDS[kind].values():
            described = onnx_ml_pb2.DESCRIPTOR.message_types_by_name[kind].fields_by_name[name]
            inner = described.message_type.name if described.message_type else ""
            risky = {"TensorProto", "SparseTensorProto", "GraphProto", "NodeProto", "AttributeProto", "FunctionProto"}
            if inner in {*risky, "TrainingInfoProto"}:
                assert walked == inner or name in graph_scan.REFUSED


def test_every_standard_operator_is_listed_or_left_out_with_a_reason() -> None:
    """A new operator of onnx is a decision: list it, or say why not."""
    standard = {(schema.domain, schema.name) for schema in defs.get_all_schemas_with_history()}
    listed = {(domain, name) for domain in ("", "ai.onnx.ml") for name in OPERATORS[domain]}
    assert not listed & LEFT_OUT.keys()
    assert standard <= listed | LEFT_OUT.keys()
    assert OPERATORS["ai.onnx.ml"] == {name for domain, name in standard if domain == "ai.onnx.ml"}


@pytest.mark.skipif(not defs.has("SwiGLU"), reason="this onnx is older than the list")
def test_every_name_on_the_list_is_an_operator() -> None:
    """None is a slip of the pen: onnx or onnxruntime knows each, whichever of the two is newer."""
    known = {(schema.domain, schema.name) for schema in defs.get_all_schemas_with_history()}
    known |= {(schema.domain, schema.name) for schema in get_all_operator_schema()}
    assert set(OPERATORS) == {"", "ai.onnx.ml", "com.microsoft"}
    assert {(domain, name) for domain, names in OPERATORS.items() for name in names} | LEFT_OUT.keys() <= known


def test_no_function_can_stand_in_for_an_operator_of_onnxruntime() -> None:
    """In every domain that onnxruntime has operators in, it would run its own."""
    for domain in {schema.domain for schema in get_all_operator_schema()} | {domain for domain, _ in LEFT_OUT}:
        body = [helper.make_node("Relu", ["x"], ["y"])]
        function = helper.make_function(domain, "Loop", ["x"], ["y"], body, OPSETS)
        call = helper.make_node("Loop", ["x"], ["y"], domain=domain)
        assert "onnxruntime's own operators" in refusal(model_of(call, functions=[function]))


# ---- Real graphs pass.

ROWS = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
LABELS = np.where(ROWS[:, 0] + ROWS[:, 1] > 0, "yes", "no")
TEXTS = np.array([["red apple", "sour"], ["green apple", "sweet"], ["red plum", "sour"], ["blue plum", "sour"]] * 20)


def table_pipeline() -> Any:
    encode = ColumnTransformer([("n", StandardScaler(), [0, 1, 2]), ("c", OneHotEncoder(), [3])])
    rows = np.column_stack([ROWS[:, :3], np.arange(80) % 3]).astype(np.float32)
    return make_pipeline(encode, GradientBoostingClassifier(n_estimators=4)).fit(rows, LABELS), rows, {}


def text_pipeline() -> Any:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS[:, 0], LABELS)
    # Its default is en_US.UTF-8, which not every machine has; there onnxruntime refuses the graph.
    return model, TEXTS[:, :1], {TfidfVectorizer: {"locale": "C"}}


def neighbours() -> Any:
    model = KNeighborsClassifier().fit(ROWS, LABELS)
    return model, ROWS, {id(model): {"optim": "cdist", "zipmap": False}}


SKLEARN: dict[str, Callable[[], Any]] = {
    "forest": lambda: (RandomForestRegressor(n_estimators=9).fit(ROWS, ROWS[:, 0]), ROWS, {}),
    "logistic": lambda: (LogisticRegression().fit(ROWS, LABELS), ROWS, {}),
    "network": lambda: (MLPClassifier((8,), max_iter=40, tol=1.0).fit(ROWS, LABELS), ROWS, {}),
    "vectors": lambda: (SVC().fit(ROWS, LABELS), ROWS, {}),
    "neighbours": neighbours,
    "table": table_pipeline,
    "text": text_pipeline,
}


@pytest.mark.filterwarnings("ignore:Attribute `prob._`:FutureWarning")
@pytest.mark.parametrize("make", SKLEARN.values(), ids=SKLEARN)
def test_what_skl2onnx_writes_passes_and_opens(make: Callable[[], Any]) -> None:
    """Trees, linear models, networks, support vectors, neighbours, columns and text."""
    model, rows, options = make()
    raw = skl2onnx.to_onnx(model, rows[:1], options=options).SerializeToString()
    scan(raw)
    open_session(raw, threads=1, largest_tensor=len(raw))


def branch(node: NodeProto) -> onnx.GraphProto:
    return helper.make_graph([node], "branch", [], [helper.make_tensor_value_info(node.output[0], FLOAT, None)])


def conditional() -> onnx.ModelProto:
    sides = {
        "then_branch": branch(helper.make_node("Neg", ["x"], ["t"])),
        "else_branch": branch(
            helper.make_node("Constant", [], ["e"], value=helper.make_tensor("v", FLOAT, [1], [7.0]))
        ),
    }
    flag = numpy_helper.from_array(np.array([True]), "flag")
    return model_of(helper.make_node("If", ["flag"], ["y"], **sides), initializers=[flag])


def recurrent() -> onnx.ModelProto:
    weights = [
        numpy_helper.from_array(np.ones((1, 12, 4), np.float32), "w"),
        numpy_helper.from_array(np.ones((1, 12, 3), np.float32), "r"),
    ]
    return model_of(helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=3), initializers=weights)


def texts() -> onnx.ModelProto:
    names = numpy_helper.from_array(np.array([["a"], ["ü"]], dtype=object), "names")
    codes: dict[str, Any] = {"keys_strings": ["a", "ü"], "values_floats": [1.0, 2.0]}
    return model_of(
        helper.make_node("LabelEncoder", ["names"], ["code"], domain="ai.onnx.ml", **codes),
        helper.make_node("Add", ["x", "code"], ["y"]),
        initializers=[names],
    )


def with_functions() -> onnx.ModelProto:
    outer = helper.make_function(
        "own", "Outer", ["x"], ["y"], [helper.make_node("Inner", ["x"], ["y"], domain="own")], OPSETS
    )
    inner = helper.make_function("own", "Inner", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], OPSETS)
    calls = [
        helper.make_node("Outer", ["x"], ["m"], domain="own"),
        helper.make_node("Inner", ["m"], ["y"], domain="own"),
    ]
    return model_of(*calls, functions=[outer, inner])


HANDMADE: dict[str, Callable[[], onnx.ModelProto]] = {
    "if": conditional,
    "lstm": recurrent,
    "texts": texts,
    "functions": with_functions,
    "einsum": lambda: model_of(helper.make_node("Einsum", ["x", "x"], ["y"], equation="ij,kj->ik")),
    "alias": lambda: model_of(helper.make_node("Neg", ["x"], ["y"], domain="ai.onnx")),
}


@pytest.mark.parametrize("make", HANDMADE.values(), ids=HANDMADE)
def test_what_onnx_writes_passes_and_opens(make: Callable[[], onnx.ModelProto]) -> None:
    """Branches, recurrent layers, text tensors, functions that call functions, the long name of the standard domain."""
    raw = make().SerializeToString()
    scan(raw)
    open_session(raw, threads=1, largest_tensor=len(raw))


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Ten rows for the quantizer."""

    def __init__(self) -> None:
        self.rows = iter(ROWS[:10])

    def get_next(self) -> dict[str, Any] | None:
        return next(({"x": row[None]} for row in self.rows), None)


@pytest.mark.parametrize("form", ["dynamic", "qdq", "operators"])
@pytest.mark.filterwarnings("ignore")
def test_what_the_quantizer_writes_passes_and_opens(tmp_path: Path, form: str) -> None:
    """Each form of onnxruntime.quantization, com.microsoft's operators included."""
    x, y = helper.make_tensor_value_info("x", FLOAT, [None, 4]), helper.make_tensor_value_info("y", FLOAT, [None, 4])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Sigmoid", ["h"], ["s"]),
        helper.make_node("Add", ["s", "h"], ["y"]),
    ]
    weights = numpy_helper.from_array(np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32), "w")
    graph = helper.make_graph(nodes, "g", [x], [y], [weights])
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=OPSETS[:1], ir_version=9), source)
    if form == "dynamic":
        quantize_dynamic(source, target)
    else:
        quantize_static(
            source, target, Reader(), quant_format={"qdq": QuantFormat.QDQ, "operators": QuantFormat.QOperator}[form]
        )
    raw = target.read_bytes()
    scan(raw)
    open_session(raw, threads=1, largest_tensor=len(raw))
    if form == "operators":
        assert b"com.microsoft" in raw


# ---- Numbers, packed and not.


def attribute_bytes(*fields: bytes) -> bytes:
    """A model whose one node has one attribute made of these fields."""
    attribute = piece(1, b"a") + b"".join(fields)
    graph = piece(1, piece(4, b"Neg") + piece(3, b"n") + piece(5, attribute))
    return piece(7, graph) + piece(8, b"\x10\x12")


def piece(field: int, content: bytes) -> bytes:
    size, out = len(content), b""
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return bytes([field << 3 | 2]) + out + bytes([size]) + content


FIELDS = {
    "ints": b"\x40\x05\x40\xff\xff\x03\x40\x80\x01" + b"\x40" + b"\xff" * 9 + b"\x01",
    "ints-packed": piece(8, b"\x05\xff\xff\x03"),
    "floats": b"\x3d\x00\x00\x80\x3f\x3d\x40\x3d\x4a\x0a",
    "floats-packed": piece(7, b"\x00\x00\x80\x3f" * 2),
    "modes": piece(9, b"BRANCH_LEQ") + piece(9, b"LEAF") * 3 + piece(9, b"BRANCH_GT"),
    "other-texts": piece(9, b"BRANCH") + piece(9, b"") + piece(9, b"x" * 300),
}


@pytest.mark.parametrize("first", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("second", FIELDS.values(), ids=FIELDS)
def test_runs_end_where_they_end(first: bytes, second: bytes) -> None:
    """Any run may follow any other; the field behind them is still read, and so is its fault."""
    scan(attribute_bytes(first, second, b"\xa0\x01\x07"))
    with pytest.raises(BundleError, match=r"attribute 'a': AttributeProto has the field type twice$"):
        scan(attribute_bytes(first, b"\xa0\x01\x07", second, b"\xa0\x01\x07"))


@pytest.mark.parametrize("run", [FIELDS["ints"], FIELDS["floats"], FIELDS["modes"]])
def test_a_run_that_is_cut_off_is_refused(run: bytes) -> None:
    """A value that goes on behind its attribute is not a shorter value."""
    with pytest.raises(BundleError, match=r"AttributeProto is cut off$"):
        scan(attribute_bytes(run[:-1]))


def test_a_run_of_a_million_numbers_is_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tree models come as millions of one-number fields; the walk does not stop at each."""
    raw = attribute_bytes(b"\x40\x05\x40\xe8\x07" * 500_000, b"\x3d\0\0\0\0" * 1_000_000, piece(9, b"LEAF") * 1_000_000)
    steps = 0
    varint = graph_scan.varint

    def counted(raw: bytes, at: int) -> tuple[int, int]:
        nonlocal steps
        steps += 1
        return varint(raw, at)

    monkeypatch.setattr(graph_scan, "varint", counted)
    scan(raw)
    assert steps < 20


# ---- Words and details.


def refusal(model: onnx.ModelProto, **where: str) -> str:
    with pytest.raises(BundleError) as caught:
        scan(model.SerializeToString(), **where)
    return str(caught.value)


def test_a_refusal_names_file_node_and_operator() -> None:
    """One sentence: where, what, why."""
    loop = helper.make_node("Loop", ["x"], ["y"], name="again")
    assert refusal(model_of(loop), where="graph-int8.onnx") == (
        "graph-int8.onnx, node 'again' ('Loop'): the operator 'Loop' of 'ai.onnx' is not allowed: it may never end"
    )


def test_foreign_names_are_shown_escaped_and_short() -> None:
    """A name may hold what a terminal obeys, and be as long as it likes."""
    node = helper.make_node("Odd\x1b[31m", ["x"], ["y"], name="n\n" * 500)
    text = refusal(model_of(node))
    assert text.isprintable()
    assert text.isascii()
    assert len(text) < 400


@pytest.mark.parametrize(("shape", "found"), [([], 1), ([3], 3), ([2, 2], 4), ([0], 0), ([5, 0], 0), ([1] * 64, 1)])
@pytest.mark.parametrize("packed", [True, False])
def test_text_tensors_have_as_many_texts_as_their_shape_says(shape: list[int], found: int, packed: bool) -> None:
    """Both forms of the shape are read; one text too many is refused."""
    dims = piece(1, bytes(shape)) if packed else b"".join(b"\x08" + bytes([size]) for size in shape)

    def model(texts: int) -> bytes:
        tensor = dims + b"\x10\x08" + piece(6, b"text") * texts
        return piece(7, piece(5, tensor)) + piece(8, b"\x10\x12")

    scan(model(found))
    with pytest.raises(BundleError, match=f"but {found + 1} texts$"):
        scan(model(found + 1))


def test_a_text_tensor_of_too_many_axes_is_refused() -> None:
    """Else multiplying them takes for ever."""
    tensor = piece(1, (b"\xff" * 8 + b"\x7f") * 100_000) + b"\x10\x08"
    with pytest.raises(BundleError, match=r"has 100000 axes; expected at most 64$"):
        scan(piece(7, piece(5, tensor)) + piece(8, b"\x10\x12"))


@pytest.mark.parametrize("key", ["author", "onnx.infer", "epochs", "torch_version", ""])
def test_metadata_for_people_passes(key: str) -> None:
    """Only what is meant for onnxruntime is refused."""
    model = model_of(helper.make_node("Neg", ["x"], ["y"]))
    helper.set_model_props(model, {key: "value"})
    scan(model.SerializeToString())


def test_a_repeated_call_adds_its_function_each_time() -> None:
    """The bound is on what is written out: 16,384 nodes more than there are pass, one more does not."""
    body = [helper.make_node("Neg", ["x"], ["y"])] * 129
    function = helper.make_function("own", "f", ["x"], ["y"], body, OPSETS)
    call = helper.make_node("f", ["x"], ["y"], domain="own")
    scan(model_of(*[call] * 128, functions=[function]).SerializeToString())
    assert "add more than 16384 nodes" in refusal(model_of(*[call] * 129, functions=[function]))


def test_an_attribute_is_walked_whatever_its_type_says() -> None:
    """The type of an attribute is a claim; what is in it counts."""
    attribute = AttributeProto(name="a", type=AttributeProto.INT, g=branch(helper.make_node("Loop", ["x"], ["y"])))
    node = helper.make_node("Neg", ["x"], ["y"])
    node.attribute.append(attribute)
    assert "'Loop'" in refusal(model_of(node))


def test_scanning_loads_no_package() -> None:
    """The scan is part of the cold start."""
    code = "import sys, edge_runtime.graph_scan; print({'onnx', 'google', 'graphlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
