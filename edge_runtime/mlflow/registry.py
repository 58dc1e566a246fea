"""Finding a model where MLflow keeps it: what a URI stands for, exactly, and its files.

A URI is resolved once, to a version or a logged model that never changes; from then on only that is asked for.

Belongs here: resolving, and getting files. Not here: how mlflow is asked, and what its errors mean (asking.py), what
lies there: bundles (files.py), models of other flavors (converters).
Imported as edge_runtime.mlflow.registry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import InputError
from edge_runtime.tables import closest, listing
from edge_runtime.values import shorten

from .asking import QUIET, SERVER, SHOWN, ask, asking, harmless, library, quietly, translated

__all__ = ["MLMODEL", "Found", "describe", "download", "is_registered", "locate"]

MLMODEL = "MLmodel"
LOGGED = re.compile(r"m-[0-9a-f]{32}")
LISTED = 10
DIGITS = 18  # of a version


@dataclass(frozen=True, slots=True)
class Found:
    """What a URI stood for when it was asked. ``uri`` names the same thing for ever; ``files`` is where it lies, a
    folder or an artifact URI. ``name`` and ``version`` are the registry's, empty for a model that is not in it."""

    uri: str
    files: str
    name: str = ""
    version: str = ""
    run_id: str = ""
    model_id: str = ""
    aliases: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


def is_registered(source: str) -> bool:
    """Whether ``source`` is a models:/ or runs:/ URI, or the folder of an MLflow model."""
    return source.startswith(("models:/", "runs:/")) or os.path.isfile(os.path.join(source, MLMODEL))


# Finding


def locate(source: str) -> Found:
    """What ``source`` stands for now: models:/name/version, models:/name@alias, models:/name/stage,
    models:/name/latest, models:/m-<id>, runs:/<run>/<name>, or a local folder.

    Raises InputError, saying what there is instead, where there is no such model, version, alias or run, and where no
    server answers.
    """
    if not source.startswith(("models:/", "runs:/")):
        return Found(source, source)
    with asking() as client:
        if source.startswith("runs:/"):
            return in_run(client, source)
        body = source.removeprefix("models:/").strip("/")
        if LOGGED.fullmatch(body):
            return logged(client, body)
        return version_of(client, source, *name_in(source))


def name_in(uri: str) -> tuple[str, str, str]:
    """The name in a models:/ URI, and what follows it after "/" or "@", one of them empty. Raises InputError."""
    body = uri.removeprefix("models:/")
    name, _, suffix = body.partition("/")
    alias = ""
    if not suffix and "@" in name:
        name, _, alias = name.rpartition("@")
    if not uri.startswith("models:/") or not name.strip() or "/" in suffix or body.endswith(("/", "@")):
        raise InputError(f"{uri} names no model", expected="models:/<name>/<version> or models:/<name>@<alias>")
    return name, suffix, alias


def version_of(client: Any, uri: str, name: str, suffix: str, alias: str) -> Found:
    model = registered_model(client, name)
    if alias:
        number = model.aliases.get(alias)
        if number is None:
            raise InputError(
                f"{name} has no alias {alias!r}{near(alias, model.aliases)}", expected=known(client, model)
            )
    elif suffix.isdecimal():
        number = suffix
    elif suffix:
        number = newest(client, uri, model, suffix)
    else:
        raise InputError(f"{uri} names no version", expected=known(client, model))
    number = str(number)
    beyond = len(number) > DIGITS  # where the database's integers end
    version = None if beyond else ask(client.get_model_version, name, number)
    if version is None:
        raise InputError(
            f"{name} has no version {shorten(number) if beyond else number}", expected=known(client, model)
        )
    return Found(
        f"models:/{name}/{version.version}",
        client.get_model_version_download_uri(name, version.version),
        name,
        str(version.version),
        version.run_id or "",
        version.model_id or "",
        tuple(sorted(kind for kind, at in model.aliases.items() if str(at) == str(version.version))),
        told(version.tags),
    )


def registered_model(client: Any, name: str) -> Any:
    model = ask(client.get_registered_model, name)
    if model is None:
        names = [model.name for model in client.search_registered_models(max_results=1000)]
        there = f"one of {listing(names)}" if names else "a model that was registered: there is none"
        raise InputError(f"there is no registered model {name!r}{near(name, names)}", expected=there)
    if not model.name:  # JSON in which mlflow's client finds nothing
        mlflow = library("edge_runtime.mlflow")
        raise InputError(f"no MLflow server answers at {harmless(mlflow.get_registry_uri())}", expected=SERVER)
    return model


