"""Files of rows that come in: Parquet, CSV, JSON Lines, JSON; and of tensors, .npz.

JSON and CSV need nothing but Python. Parquet needs pyarrow, and `read_rows` pandas: the extras `convert` or `batch`.
Imported by spokes and commands only, never by the core.

Belongs here: which file holds which rows, and how a field and a line are read, for those who stream as well. Not here:
what a value may be (values.py), tables in memory (tables.py), streaming (batch), files that are written (answers.py).
Imported as edge_runtime.rows.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, extra
from .schema import ColumnSpec, Schema

__all__ = [
    "SUFFIXES",
    "Rows",
    "check_distinct",
    "field_values",
    "located",
    "number",
    "one_of",
    "parse",
    "read_for",
    "read_rows",
    "read_tensors",
    "reading",
    "told",
    "truth",
]

Record = dict[str, Any]

SUFFIXES = (".parquet", ".csv", ".jsonl", ".json")
TRUTHS = {"true": True, "false": False}


def read_rows(path: str | os.PathLike[str]) -> Any:
    """The rows of a file as training code would read them: a pandas frame for .parquet and .csv, types inferred; a list
    of dicts for .jsonl and .json.

    Raises InputError for a file of another kind, one without rows, or one that cannot be read.
    """
    name = os.fspath(path)
    suffix = check_source(name, SUFFIXES)
    with reading(name):
        if suffix in (".json", ".jsonl"):
            found = read_json(name, suffix)
            return check_rows(name, [found] if isinstance(found, dict) else found)
        with extra("convert", used_by="edge_runtime.rows.read_rows"):
            import pandas
        if suffix == ".parquet":
            return check_rows(name, pandas.read_parquet(name))
        with warnings.catch_warnings():
            # pandas 3.1 reads floats exactly by itself and deprecates what earlier ones need to do so.
            warnings.simplefilter("ignore", DeprecationWarning)
            # Only an empty field is missing: "NA" is Namibia.
            frame = pandas.read_csv(name, keep_default_na=False, na_values=[""], float_precision="round_trip")
        return check_rows(name, frame)


@dataclass(frozen=True, slots=True)
class Rows:
    """What `Model.predict` takes. ``columns`` are a table's names, () for records; ``single`` is one JSON object."""

    data: Any
    columns: tuple[str, ...] = ()
    single: bool = False


def read_for(schema: Schema, path: str | os.PathLike[str]) -> Rows:
    """The rows of a file as a model of ``schema`` takes them; "-" is JSON or JSON Lines from standard input.

    Nothing is inferred or rounded on the way; whatever does not fit the schema is left for it to refuse.
    Raises InputError for a file of another kind, one without rows, or one that cannot be read.
    """
    name = os.fspath(path)
    suffix = ".json" if name == "-" else check_source(name, SUFFIXES)
    with reading(name):
        if suffix == ".csv":
            columns = read_csv(name, schema)
            return Rows(columns, tuple(columns))
        if suffix != ".parquet":
            found = read_json(name, suffix)
            single = isinstance(found, dict)
            return Rows([found] if single else check_rows(name, found), single=single)
        with extra("batch", used_by="edge_runtime.rows.read_for"):
            from pyarrow import parquet
        # As one file, not as a data set: a folder's name may look like a partition.
        with open(name, "rb") as file:
            # Without threads: those of pyarrow may outlive the interpreter, which then ends in an abort.
            table = check_rows(name, parquet.read_table(file, use_threads=False, pre_buffer=False))
        return Rows(table, tuple(table.column_names))


