"""Hostile graphs: each numbered abuse of the ONNX bytes, with its verdict beside it.

What is refused is refused by the scan, before a session exists. The graphs are made with onnx where it agrees to write
them, and byte by byte where it does not. Hostile bundles stand in test_bundle_attacks.py.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from edge_runtime.errors import BundleError
from edge_runtime.graph_scan import scan
from edge_runtime.session import open_session

FLOAT, STRING = TensorProto.FLOAT, TensorProto.STRING
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("own", 1)]


# ---- The forge: models with onnx, and the bytes of protobuf by hand.


def graph_of(*nodes: NodeProto, initializers: list[TensorProto] | None = None) -> GraphProto:
    x, y = (helper.make_tensor_value_info(name, FLOAT, [None]) for name in "xy")
    return helper.make_graph(list(nodes), "g", [x], [y], initializers or [])


def model_of(
    *nodes: NodeProto, initializers: list[TensorProto] | None = None, functions: object = ()
) -> onnx.ModelProto:
    graph = graph_of(*nodes, initializers=initializers)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9, functions=functions)


def honest() -> onnx.ModelProto:
    """y = x + w, from which most attacks start; without its attack, each must pass."""
    return model_of(
        helper.make_node("Add", ["x", "w"], ["y"], name="sum"),
        initializers=[helper.make_tensor("w", FLOAT, [1], [2.0])],
    )


def forged(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = honest()
    change(model)
    return bytes(model.SerializeToString())


def external(tensor: TensorProto) -> TensorProto:
    """The same tensor, its data in a file of the working directory."""
    for field in ("float_data", "int64_data", "raw_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret.bin"
    return tensor


def weights() -> TensorProto:
    return helper.make_tensor("w", FLOAT, [1], [2.0])


def sparse(values: TensorProto, indices: TensorProto, size: int = 8) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(values, indices, [size])


def indices() -> TensorProto:
    return helper.make_tensor("i", TensorProto.INT64, [1], [3])


def one(operator: str, domain: str = "", **attributes: Any) -> bytes:
    """A model whose one node is ``operator``."""
    node = helper.make_node(operator, ["x"], ["y"], name="n", domain=domain, **attributes)
    return bytes(model_of(node).SerializeToString())


def branch(*nodes: NodeProto) -> GraphProto:
    return helper.make_graph(list(nodes), "branch", [], [helper.make_tensor_value_info("y", FLOAT, None)])


def inside_if(node: NodeProto, levels: int = 1) -> bytes:
    for _ in range(levels):
        node = helper.make_node("If", ["x"], ["y"], then_branch=branch(node), else_branch=branch(node))
    return bytes(model_of(node).SerializeToString())


def function(name: str, *nodes: NodeProto, domain: str = "own") -> onnx.FunctionProto:
    return helper.make_function(domain, name, ["x"], ["y"], list(nodes), OPSETS)


def call(name: str, source: str = "x", target: str = "y") -> NodeProto:
    return helper.make_node(name, [source], [target], domain="own")


def with_functions(*functions: onnx.FunctionProto) -> bytes:
    return bytes(model_of(call("f0"), functions=functions).SerializeToString())


def doubling(levels: int) -> bytes:
    twice = [function(f"f{i}", call(f"f{i + 1}", "x", "m"), call(f"f{i + 1}", "m")) for i in range(levels)]
    return with_functions(*twice, function(f"f{levels}", helper.make_node("Neg", ["x"], ["y"])))


def overloaded() -> bytes:
    """A call of an overload that is not defined, though a function of that name is."""
    node = call("f0")
    node.overload = "other"
    body = function("f0", helper.make_node("Neg", ["x"], ["y"]))
    return bytes(model_of(node, functions=[body]).SerializeToString())


def function_default() -> bytes:
    """External data in the default value of a function's attribute."""
    body = function("f0", helper.make_node("Neg", ["x"], ["y"]))
    body.attribute_proto.append(helper.make_attribute("a", external(weights())))
    return with_functions(body)


