"""Files of rows through a model: looked at as a whole, then read, scored and written in three stages that overlap.

Belongs here: the order of things. Not here: the stages' own work (readers.py, edge_runtime.model, writers.py).
Imported as edge_runtime.batch.run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edge_runtime.answers import about_model
from edge_runtime.rows import located

from .blocks import Block, Reader
from .columns import Added, added_by, check_alike, kept_of
from .landing import landing
from .places import inputs_of, output_of, suffix_of
from .readers import reader_of
from .stages import ahead
from .summary import BatchReport, Tally
from .writers import Writer, check_textual, writer_of

if TYPE_CHECKING:
    from edge_runtime.model import Model

__all__ = ["Progress", "score_files"]

Progress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Task:
    """One file to read: ``kept`` is the Arrow schema of what stays, ``others`` whether columns that come later stay as
    well, ``before`` and ``whole`` the sizes of the files before it and of all."""

    reader: Reader
    kept: Any
    others: bool
    before: int = 0
    whole: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """A block, its task, and its answers."""

    task: Task
    block: Block
    outputs: dict[str, NDArray[Any]]


def score_files(
    model: Model, source: str, sink: str, *, keep: Sequence[str] | None, progress: Progress | None
) -> BatchReport:
    """What `edge_runtime.batch.score` does with files."""
    began = time.perf_counter()
    added = added_by(model)
    inputs = inputs_of(source)
    output = output_of(sink, source, inputs)
    suffix = inputs[0].suffix if output.folder else suffix_of(output.path)
    readers = [reader_of(file, model.schema, sink_suffix=suffix) for file in inputs]
    tasks, not_taken = looked_at(readers, model, keep, added)
    if not output.folder and suffix != ".jsonl":
        check_alike([(task.reader.file.name, task.kept) for task in tasks], otherwise="a folder to write to")
    if suffix != ".parquet":
        for task in tasks:
            check_textual(task.reader.file.name, task.kept)
    about = about_model(model)
    tally = Tally(added.classes)
    with (
        closing(ahead(answered(model, ahead(blocks_of(tasks))))) as scored,
        landing(output) as open_one,
    ):
        for name, parts in groupby(scored, lambda part: part.task.reader.file.relative if output.folder else ""):
            first = next(parts)
            with ending(writer_of(suffix, open_one(name), first.task.kept, added, about=about)) as writer:
                for part in chain([first], parts):
                    with located(part.task.reader.file.name, part.block.start):
                        writer.write(part.block.kept(), part.outputs)
                    tally.add(part.outputs)
                    if progress is not None:
                        progress(tally.rows, (part.task.before + part.block.done) / (part.task.whole or 1))
    return BatchReport(
        source=source,
        sink=sink,
        files=len(inputs),
        rows=tally.rows,
        not_taken=not_taken,
        model=model.name,
        model_version=added.version,
        model_digest=added.digest,
        score_timestamp=added.timestamp_text,
        seconds=time.perf_counter() - began,
        labels=tally.label_counts(),
        scores=tally.score_figures(),
    )


def looked_at(
    readers: Sequence[Reader], model: Model, keep: Sequence[str] | None, added: Added
) -> tuple[list[Task], tuple[str, ...]]:
    """A task for each reader, and the columns, of any file, that the model does not take. No row has been read."""
    import pyarrow

    known = {column.name for column in model.schema.columns}
    not_taken: dict[str, None] = {}
    kept = []
    for reader in readers:
        found = reader.look(keep or ())
        names = kept_of(reader.file.name, found.names, keep, added.names)
        # What pandas says of all columns would not be true of some of them.
        metadata = found.metadata if keep is None else None
        kept.append(pyarrow.schema([found.field(name) for name in names], metadata))
        not_taken |= dict.fromkeys(name for name in found.names if name not in known)
    sizes = [reader.size for reader in readers]
    *before, whole = accumulate(sizes, initial=0)
    tasks = [
        Task(reader, schema, keep is None, start, whole)
        for reader, schema, start in zip(readers, kept, before, strict=True)
    ]
    return tasks, tuple(not_taken)


@contextmanager
def ending(writer: Writer) -> Iterator[Writer]:
    """Close ``writer``, and give it up after an error."""
    try:
        yield writer
    except BaseException:
        writer.give_up()
        raise
    writer.close()


def blocks_of(tasks: Sequence[Task]) -> Iterator[tuple[Task, Block]]:
    for task in tasks:
        for block in task.reader.blocks(task.kept.names, others=task.others):
            yield task, block


def answered(model: Model, blocks: Iterator[tuple[Task, Block]]) -> Iterator[Scored]:
    """The blocks with their answers. Raises InputError that names file, column and row of a value that does not fit."""
    for task, block in blocks:
        with located(task.reader.file.name, block.start):
            outputs = model.predict(block.inputs)
        yield Scored(task, block, outputs)
