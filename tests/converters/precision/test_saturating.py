"""The proof that nothing saturates without VNNI, against the instruction itself, emulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from edge_runtime.converters.precision.bench import Bench
from edge_runtime.converters.precision.calibrating import METHODS, calibrate
from edge_runtime.converters.precision.cpu import Combination, InstructionSet, combinations, instruction_set
from edge_runtime.converters.precision.integers import dynamic, static
from edge_runtime.converters.precision.saturating import fits, offending, repaired

U8S8 = Combination("uint8", "int8", per_channel=True, reduce_range=False)
AVX2 = InstructionSet("x86_64", "avx2")
VNNI = InstructionSet("x86_64", "avx512 vnni")


def maddubs(activations: Any, weights: Any) -> Any:
    """vpmaddubsw: u8 by s8, neighbours added and cut to 16 bits."""
    products = activations.astype(np.int64) * weights.astype(np.int64)
    return np.clip(products[..., ::2] + products[..., 1::2], -(2**15), 2**15 - 1)


def saturates(weights: Any, orders: int, seed: int) -> bool:
    """In some order of a channel's weights [channels, K], under the worst activations."""
    rng = np.random.default_rng(seed)
    weights = np.pad(weights, ((0, 0), (0, weights.shape[1] % 2)))
    for _ in range(orders):
        mixed = weights[:, rng.permutation(weights.shape[1])]
        for activations in (
            np.where(mixed > 0, 255, 0),
            np.where(mixed < 0, 255, 0),
            rng.integers(0, 256, mixed.shape),
        ):
            exact = (activations * mixed.astype(np.int64)).reshape(len(mixed), -1, 2).sum(axis=2)
            if (maddubs(activations, mixed) != exact).any():
                return True
    return False


