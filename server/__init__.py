"""A bundle behind HTTP: `create_app`.

Needs the extra `server`. What goes over the wire is described in docs/serving.md.
Belongs here: the public names. Not here: routes (app.py), the process (process.py).
Imported as edge_runtime.server.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edge_runtime.errors import extra

from .settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from edge_runtime.model import Model

__all__ = ["create_app"]


def create_app(
    model: Model | str | os.PathLike[str],
    *,
    max_body_bytes: int = Settings.max_body_bytes,
    max_rows: int = Settings.max_rows,
    max_nesting: int = Settings.max_nesting,
    max_requests: int = Settings.max_requests,
    body_seconds: float = Settings.body_seconds,
) -> FastAPI:
    """The application that serves ``model``: a `Model`, a path, or a URI such as `models:/Fraud@champion`.

    The model is loaded once, here, and has answered all its golden rows when this returns. A request may have a body of
    ``max_body_bytes``, hold ``max_rows`` rows, be nested ``max_nesting`` deep, and take ``body_seconds`` to arrive;
    beyond ``max_requests`` at once, a request is answered 429.

    Raises IntegrityError where the golden rows are not answered as recorded, what `edge_runtime.load` raises for a file
    that cannot be loaded, InputError for a setting that is not positive, UnsupportedModelError for a model with an
    output named as what every answer carries, and MissingExtraError.
    """
    settings = Settings(max_body_bytes, max_rows, max_nesting, max_requests, body_seconds)
    with extra("server", used_by="edge_runtime.server.create_app"):
        from .app import application
        from .opening import open_model
    return application(open_model(model), settings)
