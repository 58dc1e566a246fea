"""Many rows through one model: files of any size, frames, and Spark.

    from edge_runtime.batch import score
    report = score("fraud.edge", "day.parquet", "scored.parquet")
    scored = score("fraud.edge", frame)

Belongs here: `score` and what it returns. Not here: how it is done (run.py, frames.py, spark.py).
Imported as edge_runtime.batch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from edge_runtime.errors import InputError, extra
from edge_runtime.mlflow import bundle_path
from edge_runtime.model import Model, load

from .summary import BatchReport, Scores

if TYPE_CHECKING:
    from .run import Progress

__all__ = ["BatchReport", "Scores", "score"]


@overload
def score(
    model: Model | str | os.PathLike[str],
    source: str | os.PathLike[str],
    sink: str | os.PathLike[str],
    *,
    keep: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> BatchReport: ...


@overload
def score(model: Model | str | os.PathLike[str], source: Any, *, keep: Sequence[str] | None = None) -> Any: ...


def score(
    model: Model | str | os.PathLike[str],
    source: Any,
    sink: str | os.PathLike[str] | None = None,
    *,
    keep: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Any:
    """Add a model's answers to rows: the input's columns stay, its outputs, `model_version`, `model_digest` and
    `score_timestamp` (UTC, one for the run) come behind them. The answers are those of `Model.predict`, to the bit.

    ``model`` is a `Model`, the path of a bundle or of an .onnx file, or a `models:/` or `runs:/` URI; ``keep`` names
    the columns that stay (default: all).

    With a ``sink``, ``source`` is a file, a folder or a glob of .parquet, .csv or .jsonl files, as a path or as a URL
    that fsspec knows. A sink with one of these suffixes gets all rows in the order of the files' names and replaces a
    file that is there; any other is a new or empty folder and gets files of their own names. The rows stream, in memory
    that does not grow with their number, and the sink appears when all are written, or not at all. ``progress`` is
    called with the rows written and the share of the input, 0 to 1, that they are. Returns a `BatchReport`.

    Without one, ``source`` is a pandas frame or a pyarrow Table or RecordBatch and returns as such with more columns,
    or it is an iterable of these and a generator of such is returned. A vector output is a column of lists.

    Raises InputError if columns are missing or of wrong types (all of them, before a row is read), if a column that is
    kept has the name of one that is added, for a value that does not fit (with file, column and row, from 0), and for
    places that cannot be read or written; the errors of `edge_runtime.load`; OSError from disk.
    """
    with extra("batch", used_by="edge_runtime.batch.score"):
        import pyarrow  # noqa: F401
    held = model if isinstance(model, Model) else load(bundle_path(model))
    is_path = isinstance(source, (str, os.PathLike))
    if isinstance(keep, str):
        raise InputError(f"keep is the text {keep!r}", expected="a list of names")
    if is_path and sink is not None:
        from .run import score_files

        return score_files(held, os.fspath(source), os.fspath(sink), keep=keep, progress=progress)
    if is_path or sink is not None:
        what = "a file without a sink" if is_path else f"a {type(source).__name__} and a sink"
        raise InputError(f"got {what}", expected="a file or folder and a sink, or frames and none")
    from .frames import score_frames

    return score_frames(held, source, keep=keep)
