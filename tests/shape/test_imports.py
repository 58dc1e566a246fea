"""What importing loads, seen in fresh processes, and under which names our own tests import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

# Each costs cold start, memory or trust on a device: nothing may load them to load a bundle.
HEAVY = {
    "asyncio", "click", "concurrent.futures", "ctypes", "email", "fastapi", "hashlib", "http", "importlib.metadata",
    "joblib", "logging", "mlflow", "msgspec", "multiprocessing", "onnx", "pandas", "pathlib", "pickle", "polars",
    "pyarrow", "rich", "scipy", "skl2onnx", "sklearn", "socket", "subprocess", "tempfile", "torch", "urllib", "zipfile",
}  # fmt: skip


def loaded(statement: str) -> set[str]:
    """The modules that a fresh process holds after ``statement``."""
    program = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    """`import edge_runtime` costs what numpy and onnxruntime cost, and next to nothing more."""
    new = loaded("import edge_runtime") - loaded("import numpy, onnxruntime")
    assert "edge_runtime" in new
    assert new & HEAVY == set()
    assert {name.partition(".")[0] for name in new} - sys.stdlib_module_names <= {
        "edge_runtime",
        "numpy",
        "onnxruntime",
    }


def test_importing_loads_no_spoke(parts: dict[str, str]) -> None:
    """A spoke loads when it is named, and a command when it is called."""
    spokes = set(parts) - {"edge_runtime"}
    files = {"edge_runtime.answers", "edge_runtime.rows"}
    assert loaded("import edge_runtime") & {*spokes, *files, "edge_runtime.commands"} == set()


def test_help_loads_click_and_nothing_else_of_weight() -> None:
    """`edge --help` loads every command module, so their top imports click only."""
    new = loaded("import importlib.metadata as m; [p.load() for p in m.entry_points(group='edge_runtime.commands')]")
    assert "edge_runtime.commands.inspect" in new
    foreign = {name for name in HEAVY if name.partition(".")[0] not in sys.stdlib_module_names}
    assert new & foreign == {"click"}


def test_tests_import_the_installed_names_only(root: Path, parts: dict[str, str]) -> None:
    """`converters.x` and `edge_runtime.converters.x` would be two module objects, with two classes of each name."""
    short, spokes = [], set(parts.values()) - {"edge_runtime"}
    for path in sorted([*root.glob("tests/**/*.py"), *root.glob("examples/*/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            short += [f"{path}:{node.lineno}" for name in names if name.partition(".")[0] in spokes]
    assert short == []
