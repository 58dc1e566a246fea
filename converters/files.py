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

    return joblib.load(path)
