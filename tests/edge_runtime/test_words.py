"""Figures and foreign text as people read them."""

from __future__ import annotations

import pytest

from edge_runtime.words import at_most, bytes_text, duration_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("é 模型 µ ≤", "é 模型 µ ≤"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b31m", "\\x9b31m"),  # one character that starts an escape sequence
        ("\u202eegde.exe", "\\u202eegde.exe"),
        ("\u200bzero width", "\\u200bzero width"),
        ("\ud800", "\\ud800"),
    ],
)
def test_foreign_text_cannot_act_on_a_terminal(text: str, shown: str) -> None:
    """What moves a cursor, hides or turns text round is written out; letters of any language stay."""
    assert printable(text) == shown


def test_sizes_have_two_digits_and_a_unit() -> None:
    """A person compares sizes; the exact bytes are in the JSON."""
    sizes = [1, 999, 1000, 9_317, 52_150, 1_234_567, 10**10]
    assert [bytes_text(size) for size in sizes] == [
        "1 byte", "999 bytes", "1.0 kB", "9.3 kB", "52 kB", "1.2 MB", "10 GB",
    ]  # fmt: skip


def test_durations_have_two_digits_and_a_unit() -> None:
    """From nanoseconds to seconds."""
    assert [duration_text(ns) for ns in (80.0, 4_812.0, 31_400.0, 2e6, 9.96e8, 3e9)] == [
        "80 ns", "4.8 µs", "31 µs", "2.0 ms", "996 ms", "3.0 s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"), [(7.66e-14, "8e-14"), (8e-14, "8e-14"), (8.01e-14, "9e-14"), (0.0, "0"), (0.95, "1")]
)
def test_a_bound_is_never_below_what_was_seen(value: float, shown: str) -> None:
    """Rounding to the nearest digit would claim less than was measured."""
    assert at_most(value) == shown
    assert float(at_most(value)) >= value
