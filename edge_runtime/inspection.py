"""What a model says of itself, in words: one page, shown on a terminal and in a notebook alike.

Every text on it is harmless to print; HTML has still to be escaped.

Belongs here: the words. Not here: how they are laid out (commands/inspect.py, page.py), opening files.
Imported as edge_runtime.inspection.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .ending import KINDS, Ending
from .links import Link
from .manifest import Manifest, Variant
from .plain import LACKS
from .schema import INTEGER_RANGE, ColumnSpec, Schema, TensorSpec
from .values import shorten
from .words import bytes_text, printable

__all__ = ["Page", "allowed", "page_of_bundle", "page_of_graph", "parts", "title"]

Rows = tuple[tuple[str, ...], ...]

COLUMNS = ("column", "type", "missing", "accepts", "unknown")
TENSORS = ("tensor", "type", "shape")
OUTPUTS = ("output", "type", "shape", "is")
VARIANTS = ("variant", "precision", "graph", "runs")
SHOWN = 4  # categories and classes named on the page; the rest are counted
KINDS_OF_STATEMENT = ("proven", "certified", "exact", "checked")
LARGEST = {"float32": 2**128 - 2**104, "float64": sys.float_info.max}
EXACT_INTEGERS = {2**24: "2^24", 2**53: "2^53"}  # where float32 and float64 stop holding every integer
HEADER_BYTES = 30 + 46  # of a ZIP entry, without its name, which stands twice
END_BYTES = 22


@dataclass(frozen=True, slots=True)
class Page:
    """``title`` and ``facts`` (name, text); rows under the headings COLUMNS, TENSORS, OUTPUTS and VARIANTS; ``ending``,
    how the outputs come about; ``certificate`` (proven, exact, checked, replayed or "", statement); ``provenance``
    (name, text); ``parts`` (name, bytes in the file); ``lacks``, what a plain graph has not."""

    title: str
    facts: Rows
    columns: Rows
    tensors: Rows
    outputs: Rows
    ending: str = ""
    certificate: Rows = ()
    variants: Rows = ()
    provenance: Rows = ()
    parts: tuple[tuple[str, int], ...] = ()
    lacks: str = ""


def page_of_bundle(manifest: Manifest, digest: str) -> Page:
    """The page of a bundle."""
    sizes = parts(manifest)
    facts = [
        ("digest", digest),
        ("created", manifest.created),
        ("source", manifest.provenance.get("source", "not recorded")),
    ]
    if sizes:
        facts.append(("size", bytes_text(sum(sizes.values()))))
    return Page(
        title=title(manifest.name, manifest.version),
        facts=harmless(facts),
        columns=tuple(map(column_row, manifest.schema.columns)),
        tensors=tuple(map(tensor_row, manifest.schema.inputs)),
        outputs=tuple(output_row(output, manifest.ending) for output in manifest.schema.outputs),
        ending=ending_text(manifest.ending),
        certificate=(*map(statement_row, manifest.certificate.statements), *replayed_rows(manifest)),
        variants=tuple(variant_row(variant, sizes) for variant in manifest.variants),
        provenance=provenance_rows(manifest.provenance),
        parts=tuple(sizes.items()),
    )


def page_of_graph(name: str, digest: str, schema: Schema) -> Page:
    """The page of a plain `.onnx` file."""
    return Page(
        title=title(name, ""),
        facts=(("digest", printable(digest)),),
        columns=tuple(map(column_row, schema.columns)),
        tensors=tuple(map(tensor_row, schema.inputs)),
        outputs=tuple(output_row(output, Ending("graph")) for output in schema.outputs),
        lacks=LACKS,
    )


def parts(manifest: Manifest) -> dict[str, int]:
    """The bytes that each part takes in the bundle's file; together they are the file. Nothing before it is written."""
    if not manifest.entries:
        return {}
    names = ["edge.json", *(entry.name for entry in manifest.entries)]
    graphs = {variant.graph for variant in manifest.variants}
    sizes = {entry.name: entry.stored for entry in manifest.entries if entry.name in graphs}
    sizes["golden rows"] = sum(entry.stored for entry in manifest.entries if entry.name not in graphs)
    sizes["edge.json"] = len(manifest.to_bytes())
    sizes["ZIP headers"] = sum(HEADER_BYTES + 2 * len(name) for name in names) + END_BYTES
    return sizes


def title(name: str, version: str) -> str:
    return printable(f"{name} {version}".strip()) or "a model without a name"


def column_row(column: ColumnSpec) -> tuple[str, ...]:
    unknown = "" if column.categories is None else "answered" if column.open else "refused"
    missing = "answered" if column.nullable else "refused"
    return printable(column.name), column.dtype, missing, accepts(column), unknown


def accepts(column: ColumnSpec) -> str:
    """The values that a column is known for: its categories where it has some, its range if not."""
    if column.categories is not None:
        return listing(column.categories)
    if column.dtype == "str":
        return "any text"
    if column.dtype == "bool":
        return "true or false"
    low, high = bound(column.low, -math.inf), bound(column.high, math.inf)
    if column.dtype in INTEGER_RANGE:
        least, most = INTEGER_RANGE[column.dtype]
        if low <= least and high >= most:
            return f"any {column.dtype}"
        return f"{integer_text(max(low, least))} to {integer_text(min(high, most))}"
    largest = LARGEST[column.dtype]
    if (low, high) == (-math.inf, math.inf):
        return "any number"
    if (low, high) == (-largest, largest):
        return "any finite number"
    return f"{low:.6g} to {high:.6g}"


