"""Rows of a file, block by block: Parquet, CSV, JSON Lines.

Each reader says what its file holds (`look`) before a row is asked for, and then gives blocks in order; a file without
rows gives one block without rows.

Belongs here: from a file to blocks. Not here: how a field or a line is read (edge_runtime.rows, texts.py), what becomes
of a block (run.py).
Imported as edge_runtime.batch.readers.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Protocol

from edge_runtime.errors import InputError
from edge_runtime.rows import parse, reading
from edge_runtime.schema import Schema

from .columns import arrow_type, check_columns, check_distinct, kinds_of
from .places import Input, remote_failures
from .texts import emptied, values_of

__all__ = ["Block", "Reader", "reader_of"]

Record = dict[str, Any]

BLOCK_ROWS = 65_536
BUFFER = 2**20  # bytes of a column read at once, so that a large row group is not held whole
RECORDS = 8_192


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file. ``inputs`` is what `Model.predict` takes; ``start`` the number of the first row in the file;
    ``kept`` makes the columns that stay, an Arrow batch or the records; ``done`` is how far into the file, in the
    reader's own unit."""

    file: Input
    start: int
    rows: int
    inputs: Any
    kept: Callable[[], Any]
    done: int


class Reader(Protocol):
    """``look`` checks the columns and returns them as an Arrow schema; ``size`` is then known, in rows or bytes.

    ``blocks`` keeps the columns ``kept`` of it, and ``others`` that only come later, where there can be such.
    """

    file: Input
    size: int

    def look(self) -> Any: ...

    def blocks(self, kept: Sequence[str], *, others: bool) -> Iterator[Block]: ...


def reader_of(file: Input, schema: Schema, *, sink_suffix: str) -> Reader:
    """The reader of ``file`` for a model of ``schema``; what is kept is made for a sink of ``sink_suffix``."""
    if file.suffix == ".parquet":
        return ParquetReader(file, schema)
    if file.suffix == ".csv":
        return CsvReader(file, schema, as_text=sink_suffix == ".csv")
    return JsonLinesReader(file, schema, typed=sink_suffix != ".jsonl")


@contextmanager
def opened(file: Input) -> Iterator[Any]:
    """``file`` as a pyarrow file. Raises InputError where it cannot be read, or where there is nothing in it."""
    import pyarrow

    with reading(file.name), remote_failures(file.name):
        raw = pyarrow.OSFile(file.path) if file.local else pyarrow.PythonFile(file.fs.open(file.path, "rb"), "r")
        with raw:
            if not raw.size():
                raise InputError(f"{file.name}: the file is empty", expected="a file of rows")
            yield raw


class ParquetReader:
    def __init__(self, file: Input, schema: Schema) -> None:
        self.file, self.schema, self.size = file, schema, 0

    def look(self) -> Any:
        from pyarrow import parquet

        with opened(self.file) as raw:
            footer = parquet.read_metadata(raw)
            found = footer.schema.to_arrow_schema()
        self.size = footer.num_rows
        check_columns(self.file.name, self.schema, kinds_of(found))
        return found

    def blocks(self, kept: Sequence[str], *, others: bool) -> Iterator[Block]:
        from pyarrow import parquet

        inputs = [column.name for column in self.schema.columns]
        wanted = list(dict.fromkeys([*inputs, *kept]))
        start = 0
        with opened(self.file) as raw:
            held = parquet.ParquetFile(raw, buffer_size=BUFFER, pre_buffer=False)
            for batch in held.iter_batches(BLOCK_ROWS, columns=wanted):
                yield arrow_block(self.file, start, batch, inputs, kept)
                start += batch.num_rows
            if not start:
                yield arrow_block(self.file, 0, no_rows(held.schema_arrow), inputs, kept)


def arrow_block(file: Input, start: int, batch: Any, inputs: list[str], kept: Sequence[str]) -> Block:
    rows = batch.num_rows
    return Block(file, start, rows, batch.select(inputs), lambda: batch.select(list(kept)), start + rows)


def no_rows(schema: Any) -> Any:
    import pyarrow

    arrays = [column.combine_chunks() for column in schema.empty_table().columns]
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


