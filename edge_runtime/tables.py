"""Tables of any library, read without importing one.

Belongs here: recognising a table, finding its columns, taking views of them, filling the graph's tensors by blocks. Not
here: what a value may be (values.py), one row at a time (row.py). Imported as edge_runtime.tables.

Each column becomes a `Reader`, made once: a function over zero-copy views, so that many threads may fill at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .schema import Schema
from .values import Absent, Coder, coders, shorten

__all__ = ["Table", "check_keys", "read_table"]

T = TypeVar("T")

# (start, stop, row) -> what the rows start..stop put into the tensor; ``row`` is the table's own number of ``start``.
Reader = Callable[[int, int, int], NDArray[Any]]
Fetch = Callable[[int, int], tuple[Sequence[Any] | NDArray[Any], Absent]]

ACCEPTED = (
    "a dict (one record, or columns of one length), a list of dicts, a numpy array (2-D, or structured), "
    "a pandas or polars DataFrame, or a pyarrow Table or RecordBatch"
)
ARROW_NUMBERS = {f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)} | {
    "halffloat": np.dtype("float16"),
    "float": np.dtype("float32"),
    "double": np.dtype("float64"),
}
ARROW_TEXTS = ("string", "large_string", "string_view")
POLARS_NUMBERS = {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
PANDAS_TIMES = ("DatetimeTZDtype", "PeriodDtype", "IntervalDtype")
TIMES = ("timestamp", "date", "time", "duration", "interval", "month_")


class Table:
    """A table as its columns' readers. ``ignored`` names the columns that the schema does not have."""

    __slots__ = ("_coders", "_names", "_readers", "_records", "ignored", "rows")

    def __init__(
        self, coders: Sequence[Coder], readers: Sequence[Reader], rows: int, ignored: tuple[str, ...] = (),
        records: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        self._coders, self._readers, self._records = coders, readers, records
        self._names = [coder.column.name for coder in coders]
        self.rows, self.ignored = rows, ignored

    def fill(self, start: int, stop: int, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Check the rows ``start`` to ``stop`` and write them into the first ``stop - start`` rows of ``tensors``.

        Each tensor is [rows, columns] or [rows], of its own dtype. Several threads may fill tensors of their own at
        once. Raises InputError for the first row that does not fit (its first such column); what the tensors hold is
        then undefined.
        """
        first: InputError | None = None
        if self._records is not None:
            first = self._first_bad_keys(self._records, start, stop)
            stop = row_of(first, stop)  # an earlier row may still be at fault
        for coder, reader in zip(self._coders, self._readers, strict=True):
            try:
                values = reader(start, stop, start)
            except InputError as error:
                first, stop = error, row_of(error, stop)
                continue
            tensor = tensors[coder.column.tensor]
            (tensor if tensor.ndim == 1 else tensor[:, coder.column.index])[: stop - start] = values
        if first is not None:
            raise first

    def _first_bad_keys(self, records: Sequence[Any], start: int, stop: int) -> InputError | None:
        for row in range(start, stop):
            try:
                check_keys(records[row], self._names, row)
            except InputError as error:
                return error
        return None


def read_table(data: object, schema: Schema, laws: Sequence[Coder] | None = None) -> Table:
    """Find the columns of ``schema`` in ``data``: frames, columns and records by name, plain arrays by position.

    ``laws`` are the schema's coders, if they are at hand. Nothing is copied that need not be, and no value is checked
    before `Table.fill`. Raises InputError if ``data`` is of no known kind or has not the schema's columns.
    """
    if not schema.columns:
        raise InputError("the model has no columns", expected="its tensors, by run()")
    laws = coders(schema) if laws is None else laws
    if isinstance(data, np.ndarray):
        return from_array(data, laws)
    if isinstance(data, Mapping):
        columns = [known_as(value, COLUMNS) is not None and getattr(value, "ndim", 1) for value in data.values()]
        if not any(columns):
            return from_records([data], laws)
        if not all(columns):
            raise InputError("got a dict of scalars and columns mixed", expected="either one record or columns only")
        return from_columns(list(data), data.__getitem__, None, laws)
    if isinstance(data, (list, tuple)):
        return from_records(data, laws)
    frame = known_as(data, FRAMES)
    if frame is None:
        name = type(data).__name__
        raise InputError(f"got a {name}", expected=ADVICE.get(name, ACCEPTED))
    names, column, rows = frame(data)
    return from_columns(names, column, rows, laws)


def row_of(error: InputError | None, otherwise: int) -> int:
    return otherwise if error is None or error.row is None else error.row


def check_keys(record: object, names: Sequence[str], row: int | None) -> None:
    """Raise InputError unless ``record`` is a mapping with the keys ``names`` and no other."""
    if not isinstance(record, (dict, Mapping)):
        raise InputError(f"got a {type(record).__name__}", expected="a dict with one value per column", row=row)
    if len(record) == len(names) and all(map(record.__contains__, names)):
        return
    known = frozenset(names)
    unknown = [key for key in record if key not in known]
    for name in names:
        if name not in record:
            refuse_absent(name, unknown, "key", row)
    near = closest(unknown[0], names)
    expected = f"{near!r}" if near else "only the keys " + listing(names)
    raise InputError("the key is unknown", expected=expected, column=text_of(unknown[0]), row=row)


def refuse_absent(name: str, others: Iterable[object], what: str, row: int | None) -> NoReturn:
    near = closest(name, others)
    problem = f"the {what} is missing" + (f", there is {shorten(near)}" if near is not None else "")
    raise InputError(problem, expected=f"a {what} of that name", column=name, row=row)


def closest(name: object, others: Iterable[object]) -> str | None:
    import difflib  # only an error needs it

    texts = [other for other in others if isinstance(other, str)]
    near = difflib.get_close_matches(name, texts, n=1) if isinstance(name, str) else []
    return near[0] if near else None


def listing(names: Sequence[str]) -> str:
    return ", ".join(map(shorten, names[:10])) + (f", … ({len(names)} in all)" if len(names) > 10 else "")


def text_of(name: object) -> str:
    text = name if isinstance(name, str) else str(name)
    return text if len(text) <= 100 else text[:100] + "…"


def known_as(value: object, kinds: Mapping[str, T]) -> T | None:
    """What ``kinds`` holds for the type of ``value`` or a base of it, by package and name."""
    for base in type(value).__mro__:
        found = kinds.get(f"{base.__module__.partition('.')[0]}.{base.__name__}")
        if found is not None:
            return found
    return None


def from_records(records: Sequence[Any], laws: Sequence[Coder]) -> Table:
    return Table(laws, [record_reader(law, records) for law in laws], len(records), records=records)


def from_array(array: NDArray[Any], laws: Sequence[Coder]) -> Table:
    if array.dtype.names is not None and array.ndim == 1:
        return from_columns(list(array.dtype.names), array.__getitem__, len(array), laws)
    if array.ndim == 1 and len(laws) == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or array.shape[1] != len(laws):
        raise InputError(f"got an array of shape {array.shape}", expected=f"an array of shape (rows, {len(laws)})")
    readers = [column_reader(law, array[:, i]) for i, law in enumerate(laws)]
    return Table(laws, readers, array.shape[0])


def from_columns(names: list[Any], column: Callable[[str], Any], rows: int | None, laws: Sequence[Coder]) -> Table:
    """A table by name. ``rows`` is None where columns need not be of one length."""
    wanted = [law.column.name for law in laws]
    held = set(names)
    if len(held) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError("there are two columns of one name", expected="distinct names", column=text_of(twice))
    for name in wanted:
        if name not in held:
            refuse_absent(name, [other for other in names if other not in wanted], "column", None)
    columns = [column(name) for name in wanted]
    for name, values in zip(wanted, columns, strict=True):
        if rows is None:
            rows = len(values)
        if len(values) != rows:
            raise InputError(f"got {len(values)} rows", expected=f"{rows} as in column {wanted[0]!r}", column=name)
    readers = [column_reader(law, values) for law, values in zip(laws, columns, strict=True)]
    known = frozenset(wanted)
    return Table(laws, readers, rows or 0, tuple(str(name) for name in names if name not in known))


def column_reader(law: Coder, values: Any) -> Reader:
    make = known_as(values, COLUMNS)
    if make is None:
        raise InputError(
            f"got a {type(values).__name__}", expected="a list, an array or a Series", column=law.column.name
        )
    return make(law, values)


def refuse_times(law: Coder, kind: object) -> NoReturn:
    raise InputError(
        f"got dates or times ({kind})",
        expected="numbers derived from them, such as the hour or the days since a date",
        column=law.column.name,
    )


# Readers. The first four are what every library's columns come down to.


def plain_reader(law: Coder, values: NDArray[Any], missing: Absent = None) -> Reader:
    if missing is None:
        return lambda start, stop, row: law.many(values[start:stop], None, row)
    return lambda start, stop, row: law.many(values[start:stop], missing[start:stop], row)


def fetching_reader(law: Coder, fetch: Fetch) -> Reader:
    def read(start: int, stop: int, row: int) -> NDArray[Any]:
        values, missing = fetch(start, stop)
        return law.many(values, missing, row)

    return read


def coded_reader(law: Coder, entries: Sequence[Any], codes: NDArray[Any]) -> Reader:
    """``codes`` are positions in ``entries``, -1 where missing. The law looks at each entry once, used or not."""
    entries = [*entries, None]
    table = np.empty(len(entries), law.dtype)
    refused = np.zeros(len(entries), np.bool_)
    for i, entry in enumerate(entries):
        try:
            table[i] = law.one(entry, None)
        except InputError:
            refused[i] = True

    def read(start: int, stop: int, row: int) -> NDArray[Any]:
        picked = codes[start:stop]
        bad = refused[picked]
        if bad.any():
            first = int(bad.argmax())
            law.one(entries[picked[first]], row + first)  # raises
        values: NDArray[Any] = table[picked]
        return values

    return read


def chained_reader(law: Coder, parts: Sequence[tuple[int, Reader]]) -> Reader:
    """One reader over several, each given with its number of rows."""
    if len(parts) == 1:
        return parts[0][1]
    ends = np.cumsum([rows for rows, _ in parts]).tolist()

    def read(start: int, stop: int, row: int) -> NDArray[Any]:
        pieces = [np.empty(0, law.dtype)]
        first, at = start, bisect_right(ends, start)
        while first < stop:
            rows, part = parts[at]
            base = ends[at] - rows
            last = min(stop, ends[at])
            pieces.append(part(first - base, last - base, row + first - start))
            first, at = last, at + 1
        return pieces[1] if len(pieces) == 2 else np.concatenate(pieces)

    return read


def record_reader(law: Coder, records: Sequence[Any]) -> Reader:
    name = law.column.name
    return fetching_reader(law, lambda start, stop: ([record[name] for record in records[start:stop]], None))


def list_reader(law: Coder, values: Sequence[Any]) -> Reader:
    return fetching_reader(law, lambda start, stop: (list(values[start:stop]), None))


def array_reader(law: Coder, values: NDArray[Any]) -> Reader:
    if values.ndim != 1:
        raise InputError(f"got an array of shape {values.shape}", expected="one value per row", column=law.column.name)
    if values.dtype.kind in "mM":
        refuse_times(law, values.dtype)
    return plain_reader(law, np.asarray(values))


def masked_array_reader(law: Coder, values: Any) -> Reader:
    missing = np.broadcast_to(np.asarray(values.mask), values.shape)
    array_reader(law, values.data)
    return plain_reader(law, np.asarray(values.data), missing)


def pandas_reader(law: Coder, values: Any) -> Reader:
    """A Series, an Index or an extension array."""
    if isinstance(values.dtype, np.dtype):
        return array_reader(law, values.to_numpy())
    array = getattr(values, "array", values)
    dtype = array.dtype
    kind = type(dtype).__name__
    if kind in PANDAS_TIMES:
        refuse_times(law, dtype)
    if kind == "CategoricalDtype":
        return coded_reader(law, list(array.categories), np.asarray(array.codes))
    if kind == "ArrowDtype" or getattr(dtype, "storage", None) == "pyarrow":
        return column_reader(law, array.__arrow_array__())
    if kind == "SparseDtype":
        return array_reader(law, np.asarray(array))
    numbers = getattr(dtype, "numpy_dtype", None)
    if hasattr(array, "isna") and isinstance(numbers, np.dtype) and numbers.kind in "biuf":
        # Asked for by dtype: pandas would otherwise take integers with gaps through float64.
        return fetching_reader(
            law, lambda a, b: (array[a:b].to_numpy(dtype=numbers, na_value=numbers.type(0)), array[a:b].isna())
        )
    return fetching_reader(law, lambda a, b: (np.asarray(array[a:b], dtype=object), None))


def polars_reader(law: Coder, values: Any) -> Reader:
    kind = str(values.dtype)
    if kind.lower().startswith(TIMES):
        refuse_times(law, kind)
    if kind.startswith(("Categorical", "Enum")):
        used = values.drop_nulls().unique()
        places = used.to_physical().to_numpy()
        # The numbers are shared by all of the process's columns: only those used here are looked at.
        position = np.full(int(places.max(initial=0)) + 2, -1)
        position[places] = np.arange(len(places))
        codes = position[values.to_physical().cast(int).fill_null(-1).to_numpy()]
        return coded_reader(law, used.cast(str).to_list(), codes)
    if kind in POLARS_NUMBERS or kind in ("Float32", "Float64", "Boolean"):
        return chained_reader(law, [(len(part), polars_chunk(law, part)) for part in values.get_chunks()])
    return fetching_reader(law, lambda start, stop: (values[start:stop].to_list(), None))


def polars_chunk(law: Coder, part: Any) -> Reader:
    if not part.null_count():
        return plain_reader(law, part.to_numpy())
    # Filled first: to_numpy alone takes integers with gaps through float64.
    return plain_reader(law, part.fill_null(strategy="zero").to_numpy(), part.is_null().to_numpy())


def chunked_arrow_reader(law: Coder, values: Any) -> Reader:
    parts = values.chunks or [values.combine_chunks()]
    return chained_reader(law, [(len(part), arrow_reader(law, part)) for part in parts])


def arrow_reader(law: Coder, part: Any) -> Reader:
    kind = str(part.type)
    if kind.startswith(TIMES):
        refuse_times(law, kind)
    if kind in ARROW_TEXTS:
        return arrow_text_reader(law, part)
    if kind == "null":
        return fetching_reader(law, lambda start, stop: ([None] * (stop - start), None))
    if kind.startswith("dictionary<"):
        codes, missing = arrow_numbers(part.indices)
        codes = codes.astype(np.intp)
        if missing is not None:
            codes[missing] = -1
        return coded_reader(law, part.dictionary.to_pylist(), codes)
    if kind != "bool" and kind not in ARROW_NUMBERS:
        raise InputError(f"got Arrow's type {kind}", expected=law.expected, column=law.column.name)
    return plain_reader(law, *arrow_numbers(part))


def arrow_numbers(part: Any) -> tuple[NDArray[Any], Absent]:
    """Values and nulls from the Arrow buffers themselves: `to_numpy` takes integers with nulls through float64."""
    rows = len(part)
    validity, data = part.buffers()
    missing = ~arrow_bits(validity, part.offset, rows) if part.null_count else None
    if str(part.type) == "bool":
        return arrow_bits(data, part.offset, rows), missing
    dtype = ARROW_NUMBERS[str(part.type)]
    if not rows or data is None:
        return np.zeros(rows, dtype), missing
    return np.frombuffer(data, dtype, rows, part.offset * dtype.itemsize), missing


def arrow_bits(buffer: Any, offset: int, rows: int) -> NDArray[np.bool_]:
    if not rows or buffer is None:
        return np.zeros(rows, np.bool_)
    first, last = offset // 8, (offset + rows + 7) // 8
    packed = np.frombuffer(buffer, np.uint8, last - first, first)
    return np.unpackbits(packed, bitorder="little")[offset - first * 8 :][:rows].view(np.bool_)


def arrow_text_reader(law: Coder, part: Any) -> Reader:
    """Each block is encoded by Arrow, so that a text that comes often is made a Python object once."""

    def read(start: int, stop: int, row: int) -> NDArray[Any]:
        block = part.slice(start, stop - start)
        encoded = block.dictionary_encode()
        codes, missing = arrow_numbers(encoded.indices)
        texts = encoded.dictionary.to_pylist()
        if missing is not None:
            texts.append(None)
            codes = np.where(missing, len(texts) - 1, codes)
        try:
            values: NDArray[Any] = law.many(texts, None, row)[codes]
        except InputError:
            return law.many(block.to_pylist(), None, row)  # raises with the row's own number
        return values

    return read


def pandas_frame(frame: Any) -> tuple[list[Any], Callable[[str], Any], int]:
    if all(type(name) is str for name in frame.columns):
        return list(frame.columns), frame.__getitem__, len(frame)
    # A frame made of an array has numbers for names; the schema has their text, as scikit-learn's users see it.
    held = {str(name) if type(name) is int else name: name for name in frame.columns.tolist()}
    names = [str(name) if type(name) is int else name for name in frame.columns.tolist()]
    return names, lambda name: frame[held[name]], len(frame)


def polars_frame(frame: Any) -> tuple[list[Any], Callable[[str], Any], int]:
    return list(frame.columns), frame.get_column, frame.height


def arrow_frame(frame: Any) -> tuple[list[Any], Callable[[str], Any], int]:
    return list(frame.schema.names), frame.column, frame.num_rows


FRAMES: dict[str, Callable[[Any], tuple[list[Any], Callable[[str], Any], int]]] = {
    "pandas.DataFrame": pandas_frame,
    "polars.DataFrame": polars_frame,
    "pyarrow.Table": arrow_frame,
    "pyarrow.RecordBatch": arrow_frame,
}
COLUMNS: dict[str, Callable[[Coder, Any], Reader]] = {
    "builtins.list": list_reader,
    "builtins.tuple": list_reader,
    "builtins.range": list_reader,
    "numpy.MaskedArray": masked_array_reader,
    "numpy.ndarray": array_reader,
    "pandas.Series": pandas_reader,
    "pandas.Index": pandas_reader,
    "pandas.ExtensionArray": pandas_reader,
    "polars.Series": polars_reader,
    "pyarrow.Array": arrow_reader,
    "pyarrow.ChunkedArray": chunked_arrow_reader,
}
ADVICE = {
    "LazyFrame": "a DataFrame: call .collect()",
    "Series": "a DataFrame: call .to_frame(), or .to_dict() if it is one row",
    "str": ACCEPTED + "; a file is read by `edge predict`",
}
