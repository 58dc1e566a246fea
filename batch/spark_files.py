"""Parquet files through a model on Spark, into a folder that appears whole.

Belongs here: reading, writing and counting with Spark. Not here: a DataFrame with answers (spark.py), the command line
(cli.py, spark_job.py).
Imported as edge_runtime.batch.spark_files.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge_runtime.answers import vector_names
from edge_runtime.errors import InputError, extra
from edge_runtime.mlflow import bundle_path
from edge_runtime.model import load

from .columns import Added, added_by, check_alike, kept_of
from .places import Input, Output, inputs_of, spark_output_of
from .readers import ParquetReader
from .spark import error_of, quoted, with_answers
from .summary import PERCENTILES, WIDEST, BatchReport, Scores, word

if TYPE_CHECKING:
    from edge_runtime.model import Model

__all__ = ["score_files"]


def score_files(
    session: Any, model: str | os.PathLike[str], source: str, sink: str, *, keep: Sequence[str] | None = None
) -> BatchReport:
    """Score ``source``, a Parquet file, a folder of such or a glob, where both fsspec and Spark can read, into the new
    or empty folder ``sink``. It names the same files as for `edge_runtime.batch.score`.

    Percentiles in the report are Spark's approximate ones. Raises what `edge_runtime.batch.spark.score` does, and
    InputError for places that cannot be read or written and for a value that does not fit; there is no ``sink`` then.
    """
    began = time.perf_counter()
    path = bundle_path(model)
    loaded = load(path, threads=1)
    added = added_by(loaded)
    inputs = inputs_of(source)
    if inputs[0].suffix != ".parquet":
        raise InputError(f"{source}: Spark reads Parquet here", expected="Parquet, or --engine pandas")
    output = spark_output_of(sink, source, inputs)
    not_taken = looked_through(inputs, loaded, keep, added)
    with settings(session, SETTINGS), plain_errors(source), landing(session, output) as temporary:
        frame = session.read.parquet(*(escaped(spark_path(file)) for file in inputs))
        with_answers(frame, path, loaded, added, keep=keep).write.mode("append").parquet(temporary)
    with plain_errors(sink):
        written = session.read.parquet(spark_path(output))
        labels, scores = figures(written, added)
        rows = written.count()
    return BatchReport(
        source=source,
        sink=sink,
        files=len(inputs),
        rows=rows,
        not_taken=not_taken,
        model=loaded.name,
        model_version=added.version,
        model_digest=added.digest,
        score_timestamp=added.timestamp_text,
        seconds=time.perf_counter() - began,
        labels=labels,
        scores=scores,
    )


SETTINGS = {
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # not INT96, which readers are giving up
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # else a file is refused for a column that nobody wants
}


@contextmanager
def settings(session: Any, wanted: Mapping[str, str]) -> Iterator[None]:
    """The session's settings as ``wanted``, and afterwards as they were."""
    before = {name: session.conf.get(name, None) for name in wanted}
    for name, value in wanted.items():
        session.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            session.conf.set(name, value) if value is not None else session.conf.unset(name)


def looked_through(inputs: Sequence[Input], model: Model, keep: Sequence[str] | None, added: Added) -> tuple[str, ...]:
    """The columns that the model does not take. Raises InputError, before a row is read, for a file that does not fit
    the model, or the others: Spark takes one schema for all, and what a file lacks of it for null."""
    import pyarrow

    taken = [column.name for column in model.schema.columns]
    not_taken: dict[str, None] = {}
    needed = []
    for file in inputs:
        found = ParquetReader(file, model.schema).look()
        kept = kept_of(file.name, found.names, keep, added.names)
        not_taken |= dict.fromkeys(name for name in found.names if name not in taken)
        for name in kept:
            if "[ns" in str(found.field(name).type):
                problem = f"{file.name}: Spark has no times in nanoseconds"
                raise InputError(problem, expected="microseconds, or --keep without it", column=name)
        needed.append((file.name, pyarrow.schema([found.field(name) for name in sorted({*kept, *taken})])))
    check_alike(needed, otherwise="--engine pandas")
    return tuple(not_taken)


