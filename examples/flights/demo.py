"""From training to the device and back, on real data: `make demo`."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from flights import planned, train
from rich.console import Console

import edge_runtime as er
from edge_runtime.cli import main as edge
from edge_runtime.converters import Decision, convert

FOLDER = Path(__file__).parent / "out"
console = Console(highlight=False)


def step(number: int, title: str) -> None:
    console.print(f"\n[bold]{number}. {title}[/bold]")


def main() -> None:
    began = time.perf_counter()
    FOLDER.mkdir(exist_ok=True)
    bundle = FOLDER / "late.edge"

    step(1, "Train: impute, scale, one-hot, gradient boosting, on real flights")
    rows, late = planned()
    model = train(rows, late)
    console.print(f"{len(rows):,} flights, {rows.shape[1]} columns, {int(rows.isna().sum().sum()):,} missing values")

    step(2, "Convert: every flight is compared with scikit-learn, and rows that no data set has")
    conversion = convert(
        model, data=rows, name="late", version="1.0.0", decision=Decision("risk", "is_late", 0.5),
        progress=lambda stage, done, whole: console.print(f"   {stage} {done:,}/{whole:,}") if done == whole else None,
    )  # fmt: skip
    conversion.save(bundle)
    for statement in conversion.report.statements:
        console.print(f"   {statement}")

    step(3, "Inspect: edge inspect late.edge")
    edge(["inspect", str(bundle)])

    step(4, "Verify: edge verify late.edge")
    edge(["verify", str(bundle)])

    step(5, "Predict on the device: numpy and onnxruntime, nothing else")
    device = er.load(bundle)
    flight = device.golden_rows()[0].inputs
    console.print(f"   {flight}")
    console.print(f"   -> {device.predict_one(flight)}")

    step(6, "The same numbers: one by one and in bulk")
    answers = device.predict(rows)
    some = np.linspace(0, len(rows) - 1, 2_000).astype(int)
    singles = [device.predict_one(record)["risk"] for record in rows.iloc[some].to_dict("records")]
    console.print(
        f"   2,000 flights alone and among {len(rows):,}: {int((answers['risk'][some] != singles).sum())} bits differ"
    )
    source = model.predict_proba(rows)[:, 1]
    console.print(f"   against scikit-learn: largest difference {np.abs(source - answers['risk']).max():.1e}")

    step(7, "Measure: edge bench late.edge --scenario single-stream --seconds 2")
    edge(["bench", str(bundle), "--scenario", "single-stream", "--seconds", "2"])
    console.print(f"\nDone in {time.perf_counter() - began:.0f} s. The bundle: {bundle.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