def attribute_of(kind: str) -> bytes:
    """External data in one of the attribute fields that hold several."""
    attribute = AttributeProto(name="a")
    if kind == "tensors":
        attribute.type = AttributeProto.TENSORS
        attribute.tensors.append(external(weights()))
    elif kind == "graphs":
        attribute.type = AttributeProto.GRAPHS
        attribute.graphs.append(branch(helper.make_node("Loop", ["x"], ["y"])))
    else:
        attribute.type = AttributeProto.SPARSE_TENSORS
        attribute.sparse_tensors.append(sparse(external(weights()), indices()))
    node = helper.make_node("Neg", ["x"], ["y"], name="n")
    node.attribute.append(attribute)
    return bytes(model_of(node).SerializeToString())


def text_bomb() -> TensorProto:
    """85 bytes; onnxruntime makes room for 30 million texts (0.9 GB) before it counts them."""
    return TensorProto(name="w", data_type=STRING, dims=[30_000_000])


def number(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def piece(field: int, content: bytes) -> bytes:
    return number(field << 3 | 2) + number(len(content)) + content


def behind(addition: bytes) -> bytes:
    return bytes(honest().SerializeToString()) + addition


def by_hand(node: bytes = b"", graph: bytes = b"") -> bytes:
    """A model with one node ``x -> Neg -> y`` and bytes added to the node and to the graph."""
    inner = piece(1, piece(1, b"x") + piece(2, b"y") + piece(3, b"n") + piece(4, b"Neg") + node)
    opset = piece(8, number(2 << 3) + number(18))
    return number(1 << 3) + number(9) + piece(7, inner + piece(2, b"g") + graph) + opset


def nested(levels: int) -> bytes:
    """Graphs in attributes in nodes in graphs; protobuf packages refuse to write it."""
    graph = piece(2, b"g")
    for _ in range(levels):
        graph = piece(1, piece(4, b"If") + piece(5, piece(1, b"then_branch") + piece(6, graph)))
    return number(1 << 3) + number(9) + piece(7, graph) + piece(8, number(2 << 3) + number(18))


def config(key: str) -> bytes:
    def change(model: onnx.ModelProto) -> None:
        helper.set_model_props(model, {key: '{"session_options": {"enable_profiling": 1}}'})

    return forged(change)


DENSE = "is sparse: .* expected a dense tensor$"
ELSEWHERE = "has its data in another file; expected all data in the graph$"
TENSOR = piece(8, b"w") + number(1 << 3) + number(1) + number(2 << 3) + number(FLOAT)  # its name, one axis of 1, float
DATA = piece(9, b"\0\0\0\0")

ATTACKS = {
    # Data from elsewhere. A session made from bytes reads these files from the working directory.
    "01-external-initializer": (forged(lambda m: external(m.graph.initializer[0])), f"^graph, tensor 'w' {ELSEWHERE}"),
    "02-external-constant": (one("Constant", value=external(weights())), f"'n' \\('Constant'\\), .*'w' {ELSEWHERE}"),
    "03-external-in-a-list-of-tensors": (attribute_of("tensors"), f"attribute 'a', tensor 'w' {ELSEWHERE}"),
    "04-external-in-a-branch": (
        inside_if(helper.make_node("Constant", [], ["y"], value=external(weights()))),
        f"attribute '(then|else)_branch', node \\('Constant'\\), attribute 'value', tensor 'w' {ELSEWHERE}",
    ),
    "05-external-in-a-function": (
        with_functions(function("f0", helper.make_node("Constant", [], ["y"], value=external(weights())))),
        f"function 'f0', node \\('Constant'\\), .* {ELSEWHERE}",
    ),
    "06-external-in-a-functions-default": (function_default(), f"function 'f0', attribute 'a', tensor 'w' {ELSEWHERE}"),
    "07-external-by-flag-alone": (by_hand(graph=piece(5, TENSOR + number(14 << 3) + number(1) + DATA)), ELSEWHERE),
    "08-external-flag-beyond-32-bits": (
        by_hand(graph=piece(5, TENSOR + number(14 << 3) + number(2**32 + 1) + DATA)),
        ELSEWHERE,
    ),
    "09-external-entries-without-the-flag": (by_hand(graph=piece(5, TENSOR + DATA + piece(13, b""))), ELSEWHERE),
    "10-sparse-initializer-with-external-values": (
        forged(lambda m: m.graph.sparse_initializer.append(sparse(external(weights()), indices()))),
        f"^graph has an initializer that {DENSE}",
    ),
    "11-sparse-initializer-with-external-indices": (
        forged(lambda m: m.graph.sparse_initializer.append(sparse(weights(), external(indices())))),
        f"^graph has an initializer that {DENSE}",
    ),
    "12-sparse-constant": (one("Constant", sparse_value=sparse(external(weights()), indices())), DENSE),
    "13-sparse-in-a-list": (attribute_of("sparse_tensors"), DENSE),
    # Memory and time while loading.
    "14-sparse-bomb": (
        forged(lambda m: m.graph.sparse_initializer.append(sparse(weights(), indices(), 10**9))),
        f"^graph has an initializer that {DENSE}",
    ),
    "15-text-bomb": (forged(lambda m: m.graph.initializer.append(text_bomb())), r"shape \[30000000\] but 0 texts"),
    "16-doubling-functions": (doubling(40), "^graph has functions that add more than 16384 nodes"),
    "17-function-that-calls-itself": (with_functions(function("f0", call("f0"))), "function that calls itself"),
    "18-functions-in-a-ring": (
        with_functions(function("f0", call("f1")), function("f1", call("f0"))),
        "function that calls itself",
    ),
    "19-deep-nesting": (nested(3000), "^graph nests more than 100 messages$"),
    # Operators.
    "20-loop": (one("Loop"), r"^graph, node 'n' \('Loop'\): the operator 'Loop' of 'ai.onnx' is not allowed: it may"),
    "21-scan": (one("Scan"), "'Scan' of 'ai.onnx' is not allowed: it repeats a subgraph"),
    "22-random": (one("RandomNormalLike"), "it draws random numbers"),
    "23-image-file": (one("ImageDecoder"), "it decodes image files"),
    "24-unknown-operator": (one("Oddity"), "'Oddity' of 'ai.onnx' is not allowed: it is not on the list"),
    "25-unlisted-domain": (one("Neg", domain="evil.example"), "'Neg' of 'evil.example' is not allowed"),
    "26-unlisted-in-a-listed-domain": (
        one("FusedConv", domain="com.microsoft"),
        "'FusedConv' of 'com.microsoft' is not",
    ),
    "27-compiled-code": (one("EPContext", domain="com.microsoft"), "it holds one machine's compiled code"),
    "28-training": (one("Gradient", domain="ai.onnx.preview.training"), "it is for training"),
    "29-hidden-in-a-function": (
        with_functions(function("f0", helper.make_node("RandomNormalLike", ["x"], ["y"], name="n"))),
        r"^graph, function 'f0', node 'n' \('RandomNormalLike'\): the operator",
    ),
    "30-hidden-in-a-branch": (
        inside_if(helper.make_node("Loop", ["x"], ["y"], name="n"), levels=3),
        r"node \('If'\), attribute '(then|else)_branch', node 'n' \('Loop'\): the operator 'Loop'",
    ),
    "31-hidden-in-a-list-of-graphs": (attribute_of("graphs"), "attribute 'a', node .'Loop'.: the operator 'Loop'"),
    "32-call-of-no-function": (with_functions(), "'f0' of 'own' is not allowed"),
    "33-call-of-another-overload": (overloaded(), "'f0' of 'own' is not allowed"),
    "34-function-in-the-place-of-an-operator": (
        # onnxruntime runs its own Loop, and not this function, which is harmless.
        bytes(
            model_of(
                helper.make_node("Loop", ["x"], ["y"]),
                functions=[function("Loop", helper.make_node("Abs", ["x"], ["y"]), domain="")],
            ).SerializeToString()
        ),
        "function 'Loop' is defined twice, or in a domain of onnxruntime's own operators",
    ),
    "35-function-defined-twice": (
        with_functions(*[function("f0", helper.make_node("Abs", ["x"], ["y"]))] * 2),
        "function 'f0' is defined twice",
    ),
    "36-name-cut-short-by-a-zero": (one("Neg\0Loop"), r"'Neg\\x00Loop' of 'ai.onnx' is not allowed"),
    # What a graph may tell onnxruntime about its session.
    "37-session-config": (config("ort_config"), "metadata that configures onnxruntime: 'ort_config'$"),
    "38-session-config-in-capitals": (config("ORT_CONFIG"), "metadata that configures onnxruntime"),
    "39-compiled-for-a-provider": (config("ep_compatibility_info.x"), "metadata that configures onnxruntime"),
    "40-own-format": (b"\x18\0\0\0ORTM" + bytes(64), r"onnxruntime's own format \(ORTM\); expected an ONNX model$"),
    "41-training-info": (forged(lambda m: m.training_info.add()), "^graph has training_info"),
    "42-several-devices": (behind(piece(26, piece(1, b"c"))), "ModelProto has no field 26 of wire type 2$"),
    "43-node-on-a-device": (by_hand(node=piece(10, b"")), "NodeProto has no field 10 of wire type 2$"),
    # What parsers read differently: merged, dropped, last wins.
    "44-two-models": (behind(bytes(honest().SerializeToString())), "ModelProto has the field ir_version twice$"),
    "45-two-graphs": (behind(piece(7, one("Loop"))), "ModelProto has the field graph twice$"),
    "46-unknown-field": (behind(piece(99, b"payload")), "ModelProto has no field 99 of wire type 2$"),
    "47-field-zero": (behind(b"\x02\x00"), "ModelProto has no field 0 of wire type 2$"),
    "48-group": (behind(b"\x0b\x0c"), "ModelProto has no field 1 of wire type 3$"),
    "49-wrong-wire-type": (behind(number(7 << 3) + b"\x01"), "ModelProto has no field 7 of wire type 0$"),
    "50-two-operators-in-a-node": (by_hand(node=piece(4, b"Loop")), "NodeProto has the field op_type twice$"),
    "51-two-domains-in-a-node": (
        by_hand(node=piece(7, b"a") + piece(7, b"b")),
        "NodeProto has the field domain twice$",
    ),
    "52-two-tensors-in-an-attribute": (
        by_hand(node=piece(5, piece(1, b"a") + piece(5, TENSOR) * 2)),
        "attribute 'a': AttributeProto has the field t twice$",
    ),
    "53-data-twice": (
        by_hand(graph=piece(5, TENSOR + DATA + piece(4, b"\0\0\x80\x3f"))),
        "tensor 'w' has its data twice, as float_data and raw_data$",
    ),
    "54-segment": (by_hand(graph=piece(5, TENSOR + DATA + piece(3, b""))), "'w' is one segment of a tensor"),
    # What is no protobuf, or not to its end.
    "55-nothing": (b"", "^graph has no graph in it"),
    "56-a-pickle": (pickle.dumps(print), "ModelProto has no field|cut off"),
    "57-length-beyond-the-end": (behind(number(6 << 3 | 2) + number(2**20)), "ModelProto is cut off$"),
    "58-length-beyond-64-bits": (behind(number(6 << 3 | 2) + number(2**64 + 3)), "ModelProto is cut off$"),
    "59-endless-number": (behind(number(5 << 3) + b"\xff" * 10 + b"\x01"), "ModelProto is cut off$"),
    "60-length-beyond-the-message": (
        by_hand(graph=piece(5, TENSOR + number(9 << 3 | 2) + number(40) + b"\0" * 4)),
        "tensor 'w': TensorProto is cut off$",
    ),
    "61-no-graph": (number(1 << 3) + number(9) + piece(8, number(2 << 3) + number(18)), "has no graph in it"),
    "62-no-opset": (by_hand()[: -len(piece(8, number(2 << 3) + number(18)))], "does not name its opset"),
}


@pytest.mark.usefixtures("no_session")
@pytest.mark.parametrize(("raw", "says"), ATTACKS.values(), ids=ATTACKS)
def test_refused_before_a_session_exists(raw: bytes, says: str) -> None:
    """Each attack ends in one BundleError of one printable line that says what is wrong, and where."""
    with pytest.raises(BundleError) as caught:
        scan(raw)
    assert caught.type is BundleError
    assert re.search(says, str(caught.value))
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "raw",
    [
        bytes(honest().SerializeToString()),
        by_hand(),
        by_hand(graph=piece(5, TENSOR + DATA)),
        inside_if(helper.make_node("Neg", ["x"], ["y"])),
        with_functions(function("f0", helper.make_node("Neg", ["x"], ["y"]))),
        doubling(3),
        nested(30),
        config("author"),
    ],
)
def test_the_same_graphs_without_their_attack_pass(raw: bytes) -> None:
    """The forge's own graphs are refused for the attack alone."""
    scan(raw)


