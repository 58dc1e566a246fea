"""The exponential function: one result for a float and for an array, and near enough to the true one."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.exponential import HIGH, HIGHEST, LOW, LOWEST, PER_LN2, POWERS, exp, exp_array

INF, NAN = math.inf, math.nan
ENDS = [
    0.0, -0.0, INF, -INF, NAN, -NAN, HIGHEST, LOWEST, 44.0, -44.0, 708.0, 709.777, 709.7827, 710.0, -745.2, 1e308,
    -1e308, 5e-324, -5e-324, 2.0**-54, 1.0, -1.0, 0.5 / PER_LN2, 1.5 / PER_LN2, 65535.5 / PER_LN2,
]  # fmt: skip


def neighbours(values: list[float]) -> list[float]:
    return [v for x in values for v in (math.nextafter(x, -INF), x, math.nextafter(x, INF))]


def one_by_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([exp(value) for value in values.tolist()])


def same_bits(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return a.tobytes() == b.tobytes()


def sample(count: int, seed: int) -> NDArray[np.float64]:
    """Values from everywhere: the common range, the whole range, beyond it, and any bits at all."""
    random = np.random.default_rng(seed)
    quarter = count // 4
    return np.concatenate(
        [
            random.normal(0.0, 4.0, quarter),
            random.uniform(-45.0, 45.0, quarter),
            random.uniform(-760.0, 760.0, quarter),
            random.integers(0, 2**64, quarter, dtype=np.uint64).view(np.float64),
        ]
    )


def test_a_float_and_an_array_have_the_same_bits() -> None:
    """Two million values, NaNs of any bits among them, and the ends with their neighbours."""
    x = np.concatenate([sample(2_000_000, 1), neighbours(ENDS)])
    assert same_bits(exp_array(x), one_by_one(x))


@settings(max_examples=500)
@given(st.lists(st.floats(), max_size=20))
def test_no_value_depends_on_its_neighbours(values: list[float]) -> None:
    """Alone, in a vector, strided or two-dimensional: the same bits."""
    x = np.array(values, np.float64)
    wanted = one_by_one(x)
    assert same_bits(exp_array(x), wanted)
    assert same_bits(exp_array(np.repeat(x, 3)[::3]), wanted)
    assert same_bits(exp_array(np.stack([x, x[::-1]], axis=1))[:, 0].copy(), wanted)


def test_the_result_is_within_two_ulp() -> None:
    """Against C's function for many values, and against 40 digits for some."""
    x = sample(400_000, 2)
    x = x[(x >= LOWEST) & (x <= HIGHEST)]
    wanted = np.array([math.exp(value) for value in x.tolist()])
    assert (np.abs(exp_array(x) - wanted) / np.spacing(wanted)).max() <= 2.0
    getcontext().prec = 40
    for value in x[:2000].tolist():
        found = exp(value)
        assert abs(Decimal(found) - Decimal(value).exp()) <= 2 * Decimal(math.ulp(found))


@pytest.mark.parametrize(
    ("x", "wanted"),
    [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (709.79, INF), (-INF, exp(LOWEST)), (-1e9, exp(LOWEST)), (5e-324, 1.0)],
)
def test_ends_are_as_described(x: float, wanted: float) -> None:
    """Infinite above, the smallest value below, one at zero; never zero, so nothing is divided by it."""
    assert exp(x) == wanted > 0.0


def test_nan_is_always_the_same_nan() -> None:
    """Whatever bits come in."""
    bits = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF], np.uint64)
    nans = bits.view(np.float64)
    wanted = np.full(4, NAN)
    assert same_bits(exp_array(nans), wanted)
    assert same_bits(one_by_one(nans), wanted)


def test_the_argument_is_left_alone() -> None:
    """A new array of the same shape; empty ones too."""
    x = np.array([[1.0, NAN], [INF, -INF]])
    before = x.copy()
    assert exp_array(x).shape == x.shape
    assert same_bits(x, before)
    assert exp_array(np.empty((0, 3))).shape == (0, 3)


def test_another_language_gets_the_same_bits() -> None:
    """The steps of docs/bundle-format.md, written down anew with numbers that are exact until they are rounded."""

    def rounded(value: Fraction) -> Fraction:
        return Fraction(float(value))  # to nearest, halves to even, as IEEE operations do

    def described(x: float) -> float:
        if x != x or x > 709.78:
            return NAN if x != x else INF
        exact = Fraction(max(x, -708.0))
        k = round(rounded(exact * Fraction(PER_LN2)))
        r = rounded(rounded(exact - rounded(k * Fraction(HIGH))) - rounded(k * Fraction(LOW)))
        q = Fraction(0.008333333333333333)
        for c in (0.041666666666666664, 0.16666666666666666, 0.5, 1.0, 1.0):
            q = rounded(Fraction(c) + rounded(r * q))
        return float(rounded(Fraction(POWERS[k % 64]) * q) * Fraction(2) ** ((k - k % 64) // 64))

    for x in [*neighbours(ENDS), *sample(8000, 3).tolist()]:
        assert np.float64(described(x)).tobytes() == np.float64(exp(x)).tobytes(), x.hex()


def test_the_table_is_correctly_rounded() -> None:
    """2^(j/64), to nearest."""
    getcontext().prec = 60
    assert [float(Decimal(2) ** (Decimal(j) / 64)) for j in range(64)] == POWERS
