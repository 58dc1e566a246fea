"""The `edge` command as a person meets it: help, mistakes, interruptions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest

from edge_runtime import cli
from edge_runtime.errors import BudgetError, EdgeError, MissingExtraError, ParityError

Edge = Callable[..., "subprocess.CompletedProcess[str]"]
Flights = Any  # of tests/conftest.py


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    """A program of ours in a process of its own."""
    return subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60)


class Point:
    """An entry point whose command does what a test wants."""

    def __init__(self, does: Callable[[], object]) -> None:
        self.does = does

    def load(self) -> click.Command:
        """The command."""
        return click.Command("try", callback=self.does)


def raising(error: BaseException) -> Callable[[], object]:
    """A function that raises ``error``."""

    def does() -> object:
        raise error

    return does


def attempt(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit status of a command that raises ``error``."""
    monkeypatch.setattr(cli, "entry_points", lambda: {"try": Point(raising(error))})
    return cli.main(["try"])


def test_help_lists_every_command_and_what_it_does(edge: Edge) -> None:
    """The first screen names all commands, with one line each."""
    done = edge("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    commands = done.stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    assert commands == (
        "  batch    Score files of rows: Parquet, CSV, JSON Lines.\n"
        "  bench    Measure MODEL, a bundle or an .onnx file, on this machine.\n"
        "  convert  Make a bundle of a trained model, compared with it row by row.\n"
        "  inspect  Show what a bundle says of itself.\n"
        "  predict  Answer the rows of a file, or of standard input.\n"
        "  publish  Register a bundle in MLflow as a new version of a model.\n"
        "  serve    Answer over HTTP.\n"
        "  tune     Find the best variant for this machine.\n"
        "  verify   Replay a bundle's golden rows on this machine."
    )


@pytest.mark.parametrize("command", ["batch", "convert", "inspect", "predict", "publish", "serve", "verify"])
def test_every_command_has_help_with_an_example(edge: Edge, command: str) -> None:
    """A person copies the example and changes the names in it."""
    done = edge(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: edge {command} [OPTIONS]")
    assert "Example" in done.stdout
    assert f"edge {command} fraud." in done.stdout.partition("Example")[2]


def test_the_version_is_the_installed_one(edge: Edge) -> None:
    """`edge --version` names the distribution, as pip does."""
    assert edge("--version").stdout == f"edge-runtime {version('edge-runtime')}\n"


def test_the_script_is_the_module(edge: Edge) -> None:
    """`edge` and `python -m edge_runtime` are one command."""
    script = Path(sys.executable).with_name("edge")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.stdout == edge("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inspct", "x.edge"], "there is no command 'inspct'; did you mean inspect? (see edge --help)"),
        (
            ["qqq"],
            "there is no command 'qqq'; expected one of batch, bench, convert, inspect, predict, publish, serve, tune, verify (see edge --help)",
        ),
        (["predict", "x.edge"], "Missing argument 'ROWS' (see edge predict --help)"),
        (["inspect", "none.edge"], "none.edge: no such file or directory"),
        (["inspect", "none.onnx"], "none.onnx: no such file or directory"),
        (["inspect", "a\x1b[2J\n.edge"], "a\\x1b[2J\\n.edge: no such file or directory"),
    ],
)
def test_wrong_use_is_one_line_and_status_two(edge: Edge, arguments: list[str], says: str) -> None:
    """What is wrong and what would be right, without a traceback, whatever is in the arguments."""
    done = edge(*arguments)
    assert done.stdout == ""
    assert done.stderr == f"edge: {says}\n"
    assert done.returncode == 2


def test_an_unknown_option_is_one_line_with_the_nearest(edge: Edge) -> None:
    """click's own words, made one line like the others."""
    done = edge("inspect", "x.edge", "--jsn")
    assert done.stderr.startswith("edge: No such option")
    assert "--json" in done.stderr
    assert done.stderr.endswith(" (see edge inspect --help)\n")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


def test_no_arguments_show_the_help(edge: Edge) -> None:
    """A bare `edge` is somebody who asks what there is."""
    done = edge()
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: edge [OPTIONS] COMMAND")


def test_options_come_from_the_environment(edge: Edge, small_bundle: Path) -> None:
    """EDGE_INSPECT_JSON stands for `edge inspect --json`."""
    assert edge("inspect", small_bundle, EDGE_INSPECT_JSON="1").stdout.startswith("{")


def test_without_click_one_line_installs_it() -> None:
    """A device has the package without the extra; the script is there all the same."""
    program = "import sys; sys.modules['click'] = None\nfrom edge_runtime.__main__ import main\nsys.exit(main())"
    done = run_python(program)
    assert done.stderr == "edge: edge needs click, which is not installed: pip install 'edge-runtime[cli]'\n"
    assert done.returncode == 2


def test_a_command_that_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its part needs an extra: the list stays whole, and calling it says what to install."""

    class Absent(Point):
        def load(self) -> click.Command:
            raise MissingExtraError("edge_runtime.server", extra="server", missing="fastapi")

    monkeypatch.setattr(cli, "entry_points", lambda: {"serve": Absent(lambda: None), "try": Point(lambda: None)})
    assert cli.main(["--help"]) == 0
    assert "serve  Not installed: pip install 'edge-runtime[server]'\n" in capsys.readouterr().out
    assert cli.main(["serve", "x.edge", "--port", "80"]) == 2
    says = "edge_runtime.server needs fastapi, which is not installed: pip install 'edge-runtime[server]'"
    assert capsys.readouterr().err == f"edge: {says}\n"


def test_an_answer_of_no_is_status_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A script tells a model that fails from a command that is used wrongly."""
    assert attempt(monkeypatch, BudgetError("no candidate is below 1 ms")) == 1
    assert attempt(monkeypatch, EdgeError("a\x1b[31m")) == 2
    assert capsys.readouterr().err == "edge: no candidate is below 1 ms\nedge: a\\x1b[31m\n"


def test_a_parity_error_shows_its_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what happened, and the rows stand side by side below it, escaped."""
    assert attempt(monkeypatch, ParityError("3 labels differ", rows="  row 1: a=\x1b[2J\n    label: 0, 1")) == 1
    assert capsys.readouterr().err == (
        "edge: 3 labels differ; nothing was written\n  row 1: a=\\x1b[2J\n    label: 0, 1\n"
    )


def test_what_the_disk_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk is no fault of the program."""
    assert attempt(monkeypatch, OSError(28, "No space left on device", "out.csv")) == 2
    assert capsys.readouterr().err == "edge: out.csv: no space left on device\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is raised on purpose is made a line: a bug must be seen whole."""
    with pytest.raises(ZeroDivisionError):
        attempt(monkeypatch, ZeroDivisionError())


def test_an_interruption_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As a shell counts SIGINT, and without a traceback."""
    assert attempt(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == ""


def test_nobody_reading_is_quiet(small_bundle: Path) -> None:
    """`edge inspect x | head -1` ends as SIGPIPE would end it, without a word."""
    command = [sys.executable, "-P", "-m", "edge_runtime", "inspect", str(small_bundle)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141


def test_a_terminal_without_the_letters_gets_escapes(edge: Edge, flights: Flights) -> None:
    """≤ and Δ need not exist in the terminal's encoding."""
    done = edge("inspect", flights.bundle, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert "|\\u0394 probabilities| \\u2264" in done.stdout
