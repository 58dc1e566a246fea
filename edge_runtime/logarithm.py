"""The natural logarithm from + - * /: the same bits for a float and for an array.

Method: x = 2^n * m with m between 1/sqrt(2) and sqrt(2); log m = 2 artanh(s) with s = (m - 1) / (m + 1), by its series
up to s^23; log x = n * ln 2 + log m. Error against `math.log`: at most 2 ulp.

Belongs here: this one function in its two forms. Not here: what is computed with it (links.py).
Imported as edge_runtime.logarithm.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["log", "log_array"]

ROOT = 0.7071067811865476
HIGH = float.fromhex("0x1.62e42fee00000p-1")  # ln 2 in two parts; n * HIGH is exact
LOW = float.fromhex("0x1.a39ef35793c76p-33")
SERIES = tuple(2.0 / k for k in range(23, 2, -2))  # of s^23 down to s^3


def log(x: float) -> float:
    """The logarithm of a positive finite float; NaN of any other."""
    if not 0.0 < x < math.inf:
        return math.nan
    m, n = math.frexp(x)
    if m < ROOT:
        m, n = m * 2.0, n - 1
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    rest = 0.0
    for coefficient in SERIES:
        rest = (rest + coefficient) * square
    return n * HIGH + (n * LOW + (2.0 * s + s * rest))


def log_array(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of each value, in a new array of x's shape; NaN of what is not positive or not finite."""
    inside = (x > 0.0) & (x < np.inf)
    m, n = np.frexp(np.where(inside, x, 1.0))
    low = m < ROOT
    m, n = np.where(low, m * 2.0, m), np.where(low, n - 1, n)
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    rest = np.zeros_like(square)
    for coefficient in SERIES:
        rest = (rest + coefficient) * square
    made: NDArray[np.float64] = n * HIGH + (n * LOW + (2.0 * s + s * rest))
    return np.where(inside, made, np.nan)
