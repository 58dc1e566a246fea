"""`Target`: one inference as a call without arguments, on another input each time.

Belongs here: the type that scenarios measure. Not here: making one (opening.py, web.py).
Imported as edge_runtime.benchmarks.target; `Target` is public in edge_runtime.benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_runtime.timing import Call

__all__ = ["Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``new_call`` makes the call to be timed, one inference each time, on the first of ``rotation`` inputs, the next,
    and so on; ``work`` says which in words, ``threads`` is what its session was given.

    ``check`` says whether an answer to the input of that number is right (None: nobody knows), ``verify`` whether the
    golden rows are answered right (None: there are none to ask); ``batch`` gives the target whose calls take so many
    rows at once (None: it takes what it takes).
    """

    name: str
    new_call: Callable[[], Call]
    work: str = "a callable"
    threads: int | None = None
    rotation: int = 1
    check: Callable[[int, Any], bool | None] | None = None
    verify: Callable[[], bool] | None = None
    batch: Callable[[int], Target] | None = None
