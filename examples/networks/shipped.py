"""Three networks that PyPI packages ship, fed exactly as these packages feed them.

Two of them are asked through their own package, with a session that writes down what it is given.
"""

from __future__ import annotations

import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from speech import RATE, recordings
from writing import lines

__all__ = ["magika", "ppocr_cls", "silero_vad"]

FILES = 8_000
OF_A_KIND = 1_000
"""Files of one ending, so that the others count."""
FRAMES = 10_000
FRAME = 512
LINES = 6_000

Feed = dict[str, NDArray[Any]]


class Session(Protocol):
    def run(self, names: list[str] | None, feed: Feed) -> list[NDArray[Any]]: ...


class Recording:
    """A session that keeps what it is asked."""

    def __init__(self, session: Session) -> None:
        self.session, self.feeds = session, list[Feed]()

    def run(self, names: list[str] | None, feed: Feed) -> list[NDArray[Any]]:
        self.feeds.append({name: np.asarray(value) for name, value in feed.items()})
        return self.session.run(names, feed)


def inside(package: str, file: str) -> Path:
    """A file that a package ships, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"this example needs {package}: make bench-networks installs it")
    return Path(spec.submodule_search_locations[0]) / file


def magika(folder: Path) -> tuple[Feed, None]:
    """What kind of file is it? The files are those of the Python installation and its packages."""
    from magika import Magika

    shutil.copy(inside("magika", "models/standard_v3_3/model.onnx"), folder / "model.onnx")
    asked: Any = Magika()
    recording = asked._onnx_session = Recording(asked._onnx_session)
    asked.identify_paths(local_files())
    return {"bytes": np.concatenate([feed["bytes"] for feed in recording.feeds])[:FILES].astype(np.int32)}, None


def local_files() -> list[Path]:
    """Files by chance, each ending OF_A_KIND times at most; more than are needed, since tiny ones are left out."""
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib", "scripts", "data")}
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    kinds: dict[str, int] = {}
    chosen = []
    for path in np.random.default_rng(0).permutation(np.array(sorted(found), object)).tolist():
        kinds[path.suffix] = kinds.get(path.suffix, 0) + 1
        if kinds[path.suffix] <= OF_A_KIND and path.stat().st_size:
            chosen.append(path)
    return chosen[: FILES + FILES // 5]


def silero_vad(folder: Path) -> tuple[Feed, None]:
    """Is somebody speaking? Frame by frame, each with the state that the frames before it left."""
    import torch
    from silero_vad.utils_vad import OnnxWrapper

    shutil.copy(inside("silero_vad", "data/silero_vad.onnx"), folder / "model.onnx")
    asked: Any = OnnxWrapper(str(folder / "model.onnx"), force_onnx_cpu=True)
    recording = asked.session = Recording(asked.session)
    for audio in recordings(FRAMES * FRAME):
        asked.reset_states()
        for frame in np.split(audio[: len(audio) // FRAME * FRAME], len(audio) // FRAME):
            asked(torch.from_numpy(frame), RATE)
    feeds = recording.feeds[:FRAMES]
    return {
        "input": np.concatenate([feed["input"] for feed in feeds]),
        "state": np.stack([feed["state"] for feed in feeds]),
        "sr": np.stack([feed["sr"] for feed in feeds]),
    }, None


def ppocr_cls(folder: Path) -> tuple[Feed, NDArray[np.int64]]:
    """Is this line of text upside down? (0: no, 1: yes)"""
    from rapidocr_onnxruntime import RapidOCR

    shutil.copy(inside("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"), folder / "model.onnx")
    prepared = RapidOCR().text_cls.resize_norm_img
    pictures, turned = lines(LINES)
    return {"x": np.stack([prepared(picture) for picture in pictures])}, turned
