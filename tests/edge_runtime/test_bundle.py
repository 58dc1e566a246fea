"""Bundles: what opening promises, and that writing leaves either the old file or the new one."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import zlib
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from edge_runtime import bundle as module
from edge_runtime import canonical, container, exponential
from edge_runtime.bundle import Bundle
from edge_runtime.container import FILE_LIMIT
from edge_runtime.ending import CLASS_DTYPES, KINDS
from edge_runtime.errors import BundleError, IntegrityError
from edge_runtime.manifest import Manifest
from edge_runtime.schema import TENSOR_DTYPES

Contents = dict[str, bytes]


def test_contents_come_back_as_they_were_written(small_bundle: Path, small_contents: Contents) -> None:
    """Every entry is read back, whether stored or deflated."""
    bundle = Bundle.open(small_bundle)
    assert {name: bundle.read(name) for name in small_contents} == small_contents
    assert {entry.method for entry in bundle.manifest.entries} == {"stored", "deflate"}


def test_manifest_comes_back_with_its_entries(small_bundle: Path, small_manifest: Manifest) -> None:
    """Apart from the entries, which writing makes, the manifest is the one given."""
    found = Bundle.open(small_bundle).manifest
    assert replace(found, entries=()) == small_manifest
    assert [entry.name for entry in found.entries] == ["golden.json", "golden/x.bin", "graph.onnx"]


def test_digest_is_the_sha256_of_edge_json(small_bundle: Path) -> None:
    """The identity is what any tool computes from the first entry."""
    bundle = Bundle.open(small_bundle)
    assert bundle.digest == "sha256:" + hashlib.sha256(bundle.read("edge.json")).hexdigest()
    assert (bundle.path, bundle.size) == (str(small_bundle), small_bundle.stat().st_size)


def test_version_can_be_read_at_a_fixed_place(small_bundle: Path) -> None:
    """`edge.json` begins at byte 39, as docs/bundle-format.md promises for every format version."""
    assert small_bundle.read_bytes()[30:40] == b"edge.json{"


def test_listed_hashes_are_those_of_the_stored_bytes(small_bundle: Path) -> None:
    """Hashes are over what lies in the file, not over what it inflates to."""
    members = container.read(small_bundle.read_bytes())
    for entry in Bundle.open(small_bundle).manifest.entries:
        data = members[entry.name].data
        assert entry.sha256 == hashlib.sha256(data).hexdigest()
        assert (entry.stored, entry.method) == (len(data), members[entry.name].method)


def test_opening_inflates_nothing(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No decompressor exists before every hash has been checked."""
    monkeypatch.setattr(zlib, "decompressobj", None)
    bundle = Bundle.open(small_bundle)
    with pytest.raises(TypeError):
        bundle.read("graph.onnx")


def test_pinned_digest_is_required(small_bundle: Path) -> None:
    """The right pin opens, every other one is an IntegrityError that shows both."""
    digest = Bundle.open(small_bundle).digest
    assert Bundle.open(small_bundle, digest=digest).digest == digest
    for wrong in ("sha256:" + "0" * 64, digest.upper(), digest[7:], ""):
        with pytest.raises(IntegrityError, match=f"digest is {digest}; expected {wrong}"):
            Bundle.open(small_bundle, digest=wrong)


def test_same_parts_give_the_same_bytes(
    tmp_path: Path, small_bundle: Path, small_manifest: Manifest, small_contents: Contents
) -> None:
    """Neither time nor the order of the mapping enters the file."""
    again = Bundle.write(tmp_path / "again.edge", small_manifest, dict(reversed(small_contents.items())))
    assert (tmp_path / "again.edge").read_bytes() == small_bundle.read_bytes()
    assert again.digest == Bundle.open(small_bundle).digest


def test_a_bundle_cannot_be_changed(small_bundle: Path) -> None:
    """A checked bundle stays what was checked, also when its file changes afterwards."""
    bundle = Bundle.open(small_bundle)
    with pytest.raises(FrozenInstanceError):
        bundle.digest = "sha256:0"  # type: ignore[misc]
    before = bundle.read("graph.onnx")
    small_bundle.write_bytes(b"something else")
    assert bundle.read("graph.onnx") == before


def test_repr_is_one_short_line(small_bundle: Path) -> None:
    """Neither the manifest nor the file's bytes are printed."""
    assert len(repr(Bundle.open(small_bundle))) < 200 + len(str(small_bundle))


