"""What users would do instead, on the same data: the recipes of onnxruntime and Olive with their default arguments.

Both calibrate on the samples that our own search calibrates on. Olive lives in an environment of its own below out/,
made the first time.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import traceback
import venv
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from networks import OUT, Network, Tried
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_runtime.converters.samples import Feed

__all__ = ["peers"]

OLIVE = ("olive-ai==0.13.0", "onnxruntime", "requests", "torch")
"""With two that it needs and does not name."""
ROOT = Path(__file__).parents[2]
LONGEST = 900
"""Seconds that Olive may take for one recipe."""


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds, one after the other."""

    def __init__(self, feeds: list[Feed]) -> None:
        self.left = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self.left, None)


def peers(network: Network, feeds: list[Feed]) -> Iterator[Tried]:
    """Each recipe on the network's file; ``feeds`` are those to calibrate on."""
    folder = OUT / network.name / "peers"
    folder.mkdir(exist_ok=True)
    file, prepared = str(network.onnx), str(folder / "prepared.onnx")
    yield made("ort dynamic", folder, partial(quantize_dynamic, file))
    yield made("ort static", folder, partial(static, file, feeds))
    preparing = made("prepared", folder, partial(quant_pre_process, file))
    if preparing.path is None:
        yield Tried("ort prepared", None, preparing.said)
    else:
        yield made("ort prepared, dynamic", folder, partial(quantize_dynamic, prepared))
        yield made("ort prepared, static", folder, partial(static, prepared, feeds))
    stored: dict[str, Any] = {f"{i}/{name}": array for i, feed in enumerate(feeds) for name, array in feed.items()}
    np.savez(folder / "calibration.npz", **stored)
    for recipe in ("dynamic", "static"):
        yield made(f"olive {recipe}", folder, partial(olive, file, folder / "calibration.npz", recipe))


def static(file: str, feeds: list[Feed], target: str) -> None:
    quantize_static(file, target, Reader(feeds))


def made(name: str, folder: Path, recipe: Callable[[str], object]) -> Tried:
    """What the recipe writes, if onnxruntime opens it."""
    path = folder / f"{name.replace(',', '').replace(' ', '-')}.onnx"
    path.unlink(missing_ok=True)
    try:
        with silent(), contextlib.chdir(folder):  # one of them leaves files where it fails
            recipe(str(path))
            onnxruntime.InferenceSession(str(path), quiet_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever stops the usual way is a result
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        lines = [line for line in str(error).splitlines() if line.strip()] or [f"in {frame.f_globals['__name__']}"]
        return Tried(name, None, f"{type(error).__name__}: {lines[0].strip()}"[:160])
    return Tried(name, path)


def quiet_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without what the recipes print and log."""
    logging.disable(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(4)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def olive(file: str, calibration: Path, recipe: str, target: str) -> None:
    """Run Olive in its own environment. Raises RuntimeError with the last line of what it says."""
    command = [str(olive_python()), str(Path(__file__).with_name("olive_recipe.py"))]
    asked = json.dumps({"model": file, "calibration": str(calibration), "recipe": recipe, "target": target})
    try:
        done = subprocess.run([*command, asked], capture_output=True, text=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done after {LONGEST} s") from None
    if done.returncode or not os.path.exists(target):
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise RuntimeError(said[-1] if said else f"exit status {done.returncode}")


def olive_python() -> Path:
    """The interpreter of Olive's environment, made if there is none: as many of its packages as can are ours."""
    folder = OUT / "olive"
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        print(f"    making an environment for {OLIVE[0]}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install: list[Any] = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
        subprocess.run([*install, *OLIVE], check=True, stdout=sys.stderr)
        ready.touch()
    return python
