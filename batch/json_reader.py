"""Rows of a JSON Lines file, block by block: objects, and where they go into columns, those columns.

Belongs here: from lines to blocks. Not here: how a line is read (edge_runtime.rows), the types of columns
(json_types.py), what becomes of a block (run.py).
Imported as edge_runtime.batch.json_reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from edge_runtime.errors import InputError
from edge_runtime.rows import located, parse, reading, told
from edge_runtime.schema import Schema

from .blocks import Block, opened
from .columns import arrow_type, check_columns, kinds_of
from .json_types import Values, array_of, check_parquet, type_of
from .places import Input, remote_failures

__all__ = ["JsonLinesReader"]

Record = dict[str, Any]

RECORDS = 8_192
ABSENT = object()


class JsonLinesReader:
    """Into a sink of columns, what is kept has types, which are found by reading the file once before; into JSON Lines
    the objects stay as they are."""

    def __init__(self, file: Input, schema: Schema, *, sink_suffix: str) -> None:
        self.file, self.schema, self.size = file, schema, 0
        self.typed, self.parquet = sink_suffix != ".jsonl", sink_suffix == ".parquet"
        self.found: dict[str, Any] = {}

    def look(self, keep: Sequence[str] = ()) -> Any:
        import pyarrow

        with opened(self.file) as raw:
            self.size = raw.size()
        known = {column.name: arrow_type(column) for column in self.schema.columns}
        first: list[Record] | None = None
        samples: dict[str, Values] = {}
        for lines, records, _ in self._records():
            first = records if first is None else first
            for name in dict.fromkeys(chain.from_iterable(records)):
                if not self.typed or name in known or (keep and name not in keep):
                    self.found.setdefault(name, known.get(name, pyarrow.null()))
                    continue
                values = Values(name, lines, [record.get(name) for record in records])
                if any(value is not None for value in values.values):
                    samples.setdefault(name, values)
                with located(self.file.name):
                    self.found[name] = type_of(values, self.found.get(name, pyarrow.null()))
            if not self.typed and self.found.keys() >= set(keep):
                break
        if self.parquet:
            for name, values in samples.items():
                with located(self.file.name):
                    check_parquet(values, self.found[name])
        self._check(first or [])
        return pyarrow.schema(list(self.found.items()))

    def _check(self, records: list[Record]) -> None:
        """Whether the first records have the model's columns, and at least one value that is of each one's kind."""
        import pyarrow

        seen = []
        for name, found in self.found.items():
            kinds = {type(record.get(name)) for record in records} - {type(None)}
            kind = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
            only = kind.get(kinds.pop(), found) if len(kinds) == 1 else found
            seen.append(pyarrow.field(name, only))
        if records:
            check_columns(self.file.name, self.schema, kinds_of(seen))

    def _records(self) -> Iterator[tuple[list[int], list[Record], int]]:
        """Blocks of line numbers, objects, and how many bytes have been read."""
        numbers: list[int] = []
        records: list[Record] = []
        done = 0
        with (
            remote_failures(self.file.fs, self.file.name),
            reading(self.file.name),
            self.file.fs.open(self.file.path, "rb") as lines,
        ):
            for count, line in enumerate(lines, 1):
                done += len(line)
                text = decoded(line, count)
                if not text.strip():
                    continue
                record = parse(text.rstrip("\r\n"), f"line {count}: ")
                if not isinstance(record, dict):
                    raise InputError(
                        f"{self.file.name}: line {count} holds a {type(record).__name__}", expected="an object a line"
                    )
                numbers.append(count)
                records.append(record)
                if len(records) == RECORDS:
                    yield numbers, records, done
                    numbers, records = [], []
        yield numbers, records, done

    def blocks(self, kept: Sequence[str], *, others: bool) -> Iterator[Block]:
        start = 0
        for lines, records, done in self._records():
            if records or not start:
                yield Block(
                    self.file,
                    start,
                    len(records),
                    self._inputs(records, start),
                    self._keep(lines, records, kept, others),
                    done,
                )
            start += len(records)

    def _inputs(self, records: list[Record], start: int) -> dict[str, list[Any]]:
        names = [column.name for column in self.schema.columns]
        inputs = {name: [record.get(name, ABSENT) for record in records] for name in names}
        for name, values in inputs.items():
            if ABSENT in values:
                problem = f"{self.file.name}: the key is missing"
                row = start + values.index(ABSENT)
                raise InputError(problem, expected="a key of that name", column=name, row=row)
        return inputs

    def _keep(self, lines: list[int], records: list[Record], kept: Sequence[str], others: bool) -> Callable[[], Any]:
        def keep() -> Any:
            import pyarrow

            if not self.typed:
                return records if others else [{name: r[name] for name in kept if name in r} for r in records]
            values = (Values(name, lines, [r.get(name) for r in records]) for name in kept)
            arrays = [array_of(each, self.found[each.name]) for each in values]
            return pyarrow.RecordBatch.from_arrays(arrays, list(kept))

        return keep


def decoded(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"line {number}: {told(error)}") from None
