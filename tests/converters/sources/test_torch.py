"""PyTorch as a source: modules of many kinds, exported programs, quantization-aware training, files."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from edge_runtime.converters.files import read_model
from edge_runtime.converters.network import Network
from edge_runtime.converters.samples import Tensors, tensors_of
from edge_runtime.converters.source import Request, read_any
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.golden import differences

PIXELS, DIGITS = load_digits(return_X_y=True)
IMAGES = (PIXELS / 16).astype(np.float32).reshape(-1, 1, 8, 8)
DRAW = np.random.default_rng(5)
LEFT, RIGHT = (DRAW.normal(size=(40, width)).astype(np.float32) for width in (4, 3))
IDS = [{"ids": DRAW.integers(0, 50, (1, length))} for length in (3, 9, 5, 1)]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Each test trains the same network each time, and what it calls leaves torch's threads as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


def trained(module: Any, steps: int = 15) -> Any:
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.tensor(IMAGES[:256])), torch.tensor(DIGITS[:256])).backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return module


def read(module: Any, data: Any) -> Network:
    tensors = tensors_of(data, None)
    assert tensors is not None
    network = read_any(module, Request(None, "auto", None, tensors))
    assert isinstance(network, Network)
    return network


def largest(network: Network, tensors: Tensors | None, most: int = 60) -> dict[str, float]:
    """The largest difference of graph and source per output."""
    assert tensors is not None
    session = onnxruntime.InferenceSession(network.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    samples = tensors.of(network.schema.inputs)
    made = dict.fromkeys(names, 0.0)
    for i in range(min(len(samples), most)):
        feed = samples.feed(i)
        wanted = network.reference(feed)
        assert list(wanted) == names
        for name, found in zip(names, session.run(names, feed), strict=True):
            made[name] = max(made[name], float(differences(found, wanted[name]).max(initial=0.0)))
    return made


def cnn() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(288, 10)
    )


class Two(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(3, 8)

    def forward(self, left: Any, right: Any, scale: Any = None) -> Any:
        hidden = torch.relu(self.a(left) + self.b(right))
        hidden = hidden if scale is None else hidden * scale
        return {"score": hidden.sum(1), "best": hidden.argmax(1), "left": left * 2}


class Text(nn.Module):  # type: ignore[misc]
    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(50, 8), layer(8, 16, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(32, 3)

    def forward(self, ids: Any) -> Any:
        found, _ = self.layer(self.embedding(ids))
        return self.scores(found.mean(1)), found


class Flow(nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return x * 2 if x.sum() > 0 else x - 1


class Counting(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        self.seen += 1
        return x + self.seen


class Told(nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return x, "text"


class Cell(nn.Module):  # type: ignore[misc]
    """A step of a stream: state in, state out."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(16, 8)

    def forward(self, sound: Any, state: Any) -> Any:
        found, (hidden, memory) = self.cell(sound[None], (state[0], state[1]))
        return found[0], torch.stack([hidden, memory])


@dataclasses.dataclass
class Answer:
    logits: Any
    attention: Any = None


class Plain(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        return Answer(self.linear(x))


# What is exported


def test_a_cnn_takes_any_number_of_rows_and_stays_in_training() -> None:
    """The user's module is asked in evaluation mode, and given back as it was."""
    module = trained(cnn()).train()
    module[1].eval()
    before = {name: values.clone() for name, values in module.state_dict().items()}
    network = read(module, IMAGES)
    (only,) = network.schema.inputs
    assert (only.name, only.dtype, only.shape) == ("input", "float32", (None, 1, 8, 8))
    assert [output.shape for output in network.schema.outputs] == [(None, 10)]
    assert network.framework == f"PyTorch {torch.__version__.partition('+')[0]}"
    assert largest(network, tensors_of(IMAGES, None))["output"] < 1e-5
    assert (module.training, module[1].training, module[3].training) == (True, False, True)
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())


def test_nothing_of_the_training_machine_is_in_the_graph(capfd: pytest.CaptureFixture[str]) -> None:
    """PyTorch writes a stack trace to each node; and it says what it does."""
    raw = read(cnn(), IMAGES).graph.SerializeToString()
    assert b"stack_trace" not in raw
    assert b".py" not in raw
    assert capfd.readouterr() == ("", "")


def test_bytes_go_to_a_module_of_floats_as_floats() -> None:
    """The module is asked which dtype it takes."""
    network = read(cnn(), {"input": PIXELS.astype(np.uint8).reshape(-1, 1, 8, 8)})
    assert network.schema.inputs[0].dtype == "float32"


