"""Files that appear whole or not at all.

On a disk, they are written beside their place under a hidden name and renamed; in an object store, an upload is
completed or given up.

Belongs here: opening for writing, and what happens at the end. Not here: where (places.py), what (writers.py).
Imported as edge_runtime.batch.landing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .places import Output, remote_failures

__all__ = ["landing"]

Open = Callable[[str], Any]  # a relative name, as the inputs have it -> a binary file; the caller closes it


@contextmanager
def landing(output: Output) -> Iterator[Open]:
    """Open files below ``output`` (or itself, where it is one file); they are there once the block has ended, and are
    not if it raised. What goes wrong with them has the name of ``output``."""
    with on_disk(output) if output.local else in_store(output) as open_one:
        yield open_one


class Landed:
    """A file of ``output`` that is written; after an error it takes the rest and drops it, since whoever writes will
    want to end what it began."""

    closed = False

    def __init__(self, output: Output, file: Any) -> None:
        self.output, self.file, self.broken = output, file, False

    def write(self, data: Any) -> int:
        if self.broken:
            return len(data)
        try:
            with failures(self.output):
                return int(self.file.write(data))
        except BaseException:
            self.broken = True
            raise

    def flush(self) -> None:
        """At the end is soon enough."""

    def close(self) -> None:
        with failures(self.output), suppress(*(OSError,) if self.broken else ()):
            self.file.close()


@contextmanager
def failures(output: Output) -> Iterator[None]:
    """Let errors name the output, not what it is called while it is written."""
    try:
        with remote_failures(output.fs, output.name):
            yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), output.name) from error


@contextmanager
def on_disk(output: Output) -> Iterator[Open]:
    written: list[str] = []
    temporary = os.path.join(os.path.dirname(output.path), f".{os.urandom(8).hex()}.tmp")

    def open_one(relative: str) -> Any:
        path = os.path.join(temporary, relative) if output.folder else temporary
        with failures(output):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            written.append(path)
            return Landed(output, open(path, "xb"))

    try:
        yield open_one
        with failures(output):
            for path in written:
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
            if output.folder:
                with suppress(FileNotFoundError):
                    os.rmdir(output.path)  # an empty one may be there, and not every system renames onto it
            os.replace(temporary, output.path)
    except BaseException:
        if output.folder:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
        raise


@contextmanager
def in_store(output: Output) -> Iterator[Open]:
    fs = output.fs

    def open_one(relative: str) -> Any:
        with failures(output):
            return Landed(output, fs.open(f"{output.path}/{relative}" if output.folder else output.path, "wb"))

    fs.start_transaction()
    try:
        yield open_one
    except BaseException:
        fs.transaction.complete(commit=False)
        raise
    with failures(output):
        fs.end_transaction()