class CsvReader:
    """``as_text``: what is kept stays as it is written, for a CSV sink."""

    def __init__(self, file: Input, schema: Schema, *, as_text: bool) -> None:
        self.file, self.schema, self.as_text, self.size = file, schema, as_text, 0
        self.names: list[str] = []

    def look(self) -> Any:
        import pyarrow

        with opened(self.file) as raw:
            self.size = raw.size()
        with (
            reading(self.file.name),
            remote_failures(self.file.name),
            self.file.fs.open(self.file.path, "rt", encoding="utf-8-sig", newline="") as text,
        ):
            self.names = next(csv.reader(text, strict=True), [])
        check_distinct(self.file.name, self.names)
        columns = {column.name: column for column in self.schema.columns}
        typed = {} if self.as_text else {name: arrow_type(column) for name, column in columns.items()}
        found = pyarrow.schema([(name, typed.get(name, pyarrow.string())) for name in self.names])
        check_columns(self.file.name, self.schema, kinds_of(found), typed=False)
        return found

    def blocks(self, kept: Sequence[str], *, others: bool) -> Iterator[Block]:
        start = 0
        for batch, done in self._batches():
            yield self._block(batch, start, kept, done)
            start += batch.num_rows
        if not start:
            import pyarrow

            nothing = pyarrow.array([], pyarrow.string())
            yield self._block(pyarrow.RecordBatch.from_arrays([nothing] * len(self.names), self.names), 0, kept, 0)

    def _batches(self) -> Iterator[tuple[Any, int]]:
        import pyarrow
        from pyarrow import csv as arrow_csv

        texts = dict.fromkeys(self.names, pyarrow.string())
        convert = arrow_csv.ConvertOptions(column_types=texts, null_values=[], strings_can_be_null=False)
        # An empty line is an empty field in a file of one column, and nothing elsewhere.
        parsing = arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(self.names) > 1)
        with opened(self.file) as raw:
            ending = EndMarked(raw, len(self.names))
            options = arrow_csv.ReadOptions(block_size=4 * BUFFER)
            last = None
            with arrow_csv.open_csv(
                pyarrow.PythonFile(ending, "r"), read_options=options, parse_options=parsing, convert_options=convert
            ) as batches:
                for batch in batches:
                    if last is not None and last.num_rows:
                        yield last, raw.tell()
                    last = batch
            if last is None or not last.num_rows or set(last.slice(last.num_rows - 1).to_pylist()[0].values()) != {END}:
                raise ValueError("a quoted field is not closed")
            if last.num_rows > 1:
                yield last.slice(0, last.num_rows - 1), self.size

    def _block(self, batch: Any, start: int, kept: Sequence[str], done: int) -> Block:
        columns = {column.name: column for column in self.schema.columns}
        inputs = {name: values_of(batch.column(name), column) for name, column in columns.items()}

        def keep() -> Any:
            import pyarrow

            arrays = []
            for name in kept:
                if self.as_text:
                    arrays.append(emptied(batch.column(name)))
                elif name in columns:  # the model has accepted them: nothing is rounded here
                    arrays.append(pyarrow.array(inputs[name], arrow_type(columns[name])))
                else:
                    arrays.append(batch.column(name))
            return pyarrow.RecordBatch.from_arrays(arrays, list(kept))

        return Block(self.file, start, batch.num_rows, inputs, keep, done)


END = "\x1e edge-runtime: end of file \x1e"


class EndMarked:
    """A CSV file with one row more, of END: Arrow takes the end of a file for the end of a quoted field, and so would
    swallow what follows a quote that is never closed."""

    closed = False

    def __init__(self, raw: Any, width: int) -> None:
        self.raw, self.row, self.last = raw, (",".join([END] * width) + "\n").encode(), b"\n"

    def read(self, size: int) -> bytes:
        data: bytes = self.raw.read(size)
        if data:
            self.last = data[-1:]
            return data
        row, self.row = self.row, b""
        return b"\n" + row if row and self.last != b"\n" else row

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """The file belongs to who opened it."""


