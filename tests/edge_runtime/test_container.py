"""The container: what it writes every ZIP tool reads, and what it reads has one form."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import container
from edge_runtime.container import Member
from edge_runtime.errors import BundleError, IntegrityError

NAMES = st.from_regex(r"[a-z0-9_-]([a-z0-9._-]{0,8}[a-z0-9_-])?(/[a-z0-9_-]{1,8})?", fullmatch=True)


def make(name: str, content: bytes) -> Member:
    """The smaller of the two forms."""
    return min(container.store(name, content), container.deflate(name, content), key=lambda member: len(member.data))


def no_folder_is_a_file(contents: dict[str, bytes]) -> bool:
    return not any(name.split("/")[0] in contents for name in contents if "/" in name)


CONTENTS = st.dictionaries(NAMES, st.binary(max_size=64) | st.just(bytes(5000)), min_size=1, max_size=8).filter(
    no_folder_is_a_file
)


@given(CONTENTS)
def test_what_is_written_is_read_back_and_written_alike(contents: dict[str, bytes]) -> None:
    """Reading inverts writing, and writing what was read gives the same bytes."""
    raw = container.write([make(name, content) for name, content in contents.items()])
    members = container.read(raw)
    assert {name: container.unpack(member) for name, member in members.items()} == contents
    assert list(members) == list(contents)
    assert container.write(list(members.values())) == raw


@given(CONTENTS)
def test_python_zipfile_finds_the_same_names_and_contents(contents: dict[str, bytes]) -> None:
    """The standard library opens the container, and its CRC test is content."""
    raw = container.write([make(name, content) for name, content in contents.items()])
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents


@pytest.mark.skipif(shutil.which("unzip") is None, reason="Info-ZIP is not installed")
def test_info_zip_extracts_the_same_files(tmp_path: Path) -> None:
    """`unzip` takes the container without a warning."""
    contents = {"edge.json": b"{}", "golden/rows.bin": bytes(range(256)), "graph.onnx": bytes(5000), "empty": b""}
    (tmp_path / "small.edge").write_bytes(container.write([make(*item) for item in contents.items()]))
    done = subprocess.run(
        ["unzip", "small.edge", "-d", "out"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in contents} == contents


def test_headers_have_the_documented_bytes() -> None:
    """The one-entry container of docs/bundle-format.md, byte by byte."""
    raw = container.write([container.store("a", b"hi")])
    crc = struct.pack("<L", zlib.crc32(b"hi"))
    shared = bytes.fromhex("1400 0000 0000 0000 2100") + crc + bytes.fromhex("02000000 02000000 0100 0000")
    local = b"PK\x03\x04" + shared + b"a" + b"hi"
    central = b"PK\x01\x02" + bytes.fromhex("1403") + shared + bytes.fromhex("0000 0000 0000 00008001 00000000") + b"a"
    end = b"PK\x05\x06" + bytes.fromhex("0000 0000 0100 0100 2f000000 21000000 0000")
    assert raw == local + central + end


def test_reading_inflates_nothing() -> None:
    """A stream that cannot be inflated passes `read` and is refused by `unpack` alone."""
    raw = container.write([Member("a", "deflate", b"\xff\xff", 10, 0)])
    member = container.read(raw)["a"]
    with pytest.raises(IntegrityError, match="'a' cannot be inflated"):
        container.unpack(member)


@pytest.mark.parametrize(("size", "change"), [(5000, 1), (5000, -1), (5000, -4999)])
def test_a_stream_must_give_exactly_the_declared_size(size: int, change: int) -> None:
    """One byte more or fewer is refused, in either direction."""
    member = container.deflate("a", bytes(size))
    wrong = Member("a", "deflate", member.data, size + change, member.crc)
    with pytest.raises(IntegrityError, match=f"to the {size + change} bytes"):
        container.unpack(wrong)


def test_nothing_may_follow_the_stream() -> None:
    """Bytes behind the end of the deflate stream are refused."""
    member = container.deflate("a", bytes(5000))
    with pytest.raises(IntegrityError, match="does not inflate"):
        container.unpack(Member("a", "deflate", bytes(member.data) + b"\0", 5000, member.crc))


def test_a_cut_stream_is_refused() -> None:
    """A stream without its end is refused even where all its content has come out."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = stream.compress(bytes(5000)) + stream.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(IntegrityError, match="does not inflate"):
        container.unpack(Member("a", "deflate", data, 5000, zlib.crc32(bytes(5000))))


