"""Rows of a CSV file, block by block: fields as text, then as the model's values.

Belongs here: from a CSV file to blocks. Not here: how a field is read (texts.py), what becomes of a block (run.py).
Imported as edge_runtime.batch.csv_reader.
"""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from edge_runtime.rows import check_distinct, reading
from edge_runtime.schema import Schema

from .blocks import BUFFER, Block, opened
from .columns import arrow_type, check_columns, kinds_of
from .places import Input, remote_failures
from .texts import emptied, values_of

__all__ = ["CsvReader"]

LONGEST_ROW = 4 * BUFFER  # bytes


class CsvReader:
    """``as_text``: what is kept stays as it is written, for a CSV sink."""

    def __init__(self, file: Input, schema: Schema, *, as_text: bool) -> None:
        self.file, self.schema, self.as_text, self.size = file, schema, as_text, 0
        self.names: list[str] = []

    def look(self, keep: Sequence[str] = ()) -> Any:
        import pyarrow

        with opened(self.file) as raw:
            self.size = raw.size()
        with (
            remote_failures(self.file.fs, self.file.name),
            reading(self.file.name),
            # What is wrong further on is not the header's.
            self.file.fs.open(self.file.path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            self.names = next((row for row in csv.reader(text, strict=True) if row), [])
            if any("\udc80" <= sign <= "\udcff" for name in self.names for sign in name):
                raise ValueError("the header is not UTF-8")
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
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            return "error"

        # An empty line is an empty field in a file of one column, and nothing elsewhere.
        parsing = arrow_csv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=len(self.names) > 1, invalid_row_handler=note
        )
        with opened(self.file) as raw:
            ending = EndMarked(raw, len(self.names))
            # One thread, since more of them do not know the number of a row.
            options = arrow_csv.ReadOptions(block_size=LONGEST_ROW, use_threads=False)
            last, rows = None, 0
            try:
                with arrow_csv.open_csv(
                    pyarrow.PythonFile(ending, "r"),
                    read_options=options,
                    parse_options=parsing,
                    convert_options=convert,
                ) as batches:
                    for batch in batches:
                        if last is not None and last.num_rows:
                            yield last, raw.tell()
                        last = batch
                        rows += batch.num_rows
            except pyarrow.ArrowInvalid as error:
                self._refuse(error, ragged, rows)
            if last is None or not last.num_rows or set(last.slice(last.num_rows - 1).to_pylist()[0].values()) != {END}:
                raise ValueError("a quoted field is not closed")
            if last.num_rows > 1:
                yield last.slice(0, last.num_rows - 1), self.size

    def _refuse(self, error: Exception, ragged: Sequence[Any], rows: int) -> NoReturn:
        """Say what is wrong after ``rows`` rows, without a row's content."""
        if ragged:
            row = ragged[0]
            if END in row.text:  # what came before it is the rest of the file
                raise ValueError(f"a quoted field is not closed, in row {row.number - 2}") from error
            there = f"{row.actual_columns} {'field' if row.actual_columns == 1 else 'fields'}"
            raise ValueError(f"row {row.number - 2} has {there}, the header {row.expected_columns}") from error
        if "straddling" in str(error):
            problem = f"row {rows} is longer than {LONGEST_ROW >> 20} MB, or a quoted field in it is not closed"
            raise ValueError(problem) from error
        if "invalid UTF8" in str(error):
            raise ValueError(f"not UTF-8 in row {rows} or further on") from error
        raise error

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
    swallow what follows a quote that is never closed. Empty lines before the header are left out."""

    closed = False

    def __init__(self, raw: Any, width: int) -> None:
        self.fresh = True
        self.raw, self.row, self.last = raw, (",".join([END] * width) + "\n").encode(), b"\n"

    def read(self, size: int) -> bytes:
        data: bytes = self.raw.read(size)
        while data and self.fresh:
            data = data.removeprefix(BOM_UTF8).lstrip(b"\r\n")
            self.fresh = not data
            data = data or self.raw.read(size)
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
