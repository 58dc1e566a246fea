"""What a newcomer is told about the house is true: the code map, the headers, the public names, the contracts."""

from __future__ import annotations

import ast
import re
import runpy
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType

import edge_runtime


def test_the_code_map_is_the_disk(root: Path, modules: dict[str, Path]) -> None:
    """README has one line for every module: its path and the first line of its header. `make map` writes them."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    lines: list[str] = runpy.run_path(str(root / "docs" / "code_map.py"))["code_map"](root)
    mapped = re.findall(r"^\| `((?:[a-z_]+/)+[a-z_]+\.py)` \|", readme, re.MULTILINE)
    on_disk = {str(path.relative_to(root)) for path in modules.values()}
    assert set(mapped) ^ on_disk == set(), "run make map"
    assert len(mapped) == len(set(mapped))
    assert [line for line in lines if f"{line}\n" not in readme] == [], "run make map"


def test_every_header_says_its_import_name(modules: dict[str, Path]) -> None:
    """Repository path and import name differ for a spoke, so each file says under which name it is imported."""
    silent = []
    for name, path in modules.items():
        header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if not re.search(rf"\bImported as {re.escape(name)}(?![\w.]*\w)", header):
            silent.append(f"{path}: the header lacks 'Imported as {name}'")
    assert silent == []


def test_every_header_begins_with_one_sentence(modules: dict[str, Path]) -> None:
    """The first line stands alone in the code map."""
    headers = {path: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in modules.values()}
    assert [str(path) for path, text in headers.items() if not re.match(r".+[.:](\n\n|$)", text)] == []


def test_public_names_are_sorted_documented_and_there(root: Path) -> None:
    """A name enters or leaves the public interface only together with its line in README."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Public names\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^- `(\w+)`", section, re.MULTILINE)
    assert list(edge_runtime.__all__) == sorted(edge_runtime.__all__)
    assert sorted(documented) == list(edge_runtime.__all__)
    present = {name for name, value in vars(edge_runtime).items() if not isinstance(value, ModuleType)}
    assert {name for name in present if not name.startswith("_")} <= set(edge_runtime.__all__)
    assert set(edge_runtime.__all__) <= present


def test_public_names_have_a_docstring() -> None:
    """`help(edge_runtime.X)` answers for every public class and function."""
    values = {name: getattr(edge_runtime, name) for name in edge_runtime.__all__ if name != "__version__"}
    assert [name for name, value in values.items() if not value.__doc__] == []


def test_the_import_contracts_name_every_part(setup: ConfigParser, parts: dict[str, str]) -> None:
    """import-linter holds the arrows between the parts that its contracts name; these are all of them."""
    spokes = sorted(set(parts) - {"edge_runtime"})
    assert sorted(setup["importlinter:contract:spokes"]["protected_modules"].split()) == spokes
    for contract in ("extras", "commands"):
        allowed = setup[f"importlinter:contract:{contract}"]["allowed_importers"].split()
        assert set(allowed) - {"edge_runtime.__main__", "edge_runtime.commands"} == set(spokes)
    needing = {"edge_runtime.answers", "edge_runtime.rows", "edge_runtime.mlflow", "edge_runtime.report"}
    core = {f"edge_runtime.{path.stem}" for path in Path(edge_runtime.__path__[0]).iterdir()}
    assert set(setup["importlinter:contract:extras"]["protected_modules"].split()) == needing & core
