"""The bars of the runtime, side by side in one run: `make bench`.

Each line is a ratio from interleaved rounds against what a user would write instead; nothing is compared with a figure
from another run. The peers are the tutorial's own code on what skl2onnx makes of the same model.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
import skl2onnx
import sklearn
from flights import arrived, train
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.ensemble import HistGradientBoostingClassifier

import edge_runtime as er
from edge_runtime.benchmarks.environment import cpu_model
from edge_runtime.converters import convert
from edge_runtime.timing import Estimate, interleave, median_ratio, rotate

ROUNDS = 120
PROCESSES = 40
ROWS = 4096  # rotated: one row repeated flatters branch prediction
OPSET = {"": 18, "ai.onnx.ml": 3}
Call = Callable[[], object]


@dataclass(frozen=True)
class Line:
    what: str
    ours: float
    peer: float
    unit: str
    ratio: Estimate | None
    bar: str
    kept: bool


def fraud() -> tuple[Any, pd.DataFrame]:
    """The tutorial's model: 125,000 transactions of four columns, gradient boosting of 100 trees."""
    rng = np.random.default_rng(0)
    n = 125_000
    rows = pd.DataFrame(
        {
            "amount": rng.lognormal(4, 1.5, n),
            "merchant_id": rng.integers(0, 1000, n),
            "hour_of_day": rng.integers(0, 24, n),
            "distance_from_home": rng.exponential(30, n),
        }
    )
    odds = (rows.amount > 2000) * 1.5 + (rows.hour_of_day < 5) * 1.0 + (rows.distance_from_home > 80) * 1.2 - 3.5
    label = (rng.random(n) < 1 / (1 + np.exp(-(odds + rng.normal(0, 0.5, n))))).astype(int)
    return HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(rows[:50_000], label[:50_000]), rows


def session(model: bytes, threads: int = 1) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compared(what: str, ours: Call, peer: Call, bar: float, *, calls: int = 500, rounds: int = ROUNDS) -> Line:
    """Time per call of both, in microseconds, and their ratio."""
    taken = interleave({"ours": ours, "peer": peer}, rounds=rounds, calls=calls)
    ratio = median_ratio(taken["ours"], taken["peer"])
    per_call = {name: float(np.median(block)) / calls / 1e3 for name, block in taken.items()}
    return Line(what, per_call["ours"], per_call["peer"], "µs", ratio, f"≤ {bar:.2f}×", ratio.value <= bar)


def one_row(model: er.Model, tutorial: ort.InferenceSession, rows: pd.DataFrame) -> list[Line]:
    feed, score = tutorial.get_inputs()[0].name, tutorial.get_outputs()[1].name
    names = list(rows.columns)
    records = rows[:ROWS].to_dict("records")

    def by_hand(record: dict[str, Any]) -> dict[str, Any]:
        row = np.array([[record[name] for name in names]], np.float32)
        p = float(tutorial.run([score], {feed: row})[0][0][1])
        return {"fraud_score": p, "is_fraud": p > 0.5}

    call = model.bind()
    x = call.inputs["x"]
    ready = [np.ascontiguousarray(row[None]) for row in rows[:ROWS].to_numpy(np.float64)]

    def bound(row: np.ndarray[Any, Any]) -> object:
        x[:] = row
        return call()

    by_record = rotate(model.predict_one, records), rotate(by_hand, records)
    by_array = rotate(bound, ready), rotate(lambda row: model.session.run(None, {"x": row}), ready)
    return [
        compared("predict_one(dict), 4 columns | np.array + session.run + dict", *by_record, 0.55),
        compared("bind() call | session.run of the same graph", *by_array, 0.5),
    ]


def flights_row(model: er.Model, pipeline: Any, rows: pd.DataFrame) -> Line:
    numbers = [name for name in rows if pd.api.types.is_numeric_dtype(rows[name])]
    types = [(name, FloatTensorType([None, 1]) if name in numbers else StringTensorType([None, 1])) for name in rows]
    usual = session(
        skl2onnx.to_onnx(
            pipeline, initial_types=types, options={"zipmap": False}, target_opset=OPSET
        ).SerializeToString()
    )
    part = rows[:ROWS]
    records = [
        {name: None if value != value else value for name, value in row.items()} for row in part.to_dict("records")
    ]
    feeds = [
        {name: np.array([[row[name]]], np.float32 if name in numbers else object) for name in rows}
        for row in part.to_dict("records")
    ]
    return compared(
        "predict_one(dict), flights, 3 of 13 text | skl2onnx session.run, inputs ready",
        rotate(model.predict_one, records), rotate(lambda feed: usual.run(None, feed), feeds), 0.5,
    )  # fmt: skip


