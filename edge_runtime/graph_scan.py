"""Refuse a graph that a bundle must not hold, from its bytes alone, before onnxruntime sees them.

The bytes are walked as protobuf, without a protobuf package. Unknown fields, repeated singular fields and wrong wire
types are refused, since parsers drop or merge them: what is accepted here, every parser reads alike.

Belongs here: the walk and the rules. Not here: which operators are allowed (operators.py), the session (session.py).
Imported as edge_runtime.graph_scan. The rules are described in docs/bundle-format.md.
"""

from __future__ import annotations

import re
from typing import Any

from .errors import BundleError
from .operators import LEFT_OUT, OPERATORS

__all__ = ["scan"]

DEPTH = 100
"""Messages within messages: protobuf's own limit."""
EXPANSION = 16384
"""Nodes that functions may add when they are written out: doubling functions of 1 kB kept onnxruntime busy for 27 s."""
RANK = 64
"""Axes of a text tensor: numpy's limit."""

# The messages that are walked, with every field that ONNX gives them: number, name, type; `*` = may repeat, `!` = the
# rules read its value. What can do no harm stays bytes (types, value infos, names). A field that is not here is
# refused, and ModelProto.configuration and NodeProto.device_configurations are not: they spread a graph over devices.
SCHEMA = {
    "ModelProto": """1 ir_version int, 2 producer_name bytes, 3 producer_version bytes, 4 domain bytes,
        5 model_version int, 6 doc_string bytes, 7 graph GraphProto, 8 opset_import bytes*,
        14 metadata_props StringStringEntryProto*, 20 training_info bytes*, 25 functions FunctionProto*""",
    "StringStringEntryProto": "1 key bytes!, 2 value bytes",
    "GraphProto": """1 node NodeProto*, 2 name bytes, 5 initializer TensorProto*, 10 doc_string bytes, 11 input bytes*,
        12 output bytes*, 13 value_info bytes*, 14 quantization_annotation bytes*, 15 sparse_initializer bytes*,
        16 metadata_props bytes*""",
    "FunctionProto": """1 name bytes!, 4 input bytes*, 5 output bytes*, 6 attribute bytes*, 7 node NodeProto*,
        8 doc_string bytes, 9 opset_import bytes*, 10 domain bytes!, 11 attribute_proto AttributeProto*,
        12 value_info bytes*, 13 overload bytes!, 14 metadata_props bytes*""",
    "NodeProto": """1 input bytes*, 2 output bytes*, 3 name bytes!, 4 op_type bytes!, 5 attribute AttributeProto*,
        6 doc_string bytes, 7 domain bytes!, 8 overload bytes!, 9 metadata_props bytes*""",
    "AttributeProto": """1 name bytes!, 2 f float, 3 i int, 4 s bytes, 5 t TensorProto, 6 g GraphProto, 7 floats float*,
        8 ints int*, 9 strings bytes*, 10 tensors TensorProto*, 11 graphs GraphProto*, 13 doc_string bytes, 14 tp bytes,
        15 type_protos bytes*, 20 type int, 21 ref_attr_name bytes, 22 sparse_tensor bytes, 23 sparse_tensors bytes*""",
    "TensorProto": """1 dims int*!, 2 data_type int!, 3 segment bytes, 4 float_data float*, 5 int32_data int*,
        6 string_data bytes*, 7 int64_data int*, 8 name bytes!, 9 raw_data bytes, 10 double_data double*,
        11 uint64_data int*, 12 doc_string bytes, 13 external_data bytes*, 14 data_location int!,
        16 metadata_props bytes*""",
}
SPARSE = "sparse: 130 bytes of it made onnxruntime take 770 MB; expected a dense tensor"
REFUSED = {
    "training_info": "has training_info; expected a graph for inference only",
    "sparse_initializer": f"has an initializer that is {SPARSE}",
    "sparse_tensor": f"has a tensor that is {SPARSE}",
    "sparse_tensors": f"has a tensor that is {SPARSE}",
    "external_data": "has its data in another file; expected all data in the graph",
    "segment": "is one segment of a tensor; expected a whole one",
}
BUILT_IN = ("ai.onnx", "com.microsoft", "com.ms.")
"""How the domains begin in which onnxruntime would run its own operator, and not the function of that name."""
DATA = {"float_data", "int32_data", "string_data", "int64_data", "raw_data", "double_data", "uint64_data"}
STRING = 8  # TensorProto.DataType
WIRES = {"int": 0, "double": 1, "bytes": 2, "float": 5}
FIXED = {1: 8, 5: 4}

