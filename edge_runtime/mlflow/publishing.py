"""Publishing a bundle: a new version of a registered model, with what is known of it.

Belongs here: the order of the steps, and the names that a registry may be given. Not here: the flavor (flavor.py).
Imported as edge_runtime.mlflow.publishing; `publish` is public in edge_runtime.mlflow.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.errors import InputError, IntegrityError
from edge_runtime.model import Model

from .asking import QUIET, ask, asking, quietly, translated
from .files import tags_of
from .flavor import log_model, opened

__all__ = ["Published", "publish"]

UNFIT = re.compile(r"[/\\:%@]|\.\.")  # a name becomes part of paths and of URIs
ALIAS = re.compile(r"(?!latest$|v\d+$)[\w-]{1,255}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Published:
    """A new version of a registered model; ``uri`` names it for ever."""

    uri: str
    name: str
    version: str
    alias: str | None
    digest: str
    model_id: str
    run_id: str


def publish(path: str | os.PathLike[str], target: str, *, alias: str | None = None) -> Published:
    """Register the bundle at ``path`` as a new version of ``target``, models:/<name>, and point ``alias`` at it.

    The certificate's figures, and those of the golden rows, replayed here, become metrics of the model and of a run of
    its own; digest, name, version and the run that the source came from become tags. The store is the one that mlflow
    uses: MLFLOW_TRACKING_URI, or an SQLite file in the working folder.
    Raises IntegrityError, before anything is contacted, if the bundle does not answer here as was recorded; InputError
    for a name or an alias that a registry would not take, and where no server answers.
    """
    name, file = name_for(target, alias), os.fspath(path)
    model = opened(file)
    report = model.verify()
    if not report.ok:
        raise IntegrityError(f"{file}: not published, it answers otherwise here ({report.problems[0]})")
    if not report.rows:
        raise InputError(f"{file} has no golden rows to replay", expected="a bundle, as edge convert writes it")
    with asking(writing=True) as client:
        from mlflow.tracking.fluent import _get_experiment_id

        experiment = _get_experiment_id()
        client.get_experiment(experiment)  # whether anybody answers, before anything is written
        known = ask(client.get_registered_model, name) is not None
    with quietly(QUIET), translated("MLflow refuses to register the bundle"):
        run_id = client.create_run(experiment, run_name=f"publish {name}").info.run_id
        status = "FAILED"
        try:
            info = log_model(file, re.sub(r"[.\"']", "_", name), run_id=run_id)
            client.log_batch(run_id, metrics=metrics_of(model, report.largest, info.model_id))
            if not known:
                client.create_registered_model(name)
            version = client.create_model_version(
                name, f"models:/{info.model_id}", run_id, tags=tags_of(model), model_id=info.model_id
            ).version
            if alias is not None:
                client.set_registered_model_alias(name, alias, version)
            status = "FINISHED"
        finally:
            client.set_terminated(run_id, status)
    return Published(f"models:/{name}/{version}", name, str(version), alias, model.digest, info.model_id, run_id)


def name_for(target: str, alias: str | None) -> str:
    """The name in models:/<name>. Raises InputError for one, or an ``alias``, that a registry would not take."""
    name = target.removeprefix("models:/")
    stem, _, number = name.partition("/")
    if stem and number.isdigit():
        raise InputError(f"{target} names a version", expected=f"models:/{stem}: the registry numbers its versions")
    stem, _, kind = name.partition("@")
    if stem and kind:
        raise InputError(f"{target} names an alias", expected=f"models:/{stem}, and --alias {kind}")
    if name == target or not name.strip() or UNFIT.search(name) or not name.isprintable():
        raise InputError(
            f"{target!r} is no name for a registered model", expected="models:/<name>, without / \\ : % @ and .."
        )
    if alias is not None and not ALIAS.fullmatch(alias):
        raise InputError(
            f"{alias!r} is no alias", expected="letters, digits, - and _; latest and v1 have a meaning of their own"
        )
    return name


def metrics_of(model: Model, replayed: Mapping[str, float], model_id: str) -> list[Any]:
    """What the certificate says in figures, and what the golden rows gave here."""
    from mlflow.entities import Metric

    assert model.manifest is not None
    certificate = model.manifest.certificate
    found: dict[str, float] = {"certificate.rows": certificate.rows, "certificate.edge_rows": certificate.edge_rows}
    found |= {f"certificate.largest.{name}": value for name, value in certificate.largest.items()}
    found |= {f"certificate.tolerance.{name}": value for name, value in certificate.tolerance.items()}
    found |= {f"golden.largest.{name}": value for name, value in replayed.items()}
    now = int(time.time() * 1000)
    return [
        Metric(re.sub(r"[^\w. /:-]", "_", name), float(value), now, 0, model_id=model_id)
        for name, value in found.items()
    ]
