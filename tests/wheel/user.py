"""A user's program, for a user's type checker: what the installed wheel tells it."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import edge_runtime as er


def answers(path: str, rows: list[dict[str, object]]) -> NDArray[Any]:
    """Ask a bundle in the ways that the README shows."""
    model = er.load(path, digest=None, variant=None, threads=1)
    assert_type(model, er.Model)
    assert_type(model.schema.columns, tuple[er.ColumnSpec, ...])
    assert_type(model.name, str)
    assert_type(model.verify(), er.VerificationReport)
    assert_type(model.predict_one({"amount": 8500.0}), dict[str, Any])
    assert_type(model.run({"x": np.zeros((1, 3))}), dict[str, NDArray[Any]])
    try:
        return model.predict(rows)["label"]
    except er.InputError as error:
        assert_type(error.row, int | None)
        raise
