"""`POST /predict`: one record, or a list of them.

Belongs here: from a body to the model and back. Not here: reading JSON (strict_json.py), the head of a request
(endpoint.py).
Imported as edge_runtime.server.predict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.model import Model

from .endpoint import Answer, Request
from .problems import Problem, misfit, refusing, unanswerable
from .settings import Settings
from .strict_json import encode, no_records, read_document, read_records, too_many_rows

__all__ = ["predictor", "records_of", "refuse"]


def refuse(problem: Problem) -> bytes:
    """The body of an error, everywhere but on MLflow's route."""
    return encode({"error": problem.sentence})


def predictor(model: Model, settings: Settings) -> Callable[[Request], Answer]:
    """The function from a request to its answer.

    A record is answered flat, with the version; a list with version and digest. A tensor model's record is
    {input: nested list without the row axis}.
    """
    schema, version, digest = model.schema, model.version, model.digest
    limit = settings.max_nesting
    predict_one, table = model.predict_one, bool(schema.columns)
    read = read_records if table else read_samples

    def answer(request: Request) -> Answer:
        found: Any = read(request.body, limit)
        if type(found) is dict:
            try:
                outputs = predict_one(found)
            except InputError as error:
                raise misfit(error, schema, lambda name, _: found[name]) from None
            except UnsupportedModelError as error:
                raise unanswerable(error) from None
            outputs["model_version"] = version
            return Answer(encode(outputs), 1)
        if len(found) > settings.max_rows:
            raise too_many_rows(len(found), settings.max_rows)
        predictions = predict_records(model, found) if table else [predict_sample(model, each) for each in found]
        body = {"predictions": predictions, "model_version": version, "model_digest": digest}
        return Answer(encode(body), len(found))

    return answer


def predict_records(model: Model, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers to ``records``, one dict each. Raises Problem for the first that does not fit."""
    with refusing(model.schema, lambda name, row: records[row or 0][name]):
        return records_of(model.predict(records))


def predict_sample(model: Model, sample: dict[str, Any]) -> dict[str, Any]:
    with refusing(model.schema, lambda name, _: sample[name]):
        return model.predict_one(sample)


def records_of(outputs: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Arrays of N rows by name as N dicts."""
    names, columns = list(outputs), [np.asarray(array).tolist() for array in outputs.values()]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def read_samples(body: bytes, max_nesting: int) -> Any:
    """One object or a list of objects, whatever is in them. Raises Problem."""
    found = read_document(body, max_nesting)
    if not isinstance(found, dict) and not (isinstance(found, list) and all(isinstance(each, dict) for each in found)):
        raise no_records(found)
    return found
