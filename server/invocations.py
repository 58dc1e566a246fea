"""`POST /invocations`: MLflow's scoring protocol.

Belongs here: its four forms of JSON, and CSV, as what the model takes. Not here: what a value may be
(edge_runtime.values).
Imported as edge_runtime.server.invocations.

A frame may have columns that the model does not take (ids, the target), as with `mlflow models serve`: they are passed
over. What the model takes must all be there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_runtime.model import Model
from edge_runtime.rows import field_values
from edge_runtime.schema import Schema
from edge_runtime.values import shorten

from .endpoint import Answer, Request
from .predict import predict_records, predict_sample, records_of
from .problems import Problem, in_columns, kind_of, refusing
from .settings import Settings
from .strict_json import encode, read_document, too_many_rows

__all__ = ["CSV", "invoker", "refuse"]

CSV = b"text/csv"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
CODES = {429: "REQUEST_LIMIT_EXCEEDED", 500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE"}
Columns = dict[str, list[Any]]
Records = list[dict[str, Any]]


def refuse(problem: Problem) -> bytes:
    """The body of an error, as MLflow's clients read it."""
    return encode({"error_code": CODES.get(problem.status, "BAD_REQUEST"), "message": problem.sentence})


def invoker(model: Model, settings: Settings) -> Callable[[Request], Answer]:
    """The function from a request to its answer: predictions as a list of records."""
    read = read_table if model.schema.columns else read_tensors

    def answer(request: Request) -> Answer:
        try:
            predictions, rows = read(model, request, settings)
        except Problem as problem:  # MLflow's clients know 400 for data that do not fit
            problem.status = 400 if problem.status == 422 else problem.status
            raise
        about = {"model_version": model.version, "model_digest": model.digest}
        return Answer(encode({"predictions": predictions, **about}), rows)

    return answer


def read_table(model: Model, request: Request, settings: Settings) -> tuple[Records, int]:
    """A table model's answers, and how many rows they are. Raises Problem."""
    if request.media_type == CSV:
        given: Columns | Records = read_csv(request.body, model.schema)
    else:
        form, held = one_form(read_document(request.body, settings.max_nesting))
        given = READERS[form](held, model.schema)
    rows = len(given) if isinstance(given, list) else max(map(len, given.values()), default=0)
    if rows > settings.max_rows:
        raise too_many_rows(rows, settings.max_rows)
    if isinstance(given, list):
        return predict_records(model, given), rows
    if any(len(values) != rows for values in given.values()):
        raise Problem(400, "the columns are of different lengths")
    for column in model.schema.columns:
        if column.name not in given:  # of no columns at all the model would make a record
            raise Problem(422, f"the column {shorten(column.name)} is missing")
    with refusing(model.schema, in_columns(given)):
        return records_of(model.predict(given)), rows


def one_form(found: Any) -> tuple[str, Any]:
    """Which of the four forms it is, and what it holds. Raises Problem."""
    if not isinstance(found, dict):
        raise Problem(400, f"got {kind_of(found)}; expected an object with one of {', '.join(FORMS)}")
    forms = [name for name in FORMS if name in found]
    if len(forms) != 1:
        raise Problem(400, f"got {len(forms)} forms of data; expected exactly one of {', '.join(FORMS)}")
    for name in found:
        if name not in (*FORMS, "params"):
            raise Problem(400, f"the key {shorten(name)} is unknown; expected one of {', '.join(FORMS)}, and params")
    if found.get("params"):
        raise Problem(400, "the model takes no params")
    return forms[0], found[forms[0]]


# A table, in each form


def from_split(held: Any, schema: Schema) -> Columns:
    frame = held if isinstance(held, dict) else {}
    names, data = frame.get("columns", 0), frame.get("data", 0)
    if not is_list_of(names, str) or not is_list_of(data, list):
        raise Problem(400, "dataframe_split must hold columns, a list of names, and data, a list of rows")
    if len(set(names)) != len(names):
        raise Problem(400, "dataframe_split has two columns of one name")
    return by_column(data, names)


