"""`edge serve`.

Belongs here: parsing with click. Not here: the application (app.py), the process (process.py). Only click is imported
at the top.
Imported as edge_runtime.server.cli.
"""

from __future__ import annotations

import click

from .settings import Settings

__all__ = ["serve"]

EXAMPLES = """\b
Examples:
  edge serve fraud.edge
  edge serve models:/Fraud@champion --host 0.0.0.0 --port 80
"""


@click.command(epilog=EXAMPLES, short_help="Answer over HTTP.")
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--max-body-bytes", default=Settings.max_body_bytes, show_default=True, help="Per request.")
@click.option("--max-rows", default=Settings.max_rows, show_default=True, help="Per request.")
@click.option("--max-nesting", default=Settings.max_nesting, show_default=True, help="Levels of JSON.")
@click.option("--max-requests", default=Settings.max_requests, show_default=True, help="At once; beyond: 429.")
@click.option("--body-seconds", default=Settings.body_seconds, show_default=True, help="For a body to arrive.")
@click.option(
    "--grace-seconds", default=5.0, show_default=True, type=click.FloatRange(0),
    help="After SIGTERM: not ready, but still answering.",
)  # fmt: skip
@click.option(
    "--drain-seconds", default=20.0, show_default=True, type=click.FloatRange(0),
    help="After that: for requests in progress to end.",
)  # fmt: skip
def serve(
    model: str,
    host: str,
    port: int,
    max_body_bytes: int,
    max_rows: int,
    max_nesting: int,
    max_requests: int,
    body_seconds: float,
    grace_seconds: float,
    drain_seconds: float,
) -> None:
    """Serve MODEL over HTTP: a bundle, an .onnx file, or models:/NAME@ALIAS in MLflow.

    It listens once every golden row of the bundle was answered as recorded. SIGTERM fails readiness, waits, stops
    listening and answers what has come; then the exit status is 0.
    """
    from edge_runtime.errors import extra

    from . import create_app

    app = create_app(
        model, max_body_bytes=max_body_bytes, max_rows=max_rows, max_nesting=max_nesting, max_requests=max_requests,
        body_seconds=body_seconds,
    )  # fmt: skip
    with extra("server", used_by="edge serve"):
        from .listener import listen
        from .process import run
    run(app, listen(host, port), grace_seconds=grace_seconds, drain_seconds=drain_seconds)