def test_unknown_entry_is_named(small_bundle: Path) -> None:
    """Asking for what is not there says what is."""
    with pytest.raises(BundleError, match=r"no entry 'a'; it has \['edge.json'"):
        Bundle.open(small_bundle).read("a")


def test_missing_file_is_the_builtin_error(tmp_path: Path) -> None:
    """A path with nothing at it is what every caller knows."""
    with pytest.raises(FileNotFoundError):
        Bundle.open(tmp_path / "none.edge")


def test_what_is_no_file_is_refused_with_its_path(tmp_path: Path, small_bundle: Path) -> None:
    """A folder, a pipe (which would block) and a path through a file."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(BundleError, match=f"^{path}: it is not a regular file"):
            Bundle.open(path)
    with pytest.raises(BundleError, match="cannot be read: Not a directory"):
        Bundle.open(small_bundle / "inner")


def test_unreadable_file_is_a_bundle_error(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's refusal is passed on in one line (root may read anything, so the refusal is made here)."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module, "open", refuse, raising=False)
    with pytest.raises(BundleError, match="cannot be read: Permission denied"):
        Bundle.open(small_bundle)


def test_file_that_grows_while_it_is_read_is_refused(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read must be as much as was there when its size was judged."""
    longer = small_bundle.read_bytes() + b"more"
    monkeypatch.setattr(module, "open", lambda *_: io.BytesIO(longer), raising=False)
    with pytest.raises(BundleError, match="the file changed while it was read"):
        Bundle.open(small_bundle)


def test_too_large_a_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is judged before the file is opened."""
    path = tmp_path / "large.edge"
    path.touch()
    os.truncate(path, FILE_LIMIT + 1)
    monkeypatch.setattr(module, "open", None, raising=False)
    with pytest.raises(BundleError, match=f"has {FILE_LIMIT + 1} bytes; a bundle has at most"):
        Bundle.open(path)


def test_large_entries_are_hashed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both implementations of SHA-256 agree where the reader changes from one to the other."""
    data = bytes(range(256)) * 4
    expected = hashlib.sha256(data).hexdigest()
    for large in (len(data), len(data) + 1):
        monkeypatch.setattr(module, "LARGE", large)
        assert module.sha256(data) == expected


def test_opening_loads_no_heavy_module(small_bundle: Path) -> None:
    """The cold start is a bar: none of the costly standard modules is loaded to open a bundle."""
    heavy = "{'zipfile', 'hashlib', '_hashlib', 'tempfile', 'pathlib', 'importlib.metadata', 'shutil'}"
    bare = f"import sys, numpy, onnxruntime; print(sorted({heavy} & sys.modules.keys()))"
    opened = f"from edge_runtime.bundle import Bundle; import sys; Bundle.open(sys.argv[1]); {bare}"
    found, allowed = (
        subprocess.run(
            [sys.executable, "-c", code, str(small_bundle)], capture_output=True, text=True, check=True
        ).stdout
        for code in (opened, bare)
    )
    assert found == allowed


class TestDescription:
    """docs/bundle-format.md, from which somebody may write another reader, says what this one does."""

    text = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text("utf-8")

    def block(self, language: str) -> str:
        """The first code block in ``language``."""
        return self.text.split(f"```{language}\n")[1].split("\n```")[0]

    def test_example_is_a_manifest(self) -> None:
        """The example is read, and written again it is the same value."""
        raw = canonical.dumps(json.loads(self.block("json")))
        assert Manifest.from_bytes(raw).to_bytes() == raw

    def test_every_field_is_described(self) -> None:
        """Each key of the example stands in a table or a list, in code type."""
        described = self.text.split("## An example")[0]
        keys = {key for line in self.block("json").splitlines() for key in re.findall(r'"(\w+)":', line)}
        missing = {key for key in keys if f"`{key}`" not in described}
        assert missing == {"fraud_score"}  # a key of the example's own

    def test_every_ending_and_limit_is_described(self) -> None:
        """Kinds of endings, class dtypes and the limits of the container."""
        for word in (*KINDS, *CLASS_DTYPES, *TENSOR_DTYPES):
            assert re.search(rf"[` ]{word}[` ]", self.text), word
        limits = FILE_LIMIT, container.ENTRY_LIMIT, container.NAME_LIMIT, container.MOST_ENTRIES
        for limit in (*limits, module.MANIFEST_LIMIT):
            assert re.search(rf"\b{limit:,}\b", self.text), limit

    def test_exponential_is_the_one_described(self) -> None:
        """The table, the constants and the values to try an implementation on."""
        digits = self.block("text").split()
        assert [float.fromhex(f"0x1.{part}p+0") for part in digits] == exponential.POWERS
        for name in ("PER_LN2", "HIGH", "LOW"):
            assert f"`{getattr(exponential, name).hex()}`" in self.text
        for x, shown in ((0.0, "0"), (1.0, "1"), (-0.5, "−0.5"), (100.0, "100"), (-708.0, "−708")):
            assert f"exp({shown}) = `{exponential.exp(x).hex()}`" in self.text