def test_several_inputs_and_a_dict_of_outputs_keep_their_names() -> None:
    """An output by the name of an input gets another: a graph has one tensor of a name."""
    data = {"right": RIGHT, "left": LEFT}
    network = read(Two(), data)
    assert [spec.name for spec in network.schema.inputs] == ["left", "right"]
    assert [(spec.name, spec.dtype) for spec in network.schema.outputs] == [
        ("score", "float32"),
        ("best", "int64"),
        ("left_out", "float32"),
    ]
    assert max(largest(network, tensors_of(data, None)).values()) < 1e-5
    scaled = read(Two(), {**data, "scale": LEFT[:, :1]})
    assert [spec.name for spec in scaled.schema.inputs] == ["left", "right", "scale"]


def test_a_dataclass_gives_its_fields() -> None:
    """Those that are None are left away."""
    network = read(Plain(), IMAGES)
    assert [spec.name for spec in network.schema.outputs] == ["logits"]


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM])
def test_ids_of_any_length_go_through_recurrent_layers(layer: Any) -> None:
    """The layer stays one operator: written out, it would have the steps of the example."""
    network = read(Text(layer), IDS)
    (only,) = network.schema.inputs
    assert (only.dtype, only.shape) == ("int64", (None, None))
    assert [node.op_type for node in network.graph.graph.node].count(layer.__name__) == 1
    assert max(largest(network, tensors_of(IDS, None)).values()) < 1e-5
    assert not {"gru", "lstm"} & set(vars(torch._VF))


