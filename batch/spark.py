"""A Spark DataFrame through a model: one bundle an executor, one session a worker process, one thread a task.

    from edge_runtime.batch.spark import score
    scored = score(transactions, "fraud.edge")

The workers need this package as the driver has it (numpy, onnxruntime, pyarrow, pandas).

Belongs here: what Spark adds to scoring a batch. Not here: columns (columns.py), predicting (edge_runtime.model).
Imported as edge_runtime.batch.spark.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from edge_runtime.answers import arrow_column
from edge_runtime.errors import BundleError, EdgeError, InputError, extra
from edge_runtime.mlflow import bundle_path
from edge_runtime.model import load
from edge_runtime.rows import located

from .columns import Added, Found, added_by, check_columns, kept_of

if TYPE_CHECKING:
    from edge_runtime.model import Model

__all__ = ["error_of", "quiet", "quoted", "score", "with_answers"]


def score(frame: Any, path: str | os.PathLike[str], *, keep: Sequence[str] | None = None) -> Any:
    """The Spark DataFrame ``frame`` with a model's answers: the columns that stay, the outputs, `model_version`,
    `model_digest`, `score_timestamp` (UTC, one for all rows). It is lazy, as every DataFrame is.

    ``path`` is a bundle's on the driver, or a `models:/` or `runs:/` URI; ``keep`` names the columns that stay
    (default: all). A vector output is an array.

    Raises InputError if columns are missing or of wrong types (all of them), or if a column that is kept has the name
    of one that is added; the errors of `edge_runtime.load`. A value that does not fit fails the job that reaches it,
    with an InputError that names partition, column and row in it, in the message of Spark's PythonException.
    """
    local = bundle_path(path)
    model = load(local, threads=1)
    return with_answers(frame, local, model, added_by(model), keep=keep)


def with_answers(frame: Any, path: str, model: Model, added: Added, *, keep: Sequence[str] | None) -> Any:
    """``frame`` with the answers of ``model``, whose bundle lies at ``path``, and the stamps of ``added``."""
    with extra("spark", used_by="edge_runtime.batch.spark.score"), quiet():
        from pyspark.sql import functions
        from pyspark.sql.types import StructField, StructType

    place = "the DataFrame"
    fields = {field.name: field for field in frame.schema}
    kinds = [kind_of(field) for field in frame.schema]
    check_columns(place, model.schema, kinds)
    kept = kept_of(place, list(fields), keep, added.names)
    check_any_case(place, [*kept, *added.names])
    inputs = [column.name for column in model.schema.columns]
    names = tuple(dict.fromkeys([*kept, *inputs]))
    # By position, since a name may have what Spark reads as its own syntax.
    places = [f"c{k}" for k in range(len(frame.columns))]
    at = dict(zip(frame.columns, places, strict=True))
    needed = frame.toDF(*places).select(*(at[name] for name in names))
    answers = StructType([StructField(at[n], fields[n].dataType, fields[n].nullable, fields[n].metadata) for n in kept])
    for k, field in enumerate(added.outputs):
        answers.add(f"o{k}", spark_type(field))
    work = Work(shipped(frame.sparkSession.sparkContext, path, model.digest), model.digest, names, len(kept))
    with quiet():
        scored = needed.mapInArrow(work, answers)
    # Constants are Spark's own: they need not go through Python row by row.
    stamps = {name: functions.lit(value) for name, value in added.stamps.items()}
    return scored.toDF(*kept, *(field.name for field in added.outputs)).withColumns(stamps)


FAMILIES = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), "integer"),
    **dict.fromkeys(("float", "double"), "float"),
    "boolean": "bool",
    "string": "text",
    "void": "null",
}
TYPES = {
    "int8": "ByteType", "int16": "ShortType", "int32": "IntegerType", "int64": "LongType", "float": "FloatType",
    "double": "DoubleType", "bool": "BooleanType", "string": "StringType",
}  # fmt: skip


def kind_of(field: Any) -> Found:
    shown = field.dataType.simpleString()
    return field.name, FAMILIES.get(shown, "other"), shown


def spark_type(field: Any) -> Any:
    """Spark's type of an output. Raises InputError where it has none."""
    from pyspark.sql import types

    vector = getattr(field.type, "value_type", None)
    name = TYPES.get(str(vector or field.type))
    if name is None:
        raise InputError(f"Spark has no type {vector or field.type}", expected="another engine", column=field.name)
    kind = getattr(types, name)()
    return types.ArrayType(kind) if vector is not None else kind


@contextmanager
def quiet() -> Iterator[None]:
    """Without a warning that is not about us: nothing here goes through pandas."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


@dataclass(frozen=True, slots=True)
class Work:
    """What a task does: batches of the columns ``names`` in, the first ``kept`` of them with answers out. ``file`` is
    the bundle's name among the session's files."""

    file: str
    digest: str
    names: tuple[str, ...]
    kept: int

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow
        from pyspark import TaskContext

        task = TaskContext.get()
        place = f"partition {task.partitionId()}" if task is not None else "a partition"
        model, start = held(os.getpid(), self.file, self.digest), 0
        for batch in batches:
            with located(place, start):
                outputs = model.predict(batch.rename_columns(list(self.names)))
            start += batch.num_rows
            arrays = [*batch.columns[: self.kept], *map(arrow_column, outputs.values())]
            places = [*batch.schema.names[: self.kept], *(f"o{k}" for k in range(len(outputs)))]
            yield pyarrow.RecordBatch.from_arrays(arrays, places)


@cache
def held(process: int, file: str, digest: str) -> Model:
    """The model of this worker process, loaded once; a forked one does not take its parent's."""
    from pyspark import SparkFiles

    return load(SparkFiles.get(file), digest=digest, threads=1)


def shipped(context: Any, path: str, digest: str) -> str:
    """Have Spark bring the bundle to every executor once; returns its name there, which no other content has."""
    name = f"{digest.partition(':')[2]}{os.path.splitext(path)[1]}"
    if not any(os.path.basename(file) == name for file in context.listFiles):
        folder = sending_folder()
        copy = os.path.join(folder, name)
        if not os.path.exists(copy):
            shutil.copyfile(path, copy)
        context.addFile(copy)
    return name


@cache
def sending_folder() -> str:
    """Where bundles lie while executors may still ask for them: until this process ends."""
    folder = tempfile.mkdtemp(prefix="edge-runtime-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))


def check_any_case(place: str, names: Sequence[str]) -> None:
    """Spark takes names that differ in case for one."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(
                f"{place}: {other!r} and {name!r} differ in case only", expected="names that Spark tells apart"
            )


def error_of(error: Exception) -> EdgeError | None:
    """The error that a task raised on purpose, out of Spark's long message; None if it is another one."""
    found = re.search(r"^edge_runtime\.errors\.(\w+): (.+)$", str(error), re.MULTILINE)
    if found is None:
        return None
    kind, message = found.groups()
    if kind != "InputError":
        return BundleError(message)
    problem, _, expected = message.partition("; expected ")
    return InputError(problem, expected=expected)
