"""Several variants in one bundle: which one answers, and that none that is wrong here does.

A processor's kernels cannot be taken away. So what one without VNNI would answer is played by a graph whose weights
were changed after the answers had been recorded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import edge_runtime
from edge_runtime import choice
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, InputError, IntegrityError, VariantWarning

from .conftest import (
    FEEDS,
    Several,
    answers_of,
    crashing_network,
    float_network,
    int8_network,
    nan_network,
    network,
)

pytestmark = pytest.mark.usefixtures("own_cache")

RIGHT = float_network()
INT8 = int8_network()
ANSWERS = answers_of(INT8)
SATURATED = int8_network(saturated=True)


# ---- Which one answers.


def test_the_first_variant_answers(several: Several) -> None:
    """Unless another one is named; each is held to its own answers."""
    path = several(float32=RIGHT, int8=(INT8, ANSWERS))
    first, named = edge_runtime.load(path), edge_runtime.load(path, variant="int8")
    assert (first.variant, named.variant) == ("float32", "int8")
    assert named.run(FEEDS[0])["y"].tolist() == ANSWERS[0]["y"].tolist()
    assert first.run(FEEDS[0])["y"].tolist() != ANSWERS[0]["y"].tolist()
    assert (first.verify().tolerance, named.verify().tolerance) == ({"y": 1e-5}, {"y": 1e-3})
    assert first.verify().ok
    assert named.verify().ok
    assert [sample.inputs["x"].tolist() for sample in named.golden_rows()] == [feed["x"].tolist() for feed in FEEDS]


def beyond() -> bytes:
    """It reads rows that are not there."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("NonZero", ["s"], ["n"]),
        helper.make_node("Reshape", ["n", "flat"], ["f"]),
        helper.make_node("Add", ["f", "far"], ["at"]),
        helper.make_node("Gather", ["x", "at"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    return network(nodes, {"flat": np.array([-1]), "far": np.array([99]), "w": np.zeros((32, 4), np.float32)})


UNFIT: dict[str, tuple[Any, str]] = {
    "saturated": ((SATURATED, ANSWERS), "the golden rows are not answered as recorded: golden sample 0: y is"),
    "int8 without answers of its own": (INT8, "the golden rows are not answered as recorded: golden sample 0: y is"),
    "nan": (nan_network(), "the golden rows are not answered as recorded: golden sample 0: y is nan, recorded"),
    "wrong weights": (float_network(factor=1.01), "the golden rows are not answered as recorded"),
    "other outputs": (float_network(output="z"), "edge.json declares other outputs than the model gives"),
    "does not open": (
        network([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": np.zeros((4, 4), np.float32)}),
        "onnxruntime does not open the graph",
    ),
    "does not run": (beyond(), "the golden rows do not fit the schema: the graph cannot be run on it"),
    "no tensor": (
        network([helper.make_node("SequenceConstruct", ["x"], ["y"])], {}),
        "onnxruntime does not open the graph",
    ),
}


@pytest.mark.parametrize(("graph", "says"), UNFIT.values(), ids=UNFIT)
def test_a_variant_that_is_wrong_here_is_left_with_a_warning(several: Several, graph: Any, says: str) -> None:
    """One line, at the call of load, that names the file, the variant, the one that answers, and why."""
    path = several(first=graph, second=graph, float32=RIGHT)
    with pytest.warns(VariantWarning) as caught:
        model = edge_runtime.load(path)
    assert model.variant == "float32"
    assert model.verify().ok
    texts = [str(warning.message) for warning in caught]
    assert [text.split(": ")[1] for text in texts] == [
        "variant 'first' is left out here, 'float32' answers", "variant 'second' is left out here, 'float32' answers",
    ]  # fmt: skip
    assert all(text.startswith(f"{path}: ") and says in text and text.isprintable() for text in texts)
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(("graph", "says"), UNFIT.values(), ids=UNFIT)
def test_a_variant_that_was_asked_for_is_not_replaced(several: Several, graph: Any, says: str) -> None:
    """Its error is raised, with the file's name."""
    path = several(float32=RIGHT, int8=graph)
    with pytest.raises(BundleError, match=says) as caught:
        edge_runtime.load(path, variant="int8")
    assert str(caught.value).startswith(f"{path}: ")
    assert edge_runtime.load(path).variant == "float32"


def test_where_no_variant_is_right_the_first_ones_error_is_raised(several: Several) -> None:
    """And nothing is warned of."""
    path = several(nan=nan_network(), saturated=(SATURATED, ANSWERS))
    with pytest.raises(IntegrityError, match="y is nan, recorded"):
        edge_runtime.load(path)


# ---- What is wrong everywhere.


def test_a_damaged_file_is_refused_whatever_else_is_in_it(several: Several, tmp_path: Path) -> None:
    """A changed bit in any entry, even of a variant that nobody asked for."""
    path = several(float32=RIGHT, int8=(INT8, ANSWERS))
    raw = path.read_bytes()
    for entry in Bundle.open(path).manifest.entries:
        at = raw.index(entry.name.encode(), len(Bundle.open(path).manifest.to_bytes()) + 39) + len(entry.name)
        damaged = bytearray(raw)
        damaged[at + 2] ^= 1
        (tmp_path / "damaged.edge").write_bytes(damaged)
        with pytest.raises(IntegrityError, match="sha256"):
            edge_runtime.load(tmp_path / "damaged.edge")


def endless() -> bytes:
    """A Loop, which no bundle may hold."""
    true = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    return network(
        [helper.make_node("Constant", [], ["a"], value=true), helper.make_node("Loop", ["", "a"], ["y"])], {}
    )


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (endless(), "the operator 'Loop' of 'ai.onnx' is not allowed"),
        ((INT8, ANSWERS[1:]), "golden rows are malformed"),
        ((INT8, [{"z": answer["y"]} for answer in ANSWERS]), r"outputs \['z'\] instead of \['y'\]"),
    ],
    ids=["a graph that may not be there", "answers missing", "other answers"],
)
def test_what_no_bundle_may_hold_is_no_reason_to_go_on(several: Several, first: Any, says: str) -> None:
    """The file is refused, and its other variants with it."""
    with pytest.raises(BundleError, match=says):
        edge_runtime.load(several(first=first, float32=RIGHT))


# ---- The session.


def test_a_precise_variant_has_a_precise_session(several: Several, tmp_path: Path) -> None:
    """And only that one."""
    bundle = Bundle.open(several(float32=RIGHT, int8=(INT8, ANSWERS)))
    contents = {entry.name: bundle.read(entry.name) for entry in bundle.manifest.entries}
    plain, quantized = bundle.manifest.variants
    precise = replace(bundle.manifest, variants=(plain, replace(quantized, precise=True)))
    path = tmp_path / "precise.edge"
    Bundle.write(path, precise, contents)
    found = {}
    for name in ("float32", "int8"):
        options = edge_runtime.load(path, variant=name).session.get_session_options()
        try:
            found[name] = options.get_session_config_entry("session.x64quantprecision")
        except RuntimeError:  # never set
            found[name] = ""
    assert found == {"float32": "", "int8": "1"}


# ---- What was remembered.


@pytest.fixture
def three(several: Several) -> Path:
    """Three variants that are right."""
    return several(float32=RIGHT, int8=(INT8, ANSWERS), again=RIGHT)


def test_a_remembered_choice_is_taken(three: Path) -> None:
    """For this bundle, and until it is forgotten; a named variant is that one."""
    digest = Bundle.open(three).digest
    assert choice.remember(digest, ["int8", "float32"]) == choice.place(digest)
    assert edge_runtime.load(three).variant == "int8"
    assert edge_runtime.load(three, threads=1).variant == "int8"
    assert edge_runtime.load(three, variant="again").variant == "again"
    assert choice.forget(digest) is True
    assert choice.forget(digest) is False
    assert edge_runtime.load(three).variant == "float32"


def test_what_is_not_in_the_choice_is_not_tried(several: Several) -> None:
    """A variant that ends the process is never opened once that was found out."""
    path = several(crash=crashing_network(), nan=nan_network(), float32=RIGHT)
    choice.remember(Bundle.open(path).digest, ["nan", "float32"])
    with pytest.warns(VariantWarning, match="variant 'nan' is left out here, 'float32' answers"):
        assert edge_runtime.load(path).variant == "float32"
    choice.remember(Bundle.open(path).digest, ["nan"])
    with pytest.raises(IntegrityError, match="y is nan"):
        edge_runtime.load(path)


Spoil = Callable[[dict[str, Any]], Any]


def changed(**values: Any) -> Spoil:
    return lambda data: {**data, **values}


SPOILT: dict[str, Spoil] = {
    "no JSON": lambda data: "int8",
    "not an object": lambda data: ["int8"],
    "nothing": lambda data: {},
    "one field more": changed(more=1),
    "one field less": lambda data: {name: value for name, value in data.items() if name != "processor"},
    "another bundle": changed(digest="sha256:" + "0" * 64),
    "an older onnxruntime": changed(onnxruntime="1.30.0"),
    "another processor": changed(processor="Intel(R) Celeron(R), 0123456789abcdef"),
    "a variant that is not there": changed(variants=["int4"]),
    "one of several that is not there": changed(variants=["int8", "int4"]),
    "a variant twice": changed(variants=["int8", "int8"]),
    "no variant": changed(variants=[]),
    "one text": changed(variants="int8"),
    "no text": changed(variants=[1]),
    "lists": changed(variants=[["int8"]]),
    "null": changed(variants=None),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_choice_that_does_not_hold_is_as_good_as_none(three: Path, spoil: Spoil) -> None:
    """Stale or malformed: the first variant answers, and nobody hears of it."""
    place = Path(choice.remember(Bundle.open(three).digest, ["int8"]))
    place.write_text(json.dumps(spoil(json.loads(place.read_text()))))
    assert edge_runtime.load(three).variant == "float32"


def test_a_truncated_choice_is_as_good_as_none(three: Path) -> None:
    """Wherever it ends; and so is what is no text, or too deep to be read."""
    bundle = Bundle.open(three)
    place = Path(choice.remember(bundle.digest, ["int8"]))
    raw = place.read_bytes()
    assert choice.remembered(bundle) == ("int8",)
    for content in (*(raw[:end] for end in range(len(raw))), b"\xff\xfe", b"[" * 60_000, b"0" * 100_000):
        place.write_bytes(content)
        assert choice.remembered(bundle) == ()


def test_what_others_may_have_written_does_not_count(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that everybody may write, another user's, and what is no file at all."""
    bundle = Bundle.open(three)
    place = Path(choice.remember(bundle.digest, ["int8"]))
    assert place.stat().st_mode & 0o777 == 0o600
    place.chmod(0o622)
    assert choice.remembered(bundle) == ()
    place.chmod(0o600)
    other = place.stat().st_uid + 12345
    if os.geteuid() == 0:
        os.chown(place, other, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: other)
    assert choice.remembered(bundle) == ()
    place.rename(place.with_suffix(".real"))
    place.symlink_to(place.with_suffix(".real"))
    assert choice.remembered(bundle) == ()
    place.unlink()
    os.mkfifo(place)
    assert choice.remembered(bundle) == ()
    place.unlink()
    place.mkdir()
    assert choice.remembered(bundle) == ()


def test_a_cache_that_cannot_be_written_is_said(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with the folder and what to set; loading goes on without."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "file"))
    digest = Bundle.open(three).digest
    with pytest.raises(
        InputError, match=r"the cache folder .*file/tuned cannot be written \(.*\); expected EDGE_CACHE"
    ):
        choice.remember(digest, ["int8"])
    assert choice.forget(digest) is False
    assert edge_runtime.load(three).variant == "float32"


def test_the_cache_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGE_CACHE, or edge-runtime where this system keeps such files."""
    assert choice.cache_folder() == os.environ["EDGE_CACHE"]
    monkeypatch.delenv("EDGE_CACHE")
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("LOCALAPPDATA", "/l")
    monkeypatch.setattr(sys, "platform", "linux")
    assert choice.cache_folder() == "/x/edge-runtime"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert choice.cache_folder() == "/h/.cache/edge-runtime"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert choice.cache_folder() == "/h/Library/Caches/edge-runtime"
    monkeypatch.setattr(sys, "platform", "win32")
    assert choice.cache_folder() == "/l/edge-runtime"


def test_a_choice_is_whole_at_every_moment(three: Path) -> None:
    """While processes write one after the other, whoever reads finds one or the other."""
    bundle = Bundle.open(three)
    code = (
        "import sys; from edge_runtime.choice import remember\nfor _ in range(300): remember(sys.argv[1], sys.argv[2:])"
    )
    names = (["int8", "float32"], ["again"])
    writers = [subprocess.Popen([sys.executable, "-P", "-c", code, bundle.digest, *each]) for each in names]
    found = set()
    while any(writer.poll() is None for writer in writers):
        found.add(choice.remembered(bundle))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert found - {()} <= {("int8", "float32"), ("again",)}
    assert choice.remembered(bundle) in {("int8", "float32"), ("again",)}
    assert [path.name for path in Path(choice.place(bundle.digest)).parent.iterdir()] == [
        Path(choice.place(bundle.digest)).name
    ]


def test_a_choice_is_for_this_runtime(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may have other kernels: what was timed before says nothing."""
    bundle = Bundle.open(three)
    choice.remember(bundle.digest, ["int8"])
    assert choice.remembered(bundle) == ("int8",)
    monkeypatch.setattr(onnxruntime, "__version__", "9.9.9")
    assert choice.remembered(bundle) == ()


ONE = "import sys, edge_runtime; edge_runtime.load(sys.argv[1]); print(*sorted(sys.modules))"


def test_one_variant_costs_nothing_more(small_bundle: Path, three: Path) -> None:
    """No choice is looked for, and tuning is never loaded."""
    for path, loads in ((small_bundle, False), (three, True)):
        done = subprocess.run([sys.executable, "-P", "-c", ONE, path], capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split())
        assert ("edge_runtime.choice" in loaded) is loads
        assert not loaded & {
            "edge_runtime.tuning",
            "edge_runtime.trial",
            "edge_runtime.timing",
            "subprocess",
            "tempfile",
        }
