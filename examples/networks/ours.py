"""Our own conversions of a network: its file by the command, as a user would, and what it was made of by a call."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from networks import OUT, TARGET, Network, Tried

from edge_runtime.converters import convert
from edge_runtime.errors import EdgeError

__all__ = ["MAX_DROP", "ours"]

MAX_DROP = 0.005


def ours(network: Network) -> Iterator[Tried]:
    yield by_command(network, "size")
    yield by_call(network, "latency")


def by_command(network: Network, objective: str) -> Tried:
    """`edge convert model.onnx --data samples.npz`: no hand work."""
    name, folder = f"ours, {objective}", OUT / network.name
    path = folder / f"{objective}.edge"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "edge_runtime", "convert", str(network.onnx), "-o", str(path)]
    command += ["--data", str(network.npz), *(["--target", TARGET] if network.target is not None else [])]
    command += ["--max-drop", f"{MAX_DROP:.1%}", "--objective", objective]
    command += ["--report", str(path.with_suffix(".html")), "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Tried(name, None, f"exit status {done.returncode}: {said[-1] if said else ''}")
    found = json.loads(done.stdout)["precision"]["candidates"]
    said_of = [(each["name"], each["verdict"], each["reason"]) for each in found]
    return Tried(name, path, f"edge convert, {time.perf_counter() - began:.0f} s: {chosen(said_of)}")


def by_call(network: Network, objective: str) -> Tried:
    """`convert` of the module, the Keras model or the file that it comes from."""
    name, path = f"ours, {objective}", OUT / network.name / f"{objective}.edge"
    began = time.perf_counter()
    wanted: dict[str, Any] = {"name": network.name, "version": "1", "max_drop": MAX_DROP, "objective": objective}
    try:
        made = convert(network.source, data=network.samples, target=network.target, **wanted)
    except EdgeError as error:
        return Tried(name, None, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    made.save(path)
    said_of = [(each.name, str(each.verdict), each.reason) for each in made.candidates]
    return Tried(name, path, f"convert, {time.perf_counter() - began:.0f} s: {chosen(said_of)}")


def chosen(candidates: list[tuple[str, str, str]]) -> str:
    """What was chosen, and why; or why nothing was."""
    for name, verdict, reason in candidates:
        if verdict == "chosen":
            return f"{name}, {reason}"
    why = [f"{name}: {reason}" for name, verdict, reason in candidates if verdict in ("refused", "no gain")]
    return "; ".join(["float32 kept", *why[:3]])
