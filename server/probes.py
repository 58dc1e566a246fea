"""Routes that ask about the server and the model: live, ready, metrics, metadata.

Belongs here: their answers. Not here: routes to the model itself (endpoint.py), how they are documented (openapi.py).
Imported as edge_runtime.server.probes.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from edge_runtime.model import Model
from edge_runtime.version import VERSION

from .inference import check_name
from .metrics import Metrics
from .openapi import answers_with
from .state import State
from .strict_json import encode
from .wire import described_inputs, described_outputs

__all__ = ["model_paths", "probes"]

DRAINING = "this server is shutting down"
PLATFORM = "onnx_onnxv1"
LIVE, READY = ("/livez", "/health", "/ping"), ("/readyz", "/ready")


def json(body: dict[str, Any], status: int = 200) -> Response:
    """``body`` with Content-Type exactly application/json."""
    return Response(encode(body), status, media_type="application/json")


def probes(model: Model, state: State, metrics: Metrics) -> APIRouter:
    """The GET routes."""
    router = APIRouter(default_response_class=Response)
    about = {"model_name": model.name, "model_version": model.version, "model_digest": model.digest}
    versions = [model.version] if model.version else []

    def readiness(yes: dict[str, Any], no: dict[str, Any]) -> Response:
        return json({"error": DRAINING, **no}, 503) if state.draining else json(yes)

    async def live() -> Response:
        return json({"live": True, **about})

    async def ready() -> Response:
        return readiness({"ready": True, **about}, {"ready": False, **about})

    for path in LIVE:
        router.get(path, tags=["probes"], summary="Whether the process answers", responses=answers_with(200))(live)
        router.head(path, tags=["probes"], summary="The same without the body")(live)  # which the server leaves out
    for path in READY:
        router.get(
            path, tags=["probes"], summary="Whether the model is verified, warm, and not about to go",
            responses=answers_with(200, 503),
        )(ready)  # fmt: skip
        router.head(
            path, tags=["probes"], summary="The same without the body", responses={503: {"description": "Not ready"}}
        )(ready)

    @router.get("/version", tags=["probes"], summary="The version of edge-runtime", responses=answers_with(text=True))
    async def version() -> Response:
        return Response(VERSION, media_type="text/plain")

    @router.get("/metrics", tags=["probes"], summary="Figures for Prometheus", responses=answers_with(text=True))
    def figures(request: Request) -> Response:
        encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(metrics.registry), headers={"content-type": content_type})

    @router.get("/v2", tags=["inference protocol v2"], summary="The server", responses=answers_with(200))
    async def server() -> Response:
        return json({"name": "edge-runtime", "version": VERSION, "extensions": []})

    @router.get("/v2/health/live", tags=["inference protocol v2"], summary="Live", responses=answers_with(200))
    async def health_live() -> Response:
        return json({"live": True})

    @router.get("/v2/health/ready", tags=["inference protocol v2"], summary="Ready", responses=answers_with(200, 503))
    async def health_ready() -> Response:
        # The standard's text says `live`; KServe's client reads `ready`.
        return readiness({"ready": True, "live": True}, {"ready": False, "live": True})

    async def metadata(request: Request) -> Response:
        check_name(model, request.path_params)
        inputs, outputs = described_inputs(model.schema), described_outputs(model.schema)
        named = {"name": model.name, "versions": versions, "platform": PLATFORM}
        return json({**named, "inputs": inputs, "outputs": outputs})

    async def model_ready(request: Request) -> Response:
        check_name(model, request.path_params)
        return readiness({"name": model.name, "ready": True}, {"name": model.name, "ready": False})

    for path, parameters in model_paths(model):
        extra = {"parameters": parameters}
        router.get(
            path, tags=["inference protocol v2"], summary="What the model takes and gives",
            responses=answers_with(200, 404), openapi_extra=extra,
        )(metadata)  # fmt: skip
        router.get(
            f"{path}/ready", tags=["inference protocol v2"], summary="Whether the model is ready",
            responses=answers_with(200, 404, 503), openapi_extra=extra,
        )(model_ready)  # fmt: skip
    return router


def model_paths(model: Model) -> list[tuple[str, list[dict[str, Any]]]]:
    """The two paths of the protocol that name a model, each with its parameters as OpenAPI has them."""

    def parameter(name: str, only: str) -> dict[str, Any]:
        return {"in": "path", "name": name, "required": True, "schema": {"type": "string", "enum": [only]}}

    of_model, of_version = parameter("model", model.name), parameter("version", model.version)
    return [
        ("/v2/models/{model}", [of_model]),
        ("/v2/models/{model}/versions/{version}", [of_model, of_version]),
    ]
