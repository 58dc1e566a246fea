"""Training a PyTorch module to tell classes apart, and writing it down as weights and as ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["read", "train", "write"]

Drawn = Callable[[], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""Features and classes of one epoch, drawn anew each time."""


def train(module: nn.Module, epoch: Drawn, *, epochs: int, batch: int, rate: float = 2e-3) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        features, classes = (torch.from_numpy(array) for array in epoch())
        for part in torch.randperm(len(features)).split(batch):
            loss = nn.functional.cross_entropy(module(features[part]), classes[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    module.eval()


def write(module: nn.Module, example: NDArray[np.float32], name: str, folder: Path) -> None:
    """weights.pt, and model.onnx as PyTorch's own exporter writes it: any number of rows, the input called ``name``."""
    torch.save(module.state_dict(), folder / "weights.pt")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it regrets that torchvision is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the exporter are of its own code
        program = torch.onnx.export(
            module,
            (torch.from_numpy(example),),
            input_names=[name],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(folder / "model.onnx")


def read(module: nn.Module, folder: Path) -> Any:
    module.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return module.eval()
