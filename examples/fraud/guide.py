"""The guide's own snippets, as its reader would type them, on a bundle: `python examples/fraud/guide.py`.

Real time with FastAPI's TestClient, the daily Parquet job, the script on the device.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from fastapi.testclient import TestClient
from transactions import make_bundle, payments

import edge_runtime as er
from edge_runtime.batch import score
from edge_runtime.server import create_app

PAYMENT = {"amount": 8500.0, "merchant_id": 443, "hour_of_day": 3, "distance_from_home": 120.5}


def real_time(bundle: Path) -> dict[str, object]:
    """A typed request, a typed answer with the model's version."""
    with TestClient(create_app(bundle)) as client:
        assert client.get("/health").status_code == 200
        answer = client.post("/predict", json=PAYMENT)
    assert answer.status_code == 200
    made: dict[str, object] = answer.json()
    print(f"real time   {made}")
    return made


def daily_batch(bundle: Path, folder: Path) -> pd.DataFrame:
    """A day's Parquet, scored, with the time and the model's version on each row."""
    payments(125_000, seed=3)[0].to_parquet(folder / "transactions.parquet")
    report = score(bundle, folder / "transactions.parquet", folder / "scored.parquet")
    scored = pd.read_parquet(folder / "scored.parquet")
    print(f"batch       {report.rows:,} rows, {int(scored.is_fraud.sum()):,} alerts, columns {list(scored.columns)}")
    return scored


def device(bundle: Path) -> dict[str, object]:
    """numpy and onnxruntime, nothing else."""
    model = er.load(bundle)
    made = model.predict_one(PAYMENT)
    print(f"device      {made}")
    return made


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / "fraud.edge"
        make_bundle(bundle)
        online, offline = real_time(bundle), device(bundle)
        assert {key: online[key] for key in offline} == offline
        scored = daily_batch(bundle, folder)
        first = scored[list(PAYMENT)].to_dict("records")[0]
        assert er.load(bundle).predict_one(first)["fraud_score"] == scored.fraud_score[0]
        print("the same score, to the bit, by all three")


if __name__ == "__main__":
    main()