class TestWriting:
    """Bundle.write: all or nothing."""

    def test_entry_that_deflate_shrinks_is_deflated(
        self, tmp_path: Path, small_manifest: Manifest, small_contents: Contents
    ) -> None:
        """The smaller form is taken, entry by entry."""
        bundle = Bundle.write(tmp_path / "a.edge", small_manifest, small_contents | {"graph.onnx": bytes(9999)})
        methods = {entry.name: (entry.method, entry.size) for entry in bundle.manifest.entries}
        assert methods["graph.onnx"] == ("deflate", 9999)
        assert methods["golden/x.bin"] == ("stored", 5)

    def test_permissions_are_those_of_the_umask(
        self, tmp_path: Path, small_manifest: Manifest, small_contents: Contents
    ) -> None:
        """The file is as readable as any other that this user makes."""
        before = os.umask(0o027)
        try:
            Bundle.write(tmp_path / "a.edge", small_manifest, small_contents)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a.edge").stat().st_mode) == 0o640

    def test_existing_file_is_replaced(
        self, small_bundle: Path, small_manifest: Manifest, small_contents: Contents
    ) -> None:
        """A second version goes where the first one was."""
        Bundle.write(small_bundle, replace(small_manifest, version="2.0.0"), small_contents)
        assert Bundle.open(small_bundle).manifest.version == "2.0.0"
        assert os.listdir(small_bundle.parent) == [small_bundle.name]

    def test_bare_name_is_written_to_the_working_folder(
        self, tmp_path: Path, small_manifest: Manifest, small_contents: Contents, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A path without a folder works."""
        monkeypatch.chdir(tmp_path)
        Bundle.write("a.edge", small_manifest, small_contents)
        assert os.listdir(tmp_path) == ["a.edge"]

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_failure_keeps_the_old_file_and_leaves_nothing(
        self, small_bundle: Path, small_manifest: Manifest, small_contents: Contents, monkeypatch: pytest.MonkeyPatch,
        step: str,
    ) -> None:  # fmt: skip
        """A full disk or a refused rename changes nothing."""
        old = small_bundle.read_bytes()

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space left"):
            Bundle.write(small_bundle, replace(small_manifest, version="2.0.0"), small_contents)
        assert small_bundle.read_bytes() == old
        assert os.listdir(small_bundle.parent) == [small_bundle.name]

    def test_missing_folder_is_an_os_error(
        self, tmp_path: Path, small_manifest: Manifest, small_contents: Contents
    ) -> None:
        """Folders are not made on the way."""
        with pytest.raises(FileNotFoundError):
            Bundle.write(tmp_path / "none" / "a.edge", small_manifest, small_contents)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"x.so": b"code"}, "'x.so' is listed but has no use"),
            ({"edge.json": b"{}"}, "two entries have the name 'edge.json'"),
            ({"golden/../x": b""}, "is not allowed"),
            ({"golden/" + str(i): b"" for i in range(64)}, "68 entries; expected 1 to 64"),
        ],
    )
    def test_what_open_would_refuse_is_not_written(
        self, tmp_path: Path, small_manifest: Manifest, small_contents: Contents, change: Contents, says: str
    ) -> None:
        """The checks of opening run before there is a file."""
        with pytest.raises(BundleError, match=says):
            Bundle.write(tmp_path / "a.edge", small_manifest, small_contents | change)
        assert os.listdir(tmp_path) == []

    def test_manifest_that_cannot_be_read_back_is_not_written(
        self, tmp_path: Path, small_manifest: Manifest, small_contents: Contents
    ) -> None:
        """A graph that the manifest names must be among the contents; the manifest must fit its limit."""
        with pytest.raises(BundleError, match=r"names entries twice or not at all: \['graph.onnx'\]"):
            Bundle.write(tmp_path / "a.edge", small_manifest, {"golden.json": b"[]"})
        long = replace(small_manifest, provenance={"note": "x" * 2**24})
        with pytest.raises(BundleError, match=r"expected 'edge\.json', stored, at most 16777216"):
            Bundle.write(tmp_path / "a.edge", long, small_contents)
        assert os.listdir(tmp_path) == []