def bound(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def integer_text(value: float) -> str:
    exact = EXACT_INTEGERS.get(abs(int(value)))
    return ("-" if value < 0 else "") + exact if exact else f"{int(value):,}"


def listing(values: Sequence[object]) -> str:
    """The first few of ``values``, and how many there are."""
    named = ", ".join(value_text(value) for value in values[:SHOWN])
    return named if len(values) <= SHOWN else f"{named}, … ({len(values):,})"


def value_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return printable(shorten(value)) if isinstance(value, (str, int, float)) else printable(repr(value))


def tensor_row(spec: TensorSpec) -> tuple[str, ...]:
    return printable(spec.name), spec.dtype, shape_text(spec)


def shape_text(spec: TensorSpec) -> str:
    """[N, 13]: N rows, and ? for any other free axis."""
    sizes = ["?" if size is None else f"{size:,}" for size in spec.shape]
    return f"[{', '.join(['N', *sizes[1:]] if spec.shape[:1] == (None,) else sizes)}]"


def output_row(spec: TensorSpec, ending: Ending) -> tuple[str, ...]:
    return (*tensor_row(spec), output_text(spec, ending))


def output_text(spec: TensorSpec, ending: Ending) -> str:
    decision, classes = ending.decision, ending.classes
    if decision is not None and spec.name == decision.name:
        return printable(f"true where {decision.score} > {decision.threshold!r}")
    if ending.kind == "anomaly" and spec.name == "label":
        return "-1 for an outlier, otherwise 1"
    if ending.kind == "each" and spec.name == "label":
        return "a class for each target, in their order"
    known = ending.classes_of(spec.name)
    if known is not None:
        return f"in the order of the classes: {listing(known)}"
    if classes is None:
        return ""
    return f"a class: {listing(classes)}" if decision is None else f"the probability of class {value_text(classes[1])}"


def ending_text(ending: Ending) -> str:
    text = KINDS[ending.kind]
    text += f", scale = {ending.scale!r}" if "scale" in text and ending.scale != 1.0 else ""
    text += f", offset = {ending.offset!r}" if "offset" in text else ""
    return text + (f"; parts: {', '.join(map(link_text, ending.parts))}" if ending.parts else "")


def link_text(link: Link) -> str:
    """Such as isotonic(share), or 2.0 × mean(softmax, softmax)."""
    weight = f"{link.weight!r} × " if link.weight != 1.0 else ""
    return weight + link.kind + (f"({', '.join(map(link_text, link.parts))})" if link.parts else "")


def statement_row(statement: str) -> tuple[str, str]:
    """A statement's first word says whether it was proven, is exact by construction, or was only checked."""
    word, _, rest = statement.partition(" ")
    kind = word.rstrip(":")
    return (kind, printable(rest)) if kind in KINDS_OF_STATEMENT else ("", printable(statement))


def replayed_rows(manifest: Manifest) -> Rows:
    """What the golden rows must come to wherever the bundle is opened; of variants where they differ."""
    first, *others = manifest.variants
    only = first.tolerance if not others and not first.golden else {}  # what is not in the bundle is held to nothing
    rows = [("replayed", f"golden rows, wherever the bundle is opened: {tolerance_text(manifest, only)}")]
    if only:
        return harmless(rows)
    for variant in manifest.variants:
        if variant.golden or variant.tolerance:
            whose = "its own answers to them" if variant.golden else "the same answers"
            rows.append(("replayed", f"{variant.name}: {whose}: {tolerance_text(manifest, variant.tolerance)}"))
    return harmless(rows)


def tolerance_text(manifest: Manifest, own: Mapping[str, float]) -> str:
    """How far each output may be off; ``own`` instead of the certificate's, if a variant has its own."""
    tolerance = own or manifest.certificate.tolerance
    return ", ".join(f"{output.name} {allowed(tolerance.get(output.name, 0.0))}" for output in manifest.schema.outputs)


def allowed(difference: float) -> str:
    """A tolerance in a word."""
    return "equal" if difference == 0.0 else f"within {difference:g}"


def variant_row(variant: Variant, sizes: dict[str, int]) -> tuple[str, ...]:
    graph = printable(variant.graph)
    if variant.graph in sizes:
        graph += f", {bytes_text(sizes[variant.graph])}"
    runs = "blocks of rows, several at once" if variant.small else "one batch, threads inside it"
    runs += ", precise 8-bit kernels" if variant.precise else ""
    return printable(variant.name), printable(variant.precision), graph, runs


def provenance_rows(provenance: dict[str, str]) -> Rows:
    """Name and text, the libraries' versions together."""
    libraries = {name[8:]: text for name, text in provenance.items() if name.startswith("library.")}
    rows = [(name, text) for name, text in sorted(provenance.items()) if not name.startswith("library.")]
    if libraries:
        rows.append(("libraries", ", ".join(f"{name} {text}" for name, text in sorted(libraries.items()))))
    return harmless(rows)


def harmless(rows: Iterable[tuple[str, ...]]) -> Rows:
    return tuple(tuple(printable(text) for text in row) for row in rows)