def from_records(held: Any, schema: Schema) -> Records:
    if not is_list_of(held, dict):
        raise Problem(400, "dataframe_records must be a list of objects")
    names = [column.name for column in schema.columns]
    return [{name: record[name] for name in names if name in record} for record in held]


def from_instances(held: Any, schema: Schema) -> Columns | Records:
    if is_list_of(held, dict):
        return from_records(held, schema)
    names = [column.name for column in schema.columns]
    if isinstance(held, list) and len(names) == 1 and not any(isinstance(each, list) for each in held):
        return {names[0]: held}
    if not is_list_of(held, list):
        raise Problem(400, "instances or inputs must be a list of objects, or of lists with one value per column")
    return by_column(held, names)


def from_inputs(held: Any, schema: Schema) -> Columns | Records:
    if not isinstance(held, dict):
        return from_instances(held, schema)
    if not all(isinstance(values, list) for values in held.values()):
        raise Problem(400, "inputs must hold a list of values for each column")
    names = {column.name for column in schema.columns}
    return {name: values for name, values in held.items() if name in names}


READERS: dict[str, Callable[[Any, Schema], Columns | Records]] = {
    "dataframe_split": from_split,
    "dataframe_records": from_records,
    "instances": from_instances,
    "inputs": from_inputs,
}


def is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def by_column(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> Columns:
    """Rows by position as columns by name. Raises Problem for a row of another length."""
    for place, row in enumerate(rows):
        if len(row) != len(names):
            raise Problem(400, f"row {place} has {len(row)} values; expected {len(names)}, one per column")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def read_csv(body: bytes, schema: Schema) -> Columns:
    """The model's columns by name. Raises Problem."""
    try:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError:
        raise Problem(400, "the body is not CSV: it is not UTF-8") from None
    except csv.Error:
        raise Problem(400, "the body is not CSV: a quote is open or out of place, or a field is too long") from None
    names = rows[0] if rows else []
    if not names or len(set(names)) != len(names):
        raise Problem(400, "the body must begin with a line of distinct column names")
    # An empty line is an empty field where there is one column, and nothing elsewhere.
    texts = by_column([row or [""] for row in rows[1:] if row or len(names) == 1], names)
    made: Columns = {}
    for column in schema.columns:
        fields = texts.get(column.name)
        if fields is not None:
            made[column.name] = field_values(fields, column)
    return made


# Tensors


def read_tensors(model: Model, request: Request, settings: Settings) -> tuple[Any, int]:
    """A tensor model's answers: instances one by one, without the row axis; inputs with it, as arrays by name."""
    if request.media_type == CSV:
        raise Problem(400, "this model takes tensors; send instances or inputs as JSON")
    form, held = one_form(read_document(request.body, settings.max_nesting))
    if form not in ("instances", "inputs"):
        raise Problem(400, "this model takes tensors; expected instances or inputs")
    if form == "instances" and not isinstance(held, list):
        raise Problem(400, "instances must be a list")
    tensors = {} if form == "instances" else named(held, model)
    lengths = [len(held)] if form == "instances" else [len(value) for value in tensors.values() if type(value) is list]
    rows = max(lengths, default=1)
    if rows > settings.max_rows:
        raise too_many_rows(rows, settings.max_rows)
    if form == "instances":
        return [predict_sample(model, named(each, model)) for each in held], rows
    with refusing(model.schema, lambda name, _: tensors[name]):
        outputs = model.run(tensors)
    return {name: np.asarray(array).tolist() for name, array in outputs.items()}, rows


def named(held: Any, model: Model) -> dict[str, Any]:
    """A tensor by itself gets the name of the only input. Raises Problem where there are several."""
    if isinstance(held, dict):
        return held
    if len(model.schema.inputs) != 1:
        raise Problem(400, "this model takes several tensors; expected an object with one of each")
    return {model.schema.inputs[0].name: held}
