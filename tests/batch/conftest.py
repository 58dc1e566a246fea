"""What the batch tests share: models of real data, their rows as files of every kind, and one Spark session."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

import edge_runtime
from edge_runtime.model import Model

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Late:
    """The flights model of tests/conftest.py, its rows as an Arrow table with columns beside, and the true answers."""

    bundle: Path
    model: Model
    table: pyarrow.Table
    outputs: Outputs


@pytest.fixture(scope="session")
def late(flights: Any) -> Late:
    """600 flights: nullable numbers and text, and beside them an id, a time, a decimal, a nested and a coded column."""
    table = pyarrow.Table.from_pandas(flights.frame, preserve_index=False)
    rows = table.num_rows
    beside = {
        "id": pyarrow.array([f"{i:05}" for i in range(rows)]),
        "seen": pyarrow.array(np.arange(rows) * 1_000_003, pyarrow.timestamp("us", "UTC")),
        "fare": pyarrow.array([Decimal(i) / 100 for i in range(rows)], pyarrow.decimal128(9, 2)),
        "route": pyarrow.array([{"via": ["A", "B"][: i % 3], "legs": i % 3} for i in range(rows)]),
        "class": pyarrow.array([None if i % 9 == 0 else "FJY"[i % 3] for i in range(rows)]).dictionary_encode(),
    }
    for name, column in beside.items():
        table = table.append_column(name, column)
    model = edge_runtime.load(flights.bundle)
    return Late(flights.bundle, model, table, model.predict(flights.frame))


@pytest.fixture
def late_file(late: Late, tmp_path: Path) -> Callable[..., Path]:
    """late_file("rows.csv", columns) -> the rows in a file of that kind, some columns of them or all that it can hold."""

    def write(name: str, columns: list[str] | None = None, rows: slice = slice(None)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        table = late.table.slice(*slice_of(rows, late.table.num_rows))
        if path.suffix == ".parquet":
            parquet.write_table(table if columns is None else table.select(columns), path, row_group_size=170)
            return path
        frame = table.select(columns or [*MODEL, "id"]).to_pandas()
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            records = json.loads(frame.to_json(orient="records", double_precision=15))
            path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return path

    return write


MODEL = ["hour", "distance", "air_time", "carrier", "origin"]


def slice_of(rows: slice, length: int) -> tuple[int, int]:
    start, stop, _ = rows.indices(length)
    return start, stop - start


@dataclass(frozen=True)
class Iris:
    """A forest with text labels of three classes, and its rows."""

    bundle: Path
    frame: Any
    outputs: Outputs


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iris:
    """150 flowers."""
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    from edge_runtime.converters import convert

    loaded = load_iris(as_frame=True)
    frame = loaded.data.rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
    kinds = loaded.target_names[loaded.target]
    forest = RandomForestClassifier(8, max_depth=6, random_state=0).fit(frame, kinds)
    path = tmp_path_factory.mktemp("iris") / "iris.edge"
    convert(forest, data=frame, name="iris", version="3.0").save(path)
    return Iris(path, frame, edge_runtime.load(path).predict(frame))


def answers_in(path: Path, outputs: Outputs, classes: list[str] | None = None) -> Outputs:
    """The outputs as they stand in a file, in the dtypes and shapes of ``outputs``."""
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        found = {name: table.column(name).to_pylist() for name in outputs}
    elif path.suffix == ".jsonl":
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = {name: [record[name] for record in records] for name in outputs}
    else:
        frame = pandas.read_csv(path, keep_default_na=False)  # pandas 3 reads floats exactly
        found = {}
        for name, array in outputs.items():
            columns = [f"{name}.{k}" for k in classes or range(array.shape[1])] if array.ndim == 2 else [name]
            values = frame[columns].to_numpy()
            found[name] = values if array.ndim == 2 else values[:, 0]
    return {name: np.asarray(values, outputs[name].dtype) for name, values in found.items()}


def same(found: Outputs, expected: Outputs) -> bool:
    """Whether all outputs are equal to the bit."""
    return found.keys() == expected.keys() and all(
        found[name].tolist() == array.tolist() and found[name].tobytes() == array.tobytes()
        if array.dtype != object
        else found[name].tolist() == array.tolist()
        for name, array in expected.items()
    )


@pytest.fixture(scope="session")
def spark(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session with two cores; started once, since a JVM takes seconds."""
    import warnings

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else its workers are the first python3 of PATH

    with warnings.catch_warnings():
        # It is what these tests find out.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        from pyspark.sql import SparkSession
        from pyspark.sql.pandas import functions  # noqa: F401  warns as it is imported
    folder = tmp_path_factory.mktemp("spark")
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "1g")
        .config("spark.ui.enabled", "false")
        .config("spark.local.dir", str(folder))
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
