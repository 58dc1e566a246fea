"""scikit-learn's handwritten digits, 8 × 8 pixels: a CNN and an MLP in PyTorch, the same CNN in Keras.

600 of the 1,797 digits are held out; the samples are 20 copies of each of them, turned, shifted and made noisy.
Training sees copies of the other 1,197 digits.
"""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.datasets import load_digits
from torch import nn
from training import read, train, write

__all__ = ["cnn", "keras_cnn", "mlp", "read_cnn", "read_keras_cnn", "read_mlp"]

HELD_OUT = 600
COPIES = 20
EPOCHS = 40

Images = NDArray[np.float32]
Classes = NDArray[np.int64]


def digits() -> tuple[Images, Classes, Images, Classes]:
    """Images [N, 8, 8] from 0 to 1, and classes, to train on and to judge by: no digit is in both."""
    images, classes = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    held, kept = order[:HELD_OUT], order[HELD_OUT:]
    return images[kept], classes[kept], images[held], classes[held]


def changed(images: Images, rng: np.random.Generator) -> Images:
    """One copy of each, turned by some degrees, shifted by less than a pixel, with a little noise."""
    turns, shifts = rng.normal(0, 8, len(images)), rng.uniform(-0.8, 0.8, (len(images), 2))
    made = np.empty_like(images)
    for i, image in enumerate(images):
        turned = ndimage.rotate(image, float(turns[i]), reshape=False, order=1)
        made[i] = ndimage.shift(turned, shifts[i], order=1)
    noisy = made + rng.normal(0, 0.05, made.shape)
    return np.asarray(noisy.clip(0, 1), np.float32)


def samples() -> tuple[Images, Classes]:
    _, _, images, classes = digits()
    rng = np.random.default_rng(1)
    copies = np.concatenate([changed(images, rng) for _ in range(COPIES)])
    return copies, np.tile(classes, COPIES)


def fresh(images: Images, classes: Classes, rng: np.random.Generator) -> tuple[Images, Classes]:
    """Four copies of each digit, with the axis of channels."""
    copies = np.concatenate([changed(images, rng) for _ in range(4)])
    return copies[:, None], np.tile(classes, 4)


class Images8x8(nn.Module):  # type: ignore[misc]
    """A network of [N, 1, 8, 8] ``images``: logits [N, 10]."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images)
        return logits


def new_cnn() -> Images8x8:
    return Images8x8(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(128 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def new_mlp() -> Images8x8:
    return Images8x8(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def trained(module: Images8x8, folder: Path) -> tuple[dict[str, Images], Classes]:
    images, classes, _, _ = digits()
    train(module, partial(fresh, images, classes, np.random.default_rng(2)), epochs=EPOCHS, batch=128)
    judged_by, truth = samples()
    write(module, judged_by[:2, None], "images", folder)
    return {"images": judged_by[:, None]}, truth


def cnn(folder: Path) -> tuple[dict[str, Images], Classes]:
    torch.manual_seed(0)
    return trained(new_cnn(), folder)


def mlp(folder: Path) -> tuple[dict[str, Images], Classes]:
    torch.manual_seed(0)
    return trained(new_mlp(), folder)


def read_cnn(folder: Path) -> Any:
    return read(new_cnn(), folder)


def read_mlp(folder: Path) -> Any:
    return read(new_mlp(), folder)


def keras_cnn(folder: Path) -> tuple[dict[str, Images], Classes]:
    """As `new_cnn`, channels last, as Keras has them; exported by Keras."""
    keras = with_torch()
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="images"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(128, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.AdamW(2e-3), "sparse_categorical_crossentropy")
    images, classes, _, _ = digits()
    rng = np.random.default_rng(2)
    for _ in range(EPOCHS // 2):
        copies, truth = fresh(images, classes, rng)
        model.fit(copies[:, 0, ..., None], truth, batch_size=128, verbose=0)
    model.save(folder / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the tracer are of Keras' own code
        model.export(folder / "model.onnx", format="onnx", verbose=False)
    judged_by, truth = samples()
    return {"images": judged_by[..., None]}, truth


def read_keras_cnn(folder: Path) -> Any:
    return with_torch().saving.load_model(folder / "model.keras")


def with_torch() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    return keras
