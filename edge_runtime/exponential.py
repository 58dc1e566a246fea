"""The exponential function from + - * / and a table of 2^(k/64): the same bits for a float and for an array.

onnxruntime's and numpy's own change bits between one value and a vector, and `math.exp` differs from both. Each step
here is an IEEE operation that every language has, so any runtime can answer with the same bits.

Method: x = k * ln2/64 + r with k rounded half to even; e^r by its Taylor polynomial of degree 5 (|r| <= 0.0055, so the
rest is below 4e-17); e^x = 2^(k // 64) * 2^(k % 64 / 64) * e^r. Error against `math.exp`: at most 2 ulp.

Belongs here: this one function in its two forms, and softmax, which is made of it. Not here: what is computed with them
(links.py, ending.py).
Imported as edge_runtime.exponential.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["exp", "exp_array", "softmax", "softmax_array"]

# The 52 fraction bits of 2^(j/64), j = 0..63, correctly rounded.
_FRACTIONS = """
    0000000000000 02c9a3e778061 059b0d3158574 0874518759bc8
    0b5586cf9890f 0e3ec32d3d1a2 11301d0125b51 1429aaea92de0
    172b83c7d517b 1a35beb6fcb75 1d4873168b9aa 2063b88628cd6
    2387a6e756238 26b4565e27cdd 29e9df51fdee1 2d285a6e4030b
    306fe0a31b715 33c08b26416ff 371a7373aa9cb 3a7db34e59ff7
    3dea64c123422 4160a21f72e2a 44e086061892d 486a2b5c13cd0
    4bfdad5362a27 4f9b2769d2ca7 5342b569d4f82 56f4736b527da
    5ab07dd485429 5e76f15ad2148 6247eb03a5585 6623882552225
    6a09e667f3bcd 6dfb23c651a2f 71f75e8ec5f74 75feb564267c9
    7a11473eb0187 7e2f336cf4e62 82589994cce13 868d99b4492ed
    8ace5422aa0db 8f1ae99157736 93737b0cdc5e5 97d829fde4e50
    9c49182a3f090 a0c667b5de565 a5503b23e255d a9e6b5579fdbf
    ae89f995ad3ad b33a2b84f15fb b7f76f2fb5e47 bcc1e904bc1d2
    c199bdd85529c c67f12e57d14b cb720dcef9069 d072d4a07897c
    d5818dcfba487 da9e603db3285 dfc97337b9b5f e502ee78b3ff6
    ea4afa2a490da efa1bee615a27 f50765b6e4540 fa7c1819e90d8
"""
POWERS = [float.fromhex(f"0x1.{digits}p+0") for digits in _FRACTIONS.split()]
PER_LN2 = float.fromhex("0x1.71547652b82fep+6")  # 64 / ln 2
HIGH = float.fromhex("0x1.62e42fee00000p-7")  # ln 2 / 64 in two parts; k * HIGH is exact
LOW = float.fromhex("0x1.a39ef35793c76p-39")
LOWEST, HIGHEST = -708.0, 709.78
"""Below LOWEST the result stays at e^LOWEST (3e-308), above HIGHEST it is infinite: no subnormal numbers, no
overflow."""

NEAR = 4096
# 2^(k/64) for the common range, k = -NEAR..NEAR: one look-up instead of two. An exact scaling, hence the same bits.
POWERS_NEAR = [math.ldexp(POWERS[k & 63], k >> 6) for k in range(-NEAR, NEAR + 1)]
_POWERS = np.array(POWERS)


def exp(x: float) -> float:
    """e^x of one float. NaN gives NaN."""
    if -44.0 < x < 44.0:
        k = round(x * PER_LN2)
        r = (x - k * HIGH) - k * LOW
        return POWERS_NEAR[k + NEAR] * (
            1.0
            + r * (1.0 + r * (0.5 + r * (0.16666666666666666 + r * (0.041666666666666664 + r * 0.008333333333333333))))
        )
    if not x <= HIGHEST:
        return math.nan if x != x else math.inf
    x = max(x, LOWEST)
    k = round(x * PER_LN2)
    r = (x - k * HIGH) - k * LOW
    power = POWERS[k & 63] * (
        1.0 + r * (1.0 + r * (0.5 + r * (0.16666666666666666 + r * (0.041666666666666664 + r * 0.008333333333333333))))
    )
    return math.ldexp(power, k >> 6)


def exp_array(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """e^x of each value, in a new array of x's shape. NaN gives NaN."""
    beyond = ~(x <= HIGHEST)
    outside = x[beyond]
    x = np.maximum(np.where(beyond, 0.0, x), LOWEST)
    k = np.rint(x * PER_LN2)
    r = (x - k * HIGH) - k * LOW
    polynomial = 0.008333333333333333 * r
    for coefficient in (0.041666666666666664, 0.16666666666666666, 0.5, 1.0):
        polynomial += coefficient
        polynomial *= r
    polynomial += 1.0
    whole = k.astype(np.int32)
    result: NDArray[np.float64] = np.ldexp(_POWERS[whole & 63] * polynomial, whole >> 6)
    result[beyond] = np.where(np.isnan(outside), np.nan, np.inf)
    return result


def softmax(values: Sequence[float]) -> list[float]:
    """exp(v - max) of each value, over their sum from the first to the last."""
    best = max(values)
    powers = [exp(value - best) for value in values]
    total = 0.0
    for power in powers:
        total += power
    if total != total:  # `max` may have overlooked a NaN
        return [math.nan] * len(powers)
    return [power / total for power in powers]


def softmax_array(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`softmax` of each row, in a new array."""
    shares = exp_array(values - values.max(axis=1)[:, None])
    total = np.zeros(len(values))
    for k in range(shares.shape[1]):  # in class order: the same sum as one row's
        total += shares[:, k]
    shares /= total[:, None]
    return shares
