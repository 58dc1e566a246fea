"""What the text of an option stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge_runtime.benchmarks.quantities import number_in, seconds_in, share_in, sweep_in, switch_in, whole_in
from edge_runtime.errors import InputError

CASES: list[tuple[Callable[[str], Any], str, Any]] = [
    (seconds_in, "90", 90.0), (seconds_in, "10m", 600.0), (seconds_in, "5ms", 0.005), (seconds_in, "1.5 h", 5400.0),
    (seconds_in, "250us", 250e-6), (seconds_in, "250µs", 250e-6), (seconds_in, "10s", 10.0), (seconds_in, ".5", 0.5),
    (share_in, "5%", 0.05), (share_in, "0.05", 0.05), (share_in, "0%", 0.0), (share_in, "12.5 %", 0.125),
    (number_in, "0.5", 0.5), (number_in, "1000", 1000.0),
    (whole_in, "64", 64), (switch_in, "on", True), (switch_in, "off", False),
    (sweep_in, "threads", ("threads", None)), (sweep_in, "batch=1,8, 64", ("batch", ("1", "8", "64"))),
]  # fmt: skip

REFUSED: list[tuple[Callable[[str], Any], str]] = [
    (seconds_in, "0"), (seconds_in, "-1"), (seconds_in, "10 parsecs"), (seconds_in, "10%"), (seconds_in, ""),
    (seconds_in, "nan"), (seconds_in, "inf"), (seconds_in, "1e3"), (seconds_in, "9" * 400), (seconds_in, "1m30"),
    (share_in, "5 percent"), (share_in, "-5%"), (share_in, "5s"), (share_in, "5"),
    (number_in, "0"), (number_in, "1m"), (number_in, "many"),
    (whole_in, "0"), (whole_in, "1.5"), (whole_in, "-1"), (whole_in, "²"), (whole_in, "١"),
    (switch_in, "yes"), (sweep_in, "batch="), (sweep_in, "batch=1,,8"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "text", "value"), CASES)
def test_a_quantity_is_read(read: Callable[[str], Any], text: str, value: Any) -> None:
    """With a unit or without, where it has one."""
    assert read(text) == value


@pytest.mark.parametrize(("read", "text"), REFUSED)
def test_another_text_is_refused(read: Callable[[str], Any], text: str) -> None:
    """Nothing is guessed: the sentence says what would be right."""
    with pytest.raises(InputError, match="; expected "):
        read(text)
