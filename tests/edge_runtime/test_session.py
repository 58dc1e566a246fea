"""The session: its locked options, its refusals, and how inputs and outputs are read off it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import BundleError, UnsupportedModelError
from edge_runtime.schema import TENSOR_DTYPES, TensorSpec
from edge_runtime.session import DTYPES, inputs_of, open_session, outputs_of

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
FOLDED = "optimization.constant_folding_max_output_size_in_bytes"


def identity(dtype: int = TensorProto.FLOAT, shape: list[int | str | None] | None = None) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, dtype, shape) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9)


def opened(model: onnx.ModelProto, *, threads: int = 1, largest_tensor: int = 0) -> onnxruntime.InferenceSession:
    return open_session(model.SerializeToString(), threads=threads, largest_tensor=largest_tensor)


# ---- Locked options.


@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_has_the_locked_options(threads: int) -> None:
    """CPU and nothing else, in one order, silent, no profile, the number of threads that was asked for."""
    session = opened(identity(), threads=threads)
    options = session.get_session_options()
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session._enable_fallback is False
    assert options.intra_op_num_threads == threads
    assert options.inter_op_num_threads == 1
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.log_severity_level == 4
    assert options.enable_profiling is False
    assert options.optimized_model_filepath == ""
    assert options.get_session_config_entry("session.load_model_format") == "ONNX"
    if threads > 1:
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("largest_tensor", "bound"), [(0, 65_536), (65_537, 65_537), (320_000, 320_000), (2**62, None)]
)
def test_folding_is_bounded_by_what_is_declared_and_by_the_graph(largest_tensor: int, bound: int | None) -> None:
    """No less than 64 KiB, no more than eight times the graph, whatever the manifest says."""
    model = identity()
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(10_000, np.float32), "w"))
    options = opened(model, largest_tensor=largest_tensor).get_session_options()
    assert options.get_session_config_entry(FOLDED) == str(bound or 8 * len(model.SerializeToString()))


def test_a_graph_does_not_configure_its_own_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment may tell onnxruntime to obey a graph's metadata; here it does not, and no profile is written."""
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    monkeypatch.chdir(tmp_path)
    model = identity()
    config = {"session_options": {"enable_profiling": 1, "intra_op_num_threads": 5}}
    helper.set_model_props(model, {"ort_config": json.dumps(config)})
    options = opened(model).get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.enable_profiling is False
    assert list(tmp_path.iterdir()) == []