def test_a_transformer_takes_sequences_of_any_length() -> None:
    """Its axis of time is free, since the samples differ in it."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    data = [{"src": DRAW.normal(size=(1, length, 16)).astype(np.float32)} for length in (4, 9)]
    network = read(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), data)
    assert network.schema.inputs[0].shape == (None, None, 16)
    assert largest(network, tensors_of(data, None))["output"] < 1e-5


def test_a_state_that_has_no_rows_keeps_its_shape() -> None:
    """What cannot take two rows at a time takes one."""
    data = [
        {"sound": DRAW.normal(size=(1, 16)).astype(np.float32), "state": np.zeros((2, 1, 1, 8), np.float32)}
        for _ in range(3)
    ]
    network = read(Cell(), data)
    assert [spec.shape for spec in network.schema.inputs] == [(1, 16), (2, 1, 1, 8)]
    assert max(largest(network, tensors_of(data, None)).values()) < 1e-5


def test_an_exported_program_is_taken_with_its_own_axes() -> None:
    """The names are those of its forward."""
    rows = torch.export.Dim.DYNAMIC
    made = (torch.tensor(LEFT[:2]), torch.tensor(RIGHT[:2]))
    program = torch.export.export(Two().eval(), made, dynamic_shapes=({0: rows}, {0: rows}))
    data = {"left": LEFT, "right": RIGHT}
    network = read(program, data)
    assert [spec.shape for spec in network.schema.inputs] == [(None, 4), (None, 3)]
    assert [spec.name for spec in network.schema.outputs] == ["score", "best", "left_out"]
    assert max(largest(network, tensors_of(data, None)).values()) < 1e-5
    training = torch.export.export(cnn().train(), (torch.tensor(IMAGES[:2]),))
    with pytest.raises(UnsupportedModelError, match=r"exported while training; export it after module\.eval"):
        read(training, IMAGES)


# Training for quantization


def quantized(engine: str, mode: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao says that it will move
        import torch.ao.quantization as tq
        from torch.ao.quantization.quantize_fx import prepare_qat_fx

        layers = [nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
        module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10)).train()
        if mode == "fx":
            mapping = tq.get_default_qat_qconfig_mapping(engine)
            return trained(prepare_qat_fx(module, mapping, (torch.tensor(IMAGES[:2]),)))
        module = nn.Sequential(tq.QuantStub(), *module, tq.DeQuantStub()).train()
        module = tq.fuse_modules_qat(module, [["1", "2", "3"], ["4", "5"]])
        module.qconfig = tq.get_default_qat_qconfig(engine)
        return trained(tq.prepare_qat(module))


@pytest.mark.parametrize(("engine", "mode"), [("x86", "eager"), ("qnnpack", "eager"), ("x86", "fx")])
def test_fake_quantization_arrives_as_linear_nodes(engine: str, mode: str) -> None:
    """Weights are integers in the file. Where a value lies between two integers, either may come out, so the tolerance
    is one of steps; without fusion, which sums in another order, hardly any does."""
    module = quantized(engine, mode)
    before = {name: values.clone() for name, values in module.state_dict().items()}
    network = read(module, IMAGES)
    operators = [node.op_type for node in network.graph.graph.node]
    assert operators.count("QuantizeLinear") >= 4
    assert operators.count("DequantizeLinear") >= operators.count("QuantizeLinear") + 3
    assert "BatchNormalization" not in operators
    assert ("Clip" in operators) == (engine == "x86")  # its default leaves a bit unused, for CPUs without VNNI
    bits = {tensor.data_type for tensor in network.graph.graph.initializer if len(tensor.dims) > 1}
    assert bits == {3}  # int8
    feed = {network.schema.inputs[0].name: IMAGES}
    wanted = next(iter(network.reference(feed).values()))
    session = onnxruntime.InferenceSession(network.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    gaps = differences(session.run(None, feed)[0], wanted).max(axis=1)
    assert gaps.max() <= network.tolerance
    assert (gaps > 1e-4).mean() < 0.1
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())


def test_what_no_longer_or_not_yet_rounds_is_refused() -> None:
    """Integer operators of PyTorch's own have no ONNX form with the same answers; observers round nothing."""
    module = quantized("x86", "eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch.ao.quantization as tq

        converted = tq.convert(module.eval())
        observed = nn.Sequential(tq.QuantStub(), nn.Linear(8, 2)).eval()
        observed.qconfig = tq.get_default_qconfig("x86")
        tq.prepare(observed, inplace=True)
    with pytest.raises(UnsupportedModelError, match=r"integer operators; pass the module as prepare_qat"):
        read(converted, IMAGES)
    with pytest.raises(UnsupportedModelError, match="observes ranges, and rounds nothing yet"):
        read(observed, IMAGES)


# What is refused


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            Flow,
            r"cannot export the module \(Could not guard on data-dependent expression .*torch\.where or torch\.cond",
        ),
        (Counting, r"keeps what it has seen in 'seen'; take the state as an input"),
        (Told, r"answers with str; let forward return tensors"),
        (lambda: cnn().half(), r"weights of float16; pass module\.float\(\)"),
        (lambda: cnn().to("meta"), r"lies on meta; pass module\.cpu\(\)"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(module: Callable[[], Any], said: str) -> None:
    """With the exporter's reason, and what to do."""
    with pytest.raises(UnsupportedModelError, match=said) as caught:
        read(module(), IMAGES)
    assert "\n" not in str(caught.value)


def test_a_plain_recurrent_layer_needs_samples_of_one_length() -> None:
    """The exporter writes it out, so the axis cannot be free; that is said, not the exporter's own words."""
    with pytest.raises(UnsupportedModelError, match=r"axis 1 of 'ids' free, only at 9 as in one sample; bring all"):
        read(Text(nn.RNN), IDS)


@pytest.mark.parametrize(
    ("module", "data", "said"),
    [
        (cnn, {"x": IMAGES}, r"\['x'\]; expected those of forward: \['input'\]"),
        (Two, {"left": LEFT, "q": RIGHT}, r"those of forward: \['left', 'right'\], and if wanted \['scale'\]"),
        (Two, IMAGES, r"one array, and forward takes several; expected a dict of \['left', 'right'\]"),
        (cnn, IMAGES[:, 0], r"does not take its own sample \(expected 4D.*given \{'input': 'float32\[1, 8, 8\]'\}"),
        (cnn, IMAGES + np.float64(1e-12), r"float64 values that float32 cannot hold \(column 'input'\)"),
        (cnn, [{"input": IMAGES[:1]}, {"other": IMAGES[:1]}], r"sample 1 has the tensors \['other'\]"),
    ],
)
def test_samples_that_do_not_fit_are_refused_before_the_long_work(module: Any, data: Any, said: str) -> None:
    """With the tensors that forward takes."""
    with pytest.raises(InputError, match=said):
        read(module(), data)


# Files


def test_files_are_opened_with_trust_only(tmp_path: Path) -> None:
    """PyTorch unpickles parts of each of them, .pt2 included."""
    program = torch.export.export(cnn().eval(), (torch.tensor(IMAGES[:2]),))
    torch.export.save(program, tmp_path / "a.pt2")
    torch.save(cnn(), tmp_path / "b.pt")
    torch.save(cnn().state_dict(), tmp_path / "c.pth")
    (tmp_path / "d.pt").write_bytes(b"none")
    for name in ("a.pt2", "b.pt", "c.pth"):
        with pytest.raises(UnsupportedModelError, match=r"runs whatever code is in it; if you trust"):
            read_model(str(tmp_path / name), trust=False)
    assert isinstance(read_model(str(tmp_path / "a.pt2"), trust=True), torch.export.ExportedProgram)
    assert isinstance(read_model(str(tmp_path / "b.pt"), trust=True), nn.Sequential)
    with pytest.raises(UnsupportedModelError, match="holds a state_dict, weights without the module; make the module"):
        read_model(str(tmp_path / "c.pth"), trust=True)
    with pytest.raises(UnsupportedModelError, match=r"d\.pt: it cannot be opened"):
        read_model(str(tmp_path / "d.pt"), trust=True)


def test_looking_for_a_reader_does_not_load_torch() -> None:
    """It takes two seconds, and most models are others."""
    code = (
        "import sys; from edge_runtime.converters.source import readers; list(readers());"
        " print('torch' in sys.modules, 'keras' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["False", "False"]
