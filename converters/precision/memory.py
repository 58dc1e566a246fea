"""The memory that a graph needs: the peak of a fresh process that opens it and answers once.

Belongs here: that one figure. Not here: a bundle's footprint in phases (edge_runtime.benchmarks).
Imported as edge_runtime.converters.precision.memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import numpy as np

from edge_runtime.errors import BundleError, InputError
from edge_runtime.manifest import Variant

from ..samples import Feed

__all__ = ["peak_memory"]

# The peak is that of the whole process, numpy and onnxruntime included: what a device has to spare.
SCRIPT = """
import sys
import edge_runtime, numpy
from edge_runtime.session import open_session
graph, feed, threads, largest, precise = sys.argv[1:]
session = open_session(
    open(graph, "rb").read(), threads=int(threads), largest_tensor=int(largest), precise=precise == "True"
)
with numpy.load(feed) as held:
    session.run(None, {name: held[name] for name in held.files})
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_memory(graph: bytes, variant: Variant, feed: Feed, threads: int) -> int:
    """Bytes. Raises InputError where the system does not tell a process' peak, BundleError if the process fails."""
    if not os.path.exists("/proc/self/status"):
        raise InputError("this system does not tell a process' peak of memory", expected="Linux, or another objective")
    with tempfile.TemporaryDirectory() as folder:
        model, tensors = os.path.join(folder, "graph.onnx"), os.path.join(folder, "feed.npz")
        with open(model, "wb") as file:
            file.write(graph)
        np.savez(tensors, allow_pickle=False, **feed)
        told = (model, tensors, str(threads), str(variant.largest_tensor), str(variant.precise))
        done = subprocess.run([sys.executable, "-P", "-c", SCRIPT, *told], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BundleError(f"a process that measures memory failed: {lines[-1]}")
    return int(done.stdout) * 1024
