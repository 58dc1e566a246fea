"""The bundle: one file, read as a whole, proven before anything in it is inflated, and immutable from then on.

The order is container, manifest, hashes. Belongs here: opening, pinning, reading entries, writing atomically.
Not here: the ZIP's bytes (container.py), the manifest's fields (manifest.py), running a graph (session.py, model.py).
Imported as edge_runtime.bundle; `Bundle` is public in edge_runtime.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from . import container
from .container import Member
from .errors import BundleError, IntegrityError
from .manifest import Entry, Manifest

# The interpreter's own SHA-256: hashlib would load OpenSSL, 3 ms and 3.5 MB.
try:
    from _sha2 import sha256 as light_sha256  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256 as light_sha256  # type: ignore[import-not-found, unused-ignore]
    except ImportError:  # an interpreter built without them
        from hashlib import sha256 as light_sha256

__all__ = ["Bundle", "sha256"]

MANIFEST = "edge.json"
MANIFEST_LIMIT = 2**24
"""Bytes of `edge.json`: JSON of this size may take some 20 times as much memory."""

LARGE = 2**22
"""Bytes from which OpenSSL, six times as fast, is worth loading."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle whose container, manifest and hashes have been checked.

    ``digest`` is its identity, "sha256:" and 64 hex digits of the SHA-256 of `edge.json`; ``size`` is the file's, in
    bytes. The file is held in memory and never read again: what was checked is what is used.
    """

    path: str
    size: int
    digest: str
    manifest: Manifest = field(repr=False)
    _members: Mapping[str, Member] = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, digest: str | None = None) -> Bundle:
        """Read and check the file at ``path``; ``digest`` pins the identity that it must have.

        Raises FileNotFoundError where there is nothing, IntegrityError if bytes or identity are not those expected,
        FormatVersionError for another format, BundleError for whatever else is not a bundle.
        """
        path = os.fspath(path)
        try:
            return check(path, read_file(path), digest)
        except BundleError as error:
            error.args = (f"{path}: {error}",)
            raise

    @classmethod
    def write(cls, path: str | os.PathLike[str], manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
        """Write ``contents`` (entry name -> content) with ``manifest``, whose ``entries`` are made anew, and return it.

        The file at ``path`` is either the old one or the whole new one, at every moment. Entries are deflated where
        that makes them smaller. Raises BundleError, and writes nothing, if ``open`` would refuse it; OSError from disk.
        """
        path = os.fspath(path)
        members = [smaller(name, contents[name]) for name in in_order(contents, manifest.golden)]
        manifest = replace(manifest, entries=tuple(map(describe, members)))
        raw = container.write([container.store(MANIFEST, manifest.to_bytes()), *members])
        bundle = check(path, raw, None)
        replace_file(path, raw)
        return bundle

    def read(self, name: str) -> bytes:
        """The content of the entry ``name``, inflated anew on each call.

        Raises BundleError if there is no such entry, IntegrityError unless it has the declared size and CRC.
        """
        if name not in self._members:
            raise BundleError(f"the bundle has no entry {name!r}; it has {sorted(self._members)}")
        return container.unpack(self._members[name])


def sha256(data: bytes | memoryview) -> str:
    """The SHA-256 of ``data`` as 64 hex digits."""
    if len(data) < LARGE:
        return str(light_sha256(data).hexdigest())
    import hashlib

    return hashlib.sha256(data).hexdigest()


def read_file(path: str) -> bytes:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BundleError("it is not a regular file")
        if status.st_size > container.FILE_LIMIT:
            raise BundleError(f"the file has {status.st_size} bytes; a bundle has at most {container.FILE_LIMIT}")
        with open(path, "rb") as file:
            raw = file.read(status.st_size + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BundleError(f"the file cannot be read: {error.strerror}") from error
    if len(raw) != status.st_size:
        raise BundleError("the file changed while it was read")
    return raw


def check(path: str, raw: bytes, digest: str | None) -> Bundle:
    """The bundle of the bytes ``raw``, after every check that needs nothing inflated."""
    members = container.read(raw)
    root, *others = members.values()
    if root.name != MANIFEST or root.method != "stored" or root.size > MANIFEST_LIMIT:
        raise BundleError(
            f"the first entry is {root.name!r}, {root.method}, {root.size} bytes;"
            f" expected {MANIFEST!r}, stored, at most {MANIFEST_LIMIT}"
        )
    found = f"sha256:{sha256(root.data)}"
    if digest is not None and digest != found:
        raise IntegrityError(f"the bundle's digest is {found}; expected {digest}")
    manifest = Manifest.from_bytes(container.unpack(root))
    check_entries(manifest.entries, others)
    return Bundle(path, len(raw), found, manifest, members)


def check_entries(entries: tuple[Entry, ...], members: list[Member]) -> None:
    """Raise unless ``members`` are the listed ``entries``, in their order, with their sizes and hashes."""
    listed, present = [entry.name for entry in entries], [member.name for member in members]
    for name in present:
        if name not in listed:
            raise BundleError(f"entry {name!r} is not listed in {MANIFEST}")
    for name in listed:
        if name not in present:
            raise BundleError(f"entry {name!r} is listed in {MANIFEST} but missing")
    if listed != present:
        raise BundleError(f"the entries lie in the order {present}; {MANIFEST} lists {listed}")
    for entry, member in zip(entries, members, strict=True):
        if (entry.method, entry.stored, entry.size) != (member.method, len(member.data), member.size):
            raise BundleError(f"entry {entry.name!r} has another method or size than {MANIFEST} lists")
    for entry, member in zip(entries, members, strict=True):
        if entry.sha256 != sha256(member.data):
            raise IntegrityError(f"entry {entry.name!r} does not have the sha256 that {MANIFEST} lists")
        if entry.crc != member.crc:
            raise IntegrityError(f"entry {entry.name!r} does not have the CRC that {MANIFEST} lists")


def in_order(names: Mapping[str, bytes], golden: str) -> list[str]:
    """The order in which we write: the golden rows, their tensors, the graphs, each by name."""
    return sorted(names, key=lambda name: (name != golden, not name.startswith("golden/"), name))


def smaller(name: str, content: bytes) -> Member:
    return min(container.store(name, content), container.deflate(name, content), key=lambda member: len(member.data))


def describe(member: Member) -> Entry:
    return Entry(member.name, member.method, len(member.data), member.size, member.crc, sha256(member.data))


def replace_file(path: str, raw: bytes, *, opener: Callable[[str, int], int] | None = None) -> None:
    """Put ``raw`` at ``path`` in one step, with the permissions that the umask, or ``opener``, gives a new file."""
    temporary = os.path.join(os.path.dirname(path), f".{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb", opener=opener) as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
