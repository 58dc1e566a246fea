"""What the shape tests read: the repository's root, setup.cfg, and every module by its import name."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def setup(root: Path) -> ConfigParser:
    """setup.cfg."""
    parser = ConfigParser(interpolation=None)
    parser.read(root / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="session")
def parts(setup: ConfigParser) -> dict[str, str]:
    """Import name -> top-level folder, as package_dir maps them."""
    lines = setup["options"]["package_dir"].split("\n")
    halves = [line.split("=") for line in lines if line]
    return {name.strip(): folder.strip() for name, folder in halves}


@pytest.fixture(scope="session")
def modules(root: Path, parts: dict[str, str]) -> dict[str, Path]:
    """Import name -> file, for every module on disk, seen once although `make dev` links the spokes below the core."""
    found = {}
    for package, folder in parts.items():
        for path in sorted((root / folder).rglob("*.py")):  # follows no link to a folder
            names = path.relative_to(root / folder).with_suffix("").parts
            found[".".join([package, *(name for name in names if name != "__init__")])] = path
    return found