@pytest.mark.usefixtures("no_session")
def test_refused_when_cut_off_at_any_byte() -> None:
    """No beginning of a model passes as a model."""
    raw = by_hand(node=piece(5, piece(1, b"a") + b"\x40\x01\x40\xff\x01\x3d\0\0\0\0" + piece(9, b"LEAF")))
    scan(raw)
    for end in range(len(raw)):
        with pytest.raises(BundleError):
            scan(raw[:end])


def verdict(raw: bytes, *, session: bool = False) -> str | None:
    """The refusal of ``raw``, or None if it passes; any other error is the test's."""
    try:
        scan(raw)
        if session:
            open_session(raw, threads=1, largest_tensor=4)
    except BundleError as error:
        return str(error)
    return None


def test_no_flipped_bit_is_a_crash() -> None:
    """Whatever one wrong bit makes of a small model: it opens, or it is a BundleError of the scan or of onnxruntime."""
    raw = bytes(honest().SerializeToString())
    verdicts = []
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit >> 3] ^= 1 << (bit & 7)
        verdicts.append(verdict(bytes(changed), session=True))
    assert 0 < verdicts.count(None) < len(verdicts)
    assert all(says is None or says.isprintable() for says in verdicts)


@given(st.binary(max_size=200))
def test_random_bytes_pass_or_are_refused(raw: bytes) -> None:
    """The walk ends in a BundleError or in nothing, whatever it is given."""
    says = verdict(raw)
    assert says is None or says.isprintable()


