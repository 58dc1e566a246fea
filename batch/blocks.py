"""Rows of a file, some at a time, and who reads them.

Belongs here: what a reader is and gives, opening a file. Not here: the readers (readers.py, csv_reader.py,
json_reader.py).
Imported as edge_runtime.batch.blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from edge_runtime.errors import InputError
from edge_runtime.rows import reading

from .places import Input, remote_failures

__all__ = ["BUFFER", "Block", "Reader", "opened"]

BUFFER = 2**20  # bytes of a column read at once, so that a large row group is not held whole


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
    """``look`` checks the columns and returns them as an Arrow schema; ``size`` is then known, in rows or bytes. It
    looks for those of ``keep`` as far as it must.

    ``blocks`` keeps the columns ``kept`` of it, and ``others`` that only come later, where there can be such.
    """

    file: Input
    size: int

    def look(self, keep: Sequence[str] = ()) -> Any: ...

    def blocks(self, kept: Sequence[str], *, others: bool) -> Iterator[Block]: ...


@contextmanager
def opened(file: Input) -> Iterator[Any]:
    """``file`` as a pyarrow file. Raises InputError where it cannot be read, or where there is nothing in it."""
    import pyarrow

    with remote_failures(file.fs, file.name), reading(file.name):
        raw = pyarrow.OSFile(file.path) if file.local else pyarrow.PythonFile(file.fs.open(file.path, "rb"), "r")
        with raw:
            if not raw.size():
                raise InputError(f"{file.name}: the file is empty", expected="a file of rows")
            yield raw
