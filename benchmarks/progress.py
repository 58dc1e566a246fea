"""What is being measured now, on one line of a terminal that is written anew.

Belongs here: the line. Not here: measuring. Without rich, as a device has none.
Imported as edge_runtime.benchmarks.progress.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

__all__ = ["Line", "progress_line"]

WIDTH = 20  # of the bar
CLEAR = "\r\033[K"
EVERY = 0.1  # seconds between two writings: more would be work beside what is measured


class Line:
    """What `progress` of the measuring functions calls: what is being done, and which part of it."""

    def __init__(self, shown: bool) -> None:
        self.shown, self.title, self.written = shown, "", -EVERY

    def __call__(self, what: str, part: float) -> None:
        now = perf_counter()
        if self.shown and (part >= 1 or now - self.written >= EVERY):
            self.written = now
            done = round(WIDTH * min(1.0, part))
            self.write(self.title or what, f"  {'█' * done}{'·' * (WIDTH - done)} {part:4.0%}")

    def stage(self, title: str) -> None:
        """From now on, ``title`` is being done."""
        self.title = title
        if self.shown:
            self.write(title)

    def write(self, title: str, bar: str = "") -> None:
        """The title, cut where the terminal is narrow: what is wrapped would not be wiped; and the bar, if it fits."""
        room = shutil.get_terminal_size().columns - 1
        kept = bar if len(bar) < room / 2 or len(title) + len(bar) <= room else bar[-5:]
        sys.stderr.write(f"{CLEAR}{title[: max(0, room - len(kept))]}{kept}")
        sys.stderr.flush()


@contextmanager
def progress_line() -> Iterator[Line]:
    """The line, on standard error where that is a terminal; wiped at the end."""
    line = Line(sys.stderr.isatty())
    try:
        yield line
    finally:
        if line.shown:
            line.write("")