@settings(max_examples=300)
@given(st.sampled_from(sorted(ATTACKS)), st.data())
def test_damaged_attacks_pass_or_are_refused(name: str, data: st.DataObject) -> None:
    """Graphs with a stretch of other bytes in them end in a BundleError or in nothing."""
    raw = ATTACKS[name][0][:2000]
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, min(len(raw), start + 8)))
    says = verdict(raw[:start] + data.draw(st.binary(max_size=8)) + raw[stop:])
    assert says is None or says.isprintable()


def test_a_real_file_of_onnxruntimes_own_format_is_refused_twice(tmp_path: Path) -> None:
    """The scan refuses the flatbuffer, and a session that is given it anyway does not load it."""
    path = tmp_path / "model.ort"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(honest().SerializeToString(), options, providers=["CPUExecutionProvider"])
    raw = path.read_bytes()
    onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    with pytest.raises(BundleError, match="ORTM"):
        scan(raw)
    with pytest.raises(BundleError, match="onnxruntime does not open the graph"):
        open_session(raw, threads=1, largest_tensor=0)


CHILD = """
import re, sys
from edge_runtime.session import onnxruntime, open_session

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1))

raw = bytes.fromhex(sys.argv[1])
onnxruntime.InferenceSession(bytes.fromhex(sys.argv[2]), providers=["CPUExecutionProvider"])
before = peak()
if sys.argv[3] == "bare":
    onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
else:
    open_session(raw, threads=1, largest_tensor=int(sys.argv[3]))
print(peak() - before)
"""


def grown(raw: bytes, largest_tensor: int | str) -> float:
    """MB by which the peak of a fresh process grows when it opens ``raw``. (Not by getrusage: a child's peak there
    starts at its parent's size.)"""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak is read from /proc")
    command = [sys.executable, "-P", "-c", CHILD, raw.hex(), honest().SerializeToString().hex(), str(largest_tensor)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return int(done.stdout) / 1024


def test_folding_cannot_be_a_memory_bomb() -> None:
    """A ConstantOfShape of 400 MB in 150 bytes stays unfolded, whatever largest tensor the manifest declares."""
    shape = helper.make_node("Constant", [], ["n"], value_ints=[100_000_000])
    nodes = [shape, helper.make_node("ConstantOfShape", ["n"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    raw = bytes(model_of(*nodes).SerializeToString())
    scan(raw)
    assert grown(raw, "bare") > 200
    assert grown(raw, 0) < 16
    assert grown(raw, 2**62) < 16
