"""One registered model, three ways out, the same answers: `make example`.

A classifier goes into MLflow's registry, comes out as one bundle, is published, and answers by every way there is: on
the device, over REST, in batch, in Spark, through MLflow. The table at the end compares each answer with the trained
model's, and its bits with those of the device.

The data are real: flights from New York in 2013, and whether one arrived more than two hours late (3 of 100, which is
as imbalanced as fraud). No package ships card payments with their columns' meaning, and with text and missing values as
flights have them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from running import edge_serve, free_port, server, spark_session

import edge_runtime as er
from edge_runtime.cli import main as edge
from edge_runtime.converters import Decision, convert

sys.path.append(str(Path(__file__).parents[1] / "flights"))

from flights import NOT_KNOWN_BEFORE, read_flights, train

OUT = Path(os.environ.get("EDGE_EXAMPLE_OUT", Path(__file__).parent / "out"))
STORE, EXPERIMENT = f"sqlite:///{OUT / 'mlflow.db'}", "late"
SINGLE = 2_000
LIST = 5_000
SCORE, DECISION = "late_score", "is_late"
console = Console(highlight=False, width=128 if not sys.stdout.isatty() else None)
Columns = dict[str, np.ndarray[Any, Any]]


@dataclass
class Way:
    """What came by one way: answers for the first rows, or for some of them, and how long it took."""

    name: str
    answers: Columns
    seconds: float
    picked: np.ndarray[Any, Any] | None = None  # which rows; None = all
    single: bool = False


def main() -> None:
    began = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_NAME"] = STORE, EXPERIMENT
    flights = read_flights().dropna(subset=["arr_delay"]).reset_index(drop=True)
    rows, late = flights.drop(columns=NOT_KNOWN_BEFORE), (flights.arr_delay > 120).to_numpy().astype(int)

    console.print(
        f"[bold]1. Train and register[/bold]: {len(rows):,} flights, {late.mean():.1%} of them two hours late"
    )
    model = train(rows, late)
    register(model, rows)

    console.print("[bold]2. Convert[/bold]: from models:/Late@champion to late.edge")
    conversion = convert(
        "models:/Late@champion", data=rows, name="late", version="1", decision=Decision(SCORE, DECISION), trust=True
    )
    bundle = OUT / "late.edge"
    conversion.save(bundle)
    for statement in conversion.report.statements:
        console.print(f"   {statement}")

    console.print("[bold]3. Publish[/bold]: edge publish late.edge models:/LateEdge --alias champion")
    edge(["publish", str(bundle), "models:/LateEdge", "--alias", "champion"])

    console.print("[bold]4. Answer, by every way[/bold]")
    ways = list(every_way(bundle, rows))
    trained = model.predict_proba(rows)[:, 1]
    ok = report(ways, trained)
    advise(ways)
    console.print(f"\nDone in {time.perf_counter() - began:.0f} s.")
    if not ok:
        raise SystemExit(1)


def register(model: Any, rows: pd.DataFrame) -> None:
    """As a training script does."""
    import mlflow

    # Otherwise the artifacts would lie in whatever folder this is run in.
    mlflow.create_experiment(EXPERIMENT, str(OUT / "mlruns"))
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name="Late", input_example=rows[:5],
            serialization_format="cloudpickle",
        )  # fmt: skip
    mlflow.MlflowClient().set_registered_model_alias("Late", "champion", "1")


def every_way(bundle: Path, rows: pd.DataFrame) -> Iterator[Way]:
    picked = np.linspace(0, len(rows) - 1, SINGLE).astype(int)
    records = records_of(rows.iloc[picked])
    source = OUT / "flights.parquet"
    rows.to_parquet(source)

    device = er.load(bundle)
    yield Way("edge: predict", *timed(lambda: device.predict(rows)))
    yield one_by_one("edge: predict_one", device.predict_one, records, picked)
    answers, seconds = on_a_bare_device(bundle, records)
    yield Way("edge: the bare device", answers, seconds, picked, single=True)
    yield from over_rest(rows, records, picked)
    target = OUT / "scored.parquet"
    _, seconds = timed(lambda: edge(["batch", str(bundle), str(source), str(target)]))
    yield Way("batch: edge batch", columns_of(pd.read_parquet(target)), seconds)
    yield from through_mlflow_and_spark(rows, source)


def records_of(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A dict for each row, None where a value is missing."""
    return [{name: None if value != value else value for name, value in row.items()} for row in rows.to_dict("records")]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    made = call()
    return made, time.perf_counter() - began


def one_by_one(name: str, ask: Callable[[Any], Any], asked: list[Any], picked: Any) -> Way:
    ask(asked[0])
    answers, seconds = timed(lambda: [ask(one) for one in asked])
    return Way(name, columns_of(pd.DataFrame(answers)), seconds, picked, single=True)


def columns_of(frame: pd.DataFrame) -> Columns:
    return {SCORE: frame[SCORE].to_numpy(np.float64), DECISION: frame[DECISION].to_numpy(bool)}


DEVICE = """
import json, sys, time
import edge_runtime as er
model = er.load(sys.argv[1])
records = [json.loads(line) for line in sys.stdin]
began = time.perf_counter()
answers = [model.predict_one(record) for record in records]
seconds = time.perf_counter() - began
heavy = {"pandas", "sklearn", "onnx", "mlflow", "fastapi", "pyarrow", "scipy"} & set(sys.modules)
assert not heavy, heavy
print(json.dumps({"answers": answers, "seconds": seconds}))
"""


