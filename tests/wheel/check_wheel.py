"""What is shipped: built from a copy of the sources, installed with no extras into an environment of its own.

Takes half a minute and installs packages, so `make test` leaves it out; `make wheel` and CI run it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def run(*command: str | Path, cwd: Path) -> str:
    """What ``command`` prints; fails with all of it if the command fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, text=True, capture_output=True)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


def contents(wheel: Path) -> dict[str, bytes]:
    """Name -> content of every file in ``wheel``."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def parts() -> dict[str, str]:
    """Import name -> top-level folder."""
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    halves = [line.split("=") for line in setup["options"]["package_dir"].split("\n") if line]
    return {name.strip(): folder.strip() for name, folder in halves}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, str]) -> Path:
    """A copy of what packaging reads, links included: builds leave nothing in the checkout and find nothing stale."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in parts.values():
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """The wheel, built from the tree."""
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", "direct", ".", cwd=sources)
    (built,) = (sources / "direct").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it lies in site-packages, with setup.cfg beside it for the tools that read it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    shutil.copy(ROOT / "setup.cfg", folder)
    return folder


@pytest.fixture(scope="module")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and what it asks for, no extras."""
    folder = tmp_path_factory.mktemp("device")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel, cwd=folder)
    return python


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path, parts: dict[str, str]) -> None:
    """Every module and type marker under its import name, the license, the metadata; no short name at the top."""
    expected = set()
    for package, folder in parts.items():
        for path in (ROOT / folder).rglob("*"):  # follows no link to a folder
            if path.suffix == ".py" or path.name == "py.typed":
                expected.add(f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder)}")
    names = set(contents(wheel))
    info = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    assert names - info == expected
    assert {name.partition("/")[2] for name in info} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt",
    }  # fmt: skip
    assert [contents(wheel)[name] for name in info if name.endswith("top_level.txt")] == [b"edge_runtime\n"]


def test_the_sdist_builds_the_same_wheel(sources: Path, wheel: Path) -> None:
    """Whoever builds from the sdist gets the bytes that we tested."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", "through", ".", cwd=sources)
    (built,) = (sources / "through").glob("*.whl")
    assert len(list((sources / "through").glob("*.tar.gz"))) == 1
    assert contents(built) == contents(wheel)


def test_a_bundle_answers_without_any_extra(device: Path, tmp_path: Path) -> None:
    """Converted here, loaded there: the same labels and probabilities as the source's."""
    run(sys.executable, "-P", HERE / "make_bundle.py", tmp_path, cwd=tmp_path)
    assert "50 rows as the source" in run(device, "-W", "error", HERE / "smoke.py", tmp_path, cwd=tmp_path)
    present = run(device, "-m", "pip", "list", "--format=freeze", cwd=tmp_path)
    assert not {"click", "onnx", "pandas", "scikit-learn"} & {line.partition("==")[0] for line in present.split()}


def test_edge_without_click_prints_the_line_that_installs_it(device: Path, tmp_path: Path) -> None:
    """The command exists on every device, and says in one line what it lacks."""
    command = [str(device.parent / "edge"), "inspect", "small.edge"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'edge-runtime[cli]'" in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_the_installed_wheel_is_typed(unpacked: Path) -> None:
    """mypy --strict over the packages under their installed names."""
    assert "Success" in run(sys.executable, "-m", "mypy", "-p", "edge_runtime", cwd=unpacked)


def test_a_users_type_checker_sees_the_types(device: Path, tmp_path: Path) -> None:
    """py.typed is in place: a user's strict program is judged by our annotations."""
    command = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", device)
    assert "Success" in run(*command, HERE / "user.py", cwd=tmp_path)


def test_the_arrows_hold_in_the_installed_wheel(unpacked: Path) -> None:
    """import-linter's contracts over the packages under their installed names."""
    tool = Path(sys.executable).parent / "lint-imports"
    assert " 0 broken" in run(tool, "--no-logo", "--no-cache", cwd=unpacked)
