"""What `edge tune` found best on this machine, remembered from one process to the next.

A choice names variants of one bundle and nothing else: the graphs stay those that the bundle holds, and answer their
golden rows before anybody uses them. So whatever is wrong with a choice, it is as if there were none. Described in
docs/bundle-format.md.

Belongs here: where a choice lies, reading and writing it. Not here: making it (tuning.py), opening variants (model.py).
Imported as edge_runtime.choice; only a bundle with several variants loads it.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any

import onnxruntime

from .bundle import Bundle, replace_file, sha256
from .errors import InputError
from .manifest import Variant

__all__ = ["cache_folder", "forget", "in_order", "place", "processor", "processor_name", "remember"]

LARGEST = 2**16  # bytes of a choice
# What of /proc/cpuinfo says which kernels run. Flags count: a virtual machine may hide some of one processor's.
TELLING = {
    "vendor_id", "cpu family", "model", "model name", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features", "isa", "uarch",
}  # fmt: skip


def in_order(bundle: Bundle) -> tuple[Variant, ...]:
    """The variants in the order in which to try them here: as remembered, otherwise all of them, as the bundle has
    them."""
    names = remembered(bundle)
    return tuple(map(bundle.manifest.variant, names)) if names else bundle.manifest.variants


def remembered(bundle: Bundle) -> tuple[str, ...]:
    """The names in the choice for this bundle, processor and onnxruntime; () where there is none that counts."""
    found = read(place(bundle.digest))
    if type(found) is not dict or found.keys() != {"digest", "onnxruntime", "processor", "variants"}:
        return ()
    names = found.pop("variants")
    if found != key(bundle.digest) or type(names) is not list or not all(type(name) is str for name in names):
        return ()
    known = {variant.name for variant in bundle.manifest.variants}
    return tuple(names) if len(set(names)) == len(names) and known.issuperset(names) else ()


def remember(digest: str, names: Sequence[str]) -> str:
    """Keep ``names``, the best one first, as the choice for the bundle ``digest`` here; the path of the file.

    At every moment it is the old choice or the whole new one. Raises InputError where the folder cannot be written.
    """
    path = place(digest)
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # Readable and writable by this user alone, whatever the umask: others' files do not count.
        replace_file(path, json.dumps({**key(digest), "variants": list(names)}).encode(), opener=private)
    except OSError as error:
        raise unwritable(folder, error) from error
    return path


def forget(digest: str) -> bool:
    """Remove the choice for the bundle ``digest`` here; whether there was one. Raises InputError where it cannot be."""
    path = place(digest)
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unwritable(os.path.dirname(path), error) from error
    return True


def place(digest: str) -> str:
    """Where the choice for the bundle ``digest`` lies: one file for each processor, since a home may be shared."""
    name = f"{digest.removeprefix('sha256:')}-{sha256(processor().encode())[:16]}.json"
    return os.path.join(cache_folder(), "tuned", name)


def cache_folder() -> str:
    """EDGE_CACHE, or edge-runtime in the user's cache folder."""
    if chosen := os.environ.get("EDGE_CACHE"):
        return chosen
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        caches = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        caches = os.path.join(home, "Library", "Caches")
    else:
        caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return os.path.join(caches, "edge-runtime")


def key(digest: str) -> dict[str, str]:
    """What a choice holds for."""
    return {"digest": digest, "onnxruntime": onnxruntime.__version__, "processor": processor()}


def processor() -> str:
    """The processor, as far as the system says it without being asked twice: its name and a hash of what tells it."""
    return f"{processor_name()}, {sha256(json.dumps(told(), sort_keys=True).encode())[:16]}"


def processor_name() -> str:
    """The processor's name, for people."""
    facts = told()
    return facts.get("model name") or facts.get("CPU part") or facts["machine"]


def told() -> dict[str, str]:
    """What the system says of its first processor. No process is started for it."""
    facts = {"machine": os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_IDENTIFIER", "")}
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            first = file.read(2**14).partition(b"\n\n")[0].decode("utf-8", "replace")
    except OSError:
        return facts
    for line in first.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in TELLING:
            facts[name.strip()] = value.strip()
    return facts


def read(path: str) -> Any:
    """The JSON at ``path``, if it is a file that this user or root wrote and not everybody may write; otherwise
    None."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return None
    try:
        return json.loads(os.read(handle, LARGEST)) if own(os.fstat(handle)) else None
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(handle)


def own(status: os.stat_result) -> bool:
    if not stat.S_ISREG(status.st_mode):
        return False
    return not hasattr(os, "geteuid") or (status.st_uid in (0, os.geteuid()) and not status.st_mode & stat.S_IWOTH)


def private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def unwritable(folder: str, error: OSError) -> InputError:
    return InputError(
        f"the cache folder {folder} cannot be written ({(error.strerror or str(error)).lower()})",
        expected="EDGE_CACHE with a folder that can be",
    )
