"""Which files are read and which are written: paths, folders, globs, and URLs of any file system that fsspec knows.

Belongs here: names of files and whether they may be used. Not here: what is in them (readers.py, writers.py), how they
appear (landing.py).
Imported as edge_runtime.batch.places.
"""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from edge_runtime.errors import InputError, extra
from edge_runtime.rows import check_target, one_of

__all__ = ["SUFFIXES", "Input", "Output", "inputs_of", "output_of", "remote_failures"]

SUFFIXES = (".parquet", ".csv", ".jsonl")


@dataclass(frozen=True, slots=True)
class Input:
    """One file of rows. ``name`` is what a person is told, ``relative`` its place below the folder that was named."""

    fs: Any
    path: str
    name: str
    relative: str

    @property
    def suffix(self) -> str:
        return suffix_of(self.path)

    @property
    def local(self) -> bool:
        return is_local(self.fs)


@dataclass(frozen=True, slots=True)
class Output:
    """Where rows go: one file with all of them, or a folder with a file for each input."""

    fs: Any
    path: str
    name: str
    folder: bool

    @property
    def local(self) -> bool:
        return is_local(self.fs)


def inputs_of(source: str) -> list[Input]:
    """The files that ``source`` names: a file, the files of rows in a folder and below it, or those of a glob, by name.

    Names that begin with "." or "_" are passed over, as Spark and Arrow do. Raises InputError if there are none, or if
    they are of more than one kind.
    """
    fs, path = opened(source)
    with remote_failures(source):
        if fs.isfile(path):
            if suffix_of(path) not in SUFFIXES:
                raise InputError(f"{source}: not a file that can be read here", expected=one_of(SUFFIXES))
            return [Input(fs, path, source, posixpath.basename(path))]
        magic = any(sign in path for sign in "*?[")
        if fs.isdir(path):
            base, found, glob = path.rstrip("/"), fs.find(path), False
        elif magic:
            fixed = path[: min(path.index(sign) for sign in "*?[" if sign in path)]
            base, found, glob = fixed.rpartition("/")[0], files_in(fs.glob(path, detail=True)), True
        else:
            raise InputError(f"{source}: no such file or folder", expected=f"{one_of(SUFFIXES)}, a folder, or a glob")
    files = []
    for each in sorted(found):
        relative = each[len(base) :].lstrip("/")
        hidden = any(part.startswith((".", "_")) for part in relative.split("/"))
        if suffix_of(each) in SUFFIXES and (glob or not hidden):
            files.append(Input(fs, each, shown(fs, each, source, relative, glob), relative))
    kinds = sorted({file.suffix for file in files})
    if len(kinds) != 1:
        what = f"files of {' and '.join(kinds)}" if kinds else "no file of rows"
        raise InputError(f"{source}: there {'are' if kinds else 'is'} {what}", expected=f"files of {one_of(SUFFIXES)}")
    return files


def output_of(sink: str, source: str, inputs: list[Input]) -> Output:
    """Where the rows of ``inputs``, which ``source`` named, go: to one file if ``sink`` ends in a suffix of SUFFIXES,
    and else to files of their own names in the folder ``sink``.

    A file that is there will be replaced, a folder that is not empty is refused; so are a sink among the inputs, and a
    folder for a single file. Raises InputError.
    """
    fs, path = opened(sink)
    path = path.rstrip("/")
    single = len(inputs) == 1 and inputs[0].name == source
    folder = suffix_of(path) not in SUFFIXES
    check_apart(fs, path, sink, source, inputs, single)
    with remote_failures(sink):
        if not folder:
            if is_local(fs):
                check_target(path, SUFFIXES)
            elif fs.isdir(path):
                raise InputError(f"{sink}: it is a folder", expected="the name of a file")
        elif single:
            raise InputError(f"{sink}: not a name to write to", expected=f"one that ends in {one_of(SUFFIXES)}")
        elif fs.isfile(path) or (fs.isdir(path) and fs.ls(path)):
            raise InputError(f"{sink}: it is there already", expected="a new or an empty folder")
        elif is_local(fs) and not os.path.isdir(os.path.dirname(path)):
            raise InputError(f"{sink}: there is no folder {os.path.dirname(path)}", expected="a folder that exists")
    return Output(fs, path, sink, folder)


def check_apart(fs: Any, path: str, sink: str, source: str, inputs: list[Input], single: bool) -> None:
    """Raise InputError if what is written to ``path`` could be, or next time be, among what is read."""
    if type(fs) is not type(inputs[0].fs):
        return
    from_path = opened(source)[1].rstrip("/")
    real = real_path(fs, path)
    if any(real == real_path(fs, file.path) for file in inputs):
        raise InputError(f"{sink}: it is read and written", expected="another name to write to")
    inside = fnmatch(path, from_path) or real.startswith(f"{real_path(fs, from_path)}/")
    if not single and (inside or real == real_path(fs, from_path)):
        raise InputError(f"{sink}: it lies within {source}, and would be read next time", expected="a place beside it")


def opened(name: str) -> tuple[Any, str]:
    """The file system of ``name``, an instance of its own, and the path in it."""
    with extra("batch", used_by="edge_runtime.batch.score"):
        from fsspec.core import url_to_fs
    try:
        # Not the shared one: writing to it in a transaction would defer every other writer's files as well.
        fs, path = url_to_fs(name, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        known = "a path, or a URL of a file system that fsspec has at hand"
        raise InputError(f"{name}: {error}", expected=known) from None
    return fs, path


@contextmanager
def remote_failures(name: str) -> Iterator[None]:
    """Turn what a file system's own library says of credentials and connections into one InputError."""
    try:
        yield
    except Exception as error:
        botocore = sys.modules.get("botocore.exceptions")  # its errors are no OSError
        if botocore is None or not isinstance(error, botocore.BotoCoreError):
            raise
        raise InputError(f"{name}: {error}", expected="a place that can be reached") from error


def files_in(found: dict[str, Any]) -> list[str]:
    return [path for path, about in found.items() if about["type"] == "file"]


def shown(fs: Any, path: str, source: str, relative: str, glob: bool) -> str:
    if not glob:
        return f"{source.rstrip('/')}/{relative}"
    if is_local(fs):
        return path if os.path.isabs(source) else os.path.relpath(path)
    return str(fs.unstrip_protocol(path))


def real_path(fs: Any, path: str) -> str:
    return os.path.realpath(path) if is_local(fs) else path


def is_local(fs: Any) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def suffix_of(path: str) -> str:
    return posixpath.splitext(path)[1].lower()
