"""Errors about a value that also say where it came from.

Belongs here: the place in front of an error's text. Not here: what is wrong (edge_runtime.values and others).
Imported as edge_runtime.batch.locating.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_runtime.errors import InputError

__all__ = ["located"]


@contextmanager
def located(place: str, start: int = 0) -> Iterator[None]:
    """Let an InputError say ``place``, and count its row from there, where ``start`` rows came before."""
    try:
        yield
    except InputError as error:
        row = None if error.row is None else start + error.row
        problem = f"{place}: {error.problem}"
        raise InputError(problem, expected=error.expected, column=error.column, row=row) from None
