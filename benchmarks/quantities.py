"""What the text of an option stands for: 10m, 5ms, 5%, on, 1,8,64.

Belongs here: one text to one value, and the sentence for a text that is none. Not here: which option takes what
(options.py).
Imported as edge_runtime.benchmarks.quantities.
"""

from __future__ import annotations

import math
import re

from edge_runtime.errors import InputError

__all__ = ["number_in", "seconds_in", "share_in", "sweep_in", "switch_in", "whole_in"]

NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-zµ%]*)")
SECONDS = {"": 1.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
SWITCH = {"on": True, "off": False}


def seconds_in(text: str) -> float:
    """A duration in seconds, more than 0: 90, 90s, 10m, 5ms."""
    expected = "a duration: 10s, 5ms, 10m; seconds without a unit"
    value, unit = parts_of(text, expected)
    if unit not in SECONDS or not value > 0:
        raise InputError(f"{text!r} is no duration", expected=expected)
    return value * SECONDS[unit]


def share_in(text: str) -> float:
    """A part of 1: 5% and 0.05 alike; 5 might be either 5% or 500%."""
    expected = "a percentage: 5%, or 0.05"
    value, unit = parts_of(text, expected)
    if unit not in ("", "%") or (not unit and value >= 1):
        raise InputError(f"{text!r} is no percentage", expected=expected)
    return value / 100 if unit == "%" else value


def number_in(text: str) -> float:
    """A number of more than 0."""
    expected = "a number of more than 0"
    value, unit = parts_of(text, expected)
    if unit or not value > 0:
        raise InputError(f"{text!r}", expected=expected)
    return value


def whole_in(text: str) -> int:
    """A whole number, 1 or more."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise InputError(f"{text!r}", expected="a whole number, 1 or more")
    return int(text)


def switch_in(text: str) -> bool:
    """on or off."""
    if text not in SWITCH:
        raise InputError(f"{text!r}", expected="on or off")
    return SWITCH[text]


def sweep_in(text: str) -> tuple[str, tuple[str, ...] | None]:
    """A parameter and the values to try, None for all that make sense: threads, or threads=1,2."""
    name, given, values = text.partition("=")
    listed = tuple(value.strip() for value in values.split(","))
    if given and not all(listed):
        raise InputError(f"{text!r}", expected="values with commas between: threads=1,2")
    return name.strip(), listed if given else None


def parts_of(text: str, expected: str) -> tuple[float, str]:
    found = NUMBER.fullmatch(text.strip())
    if found is None or not math.isfinite(float(found[1])):
        raise InputError(f"{text!r}", expected=expected)
    return float(found[1]), found[2]
