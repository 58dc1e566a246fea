"""Rows sorted before they are answered: the same answers, and a declaration that is read strictly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import BundleError
from edge_runtime.row_order import Cuts, cuts_from_json, order_of

ORDER = (Cuts(1, (-1.0, 0.0, 2.5)), Cuts(0, (0.5,)))


def test_the_first_column_weighs_most() -> None:
    """Rows come cell by cell; those of one cell keep their order."""
    x = np.array([[0.0, 3.0], [1.0, -2.0], [0.0, -2.0], [9.0, -2.0], [1.0, 0.0]])
    assert order_of(x, ORDER).tolist() == [2, 1, 3, 4, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_row_is_there_once_whatever_its_values(dtype: type) -> None:
    """Missing and infinite values have a cell too."""
    values = [0.1, -0.0, np.nan, np.inf, -np.inf, 2.5, 1e30]
    x: np.ndarray[Any, Any] = np.random.default_rng(0).choice(values, (5000, 2)).astype(dtype)
    assert sorted(order_of(x, ORDER).tolist()) == list(range(5000))


def test_an_order_comes_back_from_its_json() -> None:
    """Columns and cuts, as they were."""
    assert cuts_from_json([cuts.to_json() for cuts in ORDER]) == ORDER


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([{"at": ["0.0"], "column": -1}], "columns from 0"),
        ([{"at": [], "column": 0}], "ascending cuts"),
        ([{"at": ["1.0", "1.0"], "column": 0}], "ascending cuts"),
        ([{"at": ["2.0", "1.0"], "column": 0}], "ascending cuts"),
        ([{"at": ["NaN"], "column": 0}], "a cut"),
        ([{"at": [0.5], "column": 0}], "a cut"),
        ([{"column": 0}], "order"),
        (["0"], "order"),
        ([{"at": [str(float(i)) for i in range(400)], "column": c} for c in (0, 1)], "65,536 cells"),
    ],
)
def test_a_malformed_order_is_refused(data: list[Any], says: str) -> None:
    """Cuts ascend, columns count from 0, and cells fit into sixteen bits."""
    with pytest.raises(BundleError, match=says):
        cuts_from_json(data)
