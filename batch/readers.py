"""Rows of a file, block by block: Parquet, CSV, JSON Lines.

Each reader says what its file holds (`look`) before a row is asked for, and then gives blocks in order; a file without
rows gives one block without rows.

Belongs here: which reader a file has, and that of Parquet. Not here: the others (csv_reader.py, json_reader.py), what
becomes of a block (run.py).
Imported as edge_runtime.batch.readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edge_runtime.schema import Schema

from .blocks import BUFFER, Block, Reader, opened
from .columns import check_columns, kinds_of
from .csv_reader import CsvReader
from .json_reader import JsonLinesReader
from .places import Input

__all__ = ["ParquetReader", "reader_of"]

BLOCK_ROWS = 65_536


def reader_of(file: Input, schema: Schema, *, sink_suffix: str) -> Reader:
    """The reader of ``file`` for a model of ``schema``; what is kept is made for a sink of ``sink_suffix``."""
    if file.suffix == ".parquet":
        return ParquetReader(file, schema)
    if file.suffix == ".csv":
        return CsvReader(file, schema, as_text=sink_suffix == ".csv")
    return JsonLinesReader(file, schema, sink_suffix=sink_suffix)


class ParquetReader:
    def __init__(self, file: Input, schema: Schema) -> None:
        self.file, self.schema, self.size = file, schema, 0

    def look(self, keep: Sequence[str] = ()) -> Any:
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
