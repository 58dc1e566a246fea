"""Which columns a table must have, which of them are kept, and which are added.

Belongs here: names and types, before any row is read. Not here: values (edge_runtime.values), files of rows.
Imported as edge_runtime.batch.columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edge_runtime.answers import arrow_column
from edge_runtime.errors import InputError
from edge_runtime.rows import check_distinct
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, Schema
from edge_runtime.tables import closest, listing
from edge_runtime.values import shorten

if TYPE_CHECKING:
    from edge_runtime.model import Model

__all__ = [
    "STAMPS",
    "Added",
    "Found",
    "added_by",
    "arrow_type",
    "check_alike",
    "check_columns",
    "kept_of",
    "kinds_of",
    "types_within",
]

Found = tuple[str, str, str]  # a column's name, its family, and its type as it is shown

STAMPS = ("model_version", "model_digest", "score_timestamp")
TEXTS = ("string", "large_string", "string_view")
ACCEPTED = {
    "integer": ("integer", "float", "null"),  # a float without a fraction is an integer: the values tell
    "float": ("integer", "float", "null"),
    "bool": ("bool", "null"),
    "text": ("text", "null"),
}


@dataclass(frozen=True, slots=True)
class Added:
    """The columns that scoring adds: the model's outputs, as Arrow fields, then STAMPS with one value for a run.

    ``stamps`` are these values by name, and ``texts`` the same where the time is text."""

    outputs: tuple[Any, ...]
    version: str
    digest: str
    timestamp: datetime
    classes: tuple[Any, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        return (*(field.name for field in self.outputs), *STAMPS)

    @property
    def stamps(self) -> dict[str, str | datetime]:
        return dict(zip(STAMPS, (self.version, self.digest, self.timestamp), strict=True))

    @property
    def texts(self) -> dict[str, str]:
        return dict(zip(STAMPS, (self.version, self.digest, self.timestamp_text), strict=True))

    @property
    def timestamp_text(self) -> str:
        """The time where it is text: ISO 8601."""
        return self.timestamp.isoformat().replace("+00:00", "Z")

    def schema(self, kept: Any) -> Any:
        """The Arrow schema of a table with these columns behind those of ``kept``."""
        import pyarrow

        kinds = pyarrow.string(), pyarrow.string(), pyarrow.timestamp("us", "UTC")
        fields = [*kept, *self.outputs, *map(pyarrow.field, STAMPS, kinds)]
        return pyarrow.schema(fields, kept.metadata)


def added_by(model: Model) -> Added:
    """What ``model`` adds to a table from now on. Raises InputError for a model of tensors, or one whose outputs are no
    columns."""
    import pyarrow

    if not model.schema.columns:
        inputs = ", ".join(spec.name for spec in model.schema.inputs)
        raise InputError(f"{model.name} takes tensors ({inputs}), not rows", expected="a model of a table")
    fields = []
    for name, array in model.predict({column.name: [] for column in model.schema.columns}).items():
        if array.ndim > 2:
            raise InputError(f"an output has {array.ndim} axes", expected="one value or one list a row", column=name)
        fields.append(pyarrow.field(name, arrow_column(array).type))
    clash = [field.name for field in fields if field.name in STAMPS]
    if clash:
        raise InputError("the model's output has the name of a stamp", expected="another name", column=clash[0])
    classes = model.manifest.ending.classes if model.manifest is not None else None
    return Added(tuple(fields), model.version, model.digest, datetime.now(UTC), classes)


def family(kind: Any) -> str:
    """What the Arrow type ``kind`` is to a model: integer, float, bool, text, null, or other; a dictionary is as its
    values."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind):
        return "integer"
    if types.is_floating(kind):
        return "float"
    name = str(kind)
    return "text" if name in TEXTS else name if name in ("bool", "null") else "other"


def types_within(kind: Any) -> Iterator[Any]:
    """``kind`` and the types of its values, theirs, and so on, however deep."""
    waiting = [kind]
    while waiting:
        found = waiting.pop()
        yield found
        # A dictionary has no fields but a type of values.
        waiting += (
            [found.value_type]
            if hasattr(found, "index_type")
            else [found.field(k).type for k in range(found.num_fields)]
        )


def wanted(column: ColumnSpec) -> str:
    if column.dtype in INTEGER_RANGE:
        return "integer"
    return {"bool": "bool", "str": "text"}.get(column.dtype, "float")


def arrow_type(column: ColumnSpec) -> Any:
    """The Arrow type in which ``column`` is kept where the input is text or JSON: floats as float64, unrounded."""
    import pyarrow

    if wanted(column) == "float":
        return pyarrow.float64()
    return pyarrow.string() if column.dtype == "str" else pyarrow.type_for_alias(column.dtype)


def kinds_of(schema: Any) -> list[Found]:
    """The columns of an Arrow schema."""
    return [(field.name, family(field.type), str(field.type)) for field in schema]


def check_columns(place: str, schema: Schema, found: Sequence[Found], *, typed: bool = True) -> None:
    """Raise one InputError with every column of ``schema`` that is not among ``found``, or there of another type;
    ``typed`` false looks at names only."""
    names = [name for name, _, _ in found]
    check_distinct(place, names)
    known = {column.name for column in schema.columns}
    kinds = {name: (kind, shown) for name, kind, shown in found}
    problems, expected = [], []
    for column in schema.columns:
        kind, shown = kinds.get(column.name, ("", ""))
        if not kind:
            near = closest(column.name, [name for name in names if name not in known])
            problems.append(f"{column.name!r} is missing" + (f" (there is {shorten(near)})" if near else ""))
        elif typed and kind not in ACCEPTED[wanted(column)]:
            problems.append(f"{column.name!r} is {shown}")
        else:
            continue
        expected.append(f"{column.name} {column.dtype}")
    if problems:
        count = "a column does" if len(problems) == 1 else f"{len(problems)} columns do"
        raise InputError(f"{place}: {count} not fit the model: {', '.join(problems)}", expected=", ".join(expected))


def check_alike(found: Sequence[tuple[str, Any]], *, otherwise: str) -> None:
    """Raise InputError, with the advice ``otherwise``, unless the schemas of all files, by name, are the same: what is
    kept of them goes into one."""
    first, there = found[0]
    for name, here in found[1:]:
        if here.equals(there):
            continue
        kinds = [{(field.name, str(field.type)) for field in each} for each in (here, there)]
        differing = sorted({field for field, _ in kinds[0] ^ kinds[1]}) or ["their order"]
        problem = f"{name}: other columns than {first} has ({', '.join(differing)})"
        raise InputError(problem, expected=f"the same in all files of one output, or {otherwise}")


def kept_of(place: str, names: Sequence[str], keep: Sequence[str] | None, added: Sequence[str]) -> tuple[str, ...]:
    """The columns of ``names`` that stay, in their order: all, or those of ``keep``.

    Raises InputError for one of ``keep`` that is not there, and for names that the ``added`` columns have as well.
    """
    absent = [name for name in keep or () if name not in names]
    if absent:
        near = closest(absent[0], names)
        there = f"{near!r}" if near else f"one of {listing(names)}"
        raise InputError(f"{place}: a column to keep is missing", expected=there, column=absent[0])
    kept = tuple(name for name in names if keep is None or name in keep)
    twice = [name for name in kept if name in added]
    if twice:
        what = "a column has the name" if len(twice) == 1 else f"{len(twice)} columns have names"
        problem = f"{place}: {what} of what is added ({', '.join(map(shorten, twice))})"
        raise InputError(problem, expected="other names, or --keep without them")
    return kept
