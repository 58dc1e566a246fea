"""Tensors that are written as a few numbers: a generator that any language can repeat, bit by bit.

A golden sample of an image or of sound would be larger than a small network; noise in the same range tests as many of
its units. Described in docs/bundle-format.md.

Belongs here: the generator. Not here: which samples are generated (converters), golden rows (golden.py).
Imported as edge_runtime.generated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Generated"]

GOLDEN_RATIO = 0x9E3779B9
STEPS = ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1))
"""Shifts and factors of `lowbias32`, from Christopher Wellons' search for integer hashes with little bias."""


class Generated(NamedTuple):
    """A tensor of ``dtype`` and ``shape`` whose value at place i (in C order) is drawn from [low, high].

    h is i + seed · 0x9E3779B9 (mod 2^32), hashed; a float is low + (high - low) · h / 2^32, in float64 and then
    rounded to ``dtype``; an integer is low + h mod (high - low + 1); a bool is whether h is odd.
    """

    dtype: str
    shape: tuple[int, ...]
    seed: int
    low: float
    high: float

    def array(self) -> NDArray[Any]:
        """Raises ValueError for bounds that are no range of the dtype."""
        whole = np.dtype(self.dtype).kind in "iu"
        if not self.low <= self.high or (whole and (self.low % 1 or self.high % 1)):
            raise ValueError(f"{self.low!r} to {self.high!r} is no range of {self.dtype}")
        size = int(np.prod(self.shape, dtype=np.int64))
        h = (np.arange(size, dtype=np.uint64) + np.uint64(self.seed * GOLDEN_RATIO % 2**32)).astype(np.uint32)
        for shift, factor in STEPS:
            h ^= h >> np.uint32(shift)
            h = (h.astype(np.uint64) * np.uint64(factor)).astype(np.uint32)
        values: NDArray[Any]
        if self.dtype == "bool":
            values = h % 2 == 1
        elif whole:
            values = h.astype(np.int64) % (int(self.high) - int(self.low) + 1) + int(self.low)
        else:
            values = self.low + (self.high - self.low) * (h / 2.0**32)
        return values.astype(self.dtype).reshape(self.shape)
