"""What the examples run beside themselves, started and stopped: servers, and Spark."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["edge_serve", "free_port", "server", "spark_session"]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def server(command: list[str], ready: str, environment: dict[str, str]) -> Iterator[float]:
    """The running server, pinned to the first core; gives the seconds from its start until ``ready`` answers 200."""
    cores = sorted(os.sched_getaffinity(0))
    began = time.perf_counter()
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores[:1]),
    ) as process:  # fmt: skip
        try:
            while not answers(ready):
                if process.poll() is not None or time.perf_counter() - began > 60.0:
                    raise SystemExit(f"{command} did not start")
                time.sleep(0.005)
            yield time.perf_counter() - began
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def edge_serve(model: object, port: int) -> list[str]:
    return [sys.executable, "-m", "edge_runtime", "serve", str(model), "--port", str(port)]


@contextmanager
def spark_session() -> Iterator[Any]:
    """Spark on two cores of this machine."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else its workers are the first python3 of PATH
    session: Any = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR").getOrCreate()
    )  # fmt: skip
    try:
        yield session
    finally:
        session.stop()
