"""Text as it is at hand everywhere (Python's own reference), and pictures of its lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["lines", "prose"]


def prose() -> list[str]:
    """Words, in the order of the text."""
    from pydoc_data.topics import topics

    return [word for topic in sorted(topics) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9'.,:()-]*", topics[topic])]


def lines(count: int, seed: int = 0) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Pictures [height, width, 3] of lines of text, and whether each was turned by 180 degrees: every second one is.

    Fonts are those that matplotlib ships; slant, blur, contrast and noise are drawn for each.
    """
    rng, words, fonts = np.random.default_rng(seed), prose(), readable_fonts()
    turned = rng.permutation(np.arange(count) % 2)
    pictures = []
    for upside_down in turned.tolist():
        start = int(rng.integers(len(words) - 8))
        text = " ".join(words[start : start + int(rng.integers(1, 6))])[:40]
        pictures.append(picture(text, fonts[int(rng.integers(len(fonts)))], bool(upside_down), rng))
    return pictures, turned.astype(np.int64)


def readable_fonts() -> list[Path]:
    import matplotlib

    names = "DejaVuSans*.ttf", "DejaVuSerif*.ttf", "STIXGeneral*.ttf", "cmr10.ttf", "cmss10.ttf", "cmtt10.ttf"
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return sorted(path for name in names for path in folder.glob(name) if "Display" not in path.name)


def picture(text: str, font: Path, upside_down: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    face = ImageFont.truetype(str(font), int(rng.integers(14, 48)))
    left, top, right, bottom = face.getbbox(text)
    edge = int(rng.integers(1, 10))
    size = int(right - left) + 2 * edge, int(bottom - top) + 2 * edge
    paper, ink = shades(rng)
    page = Image.new("RGB", size, paper)
    ImageDraw.Draw(page).text((edge - left, edge - top), text, fill=ink, font=face)
    page = page.rotate(
        float(rng.normal(0, 1.5)) + (180 if upside_down else 0), Image.Resampling.BILINEAR, fillcolor=paper
    )
    if rng.random() < 0.5:
        page = page.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 2.0))))
    noisy = np.asarray(page, np.float64) + rng.normal(0, rng.uniform(0, 25), (size[1], size[0], 3))
    return noisy.clip(0, 255).astype(np.uint8)


def shades(rng: np.random.Generator) -> tuple[Any, Any]:
    """Two colours that can be told apart."""
    while True:
        paper, ink = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        if abs(float(paper.mean() - ink.mean())) > 50:
            return tuple(paper.tolist()), tuple(ink.tolist())