def test_a_wrong_crc_is_refused_in_both_methods() -> None:
    """The CRC is that of the content, whichever way it is stored."""
    for member in (container.store("a", bytes(500)), container.deflate("a", bytes(500))):
        with pytest.raises(IntegrityError, match="CRC"):
            container.unpack(Member("a", member.method, member.data, member.size, member.crc ^ 1))


def test_a_bomb_takes_no_more_memory_than_it_declares() -> None:
    """64 MiB of zeros that claim to be 100 kB are given up after 100 kB."""
    data = container.deflate("a", bytes(2**26)).data
    tracemalloc.start()
    with pytest.raises(IntegrityError):
        container.unpack(Member("a", "deflate", data, 100_000, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "..", "../a", "a/../b", ".", "./a", "a/.", ".a", "a.", "a/b.", "A", "a\\b", "a b", "c:a",
     "ä", "\ud800", "a\0", "a\n", "a" * 256],
)  # fmt: skip
def test_names_outside_the_rule_are_not_written(name: str) -> None:
    """Whatever `read` would refuse is refused before there is a file."""
    with pytest.raises(BundleError, match="is not allowed; expected a-z"):
        container.write([container.store(name, b"x")])


@pytest.mark.parametrize("name", ["a", "0", "edge.json", "golden/x.bin", "a-b_c.d/e", "-", "a" * 255])
def test_names_inside_the_rule_are_written(name: str) -> None:
    """Letters, digits, dots, underscores, hyphens and folders."""
    assert list(container.read(container.write([container.store(name, b"x")]))) == [name]


def test_a_name_is_not_both_file_and_folder() -> None:
    """Such a pair could not be extracted."""
    with pytest.raises(BundleError, match="entry 'a' is also the folder of 'a/b'"):
        container.write([container.store("a/b", b""), container.store("a", b"")])


def test_deflate_is_for_what_gets_smaller() -> None:
    """An entry that deflate does not shrink has one form, the stored one."""
    with pytest.raises(BundleError, match="expected fewer with deflate"):
        container.write([container.deflate("a", b"")])


def test_entries_are_one_to_sixty_four() -> None:
    """The limit holds for writing and for reading."""
    members = [container.store(f"e{i}", b"") for i in range(65)]
    assert len(container.read(container.write(members[:64]))) == 64
    for wrong in (members, []):
        with pytest.raises(BundleError, match="expected 1 to 64"):
            container.write(wrong)


def test_entries_beyond_the_limit_of_the_file_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets have 32 bits; what needs more is refused before it is put together."""
    monkeypatch.setattr(container, "FILE_LIMIT", 100)
    with pytest.raises(BundleError, match="the entries take more than 100 bytes"):
        container.write([container.store("a", bytes(100))])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_in_words(raw: bytes) -> None:
    """Nothing but BundleError leaves the reader."""
    with pytest.raises(BundleError):
        container.read(raw)
    with pytest.raises(BundleError):
        container.read(raw + b"PK\5\6" + bytes(18))


@given(st.binary(max_size=120), st.integers(0, 3), st.integers(0, 200))
def test_arbitrary_directories_are_refused_in_words(raw: bytes, count: int, length: int) -> None:
    """A plausible end record behind noise leads to no other error either."""
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, length, max(len(raw) - length, 0), 0)
    with pytest.raises(BundleError):
        container.read(raw + end)
