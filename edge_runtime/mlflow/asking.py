"""Asking MLflow: its library, a client, and its errors in our words.

Nothing is contacted but what MLFLOW_TRACKING_URI and MLFLOW_REGISTRY_URI name, and mlflow's own telemetry is off.

Belongs here: for how long, how loudly, and what it means if nobody answers. Not here: what is asked for (registry.py,
publishing.py).
Imported as edge_runtime.mlflow.asking.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import unquote

from edge_runtime.errors import InputError, extra
from edge_runtime.words import printable

__all__ = ["QUIET", "SERVER", "SHOWN", "ask", "asking", "harmless", "library", "quietly", "translated"]

SERVER = "MLFLOW_TRACKING_URI with an MLflow server that runs"
STORED_AS = "sqlite:///"
QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where a command's JSON goes
}
# A server that is there answers a look-up at once; mlflow would otherwise ask for six minutes whether one is.
SHORT = {
    **QUIET,
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
LOGGERS = ("mlflow", "alembic")
NOT_MLFLOW = ("404", "405", "501")  # mlflow's own 404 has a code and a message in it
DATABASES = ("sqlalchemy", "alembic", "sqlite3")
SHOWN = 300  # characters of a reason


def library(used_by: str) -> Any:
    """The package mlflow, its telemetry off unless the user's environment says otherwise. Raises MissingExtraError."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with extra("mlflow", used_by=used_by):
        import mlflow
    return mlflow


@contextmanager
def asking(*, writing: bool = False) -> Iterator[Any]:
    """A client of the store that the environment names, that gives up within seconds and complains in our errors."""
    mlflow = library("edge_runtime.mlflow")
    stores = (mlflow.get_registry_uri(), mlflow.get_tracking_uri())
    if not writing:
        for uri in stores:
            there_must_be(uri)
    with quietly(SHORT), translated(f"MLflow at {harmless(mlflow.get_tracking_uri())} refuses"):
        for uri in stores:
            must_open(uri)
        yield mlflow.MlflowClient()


def there_must_be(uri: str) -> None:
    """Raise InputError for an SQLite store that is not there: mlflow would make one, only to find nothing in it."""
    path = file_of(uri)
    if path and not os.path.exists(path):
        where = "" if os.environ.get("MLFLOW_TRACKING_URI") else ", and MLFLOW_TRACKING_URI is not set"
        raise InputError(
            f"there is no MLflow store at {path}{where}", expected="MLFLOW_TRACKING_URI with a server or a store"
        )


def must_open(uri: str) -> None:
    """Raise SQLite's error for a store that it cannot open: mlflow would try it again for minutes."""
    import sqlite3

    path = file_of(uri)
    if path:
        sqlite3.connect(path).close()


def file_of(uri: str) -> str:
    """The path of an SQLite store, empty for any other."""
    path = unquote(uri.removeprefix(STORED_AS).partition("?")[0])
    return path if uri.startswith(STORED_AS) and path != ":memory:" else ""


@contextmanager
def quietly(settings: dict[str, str]) -> Iterator[None]:
    """Run with ``settings`` in the environment, where the user has not set them, and with mlflow's loggers at
    warnings."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    os.environ.update(added)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def translated(problem: str) -> Iterator[None]:
    """mlflow's errors, and those of the databases under it, as InputError: that nobody answers, or the ``problem`` and
    its reason."""
    mlflow = library("edge_runtime.mlflow")
    try:
        yield
    except Exception as error:
        ours = isinstance(error, (mlflow.exceptions.MlflowException, ModuleNotFoundError))  # the latter: a driver
        if not ours and type(error).__module__.partition(".")[0] not in DATABASES:
            raise
        complain(problem, error, harmless(mlflow.get_tracking_uri()))


def complain(problem: str, error: Exception, server: str) -> NoReturn:
    text = " ".join(str(error).split())
    if text.startswith("The filesystem tracking backend"):
        raise InputError(
            f"{server} is a folder of files, which MLflow 3 no longer serves",
            expected="MLFLOW_TRACKING_URI with a server, or a database: `mlflow migrate-filestore` makes one of it",
        ) from error
    if text.startswith("API request to "):
        status = re.search(r"(?:failed with error code|too many) (\d+)", text)
        problem = f"the MLflow server at {server}"
        if "failed with" not in text or (status and status[1] in NOT_MLFLOW):
            problem = f"no MLflow server answers at {server}"
        elif status:
            problem += f" answers with status {status[1]}"
        else:
            problem += " does not answer in time" if "timed out" in text else " cannot be reached"
        raise InputError(problem, expected=SERVER) from error
    if text.startswith("INTERNAL_ERROR: Response: "):  # JSON, but not mlflow's
        raise InputError(f"no MLflow server answers at {server}", expected=SERVER) from error
    reason = printable(harmless(text.partition(" [SQL:")[0]))[:SHOWN].rstrip(".")
    raise InputError(f"{problem} ({reason})", expected="what MLflow accepts") from error


def ask(call: Callable[..., Any], *arguments: str) -> Any:
    """What ``call`` answers, or None where it says that there is no such thing."""
    mlflow = library("edge_runtime.mlflow")
    try:
        return call(*arguments)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None


def harmless(text: str) -> str:
    """``text`` without the users and passwords in its URIs."""
    return re.sub(r"//[^/@\s]*@", "//", text)
