"""The bars of exact trees, side by side in one run: `make bench-trees`.

Every row of the first table is one pipeline on all 327,346 flights, converted here and by the usual converters; the
second one compares single calls, rows rotated, and bulk.
"""

from __future__ import annotations

import copy
import io
import os
import platform
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime as ort
import pandas as pd
import skl2onnx
import sklearn
import xgboost
from catboost.utils import convert_to_onnx_object
from flights import arrived, train
from onnx import compose
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import edge_runtime as er
from edge_runtime.benchmarks.environment import cpu_model
from edge_runtime.converters import Decision, convert
from edge_runtime.timing import Estimate, interleave, median_ratio, rotate

OPSET = {"": 18, "ai.onnx.ml": 3}
ROWS = 4096
DECISION = Decision("fraud_score", "is_fraud", 0.5)  # the tutorial's own answer: both sides give the same two values
Call = Callable[[], object]

PIPELINES: dict[str, Callable[[], Any]] = {
    "HistGradientBoosting 100": lambda: HistGradientBoostingClassifier(max_iter=100, random_state=0),
    "RandomForest 100, depth 10": lambda: RandomForestClassifier(100, max_depth=10, n_jobs=2, random_state=0),
    "GradientBoosting 100": lambda: GradientBoostingClassifier(n_estimators=100, random_state=0),
    "LightGBM 100": lambda: lightgbm.LGBMClassifier(n_estimators=100, verbose=-1, random_state=0),
    "XGBoost 100, depth 6": lambda: xgboost.XGBClassifier(n_estimators=100, max_depth=6, random_state=0),
    "CatBoost 100, depth 6": lambda: catboost.CatBoostClassifier(
        n_estimators=100, depth=6, verbose=0, random_seed=0, allow_writing_files=False
    ),
    "LogisticRegression": lambda: LogisticRegression(max_iter=300),
}


