"""Bundles in MLflow: a flavor as mlflow's own are, publishing to the registry, and the way back from it.

    from edge_runtime.mlflow import load_model, log_model
    log_model("fraud.edge", "fraud", registered_model_name="Fraud")
    model = load_model("models:/Fraud@champion")

The artifact is the bundle itself, so nothing in it is pickled; as a `python_function` it answers to mlflow's own
`pyfunc.load_model`, `models serve`, `models.predict` and `spark_udf`.
Imported by spokes and commands only, never by the core; needs the extra `mlflow`, which no import here loads.

Belongs here: the public names, and what mlflow looks for by name. Not here: models of other flavors (converters).
Imported as edge_runtime.mlflow.
"""

from __future__ import annotations

from .files import FLAVOR, bundle_path
from .flavor import _load_pyfunc as _load_pyfunc
from .flavor import get_default_pip_requirements, load_model, log_model, save_model
from .publishing import Published, publish

__all__ = [
    "FLAVOR_NAME",
    "Published",
    "bundle_path",
    "get_default_pip_requirements",
    "load_model",
    "log_model",
    "publish",
    "save_model",
]

FLAVOR_NAME = FLAVOR
