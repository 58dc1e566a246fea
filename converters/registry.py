"""Models in MLflow: the trained model behind a models:/ or runs:/ URI or in the folder of an MLflow model.

What is registered with it is used: the signature names and types the columns, the input example stands in for data that
nobody gave, and what the registry says of the model goes into the provenance.

Belongs here: which flavor is read how, what needs trust, what signature and example say. Not here: finding the model
(edge_runtime.mlflow.registry), what is in its files (sources/).
Imported as edge_runtime.converters.registry.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from edge_runtime.errors import InputError, UnsupportedModelError, extra
from edge_runtime.mlflow import FLAVOR_NAME
from edge_runtime.mlflow.registry import Found, describe, download, is_registered, locate
from edge_runtime.tables import listing

from .data import Data, read_given
from .files import TRUST, making_objects, read_model
from .samples import Tensors

__all__ = ["Registered", "is_registered", "opened"]

READ = ("lightgbm", "xgboost", "catboost", "sklearn", "onnx")


@dataclass(frozen=True, slots=True)
class Registered:
    """A trained model as it was registered. ``columns`` maps the names in its signature to mlflow's types, empty where
    they have none; ``example`` is its input example, or None."""

    model: Any
    uri: str
    name: str
    version: str
    provenance: dict[str, str]
    columns: dict[str, str]
    example: Any

    def given(self, data: Any, target: Any, groups: Any) -> tuple[Data | None, Tensors | None]:
        """What to convert by: ``data``, or the input example where it is None, as `read_given` reads it; of a frame the
        signature's columns. An example that may be a table is one, since mlflow keeps every array by its input's name.

        Raises InputError where there is neither.
        """
        if data is None and self.example is None:
            raise InputError(
                f"{self.uri} was registered without an input example",
                expected="data=…, or --data with a file of rows",
            )
        rows, tensors = read_given(self.example) if data is None else read_given(data, target, groups)
        if rows is None:
            return None, tensors
        rows = rows.named(list(self.columns))
        if not rows.positional and self.columns and set(self.columns) <= set(rows.frame.columns):
            rows = replace(rows, frame=self.typed(rows.frame[list(self.columns)]))
        return rows, None if data is None else tensors

    def only_the_example(self, rows: int) -> str:
        """The statement of a certificate that no other rows stand behind."""
        many = "rows" if rows != 1 else "row"
        return f"compared on the {rows:,} {many} of the registered model's input example, and on no other data"

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Whole numbers as floats where the signature says that a column has fractions: a file of rows may not show
        it."""
        whole = [
            name
            for name, kind in self.columns.items()
            if kind in ("float", "double") and pd.api.types.is_integer_dtype(frame[name].dtype)
        ]
        return frame.astype(dict.fromkeys(whole, np.float64))


@contextmanager
def opened(source: str, *, trust: bool) -> Iterator[Registered]:
    """The model that ``source`` stands for. Its files, and modules of its own, are there until the end of the block.

    Raises InputError where there is none, UnsupportedModelError for a flavor that is not read, or that runs code when
    it is opened and ``trust`` is false.
    """
    found = locate(source)
    with tempfile.TemporaryDirectory() as temporary:
        folder = source if found.files == source else download(found.files, temporary)
        described = describe(folder, found.uri)
        with reading(folder, found.uri, described.flavors, trust=trust) as model:
            yield Registered(
                model, found.uri, found.name, found.version, origin_of(found, described), columns_of(described),
                example_of(described, folder, found.uri),
            )  # fmt: skip


@contextmanager
def reading(folder: str, uri: str, flavors: dict[str, Any], *, trust: bool) -> Iterator[Any]:
    flavor = next((name for name in READ if name in flavors), None)
    if flavor is None:
        raise not_read(uri, flavors)
    told = flavors[flavor]
    path = inside(folder, uri, told.get("pickled_model" if flavor == "sklearn" else "data"))
    if is_native(flavor, told):
        with naming(path, uri):
            model = import_module(f".sources.{flavor}", __package__).open(path)
        yield model
        return
    code = told.get("code")
    if code and not trust:
        raise UnsupportedModelError(f"{uri} brings modules of its own, and opening it runs them", advice=TRUST)
    places = [inside(folder, uri, code)] if code else []
    sys.path[:0] = places
    try:
        with naming(path, uri):
            model = (read_skops if told.get("serialization_format") == "skops" else read_model)(path, trust=trust)
        yield model
    finally:
        for place in places:
            sys.path.remove(place)


