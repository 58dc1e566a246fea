"""`POST /v2/models/{model}/infer`: the Open Inference Protocol, version 2, in JSON.

Belongs here: its messages, from and to the model. Not here: one tensor (wire.py), the routes about a model (probes.py).
Imported as edge_runtime.server.inference.

A table model takes one tensor per column, of the shape [rows] or [rows, 1]; a tensor model takes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_runtime.model import Model
from edge_runtime.tables import listing
from edge_runtime.values import shorten

from .endpoint import Answer, Request
from .problems import Problem, in_columns, refusing
from .settings import Settings
from .strict_json import encode, read_document, too_many_rows
from .wire import Tensor, array_of, described, values_of

__all__ = ["check_name", "inferrer"]


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str


class InferRequest(msgspec.Struct):
    """The body of a request; what the protocol allows and this server has no use for is passed over."""

    inputs: list[Tensor]
    id: str | msgspec.UnsetType = msgspec.UNSET
    outputs: list[Wanted] = []  # all of them, as in the protocol's gRPC form, which does not tell none from no list


def inferrer(model: Model, settings: Settings) -> Callable[[Request], Answer]:
    """The function from a request to its answer."""
    names = [spec.name for spec in model.schema.outputs]
    answer_tensors = infer_columns if model.schema.columns else infer_tensors

    def answer(request: Request) -> Answer:
        check_name(model, request.path)
        try:
            asked = msgspec.convert(read_document(request.body, settings.max_nesting), InferRequest)
        except msgspec.ValidationError as error:  # it names a place and types, no values
            raise Problem(400, f"the request is not one of the protocol: {error}") from None
        wanted = [output.name for output in asked.outputs] or names
        for name in wanted:
            if name not in names:
                raise Problem(400, f"there is no output {shorten(name)}; expected {listing(names)}")
        rows, outputs = answer_tensors(model, by_name(asked.inputs), settings.max_rows)
        body: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
        if asked.id is not msgspec.UNSET:
            body["id"] = asked.id
        body["parameters"] = {"model_digest": model.digest}
        body["outputs"] = [described(name, outputs[name]) for name in wanted]
        return Answer(encode(body), rows)

    return answer


def check_name(model: Model, path: Mapping[str, str]) -> None:
    """Raise Problem 404 unless the path names this model, and this version of it."""
    if path.get("model", model.name) != model.name:
        raise Problem(404, f"there is no model of that name; this server has {shorten(model.name)}")
    if path.get("version", model.version) != model.version:
        raise Problem(
            404, f"there is no such version of {shorten(model.name)}; this server has {shorten(model.version)}"
        )


def by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in made:
            raise Problem(400, f"the input {shorten(tensor.name)} comes twice")
        made[tensor.name] = tensor
    return made


def infer_columns(model: Model, tensors: Mapping[str, Tensor], limit: int) -> tuple[int, dict[str, NDArray[Any]]]:
    """The answers of a table model. Raises Problem."""
    names = [column.name for column in model.schema.columns]
    for name in tensors:
        if name not in names:  # in a table it would be passed over; here it is a mistake
            raise Problem(422, f"the column {shorten(name)} is unknown; expected {listing(names)}")
    columns, rows = {}, None
    for name, tensor in tensors.items():
        shape = tensor.shape
        if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
            raise Problem(422, f"the column {shorten(name)} has the wrong shape; expected [rows] or [rows, 1]")
        if rows not in (None, shape[0]):
            raise Problem(422, f"the column {shorten(name)} has another number of rows than those before it")
        rows = shape[0]
        if rows > limit:
            raise too_many_rows(rows, limit)
        columns[name] = values_of(tensor)
    with refusing(model.schema, in_columns(columns)):
        return rows or 0, model.predict(columns)


def infer_tensors(model: Model, tensors: Mapping[str, Tensor], limit: int) -> tuple[int, dict[str, NDArray[Any]]]:
    """The answers of a tensor model. Raises Problem."""
    rows = max((tensor.shape[0] for tensor in tensors.values() if tensor.shape), default=1)
    if rows > limit:
        raise too_many_rows(rows, limit)
    arrays = {name: array_of(tensor) for name, tensor in tensors.items()}
    with refusing(model.schema, lambda name, _: arrays[name]):
        return rows, {name: np.asarray(array) for name, array in model.run(arrays).items()}
