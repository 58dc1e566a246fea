"""What a fitted scikit-learn model answers, by the names of the contract.

Belongs here: calling predict and predict_proba. Not here: preparing rows (tabular.py, other.py).
Imported as edge_runtime.converters.sources.sklearn.answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["classify", "regress"]


def classify(model: Any, rows: Any) -> dict[str, NDArray[Any]]:
    return {
        "label": np.asarray(model.predict(rows)),
        "probabilities": np.asarray(model.predict_proba(rows), np.float64),
    }


def regress(model: Any, rows: Any) -> dict[str, NDArray[Any]]:
    return {"prediction": np.asarray(model.predict(rows), np.float64)}
