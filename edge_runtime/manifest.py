"""What a bundle says of itself: `edge.json`, its root of trust.

Belongs here: the manifest's types and their strict form. Not here: the container (container.py), opening (bundle.py).
Imported as edge_runtime.manifest; `Manifest` and `Variant` are public in edge_runtime. Described in
docs/bundle-format.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from .canonical import dumps, loads, take
from .ending import Ending
from .errors import BundleError, FormatVersionError, InputError
from .row_order import Cuts, cuts_from_json
from .schema import Schema, decimal

__all__ = ["FORMAT_VERSION", "Certificate", "Entry", "Manifest", "Variant"]

# 1 (0.1): first version.
# To raise: keep the old reader as manifest_v<N>.py, add tests/data/compat/v<N>.edge, extend docs/bundle-format.md.
# Raise when an old reader would misread the file; a field more is such a case, since fields are exact.
FORMAT_VERSION = 1


class Entry(NamedTuple):
    """One file in the container: ``method`` "stored" or "deflate", ``stored`` and ``size`` in bytes, ``crc`` (CRC-32)
    of its content, ``sha256`` of the stored bytes (64 hex digits)."""

    name: str
    method: str
    stored: int
    size: int
    crc: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: object) -> Entry:
        name, method, stored, size, crc, sha256 = take(
            data, "entry", name=str, method=str, stored=int, size=int, crc=int, sha256=str
        )
        if method not in ("stored", "deflate") or stored < 0 or size < 0 or (method == "stored" and stored != size):
            raise BundleError(f"entry {name!r} has an impossible method or size")
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise BundleError(f"entry {name!r} has a malformed sha256")
        return cls(name, method, stored, size, crc, sha256)


@dataclass(frozen=True, slots=True)
class Variant:
    """One graph in one precision. ``graph`` is its entry; ``largest_tensor`` bounds, in bytes, what constant folding
    may create; ``small`` says that it runs single-threaded on blocks of rows (see docs/bundle-format.md), and ``order``
    in which order these are best sorted. ``precise`` keeps 8-bit products from saturating on x64 processors without
    VNNI, at a price in time. ``golden`` is the entry of its own answers to the manifest's golden rows ("" = it answers
    as recorded there), ``tolerance`` what these may differ by, per output (empty = the certificate's)."""

    name: str
    graph: str
    precision: str
    largest_tensor: int
    small: bool
    order: tuple[Cuts, ...] = ()
    precise: bool = False
    golden: str = ""
    tolerance: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        made = {field: getattr(self, field) for field in self.__slots__}
        tolerance = {name: repr(value) for name, value in self.tolerance.items()}
        return {**made, "order": [cuts.to_json() for cuts in self.order], "tolerance": tolerance}

    @classmethod
    def from_json(cls, data: object) -> Variant:
        name, graph, precision, largest_tensor, small, order, precise, golden, tolerance = take(
            data, "variant", name=str, graph=str, precision=str, largest_tensor=int, small=bool, order=list,
            precise=bool, golden=str, tolerance=dict,
        )  # fmt: skip
        if largest_tensor < 0:
            raise BundleError(f"variant {name!r} has a negative largest_tensor")
        allowed = decimals(tolerance)
        if not all(0 <= value < inf for value in allowed.values()):
            raise BundleError(f"variant {name!r} has a tolerance that is negative or infinite")
        return cls(name, graph, precision, largest_tensor, small, cuts_from_json(order), precise, golden, allowed)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was shown when the bundle was made, and what any machine must find again.

    ``rows`` and ``edge_rows`` were compared with the source; ``largest`` is the largest difference seen per output and
    ``tolerance`` what the golden rows may differ by on another machine (0 = the same bits); ``statements`` say it in
    words, each either proven or checked.
    """

    rows: int
    edge_rows: int
    largest: dict[str, float]
    tolerance: dict[str, float]
    statements: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "edge_rows": self.edge_rows,
            "largest": {name: repr(value) for name, value in self.largest.items()},
            "rows": self.rows,
            "statements": list(self.statements),
            "tolerance": {name: repr(value) for name, value in self.tolerance.items()},
        }

    @classmethod
    def from_json(cls, data: object) -> Certificate:
        rows, edge_rows, largest, tolerance, statements = take(
            data, "certificate", rows=int, edge_rows=int, largest=dict, tolerance=dict, statements=list
        )
        if not all(type(statement) is str for statement in statements):
            raise BundleError("the certificate's statements must be text")
        return cls(rows, edge_rows, decimals(largest), decimals(tolerance), tuple(statements))


@dataclass(frozen=True, slots=True)
class Manifest:
    """``created`` is a time in UTC (ISO 8601); ``provenance`` maps text to text; ``golden`` is the entry of golden
    rows."""

    name: str
    version: str
    created: str
    schema: Schema
    ending: Ending
    variants: tuple[Variant, ...]
    certificate: Certificate
    provenance: dict[str, str]
    golden: str
    entries: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        """The bytes of `edge.json`."""
        return dumps(
            {
                "certificate": self.certificate.to_json(),
                "created": self.created,
                "ending": self.ending.to_json(),
                "entries": [entry.to_json() for entry in self.entries],
                "format": FORMAT_VERSION,
                "golden": self.golden,
                "name": self.name,
                "provenance": self.provenance,
                "schema": self.schema.to_json(),
                "variants": [variant.to_json() for variant in self.variants],
                "version": self.version,
            }
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Manifest:
        """Read `edge.json`. Raises FormatVersionError for another format, BundleError for any other fault."""
        data = loads(raw)
        found = data.get("format") if type(data) is dict else None
        if type(found) is not int or found != FORMAT_VERSION:
            raise FormatVersionError(found, supported=str(FORMAT_VERSION))
        certificate, created, ending, entries, _, golden, name, provenance, schema, variants, version = take(
            data, "edge.json", certificate=dict, created=str, ending=dict, entries=list, format=int, golden=str,
            name=str, provenance=dict, schema=dict, variants=list, version=str,
        )  # fmt: skip
        if not all(type(value) is str for value in provenance.values()):
            raise BundleError("provenance must map text to text")
        manifest = cls(
            name, version, created, Schema.from_json(schema), Ending.from_json(ending),
            tuple(map(Variant.from_json, variants)), Certificate.from_json(certificate), provenance, golden,
            tuple(map(Entry.from_json, entries)),
        )  # fmt: skip
        manifest.check()
        return manifest

    def variant(self, name: str | None) -> Variant:
        """The variant called ``name``, the first one for None. Raises InputError if there is none."""
        for each in self.variants:
            if name in (None, each.name):
                return each
        raise InputError(f"there is no variant {name!r}", expected=f"one of {[each.name for each in self.variants]}")

    def check(self) -> None:
        """Raise BundleError unless every entry has one use, every use its entry, and every tolerance its output."""
        names = [variant.name for variant in self.variants]
        if not names or len(set(names)) != len(names):
            raise BundleError(f"variants must be one or more, each with a name of its own: {names!r}")
        listed = [entry.name for entry in self.entries]
        graphs = {variant.graph for variant in self.variants}
        own = {variant.golden for variant in self.variants if variant.golden}
        used = {self.golden, *graphs, *own}
        if len(set(listed)) != len(listed) or used - set(listed):
            raise BundleError(f"edge.json names entries twice or not at all: {sorted(used - set(listed)) or listed!r}")
        if twice := (own & {self.golden, *graphs}) or {self.golden} & graphs:
            raise BundleError(f"entries have two uses: {sorted(twice)}")
        outputs = {output.name for output in self.schema.outputs}
        for variant in self.variants:
            if unknown := variant.tolerance.keys() - outputs:
                raise BundleError(f"variant {variant.name!r} has a tolerance for {sorted(unknown)}, which is no output")
        for name in set(listed) - used:
            if not name.startswith("golden/"):
                raise BundleError(f"entry {name!r} is listed but has no use")


def decimals(data: dict[str, Any]) -> dict[str, float]:
    if not all(type(value) is str for value in data.values()):
        raise BundleError("numbers that are not integers must be decimal strings")
    return {name: decimal(value, name) for name, value in data.items()}
