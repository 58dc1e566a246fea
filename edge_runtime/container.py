"""The container: a ZIP in one strict form, read and written over the headers' own fields.

Python's `zipfile` takes duplicate names, prefixes, trailing bytes and headers that contradict each other; here each
header has one legal value, computed by the same functions for reading and for writing. So every ZIP tool finds in an
accepted file what we find in it.

Belongs here: the bytes of a ZIP. Not here: what the entries mean (manifest.py), hashes, files on disk (bundle.py).
Imported as edge_runtime.container. Described byte by byte in docs/bundle-format.md.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .errors import BundleError, IntegrityError

__all__ = ["FILE_LIMIT", "Member", "deflate", "read", "store", "unpack", "write"]

ENTRY_LIMIT = 2**31 - 1  # of one protobuf message, hence of a graph
FILE_LIMIT = 2**32 - 2  # offsets have 32 bits, and all of them set would mean zip64
NAME_LIMIT = 255
MOST_ENTRIES = 64
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._/-")
METHODS = {"stored": 0, "deflate": 8}

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
SHARED_FIELDS = (
    "version needed", "flags", "method", "time", "date", "crc", "stored size", "size", "name length", "extra length",
)  # fmt: skip
LOCAL_FIELDS = ("signature", *SHARED_FIELDS)
CENTRAL_FIELDS = (
    "signature", "made by", *SHARED_FIELDS,
    "comment length", "disk", "internal attributes", "external attributes", "offset",
)  # fmt: skip
END_FIELDS = (
    "signature", "disk", "disk of the directory", "entries on this disk", "entries", "directory size",
    "directory offset", "comment length",
)  # fmt: skip


class Member(NamedTuple):
    """One entry: ``method`` "stored" or "deflate", ``data`` as stored, ``size`` in bytes and ``crc`` of the content."""

    name: str
    method: str
    data: bytes | memoryview
    size: int
    crc: int

    def check(self) -> None:
        """Raise BundleError unless name and sizes are ones that an entry may have."""
        check_name(self.name)
        if self.size > ENTRY_LIMIT:
            raise BundleError(f"entry {self.name!r} declares {self.size} bytes; expected at most {ENTRY_LIMIT}")
        stored = len(self.data)
        if (stored != self.size) if self.method == "stored" else (stored >= self.size):
            fit = "as many" if self.method == "stored" else "fewer"
            raise BundleError(
                f"entry {self.name!r} has {stored} stored bytes for {self.size}; expected {fit} with {self.method}"
            )


def store(name: str, content: bytes) -> Member:
    """The entry that holds ``content`` as it is."""
    return Member(name, "stored", content, len(content), zlib.crc32(content))


def deflate(name: str, content: bytes) -> Member:
    """The entry that holds ``content`` compressed; it may be written only where that makes it smaller."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return Member(name, "deflate", stream.compress(content) + stream.flush(), len(content), zlib.crc32(content))


def unpack(member: Member) -> bytes:
    """The entry's content. Raises IntegrityError unless it has the declared size and CRC.

    Inflating stops at the declared size, whatever the stream would still give.
    """
    if member.method == "stored":
        content = bytes(member.data)
    else:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = stream.decompress(member.data, member.size + 1)  # one more, or a full buffer hides the end
        except zlib.error as error:
            raise IntegrityError(f"entry {member.name!r} cannot be inflated: {error}") from None
        if not stream.eof or stream.unused_data or len(content) != member.size:
            raise IntegrityError(f"entry {member.name!r} does not inflate to the {member.size} bytes that it declares")
    if zlib.crc32(content) != member.crc:
        raise IntegrityError(f"entry {member.name!r}: its content does not have the CRC that its header states")
    return content


def write(members: Sequence[Member]) -> bytes:
    """The container with ``members`` in the order given: the same members, the same bytes, which ``read`` accepts.

    Raises BundleError where ``read`` would.
    """
    body, directory, offset = [], [], 0
    check_count(len(members))
    for member in members:
        member.check()
        name = member.name.encode("ascii")
        directory += [CENTRAL.pack(*central_fields(member, offset)), name]
        body += [LOCAL.pack(*local_fields(member)), name, member.data]
        offset += LOCAL.size + len(name) + len(member.data)
        if offset > FILE_LIMIT:
            raise BundleError(f"the entries take more than {FILE_LIMIT} bytes, the most that a bundle may have")
    central = b"".join(directory)
    raw = b"".join([*body, central, END.pack(*end_fields(len(members), len(central), offset))])
    read(raw)
    return raw


