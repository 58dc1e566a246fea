"""The manifest: it comes back from its bytes, and every entry has exactly one use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_runtime.canonical import dumps
from edge_runtime.ending import Decision, Ending
from edge_runtime.errors import BundleError, FormatVersionError
from edge_runtime.manifest import FORMAT_VERSION, Certificate, Entry, Manifest, Variant
from edge_runtime.schema import ColumnSpec, Schema, TensorSpec

INF = float("inf")
HASH = "0123456789abcdef" * 4


def entry(name: str) -> Entry:
    return Entry(name, "stored", 3, 3, 2**32 - 1, HASH)


MANIFEST = Manifest(
    name="Prüfung ☃\n",
    version="2.1.0",
    created="2026-01-02T03:04:05Z",
    schema=Schema(
        (
            ColumnSpec("a", "float32", True, "x", 0, -INF, INF),
            ColumnSpec("b", "str", False, "x", 1, categories=("", "b")),
        ),
        (TensorSpec("x", "float64", (None, 2)),),
        (TensorSpec("fraud_score", "float64", (None,)), TensorSpec("is_fraud", "bool", (None,))),
    ),
    ending=Ending(
        "logistic", classes=(False, True), class_dtype="bool", decision=Decision("fraud_score", "is_fraud", 0.1)
    ),
    variants=(
        Variant("exact", "graph.onnx", "float64", 2**20, True),
        Variant(
            "small",
            "graph-8.onnx",
            "int8",
            2**40,
            False,
            precise=True,
            golden="golden/8.json",
            tolerance={"fraud_score": 1e-3},
        ),
    ),
    certificate=Certificate(
        327_346, 1200, {"fraud_score": 2e-13}, {"fraud_score": 0.0}, ("exact: trees", "checked: all")
    ),
    provenance={"numpy": "2.4.6", "é": ""},
    golden="golden.json",
    entries=tuple(map(entry, ("golden.json", "golden/0-0.bin", "golden/8.json", "graph-8.onnx", "graph.onnx"))),
)


def test_a_manifest_comes_back_from_its_bytes() -> None:
    """Every field, tiny numbers and foreign letters included; and its bytes from the value."""
    raw = MANIFEST.to_bytes()
    assert Manifest.from_bytes(raw) == MANIFEST
    assert Manifest.from_bytes(raw).to_bytes() == raw


def test_the_format_is_stated() -> None:
    """An integer, before anything else is looked at."""
    data = json.loads(MANIFEST.to_bytes())
    assert data["format"] == FORMAT_VERSION == 1
    with pytest.raises(FormatVersionError, match="bundle format 2 is not supported; expected 1") as caught:
        Manifest.from_bytes(dumps({"format": 2, "of": "the future"}))
    assert caught.value.found == 2


@pytest.mark.parametrize("data", [[], "x", 1, None, {}, {"format": None}, {"format": True}, {"format": "1"}])
def test_what_states_no_format_is_of_another(data: Any) -> None:
    """Canonical JSON of any kind, but not a manifest."""
    with pytest.raises(FormatVersionError):
        Manifest.from_bytes(dumps(data))


def set_to(value: Any, *path: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_to(1, "provenance", "numpy"), "provenance must map text to text"),
        (set_to(["a", 1], "certificate", "statements"), "statements must be text"),
        (set_to(0, "certificate", "largest", "fraud_score"), "must be decimal strings"),
        (
            set_to("0", "certificate", "tolerance", "fraud_score"),
            "fraud_score: '0' is not a number in its shortest form",
        ),
        (set_to("nan", "certificate", "tolerance", "fraud_score"), "not a number"),
        (set_to(-1, "variants", 0, "largest_tensor"), "variant 'exact' has a negative largest_tensor"),
        (set_to(0, "variants", 0, "small"), "field 'small' has the wrong type int"),
        (set_to("small", "variants", 0, "name"), "each with a name of its own"),
        (set_to([], "variants"), "variants must be one or more"),
        (set_to("other.onnx", "variants", 0, "graph"), "names entries twice or not at all: \\['other.onnx'\\]"),
        (set_to("other.json", "golden"), "names entries twice or not at all: \\['other.json'\\]"),
        (set_to("graph.onnx", "entries", 1, "name"), "names entries twice or not at all"),
        (set_to("more.bin", "entries", 1, "name"), "entry 'more.bin' is listed but has no use"),
        (set_to(1, "variants", 1, "precise"), "field 'precise' has the wrong type int"),
        (set_to(None, "variants", 1, "golden"), "field 'golden' has the wrong type NoneType"),
        (set_to("golden/9.json", "variants", 1, "golden"), "names entries twice or not at all: \\['golden/9.json'\\]"),
        (set_to("golden.json", "variants", 1, "golden"), "entries have two uses: \\['golden.json'\\]"),
        (set_to("graph.onnx", "variants", 1, "golden"), "entries have two uses: \\['graph.onnx'\\]"),
        (set_to("graph.onnx", "golden"), "entries have two uses: \\['graph.onnx'\\]"),
        (set_to("0.001", "variants", 1, "tolerance", "score"), "a tolerance for \\['score'\\], which is no output"),
        (set_to("inf", "variants", 1, "tolerance", "fraud_score"), "a tolerance that is negative or infinite"),
        (set_to("-0.1", "variants", 1, "tolerance", "fraud_score"), "a tolerance that is negative or infinite"),
        (set_to("nan", "variants", 1, "tolerance", "fraud_score"), "not a number"),
        (set_to(0, "variants", 1, "tolerance", "fraud_score"), "must be decimal strings"),
        (set_to("zip", "entries", 0, "method"), "entry 'golden.json' has an impossible method or size"),
        (set_to(4, "entries", 0, "size"), "impossible method or size"),
        (set_to(-3, "entries", 0, "size"), "impossible method or size"),
        (set_to(HASH.upper(), "entries", 0, "sha256"), "malformed sha256"),
        (set_to(HASH[1:], "entries", 0, "sha256"), "malformed sha256"),
        (set_to("¹" * 64, "entries", 0, "sha256"), "malformed sha256"),
        (set_to(1.0, "entries", 0, "crc"), "not canonical JSON"),
    ],
)
def test_what_contradicts_itself_is_refused(change: Callable[[Any], None], says: str) -> None:
    """One BundleError of one line, that names the part."""
    data = json.loads(MANIFEST.to_bytes())
    change(data)
    raw = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(BundleError, match=says) as caught:
        Manifest.from_bytes(raw)
    assert "\n" not in str(caught.value)


def test_two_variants_may_share_a_graph() -> None:
    """An entry needs a use, and may have more than one."""
    shared = replace(MANIFEST, variants=(MANIFEST.variants[0], replace(MANIFEST.variants[1], graph="graph.onnx")))
    with pytest.raises(BundleError, match=r"'graph-8\.onnx' is listed but has no use"):
        shared.check()
    replace(shared, entries=tuple(e for e in shared.entries if e.name != "graph-8.onnx")).check()
