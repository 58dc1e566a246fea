"""What is being done now, while a conversion works: bars on a terminal, a line per stage elsewhere.

Belongs here: the words for each stage, and how they are shown. Not here: the stages (conversion.py,
precision/search.py).
Imported as edge_runtime.converters.progress; needs rich, inside its functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["STAGES", "Tell", "progress"]

Tell = Callable[[str, int, int], None]

NARROW = 72  # columns
STAGES = {
    "read": "read the model and its data, lower it",
    "compare": "compare with the source, on all data",
    "edge rows": "compare edge rows: missing, infinite, unknown",
    "recipes": "try precisions of the whole graph",
    "layers": "8 bits layer by layer, then sets of them",
    "certify": "certify the best on rows not used so far",
    "self-test": "replay golden rows",
}


@contextmanager
def progress(*, silent: bool) -> Iterator[Tell]:
    """What `convert` calls as it goes: (stage, done, all), shown on standard error; nothing if ``silent``."""
    if silent:
        yield lambda stage, done, whole: None
        return
    from edge_runtime.errors import extra

    with extra("cli", used_by="edge convert"):
        from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield stage_lines()
        return
    with stage_bars(console) as advance:
        yield advance


@contextmanager
def stage_bars(console: Console) -> Iterator[Tell]:
    """A bar per stage and the time it took; it pulses until there is a share."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    folded = Column(no_wrap=console.width >= NARROW)  # below, text takes two lines rather than the bar's place
    columns = TextColumn("{task.description}", markup=False, table_column=folded), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, whole: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(STAGES.get(stage, stage), total=None)
            if done:
                bars.update(tasks[stage], completed=done, total=whole)

        yield advance


def stage_lines() -> Tell:
    seen: set[str] = set()

    def advance(stage: str, done: int, whole: int) -> None:
        if stage not in seen:
            seen.add(stage)
            click.echo(STAGES.get(stage, stage), err=True)

    return advance