# A million tree nodes are ten million fields of one value each: a run of them is skipped in one step. Possessive
# (`++`), or the matcher would keep a way back for each.
RUNS = {
    "ints": re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++"),
    "floats": re.compile(rb"(?:\x3d(?s:....))++"),
    "strings": re.compile(rb"(?:\x4a(?:\x0aBRANCH_(?:LEQ|GTE|NEQ)|\x09BRANCH_(?:LT|GT|EQ)|\x04LEAF))++"),
}

Operator = tuple[str, str, str]
"""Domain, name, overload."""
Uses = dict[Operator | None, dict[Operator, int]]
"""How often each function (None: the graph) uses each operator."""
Field = tuple[str, bool, bool, str, re.Pattern[bytes] | None]
"""Name, at most once, its value is wanted, the message that it holds if that is walked, what its runs look like."""


class Place:
    """Where the walk is: a chain up to the model, put into words only for an error."""

    __slots__ = ("kind", "outer", "values")

    def __init__(self, outer: Place | None, kind: str) -> None:
        self.outer, self.kind = outer, kind
        self.values: dict[str, list[Any]] = {}

    def __str__(self) -> str:
        words: list[str] = []
        place = self
        while place.outer is not None:
            if place.kind != "GraphProto":
                name, operator = place.shown("name"), place.shown("op_type")
                words.append(place.kind.removesuffix("Proto").lower() + name + (operator and f" ({operator.strip()})"))
            place = place.outer
        return ", ".join([place.kind, *reversed(words)])

    def text(self, field: str) -> str:
        value: bytes = self.values.get(field, [b""])[0]
        return value.decode("utf-8", "surrogateescape")

    def shown(self, field: str) -> str:
        text = self.text(field)
        return text and f" {text if len(text) <= 80 else text[:77] + '...'!a}"


def scan(raw: bytes, *, where: str = "graph") -> None:
    """Raise BundleError, naming ``where`` and the node or tensor, unless ``raw`` is an ONNX model of listed operators
    that holds all of its data, and nothing that onnxruntime would load from elsewhere or blow up while loading."""
    if raw[4:8] == b"ORTM":
        raise BundleError(f"{where} is in onnxruntime's own format (ORTM); expected an ONNX model")
    uses: Uses = {None: {}}
    first: dict[Operator, Place] = {}
    stack: list[tuple[str, int, int, Place | None, Operator | None, int]] = [("ModelProto", 0, len(raw), None, None, 0)]
    while stack:
        kind, start, stop, outer, owner, depth = stack.pop()
        place = Place(outer, kind if outer else where)
        if depth > DEPTH:
            raise BundleError(f"{where} nests more than {DEPTH} messages")
        counts, inner = read(raw, kind, start, stop, place)
        for name in counts.keys() & REFUSED.keys():
            raise BundleError(f"{place} {REFUSED[name]}")
        if kind == "NodeProto":
            used = operator(place, "op_type")
            first.setdefault(used, place)
            uses[owner][used] = uses[owner].get(used, 0) + 1
        elif kind == "TensorProto":
            check_tensor(place, counts)
        elif kind == "FunctionProto":
            owner = operator(place, "name")
            if owner in uses or not owner[0] or owner[0].startswith(BUILT_IN):
                raise BundleError(f"{place} is defined twice, or in a domain of onnxruntime's own operators")
            uses[owner] = {}
        elif kind == "StringStringEntryProto" and place.text("key").lower().startswith(("ort", "ep_")):
            raise BundleError(f"{where} has metadata that configures onnxruntime:{place.shown('key')}")
        elif kind == "ModelProto" and not counts.keys() >= {"graph", "opset_import"}:
            raise BundleError(f"{where} has no graph in it, or does not name its opset; expected an ONNX model")
        stack += [(message, start, stop, place, owner, depth + 1) for message, start, stop in reversed(inner)]
    for used, place in first.items():
        check_operator(used, place, uses)
    if len(uses) > 1:
        check_expansion(uses, where)


