"""The logarithm: one result for a float and for an array, and near enough to the true one."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.logarithm import ROOT, log, log_array

INF, NAN = math.inf, math.nan
ENDS = [0.0, -0.0, INF, -INF, NAN, -1.0, 5e-324, 2.0**-1022, 1.0, 2.0, 0.5, ROOT, 2 * ROOT, 1e-12, 1.7e308]


def values() -> list[float]:
    random = np.random.default_rng(1)
    near = [v for x in ENDS for v in (math.nextafter(x, -INF), x, math.nextafter(x, INF))]
    drawn = [np.exp(random.uniform(-700, 700, 20000)), random.uniform(0.25, 4.0, 20000), random.uniform(0, 1e-9, 5000)]
    return [*near, *np.concatenate(drawn).tolist()]


def test_a_float_and_an_array_have_the_same_bits() -> None:
    """Values from everywhere, with the neighbours of every end."""
    found = log_array(np.array(values()))
    assert found.tobytes() == np.array([log(value) for value in values()]).tobytes()


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_no_value_depends_on_its_neighbours(drawn: list[float]) -> None:
    """Alone or in a vector: the same bits."""
    x = np.array(drawn)
    assert log_array(x).tobytes() == b"".join(log_array(x[i : i + 1]).tobytes() for i in range(len(x)))


def test_it_is_within_two_ulp_of_the_true_logarithm() -> None:
    """Of 50 digits; at 1 it is 0 itself."""
    getcontext().prec = 50
    assert log(1.0) == 0.0
    for value in values()[::37]:
        if 0.0 < value < INF and value != 1.0:
            true = Decimal(value).ln()
            assert abs(Decimal(log(value)) - true) <= 2 * Decimal(math.ulp(float(true)))


def test_what_has_no_logarithm_is_nan() -> None:
    """Zero, negative, infinite and NaN alike: nothing that is given out depends on it."""
    for value in (0.0, -0.0, -1.0, INF, -INF, NAN):
        assert math.isnan(log(value))
