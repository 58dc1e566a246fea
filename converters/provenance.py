"""Where a bundle comes from: library versions, the fingerprint of the data, the time.

Belongs here: collecting it. Not here: what is done with it (edge inspect shows it).
Imported as edge_runtime.converters.provenance.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd

from edge_runtime.bundle import sha256
from edge_runtime.version import VERSION

from .samples import Samples

__all__ = ["fingerprint", "fingerprint_of_tensors", "now", "provenance"]


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 over the column names, dtypes and row hashes of ``frame``: the same rows in the same order give the
    same."""
    hashed = pd.util.hash_pandas_object(frame, index=False).to_numpy(np.uint64)
    head = repr([(str(name), str(dtype)) for name, dtype in frame.dtypes.items()]).encode("utf-8")
    return "sha256:" + sha256(head + hashed.tobytes())


def fingerprint_of_tensors(samples: Samples) -> str:
    """SHA-256 over the names, dtypes, shapes and values of all samples, in their order."""
    hashed = sha256(b"")
    for i in range(len(samples)):
        for name, values in sorted(samples.feed(i).items()):
            head = repr((hashed, name, values.dtype.name, values.shape)).encode("utf-8")
            raw = repr(values.tolist()).encode("utf-8") if values.dtype == object else values.tobytes()
            hashed = sha256(head + raw)
    return "sha256:" + hashed


def provenance(
    framework: str, libraries: Iterable[str], rows: int, fingerprint: str, origin: dict[str, str]
) -> dict[str, str]:
    """Text by name; ``origin`` says where the source came from."""
    made = {
        "source": framework,
        "edge-runtime": VERSION,
        "python": platform.python_version(),
        "data.rows": str(rows),
        "data.fingerprint": fingerprint,
        **origin,
    }
    for library in libraries:
        try:
            made[f"library.{library}"] = version(library)
        except PackageNotFoundError:
            continue
    return made
