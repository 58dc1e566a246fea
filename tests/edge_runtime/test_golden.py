"""Golden rows: what was recorded comes back exactly, and nothing that differs passes for equal."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.errors import BundleError, UnsupportedModelError
from edge_runtime.golden import (
    POSITIONS,
    Sample,
    VerificationReport,
    decode,
    decode_answers,
    differences,
    encode,
    encode_answers,
    places,
    report,
)
from edge_runtime.schema import TENSOR_DTYPES, ColumnSpec, Schema, TensorSpec

INF, NAN = math.inf, math.nan
TABLE = Schema(
    (
        ColumnSpec("x", "float64", True, "x", 0, -INF, INF),
        ColumnSpec("n", "int64", True, "x", 1, -(2.0**53), 2.0**53),
        ColumnSpec("t", "str", True, "x", 2, categories=("NaN", "a")),
        ColumnSpec("b", "bool", True, "x", 3),
    ),
    (TensorSpec("x", "float64", (None, 4)),),
    (
        TensorSpec("label", "str", (None,)),
        TensorSpec("p", "float64", (None, 2)),
        TensorSpec("yes", "bool", (None,)),
    ),
)
TENSORS = Schema(
    (), (TensorSpec("x", "float32", (None,)),), (TensorSpec("y", "float32", (None,)), TensorSpec("s", "str", (None,)))
)


def again(samples: list[Sample], schema: Schema) -> list[Sample]:
    entries = encode(samples, schema)
    assert next(iter(entries)) == "golden.json"
    json.loads(entries["golden.json"], parse_constant=pytest.fail)  # strict JSON: no NaN, no Infinity
    return decode(entries["golden.json"], schema, entries.__getitem__)


WORDS = st.sampled_from(["NaN", "Infinity", "-Infinity", "", "é", '"', "null"])


@given(
    x=st.none() | st.floats(),
    n=st.none() | st.integers(-(2**53), 2**53),
    t=st.none() | WORDS,
    b=st.none() | st.booleans(),
    label=WORDS,
    p=st.lists(st.floats(), min_size=2, max_size=2),
    yes=st.booleans(),
)
def test_rows_of_tables_come_back(**values: Any) -> None:
    """Numbers to their last bit, non-finite ones as words, text that looks like those words as text."""
    wanted = Sample({k: values[k] for k in "xntb"}, {k: values[k] for k in ("label", "p", "yes")})
    (found,) = again([wanted], TABLE)
    assert repr(found) == repr(wanted)


NUMBERS = sorted(TENSOR_DTYPES - {"str"})


def values_of(dtype: str, shape: tuple[int, ...], seed: int = 0) -> NDArray[Any]:
    """Any bits at all."""
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random(shape) < 0.5
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(random.bytes(size), dtype).reshape(shape)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", [(), (3,), (1, 3, 20, 20), (0, 4)])
def test_tensors_come_back_to_their_last_bit(dtype: str, shape: tuple[int, ...]) -> None:
    """Inputs whole, a scalar among them; outputs at their positions."""
    x, y = values_of(dtype, shape), values_of(dtype, shape, 1)
    (found,) = again([Sample({"x": x}, {"y": y})], TENSORS)
    assert (found.inputs["x"].dtype, found.inputs["x"].shape) == (x.dtype, x.shape)
    assert found.inputs["x"].tobytes() == x.tobytes()
    assert found.positions is not None
    kept = found.positions["y"]
    assert found.shapes == {"y": shape}
    assert differences(y.ravel()[kept], found.outputs["y"]).max(initial=0.0) == 0.0


def test_bytes_are_little_endian_and_row_major() -> None:
    """Whatever the order in memory; a reader in another language needs nothing else."""
    x = np.arange(6, dtype=">i2").reshape(2, 3)
    for given_ in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        entries = encode([Sample({"x": given_}, {})], TENSORS)
        assert entries["golden/0-0.bin"] == b"\0\0\1\0\2\0\3\0\4\0\5\0"
        document = json.loads(entries["golden.json"])
        assert document["samples"][0]["inputs"]["x"] == {"dtype": "int16", "entry": "golden/0-0.bin", "shape": [2, 3]}


def test_each_tensor_has_an_entry_of_its_own() -> None:
    """By sample and input."""
    samples = [Sample({"a": np.zeros(2), "b": np.ones(1)}, {}) for _ in range(2)]
    assert list(encode(samples, TENSORS)) == [
        "golden.json", "golden/0-0.bin", "golden/0-1.bin", "golden/1-0.bin", "golden/1-1.bin",
    ]  # fmt: skip


@pytest.mark.parametrize("text", [np.array(["a"]), np.array(["a"], object), ["a"]])
def test_text_tensors_have_no_form(text: Any) -> None:
    """They are refused, instead of written as whatever lies in memory."""
    with pytest.raises(UnsupportedModelError, match="golden samples hold numbers only"):
        encode([Sample({"x": text}, {})], TENSORS)


def test_text_outputs_are_text() -> None:
    """A word that stands for a number elsewhere is a word."""
    (found,) = again([Sample({}, {"s": np.array(["NaN", "a"], object), "y": np.array([NAN, INF, -INF, 1.0])})], TENSORS)
    assert found.outputs["s"].tolist() == ["NaN", "a"]
    assert differences(found.outputs["y"], np.array([NAN, INF, -INF, 1.0])).tolist() == [0.0] * 4


@given(st.integers(0, 100_000))
def test_places_are_few_spread_and_reach_both_ends(size: int) -> None:
    """All of a small output; of a large one 256, the first and the last among them."""
    found = places(size).tolist()
    assert len(found) == len(set(found)) == min(size, POSITIONS)
    assert found == sorted(found)
    assert size == 0 or (found[0], found[-1]) == (0, size - 1)


TENSOR = {"dtype": "float32", "entry": "golden/0-0.bin", "shape": [2]}
OUT = {"positions": [0], "shape": [1], "values": [1.0]}


def of_tensor(**changes: Any) -> Any:
    return {"samples": [{"inputs": {"x": {**TENSOR, **changes}}, "outputs": {}}]}


def of_output(**changes: Any) -> Any:
    return {"samples": [{"inputs": {}, "outputs": {"y": {**OUT, **changes}}}]}


NO_TABLES: list[Any] = [
    [], {}, {"rows": []}, {"rows": [{}], "outputs": []}, {"rows": [1], "outputs": [1]}, {"rows": [{}], "outputs": [[]]},
    {"rows": None, "outputs": None},
]  # fmt: skip
NO_SAMPLES: list[Any] = [
    [], {}, {"samples": None}, {"samples": [1]}, {"samples": [{"inputs": {}}]},
    {"samples": [{"inputs": {"x": 1}, "outputs": {}}]},
]  # fmt: skip
NO_TENSORS: dict[str, list[Any]] = {
    "dtype": ["O", "object", "str", "U1", "S4", "datetime64[s]", "f4,f4", "float128", "<f4", "(,)f4", None, {}, []],
    "shape": [[3], [2**70], [-2], ["a"], [2.0], [True, 2], {}, [[2]], None],
    "entry": ["golden/missing.bin", None, [], {}],
}
NO_OUTPUTS: dict[str, list[Any]] = {
    "positions": [[0, 1], [], [[0]], 0, None, [2**70], ["a"], {}],
    "values": [[], [1.0, 2.0], [[1.0]], 1.0, [[1.0], [2.0, 3.0]], {}],
    "shape": [None, {}, [-1], ["1"], [1.0], 1],
}


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        *((TABLE, document) for document in NO_TABLES),
        *((TENSORS, document) for document in NO_SAMPLES),
        *((TENSORS, of_tensor(**{field: value})) for field, values in NO_TENSORS.items() for value in values),
        *((TENSORS, of_output(**{field: value})) for field, values in NO_OUTPUTS.items() for value in values),
    ],
    ids=lambda value: "table" if value is TABLE else "tensors" if value is TENSORS else json.dumps(value),
)
def test_malformed_golden_rows_are_refused(schema: Schema, document: Any) -> None:
    """One BundleError of one line, whatever stands there."""
    refused(json.dumps(document).encode(), schema)


@pytest.mark.parametrize(
    "raw", [b"", b"\xff", b"{", b"[" * 100_000, b'{"rows":' + b"[" * 100_000, b'{"rows":9' + b"9" * 5000]
)
@pytest.mark.parametrize("schema", [TABLE, TENSORS], ids=["table", "tensors"])
def test_what_is_no_json_is_refused(schema: Schema, raw: bytes) -> None:
    """Text, depth and size of a number."""
    refused(raw, schema)


WORDS_OUT = {"label": "NaN", "p": [NAN, -INF], "yes": True}


def test_a_variants_own_answers_come_back_behind_the_same_inputs() -> None:
    """Of tables and of tensors; the inputs are the golden rows' own, and are not written again."""
    rows = [Sample({"x": 0.5, "t": "a"}, {"label": "a", "p": [0.1, 0.9], "yes": False})] * 2
    own = [WORDS_OUT, {"label": "b", "p": [0.2, 0.8], "yes": True}]
    raw = encode_answers(own, TABLE)
    assert json.loads(raw).keys() == {"outputs"}
    assert repr(decode_answers(raw, rows, TABLE)) == repr([Sample(rows[0].inputs, answer) for answer in own])

    x, y = np.ones((40, 30), np.float32), values_of("float32", (40, 30))
    samples = again([Sample({"x": x}, {"y": np.zeros_like(y)})], TENSORS)
    raw = encode_answers([{"y": y}], TENSORS)
    assert b"inputs" not in raw
    (found,) = decode_answers(raw, samples, TENSORS)
    assert found.inputs is samples[0].inputs
    assert found.positions is not None
    assert found.shapes == {"y": (40, 30)}
    assert differences(y.ravel()[found.positions["y"]], found.outputs["y"]).max() == 0.0