def is_native(flavor: str, told: dict[str, Any]) -> bool:
    """Whether the model lies there in its library's own format, which is no code."""
    if flavor == "lightgbm":
        return str(told.get("model_class", "lightgbm.basic.Booster")) == "lightgbm.basic.Booster"
    return flavor in ("xgboost", "catboost", "onnx")


def read_skops(path: str, *, trust: bool) -> Any:
    """The model in a skops file: of types that skops itself trusts or, with ``trust``, of any. The list of types in the
    MLmodel file is not asked: who wrote the one wrote the other."""
    with extra("mlflow", used_by="edge_runtime.converters.convert"):
        from skops import io
    with making_objects(path):
        types = io.get_untrusted_types(file=path)
        if not types or trust:
            return io.load(path, trusted=types)
    raise UnsupportedModelError(
        f"{path} holds {listing(sorted(types))}, which skops does not trust, since making one runs its code or native"
        " code that believes what it is told",
        advice=TRUST,
    )


def not_read(uri: str, flavors: dict[str, Any]) -> UnsupportedModelError:
    if FLAVOR_NAME in flavors:
        return UnsupportedModelError(
            f"{uri} is a bundle already",
            advice="edge_runtime.mlflow.load_model opens it, and so do edge serve and edge batch",
        )
    there = listing(sorted(flavors)) or "none"
    return UnsupportedModelError(f"the flavors of {uri} are {there}", advice=f"those that are read: {', '.join(READ)}")


def inside(folder: str, uri: str, name: Any) -> str:
    """The path of a file in the model's folder. Raises InputError for one that is not there, or anywhere else."""
    root = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(root, str(name)))
    if os.path.commonpath((root, path)) != root or not os.path.exists(path):
        raise InputError(f"{uri} has no file {str(name)!r}", expected="the files that its MLmodel file names")
    return path


@contextmanager
def naming(path: str, uri: str) -> Iterator[None]:
    """Let errors name what the caller asked for, and not where it was downloaded to."""
    try:
        yield
    except UnsupportedModelError as error:
        raise UnsupportedModelError(error.what.replace(path, uri), advice=error.advice) from error


# What is registered with it


def origin_of(found: Found, described: Any) -> dict[str, str]:
    """Provenance: what the registry says of the model, and what the model says of its run; of a folder its name."""
    told = {
        "source.file": os.path.basename(os.path.abspath(found.uri)) if found.files == found.uri else "",
        "mlflow.name": found.name,
        "mlflow.version": found.version,
        "mlflow.run_id": found.run_id or described.run_id or "",
        "mlflow.model_id": found.model_id or described.model_id or "",
        "mlflow.aliases": ", ".join(found.aliases),
        **{f"mlflow.tag.{key}": value for key, value in found.tags},
    }
    return {key: value for key, value in told.items() if value}


def columns_of(described: Any) -> dict[str, str]:
    inputs = described.signature.inputs if described.signature is not None else None
    if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
        return {}
    return {column.name: getattr(column.type, "name", "") for column in inputs.inputs}


def example_of(described: Any, folder: str, uri: str) -> Any:
    """The input example: a frame, an array, or what it was in JSON; None if there is none.

    Raises InputError for one that cannot be read."""
    if described.saved_input_example_info is None:
        return None
    try:
        return described.load_input_example(folder)
    except Exception as error:  # a file of anybody's: JSON, its types and mlflow's own checks have errors of their own
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{uri}: its input example cannot be read ({reason})", expected="data=…, or --data with a file of rows"
        ) from error
