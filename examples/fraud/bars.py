"""The bars of the ways out, each beside what a tutorial would write, in one run: `make bench`.

Both sides of a line take turns; what is printed is the ratio of their medians. Servers run on one core and are loaded
from another one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import skl2onnx
from load import requests_per_second
from onnx import helper, numpy_helper
from running import edge_serve, free_port, server, spark_session
from transactions import make_bundle, payments

from edge_runtime.benchmarks.environment import cpu_model

TUTORIAL = Path(__file__).parent / "tutorial"
ROWS = 3_000_000
SPARK_ROWS = 1_000_000
ROUNDS = 5
BODY = b'{"amount":8500.0,"merchant_id":443,"hour_of_day":3,"distance_from_home":120.5}'
CORES = sorted(os.sched_getaffinity(0))
COLUMNS = ["amount", "merchant_id", "hour_of_day", "distance_from_home"]


def main() -> None:
    print(f"{cpu_model()}, {len(CORES)} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}\n")
    print(f"{'ours | what a tutorial would write':<66} {'ours':>13} {'theirs':>13} {'ratio':>7}  bar")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
        bundle, graph = folder / "fraud.edge", folder / "fraud.onnx"
        model, rows = make_bundle(bundle)
        options = {"zipmap": False}
        usual = skl2onnx.to_onnx(
            model, rows[:1].to_numpy(np.float32), options=options, target_opset={"": 18, "ai.onnx.ml": 3}
        )
        graph.write_bytes(usual.SerializeToString())
        starting(bundle)
        serving(bundle, graph)
        batch(bundle, graph, folder)
        spark(bundle, usual, folder)


def line(what: str, ours: str, theirs: str, ratio: float, bar: float, *, least: bool = False) -> None:
    kept = ratio >= bar if least else ratio <= bar
    sign = "≥" if least else "≤"
    print(f"{what:<66} {ours:>13} {theirs:>13} {ratio:>6.2f}×  {sign} {bar} {'kept' if kept else 'MISSED'}", flush=True)


# A server: from start to ready, and requests a second


def starting(bundle: Path) -> None:
    taken = []
    for _ in range(7):
        port = free_port()
        with server(edge_serve(bundle, port), f"http://127.0.0.1:{port}/readyz", {}) as seconds:
            taken.append(seconds)
    took = float(np.median(taken))
    line("edge serve, from start to ready, in seconds", f"{took:.2f} s", "", took, 2.0)


def serving(bundle: Path, graph: Path) -> None:
    ours, theirs = free_port(), free_port()
    tutorial = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port", str(theirs)]
    tutorial += ["--app-dir", str(TUTORIAL), "app:app"]
    targets = {"ours": (ours, "/predict"), "def": (theirs, "/predict"), "async": (theirs, "/predict_async")}
    taken: dict[str, list[float]] = {name: [] for name in targets}
    with ExitStack() as stack:
        stack.enter_context(server(edge_serve(bundle, ours), f"http://127.0.0.1:{ours}/readyz", {}))
        environment = {"EDGE_EXAMPLE_ONNX": str(graph)}
        stack.enter_context(server(tutorial, f"http://127.0.0.1:{theirs}/openapi.json", environment))
        os.sched_setaffinity(0, CORES[-1:])
        for i in range(ROUNDS + 1):
            for name, (port, path) in targets.items():
                rate = requests_per_second(port, path, BODY)
                if i:  # the first round warms up
                    taken[name].append(rate)
        os.sched_setaffinity(0, CORES)
    rates = {name: float(np.median(values)) for name, values in taken.items()}
    for name, bar in (("def", 2.0), ("async", 1.2)):
        what = f"/predict, 16 connections | FastAPI + pydantic, {name}"
        line(what, f"{rates['ours']:,.0f}/s", f"{rates[name]:,.0f}/s", rates["ours"] / rates[name], bar, least=True)


# Batch: whole processes, from start to exit


def batch(bundle: Path, graph: Path, folder: Path) -> None:
    source, target = folder / "in.parquet", folder / "out.parquet"
    payments(ROWS, seed=1)[0].to_parquet(source)
    commands = {
        "ours": [sys.executable, "-m", "edge_runtime", "batch", str(bundle), str(source), str(target)],
        "tutorial": [sys.executable, str(TUTORIAL / "batch.py"), str(graph), str(source), str(target)],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, list[float]] = {name: [] for name in commands}
    for i in range(ROUNDS + 1):
        for name, command in commands.items():
            target.unlink(missing_ok=True)
            began = time.perf_counter()
            peak = run_and_watch(command)
            if i:
                taken[name].append(time.perf_counter() - began)
                peaks[name].append(peak)
    seconds = {name: float(np.median(values)) for name, values in taken.items()}
    peak_mb = {name: float(np.median(values)) for name, values in peaks.items()}
    what = f"edge batch, {ROWS:,} rows, Parquet → Parquet | pandas script"
    line(what, f"{seconds['ours']:.2f} s", f"{seconds['tutorial']:.2f} s", seconds["ours"] / seconds["tutorial"], 0.9)
    what = "    its peak memory"
    line(what, f"{peak_mb['ours']:.0f} MB", f"{peak_mb['tutorial']:.0f} MB", peak_mb["ours"] / peak_mb["tutorial"], 0.5)


def run_and_watch(command: list[str]) -> float:
    """Peak memory in MB (the kernel's own high-water mark). Raises CalledProcessError if it fails."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peak = 0.0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                continue
            peak = max(peak, *(int(x.split()[1]) / 1024 for x in status.splitlines() if x.startswith("VmHWM")), 0.0)
            time.sleep(0.01)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak


# Spark: one session, both jobs in turn


def spark(bundle: Path, usual: onnx.ModelProto, folder: Path) -> None:
    import mlflow
    from pyspark.sql import functions

    from edge_runtime.batch.spark import score

    source = folder / "spark"
    source.mkdir()
    rows = payments(SPARK_ROWS, seed=2)[0]
    for part, start in enumerate(range(0, SPARK_ROWS, SPARK_ROWS // 4)):
        rows[start : start + SPARK_ROWS // 4].to_parquet(source / f"{part}.parquet")
    flavor = folder / "flavor"
    mlflow.onnx.save_model(score_only(usual), str(flavor))
    with spark_session() as session:
        frame = session.read.parquet(str(source))
        udf = mlflow.pyfunc.spark_udf(session, str(flavor), result_type="float", env_manager="local")

        def by_udf() -> Any:
            scored = frame.withColumn("fraud_score", udf(*COLUMNS))
            return scored.withColumns(
                {
                    "is_fraud": scored.fraud_score > 0.5,
                    "model_version": functions.lit("1"),
                    "score_timestamp": functions.current_timestamp(),
                }
            )

        taken = written_by_turns({"ours": lambda: score(frame, str(bundle)), "mlflow": by_udf}, folder / "scored")
    assert len(pd.read_parquet(folder / "scored")) == SPARK_ROWS
    ours, theirs = float(np.median(taken["ours"])), float(np.median(taken["mlflow"]))
    what = f"Spark local[2], {SPARK_ROWS:,} rows | MLflow's spark_udf, ONNX flavor"
    line(what, f"{ours:.2f} s", f"{theirs:.2f} s", ours / theirs, 0.8)


def written_by_turns(jobs: dict[str, Callable[[], Any]], target: Path) -> dict[str, list[float]]:
    """The seconds that each job's frame took to be written, round by round."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for i in range(ROUNDS + 2):
        for name, job in jobs.items():
            shutil.rmtree(target, ignore_errors=True)
            began = time.perf_counter()
            job().write.parquet(str(target))
            if i > 1:  # workers start, and the JVM compiles
                taken[name].append(time.perf_counter() - began)
    return taken


def score_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the one output that a `spark_udf` can give: the score."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "second"))
    made.graph.node.append(helper.make_node("Gather", ["probabilities", "second"], ["fraud_score"], axis=1))
    del made.graph.output[:]
    made.graph.output.append(helper.make_tensor_value_info("fraud_score", onnx.TensorProto.FLOAT, [None]))
    return made


if __name__ == "__main__":
    main()
