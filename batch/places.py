"""Which files are read and which are written: paths, folders, globs, and URLs of any file system that fsspec knows.

Belongs here: names of files and whether they may be used. Not here: what is in them (readers.py, writers.py), how they
appear (landing.py).
Imported as edge_runtime.batch.places.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_runtime.answers import check_target
from edge_runtime.errors import EdgeError, InputError, extra
from edge_runtime.rows import one_of

__all__ = ["SUFFIXES", "Input", "Output", "inputs_of", "output_of", "remote_failures", "spark_output_of"]

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
    if not source:
        raise InputError("the name of what is read is empty", expected=f"{one_of(SUFFIXES)}, a folder, or a glob")
    fs, path = opened(source)
    with remote_failures(fs, source):
        if fs.isfile(path):
            if suffix_of(path) not in SUFFIXES:
                raise InputError(f"{source}: not a file that can be read here", expected=one_of(SUFFIXES))
            return [Input(fs, path, source, posixpath.basename(path))]
        if fs.isdir(path):
            base, found, glob = path.rstrip("/"), fs.find(path), False
        elif has_magic(path):
            base, found, glob = fixed_part(path), files_in(fs.glob(path, detail=True)), True
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
    fs, path = target(sink)
    single = len(inputs) == 1 and inputs[0].name == source
    folder = suffix_of(path) not in SUFFIXES
    check_apart(fs, path, sink, source, inputs, [file.relative for file in inputs] if folder else [])
    with remote_failures(fs, sink):
        if not folder:
            if is_local(fs):
                check_target(path, SUFFIXES)
            elif fs.isdir(path):
                raise InputError(f"{sink}: it is a folder", expected="the name of a file")
        elif single:
            raise InputError(f"{sink}: not a name to write to", expected=f"one that ends in {one_of(SUFFIXES)}")
        else:
            check_new(fs, path, sink)
    return Output(fs, path, sink, folder)


def spark_output_of(sink: str, source: str, inputs: list[Input]) -> Output:
    """Where Spark writes the rows of ``inputs``, which ``source`` named: a new or empty folder of part files.

    Raises InputError for a name of a file, a folder that is not empty, and one among the inputs.
    """
    fs, path = target(sink)
    if suffix_of(path) in SUFFIXES:
        raise InputError(f"{sink}: Spark writes a folder of files", expected=f"a name without {suffix_of(path)}")
    check_apart(fs, path, sink, source, inputs, ["part-00000.parquet"])
    with remote_failures(fs, sink):
        check_new(fs, path, sink)
    return Output(fs, path, sink, folder=True)


def target(sink: str) -> tuple[Any, str]:
    if not sink:
        raise InputError("the name of what is written is empty", expected="a file or a folder")
    fs, path = opened(sink)
    return fs, path.rstrip("/")


def check_new(fs: Any, path: str, sink: str) -> None:
    """Raise InputError unless a folder may be made at ``path``."""
    if fs.isfile(path) or (fs.isdir(path) and fs.ls(path)):
        raise InputError(f"{sink}: it is there already", expected="a new or an empty folder")
    if is_local(fs) and not os.path.isdir(os.path.dirname(path)):
        raise InputError(f"{sink}: there is no folder {os.path.dirname(path)}", expected="a folder that exists")


def check_apart(fs: Any, path: str, sink: str, source: str, inputs: Sequence[Input], names: Iterable[str]) -> None:
    """Raise InputError if ``path`` is one of ``inputs``, or if the files of ``names`` in it (where there are none,
    itself) would be read the next time."""
    if type(fs) is not type(inputs[0].fs):
        return
    real = real_path(fs, path)
    if any(real == real_path(fs, file.path) for file in inputs):
        raise InputError(f"{sink}: it is read and written", expected="another name to write to")
    if inputs[0].name == source:
        return
    pattern = opened(source)[1].rstrip("/")
    if fs.isdir(pattern):
        folder = real_path(fs, pattern)
        inside = real == folder or real.startswith(f"{folder}/")
    else:
        base = fixed_part(pattern)
        from fsspec.utils import glob_translate

        reads = re.compile(glob_translate(real_path(fs, base) + pattern[len(base) :])).match
        inside = any(map(reads, [f"{real}/{name}" for name in names] or [real]))
    if inside:
        raise InputError(f"{sink}: it lies within {source}, and would be read next time", expected="a place beside it")


def has_magic(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def fixed_part(path: str) -> str:
    """The folder of a glob below which its files are."""
    return path[: min(path.index(sign) for sign in "*?[" if sign in path)].rpartition("/")[0]


def opened(name: str) -> tuple[Any, str]:
    """The file system of ``name``, an instance of its own, and the path in it."""
    with extra("batch", used_by="edge_runtime.batch.score"):
        from fsspec.core import url_to_fs
    with remote_failures(None, name):
        # Not the shared one: writing to it in a transaction would defer every other writer's files as well.
        fs, path = url_to_fs(name, skip_instance_cache=True)
    return fs, path


@contextmanager
def remote_failures(fs: Any, name: str) -> Iterator[None]:
    """Turn what the file system ``fs`` (None: while it is made) says of its place into one InputError; a disk's own
    errors stay OSError."""
    try:
        yield
    except EdgeError:
        raise
    except Exception as error:  # each file system has a library of its own, with errors of its own
        if fs is not None and is_local(fs):
            raise
        said = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, (LookupError, TypeError, AttributeError)):  # it was not made for such a name
            said = f"its file system failed ({type(error).__name__}: {said})"
        raise InputError(f"{name}: {said}", expected="a place that fsspec can use") from error


def files_in(found: dict[str, Any]) -> list[str]:
    return [path for path, about in found.items() if about["type"] == "file"]


def shown(fs: Any, path: str, source: str, relative: str, glob: bool) -> str:
    if glob and is_local(fs) and "://" not in source:
        return path if os.path.isabs(source) else os.path.relpath(path)
    return f"{(fixed_part(source) if glob else source).rstrip('/')}/{relative}"


def real_path(fs: Any, path: str) -> str:
    return os.path.realpath(path) if is_local(fs) else path


def is_local(fs: Any) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def suffix_of(path: str) -> str:
    return posixpath.splitext(path)[1].lower()