def read(raw: bytes, kind: str, at: int, end: int, place: Place) -> tuple[dict[str, int], list[tuple[str, int, int]]]:
    """One message: how often each field occurs (a run counts as one), and what to walk in it (kind, start, stop).
    Puts the values that the rules read into ``place``."""
    fields, values = FIELDS[kind], place.values
    counts: dict[str, int] = {}
    inner: list[tuple[str, int, int]] = []
    try:
        while at < end:
            start, tag = at, raw[at]
            at += 1
            if tag > 127:
                tag, at = varint(raw, start)
            field = fields.get(tag)
            if field is None:
                raise BundleError(f"{place}: {kind} has no field {tag >> 3} of wire type {tag & 7}")
            name, once, wanted, message, run = field
            counts[name] = counts.get(name, 0) + 1
            if once and counts[name] > 1:
                raise BundleError(f"{place}: {kind} has the field {name} twice")
            if run and (skipped := run.match(raw, start, end)):
                at = skipped.end()
                continue
            wire = tag & 7
            if wire == 2:
                size = raw[at]
                at += 1
                if size > 127:
                    size, at = varint(raw, at - 1)
                if at + size > end:
                    raise IndexError
                if message:
                    inner.append((message, at, at + size))
                elif wanted:
                    values.setdefault(name, []).append(raw[at : at + size])
                at += size
            elif wire == 0:
                value, at = varint(raw, at)
                if wanted:
                    values.setdefault(name, []).append(value)
            else:
                at += FIXED[wire]
    except IndexError:
        at = -1
    if at != end:
        raise BundleError(f"{place}: {kind} is cut off")
    return counts, inner


def varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and where it ends. Raises IndexError where the bytes end before it does, or after ten."""
    value = 0
    for shift in range(0, 70, 7):
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise IndexError


def operator(place: Place, name: str) -> Operator:
    domain = place.text("domain")
    return ("" if domain == "ai.onnx" else domain, place.text(name), place.text("overload"))


def check_tensor(place: Place, counts: dict[str, int]) -> None:
    """All data is here and of one kind, and there are as many texts as the shape says: onnxruntime makes room for texts
    before it counts them."""
    if any(place.values.get("data_location", ())):
        raise BundleError(f"{place} {REFUSED['external_data']}")
    if len(counts.keys() & DATA) > 1:
        raise BundleError(f"{place} has its data twice, as {' and '.join(sorted(counts.keys() & DATA))}")
    if place.values.get("data_type") != [STRING]:
        return
    sizes, found, wanted = dimensions(place), counts.get("string_data", 0), 1
    if len(sizes) > RANK:
        raise BundleError(f"{place} has {len(sizes)} axes; expected at most {RANK}")
    for size in sizes:
        wanted *= size
    if wanted != found:
        raise BundleError(f"{place} has the shape {sizes} but {found} texts")


def dimensions(place: Place) -> list[int]:
    sizes: list[int] = []
    for value in place.values.get("dims", ()):
        if isinstance(value, int):
            sizes.append(value)
            continue
        at = 0
        while at < len(value):
            try:
                size, at = varint(value, at)
            except IndexError:
                raise BundleError(f"{place}: its shape is cut off") from None
            sizes.append(size)
    return sizes


def check_operator(used: Operator, place: Place, uses: Uses) -> None:
    domain, name, _ = used
    if name in OPERATORS.get(domain, ()) or used in uses:
        return
    reason = LEFT_OUT.get((domain, name), "it is not on the list (edge_runtime.operators)")
    raise BundleError(f"{place}: the operator {name!a} of {domain or 'ai.onnx'!a} is not allowed: {reason}")


def check_expansion(uses: Uses, where: str) -> None:
    """Refuse functions that call themselves, and those that double and double again."""
    from graphlib import CycleError, TopologicalSorter

    calls = {caller: used.keys() & uses.keys() for caller, used in uses.items()}
    try:
        order = list(TopologicalSorter(calls).static_order())
    except CycleError:
        raise BundleError(f"{where} has a function that calls itself") from None
    sizes: dict[Operator | None, int] = {}
    for caller in order:
        size = sum(count * sizes.get(used, 1) for used, count in uses[caller].items())
        sizes[caller] = min(size, 2**64)  # else a kilobyte of doubling makes numbers of a kilobyte
    if sizes[None] - sum(uses[None].values()) > EXPANSION:
        raise BundleError(f"{where} has functions that add more than {EXPANSION} nodes when they are written out")


def table(kind: str) -> dict[int, Field]:
    """The fields of one message by tag, which is number and wire type."""
    fields: dict[int, Field] = {}
    for text in SCHEMA[kind].split(","):
        number, name, marked = text.split()
        type_ = marked.rstrip("*!")
        wire, once = WIRES.get(type_, 2), "*" not in marked
        run = RUNS.get(name) if kind == "AttributeProto" else None
        wanted, message = "!" in marked, "" if type_ in WIRES else type_
        fields[int(number) << 3 | wire] = (name, once, wanted, message, run)
        if wire != 2 and not once:  # numbers may also come in one piece
            fields[int(number) << 3 | 2] = (name, once, wanted, message, None)
    return fields


FIELDS = {kind: table(kind) for kind in SCHEMA}