def read(raw: bytes) -> dict[str, Member]:
    """The entries by name, in the file's order, none of them inflated. Raises BundleError on any other form of ZIP."""
    end = len(raw) - END.size
    if end < 0 or raw[end : end + 4] != b"PK\5\6":
        raise BundleError("no end record in the last 22 bytes: not a bundle, cut off, or something was appended")
    found = END.unpack_from(raw, end)
    count, length = found[4], found[5]
    directory = end - length
    expect("end record", END_FIELDS, found, end_fields(count, length, directory))
    check_count(count)
    members: dict[str, Member] = {}
    view, at, offset = memoryview(raw), directory, 0
    for _ in range(count):
        member = read_member(view[:end], at, offset, directory)
        if member.name in members:
            raise BundleError(f"two entries have the name {member.name!r}")
        members[member.name] = member
        at += CENTRAL.size + len(member.name)
        offset += LOCAL.size + len(member.name) + len(member.data)
    if at != end or offset != directory:
        raise BundleError("bytes lie between the entries, the directory and the end record; expected none")
    check_folders(members)
    return members


def read_member(view: memoryview, at: int, offset: int, directory: int) -> Member:
    """The entry whose central header lies ``at``, its local header at ``offset``, all of it before ``directory``."""
    if at + CENTRAL.size > len(view):
        raise BundleError("the directory has fewer headers than entries")
    central = CENTRAL.unpack_from(view, at)
    number, crc, stored, size, length = central[4], *central[7:11]
    name = check_name(str(view[at + CENTRAL.size : at + CENTRAL.size + length], "latin-1"))
    start = offset + LOCAL.size + length
    if start + stored > directory:
        raise BundleError(f"entry {name!r} reaches into the directory")
    method = next((method for method, value in METHODS.items() if value == number), None)
    if method is None:
        raise BundleError(f"entry {name!r}: method is {number}; expected 0 (stored) or 8 (deflate)")
    member = Member(name, method, view[start : start + stored], size, crc)
    expect(f"entry {name!r}, central header", CENTRAL_FIELDS, central, central_fields(member, offset))
    local = LOCAL.unpack_from(view, offset)
    expect(f"entry {name!r}, local header", LOCAL_FIELDS, local, local_fields(member))
    if view[start - length : start] != name.encode("ascii"):
        raise BundleError(f"entry {name!r} has another name in its local header")
    member.check()
    return member


def check_count(count: int) -> None:
    if not 1 <= count <= MOST_ENTRIES:
        raise BundleError(f"the container has {count} entries; expected 1 to {MOST_ENTRIES}")


def check_name(name: str) -> str:
    """``name`` itself. Raises BundleError unless every system takes it for the same path, and one that leads down."""
    dotted = any(not part or part[0] == "." or part[-1] == "." for part in name.split("/"))
    if dotted or set(name) - LETTERS or len(name) > NAME_LIMIT:
        raise BundleError(
            f"entry name {name[:NAME_LIMIT]!r} is not allowed; expected a-z 0-9 . _ - in parts that neither begin nor"
            f" end with a dot, joined by single /, {NAME_LIMIT} in all"
        )
    return name


def check_folders(names: Iterable[str]) -> None:
    """Raise BundleError if one name would be a file and also the folder of another."""
    names = set(names)
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if (folder := "/".join(parts[:depth])) in names:
                raise BundleError(f"entry {folder!r} is also the folder of {name!r}")


def shared_fields(member: Member) -> tuple[int, ...]:
    return (20, 0, METHODS[member.method], 0, 0x0021, member.crc, len(member.data), member.size, len(member.name), 0)


def local_fields(member: Member) -> tuple[Any, ...]:
    return (b"PK\3\4", *shared_fields(member))


def central_fields(member: Member, offset: int) -> tuple[Any, ...]:
    return (b"PK\1\2", 0x0314, *shared_fields(member), 0, 0, 0, 0o600 << 16, offset)


def end_fields(count: int, length: int, offset: int) -> tuple[Any, ...]:
    return (b"PK\5\6", 0, 0, count, count, length, offset, 0)


def expect(where: str, fields: tuple[str, ...], found: tuple[Any, ...], legal: tuple[Any, ...]) -> None:
    for name, value, right in zip(fields, found, legal, strict=True):
        if value != right:
            raise BundleError(f"{where}: {name} is {value!r}; expected {right!r}")
