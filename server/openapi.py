"""The OpenAPI document: the model's own columns, outputs, and one of its golden rows as the example.

Belongs here: schemas made of a bundle's schema. Not here: what is accepted (edge_runtime.values); the document says the
same in other words.
Imported as edge_runtime.server.openapi.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from edge_runtime.model import Model
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, TensorSpec
from edge_runtime.values import Coder, coders

from .settings import Settings
from .strict_json import encode
from .wire import DATATYPES

__all__ = ["answers_with", "components", "examples", "infer_schema", "invocation_schema", "json_body", "reference"]

Spec = dict[str, Any]

FEW = 32  # categories that are still worth listing
LARGEST_EXAMPLE = 256  # values
FORMATS = {"float64": "double", "float32": "float", "int64": "int64", "int32": "int32"}
WORDS = {
    400: "The body is no JSON, is ambiguous, or is not of this protocol.",
    404: "There is no model of that name or version.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or holds too many rows.",
    415: "The body has another Content-Type, charset or encoding.",
    422: "The body does not fit the model: the sentence says where, and what is expected.",
    429: "Too many requests at once.",
    500: "A fault of the server.",
    503: "The server is shutting down.",
}


def reference(name: str) -> Spec:
    return {"$ref": f"#/components/schemas/{name}"}


def answers_with(
    *statuses: int, text: bool = False, good: Spec | None = None, bad: str = "Problem"
) -> dict[int | str, Spec]:
    """The responses of a route: ``good`` with 200, and ``bad``, by its name, with every other of ``statuses``."""
    if text:
        return {200: {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    made: dict[int | str, Spec] = {}
    for status in statuses:
        schema = reference(bad) if status != 200 else good or {"type": "object"}
        described = WORDS.get(status, "The answer.")
        made[status] = {"description": described, "content": {"application/json": {"schema": schema}}}
    return made


def components(model: Model, settings: Settings) -> dict[str, Spec]:
    """The named schemas: Record, Outputs, Answer, Answers, Problem."""
    outputs = {spec.name: output_schema(spec, model) for spec in model.schema.outputs}
    version, digest = {"type": "string", "const": model.version}, {"type": "string", "const": model.digest}
    several = {"type": "array", "items": reference("Outputs")}
    return {
        "Record": record_schema(model),
        "Row": row_schema(model),
        "Records": {"type": "array", "items": reference("Record"), "description": f"Up to {settings.max_rows:,} rows."},
        "Outputs": closed_object(outputs),
        "Answer": closed_object({**outputs, "model_version": version}),
        "Answers": closed_object({"predictions": several, "model_version": version, "model_digest": digest}),
        "Problem": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
        "InvocationProblem": closed_object({"error_code": {"type": "string"}, "message": {"type": "string"}}),
    }


def closed_object(properties: Spec) -> Spec:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def record_schema(model: Model) -> Spec:
    if not model.schema.columns:
        return closed_object({spec.name: tensor_schema(spec) for spec in model.schema.inputs})
    return closed_object({coder.column.name: column_schema(coder) for coder in coders(model.schema)})


def row_schema(model: Model) -> Spec:
    """A record of a frame, which may hold more than the model takes."""
    return {name: value for name, value in record_schema(model).items() if name != "additionalProperties"}


def column_schema(coder: Coder) -> Spec:
    """What ``coder`` accepts."""
    column = coder.column
    made: Spec = {"type": type_of(column.dtype)}
    if column.dtype in FORMATS:
        made["format"] = FORMATS[column.dtype]
    if type_of(column.dtype) in ("integer", "number"):
        made |= bounds_of(coder, column)
    if column.categories is not None:
        if not column.open:
            made["enum"] = list(column.categories)
        elif len(column.categories) <= FEW:
            seen = encode(list(column.categories)).decode()
            made["description"] = f"Seen in training: {seen}. Other values are answered as the trained model does."
    if coder.nullable:
        made["type"] = [made["type"], "null"]
        if "enum" in made:
            made["enum"].append(None)
    return made


def type_of(dtype: str) -> str:
    if dtype in INTEGER_RANGE:
        return "integer"
    return {"str": "string", "bool": "boolean"}.get(dtype, "number")


def bounds_of(coder: Any, column: ColumnSpec) -> Spec:
    low, high = coder.low, coder.high
    if column.dtype == "float32" or coder.dtype == np.float32:
        largest = float(np.finfo(np.float32).max)
        low, high = max(low, -largest), min(high, largest)
    return {name: bound for name, bound in (("minimum", low), ("maximum", high)) if math.isfinite(bound)}


def tensor_schema(spec: TensorSpec) -> Spec:
    """One row of a tensor: nested lists over the axes behind the rows'."""
    return nested({"type": type_of(spec.dtype)}, spec.shape[1:])


