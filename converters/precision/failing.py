"""A recipe that does not work on a graph, told apart from a mistake of ours.

Belongs here: the error, and turning a library's own errors into it. Not here: what is tried next (search.py).
Imported as edge_runtime.converters.precision.failing.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from edge_runtime.errors import EdgeError
from edge_runtime.session import reason

__all__ = ["RecipeFailed", "library"]


class RecipeFailed(EdgeError):
    """A library could not make this precision of this graph. ``recipe`` was tried, ``reason`` is one line."""

    def __init__(self, recipe: str, reason: str) -> None:
        self.recipe, self.reason = recipe, reason
        super().__init__(f"{recipe}: {reason}")


@contextmanager
def library(recipe: str, *packages: str) -> Iterator[None]:
    """Turn errors that arise inside one of ``packages`` into RecipeFailed. What is raised before one of them is
    entered, a wrong call for instance, is a mistake of ours and passes."""
    try:
        yield
    except EdgeError:
        raise
    except Exception as error:
        modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
        if not any(module.partition(".")[0] in packages for module in modules):
            raise
        raise RecipeFailed(recipe, f"{type(error).__name__} in {modules[-1]}: {reason(error)}") from error
