"""`edge publish`: a bundle into the registry, as a new version of a model.

Belongs here: parsing and printing around `edge_runtime.mlflow.publish`. Only click is imported at the top.
Imported as edge_runtime.commands.publish.
"""

from __future__ import annotations

import click

from edge_runtime.words import printable

__all__ = ["publish"]


@click.command(
    epilog="Example: edge publish fraud.edge models:/Fraud --alias champion",
    short_help="Register a bundle in MLflow as a new version of a model.",
)
@click.argument("bundle")
@click.argument("model")
@click.option("--alias", metavar="NAME", help="Point this alias of MODEL at the new version.")
@click.option("--json", is_flag=True, help="Print what was registered as JSON.")
def publish(bundle: str, model: str, alias: str | None, json: bool) -> None:
    """Register BUNDLE as a new version of MODEL, models:/NAME, which is made if it is not there.

    The store is MLFLOW_TRACKING_URI, or mlflow.db in this folder. Before anything is sent, BUNDLE replays its golden
    rows here: the exit status is 1 if one is answered otherwise.
    """
    from edge_runtime.mlflow import publish as run

    made = run(bundle, model, alias=alias)
    if json:
        from dataclasses import asdict
        from json import dumps

        click.echo(dumps(asdict(made)))
        return
    named = f", models:/{made.name}@{made.alias}" if made.alias is not None else ""
    click.echo(printable(f"{bundle}, {made.digest}"))
    click.echo(printable(f"registered as {made.uri}{named}"))
