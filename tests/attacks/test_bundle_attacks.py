"""Hostile bundles: each numbered abuse of the container and the manifest, with its verdict beside it.

An attacker knows the format, so wherever a rule is attacked, everything else in the file is made right again: CRC,
sizes, offsets and the hashes in `edge.json`. The forge below packs its own headers and shares no code with the reader.
Hostile graphs stand in test_graph_attacks.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import edge_runtime
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, FormatVersionError, IntegrityError

Forge = Callable[[bytes], bytes]
Json = dict[str, Any]


def opens(path: Path) -> None:
    """What every attack is tried on: open, and read all there is."""
    edge_runtime.load(path)
    bundle = Bundle.open(path)
    for entry in bundle.manifest.entries:
        bundle.read(entry.name)


# ---- The forge: a bundle taken apart into entries, changed, and put together again with every number made right.

LOCAL = ("signature", "needed", "flags", "method", "time", "date", "crc", "stored", "size", "name", "extra")
CENTRAL = (
    "signature", "made_by", "needed", "flags", "method", "time", "date", "crc", "stored", "size", "name", "extra",
    "comment", "disk", "internal", "external", "offset",
)  # fmt: skip
END = ("signature", "disk", "directory_disk", "here", "count", "length", "offset", "comment")
FORMATS = {LOCAL: "<4s5H3L2H", CENTRAL: "<4s6H3L5H2L", END: "<4s4H2LH"}


@dataclass
class Part:
    """One entry as the attacker wants it; ``local`` and ``central`` override fields of one header, ``both`` of both."""

    name: bytes
    content: bytes
    method: int = 0
    data: bytes | None = None
    both: Json = field(default_factory=dict)
    local: Json = field(default_factory=dict)
    central: Json = field(default_factory=dict)
    local_name: bytes | None = None
    local_extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    behind: bytes = b""

    def stored(self) -> bytes:
        if self.data is not None:
            return self.data
        return raw_deflate(self.content) if self.method == 8 else self.content

    def headers(self, offset: int) -> tuple[bytes, bytes]:
        name = self.name if self.local_name is None else self.local_name
        fields: Json = {
            "made_by": 0x0314, "needed": 20, "flags": 0, "method": self.method, "time": 0, "date": 0x21,
            "crc": zlib.crc32(self.content), "stored": len(self.stored()), "size": len(self.content), "disk": 0,
            "internal": 0, "external": 0o600 << 16, "offset": offset, "comment": len(self.comment),
        }  # fmt: skip
        local = {"signature": b"PK\3\4", **fields, "name": len(name), "extra": len(self.local_extra)}
        central = {"signature": b"PK\1\2", **fields, "name": len(self.name), "extra": len(self.central_extra)}
        return (
            packed(LOCAL, local | self.both | self.local) + name + self.local_extra + self.stored() + self.behind,
            packed(CENTRAL, central | self.both | self.central) + self.name + self.central_extra + self.comment,
        )


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(content) + stream.flush()


def packed(names: tuple[str, ...], fields: Json) -> bytes:
    return struct.pack(FORMATS[names], *(fields[name] for name in names))


def unpacked(names: tuple[str, ...], raw: bytes, at: int) -> Json:
    return dict(zip(names, struct.unpack_from(FORMATS[names], raw, at), strict=True))


def apart(raw: bytes) -> list[Part]:
    end = unpacked(END, raw, len(raw) - 22)
    parts, at = [], end["offset"]
    for _ in range(end["count"]):
        central = unpacked(CENTRAL, raw, at)
        name = raw[at + 46 : at + 46 + central["name"]]
        start = central["offset"] + 30 + central["name"]
        data = raw[start : start + central["stored"]]
        content = zlib.decompress(data, -15) if central["method"] else data
        parts.append(Part(name, content, central["method"], data))
        at += 46 + central["name"]
    return parts


def together(parts: list[Part], *, prefix: bytes = b"", gap: bytes = b"", comment: bytes = b"", **end: Any) -> bytes:
    body, directory = prefix, b""
    for part in parts:
        local, central = part.headers(len(body))
        body, directory = body + local, directory + central
    fields = {
        "signature": b"PK\5\6", "disk": 0, "directory_disk": 0, "here": len(parts), "count": len(parts),
        "length": len(directory), "offset": len(body) + len(gap), "comment": len(comment),
    }  # fmt: skip
    return body + gap + directory + packed(END, fields | end) + comment


def parts_changed(change: Callable[[list[Part]], list[Part] | None]) -> Forge:
    """``change`` works on the list of entries, the first of which is `edge.json`; None stands for the list itself."""

    def forge(raw: bytes) -> bytes:
        parts = apart(raw)
        return together(change(parts) or parts)

    return forge


def laid_out(**how: Any) -> Forge:
    """The same entries, put together in another way."""
    return lambda raw: together(apart(raw), **how)


def part_changed(name: str, **fields: Any) -> Forge:
    """The entry ``name`` with other fields of ``Part``."""

    def change(parts: list[Part]) -> None:
        part = find(parts, name)
        for key, value in fields.items():
            setattr(part, key, value)

    return parts_changed(change)


def find(parts: list[Part], name: str) -> Part:
    return next(part for part in parts if part.name == name.encode())


def canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def listed(part: Part) -> Json:
    """The line of ``part`` in `edge.json`."""
    return {
        "crc": zlib.crc32(part.content), "method": {0: "stored", 8: "deflate"}[part.method], "name": part.name.decode("latin-1"),
        "sha256": hashlib.sha256(part.stored()).hexdigest(), "size": len(part.content), "stored": len(part.stored()),
    }  # fmt: skip


def relisted(change: Callable[[list[Part]], list[Part] | None]) -> Forge:
    """As ``parts_changed``, with `edge.json` made to list what is there then."""

    def forge(raw: bytes) -> bytes:
        parts = apart(raw)
        parts = change(parts) or parts
        root = find(parts, "edge.json")
        manifest = json.loads(root.content)
        manifest["entries"] = [listed(part) for part in parts if part is not root]
        root.content = root.data = canonical(manifest)
        return together(parts)

    return forge


def added(name: str | bytes, content: bytes = b"x", **fields: Any) -> Forge:
    """One entry more, at the end and listed."""
    name = name.encode("latin-1") if isinstance(name, str) else name
    return relisted(lambda parts: [*parts, Part(name, content, **fields)])


def manifest_bytes(change: Callable[[bytes], bytes]) -> Forge:
    """Other bytes of `edge.json`."""

    def change_root(parts: list[Part]) -> None:
        parts[0].content = parts[0].data = change(parts[0].content)

    return parts_changed(change_root)


def manifest_changed(change: Callable[[Json], object]) -> Forge:
    """Another value of `edge.json`, again in canonical form."""

    def change_bytes(content: bytes) -> bytes:
        data = json.loads(content)
        change(data)
        return canonical(data)

    return manifest_bytes(change_bytes)


def set_at(*path: Any, to: object) -> Forge:
    """`edge.json` with another value at ``path``."""

    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return manifest_changed(change)


def stored_as(name: str, change: Callable[[bytes], bytes], method: int = 8) -> Forge:
    """Other stored bytes of ``name``, listed with their hash, for the content that they no longer give."""

    def change_part(parts: list[Part]) -> None:
        part = find(parts, name)
        part.data, part.method = change(part.stored()), method

    return relisted(change_part)


def rezipped(method: int) -> Forge:
    """The same entries, packed by the standard library."""

    def forge(raw: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for part in apart(raw):
                archive.writestr(part.name.decode(), part.content)
        return file.getvalue()

    return forge


def flipped(name: str) -> Forge:
    """One bit of the stored bytes of ``name`` flipped, and nothing made right."""

    def change(parts: list[Part]) -> None:
        part = find(parts, name)
        data = bytearray(part.stored())
        data[-1] ^= 1
        part.both = {"crc": zlib.crc32(part.content)}
        part.data = bytes(data)
        if not part.method:
            part.content = part.data

    return parts_changed(change)


def other_stream(raw: bytes) -> bytes:
    """The graph deflated at another level: the same content by other stored bytes, of the same length."""
    parts = apart(raw)
    graph = find(parts, "graph.onnx")
    data = bytearray(graph.stored())
    for bit in range(8):  # bits behind the end of the stream have no meaning for zlib
        data[-1] ^= 1 << bit
        if zlib.decompressobj(-15).decompress(bytes(data)) == graph.content:
            graph.data = bytes(data)
            return together(parts)
        data[-1] ^= 1 << bit
    raise AssertionError("the stream of the small bundle ends at a byte's end: give its graph another name")


class Touch:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("/nonexistent/pickle-was-loaded", "w"))


EVIL = pickle.dumps(Touch())
ZIP64 = struct.pack("<2H3Q", 1, 24, 1, 1, 0)


def bomb(declared: int) -> Forge:
    """64 MiB of zeros as a graph that claims ``declared`` bytes, in headers and manifest alike."""

    def forge(raw: bytes) -> bytes:
        parts = apart(raw)
        graph = find(parts, "graph.onnx")
        graph.content, graph.data = bytes(2**26), None
        graph.both = {"size": declared}
        root = parts[0]
        manifest = json.loads(root.content)
        manifest["entries"] = [listed(part) for part in parts[1:]]
        next(entry for entry in manifest["entries"] if entry["name"] == "graph.onnx")["size"] = declared
        root.content = root.data = canonical(manifest)
        return together(parts)

    return forge


def drop(name: str) -> Callable[[list[Part]], list[Part]]:
    return lambda parts: [part for part in parts if part.name != name.encode()]


def swap(parts: list[Part]) -> list[Part]:
    root, first, second, *rest = parts
    return [root, second, first, *rest]


def nested(content: bytes) -> bytes:
    return b"[" * 100_000 + b"]" * 100_000


def edge_json_deflated(parts: list[Part]) -> None:
    parts[0].method, parts[0].data = 8, None


def directory_reversed(raw: bytes) -> bytes:
    parts = apart(raw)
    body, central = b"", []
    for part in parts:
        local, header = part.headers(len(body))
        body += local
        central.append(header)
    directory = b"".join([central[0], *reversed(central[1:])])
    return body + directory + raw[-22:]


def contents_turned(parts: list[Part]) -> Iterator[Part]:
    for part, other in zip(parts, [*parts[1:], parts[0]], strict=True):
        yield Part(part.name, other.content, other.method, other.data)


# ---- The attacks.

ATTACKS: dict[str, tuple[Forge, type[BundleError], str]] = {
    # The file as a whole.
    "01-empty-file": (lambda raw: b"", BundleError, "no end record"),
    "02-truncated-by-one-byte": (lambda raw: raw[:-1], BundleError, "no end record"),
    "03-truncated-to-half": (lambda raw: raw[: len(raw) // 2], BundleError, "no end record"),
    "04-first-byte-missing": (lambda raw: raw[1:], BundleError, "directory offset is"),
    "05-rezipped-stored": (rezipped(0), BundleError, "'edge.json', central header: (time|date) is"),
    "06-rezipped-deflated": (rezipped(8), BundleError, "'edge.json', central header: (time|date) is"),
    "07-prefix": (lambda raw: b"#!/bin/sh\n" + raw, BundleError, "directory offset is"),
    "08-prefix-with-offsets-made-right": (laid_out(prefix=b"MZ"), BundleError, "offset is 2"),
    "09-trailing-byte": (lambda raw: raw + b"\0", BundleError, "no end record"),
    "10-second-archive-appended": (lambda raw: raw + together(apart(raw)), BundleError, "directory offset is"),
    "11-second-archive-with-offsets-made-right": (
        lambda raw: together(apart(raw), prefix=raw), BundleError, "'edge.json', central header: offset is"
    ),
    "12-end-record-twice": (lambda raw: raw + raw[-22:], BundleError, "directory offset is"),
    "13-gap-between-entries": (
        part_changed("golden.json", behind=b"\0"), BundleError, "'golden/x.bin', central header: offset is"
    ),
    "14-gap-before-the-directory": (laid_out(gap=b"\0"), BundleError, "bytes lie between"),
    "15-archive-comment": (laid_out(comment=b"hi"), BundleError, "no end record"),
    "16-archive-comment-ending-in-an-end-record": (
        lambda raw: together(apart(raw), comment=raw[-22:]), BundleError, "directory offset is"
    ),
    "17-entry-count-too-low": (laid_out(here=3, count=3), BundleError, "bytes lie between"),
    "18-entry-count-too-high": (laid_out(here=5, count=5), BundleError, "fewer headers"),
    "19-entry-counts-that-differ": (laid_out(here=3), BundleError, "entries on this disk is"),
    "20-no-entries": (lambda raw: together([]), BundleError, "has 0 entries; expected 1 to 64"),
    "21-too-many-entries": (
        relisted(lambda parts: [*parts, *(Part(b"golden/%d" % i, b"") for i in range(61))]),
        BundleError, "has 65 entries",
    ),
    "22-several-disks": (laid_out(disk=1), BundleError, "disk is 1"),
    "23-a-pickle-instead": (lambda raw: EVIL, BundleError, "no end record"),
    "24-an-onnx-file-instead": (lambda raw: find(apart(raw), "graph.onnx").content, BundleError, "no end record"),
    # Names.
    "25-duplicate-name": (
        relisted(lambda parts: [*parts, find(parts, "graph.onnx")]),
        BundleError, "two entries have the name 'graph.onnx'",
    ),
    "26-duplicate-manifest": (
        parts_changed(lambda parts: [*parts, parts[0]]), BundleError, "two entries have the name"
    ),
    "27-path-traversal": (added("../evil"), BundleError, "'../evil' is not allowed"),
    "28-path-traversal-inside": (added("golden/../../evil"), BundleError, "is not allowed"),
    "29-absolute-name": (added("/etc/passwd"), BundleError, "is not allowed"),
    "30-drive-letter": (added("c:evil"), BundleError, "is not allowed"),
    "31-backslash": (added("golden\\..\\evil"), BundleError, "is not allowed"),
    "32-uppercase-twin": (added("GRAPH.onnx"), BundleError, "is not allowed"),
    "33-empty-name": (added(""), BundleError, "is not allowed"),
    "34-empty-segment": (added("golden//x"), BundleError, "is not allowed"),
    "35-dot-segment": (added("golden/./x"), BundleError, "is not allowed"),
    "36-trailing-dot": (added("graph.onnx."), BundleError, "is not allowed"),
    "37-name-with-nul": (added("graph.onnx\0.txt"), BundleError, "is not allowed"),
    "38-name-with-escape-sequence": (added("golden/\x1b[2J"), BundleError, "is not allowed"),
    "39-name-outside-ascii": (added("golden/\xff"), BundleError, "is not allowed"),
    "40-directory-entry": (added("golden/", b""), BundleError, "is not allowed"),
    "41-file-that-is-also-a-folder": (added("golden.json/x"), BundleError, "also the folder"),
    "42-other-name-in-the-local-header": (
        part_changed("graph.onnx", local_name=b"grape.onnx"), BundleError, "another name in its local header"
    ),
    "43-longer-name-in-the-local-header": (
        part_changed("graph.onnx", local_name=b"graph.onnx2"), BundleError, "local header: name length is 11"
    ),
    # Headers; every field of every header is tried once more below.
    "44-symbolic-link": (
        part_changed("graph.onnx", central={"external": 0o120777 << 16}), BundleError, "external attributes is"
    ),
    "45-executable": (
        part_changed("graph.onnx", central={"external": 0o755 << 16}), BundleError, "external attributes is"
    ),
    "46-dos-directory-attribute": (
        part_changed("graph.onnx", central={"external": 0o600 << 16 | 0x10}), BundleError, "external attributes is"
    ),
    "47-made-on-another-system": (part_changed("graph.onnx", central={"made_by": 20}), BundleError, "made by is 20"),
    "48-encrypted": (part_changed("graph.onnx", both={"flags": 1}), BundleError, "flags is 1; expected 0"),
    "49-data-descriptor": (
        part_changed("golden/x.bin", both={"flags": 8}, local={"crc": 0, "stored": 0, "size": 0}),
        BundleError, "flags is 8",
    ),
    "50-utf-8-flag": (part_changed("graph.onnx", both={"flags": 0x800}), BundleError, "flags is 2048"),
    "51-real-time-of-day": (part_changed("graph.onnx", both={"time": 0x6000}), BundleError, "time is"),
    "52-real-date": (part_changed("graph.onnx", both={"date": 0x5A21}), BundleError, "date is"),
    "53-extra-field-in-the-local-header": (
        part_changed("edge.json", local_extra=b"\1\0\0\0"), BundleError, "local header: extra length is 4"
    ),
    "54-extra-field-in-the-central-header": (
        part_changed("graph.onnx", central_extra=b"\1\0\0\0"), BundleError, "extra length is 4"
    ),
    "55-entry-comment": (part_changed("graph.onnx", comment=b"hi"), BundleError, "comment length is 2"),
    "56-zip64-extra-field": (
        part_changed(
            "graph.onnx", local_extra=ZIP64, central_extra=ZIP64, both={"stored": 2**32 - 1, "size": 2**32 - 1}
        ),
        BundleError, "reaches into",
    ),
    "57-zip64-end-record": (
        laid_out(here=0xFFFF, count=0xFFFF, offset=2**32 - 1), BundleError, "directory offset is"
    ),
    "58-unknown-method-bzip2": (
        part_changed("graph.onnx", both={"method": 12}), BundleError, "method is 12; expected 0"
    ),
    "59-stored-called-deflate": (part_changed("golden/x.bin", both={"method": 8}), BundleError, "expected fewer"),
    "60-methods-that-differ": (part_changed("graph.onnx", local={"method": 0}), BundleError, "method is 0; expected 8"),
    "61-wrong-crc-in-the-local-header": (
        part_changed("graph.onnx", local={"crc": 1}), BundleError, "local header: crc is 1"
    ),
    "62-wrong-crc-in-the-central-header": (
        part_changed("graph.onnx", central={"crc": 1}), BundleError, "crc is .*; expected 1$"
    ),
    "63-wrong-crc-in-both-headers": (
        part_changed("graph.onnx", both={"crc": 1}), IntegrityError, "does not have the CRC"
    ),
    "64-wrong-crc-of-edge-json": (part_changed("edge.json", both={"crc": 1}), IntegrityError, "does not have the CRC"),
    "65-wrong-size-in-the-local-header": (part_changed("graph.onnx", local={"size": 1}), BundleError, "size is 1"),
    "66-wrong-stored-size-in-the-local-header": (
        part_changed("graph.onnx", local={"stored": 1}), BundleError, "stored size is 1"
    ),
    "67-wrong-size-in-both-headers": (
        part_changed("graph.onnx", both={"size": 9999}), BundleError, "another method or size"
    ),
    "68-stored-size-to-the-end-of-file": (
        part_changed("graph.onnx", both={"stored": 2**31}), BundleError, "reaches into the directory"
    ),
    "69-overlapping-entries": (part_changed("graph.onnx", central={"offset": 0}), BundleError, "offset is 0"),
    "70-order-of-the-directory-differs": (
        directory_reversed, BundleError, "'graph.onnx', central header: offset is"
    ),
    # Contents.
    "71-bit-flipped-in-a-deflated-entry": (flipped("graph.onnx"), IntegrityError, "'graph.onnx' .* sha256"),
    "72-bit-flipped-in-a-stored-entry": (flipped("golden/x.bin"), IntegrityError, "'golden/x.bin' .* sha256"),
    "73-same-content-by-another-stream": (other_stream, IntegrityError, "'graph.onnx' .* sha256"),
    "74-bomb-that-declares-little": (bomb(10_000_000), IntegrityError, "does not inflate to the 10000000 bytes"),
    "75-bomb-that-declares-too-much": (bomb(2**31), BundleError, "declares 2147483648 bytes; expected at most"),
    "76-size-larger-than-the-content": (bomb(2**26 + 1), IntegrityError, "does not inflate to the 67108865 bytes"),
    "77-deflate-that-grows": (
        stored_as("golden/x.bin", raw_deflate, 8), BundleError, "7 stored bytes for 5; expected fewer"
    ),
    "78-bytes-behind-the-deflate-stream": (
        stored_as("graph.onnx", lambda data: data + b"\0"), IntegrityError, "does not inflate to the"
    ),
    "79-stream-without-an-end": (
        stored_as("graph.onnx", lambda data: data[:-1]), IntegrityError, "does not inflate to the"
    ),
    "80-noise-as-a-stream": (stored_as("graph.onnx", lambda data: b"\xff" * 9), IntegrityError, "cannot be inflated"),
    # What is there against what is listed.
    "81-unlisted-entry": (
        parts_changed(lambda parts: [*parts, Part(b"x.so", b"x")]), BundleError, "'x.so' is not listed"
    ),
    "82-unlisted-pickle": (
        parts_changed(lambda parts: [*parts, Part(b"model.pkl", EVIL)]), BundleError, "'model.pkl' is not listed"
    ),
    "83-listed-pickle": (added("model.pkl", EVIL), BundleError, "'model.pkl' is listed but has no use"),
    "84-listed-code": (added("sitecustomize.py", b"import os"), BundleError, "is listed but has no use"),
    "85-listed-but-missing": (
        parts_changed(drop("golden/x.bin")), BundleError, "'golden/x.bin' is listed in edge.json but"
    ),
    "86-graph-missing-and-unlisted": (relisted(drop("graph.onnx")), BundleError, "names entries twice or not at all"),
    "87-golden-rows-missing": (relisted(drop("golden.json")), BundleError, "names entries twice or not at all"),
    "88-swapped-order": (parts_changed(swap), BundleError, "entries lie in the order"),
    "89-swapped-contents": (
        lambda raw: together([*apart(raw)[:1], *contents_turned(apart(raw)[1:])]), BundleError, "another method or size"
    ),
    "90-edge-json-not-first": (
        relisted(lambda parts: [*parts[1:], parts[0]]), BundleError, "first entry is 'golden.json'"
    ),
    "91-edge-json-deflated": (parts_changed(edge_json_deflated), BundleError, "first entry is 'edge.json', deflate"),
    "92-edge-json-missing": (parts_changed(drop("edge.json")), BundleError, "first entry is 'golden.json'"),
    "93-edge-json-too-large": (
        set_at("provenance", "note", to="x" * 2**24), BundleError, "expected 'edge.json', stored, at most 16777216"
    ),
    "94-edge-json-lists-itself": (
        manifest_changed(lambda data: data["entries"].append(data["entries"][0] | {"name": "edge.json"})),
        BundleError, "'edge.json' is listed but has no use",
    ),
    "95-entry-listed-twice": (
        manifest_changed(lambda data: data["entries"].append(data["entries"][0])), BundleError, "names entries twice"
    ),
    "96-wrong-sha256": (set_at("entries", 0, "sha256", to="0" * 64), IntegrityError, "'golden.json' .* sha256"),
    "97-uppercase-sha256": (set_at("entries", 0, "sha256", to="A" * 64), BundleError, "malformed sha256"),
    "98-wrong-listed-size": (set_at("entries", 0, "size", to=9999), BundleError, "another method or size"),
    "99-negative-listed-size": (set_at("entries", 0, "size", to=-1), BundleError, "impossible method or size"),
    # The form of edge.json.
    "100-white-space": (manifest_bytes(lambda raw: raw.replace(b",", b", ", 1)), BundleError, "canonical form"),
    "101-trailing-newline": (manifest_bytes(lambda raw: raw + b"\n"), BundleError, "canonical form"),
    "102-duplicate-key": (
        manifest_bytes(lambda raw: raw.replace(b'"format":1', b'"format":1,"format":1')), BundleError, "canonical form"
    ),
    "103-unsorted-keys": (
        manifest_bytes(lambda raw: json.dumps(dict(reversed(json.loads(raw).items())), separators=(",", ":")).encode()),
        BundleError, "canonical form",
    ),
    "104-float": (set_at("certificate", "rows", to=9.5), BundleError, "9.5 is a float"),
    "105-integer-as-float": (
        manifest_bytes(lambda raw: raw.replace(b'"rows":3', b'"rows":3.0')), BundleError, "3.0 is a float"
    ),
    "106-nan": (manifest_bytes(lambda raw: raw.replace(b'"rows":3', b'"rows":NaN')), BundleError, "nan is a float"),
    "107-negative-zero": (
        manifest_bytes(lambda raw: raw.replace(b'"rows":3', b'"rows":-0')), BundleError, "canonical form"
    ),
    "108-integer-of-5000-digits": (
        manifest_bytes(lambda raw: raw.replace(b'"rows":3', b'"rows":' + b"9" * 5000)),
        BundleError, "not canonical JSON",
    ),
    "109-escaped-letter": (
        manifest_bytes(lambda raw: raw.replace(b"small", b"sm\\u0061ll")), BundleError, "canonical form"
    ),
    "110-lone-surrogate": (
        manifest_bytes(lambda raw: raw.replace(b"small", b"\\ud800")), BundleError, "not canonical JSON"
    ),
    "111-byte-order-mark": (manifest_bytes(lambda raw: b"\xef\xbb\xbf" + raw), BundleError, "canonical"),
    "112-utf-16": (manifest_bytes(lambda raw: raw.decode().encode("utf-16")), BundleError, "canonical form"),
    "113-not-utf-8": (manifest_bytes(lambda raw: raw.replace(b"small", b"\xff")), BundleError, "not canonical JSON"),
    "114-not-json": (manifest_bytes(lambda raw: b"{" + raw), BundleError, "not canonical JSON"),
    "115-empty-manifest": (manifest_bytes(lambda raw: b""), BundleError, "not canonical JSON"),
    "116-nested-too-deep": (manifest_bytes(nested), BundleError, "not canonical JSON"),
    "117-a-list": (manifest_bytes(lambda raw: b"[]"), FormatVersionError, "format None"),
    # The fields of edge.json; every one is dropped, doubled by a stranger and retyped below.
    "118-later-format": (set_at("format", to=2), FormatVersionError, "format 2 is not supported; expected 1"),
    "119-format-zero": (set_at("format", to=0), FormatVersionError, "format 0 is not supported"),
    "120-format-as-text": (set_at("format", to="1"), FormatVersionError, "format '1' is not supported"),
    "121-format-true": (set_at("format", to=True), FormatVersionError, "format True is not supported"),
    "122-no-format": (manifest_changed(lambda data: data.pop("format")), FormatVersionError, "format None"),
    "123-number-not-shortest": (set_at("ending", "scale", to="1.00"), BundleError, "not a number in its shortest form"),
    "124-number-that-is-none": (set_at("ending", "scale", to="one"), BundleError, "not a number"),
    "125-nan-as-text": (set_at("ending", "scale", to="nan"), BundleError, "not a number"),
    "126-scale-of-zero": (set_at("ending", "scale", to="0.0"), BundleError, "expected a positive number"),
    "127-unknown-ending": (set_at("ending", "kind", to="eval"), BundleError, "ending 'eval' is not one of"),
    "128-unknown-dtype": (set_at("schema", "inputs", 0, "dtype", to="object"), BundleError, "unknown dtype 'object'"),
    "129-negative-shape": (set_at("schema", "inputs", 0, "shape", to=[-1, 8]), BundleError, "not a list of sizes"),
    "130-two-columns-of-one-name": (set_at("schema", "columns", 0, "name", to="x1"), BundleError, "two columns"),
    "131-column-outside-its-tensor": (set_at("schema", "columns", 0, "index", to=8), BundleError, "do not fill"),
    "132-no-variant": (set_at("variants", to=[]), BundleError, "variants must be one or more"),
    "133-graph-outside-the-bundle": (
        set_at("variants", 0, "graph", to="/etc/passwd"), BundleError, "names entries twice or not at all"
    ),
    "134-negative-folding-bound": (
        set_at("variants", 0, "largest_tensor", to=-1), BundleError, "negative largest_tensor"
    ),
}  # fmt: skip


@pytest.mark.usefixtures("no_session")
@pytest.mark.parametrize(("forge", "error", "says"), ATTACKS.values(), ids=ATTACKS)
def test_refused_before_a_session_exists(small_bundle: Path, forge: Forge, error: type[BundleError], says: str) -> None:
    """Each attack ends in the error beside it, in one line that says what is wrong."""
    raw = small_bundle.read_bytes()
    forged = forge(raw)
    assert forged != raw
    small_bundle.write_bytes(forged)
    with pytest.raises(error) as caught:
        opens(small_bundle)
    assert caught.type is error
    assert re.search(says, str(caught.value).removeprefix(f"{small_bundle}: "))
    assert "\n" not in str(caught.value)


def test_attacks_are_numbered() -> None:
    """The numbers run from 1 without a gap."""
    assert [int(name.split("-")[0]) for name in ATTACKS] == list(range(1, len(ATTACKS) + 1))


def test_the_forge_itself_changes_nothing(small_bundle: Path) -> None:
    """Taken apart and put together, or listed anew, a bundle is the same file: so an attack is its change alone."""
    raw = small_bundle.read_bytes()
    assert together(apart(raw)) == raw
    assert relisted(lambda parts: None)(raw) == raw
    assert manifest_changed(lambda data: None)(raw) == raw
    opens(small_bundle)


def test_wrong_digest_pin_is_refused(small_bundle: Path) -> None:
    """A bundle that is right in itself, but not the one that was asked for."""
    pinned = Bundle.open(small_bundle).digest
    small_bundle.write_bytes(set_at("name", to="other")(small_bundle.read_bytes()))
    opens(small_bundle)
    with pytest.raises(IntegrityError, match=f"expected {pinned}"):
        Bundle.open(small_bundle, digest=pinned)


# ---- Every field, every bit.


@pytest.mark.parametrize("name", LOCAL[1:])
@pytest.mark.parametrize("change", [1, 0x10, 0x8000])
def test_headers_that_agree_on_another_value_are_refused(small_bundle: Path, name: str, change: int) -> None:
    """No field has a second legal value, not even where both headers of an entry state it."""
    raw = small_bundle.read_bytes()
    for index in range(len(apart(raw))):
        parts = apart(raw)
        honest = unpacked(LOCAL, parts[index].headers(0)[0], 0)
        parts[index].both = {name: honest[name] ^ change}
        small_bundle.write_bytes(together(parts))
        with pytest.raises(BundleError):
            opens(small_bundle)


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below ``data``, containers included."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


FREE = {"provenance", "largest", "tolerance"}  # maps whose keys are the writer's own


def test_every_field_of_the_manifest_is_needed_and_typed(small_bundle: Path) -> None:
    """Dropping any field, adding one beside it, or giving it another type is refused."""
    raw = small_bundle.read_bytes()
    tried = 0
    for path in leaves(json.loads(apart(raw)[0].content)):
        if not isinstance(path[-1], str) or FREE & set(path[:-1]):
            continue
        tried += 1
        for change in (dropped(path), stranger_beside(path), set_at(*path, to={"odd": []}), set_at(*path, to=[{}])):
            small_bundle.write_bytes(change(raw))
            with pytest.raises(BundleError):
                opens(small_bundle)
    assert tried > 100


def dropped(path: tuple[Any, ...]) -> Forge:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return manifest_changed(change)


def stranger_beside(path: tuple[Any, ...]) -> Forge:
    return set_at(*path[:-1], "stranger", to=1)


def test_every_flipped_bit_is_refused(small_bundle: Path) -> None:
    """No byte of a bundle is without meaning: all of its bits, one after the other."""
    raw = small_bundle.read_bytes()
    with small_bundle.open("r+b", buffering=0) as file:

        def put(at: int, byte: int) -> None:
            file.seek(at)
            file.write(bytes([byte]))

        for bit in range(8 * len(raw)):
            at, honest = bit >> 3, raw[bit >> 3]
            put(at, honest ^ 1 << (bit & 7))
            try:
                opens(small_bundle)
            except BundleError:
                put(at, honest)
            else:
                pytest.fail(f"bit {bit & 7} of byte {at} may be flipped")
    opens(small_bundle)


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(path: Path, raw: bytes, forged: bytes) -> None:
    """Write ``forged``, see it refused, and put ``raw`` back."""
    path.write_bytes(forged)
    try:
        with pytest.raises(BundleError):
            opens(path)
    finally:
        path.write_bytes(raw)


@many
@given(edits=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), min_size=1, max_size=12))
def test_edited_bytes_are_refused(small_bundle: Path, edits: list[tuple[int, int]]) -> None:
    """Any few bytes changed, anywhere."""
    raw = small_bundle.read_bytes()
    forged = bytearray(raw)
    for place, change in edits:
        forged[place % len(raw)] ^= change
    assume(bytes(forged) != raw)
    refused(small_bundle, raw, bytes(forged))


@many
@given(st.data())
def test_cut_inserted_and_repeated_stretches_are_refused(small_bundle: Path, data: st.DataObject) -> None:
    """Any stretch replaced by none, by noise, or by a stretch from elsewhere in the file."""
    raw = small_bundle.read_bytes()
    places = st.integers(0, len(raw))
    start, stop = sorted((data.draw(places), data.draw(places)))
    other = sorted((data.draw(places), data.draw(places)))
    patch = data.draw(st.sampled_from([b"", raw[other[0] : other[1]]]) | st.binary(max_size=64))
    forged = raw[:start] + patch + raw[stop:]
    assume(forged != raw)
    refused(small_bundle, raw, forged)


@many
@given(st.data())
def test_truncated_and_extended_files_are_refused(small_bundle: Path, data: st.DataObject) -> None:
    """Any prefix of the file, and the file between any other bytes."""
    raw = small_bundle.read_bytes()
    refused(small_bundle, raw, raw[: data.draw(st.integers(0, len(raw) - 1))])
    extra = st.binary(min_size=1, max_size=64)
    refused(small_bundle, raw, raw + data.draw(extra))
    refused(small_bundle, raw, data.draw(extra) + raw)


@many
@given(st.data())
def test_strange_manifests_are_refused_in_words(small_bundle: Path, data: st.DataObject) -> None:
    """Any value put anywhere in `edge.json` either still opens or is a BundleError: never another exception."""
    raw = small_bundle.read_bytes()
    path = data.draw(st.sampled_from(list(leaves(json.loads(apart(raw)[0].content)))))
    scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5)
    value = data.draw(scalars | st.sampled_from(["inf", "1e400", "0.0", "-1.0"]) | st.lists(scalars, max_size=3))
    small_bundle.write_bytes(set_at(*path, to=value)(raw))
    with suppress(BundleError):
        opens(small_bundle)
    small_bundle.write_bytes(raw)
