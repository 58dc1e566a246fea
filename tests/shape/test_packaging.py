"""setup.cfg and constraints.txt say what is there: packages, entry points, versions, dependencies."""

from __future__ import annotations

import ast
import re
import sys
from configparser import ConfigParser
from importlib.metadata import distribution, entry_points, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

from edge_runtime.version import VERSION

# _sha256 became _sha2 in Python 3.12; bundle.py tries both.
STDLIB = sys.stdlib_module_names | {"_sha2", "_sha256"}
GROUPS = ("console_scripts", "edge_runtime.commands", "edge_runtime.sources")


def lines(text: str) -> list[str]:
    """The entries of a list in setup.cfg."""
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def normal(name: str) -> str:
    """A distribution's name in its one normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(setup: ConfigParser) -> dict[str, list[Requirement]]:
    """Extra -> what it asks for; the core's own under the empty name."""
    listed = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {extra: [Requirement(line) for line in lines(text)] for extra, text in listed.items()}


def closure(wanted: dict[str, list[Requirement]], extra: str) -> set[str]:
    """The distributions that ``extra`` brings by name, through the extras that it includes."""
    found = set()
    for requirement in wanted[extra]:
        if requirement.name == "edge-runtime":
            found |= set().union(*(closure(wanted, other) for other in requirement.extras))
        else:
            found.add(normal(requirement.name))
    return found


def pins(root: Path) -> dict[str, str]:
    """Distribution -> version, as constraints.txt pins them."""
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    return dict(line.partition(";")[0].strip().split("==") for line in text.splitlines() if not line.startswith("#"))


def test_packages_are_the_folders_on_disk(setup: ConfigParser, modules: dict[str, Path]) -> None:
    """A forgotten line works in an editable install and is silently missing from the wheel."""
    on_disk = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in modules.items()}
    assert sorted(lines(setup["options"]["packages"])) == sorted(on_disk)


def test_every_package_has_an_init(modules: dict[str, Path]) -> None:
    """A folder without one is a namespace package, which other distributions could extend."""
    folders = {path.parent for path in modules.values()}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_folder_of_code_is_mapped(root: Path, parts: dict[str, str]) -> None:
    """A new top-level package needs its line in package_dir, and lies below edge_runtime once installed."""
    assert sorted(path.parent.name for path in root.glob("*/__init__.py")) == sorted(parts.values())
    assert all(name == "edge_runtime" or name == f"edge_runtime.{folder}" for name, folder in parts.items())


def test_every_part_is_typed(root: Path, setup: ConfigParser, parts: dict[str, str]) -> None:
    """A user's type checker reads our annotations only where py.typed is installed."""
    assert dict(setup["options.package_data"]) == dict.fromkeys(parts, "py.typed")
    assert [folder for folder in parts.values() if not (root / folder / "py.typed").is_file()] == []


def test_the_version_literal_is_the_installed_version() -> None:
    """The literal exists because reading the metadata costs a fifth of the cold start."""
    assert distribution("edge-runtime").version == VERSION


def test_entry_points_are_sorted_and_resolve(setup: ConfigParser) -> None:
    """Every command, script and source that the metadata names can be loaded."""
    for group in GROUPS:
        listed = lines(setup["options.entry_points"][group])
        assert listed == sorted(listed), group
        installed = {point.name: point for point in entry_points(group=group)}
        for line in listed:
            name, _, target = line.partition(" = ")
            assert installed[name].value == target, f"{group} {name}: run make dev again"
            assert installed[name].load() is not None


def test_every_range_has_both_ends(setup: ConfigParser) -> None:
    """A dependency without an upper bound breaks an old release on the day the other side changes."""
    for extra, wanted in requirements(setup).items():
        for requirement in wanted:
            operators = sorted(specifier.operator for specifier in requirement.specifier)
            assert requirement.name == "edge-runtime" or operators == ["<", ">="], f"{extra}: {requirement}"


def test_the_core_needs_numpy_and_onnxruntime_only(setup: ConfigParser) -> None:
    """A device installs nothing else."""
    assert closure(requirements(setup), "") == {"numpy", "onnxruntime"}


def test_all_is_every_extra_but_the_tools(setup: ConfigParser) -> None:
    """`all` is what runs together in one environment, and everything does."""
    wanted = requirements(setup)
    everything = set().union(*(closure(wanted, extra) for extra in wanted if extra not in ("", "all", "dev")))
    assert closure(wanted, "all") == everything


def test_constraints_pin_every_requirement_within_its_range(root: Path, setup: ConfigParser) -> None:
    """The one tested set holds a version of everything that setup.cfg asks for, and one that it allows."""
    pinned = pins(root)
    for wanted in requirements(setup).values():
        for requirement in wanted:
            if requirement.name != "edge-runtime":
                assert requirement.specifier.contains(pinned[normal(requirement.name)]), requirement


def test_what_is_installed_beside_us_is_pinned(root: Path) -> None:
    """What a requirement of ours requires is pinned as well, so that tomorrow's install is today's."""
    pinned, seen, waiting = pins(root), set(), ["edge-runtime[dev]"]
    while waiting:
        requirement = Requirement(waiting.pop())
        for line in distribution(requirement.name).requires or []:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            if str(needed) not in seen:
                seen.add(str(needed))
                waiting.append(f"{needed.name}[{','.join(needed.extras)}]" if needed.extras else needed.name)
    assert sorted({normal(Requirement(line).name) for line in seen} - pinned.keys() - {"edge-runtime"}) == []


def test_constraints_name_no_place(root: Path) -> None:
    """Names and versions only: no host, no path, no editable checkout."""
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[0-9a-z.]+( ; (os_name|sys_platform) == .+)?", line), line
        assert not re.search(r"://|@|-e |/[a-z]+/", line), line


def test_what_a_module_imports_is_declared(
    setup: ConfigParser, parts: dict[str, str], modules: dict[str, Path]
) -> None:
    """A package that only happens to come along with another one is gone on the day that one drops it."""
    wanted = requirements(setup)
    declared = set().union(*(closure(wanted, extra) for extra in wanted if extra != "dev"))
    belongs = packages_distributions()
    undeclared = []
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                imported = [node.module]
            else:
                continue
            for top in {entry.partition(".")[0] for entry in imported} - STDLIB - {"edge_runtime"}:
                if top in parts.values():
                    undeclared.append(f"{name} line {node.lineno}: write edge_runtime.{top}")
                elif not declared & {normal(owner) for owner in belongs.get(top, [top])}:
                    undeclared.append(f"{name} line {node.lineno}: {top} is in no extra of setup.cfg")
    assert undeclared == []
