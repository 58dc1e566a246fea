"""The bundle behind a URI: downloaded once, kept under its digest, checked each time.

Belongs here: the cache, and that the bytes are those that were published. Not here: what a URI stands for
(registry.py).
Imported as edge_runtime.mlflow.files.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import NamedTuple

from edge_runtime.bundle import Bundle, replace_file
from edge_runtime.choice import cache_folder
from edge_runtime.errors import BundleError, InputError, IntegrityError, UnsupportedModelError
from edge_runtime.model import Model
from edge_runtime.tables import listing

from .registry import MLMODEL, Found, describe, download, is_registered, locate

__all__ = ["FLAVOR", "bundle_path", "contents", "tags_of"]

FLAVOR = "edge_runtime"
DIGEST = "edge_runtime.digest"
IDENTITY = re.compile(r"sha256:[0-9a-f]{64}")


class Contents(NamedTuple):
    """The bundle in the folder of an MLflow model: the file's name, and the digest that it must have."""

    file: str
    digest: str


def bundle_path(source: str | os.PathLike[str]) -> str:
    """The path of the bundle that ``source`` stands for. A path is returned as it is; a models:/ or runs:/ URI is
    resolved once, and its bundle downloaded into the cache, where it lies under its digest.

    The cache is the folder EDGE_CACHE, or edge-runtime in the user's cache folder; anything in it may be deleted.
    Raises InputError where there is no such model or no cache, UnsupportedModelError where it is no bundle,
    IntegrityError if the bytes are not those that were published, or not those in the cache.
    """
    source = os.fspath(source)
    if not is_registered(source):
        return source
    found = locate(source)
    if found.files == source:
        held = contents(source)
        return checked(
            os.path.join(source, held.file), held.digest, f"{source}: the bundle is not that of its {MLMODEL}"
        )
    with tempfile.TemporaryDirectory() as folder:
        held = contents(os.path.dirname(download(f"{found.files}/{MLMODEL}", folder)), found)
        cached = os.path.join(cache_folder(), f"{held.digest.removeprefix('sha256:')}.edge")
        if os.path.exists(cached):
            return checked(cached, held.digest, f"{found.uri}: its copy in the cache was changed; delete that file")
        fetched = download(f"{found.files}/{held.file}", folder)
        checked(fetched, held.digest, f"{found.uri}: the artifact is not the bundle that was published")
        with open(fetched, "rb") as file:
            keep(cached, file.read())
    return cached


def keep(path: str, raw: bytes) -> None:
    """Write a file into the cache. Raises InputError where there can be none."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
        replace_file(path, raw)
    except OSError as error:
        raise InputError(
            f"the cache folder {folder} cannot be written ({(error.strerror or str(error)).lower()})",
            expected="EDGE_CACHE with a folder that can be",
        ) from error


def contents(folder: str, found: Found | None = None) -> Contents:
    """What the MLmodel file in ``folder`` says of its bundle; ``found`` is where it came from.

    Raises UnsupportedModelError for a model of another flavor, IntegrityError where the registry recorded another
    digest, InputError for a file that names none.
    """
    uri = found.uri if found else folder
    flavors = describe(folder, uri).flavors
    if FLAVOR not in flavors:
        raise UnsupportedModelError(
            f"{uri} is no bundle, its flavors are {listing(sorted(flavors))}",
            advice=f"make one of it: edge convert {uri} -o model.edge",
        )
    held = Contents(str(flavors[FLAVOR].get("data")), str(flavors[FLAVOR].get("digest")))
    plain = held.file == os.path.basename(held.file) and held.file.endswith(".edge")
    if not plain or not IDENTITY.fullmatch(held.digest):
        raise InputError(f"{uri}: its {MLMODEL} file names no bundle", expected=f"data and digest under {FLAVOR}")
    recorded = dict(found.tags).get(DIGEST, held.digest) if found else held.digest
    if recorded != held.digest:
        raise IntegrityError(f"{uri} was published as {recorded}, and what lies there now is {held.digest}")
    return held


def tags_of(model: Model) -> dict[str, str]:
    """The tags by which a bundle is known again in the registry."""
    tags = {DIGEST: model.digest, "edge_runtime.name": model.name, "edge_runtime.version": model.version}
    run = model.manifest.provenance.get("mlflow.run_id") if model.manifest else None
    return {**tags, **({"edge_runtime.source_run": run} if run else {})}


def checked(path: str, digest: str, problem: str) -> str:
    try:
        return Bundle.open(path, digest=digest).path
    except BundleError as error:
        raise IntegrityError(f"{problem} ({error})") from error