@given(
    st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([20, 60, 64, 65, 90, 127]),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_what_is_proven_never_saturates(channels: int, length: int, seed: int, most: int) -> None:
    """Random weights in many orders, under the activations that are worst for each pair."""
    weights = np.random.default_rng(seed).integers(-most, most + 1, (channels, length)).astype(np.int8)
    if fits(weights, (0,)):
        assert not saturates(weights, 20, seed)


@pytest.mark.parametrize(
    ("weights", "proven"),
    [
        ([[64, 64, -64, -64]], True),
        ([[65, 64, 0, 0]], False),
        ([[-65, 0, 0, -64]], False),
        ([[127, 1, -127, -1]], True),
        ([[127, 2, 0, 0]], False),
        ([[127, -127]], True),
        ([[127]], True),
        ([[-128, 0, 100]], True),
        ([[100, 0], [0, 100]], True),
    ],
)
def test_the_bound_is_sharp(weights: list[list[int]], proven: bool) -> None:
    """Pairs of one sign up to 128 are proven; from 129 on an order saturates; channels do not mix."""
    array = np.array(weights, np.int8)
    assert fits(array, (0,)) is proven
    assert saturates(array, 50, 0) is (not proven and bool(np.abs(array).astype(int).sum() * 255 > 2**15 - 1))


def test_axes_of_channels_are_kept_apart() -> None:
    """A MatMul's channels are its last axis."""
    weights = np.array([[100, 0], [0, 100]], np.int8)
    assert fits(weights, (1,))
    assert not fits(np.array([[100, 0], [100, 0]], np.int8), (1,))


def ranges_of(networks: Any, name: str) -> Any:
    feeds = networks.digits_feeds(range(20)) if name == "digits" else networks.feeds(name, 2)
    return calibrate(networks.ready(name), feeds, methods=["minmax"])["minmax"]


@pytest.mark.parametrize("name", ["digits", "magika", "silero"])
def test_offending_nodes_are_repaired_with_7_bits_and_proven(networks: Any, name: str) -> None:
    """U8S8 of 8 bits is not proven; repaired it is; U8U8 and reduced ranges are from the start."""
    model, ranges = networks.ready(name), ranges_of(networks, name)
    bad = offending(static(model, ranges, None, U8S8))
    made = repaired(model, ranges, None, U8S8)
    assert bad
    assert made.nodes == bad
    assert made.unproven == () == offending(made.model)
    assert offending(static(model, ranges, None, Combination("uint8", "uint8", False, False))) == ()
    assert offending(static(model, ranges, None, U8S8._replace(reduce_range=True))) == ()


def test_only_the_node_with_large_pairs_is_quantized_again(networks: Any) -> None:
    """Where one Gemm has a single large weight per channel, it keeps its 8 bits."""
    model = onnx.ModelProto()
    model.CopyFrom(networks.ready("digits"))
    gemms = [node for node in model.graph.node if node.op_type == "Gemm"]
    weight = next(t for t in model.graph.initializer if t.name == gemms[1].input[1])
    tame = np.full(tuple(weight.dims), 1e-4, np.float32)
    tame[0] = 1
    weight.CopyFrom(numpy_helper.from_array(tame, weight.name))
    made = repaired(model, calibrate(model, networks.digits_feeds(range(20)), methods=["minmax"])["minmax"], None, U8S8)
    assert gemms[0].name in made.nodes
    assert gemms[1].name not in made.nodes
    largest = {t.name: np.abs(numpy_helper.to_array(t)).max() for t in made.model.graph.initializer if t.data_type == 3}
    assert largest[f"{gemms[0].input[1]}_quantized"] <= 64
    assert largest[f"{gemms[1].input[1]}_quantized"] == 127


def test_an_injected_saturating_weight_is_found(networks: Any) -> None:
    """Two weights of a proven graph become 100."""
    model = networks.ready("digits")
    made = static(model, ranges_of(networks, "digits"), None, U8S8._replace(reduce_range=True))
    conv = next(node for node in made.graph.node if node.op_type == "Conv")
    source = next(node.input[0] for node in made.graph.node if node.output[0] == conv.input[1])
    weight = next(tensor for tensor in made.graph.initializer if tensor.name == source)
    values = numpy_helper.to_array(weight).copy()
    values[5, 0, 0, :2] = 100
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    assert offending(made) == (conv.name,)


def test_dynamic_weights_of_7_bits_are_proven(networks: Any) -> None:
    """LSTMs, too: onnxruntime makes their weights s8 whatever is asked."""
    model = networks.ready("silero")
    assert offending(dynamic(model))
    assert offending(dynamic(model, reduce_range=True)) == ()


def test_what_is_tried_depends_on_the_instructions(tmp_path: Any) -> None:
    """7 bits where sums saturate, signed activations first on ARM; unknown machines count as saturating."""
    assert combinations(AVX2)[0].reduce_range
    assert not combinations(InstructionSet("x86_64", "avx512 vnni"))[0].reduce_range
    assert combinations(InstructionSet("arm64", "arm neon"))[0].activation == "int8"
    assert InstructionSet("riscv64", "unknown").saturates
    assert instruction_set(str(tmp_path / "nowhere")).integers in ("unknown", "arm neon")


@pytest.mark.parametrize(
    ("machine", "line", "integers"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512bw avx512_vnni", "avx512 vnni"),
        ("x86_64", "flags\t\t: fpu avx2 avx_vnni", "avx vnni"),
        ("x86_64", "flags\t\t: fpu avx2", "avx2"),
        ("x86_64", "flags\t\t: fpu sse4_1", "sse"),
        ("aarch64", "Features\t: fp asimd asimddp i8mm", "arm i8mm"),
        ("aarch64", "Features\t: fp asimd asimddp", "arm dotprod"),
    ],
)
def test_instructions_are_read_off_the_cpus_flags(
    machine: str, line: str, integers: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux lists them."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert instruction_set(str(tmp_path / "cpuinfo")) == (machine, integers)


def test_every_recipe_of_integers_is_proven_or_has_the_option(networks: Any) -> None:
    """On the digits' CNN: for a CPU without VNNI, and of 8-bit weights only where the session's option is set."""
    feeds = networks.digits_feeds(range(20))
    for here in (AVX2, VNNI):
        bench = Bench(networks.ready("digits").SerializeToString(), feeds, here)
        heavy = [node.name for node in bench.layers()]
        made = [bench.static(heavy, each, method) for each in bench.combinations for method in METHODS]
        for each in (*made, bench.static(None), bench.dynamic()):
            assert (offending(each.graph) == ()) is not each.precise
            assert not each.precise
        assert bench.static(heavy, bench.combinations[0], repair=False).precise is (here == VNNI)
