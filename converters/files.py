"""Models in files.

Belongs here: which file is read how, and what needs trust. Not here: what is in them (sources/).
Imported as edge_runtime.converters.files.
"""

from __future__ import annotations

import os
from typing import Any

from edge_runtime.errors import InputError, UnsupportedModelError

__all__ = ["read_model"]

PICKLES = (".joblib", ".pkl", ".pickle")


def read_model(path: str, *, trust: bool) -> Any:
    """The fitted object in a file. Raises UnsupportedModelError for other files and for pickles without ``trust``,
    InputError if there is no such file."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in PICKLES:
        raise UnsupportedModelError(
            f"{path}: not a model file that can be read", advice=f"pass one of {', '.join(PICKLES)}"
        )
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file", expected="a model file")
    if not trust:
        raise UnsupportedModelError(
            f"{path} is a pickle, and opening one runs whatever code is in it",
            advice="if you trust where it comes from: trust=True, or --trust on the command line",
        )
    import joblib

    try:
        return joblib.load(path)
    except Exception as error:  # unpickling runs whatever is in the file, so it may raise anything
        raise UnsupportedModelError(
            f"{path}: it cannot be opened ({type(error).__name__}: {str(error).partition(chr(10))[0]})",
            advice="install what the model was made with, and import its own classes from a module",
        ) from error