def test_every_graph_opens_where_the_environment_asks_for_its_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime 1.32 opens nothing at all where the variable says yes and the argument no."""
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    assert opened(identity()).run(["y"], {"x": np.ones(1, np.float32)}) == [1.0]


def alone(code: str, argument: str, **environment: str) -> str:
    """What a fresh process prints; it says nothing on stderr."""
    command = [sys.executable, "-P", "-c", code, argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    assert done.stderr == ""
    return done.stdout


OPEN = """
from edge_runtime.session import open_session
session = open_session(bytes.fromhex(sys.argv[1]), threads=1, largest_tensor=0)
"""


@pytest.mark.parametrize("first", ["import sys, edge_runtime", "import sys, edge_runtime.session"])
def test_onnxruntime_keeps_no_telemetry(tmp_path: Path, first: str) -> None:
    """Its official builds write a database and a device identifier into the user's cache; ours may not."""
    raw = identity().SerializeToString().hex()
    alone(first + OPEN, raw, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"), ORT_DISABLE_TELEMETRY="0")
    assert list(tmp_path.rglob("*")) == []


IDLE = """
import sys, time, numpy
from edge_runtime.session import open_session
session = open_session(open(sys.argv[1], "rb").read(), threads=2, largest_tensor=0)
for _ in range(20):
    session.run(None, {"x": numpy.ones((64, 512), numpy.float32)})
start = time.process_time()
time.sleep(0.5)
print(time.process_time() - start)
"""


def test_an_idle_session_uses_no_processor(tmp_path: Path) -> None:
    """Two threads that have just worked sleep while there is nothing to do."""
    model = identity(shape=[None, 512])
    model.graph.node[0].CopyFrom(helper.make_node("MatMul", ["x", "w"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((512, 512), np.float32), "w"))
    path = tmp_path / "wide.onnx"
    onnx.save(model, path)
    assert float(alone(IDLE, str(path))) < 0.05


# ---- Refusals.

GARBAGE = {
    "nothing": b"",
    "text": b"a graph",
    "cut off": identity().SerializeToString()[:-3],
    "unknown operator": identity().SerializeToString().replace(b"Identity", b"Identify"),
    "name that is no text": identity().SerializeToString().replace(b"Identity", b"Id\xff\x1b\x0atty"),
    "onnxruntime's format": b"\x18\0\0\0ORTM" + bytes(100),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_what_onnxruntime_refuses_is_a_bundle_error_of_one_line(raw: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """Its reason is in the message, and nothing is printed besides."""
    with pytest.raises(BundleError, match=r"^onnxruntime does not open the graph: ") as caught:
        open_session(raw, threads=1, largest_tensor=0)
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


def test_a_failing_run_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Errors are raised, and only raised."""
    model = identity(shape=[None])
    model.graph.node[0].op_type = "Reshape"
    model.graph.node[0].input.append("shape")
    model.graph.initializer.append(numpy_helper.from_array(np.array([7]), "shape"))
    session = opened(model)
    with pytest.raises(Exception, match="Reshape"):
        session.run(None, {"x": np.ones(3, np.float32)})
    assert capfd.readouterr() == ("", "")


# ---- Inputs and outputs.

NAMES = ["bool", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
ONNX_DTYPES: dict[str, int] = {name: getattr(TensorProto, name.upper()) for name in NAMES}
ONNX_DTYPES |= {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "str": TensorProto.STRING}


def test_every_dtype_of_the_schema_is_read() -> None:
    """Neither more nor less than schema.TENSOR_DTYPES."""
    assert set(DTYPES.values()) == TENSOR_DTYPES == set(ONNX_DTYPES)


@pytest.mark.parametrize(("dtype", "code"), ONNX_DTYPES.items())
def test_inputs_and_outputs_have_name_dtype_and_shape(dtype: str, code: int) -> None:
    """Axes without a size, or with the name of one, are free."""
    session = opened(identity(code, [None, "rows", 3]))
    assert inputs_of(session) == (TensorSpec("x", dtype, (None, None, 3)),)
    assert outputs_of(session) == (TensorSpec("y", dtype, (None, None, 3)),)


def test_an_initializer_is_no_input() -> None:
    """Old files list their weights among the inputs."""
    model = identity(shape=[2])
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.float32), "w"))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    assert [spec.name for spec in inputs_of(opened(model))] == ["x"]


def test_a_dtype_that_the_schema_lacks_is_refused() -> None:
    """The error names the tensor and what to cast it to."""
    with pytest.raises(
        UnsupportedModelError, match=r"input 'x' is tensor\(bfloat16\); cast it to one of bool, float16"
    ):
        inputs_of(opened(identity(TensorProto.BFLOAT16, [1])))


def test_maps_are_refused_with_the_option_that_avoids_them() -> None:
    """skl2onnx's default for classifiers is a list of dicts."""
    model = identity(shape=[None, 2])
    model.graph.node[0].CopyFrom(
        helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    )
    maps = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    model.graph.output[0].type.CopyFrom(helper.make_sequence_type_proto(maps))
    with pytest.raises(UnsupportedModelError, match=r"output 'y' is seq\(map\(.*options=\{'zipmap': False\}$"):
        outputs_of(opened(model))


@pytest.mark.parametrize("make", [helper.make_sequence_type_proto, helper.make_optional_type_proto])
def test_lists_and_optional_values_are_refused(make: object) -> None:
    """A schema has tensors only."""
    model = identity()
    kind = make(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))  # type: ignore[operator]
    for value in (*model.graph.input, *model.graph.output):
        value.type.CopyFrom(kind)
    session = opened(model)
    with pytest.raises(UnsupportedModelError, match=r"input 'x' is \w+\(tensor\(float\)\), not a tensor"):
        inputs_of(session)


def test_a_tensor_name_that_is_no_text_is_a_bundle_error() -> None:
    """onnxruntime opens such a graph and fails when asked for the name."""
    raw = identity(shape=[1]).SerializeToString().replace(b"\x01x", b"\x01\xff")
    session = open_session(raw, threads=1, largest_tensor=0)
    with pytest.raises(BundleError, match=r"an input of the graph has a name that is not UTF-8$"):
        inputs_of(session)
