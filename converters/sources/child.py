"""Files that another library's parser reads, in a process of its own.

A damaged file can lead such a parser beyond its buffers, keep it busy for ever, or have it ask for all memory. Then it
is the child that ends. What it gives back is the library's own writing of what it read, to be checked by the caller.

Belongs here: starting the child, its limits, why it failed. Not here: what it runs, what is made of its answer (the
readers beside this module).
Imported as edge_runtime.converters.sources.child.
"""

from __future__ import annotations

import signal
import subprocess
import sys

__all__ = ["ChildError", "run"]

SECONDS = 300
LIMITS = """\
import os, sys
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
out, sys.stdout = sys.stdout.buffer, sys.stderr  # libraries log to stdout
sys.excepthook = lambda kind, error, trace: print(str(error).partition("\\n")[0] or kind.__name__, file=sys.stderr)
path = sys.argv[1]
try:
    import resource
    most = 4 * 2**30 + 64 * os.path.getsize(path)  # threads included: a number in the file decides what is asked for
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError):  # another system than Linux
    pass
"""


class ChildError(Exception):
    """Why the child gave no answer, in one line."""


def run(code: str, path: str, *others: str) -> bytes:
    """What ``code`` writes to ``out``. It finds the file's name in ``path``, and ``others`` behind it in sys.argv.

    Raises ChildError where it fails, crashes or does not come to an end.
    """
    command = [sys.executable, "-P", "-c", LIMITS + code, path, *others]
    try:
        child = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ChildError(f"reading it does not come to an end within {SECONDS} s") from None
    if child.returncode < 0:
        raise ChildError(f"reading it crashes, {signal.Signals(-child.returncode).name}")
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines() or [f"status {child.returncode}"]
        raise ChildError(said[-1][:200])
    return child.stdout
