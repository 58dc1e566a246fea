"""The functions that mlflow expects of a flavor, for bundles.

Belongs here: how a bundle lies in the folder of an MLflow model, and how it answers there. Not here: signatures
(signature.py), registering (publishing.py), models of other flavors (converters).
Imported as edge_runtime.mlflow.flavor; the functions are public in edge_runtime.mlflow.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError
from edge_runtime.manifest import FORMAT_VERSION
from edge_runtime.model import Model, load
from edge_runtime.version import VERSION

from .asking import library
from .files import FLAVOR, bundle_path, contents, tags_of
from .registry import MLMODEL
from .signature import example_of, signature_of

__all__ = ["get_default_pip_requirements", "load_model", "log_model", "opened", "save_model"]

MODULE = "edge_runtime.mlflow"
FILE = "model.edge"
Bundles = str | os.PathLike[str] | Bundle


def get_default_pip_requirements() -> list[str]:
    """What a model of this flavor needs beside mlflow, in the versions that are used here."""
    return [f"edge-runtime=={VERSION}", f"numpy=={np.__version__}", f"onnxruntime=={onnxruntime.__version__}"]


def save_model(
    bundle: Bundles,
    path: str | os.PathLike[str],
    *,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: Any = None,
    extra_pip_requirements: Any = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a bundle (its path, or what `Conversion.save` returned) as an MLflow model into the new folder ``path``.

    Signature and input example come of the bundle's schema and golden rows unless they are given; the other arguments
    are those of mlflow's own flavors. Raises BundleError for a file that is none, InputError for a plain graph.
    """
    mlflow = library("edge_runtime.mlflow.save_model")
    from mlflow.models.utils import _save_example
    from mlflow.utils.environment import _process_pip_requirements, _PythonEnv
    from mlflow.utils.file_utils import get_total_file_size
    from mlflow.utils.model_utils import _validate_and_prepare_target_save_path
    from mlflow.utils.yaml_utils import write_yaml

    model = opened(bundle)
    folder = os.path.abspath(os.fspath(path))
    _validate_and_prepare_target_save_path(folder)
    shutil.copyfile(file_of(bundle), os.path.join(folder, FILE))
    made = mlflow.models.Model() if mlflow_model is None else mlflow_model
    made.signature = signature_of(model.schema) if signature is None else signature
    _save_example(made, example_of(model) if input_example is None else input_example, folder)
    if metadata is not None:
        made.metadata = dict(metadata)
    mlflow.pyfunc.add_to_model(
        made, loader_module=MODULE, data=FILE, conda_env="conda.yaml", python_env="python_env.yaml"
    )
    made.add_flavor(FLAVOR, data=FILE, digest=model.digest, edge_runtime_version=VERSION, format_version=FORMAT_VERSION)
    made.model_size_bytes = get_total_file_size(folder)
    made.save(os.path.join(folder, MLMODEL))
    default = get_default_pip_requirements() if pip_requirements is None else None
    conda, requirements, constraints = _process_pip_requirements(default, pip_requirements, extra_pip_requirements)
    write_yaml(folder, "conda.yaml", conda)
    _PythonEnv.current().to_yaml(os.path.join(folder, "python_env.yaml"))
    for name, listed in (("requirements.txt", requirements), ("constraints.txt", constraints)):
        if listed:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write("\n".join(listed))


def log_model(bundle: Bundles, name: str, *, registered_model_name: str | None = None, **more: Any) -> Any:
    """Log a bundle as the model ``name`` of the active run, if there is one, and register it if a name is given.

    ``more`` are the arguments of `save_model` and those of mlflow's own flavors (run_id, tags, …). Returns mlflow's
    ModelInfo. The digest becomes a tag, by which `bundle_path` knows the bundle again.
    """
    mlflow = library("edge_runtime.mlflow.log_model")
    tags = {**(more.pop("tags", None) or {}), **tags_of(opened(bundle))}
    return mlflow.models.Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[MODULE],
        bundle=bundle,
        registered_model_name=registered_model_name,
        tags=tags,
        **more,
    )


def load_model(model_uri: str | os.PathLike[str]) -> Model:
    """The bundle that ``model_uri`` stands for, made ready. Raises what `bundle_path` and `edge_runtime.load` raise."""
    return load(bundle_path(model_uri))


def _load_pyfunc(path: str) -> Answering:
    """What mlflow calls to load the `python_function` flavor; ``path`` is the bundle's file in the model's folder."""
    return Answering(load(path, digest=contents(os.path.dirname(path)).digest))


class Answering:
    """A model as mlflow asks it: frames in, frames out (for tensors, dicts of arrays)."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def get_raw_model(self) -> Model:
        """What `PyFuncModel.get_raw_model` hands on."""
        return self.model

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The answers of `Model.predict`, one column per output; an output of several numbers is a column of lists.

        Raises InputError for a value that does not fit the schema.
        """
        outputs = self.model.predict(data)
        if not self.model.schema.columns:
            return outputs
        import pandas

        columns = {name: array if array.ndim == 1 else array.tolist() for name, array in outputs.items()}
        return pandas.DataFrame(columns, index=getattr(data, "index", None))


def opened(bundle: Bundles) -> Model:
    """The model of a bundle. Raises InputError for a plain graph."""
    model = load(file_of(bundle), digest=bundle.digest if isinstance(bundle, Bundle) else None)
    if model.manifest is None:
        raise InputError(f"{file_of(bundle)} is a plain graph", expected="a bundle, as edge convert writes it")
    return model


def file_of(bundle: Bundles) -> str:
    return bundle.path if isinstance(bundle, Bundle) else os.fspath(bundle)
