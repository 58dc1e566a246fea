"""From what the user names to a model that has proven itself on this machine.

Belongs here: loading, verifying, refusing what cannot be served. Not here: what is served (app.py).
Imported as edge_runtime.server.opening.
"""

from __future__ import annotations

import os

from edge_runtime.errors import IntegrityError, UnsupportedModelError
from edge_runtime.mlflow import bundle_path
from edge_runtime.model import Model, load

__all__ = ["open_model"]

RESERVED = ("model_version", "model_digest")  # the keys that answers carry beside the model's own outputs


def open_model(source: Model | str | os.PathLike[str]) -> Model:
    """A `Model`, that of a path, or that of an MLflow URI; every golden row was answered as recorded, so it is warm.

    Raises as `create_app` says.
    """
    model = source if isinstance(source, Model) else load(bundle_path(source))
    taken = [spec.name for spec in model.schema.outputs if spec.name in RESERVED]
    if taken:
        raise UnsupportedModelError(
            f"{model.name} has an output named {taken[0]!r}",
            advice="convert it with another name: answers carry their own",
        )
    report = model.verify()
    if not report.ok:
        raise IntegrityError(f"{model.name}: golden rows are not answered as recorded: {report.problems[0]}")
    return model
