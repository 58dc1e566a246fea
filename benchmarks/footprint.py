"""What a model takes of the memory, phase by phase, in a pass of its own; and what it takes on the disk.

Belongs here: `Memory`, the script of the pass, sizes of installed packages. Not here: time.
Imported as edge_runtime.benchmarks.footprint; `Memory` and `memory` are public in edge_runtime.benchmarks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from .environment import Environment
from .fresh import run_script
from .opening import file_target
from .settings import Settings
from .stored import Stored

__all__ = ["Memory", "MemoryPhase", "installed_bytes", "memory"]

PACKAGES = ("numpy", "onnxruntime", "edge-runtime")
RUNS = 200

# VmHWM is the peak since the process began, or since 5 was last written to clear_refs, where that works: told by a peak
# that has fallen back to what is held now.
SCRIPT = """
import json, os, sys
asked = json.loads(sys.argv[1])
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
def status():
    try:
        with open("/proc/self/status") as lines:
            found = dict(line.split(":", 1) for line in lines)
        return {name: int(found[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS")}
    except (OSError, KeyError):
        return {}
def pss():
    try:
        with open("/proc/self/smaps_rollup") as lines:
            return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)
    except OSError:
        return None
def reset():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    now = status()
    return bool(now) and now["VmHWM"] <= now["VmRSS"] + 2**20
big = bytearray(2**25); big[::4096] = bytes(len(big[::4096])); del big
works = reset()
phases = []
def phase(name):
    now = status()
    phases.append([name, now.get("VmHWM"), now.get("VmRSS"), pss()])
    if works:
        reset()
phase("interpreter")
import numpy
phase("numpy")
import onnxruntime
phase("onnxruntime")
import edge_runtime
model = edge_runtime.load(asked["path"], threads=asked["threads"], variant=asked["variant"])
phase("session")
from edge_runtime.benchmarks.opening import of_model
call = of_model(model, "", asked["inputs"]).new_call()
if works:
    reset()
for _ in range(asked["runs"]):
    call()
phase("runs")
print(json.dumps({"works": works, "phases": phases}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPhase(Stored):
    """At the end of a phase: its peak, what the process held then, and its share of that where pages are shared; None
    where the system does not say it."""

    name: str
    peak_rss_bytes: int | None
    rss_bytes: int | None
    pss_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Stored):
    """The phases of one fresh process: interpreter, numpy, onnxruntime, session (`edge_runtime.load`), 200 runs; the
    last one includes what finds the rows to ask with. Where ``peak_is_per_phase`` is False, a peak is that of all
    phases so far. ``model_bytes`` is the file's, ``installed_bytes`` that of each package that a device needs."""

    target: str
    phases: tuple[MemoryPhase, ...]
    peak_is_per_phase: bool
    model_bytes: int
    installed_bytes: dict[str, int]
    environment: Environment


def memory(target: str, *, settings: Settings | None = None, inputs: str | None = None) -> Memory:
    """Measure the memory of ``target``, a file, in a fresh process that measures nothing else.

    Raises InputError for a target that is no file and for settings other than threads, and what `open_target` raises.
    """
    settings = settings if settings is not None else Settings()
    asked = file_target(target, settings, inputs)
    found = run_script(SCRIPT, {**asked, "runs": RUNS}, settings.threads)
    phases = tuple(
        MemoryPhase(name=name, peak_rss_bytes=peak, rss_bytes=rss, pss_bytes=pss)
        for name, peak, rss, pss in found["phases"]
    )
    return Memory(
        target=os.path.basename(target),
        phases=phases,
        peak_is_per_phase=found["works"],
        model_bytes=os.path.getsize(asked["path"]),
        installed_bytes=installed_bytes(),
        environment=Environment.here(threads=settings.threads),
    )


def installed_bytes() -> dict[str, int]:
    """The size of the files of each package that a device needs; of an editable install, what that has copied."""
    from importlib.metadata import PackageNotFoundError, files

    found = {}
    for package in PACKAGES:
        try:
            listed = files(package) or []
        except PackageNotFoundError:
            continue
        paths = [str(file.locate()) for file in listed]
        found[package] = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    return found
