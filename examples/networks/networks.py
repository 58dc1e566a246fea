"""Seven real networks with real samples: three that PyPI packages ship, four trained here.

Each is made once and kept below out/: model.onnx (what `edge convert` takes), samples.npz (what its `--data` takes)
and, of networks trained here, the weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "OUT", "TARGET", "Made", "Network", "Samples", "Tried", "network"]

OUT = Path(__file__).parent / "out"
TARGET = "target"
"""The true answers, beside the tensors in samples.npz."""

Samples = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """``samples`` [N, ...] by input, ``target`` [N] the true answers, where there are any; ``source`` is what
    `edge_runtime.converters.convert` takes: a path, a torch module or a Keras model. ``seconds`` is what making it
    took."""

    name: str
    onnx: Path
    npz: Path
    source: Any = field(repr=False)
    samples: Samples = field(repr=False)
    target: NDArray[np.int64] | None = field(repr=False)
    seconds: float

    def __len__(self) -> int:
        return len(next(iter(self.samples.values())))


@dataclass(frozen=True)
class Made:
    """How a network is made: ``make`` writes model.onnx into a folder (and what ``source`` needs) and gives samples and
    target; ``source`` reads the network back from that folder."""

    make: Callable[[Path], tuple[Samples, NDArray[np.int64] | None]]
    source: Callable[[Path], Any]


@dataclass(frozen=True)
class Tried:
    """What a recipe wrote, a graph or a bundle, or None; and what is to be said of it: why there is none, if so."""

    name: str
    path: Path | None
    said: str = ""


def the_file(folder: Path) -> Path:
    """Of networks that are files only."""
    return folder / "model.onnx"


def recipes() -> dict[str, Made]:
    import digits
    import late
    import shipped

    return {
        "magika": Made(shipped.magika, the_file),
        "silero-vad": Made(shipped.silero_vad, the_file),
        "ppocr-cls": Made(shipped.ppocr_cls, the_file),
        "digits-cnn": Made(digits.cnn, digits.read_cnn),
        "digits-mlp": Made(digits.mlp, digits.read_mlp),
        "digits-cnn-keras": Made(digits.keras_cnn, digits.read_keras_cnn),
        "flights-mlp": Made(late.mlp, late.read_mlp),
    }


NAMES = ("magika", "silero-vad", "ppocr-cls", "digits-cnn", "digits-mlp", "digits-cnn-keras", "flights-mlp")


def network(name: str) -> Network:
    """One of NAMES, from out/ if it was made before."""
    made, folder = recipes()[name], OUT / name
    npz, told = folder / "samples.npz", folder / "made.json"
    if not told.exists():  # written last
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        samples, target = made.make(folder)
        stored: dict[str, Any] = samples if target is None else {**samples, TARGET: target}
        np.savez_compressed(npz, **stored)
        told.write_text(json.dumps({"seconds": round(time.perf_counter() - began, 1)}))
    with np.load(npz) as file:
        arrays = dict(file)
    target = arrays.pop(TARGET, None)
    seconds = json.loads(told.read_text())["seconds"]
    return Network(name, the_file(folder), npz, made.source(folder), arrays, target, seconds)


def main() -> None:
    for name in NAMES:
        made = network(name)
        shapes = ", ".join(f"{key} {array.dtype} {list(array.shape)}" for key, array in made.samples.items())
        kind = "agreement" if made.target is None else f"{len(np.unique(made.target))} classes"
        size = made.onnx.stat().st_size / 1e3
        print(f"{name:<17} {size:>7,.0f} kB  {shapes}; {kind}; made in {made.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