def output_schema(spec: TensorSpec, model: Model) -> Spec:
    """One row of an output. A float that is NaN or infinite is null in JSON."""
    kind = type_of(spec.dtype)
    item: Spec = {"type": [kind, "null"] if kind == "number" else kind}
    ending = model.manifest.ending if model.manifest is not None else None
    if spec.name == "label" and ending is not None and ending.classes is not None and len(ending.classes) <= FEW:
        item = {"type": kind, "enum": list(ending.classes)}
    return nested(item, spec.shape[1:])


def nested(item: Spec, shape: Iterable[int | None]) -> Spec:
    for size in reversed(tuple(shape)):
        item = {"type": "array", "items": item}
        if size is not None:
            item |= {"minItems": size, "maxItems": size}
    return item


def examples(model: Model) -> Spec:
    """OpenAPI's named examples of a body for /predict, from the golden rows; none where there are no small ones."""
    samples = model.golden_rows()[:2]
    if not samples:
        return {}
    records: list[Any] = [sample.inputs for sample in samples]
    if not model.schema.columns:
        if any(np.ndim(a) == 0 or np.size(a) > LARGEST_EXAMPLE for record in records for a in record.values()):
            return {}
        records = [{name: array[0].tolist() for name, array in record.items()} for record in records]
    plain = msgspec.json.decode(encode(records))  # NaN as null
    return {
        "one record": {"summary": "One record", "value": plain[0]},
        "a list": {"summary": "A list of records", "value": plain},
    }


def infer_schema(model: Model) -> Spec:
    """The protocol's request for one row; more rows are longer data of a larger shape."""
    if model.schema.columns:
        tensors = [
            tensor_of(coder.column.name, coder.column.dtype, [1], listed([column_schema(coder)]))
            for coder in coders(model.schema)
        ]
    else:
        tensors = [tensor_of(spec.name, spec.dtype, None, {"type": "array"}) for spec in model.schema.inputs]
    wanted = {"type": "object", "properties": {"name": {"enum": [spec.name for spec in model.schema.outputs]}}}
    properties = {
        "id": {"type": "string"},
        "inputs": listed(tensors),
        "outputs": {"type": "array", "items": wanted | {"required": ["name"]}},
    }
    return {"type": "object", "properties": properties, "required": ["inputs"]}


def tensor_of(name: str, dtype: str, shape: list[int] | None, data: Spec) -> Spec:
    sizes: Spec = {"type": "array", "items": {"type": "integer"}} if shape is None else {"const": shape}
    properties = {"name": {"const": name}, "shape": sizes, "datatype": {"const": DATATYPES[dtype]}, "data": data}
    return {"type": "object", "properties": properties, "required": list(properties)}


def invocation_schema(model: Model) -> Spec:
    """MLflow's four forms of JSON."""
    rows: Spec = {"type": "array", "items": reference("Row")}
    if not model.schema.columns:
        return {"oneOf": [closed_object({"instances": rows})]}
    laws = coders(model.schema)
    names = {"const": [coder.column.name for coder in laws]}
    split = {"columns": names, "data": {"type": "array", "items": listed(list(map(column_schema, laws)))}}
    frame = {"type": "object", "properties": split, "required": list(split)}
    forms = {"dataframe_split": frame, "dataframe_records": rows, "instances": rows, "inputs": rows}
    return {"oneOf": [closed_object({form: schema}) for form, schema in forms.items()]}


def listed(items: list[Spec]) -> Spec:
    """A list of exactly these, in this order."""
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items), "maxItems": len(items)}


def json_body(schema: Spec, examples: Spec | None = None) -> Spec:
    """A required body of JSON."""
    content = {"schema": schema} | ({"examples": examples} if examples else {})
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