class JsonLinesReader:
    """``typed``: what is kept goes into columns, whose types are found by reading the file once before; else the
    objects stay as they are."""

    def __init__(self, file: Input, schema: Schema, *, typed: bool) -> None:
        self.file, self.schema, self.typed, self.size = file, schema, typed, 0
        self.found: Any = None

    def look(self) -> Any:
        import pyarrow

        with opened(self.file) as raw:
            self.size = raw.size()
        columns = {column.name: arrow_type(column) for column in self.schema.columns}
        self.found = pyarrow.schema([])
        for records, _ in self._records() if self.typed else islice(self._records(), 1):
            for name in dict.fromkeys(chain.from_iterable(records)):
                kind = columns.get(name) or self._type(name, records)
                self.found = self._joined(name, kind)
        self._check(records if not self.typed else next(self._records())[0])
        return self.found

    def _check(self, records: list[Record]) -> None:
        """Whether the first records have the model's columns, and at least one value that is of each one's kind."""
        import pyarrow

        seen = []
        for field in self.found:
            kinds = {type(record.get(field.name)) for record in records} - {type(None)}
            kind = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
            only = kind.get(kinds.pop(), field.type) if len(kinds) == 1 else field.type
            seen.append(pyarrow.field(field.name, only))
        if records:
            check_columns(self.file.name, self.schema, kinds_of(seen))

    def _type(self, name: str, records: list[Record]) -> Any:
        import pyarrow

        if not self.typed:
            return pyarrow.null()
        try:
            return pyarrow.array([record.get(name) for record in records]).type
        except pyarrow.ArrowInvalid as error:
            self._refuse_mixed(name, error)

    def _joined(self, name: str, kind: Any) -> Any:
        import pyarrow

        try:
            more = pyarrow.schema([(name, kind)])
            return pyarrow.unify_schemas([self.found, more], promote_options="permissive")
        except pyarrow.ArrowTypeError as error:
            self._refuse_mixed(name, error)

    def _refuse_mixed(self, name: str, error: Exception) -> Any:
        problem = f"{self.file.name}: values of several kinds cannot be one column"
        raise InputError(problem, expected="--keep without it, or .jsonl to write", column=name) from error

    def _records(self) -> Iterator[tuple[list[Record], int]]:
        records: list[Record] = []
        done = 0
        with (
            reading(self.file.name),
            remote_failures(self.file.name),
            self.file.fs.open(self.file.path, "rb") as lines,
        ):
            for count, line in enumerate(lines, 1):
                done += len(line)
                text = line.decode("utf-8-sig" if count == 1 else "utf-8")
                if not text.strip():
                    continue
                record = parse(text, f"line {count}: ")
                if not isinstance(record, dict):
                    raise InputError(
                        f"{self.file.name}: line {count} holds a {type(record).__name__}", expected="an object a line"
                    )
                records.append(record)
                if len(records) == RECORDS:
                    yield records, done
                    records = []
        yield records, done

    def blocks(self, kept: Sequence[str], *, others: bool) -> Iterator[Block]:
        start = 0
        for records, done in self._records():
            if records or not start:
                yield self._block(records, start, kept, done, others)
            start += len(records)

    def _block(self, records: list[Record], start: int, kept: Sequence[str], done: int, others: bool) -> Block:
        names = [column.name for column in self.schema.columns]
        inputs = {name: [record.get(name, ABSENT) for record in records] for name in names}
        for name, values in inputs.items():
            if ABSENT in values:
                problem = f"{self.file.name}: the key is missing"
                row = start + values.index(ABSENT)
                raise InputError(problem, expected="a key of that name", column=name, row=row)

        def keep() -> Any:
            import pyarrow

            if not self.typed:
                return records if others else [{name: r[name] for name in kept if name in r} for r in records]
            arrays = [pyarrow.array([r.get(n) for r in records], self.found.field(n).type) for n in kept]
            return pyarrow.RecordBatch.from_arrays(arrays, list(kept))

        return Block(self.file, start, len(records), inputs, keep, done)


ABSENT = object()