def main() -> None:
    register()
    print(f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    modules = (np, ort, sklearn, skl2onnx, onnxmltools, lightgbm, xgboost, catboost)
    print(", ".join(f"{module.__name__} {module.__version__}" for module in modules))
    print(datetime.now(UTC).strftime("%Y-%m-%d"))
    rows, late = arrived()
    with tempfile.TemporaryDirectory() as folder:
        flights_table(rows, late, Path(folder))
        print()
        single_table(Path(folder))


def register() -> None:
    """The usual converters of boosters, as skl2onnx's documentation registers them."""
    shared = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for kind, name, function in (
        (lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", convert_lightgbm),
        (xgboost.XGBClassifier, "XGBoostXGBClassifier", convert_xgboost),
    ):
        skl2onnx.update_registered_converter(
            kind, name, calculate_linear_classifier_output_shapes, function, options=shared
        )


@dataclass(frozen=True)
class Usual:
    """What the usual converter makes of a pipeline: its session, how rows go in, and its bytes; or why there is
    none."""

    session: ort.InferenceSession | None
    raw: bytes
    numbers: list[str]
    problem: str = ""

    def feed(self, rows: pd.DataFrame) -> dict[str, Any]:
        return {
            name: rows[[name]].to_numpy(np.float32 if name in self.numbers else object)
            for name in map(str, rows.columns)
        }


def usual(pipeline: Any, rows: pd.DataFrame) -> Usual:
    numbers = [str(name) for name in rows if pd.api.types.is_numeric_dtype(rows[name])]
    types = [(name, (FloatTensorType if name in numbers else StringTensorType)([None, 1])) for name in map(str, rows)]
    final = pipeline.steps[-1][1]
    try:
        if isinstance(final, catboost.CatBoostClassifier):
            raw = before_catboost(skl2onnx.to_onnx(pipeline[:-1], initial_types=types, target_opset=OPSET), final)
        else:
            options = {id(final): {"zipmap": False}}
            made = skl2onnx.to_onnx(pipeline, initial_types=types, options=options, target_opset=OPSET)
            raw = made.SerializeToString()
        return Usual(session(raw), raw, numbers)
    except Exception as error:  # whatever stops the usual way is a result of this table
        return Usual(None, b"", numbers, str(error).strip().splitlines()[0][:60])


def before_catboost(preprocessing: onnx.ModelProto, model: Any) -> bytes:
    """skl2onnx's preprocessing, and behind it what CatBoost itself exports (skl2onnx has no converter for it), without
    ZipMap."""
    trees = convert_to_onnx_object(model)
    del trees.graph.node[1], trees.graph.output[1], trees.opset_import[:]
    trees.graph.output.append(
        onnx.helper.make_tensor_value_info(trees.graph.node[0].output[1], onnx.TensorProto.FLOAT, [None, 2])
    )
    trees.ir_version = preprocessing.ir_version
    trees.opset_import.extend(preprocessing.opset_import)
    features = preprocessing.graph.output[0].name
    merged: bytes = compose.merge_models(preprocessing, trees, [(features, "features")]).SerializeToString()
    return merged


def session(raw: bytes, threads: int = 1) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def flights_table(rows: pd.DataFrame, late: np.ndarray[Any, Any], folder: Path) -> None:
    print(
        f"\nflights, {len(rows):,} rows, 13 columns of which 3 are text; a pipeline of imputer, scaler, one-hot, and:\n"
    )
    print(
        f"{'':<28} {'wrong labels':>17} {'largest |Δp|':>17} {'graph, kB':>15} {'one row, µs':>15} {'ratio':>6}"
        f" {'all rows, s':>13} {'ratio':>6} {'convert':>8}"
    )
    for name, make in PIPELINES.items():
        pipeline = train(rows, late, make())
        began = time.perf_counter()
        conversion = convert(pipeline, data=rows, name="late", version="1")
        took = time.perf_counter() - began
        path = folder / "late.edge"
        conversion.save(path)
        model, other = er.load(path, threads=1), usual(pipeline, rows)
        with threadpool_limits(1):
            labels, p = pipeline.predict(rows), pipeline.predict_proba(rows)
        ours = model.predict(rows)
        wrong, apart = int((ours["label"] != labels).sum()), float(np.abs(ours["probabilities"] - p).max())
        left = f"{name:<28} {wrong:>7,} "
        if other.session is None:
            print(f"{left} usual converter: {other.problem}")
            continue
        given = other.session.run(None, other.feed(rows))
        wrong_usual, apart_usual = int((given[0] != labels).sum()), float(np.abs(given[1] - p).max())
        part = rows[:ROWS]
        records = [
            {name: None if value != value else value for name, value in row.items()} for row in part.to_dict("records")
        ]
        feeds = [other.feed(part[i : i + 1]) for i in range(len(part))]
        run = other.session
        one = ratio(rotate(model.predict_one, records), rotate(partial(run.run, None), feeds), 200)
        bulk_rows = rows[:100_000]
        bulk = ratio(partial(model.predict, bulk_rows), partial(usual_bulk, run, other, bulk_rows), 1, rounds=11)
        cells = [
            f"{left}/{wrong_usual:>9,}",
            f"{apart:>7.0e} / {apart_usual:>7.0e}",
            f"{conversion.report.graph_bytes / 1e3:>6.0f} / {len(other.raw) / 1e3:>6.0f}",
            f"{one.ours:>6.1f} / {one.theirs:>6.1f} {one.ratio.value:>5.2f}×",
            f"{bulk.ours / 1e6:>5.2f} / {bulk.theirs / 1e6:>5.2f} {bulk.ratio.value:>5.2f}×",
            f"{took:>6.1f} s",
        ]
        print(" ".join(cells), flush=True)
        if name.startswith("Hist"):
            details(pipeline, model, path, rows, other)


def usual_bulk(run: ort.InferenceSession, other: Usual, rows: pd.DataFrame) -> object:
    return run.run(None, other.feed(rows))


def details(pipeline: Any, model: er.Model, path: Path, rows: pd.DataFrame, other: Usual) -> None:
    every = er.load(path)
    against = ratio(partial(every.predict, rows), partial(pipeline.predict_proba, rows), 1, rounds=11)
    file = io.BytesIO()
    joblib.dump(pipeline, file)
    zipped = len(zlib.compress(file.getvalue(), 9))
    bundle = path.stat().st_size
    faster, share = 1 / against.ratio.value, bundle / zipped
    print(f"    all rows, all cores, against scikit-learn's predict_proba: {faster:.1f}× faster (bar ≥ 4×)")
    print(f"    bundle {bundle / 1e3:.0f} kB, zipped joblib {zipped / 1e3:.0f} kB: {share:.2f}× (bar ≤ 0.35×)")
    print(f"    zipped skl2onnx {len(zlib.compress(other.raw, 9)) / 1e3:.0f} kB")


@dataclass(frozen=True)
class Pair:
    ours: float
    theirs: float
    ratio: Estimate


def ratio(ours: Call, theirs: Call, calls: int, rounds: int = 60) -> Pair:
    taken = interleave({"ours": ours, "theirs": theirs}, rounds=rounds, calls=calls)
    a, b = taken["ours"], taken["theirs"]
    return Pair(float(np.median(a)) / calls / 1e3, float(np.median(b)) / calls / 1e3, median_ratio(a, b))


def single_table(folder: Path) -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame({f"c{i}": rng.normal(size=60_000) for i in range(14)})
    signal = wide.c0 * wide.c1 + np.sin(3 * wide.c2) + wide.c3**2 - wide.c4 * wide.c5 + rng.normal(0, 0.5, 60_000)
    label = (signal > 0.5).to_numpy().astype(int)
    n = 50_000
    four = pd.DataFrame(
        {
            "amount": rng.lognormal(4, 1.5, n), "merchant_id": rng.integers(0, 1000, n),
            "hour_of_day": rng.integers(0, 24, n), "distance_from_home": rng.exponential(30, n),
        }
    )  # fmt: skip
    odds = (four.amount > 2000) * 1.5 + (four.hour_of_day < 5) * 1.0 + (four.distance_from_home > 80) * 1.2 - 3.5
    fraud = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    cases: list[tuple[str, Any, pd.DataFrame, Any, float, float]] = [
        ("HistGradientBoosting 100 × 4 columns", boosting(), four, fraud, 0.5, 25),
        ("HistGradientBoosting 100 × 14", boosting(early_stopping=False), wide, label, 0.62, 25),
        ("LightGBM 200 × 14", lightgbm.LGBMClassifier(n_estimators=200, verbose=-1), wide, label, 0.62, 2.5),
        ("XGBoost 200, depth 6 × 14", xgboost.XGBClassifier(n_estimators=200, max_depth=6), wide, label, 0.62, 10),
        ("RandomForest 100, depth 10 × 14", forest(), wide, label, 0.75, 25),
    ]
    print(
        f"{'one row, checked dict → dict':<38} {'tutorial':>22} {'own library':>22} {'graph':>14} {'bundle':>14}"
        f" {'100k rows, 1 thread':>20}"
    )
    for name, estimator, rows, target, bar, own_bar in cases:
        estimator.fit(rows, target)
        path = folder / "one.edge"
        conversion = convert(estimator, data=rows, name="one", version="1", decision=DECISION)
        conversion.save(path)
        model = er.load(path, threads=1)
        raw = usual_array(estimator, rows)
        tutorial = session(raw)
        names = list(rows.columns)
        records = rows[:ROWS].to_dict("records")
        one = ratio(
            rotate(model.predict_one, records), rotate(partial(by_hand, tutorial, names), records), 300, rounds=240
        )
        own = ratio(rotate(model.predict_one, records), rotate(*own_call(estimator, rows[:256])), 20, rounds=30)
        many = pd.concat([rows] * (100_000 // len(rows) + 1), ignore_index=True)[:100_000]
        matrix = many.to_numpy(np.float32)
        bulk = ratio(
            partial(model.predict, many),
            partial(tutorial.run, None, {tutorial.get_inputs()[0].name: matrix}),
            1,
            rounds=11,
        )
        file = io.BytesIO()
        joblib.dump(estimator, file)
        zipped = len(zlib.compress(file.getvalue(), 9))
        own_zip_bar = 0.35 if own_bar == 25 else 0.5
        cells = [
            f"{name:<38} {one.ours:>5.1f} / {one.theirs:>5.1f} µs {one.ratio.value:>4.2f}× ≤ {bar:.2f}",
            f"{1 / own.ratio.value:>12.1f}× ≥ {own_bar:<5}",
            f"{conversion.report.graph_bytes / len(raw):>6.2f}× ≤ 0.5",
            f"{path.stat().st_size / zipped:>6.2f}× ≤ {own_zip_bar}",
            f"{bulk.ratio.value:>14.2f}× ≤ 1.0",
        ]
        print(" ".join(cells), flush=True)


def boosting(**settings: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=100, random_state=0, **settings)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(100, max_depth=10, n_jobs=1, random_state=0)


def usual_array(estimator: Any, rows: pd.DataFrame) -> bytes:
    types = [("x", FloatTensorType([None, rows.shape[1]]))]
    kind = type(estimator).__module__.partition(".")[0]
    if kind == "xgboost":  # its converter wants features by number
        estimator = copy.deepcopy(estimator)
        estimator.get_booster().feature_names = None
    options = {id(estimator): {"zipmap": False}}
    raw: bytes = skl2onnx.to_onnx(
        estimator, initial_types=types, options=options, target_opset=OPSET
    ).SerializeToString()
    return raw


def by_hand(tutorial: ort.InferenceSession, names: list[str], record: dict[str, Any]) -> dict[str, Any]:
    row = np.array([[record[name] for name in names]], np.float32)
    p = float(tutorial.run(["probabilities"], {"x": row})[0][0][1])
    return {"fraud_score": p, "is_fraud": p > 0.5}


def own_call(estimator: Any, rows: pd.DataFrame) -> tuple[Callable[[Any], object], list[Any]]:
    """How the library itself is called for one row: an array, its fastest way, one thread."""
    ready = [np.ascontiguousarray(row[None]) for row in rows.to_numpy(np.float64)]
    if isinstance(estimator, lightgbm.LGBMClassifier):
        return partial(estimator.booster_.predict, num_threads=1), ready
    if isinstance(estimator, xgboost.XGBClassifier):
        booster = estimator.get_booster()
        booster.set_param({"nthread": 1})
        booster.feature_names = None
        return booster.inplace_predict, ready
    nameless = copy.copy(estimator)
    del nameless.feature_names_in_  # an array of a named model would warn, at each call
    return nameless.predict_proba, ready


if __name__ == "__main__":
    main()
