"""The code map of README.md: one line for every module, its path and the first line of its header.

`make map` writes it into README.md; tests/shape/test_house.py compares it with the disk.
"""

from __future__ import annotations

import ast
import re
from configparser import ConfigParser
from pathlib import Path

TABLE = re.compile(r"(?<=\| file \| holds \|\n\|---\|---\|\n)(\| `.*\n)*")


def code_map(root: Path) -> list[str]:
    """The lines of the table, in the order of package_dir and of the paths within each part."""
    setup = ConfigParser(interpolation=None)
    setup.read(root / "setup.cfg", encoding="utf-8")
    folders = [line.partition("=")[2].strip() for line in setup["options"]["package_dir"].split("\n") if line]
    lines = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):  # follows no link to a folder
            header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            first = header.partition("\n")[0].rstrip(".:").replace("|", "\\|")
            lines.append(f"| `{path.relative_to(root)}` | {first} |")
    return lines


def main() -> None:
    """Write the table into README.md."""
    root = Path(__file__).resolve().parents[1]
    readme = root / "README.md"
    table = "".join(f"{line}\n" for line in code_map(root))
    readme.write_text(TABLE.sub(lambda _: table, readme.read_text(encoding="utf-8"), count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
