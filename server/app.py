"""The application: one model, its routes, and one form for all errors.

Belongs here: which path leads where. Not here: what is behind a path (predict.py, inference.py, invocations.py,
probes.py).
Imported as edge_runtime.server.app.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from edge_runtime import parallel
from edge_runtime.model import Model
from edge_runtime.values import shorten

from . import inference, invocations, predict
from .endpoint import JSON, Direct, Endpoint
from .metrics import Metrics
from .openapi import (
    answers_with,
    components,
    examples,
    infer_schema,
    invocation_schema,
    json_body,
    reference,
)
from .probes import model_paths, probes
from .problems import Problem
from .settings import Settings
from .state import State

__all__ = ["application"]

DESCRIPTION = "Answers of one verified model, the same as on a device and in batch. Bundle `{digest}`."
PREDICT, INVOCATIONS, MODELS = "/predict", "/invocations", "/v2/models/"
REFUSALS = (400, 408, 413, 415, 422, 429)


def application(model: Model, settings: Settings) -> FastAPI:
    """The FastAPI application over ``model``, which is ready to answer; the process steers its `state.server`."""
    state = State(small=is_small(model))
    metrics = Metrics(model, state)
    pool = ThreadPoolExecutor(parallel.usable_cores(), thread_name_prefix="edge-serve")

    def endpoint(answer: Any, route: str, refuse: Any = predict.refuse, **more: Any) -> Endpoint:
        return Endpoint(answer, refuse, state, settings, metrics.of_route(route), pool, **more)

    to_predict = endpoint(predict.predictor(model, settings), PREDICT)
    to_invoke = endpoint(
        invocations.invoker(model, settings), INVOCATIONS, invocations.refuse, media_types=(JSON, invocations.CSV)
    )
    to_infer = endpoint(inference.inferrer(model, settings), "/v2/models/{model}/infer", untyped=JSON)

    app = FastAPIOffline(
        title=model.name or "edge-runtime",
        version=model.version or "0",
        description=DESCRIPTION.format(digest=model.digest),
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.server = state
    document_routes(app, model, to_predict, to_invoke, to_infer)
    app.include_router(probes(model, state, metrics))
    add_schemas(app, model, settings)
    answer_errors(app, model)
    direct = {PREDICT: to_predict, INVOCATIONS: to_invoke}
    app.add_middleware(Direct, paths=direct, refuse=predict.refuse, state=state)
    return app


def is_small(model: Model) -> bool:
    """Whether one call takes microseconds, as the manifest says; a plain `.onnx` file says nothing."""
    variants = model.manifest.variants if model.manifest is not None else ()
    return any(variant.small for variant in variants if variant.name == model.variant)


def document_routes(app: FastAPI, model: Model, to_predict: Endpoint, to_invoke: Endpoint, to_infer: Endpoint) -> None:
    """Add the routes to the model, each with what the OpenAPI document says of it."""
    record = {"oneOf": [reference("Record"), reference("Records")]}
    answers = {"oneOf": [reference("Answer"), reference("Answers")]}
    app.post(
        PREDICT, summary="Predict one record, or a list", tags=["predict"], response_class=Response,
        responses=answers_with(200, *REFUSALS, good=answers), openapi_extra=json_body(record, examples(model)),
    )(handler(to_predict, "predict"))  # fmt: skip
    app.post(
        INVOCATIONS, summary="MLflow's scoring protocol; text/csv is taken as well", tags=["mlflow"],
        response_class=Response, responses=answers_with(200, *REFUSALS, bad="InvocationProblem"),
        openapi_extra=json_body(invocation_schema(model)),
    )(handler(to_invoke, "invocations"))  # fmt: skip
    infer = json_body(infer_schema(model))
    for path, parameters in model_paths(model):
        app.post(
            f"{path}/infer", summary="Infer", tags=["inference protocol v2"], response_class=Response,
            responses=answers_with(200, 404, *REFUSALS),
            openapi_extra={"parameters": parameters, **infer},
        )(handler(to_infer, "infer"))  # fmt: skip


def handler(endpoint: Endpoint, name: str) -> Callable[[Request], Any]:
    """``endpoint`` as FastAPI calls a route; ``name`` becomes part of the operation's id."""

    async def handle(request: Request) -> Response:
        answer = await endpoint.respond(request.scope, request.receive)
        response = Response(answer.body, answer.status, media_type="application/json")
        response.raw_headers += answer.headers
        return response

    handle.__name__ = name
    return handle


def add_schemas(app: FastAPI, model: Model, settings: Settings) -> None:
    """Let the document hold the model's own schemas, which the routes refer to."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:  # FastAPI keeps it there, and so what is added to it
            generated().setdefault("components", {}).setdefault("schemas", {}).update(components(model, settings))
        return generated()

    app.openapi = openapi  # type: ignore[method-assign]


def answer_errors(app: FastAPI, model: Model) -> None:
    """Every error as JSON, wherever it comes from."""

    def respond(path: str, problem: Problem, headers: Any = None) -> Response:
        refuse = invocations.refuse if path.endswith(INVOCATIONS) else predict.refuse
        return Response(refuse(problem), problem.status, headers, media_type="application/json")

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return respond(request.scope["path"], error)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, sentence = request.scope["path"], "there is nothing at this path; /docs lists what there is"
        if path.startswith(MODELS) and path.removeprefix(MODELS).partition("/")[0] != model.name:
            sentence = f"there is no such model; this server has {shorten(model.name)}"
        if error.status_code == 405:
            sentence = f"this path does not take {request.method if request.method.isalpha() else 'that method'}"
        elif error.status_code != 404:
            sentence = error.detail
        return respond(path, Problem(error.status_code, sentence), error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        return respond(request.scope["path"], Problem(500, "the server failed on this request; its log says why"))

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(HTTPException, unrouted)
    app.add_exception_handler(Exception, failed)
