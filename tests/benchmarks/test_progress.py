"""Progress: one line of a terminal, and nothing anywhere else."""

from __future__ import annotations

import io
import sys

import pytest

from edge_runtime.benchmarks.progress import progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage, bar and percentage, always on the same line; at the end nothing is left of it."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_line() as line:
        line.stage("cold start")
        line("cold start", 0.5)
        line("cold start", 1.0)
    written = terminal.getvalue()
    assert "cold start  ██████████·········· " in written
    assert " 100%" in written
    assert "\n" not in written
    assert written.endswith("\r\033[K")


def test_anything_else_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A log file is no place for bars."""
    with progress_line() as line:
        line.stage("cold start")
        line("cold start", 0.5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("columns", [40, 20])
def test_a_narrow_terminal_is_not_wrapped(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """What goes to a second line would stay there: the title is cut, the percentage is not."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    with progress_line() as line:
        line.stage("against a_model_with_a_long_name_indeed.edge")
        line("compare", 0.5)
    written = [text.removeprefix("\033[K") for text in terminal.getvalue().split("\r")]
    assert max(map(len, written)) < columns
    assert written[2].endswith(" 50%")