def read_tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name. Raises InputError for another file, or one that holds pickles."""
    name = os.fspath(path)
    check_source(name, (".npz",))
    from zipfile import BadZipFile

    with reading(name):
        try:
            with np.load(name, allow_pickle=False) as held:
                return {key: held[key] for key in held.files}
        except (BadZipFile, AttributeError, EOFError) as error:  # no ZIP, a lone .npy, nothing
            raise ValueError(f"not a file of arrays ({error})") from None


def check_source(name: str, suffixes: Sequence[str]) -> str:
    """The suffix of the file ``name``. Raises InputError unless it is one of ``suffixes`` and the file is there."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in suffixes:
        raise InputError(f"{name}: not a file that can be read here", expected=one_of(suffixes))
    if not os.path.isfile(name):
        raise InputError(f"{name}: no such file", expected=f"a {suffix} file")
    return suffix


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what a reader says of a file into one InputError with the file's name."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, OSError, csv.Error, RecursionError) as error:
        text = told(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{name}: {text}", expected="a file that can be read whole") from error


@contextmanager
def located(place: str, start: int = 0) -> Iterator[None]:
    """Let an InputError about a value say ``place``, and count its row from there, where ``start`` rows came before."""
    try:
        yield
    except InputError as error:
        row = None if error.row is None else start + error.row
        problem = f"{place}: {error.problem}"
        raise InputError(problem, expected=error.expected, column=error.column, row=row) from None


def told(error: Exception) -> str:
    """What ``error`` says, without Python's own words where a person cannot know them."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 (byte {error.object[error.start]:#04x})"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "an integer of too many digits" if "set_int_max_str_digits" in str(error) else str(error)


def check_rows(name: str, rows: Any) -> Any:
    if len(rows) == 0:
        raise InputError(f"{name}: there are no rows in it", expected="at least one")
    return rows


def one_of(suffixes: Sequence[str]) -> str:
    return suffixes[0] if len(suffixes) == 1 else f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


def read_json(name: str, suffix: str) -> Record | list[Any]:
    raw = sys.stdin.buffer.read() if name == "-" else read_bytes(name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"line {raw.count(10, 0, error.start) + 1}: {told(error)}") from None
    if suffix == ".jsonl":
        return [parse(line, f"line {number}: ") for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    values = list(values_in(text))
    if len(values) == 1 and isinstance(values[0], (dict, list)):
        return values[0]
    if values and all(isinstance(value, dict) for value in values):
        return values  # JSON Lines, or objects one behind the other
    found = f"{len(values)} values" if len(values) != 1 else f"a single {type(values[0]).__name__}"
    raise InputError(f"{name}: it holds {found}", expected="an object, a list of objects, or an object a line")


def read_bytes(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read()


def parse(text: str, place: str) -> Any:
    """The JSON value of ``text``, strictly: a key twice, NaN and what is beyond float64 raise ValueError.

    Where ``place`` names the line that ``text`` is, it begins the message, and too deep a nesting is such an error as
    well."""
    if not place:
        return DECODER.decode(text)
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}{error.msg}, column {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}{told(error)}") from None


def values_in(text: str) -> Iterator[Any]:
    """The JSON values that stand one behind the other."""
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in " \t\r\n":
            at += 1
        if at == end:
            return
        value, at = DECODER.raw_decode(text, at)
        yield value


def distinct(pairs: list[tuple[str, Any]]) -> Record:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return made


def no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON; a missing value is null")


def finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is beyond float64")
    return value


DECODER = json.JSONDecoder(object_pairs_hook=distinct, parse_constant=no_constant, parse_float=finite)


def read_csv(name: str, schema: Schema) -> dict[str, list[Any]]:
    """Columns by name; those that the model does not take as text."""
    with open(name, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        names = next((row for row in reader if row), [])  # empty lines may stand before it
        check_distinct(name, names)
        rows = []
        for row in reader:
            if not row and len(names) == 1:
                row = [""]  # an empty line is an empty field here, and nothing elsewhere
            if row and len(row) != len(names):
                raise ValueError(f"line {reader.line_num} has {len(row)} fields, the first line {len(names)}")
            if row:
                rows.append(row)
    check_rows(name, rows)
    columns = {column.name: column for column in schema.columns}
    by_name = zip(names, zip(*rows, strict=True), strict=True)
    return {key: field_values(texts, columns[key]) if key in columns else list(texts) for key, texts in by_name}


def check_distinct(place: str, names: Sequence[str]) -> None:
    """Raise InputError, with ``place``, if two of a table's ``names`` are the same."""
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{place}: two columns have one name", expected="distinct names", column=twice)


def field_values(texts: Sequence[str], column: ColumnSpec) -> list[Any]:
    """The fields of a CSV column as values; an empty one is missing, but empty text where text cannot be missing."""
    if column.dtype == "str":
        return [text or None for text in texts] if column.nullable else list(texts)
    return list(map(truth if column.dtype == "bool" else number, texts))


def number(text: str) -> Any:
    """An int or a float, None for an empty field; the text itself where it is neither, for the schema to refuse."""
    if not text or text.isspace():
        return None
    try:
        if "_" in text or not text.isascii():  # Python's own liberties
            return text
        if text.strip().lstrip("+-").isdigit():
            return int(text)
        value = float(text)
    except ValueError:
        return text
    return text if math.isinf(value) and "inf" not in text.lower() else value


def truth(text: str) -> Any:
    """A bool, None for an empty field; the text itself where it is neither, for the schema to refuse."""
    return TRUTHS.get(text.strip().lower(), text) if text else None