def spark_path(place: Input | Output) -> str:
    return f"file://{place.path}" if place.local else place.name


def escaped(path: str) -> str:
    """``path`` where Spark would take it for a glob."""
    return re.sub(r"[\\{}\[\]*?,]", r"\\\g<0>", path)


@contextmanager
def landing(session: Any, output: Output) -> Iterator[str]:
    """A folder beside ``output``, which is renamed to it at the end, or removed. Raises InputError if none can be
    made."""
    context = session.sparkContext
    path_class = context._jvm.org.apache.hadoop.fs.Path  # Spark's own way to files has no other name in Python
    with plain_errors(output.name):
        target = path_class(spark_path(output))
        files = target.getFileSystem(context._jsc.hadoopConfiguration())
        target = files.makeQualified(target)
        temporary = path_class(target.getParent(), f".{os.urandom(8).hex()}.tmp")
        made = files.mkdirs(temporary)
    try:
        if not made:
            raise InputError(f"{output.name}: it cannot be made", expected="a new folder in one that can be written")
        yield temporary.toString()
        with plain_errors(output.name):
            files.delete(target, False)  # an empty folder may be there
            if not files.rename(temporary, target):
                raise InputError(f"{output.name}: it cannot be made", expected="a new folder in one that is there")
    finally:
        files.delete(temporary, True)


@contextmanager
def plain_errors(place: str) -> Iterator[None]:
    """Turn what Spark says of a file, and what a task said of a value, into one InputError."""
    with extra("spark", used_by="edge_runtime.batch.spark_files.score_files"):
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raised = error_of(error)
        if isinstance(raised, InputError):
            raise InputError(f"{place}: {raised.problem}", expected=raised.expected) from error
        if raised is not None:
            raise raised from error
        cause = root_of(error.java_exception).toString() if isinstance(error, Py4JJavaError) else str(error)
        first = re.sub(r"^\[\w+\.?\w*\] |\.? SQLSTATE: \w+$", "", cause.strip().partition("\n")[0])
        raise InputError(f"{place}: {first}", expected="files that Spark can read and write") from error


def root_of(exception: Any) -> Any:
    while exception.getCause() is not None:
        exception = exception.getCause()
    return exception


def figures(written: Any, added: Added) -> tuple[dict[str, dict[str, int]], dict[str, Scores]]:
    """What the report says of the outputs, asked of the rows that were written."""
    labels: dict[str, dict[str, int]] = {}
    scores: dict[str, Scores] = {}
    for field in added.outputs:
        for name, column in columns_of(written, field, added):
            if field.name != "label" and str(getattr(field.type, "value_type", field.type)) in FLOATS:
                scores[name] = numbers(written, column)
            else:
                found = written.groupBy(column.alias("value")).count().collect()
                ordered = sorted(found, key=lambda row: -row["count"])
                labels[name] = {word(row["value"]): row["count"] for row in ordered}
    return labels, scores


FLOATS = ("double", "float", "halffloat")


def columns_of(written: Any, field: Any, added: Added) -> list[tuple[str, Any]]:
    from pyspark.sql import functions

    column = functions.col(quoted(field.name))
    if not hasattr(field.type, "value_type"):
        return [(field.name, column)]
    first = written.select(functions.size(column)).first()
    width = first[0] if first is not None else 0
    names = vector_names(field.name, width, added.classes) if width <= WIDEST else []
    return [(name, column[k]) for k, name in enumerate(names)]


def numbers(written: Any, column: Any) -> Scores:
    from pyspark.sql import functions as f

    finite = f.when(~f.isnan(column) & (f.abs(column) != float("inf")), column)
    shares = [p / 100 for p in PERCENTILES]
    count, known, least, largest, mean, found = written.select(
        f.count(f.lit(1)),
        f.count(finite),
        f.min(finite),
        f.max(finite),
        f.avg(finite),
        f.percentile_approx(finite, shares),
    ).first()
    return Scores(count, count - known, least, largest, mean, dict(zip(PERCENTILES, found or (), strict=False)))
