"""Frames in memory through a model, one or many: pandas frames, Arrow tables and batches.

Belongs here: a frame with its answers beside it. Not here: files (run.py), predicting (edge_runtime.model).
Imported as edge_runtime.batch.frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edge_runtime.answers import arrow_column
from edge_runtime.errors import InputError
from edge_runtime.rows import check_distinct, located

from .columns import Added, Found, added_by, check_columns, kept_of, kinds_of

if TYPE_CHECKING:
    from edge_runtime.model import Model

__all__ = ["score_frames"]


def score_frames(model: Model, source: Any, *, keep: Sequence[str] | None) -> Any:
    """What `edge_runtime.batch.score` does with frames."""
    added = added_by(model)
    if is_frame(source):
        return with_answers(model, source, keep, added, "the frame")
    if isinstance(source, (dict, bytes)) or not isinstance(source, Iterable):
        kinds = "a pandas frame, a pyarrow Table or RecordBatch, or an iterable of them"
        raise InputError(f"got a {type(source).__name__}", expected=kinds)
    return each_with_answers(model, source, keep, added)


def each_with_answers(model: Model, frames: Iterable[Any], keep: Sequence[str] | None, added: Added) -> Iterator[Any]:
    for number, frame in enumerate(frames):
        place = f"frame {number}"
        if not is_frame(frame):
            raise InputError(f"{place} is a {type(frame).__name__}", expected="a pandas frame or a pyarrow Table")
        yield with_answers(model, frame, keep, added, place)


def with_answers(model: Model, frame: Any, keep: Sequence[str] | None, added: Added, place: str) -> Any:
    if hasattr(frame, "schema"):
        check_columns(place, model.schema, kinds_of(frame.schema))
        kept = kept_of(place, frame.schema.names, keep, added.names)
        with located(place):
            outputs = model.predict(frame)
        return arrow_answers(frame, frame.select(list(kept)), outputs, added)
    names = list(frame.columns)
    check_distinct(place, names)
    check_columns(place, model.schema, pandas_kinds(frame, model))
    kept = kept_of(place, names, keep, added.names)
    with located(place):
        outputs = model.predict(frame)
    return pandas_answers(frame[list(kept)], outputs, added)


def arrow_answers(frame: Any, kept: Any, outputs: dict[str, NDArray[Any]], added: Added) -> Any:
    import pyarrow

    schema = added.schema(kept.schema)
    arrays = [*kept.columns, *map(arrow_column, outputs.values())]
    for name, value in added.stamps.items():
        arrays.append(pyarrow.repeat(pyarrow.scalar(value, schema.field(name).type), frame.num_rows))
    return type(frame).from_arrays(arrays, schema=schema)


def pandas_kinds(frame: Any, model: Model) -> list[Found]:
    """The columns, those that the model takes with the types that Arrow would give them; "null" where only the values
    could tell."""
    import pyarrow

    known = {column.name for column in model.schema.columns}
    fields = []
    for name in frame.columns:
        kind = pyarrow.null()
        if name in known and hasattr(frame[name].dtype, "tz"):
            kind = pyarrow.timestamp("ns", "UTC")
        elif name in known:
            with suppress(TypeError, pyarrow.ArrowException):  # sparse, and the like
                kind = pyarrow.array(frame[name].iloc[:0]).type
        fields.append(pyarrow.field(str(name), kind))
    return kinds_of(fields)


def pandas_answers(kept: Any, outputs: dict[str, NDArray[Any]], added: Added) -> Any:
    import pandas

    made: dict[str, Any] = {}
    for name, array in outputs.items():
        if array.ndim == 1:
            made[name] = pandas.array(array.tolist(), dtype="str") if array.dtype == object else array
        else:  # Python's lists, not Arrow's: pandas 3.1 writes those to Parquet and cannot read them again
            made[name] = pandas.Series(array.tolist(), dtype=object).to_numpy()
    return kept.assign(**made, **added.stamps | {"score_timestamp": pandas.Timestamp(added.timestamp)})


def is_frame(value: object) -> bool:
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return (package, kind.__name__) in {("pandas", "DataFrame"), ("pyarrow", "Table"), ("pyarrow", "RecordBatch")}