BARE = """
import sys
import numpy as np
import onnxruntime as ort
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
row = np.array([[8500.0, 443.0, 3.0, 120.5]])
raw = session.run(None, {"x": row})[0]
p = 1.0 / (1.0 + np.exp(-raw[0, 0]))
print({"label": int(p > 0.5), "probabilities": [1.0 - p, p]}, flush=True)
"""
OURS = """
import sys
import edge_runtime as er
model = er.load(sys.argv[1])
print(model.predict_one({"amount": 8500.0, "merchant_id": 443, "hour_of_day": 3, "distance_from_home": 120.5}),
flush=True)
"""
PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def cold_start(bundle: Path, graph: Path) -> list[Line]:
    """A fresh process from its start to the first answer, and its peak memory. The bare script runs the same graph, has
    no checks and no self-test, and is spared onnxruntime's telemetry as ours is."""
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    scripts = {"ours": (OURS, bundle), "peer": (BARE, graph)}
    taken: dict[str, list[float]] = {name: [] for name in scripts}
    peak: dict[str, list[float]] = {name: [] for name in scripts}
    for i in range(PROCESSES + 2):
        for name in list(scripts)[:: 1 if i % 2 else -1]:
            script, path = scripts[name]
            start = time.perf_counter_ns()
            with subprocess.Popen(
                [sys.executable, "-c", script + PEAK, str(path)], env=environment, stdout=subprocess.PIPE
            ) as child:
                assert child.stdout is not None
                answer = child.stdout.readline()
                elapsed = time.perf_counter_ns() - start
                peak_mb = int(child.stdout.readline()) / 1024
                assert b"probabilities" in answer, answer
            if i >= 2:  # the first ones write bytecode and fill the page cache
                taken[name].append(elapsed)
                peak[name].append(peak_mb)
    ratio = median_ratio(np.array(taken["ours"]), np.array(taken["peer"]))
    first = {name: float(np.median(values)) / 1e3 for name, values in taken.items()}
    memory = {name: float(np.median(values)) for name, values in peak.items()}
    more = memory["ours"] - memory["peer"]
    what = "fresh process to first answer | bare onnxruntime script"
    return [
        Line(what, first["ours"], first["peer"], "µs", ratio, "≤ 1.15×", ratio.value <= 1.15),
        Line("its peak memory | the bare script's", memory["ours"], memory["peer"], "MB", None, "≤ +5 MB", more <= 5.0),
    ]


def bulk(bundle: Path, usual: bytes, rows: pd.DataFrame) -> list[Line]:
    frame = pd.concat([rows] * 8, ignore_index=True)
    lines = []
    for cores in sorted({1, len(os.sched_getaffinity(0))}):
        tutorial = session(usual, cores)
        lines.append(
            compared(
                f"predict(frame), {len(frame):,} rows, {cores} core{'s' * (cores > 1)} | to_numpy + session.run",
                partial(er.load(bundle, threads=cores).predict, frame),
                partial(by_frame, tutorial, frame),
                1.0,
                calls=1,
                rounds=15,
            )
        )
    return lines


def by_frame(tutorial: ort.InferenceSession, frame: pd.DataFrame) -> object:
    return tutorial.run(None, {tutorial.get_inputs()[0].name: frame.to_numpy(np.float32)})


def idle(bundle: Path) -> Line:
    """CPU time that a loaded model uses in two seconds of nothing, after it has answered in bulk."""
    model = er.load(bundle)
    model.predict(pd.DataFrame([model.golden_rows()[0].inputs] * 10_000))
    time.sleep(0.2)
    before = time.process_time_ns()
    time.sleep(2.0)
    used = (time.process_time_ns() - before) / 1e6
    return Line("an idle loaded model, CPU time in 2 s", used, 0.0, "ms", None, "< 1 ms", used < 1.0)


def main() -> None:
    rows, late = arrived()
    pipeline = train(rows, late)
    model, transactions = fraud()
    with tempfile.TemporaryDirectory() as folder:
        bundle, flights, graph = (Path(folder) / name for name in ("fraud.edge", "late.edge", "fraud.onnx"))
        convert(model, data=transactions, name="fraud", version="1").save(bundle)
        convert(pipeline, data=rows, name="late", version="1").save(flights)
        graph.write_bytes(er.Bundle.open(bundle).read("graph.onnx"))
        first = transactions[:1].to_numpy(np.float32)
        usual = skl2onnx.to_onnx(model, first, options={"zipmap": False}, target_opset=OPSET).SerializeToString()
        lines = [
            *one_row(er.load(bundle), session(usual), transactions),
            flights_row(er.load(flights), pipeline, rows),
            *cold_start(bundle, graph),
            *bulk(bundle, usual, transactions),
            idle(bundle),
        ]
    machine = f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    versions = ", ".join(
        f"{module.__name__} {module.__version__}" for module in (np, ort, sklearn, skl2onnx)
    )  # fmt: skip
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    if "--json" in sys.argv:
        print(json.dumps({"machine": machine, "versions": versions, "date": when, "lines": [asdict(x) for x in lines]}))
        return
    print(f"{machine}\n{versions}\n{when}\n")
    print(f"{'ours | what a user would write':<72} {'ours':>11} {'theirs':>11}  {'ratio, 99% interval':<21} bar")
    for line in lines:
        ours, theirs = (amount(value, line.unit) for value in (line.ours, line.peer))
        ratio = line.ratio
        interval = (
            f"{ratio.value:.2f}× ({ratio.low:.2f} … {ratio.high:.2f})" if ratio else f"{line.ours - line.peer:+.1f}"
        )
        print(f"{line.what:<72} {ours:>11} {theirs:>11}  {interval:<21} {line.bar} {'kept' if line.kept else 'MISSED'}")


def amount(value: float, unit: str) -> str:
    return f"{value / 1e3:,.0f} ms" if unit == "µs" and value > 1e4 else f"{value:,.2f} {unit}"


if __name__ == "__main__":
    main()
