"""Write a small bundle, with strings and missing values, and what its source answers. Runs where the converters are.

python make_bundle.py FOLDER      -> FOLDER/small.edge, FOLDER/answers.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from edge_runtime.converters import convert


def main(folder: Path) -> None:
    """Train, convert, save."""
    random = np.random.default_rng(7)
    rows = pd.DataFrame(
        {
            "amount": np.where(random.random(600) < 0.1, np.nan, random.lognormal(4.0, 1.0, 600)),
            "hour": random.integers(0, 24, 600),
            "country": random.choice(["AT", "CH", "DE"], 600),
        }
    )
    target = np.where(random.random(600) < 0.2 + 0.6 * (rows["country"] == "CH"), "fraud", "fine")
    encode = make_column_transformer(
        (SimpleImputer(), ["amount", "hour"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["country"]),
    )
    source = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=10, random_state=0)).fit(rows, target)
    convert(source, data=rows, target=target, name="small", version="1.0.0").save(folder / "small.edge")
    some = rows.head(50)
    records = [
        {"amount": None if amount != amount else float(amount), "hour": int(hour), "country": str(country)}
        for amount, hour, country in some.itertuples(index=False)
    ]
    answers = {
        "rows": records,
        "labels": [str(label) for label in source.predict(some)],
        "probabilities": source.predict_proba(some).tolist(),
    }
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
