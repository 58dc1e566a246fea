"""The Spark session that `edge batch --engine spark` starts and ends.

Belongs here: what a session needs from this machine and how much it prints. Not here: work in it (spark.py,
spark_files.py).
Imported as edge_runtime.batch.spark_session.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from edge_runtime.errors import InputError, extra

from .spark import quiet

__all__ = ["interruptible", "spark_session"]

T = TypeVar("T")
JAVA = "Java 17 or later, on PATH or in JAVA_HOME"


@contextmanager
def spark_session() -> Iterator[Any]:
    """A session with Spark's own settings, or that of `spark-submit`. Raises InputError where no Java starts."""
    with extra("spark", used_by="edge batch --engine spark"), quiet():
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder
    builder = builder.appName("edge batch")
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        check_java()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else its workers are the first python3 of PATH
        if not sys.stderr.isatty():
            builder = builder.config("spark.ui.showConsoleProgress", "false")
    try:
        with quiet():
            session = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise InputError("Spark's Java did not start; what it says stands above", expected=JAVA) from error
    if not submitted:  # a mistake in the data is one line, not a log
        session.sparkContext.setLogLevel("OFF")
    try:
        yield session
    finally:
        session.stop()


def interruptible(session: Any, work: Callable[[], T]) -> T:
    """What ``work`` returns. An exception that a signal raises here ends its jobs, and waits until it has cleared up.

    It works in another thread: whoever is interrupted while it waits for Spark cannot talk to it any more.
    """
    with ThreadPoolExecutor(1, "edge-runtime-spark") as pool:
        running = pool.submit(work)
        try:
            return running.result()
        finally:
            while not running.done():
                session.sparkContext.cancelAllJobs()
                wait([running], timeout=0.2)


def check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else "java"
    if shutil.which(java) is None:
        where = f"JAVA_HOME is {home}, and there is no {java}" if home else "there is no java on PATH"
        raise InputError(f"Spark needs Java, and {where}", expected=JAVA)
