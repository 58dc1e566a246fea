"""Is a flight late? An MLP in PyTorch on the numbers of examples/flights: it learns from 100,000 of them, the others
are the samples."""

from __future__ import annotations

import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from training import read, train, write

sys.path.append(str(Path(__file__).parents[1] / "flights"))

from flights import arrived

__all__ = ["mlp", "read_mlp"]

TRAINED_ON = 100_000
COLUMNS = 10

Rows = NDArray[np.float32]
Classes = NDArray[np.int64]


@cache
def flights() -> tuple[Rows, Classes]:
    """The columns of numbers, [327346, 10] in an order drawn by chance, scaled by the first TRAINED_ON of them."""
    frame, late = arrived()
    rows = frame.select_dtypes("number").to_numpy(np.float64)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, late = rows[order], late[order]
    seen = rows[:TRAINED_ON]
    return ((rows - seen.mean(axis=0)) / seen.std(axis=0)).astype(np.float32), late.astype(np.int64)


class Late(nn.Module):  # type: ignore[misc]
    """``flights`` [N, 10]: logits [N, 2] of in time and late."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(COLUMNS, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
            nn.Linear(128, 2),
        )  # fmt: skip

    def forward(self, flights: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(flights)
        return logits


def mlp(folder: Path) -> tuple[dict[str, Rows], Classes]:
    torch.manual_seed(0)
    rows, late = flights()
    module = Late()
    seen = partial(lambda *arrays: arrays, rows[:TRAINED_ON], late[:TRAINED_ON])
    train(module, seen, epochs=8, batch=512)
    write(module, rows[:2], "flights", folder)
    return {"flights": rows[TRAINED_ON:]}, late[TRAINED_ON:]


def read_mlp(folder: Path) -> Any:
    return read(Late(), folder)
