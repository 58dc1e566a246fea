"""The options: both parsers know the same ones, and what does not go together is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edge_runtime.benchmarks.__main__ import parser
from edge_runtime.benchmarks.cli import bench as click_command
from edge_runtime.benchmarks.options import OPTIONS, Request, request_of
from edge_runtime.errors import InputError

MODEL = ["fraud.edge"]


def test_every_option_is_a_field_of_the_request() -> None:
    """And nothing else is."""
    names = {option.name for option in OPTIONS}
    assert names == {field.name for field in fields(Request)} - {"command", "files"}


def test_click_and_the_standard_library_parse_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words and the same texts reach the command, switches and repeated options included."""
    line = ["--json", "fraud.edge", "--sweep", "threads=1,2", "--rate", "5", "--sweep", "batch", "--html", "out.html"]
    plain = vars(parser().parse_intermixed_args(line))
    got: dict[str, Any] = {}

    def seen(words: tuple[str, ...], given: dict[str, Any]) -> int:
        got.update(given, words=words)
        return 0

    monkeypatch.setattr("edge_runtime.benchmarks.bench.bench", seen)
    assert CliRunner().invoke(click_command, line).exit_code == 0
    assert got.pop("words") == tuple(plain.pop("words")) == ("fraud.edge",)
    assert got.keys() == plain.keys()
    assert request_of(MODEL, {**got}) == request_of(MODEL, plain)


def test_both_parsers_list_every_option() -> None:
    """With its help, its value's name, and the exit statuses."""
    assert isinstance(click_command, click.Command)
    for text in (parser().format_help(), CliRunner().invoke(click_command, ["--help"]).output):
        assert all(option.flag in text for option in OPTIONS)
        assert "3 inconclusive" in text
        assert "fraud.edge --against old.edge" in text


def test_nothing_asked_for_is_everything() -> None:
    """How it is measured does not change what is."""
    assert request_of(MODEL, {}).everything
    assert request_of(MODEL, {"threads": "1", "seconds": "3", "json": True, "data": "rows.csv"}).everything
    for given in ({"scenario": "offline"}, {"profile": True}, {"sweep": ["threads"]}, {"rate": "3"}, {"baseline": "b"}):
        assert not request_of(MODEL, given).everything


@pytest.mark.parametrize(
    ("given", "scenario"),
    [
        ({"rate": "100"}, "server"), ({"sustained": "10m"}, "sustained"), ({"baseline": "base.json"}, "single-stream"),
        ({"baseline": "base.json", "rate": "3"}, "server"), ({"scenario": "offline", "batch": "8"}, "offline"),
        ({"find_max_rate": "5ms"}, None), ({"profile": True}, None),
    ],
)  # fmt: skip
def test_the_scenario_follows_from_what_belongs_to_it(given: dict[str, Any], scenario: str | None) -> None:
    """A rate is a server's, a long time is sustained, and a baseline is single-stream unless it is said."""
    assert request_of(MODEL, given).scenario == scenario


def test_options_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line has the last word, and an option that a command does not take is not taken from there."""
    for name, text in {"THREADS": "1", "JSON": "1", "SWEEP": "threads batch=1,8", "RATE": ""}.items():
        monkeypatch.setenv(f"EDGE_BENCH_{name}", text)
    request = request_of(MODEL, {})
    assert (request.threads, request.json, request.rate) == (1, True, None)
    assert request.sweep == (("threads", None), ("batch", ("1", "8")))
    assert request_of(MODEL, {"threads": "2"}).threads == 2
    assert request_of(["show", "run.json"], {}).threads is None


REFUSED: list[tuple[list[str], dict[str, Any], str]] = [
    ([], {}, "expected edge-bench MODEL"),
    (["a.edge", "b.edge"], {}, "what to measure is 'a.edge b.edge'"),
    (["compare", "a.json"], {}, "expected edge-bench compare NEW.json OLD.json"),
    (["show"], {}, "expected edge-bench show RUN.json"),
    (["show", "run.json"], {"rate": "3"}, "--rate of edge-bench show"),
    (["compare", "a.json", "b.json"], {"threads": "1"}, "--threads of edge-bench compare"),
    (MODEL, {"scenario": "multi-stream"}, "--scenario is 'multi-stream'; expected one of single-stream, server"),
    (MODEL, {"optimisation": "most"}, "--optimisation is 'most'; expected one of disabled"),
    (MODEL, {"sweep": ["depth"]}, "--sweep is 'depth'; expected one of threads, spinning"),
    (MODEL, {"threads": "two"}, "--threads is 'two'; expected a whole number"),
    (MODEL, {"find_max_rate": "fast"}, "--find-max-rate is 'fast'; expected a duration"),
    (MODEL, {"max_regression": "5%"}, "--max-regression .* alone; expected --baseline"),
    (MODEL, {"anyway": True}, "expected --baseline FILE beside"),
    (MODEL, {"json": True, "csv": True}, "--json and --csv both print"),
    (MODEL, {"scenario": "server"}, "without a rate; expected --rate"),
    (MODEL, {"scenario": "offline", "rate": "3"}, "--rate in the scenario offline"),
    (MODEL, {"scenario": "server", "sustained": "3s"}, "--sustained in the scenario server"),
    (MODEL, {"rate": "3", "sustained": "3s"}, "expected one scenario"),
    (MODEL, {"batch": "8"}, "--batch alone"),
    (MODEL, {"baseline": "b.json", "scenario": "offline"}, "without a batch; expected --batch"),
    (MODEL, {"baseline": "b.json", "scenario": "server", "find_max_rate": "5ms"}, "without a rate; expected --rate"),
]


@pytest.mark.parametrize(("words", "given", "says"), REFUSED)
def test_what_does_not_go_together_is_refused(words: list[str], given: dict[str, Any], says: str) -> None:
    """Before anything is measured, in a sentence that says what would be right."""
    with pytest.raises(InputError, match=says):
        request_of(words, given)