@pytest.mark.parametrize(
    "document",
    [
        [], {}, None, 1, {"outputs": None}, {"outputs": []}, {"outputs": [{}]}, {"outputs": [{"y": OUT}, {"y": OUT}]},
        {"outputs": [{"y": OUT, "s": OUT}]}, {"outputs": [{"z": OUT}]}, {"outputs": [1]}, {"outputs": {"y": OUT}},
        {"outputs": [{"y": OUT}], "rows": []}, {"samples": [{"outputs": {"y": OUT}}]},
        {"outputs": [{"y": {**OUT, "positions": [], "values": []}}]},
        *({"outputs": [{"y": {**OUT, name: value}}]} for name, values in NO_OUTPUTS.items() for value in values),
    ],
    ids=json.dumps,
)  # fmt: skip
def test_malformed_answers_of_a_variant_are_refused(document: Any) -> None:
    """Fewer or more than there are golden rows, other outputs, other fields, no value at all: one line."""
    samples = [Sample({}, {"y": np.ones(1)}, {"y": np.zeros(1, np.int64)}, {"y": (1,)})]
    with pytest.raises(BundleError, match="golden rows are malformed") as caught:
        decode_answers(json.dumps(document).encode(), samples, TENSORS)
    assert "\n" not in str(caught.value)
    (found,) = decode_answers(json.dumps({"outputs": [{"y": OUT}]}).encode(), samples, TENSORS)
    assert found.outputs["y"].tolist() == [1.0]