def on_a_bare_device(bundle: Path, records: list[Any]) -> tuple[Columns, float]:
    """A process that has loaded nothing but numpy, onnxruntime and the runtime."""
    lines = "\n".join(json.dumps(record) for record in records)
    done = subprocess.run(
        [sys.executable, "-c", DEVICE, str(bundle)], input=lines, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    return columns_of(pd.DataFrame(found["answers"])), found["seconds"]


def over_rest(rows: pd.DataFrame, records: list[Any], picked: Any) -> Iterator[Way]:
    port = free_port()
    with server(edge_serve("models:/LateEdge@champion", port), f"http://127.0.0.1:{port}/readyz", {}):
        http = HTTPConnection("127.0.0.1", port)

        def post(path: str, body: Any) -> Any:
            http.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = http.getresponse()
            raw = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path} answered {answer.status}: {raw[:200]!r}")
            return json.loads(raw)

        name = post("/v2/models/late/infer", infer(records[0]))["model_name"]
        yield one_by_one("REST: /predict", lambda record: post("/predict", record), records, picked)

        def v2(record: Any) -> Any:
            outputs = post(f"/v2/models/{name}/infer", infer(record))["outputs"]
            return {output["name"]: output["data"][0] for output in outputs}

        yield one_by_one("REST: v2/…/infer", v2, records, picked)

        def lists() -> Columns:
            found: list[Any] = []
            for start in range(0, len(rows), LIST):
                found += post("/predict", records_of(rows[start : start + LIST]))["predictions"]
            return columns_of(pd.DataFrame(found))

        yield Way("REST: /predict, lists", *timed(lists))


def infer(record: dict[str, Any]) -> dict[str, Any]:
    """A record as v2 has it: one tensor of one value per column."""
    kinds = {str: "BYTES", int: "INT64", float: "FP64", bool: "BOOL", type(None): "FP64"}
    return {
        "inputs": [
            {"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
            for name, value in record.items()
        ]
    }


def through_mlflow_and_spark(rows: pd.DataFrame, source: Path) -> Iterator[Way]:
    import mlflow

    from edge_runtime.batch.spark import score

    uri = "models:/LateEdge@champion"
    function = mlflow.pyfunc.load_model(uri)
    answers, seconds = timed(lambda: function.predict(rows))
    yield Way("MLflow: pyfunc", columns_of(pd.DataFrame(answers)), seconds)
    with spark_session() as session:
        frame = session.read.parquet(str(source))
        frame.count()
        _, seconds = timed(lambda: score(frame, uri).write.parquet(str(OUT / "spark")))
        yield Way("Spark: batch.spark.score", in_order(rows, OUT / "spark"), seconds)
        udf = mlflow.pyfunc.spark_udf(
            session, uri, result_type=f"{SCORE} double, {DECISION} boolean", env_manager="local"
        )
        answered = frame.withColumn("answer", udf(*rows.columns)).select("*", "answer.*").drop("answer")
        _, seconds = timed(lambda: answered.write.parquet(str(OUT / "udf")))
        yield Way("Spark: spark_udf", in_order(rows, OUT / "udf"), seconds)


def in_order(rows: pd.DataFrame, folder: Path) -> Columns:
    """What Spark wrote, which must be the rows in their order."""
    scored = pd.concat([pd.read_parquet(part) for part in sorted(folder.glob("part-*.parquet"))], ignore_index=True)
    pd.testing.assert_frame_equal(scored[list(rows.columns)], rows, check_dtype=False)
    return columns_of(scored)


def report(ways: list[Way], trained: np.ndarray[Any, Any]) -> bool:
    """Print the table; whether no label differs and all bits are equal."""
    table = Table(title="The same answers, whichever way")
    table.add_column("path")
    for name in ("rows", "labels that differ", "largest difference", "same bits", "one row", "rows/s"):
        table.add_column(name, justify="right")
    device, ok = ways[0].answers, True
    for way in ways:
        picked = slice(None) if way.picked is None else way.picked
        labels = int(((trained[picked] > 0.5) != way.answers[DECISION]).sum())
        apart = float(np.abs(trained[picked] - way.answers[SCORE]).max())
        bits = all(np.array_equal(device[name][picked], way.answers[name]) for name in device)
        ok = ok and not labels and bits
        count = len(way.answers[SCORE])
        one = f"{way.seconds / count * 1e6:,.1f} µs" if way.single else ""
        table.add_row(
            way.name, f"{count:,}", str(labels), f"{apart:.0e}", "yes" if bits else "NO", one,
            "" if way.single else f"{count / way.seconds:,.0f}",
        )  # fmt: skip
    console.print(table)
    console.print(
        "Difference: from scikit-learn's predict_proba. Bits: against edge: predict. The bare device is a process with"
        f"\nnumpy and onnxruntime alone; lists hold {LIST:,} rows each."
    )
    return ok


def advise(ways: list[Way]) -> None:
    """Which strategy fits what, with this run's figures."""
    by_name = {way.name: way for way in ways}
    one, rest = by_name["edge: predict_one"], by_name["REST: /predict"]
    batch, spark = by_name["batch: edge batch"], by_name["Spark: batch.spark.score"]
    rows = len(batch.answers[SCORE])
    console.print(
        f"\nOn the device: {one.seconds / SINGLE * 1e6:.0f} µs a row, offline, and nothing to run but the app."
        f"\nREST: {rest.seconds / SINGLE * 1e3:.2f} ms a row from one client, for callers elsewhere, in any language."
        f"\nBatch: {rows / batch.seconds:,.0f} rows/s from file to file, for a day's table on one machine."
        f"\nSpark: {rows / spark.seconds:,.0f} rows/s on two local cores, start of its workers included: for what"
        " outgrows one machine."
    )


if __name__ == "__main__":
    main()
