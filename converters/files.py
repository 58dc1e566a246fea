"""Models in files.

Belongs here: which file is read how, and what needs trust. Not here: what is in them (sources/).
Imported as edge_runtime.converters.files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge_runtime.errors import InputError, UnsupportedModelError

from .source import readers

__all__ = ["TRUST", "making_objects", "read_model"]

PICKLES = (".joblib", ".pkl", ".pickle")
TRUST = "if you trust where it comes from: trust=True, or --trust on the command line"


def read_model(path: str, *, trust: bool) -> Any:
    """The model in a file. Raises UnsupportedModelError for other files and for pickles without ``trust``, InputError
    if there is no such file."""
    suffix = os.path.splitext(path)[1].lower()
    opener = None if suffix in PICKLES else _opener(path, suffix)
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file", expected="a model file")
    if opener is not None:
        return opener(path)
    if not trust:
        raise UnsupportedModelError(f"{path} is a pickle, and opening one runs whatever code is in it", advice=TRUST)
    import joblib

    with making_objects(path):
        return joblib.load(path)


@contextmanager
def making_objects(path: str) -> Iterator[None]:
    """Where objects are made of what a file says: in one line why it cannot be opened. Raises UnsupportedModelError."""
    try:
        yield
    except Exception as error:  # that runs whatever is in the file, so it may raise anything
        raise UnsupportedModelError(
            f"{path}: it cannot be opened ({type(error).__name__}: {str(error).partition(chr(10))[0]})",
            advice="install what the model was made with, and import its own classes from a module",
        ) from error


def _opener(path: str, suffix: str) -> Callable[[str], Any]:
    """`open` of the reader that lists ``suffix`` among its SUFFIXES. Raises UnsupportedModelError if none does."""
    known = list(PICKLES)
    for reader in readers():
        suffixes: tuple[str, ...] = getattr(reader, "SUFFIXES", ())
        if suffix in suffixes:
            opener: Callable[[str], Any] = reader.open
            return opener
        known += suffixes
    raise UnsupportedModelError(f"{path}: not a model file that can be read", advice=f"pass one of {', '.join(known)}")
