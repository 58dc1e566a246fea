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
TF2ONNX = "python -m tf2onnx.convert"
ELSEWHERE = {
    ".tflite": ("a model of TensorFlow Lite", "--tflite {}"),
    ".pb": ("a frozen graph of TensorFlow", "--graphdef {} --inputs NAME:0 --outputs NAME:0"),
    ".h5": ("a Keras file that runs code when it is opened, whatever safe_mode says (.keras is read)", "--keras {}"),
    ".hdf5": ("a Keras file that runs code when it is opened, whatever safe_mode says (.keras is read)", "--keras {}"),
}
TRUST = "if you trust where it comes from: trust=True, or --trust on the command line"


def read_model(path: str, *, trust: bool) -> Any:
    """The model in a file. Raises UnsupportedModelError for other files and for pickles without ``trust``, InputError
    if there is no such file."""
    suffix = os.path.splitext(path)[1].lower()
    _refuse_elsewhere(path, suffix)
    opener = None if suffix in PICKLES else _opener(path, suffix, trust)
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


def _refuse_elsewhere(path: str, suffix: str) -> None:
    """Raise UnsupportedModelError for what another converter reads, with the command that runs it."""
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    if (os.path.isdir(path) or suffix == ".pb") and os.path.isfile(os.path.join(folder, "saved_model.pb")):
        what, how = "a SavedModel of TensorFlow", f"{TF2ONNX} --saved-model {folder or '.'}"
    elif suffix in ELSEWHERE:
        what, how = ELSEWHERE[suffix][0], f"{TF2ONNX} {ELSEWHERE[suffix][1].format(path)}"
    else:
        return
    advice = f"make ONNX of it, and pass that file: pip install tf2onnx tensorflow && {how} --output model.onnx"
    raise UnsupportedModelError(f"{path} is {what}", advice=advice)


def _opener(path: str, suffix: str, trust: bool) -> Callable[[str], Any]:
    """`open` of the reader that lists ``suffix`` among its SUFFIXES, or with ``trust`` its `open_trusted`, if it has
    one. Raises UnsupportedModelError if none does."""
    known = list(PICKLES)
    for reader in readers():
        suffixes: tuple[str, ...] = getattr(reader, "SUFFIXES", ())
        if suffix in suffixes:
            opener: Callable[[str], Any] = getattr(reader, "open_trusted", reader.open) if trust else reader.open
            return opener
        known += suffixes
    raise UnsupportedModelError(f"{path}: not a model file that can be read", advice=f"pass one of {', '.join(known)}")
