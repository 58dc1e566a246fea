"""The guide's own model: card payments of four columns, `fraud_score` and `is_fraud`.

The payments are simulated: no package ships real ones with these columns. What is claimed of accuracy stands on real
flights (challenge.py); these rows serve for the guide's snippets, and for speed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from edge_runtime.converters import Decision, convert

DECISION = Decision("fraud_score", "is_fraud", 0.5)
TRAINED_ON = 50_000


def payments(count: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """``count`` payments, and which of them are fraud (one in twenty)."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "amount": rng.lognormal(4, 1.5, count),
            "merchant_id": rng.integers(0, 1000, count),
            "hour_of_day": rng.integers(0, 24, count),
            "distance_from_home": rng.exponential(30, count),
        }
    )
    odds = (rows.amount > 2000) * 1.5 + (rows.hour_of_day < 5) * 1.0 + (rows.distance_from_home > 80) * 1.2 - 3.5
    fraud = rng.random(count) < 1 / (1 + np.exp(-(odds + rng.normal(0, 0.5, count))))
    return rows, fraud.to_numpy().astype(int)


def train(rows: pd.DataFrame, fraud: np.ndarray[Any, Any]) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(rows[:TRAINED_ON], fraud[:TRAINED_ON])


def make_bundle(path: Path) -> tuple[HistGradientBoostingClassifier, pd.DataFrame]:
    """Train, convert and write ``path``; the model and its rows."""
    rows, fraud = payments(125_000)
    model = train(rows, fraud)
    convert(model, data=rows, name="fraud", version="1", decision=DECISION).save(path)
    return model, rows