@pytest.mark.parametrize(
    "raw", [b"", b"\xff", b"{", b"[" * 100_000, b'{"outputs":' + b"[" * 100_000, b'{"outputs":9' + b"9" * 5000]
)
def test_answers_that_are_no_json_are_refused(raw: bytes) -> None:
    """Text, depth and size of a number."""
    with pytest.raises(BundleError, match="golden rows are malformed"):
        decode_answers(raw, [], TABLE)


def refused(raw: bytes, schema: Schema) -> None:
    def read(name: str) -> bytes:
        if name != "golden/0-0.bin":
            raise BundleError(f"the bundle has no entry {name!r}")
        return bytes(8)

    with pytest.raises(BundleError, match="golden rows are malformed") as caught:
        decode(raw, schema, read)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3) | WORDS,
    lambda v: (
        st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "inputs", "values", "positions"]), v)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(value=JSON, place=st.integers(0, 9), schema=st.sampled_from([TABLE, TENSORS]))
def test_strange_golden_rows_are_read_or_refused(value: Any, place: int, schema: Schema) -> None:
    """Never another exception; and comparing with what was read never fails either."""
    document: Any = [
        {"rows": [{"x": value}], "outputs": [{"p": value}]}, {"rows": value, "outputs": value}, of_tensor(shape=value),
        of_tensor(entry=value), of_tensor(dtype=value), of_output(values=value), of_output(values=[value]),
        of_output(positions=value), {"samples": value}, {"samples": [value]},
    ][place]  # fmt: skip
    try:
        samples = decode(json.dumps(document).encode(), schema, lambda name: bytes(8))
    except BundleError:
        return
    for sample in samples:
        for wanted in sample.outputs.values():
            for found in (1.0, "a", True, [0.5, 0.5], np.zeros(1, np.float32)):
                assert differences(found, wanted).dtype == np.float64
                assert "\n" not in "".join(report([("row", {"p": found}, {"p": wanted})], {}, rows=1).problems)


