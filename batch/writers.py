"""What was kept and what was answered, into a file: Parquet, CSV, JSON Lines.

A vector output is a list; in CSV, which has no lists, one column per class.

Belongs here: the form of each kind of file. Not here: where it lies and when it appears (places.py, landing.py).
Imported as edge_runtime.batch.writers.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_runtime.answers import arrow_column, vector_names, written
from edge_runtime.errors import InputError

from .columns import STAMPS, Added, types_within

__all__ = ["Writer", "check_textual", "writer_of"]

Outputs = Mapping[str, NDArray[Any]]

ROW_GROUP = 131_072


class Writer(Protocol):
    """``write`` takes the columns that stay, a pyarrow.RecordBatch or (JSON Lines) the records, and N answers;
    ``close`` ends the file, ``give_up`` leaves it as it is."""

    def write(self, kept: Any, outputs: Outputs) -> None: ...

    def close(self) -> None: ...

    def give_up(self) -> None: ...


def writer_of(suffix: str, file: Any, kept: Any, added: Added, *, about: Mapping[str, str] | None = None) -> Writer:
    """A writer into the binary ``file``, which it closes; ``kept`` is the Arrow schema of what stays."""
    if suffix == ".parquet":
        return ParquetWriter(file, kept, added, about or {})
    return CsvWriter(file, kept, added) if suffix == ".csv" else JsonLinesWriter(file, kept, added)


class ParquetWriter:
    def __init__(self, file: Any, kept: Any, added: Added, about: Mapping[str, str]) -> None:
        self.schema = added.schema(kept).with_metadata({**(kept.metadata or {}), **about})
        self.file, self.rows = file, 0
        self.held: list[Any] = []
        self.writer: Any = None
        self.stamps = [constant(value) for value in added.stamps.values()]

    def write(self, kept: Any, outputs: Outputs) -> None:
        import pyarrow

        arrays = [*kept.columns, *map(arrow_column, outputs.values())]
        rows = len(next(iter(outputs.values())))
        arrays += [pyarrow.repeat(stamp, rows) for stamp in self.stamps]
        self.held.append(pyarrow.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.rows += rows
        if self.rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.Table.from_batches(self.held, self.schema)
        if self.writer is None:
            self.writer = parquet.ParquetWriter(self.file, self.schema, use_dictionary=repeating(table))
        self.writer.write_table(table, row_group_size=ROW_GROUP)
        self.held, self.rows = [], 0

    def close(self) -> None:
        if self.rows or self.writer is None:
            self._flush()
        self.writer.close()
        self.file.close()

    def give_up(self) -> None:
        from pyarrow import ArrowException

        self.held.clear()
        with suppress(OSError, ArrowException):  # it is what went wrong already
            if self.writer is not None:
                self.writer.close()  # it would end what it began by itself, later
        self.file.close()


def repeating(table: Any) -> list[str]:
    """The columns whose values a dictionary is worth: looking for one among numbers that are all different is most of
    the time that writing takes."""
    from pyarrow import compute, types

    names = []
    for field in table.schema:
        column = table[field.name]
        wide = types.is_float32(field.type) or types.is_float64(field.type)
        if wide and 2 * compute.count_distinct(column).as_py() > len(column):
            continue
        names.append(field.name)
    return names


def constant(value: str | datetime) -> Any:
    """Text, or a time in UTC, as a pyarrow.Scalar. `pyarrow.scalar` would import pandas for it."""
    import pyarrow

    if isinstance(value, str):
        raw = value.encode()
        ends = pyarrow.py_buffer(np.array([0, len(raw)], np.int32))
        return pyarrow.StringArray.from_buffers(1, ends, pyarrow.py_buffer(raw))[0]
    since = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    kind = pyarrow.timestamp("us", "UTC")
    return pyarrow.Array.from_buffers(kind, 1, [None, pyarrow.py_buffer(np.array([since], np.int64))])[0]


class CsvWriter:
    def __init__(self, file: Any, kept: Any, added: Added) -> None:
        self.file, self.added = file, added
        self.stamps = list(added.texts.values())
        self.header = list(kept.names)
        self.begun = False

    def write(self, kept: Any, outputs: Outputs) -> None:
        import pyarrow
        from pyarrow import csv as arrow_csv

        arrays = [as_cells(name, array) for name, array in zip(kept.schema.names, kept.columns, strict=True)]
        names = []
        for name, array in outputs.items():
            if array.ndim == 1:
                names.append(name)
                arrays.append(as_cells(name, arrow_column(array)))
                continue
            names += vector_names(name, array.shape[1], self.added.classes)
            columns = (arrow_column(array[:, k]) for k in range(array.shape[1]))
            arrays += [as_cells(name, column) for column in columns]
        rows = len(next(iter(outputs.values())))
        arrays += [pyarrow.repeat(pyarrow.scalar(value), rows) for value in self.stamps]
        header = [*self.header, *names, *STAMPS]
        if not self.begun:
            self._begin(header)
        table = pyarrow.Table.from_arrays(arrays, [str(i) for i in range(len(header))])  # names may come twice
        options = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
        with NotClosed(self.file) as file:
            arrow_csv.write_csv(table, file, write_options=options)

    def _begin(self, header: list[str]) -> None:
        if len(set(header)) != len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise InputError(
                "two columns of the CSV would have one name", expected="another name, or .parquet", column=twice
            )
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(header)
        self.file.write(text.getvalue().encode())
        self.begun = True

    def close(self) -> None:
        self.file.close()

    give_up = close


class JsonLinesWriter:
    def __init__(self, file: Any, kept: Any, added: Added) -> None:
        self.file, self.added, self.stamps = file, added, added.texts

    def write(self, kept: Any, outputs: Outputs) -> None:
        records = kept if isinstance(kept, list) else json_records(kept)
        if isinstance(kept, list):
            check_keys(kept, self.added.names)
        answers = zip(*(written(array.tolist()) for array in outputs.values()), strict=True)
        rows = []
        for row, (record, answer) in enumerate(zip(records, answers, strict=True)):
            try:
                rows.append(encode({**record, **dict(zip(outputs, answer, strict=True)), **self.stamps}))
            except RecursionError:
                raise too_deep(row) from None
        # Half a character is an escape in JSON, and has no bytes.
        self.file.write("".join(f"{row}\n" for row in rows).encode(errors="backslashreplace"))

    def close(self) -> None:
        self.file.close()

    give_up = close


class NotClosed:
    """A file that a writer leaves open behind it."""

    closed = False

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> Any:
        import pyarrow

        return pyarrow.PythonFile(self, "w")

    def __exit__(self, *_: object) -> None: ...

    def write(self, data: Any) -> int:
        return int(self.file.write(data))

    def flush(self) -> None: ...

    def close(self) -> None: ...


def check_keys(records: list[dict[str, Any]], added: Sequence[str]) -> None:
    """Raise InputError for a record that already has a key of what is added: it would be lost."""
    if not set().union(*records).isdisjoint(added):
        row, name = next((i, name) for i, record in enumerate(records) for name in added if name in record)
        raise InputError(
            "a key is that of what is added", expected="another key, or --keep without it", column=name, row=row
        )


# What CSV and JSON have no form for


def as_cells(name: str, array: Any) -> Any:
    """A column as CSV can hold it: times and decimals as text, nested values as JSON, words for infinite numbers."""
    import pyarrow
    from pyarrow import types

    plain = as_text(array)
    if types.is_nested(plain.type):
        texts = []
        for row, value in enumerate(python_values(name, plain)):
            try:
                texts.append(None if value is None else encode(value))
            except RecursionError:
                raise too_deep(row, name) from None
        return pyarrow.array(texts, pyarrow.string())
    if types.is_floating(plain.type) and not np.isfinite(plain.drop_null().to_numpy(zero_copy_only=False)).all():
        return pyarrow.array([None if value is None else str(written(value)) for value in plain.to_pylist()])
    return plain


def check_textual(place: str, kept: Any) -> None:
    """Raise InputError for a column of the Arrow schema ``kept`` that has no form in text."""
    for field in kept:
        for kind in types_within(field.type):
            name = untextual(kind)
            if name:
                expected = "--keep without it, or .parquet to write"
                raise InputError(f"{place}: {name} has no form in text", expected=expected, column=field.name)


def untextual(kind: Any) -> str:
    """What ``kind`` is called, if it has no form in text."""
    from pyarrow import BaseExtensionType, types

    if isinstance(kind, BaseExtensionType):
        return f"the type {kind.extension_name}"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return "a column of bytes"
    return f"the type {kind}" if str(kind) in ("binary_view", "month_day_nano_interval") else ""


def as_text(array: Any) -> Any:
    from pyarrow import types

    kind = array.type
    if types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if types.is_temporal(kind) or types.is_decimal(kind) or str(kind) == "string_view":
        return array.cast("int64" if types.is_duration(kind) else "large_string")
    return array.cast("float32") if types.is_float16(kind) else array


def python_values(name: str, array: Any) -> list[Any]:
    """The values, NaN as null. Raises InputError for one that Python cannot hold, as a date beyond the year 9999."""
    try:
        values: list[Any] = without_nan(array.to_pylist())
    except RecursionError:
        raise too_deep(None, name) from None
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"a nested value has no text ({error})", expected="--keep without it, or .parquet to write", column=name
        ) from error
    return values


def too_deep(row: int | None, name: str | None = None) -> InputError:
    return InputError("a value is nested too deep", expected="fewer levels, or --keep without it", column=name, row=row)


def json_records(kept: Any) -> Iterator[dict[str, Any]]:
    """The rows of a batch as JSON can hold them; NaN, which is a missing value, as null."""
    if not kept.num_columns:
        return iter([{} for _ in range(kept.num_rows)])
    columns = [python_values(name, as_text(array)) for name, array in zip(kept.schema.names, kept.columns, strict=True)]
    return (dict(zip(kept.schema.names, row, strict=True)) for row in zip(*columns, strict=True))


def without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else written(value)
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return {key: without_nan(item) for key, item in value.items()} if isinstance(value, dict) else value


def as_json(value: object) -> Any:
    """What stands for a nested value that JSON has no form for."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    return str(value)  # a decimal; check_textual lets nothing else pass


encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, default=as_json).encode