def newest(client: Any, uri: str, model: Any, stage: str) -> str:
    """The newest version of a stage, or of all for "latest"."""
    versions = versions_of(client, model.name)
    if stage.lower() != "latest":
        versions = [version for version in versions if (version.current_stage or "").lower() == stage.lower()]
        if not versions:
            hint = "; stages are deprecated in MLflow, aliases are in their place"
            raise InputError(f"{model.name} has no version in the stage {stage!r}{hint}", expected=known(client, model))
        import warnings

        warnings.warn(
            f"{uri}: stages are deprecated in MLflow; give the version an alias and write models:/{model.name}@<alias>",
            FutureWarning,
            stacklevel=2,
        )
    if not versions:
        raise InputError(f"{model.name} has no version", expected=known(client, model))
    return str(max(int(version.version) for version in versions))


def versions_of(client: Any, name: str) -> list[Any]:
    quote = '"' if "'" in name else "'"
    return list(client.search_model_versions(f"name={quote}{name}{quote}", max_results=10000))


def known(client: Any, model: Any) -> str:
    """The versions, of many the newest, and aliases that a registered model has, in words."""
    numbers = sorted(int(version.version) for version in versions_of(client, model.name))
    if not numbers:
        return f"a version of {model.name}: it has none"
    first = "…, " if len(numbers) > LISTED else ""
    versions = f"version {first}{', '.join(map(str, numbers[-LISTED:]))}"
    aliases = ", ".join(f"@{alias} (version {number})" for alias, number in sorted(model.aliases.items())[:LISTED])
    return f"{versions}, or alias {aliases}" if aliases else f"{versions}; it has no aliases"


def logged(client: Any, model_id: str) -> Found:
    """The logged model of this id. Raises InputError if there is none."""
    model = ask(client.get_logged_model, model_id)
    if model is None:
        raise InputError(f"there is no logged model {model_id}", expected="an id that log_model gave")
    return Found(
        f"models:/{model_id}",
        model.artifact_location,
        run_id=model.source_run_id or "",
        model_id=model_id,
        tags=told(model.tags),
    )


def in_run(client: Any, uri: str) -> Found:
    """The model that a run logged under a name."""
    run_id, _, path = uri.removeprefix("runs:/").strip("/").partition("/")
    if not run_id or not path:
        raise InputError(f"{uri} names no model of a run", expected="runs:/<run id>/<name of the model>")
    run = ask(client.get_run, run_id)
    if run is None:
        raise InputError(f"there is no run {run_id!r}", expected="the id of a run in this store")
    models = [client.get_logged_model(output.model_id) for output in (run.outputs.model_outputs if run.outputs else ())]
    for model in reversed(models):  # the last one logged under a name is the one that is meant
        if model.name == path:
            return logged(client, model.model_id)
    if any(os.path.basename(file.path) == MLMODEL for file in client.list_artifacts(run_id, path)):  # before MLflow 3
        return Found(uri, uri, run_id=run_id, tags=told(run.data.tags))
    names = sorted({model.name for model in models} | {file.path for file in client.list_artifacts(run_id)})
    there = f"one of {listing(names)}" if names else "a run that logged one: this one did not"
    raise InputError(f"run {run_id} logged no model {path!r}{near(path, names)}", expected=there)


def told(tags: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The tags that somebody set; those of mlflow itself begin with its name."""
    return tuple(sorted((key, str(value)) for key, value in tags.items() if not key.startswith("mlflow.")))


def near(name: str, names: Iterable[str]) -> str:
    best = closest(name, names)
    return f"; did you mean {best}?" if best else ""


# Files


def download(location: str, folder: str) -> str:
    """The file or the folder at an artifact URI or a local path, put into ``folder``; returns its path there.

    Raises InputError where it is not to be had.
    """
    mlflow = library("edge_runtime.mlflow.download")
    with quietly(QUIET), translated(f"{location} cannot be downloaded"):
        try:
            return str(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=folder))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"{location} cannot be downloaded ({reason})", expected="artifacts that this machine can reach"
            ) from error


def describe(folder: str, uri: str) -> Any:
    """The MLmodel file in a folder, as mlflow reads it. Raises InputError where it cannot be read."""
    mlflow = library("edge_runtime.mlflow.describe")
    try:
        return mlflow.models.Model.load(os.path.join(folder, MLMODEL))
    except Exception as error:  # a file of anybody's: YAML, its types and mlflow's own checks have errors of their own
        reason = str(error).partition("\n")[0][:SHOWN]
        raise InputError(f"{uri}: its {MLMODEL} file cannot be read ({reason})", expected="an MLflow model") from error