@pytest.mark.parametrize(
    ("found", "wanted", "gap"),
    [
        (1.0, 1.0, 0.0),
        (0.5, 0.25, 0.25),
        (300.0, 200.0, 0.5),
        (-0.0, 0.0, 0.0),
        (NAN, NAN, 0.0),
        (INF, INF, 0.0),
        (INF, -INF, INF),
        (NAN, 1.0, INF),
        (1.0, NAN, INF),
        (INF, 1.0, INF),
        (1e308, -1e308, INF),
        (math.nextafter(0.3, 1), 0.3, math.ulp(0.3)),
        (5e-324, 0.0, 5e-324),
        (2**60 + 1, 2**60, 2.0**-52),
        (2**64 - 1, 2**64 - 2, 2.0**-52),
        (7, 7, 0.0),
        (True, True, 0.0),
        (True, False, INF),
        ("a", "a", 0.0),
        ("a", "b", INF),
        ("1", 1, INF),
        (1, "1", INF),
        (None, 1.0, INF),
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([1.0], [1.0, 2.0], INF),
        ([1.0], 1.0, INF),
        ([], [], 0.0),
        ([1.0], [], INF),
        ([[1.0], [1.0, 2.0]], [1.0], INF),
        (1.0, {"a": 1}, INF),
        (1.0, 10**400, INF),
        (np.float32(0.1), 0.1, abs(0.1 - float(np.float32(0.1)))),
    ],
)
def test_differences_are_as_stated(found: Any, wanted: Any, gap: float) -> None:
    """Relative above 1; infinite where it is no matter of size; zero only where both are the same."""
    assert float(differences(found, wanted).max(initial=0.0)) == gap


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_different_integers_are_never_equal(a: int, b: int) -> None:
    """Not even where float64 cannot tell them apart."""
    assert (float(differences(np.array([a]), np.array([b]))[0]) == 0.0) == (a == b)


def pair(found: Any, wanted: Any) -> tuple[str, Any, Any]:
    return "golden row 7", found, wanted


def test_a_report_holds_the_largest_difference_of_each_output() -> None:
    """Over all rows; within the tolerance there is no problem."""
    pairs = [pair({"p": 0.5, "q": 1}, {"p": 0.25, "q": 1}), pair({"p": 0.5, "q": 1}, {"p": 0.375, "q": 1})]
    assert report(pairs, {"p": 0.25}, rows=2) == VerificationReport(2, {"p": 0.25, "q": 0.0}, {"p": 0.25}, ())
    assert report(pairs, {"p": 0.25}, rows=2).ok
    assert not report(pairs, {"p": 0.2}, rows=2).ok


@pytest.mark.parametrize(
    ("found", "wanted", "says"),
    [
        ({"p": 0.5}, {"p": 0.25}, "golden row 7: p is 0.5, recorded 0.25"),
        ({"p": [0.5, 0.5]}, {"p": [0.25, 0.75]}, "golden row 7: p is [0.5, 0.5], recorded [0.25, 0.75]"),
        ({"label": "a\n"}, {"label": "b"}, "golden row 7: label is 'a\\n', recorded 'b'"),
        ({"p": 0.5}, {"q": 0.5}, "golden row 7: outputs ['p'] instead of ['q']"),
        ({"p": 0.5}, {}, "golden row 7: outputs ['p'] instead of []"),
        (
            {"p": np.arange(256.0)},
            {"p": np.arange(256.0) + (np.arange(256) == 9)},
            "golden row 7: p is 9.0, recorded 10.0",
        ),
        ({"p": np.arange(3.0)}, {"p": np.arange(2.0)}, "golden row 7: p is [0.0, 1.0, 2.0], recorded [0.0, 1.0]"),
    ],
)
def test_a_problem_is_one_line_with_both_values(found: Any, wanted: Any, says: str) -> None:
    """Of a large output, the value that is farthest off."""
    assert report([pair(found, wanted)], {}, rows=1).problems == (says,)


def test_a_problem_is_short() -> None:
    """However much a file claims."""
    (problem,) = report([pair({"p": 0.5}, {"p": ["x" * 10**6] * 3})], {}, rows=1).problems
    assert len(problem) < 300
    assert problem.endswith("…")


def test_a_difference_of_one_ulp_is_one_where_bits_must_be_equal() -> None:
    """No tolerance, and a tolerance of zero, are the same bits."""
    for tolerance in ({}, {"p": 0.0}):
        assert not report([pair({"p": math.nextafter(0.3, 1)}, {"p": 0.3})], tolerance, rows=1).ok
        assert report([pair({"p": 0.3}, {"p": 0.3})], tolerance, rows=1).ok
