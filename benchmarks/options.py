"""The options of edge-bench, once for click and for the standard library's parser.

Belongs here: names, help, what a text stands for, what goes with what. Not here: either parser (cli.py, __main__.py),
what is done (bench.py).
Imported as edge_runtime.benchmarks.options.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_runtime.errors import InputError

from .quantities import number_in, seconds_in, share_in, sweep_in, switch_in, whole_in
from .run import SCENARIOS, Scenario
from .settings import OPTIMISATIONS, Settings
from .sweeping import PARAMETERS, Parameter

__all__ = ["EXAMPLES", "OPTIONS", "STATUSES", "SUMMARY", "USAGE", "Option", "Request", "request_of"]

SUMMARY = """\
Measure MODEL on this machine: a bundle or one of its variants (fraud.edge, fraud.edge#int8), an .onnx file, a function
(module:function) or a URL that takes a row as JSON. With none of --scenario, --rate, --find-max-rate, --sustained,
--sweep, --profile, --against and --baseline: everything that a person wants to know first, within a minute."""
EXAMPLES = (
    "edge-bench fraud.edge --json > run.json",
    "edge-bench show run.json --html run.html",
    "edge-bench fraud.edge --against old.edge",
    "edge-bench fraud.edge --find-max-rate 5ms --threads 1",
    "edge-bench fraud.edge --baseline base.json --max-regression 5%",
)
STATUSES = """\
Exit status: 0 done, and no regression; 1 golden rows were answered wrong, slower than OTHER or the baseline, or no rate
keeps the bound; 2 wrong use or bad input; 3 inconclusive; 4 this machine is not fit to judge. Every option may come
from the environment: EDGE_BENCH_THREADS=1."""

MEASURE, COMPARE, SHOW = "measure", "compare", "show"
CALLS = {
    MEASURE: "edge-bench MODEL [options]",
    SHOW: "edge-bench show RUN.json [--json | --csv] [--html FILE]",
    COMPARE: "edge-bench compare NEW.json OLD.json [--anyway] [--json | --csv] [--html FILE]",
}
USAGE = "\n       ".join(CALLS.values())
FILES = {MEASURE: 1, SHOW: 1, COMPARE: 2}
EVERYWHERE = (MEASURE, COMPARE, SHOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: ``metavar`` stands for its value (None: it takes none), ``read`` makes something of the text, and
    ``many`` says that it may be given several times."""

    name: str
    help: str
    metavar: str | None = None
    read: Callable[[str], Any] = str
    many: bool = False
    commands: tuple[str, ...] = (MEASURE,)

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def one_of(*names: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise InputError(f"{text!r}", expected=f"one of {', '.join(names)}")
        return text

    return read


def read_sweep(text: str) -> tuple[Parameter, tuple[str, ...] | None]:
    name, values = sweep_in(text)
    for parameter in PARAMETERS:
        if parameter == name:
            return parameter, values
    raise InputError(f"{text!r}", expected=f"one of {', '.join(PARAMETERS)}, as threads or threads=1,2")


OPTIONS = (
    Option(name="scenario", metavar="NAME", read=one_of(*SCENARIOS), help=f"One of {', '.join(SCENARIOS)}."),
    Option(name="rate", metavar="N", read=number_in, help="Server: N calls a second, arriving at random."),
    Option(
        name="find_max_rate", metavar="TIME", read=seconds_in,
        help="Server: search the highest rate at which 99% of the calls are answered within TIME, as 5ms.",
    ),
    Option(name="sustained", metavar="TIME", read=seconds_in, help="Call for TIME, as 10m: throttling and drift."),
    Option(
        name="batch", metavar="ROWS", read=whole_in, help="Offline, --sweep: rows of a call.  [default: several sizes]"
    ),
    Option(
        name="sweep", metavar="NAME[=A,B]", read=read_sweep, many=True,
        help=f"Try several values: {', '.join(PARAMETERS)}. May be repeated.",
    ),
    Option(name="profile", help="Where the time goes, operator by operator."),
    Option(name="against", metavar="OTHER", help="Compare with this one, interleaved."),
    Option(name="baseline", metavar="FILE", help="Compare with the run that --json wrote there: the gate of a CI."),
    Option(
        name="max_regression", metavar="PERCENT", read=share_in,
        help="How much slower than the baseline is allowed.  [default: 5%]",
    ),
    Option(
        name="anyway", commands=(MEASURE, COMPARE), help="Compare with a stored run although its environment differs."
    ),
    Option(name="data", metavar="FILE", help="Ask with the rows of this file.  [default: golden or made-up rows]"),
    Option(name="threads", metavar="N", read=whole_in, help="Cores that the session may use.  [default: all]"),
    Option(name="spinning", metavar="on|off", read=switch_in, help="Whether the session's threads spin, waiting."),
    Option(
        name="optimisation", metavar="LEVEL", read=one_of(*OPTIMISATIONS),
        help=f"Graph optimisation, one of {', '.join(OPTIMISATIONS)}.",
    ),
    Option(name="provider", metavar="NAME", help="Execution provider, as onnxruntime calls it."),
    Option(name="seconds", metavar="N", read=seconds_in, help="What one measurement takes.  [default: as it needs]"),
    Option(
        name="processes", metavar="N", read=whole_in,
        help="Fresh processes that share that time, each with its own luck.  [default: 5]",
    ),
    Option(name="json", commands=EVERYWHERE, help="Print samples and figures as JSON instead."),
    Option(name="csv", commands=EVERYWHERE, help="Print the figures as CSV instead."),
    Option(name="html", metavar="FILE", commands=EVERYWHERE, help="Write a page with pictures as well."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for. ``files`` are the model, or what `show` and `compare` read; the rest are the options."""

    command: str
    files: tuple[str, ...]
    scenario: Scenario | None = None
    rate: float | None = None
    find_max_rate: float | None = None
    sustained: float | None = None
    batch: int | None = None
    sweep: tuple[tuple[Parameter, tuple[str, ...] | None], ...] = ()
    profile: bool = False
    against: str | None = None
    baseline: str | None = None
    max_regression: float | None = None
    anyway: bool = False
    data: str | None = None
    threads: int | None = None
    spinning: bool | None = None
    optimisation: Any = None
    provider: str | None = None
    seconds: float | None = None
    processes: int | None = None
    json: bool = False
    csv: bool = False
    html: str | None = None

    @property
    def model(self) -> str:
        return self.files[0]

    @property
    def everything(self) -> bool:
        """Whether nothing in particular was asked for."""
        named = any(each is not None for each in (self.scenario, self.find_max_rate, self.against))
        return not named and not self.sweep and not self.profile

    @property
    def settings(self) -> Settings:
        return Settings(
            threads=self.threads, spinning=self.spinning, optimisation=self.optimisation, provider=self.provider
        )


def request_of(words: Sequence[str], given: Mapping[str, Any]) -> Request:
    """The request behind ``words`` (what stands without an option) and ``given`` (option name → its text, texts, or
    whether a switch was given). What was not given may come from the environment. Raises InputError."""
    command = words[0] if words and words[0] in (SHOW, COMPARE) else MEASURE
    files = tuple(words if command == MEASURE else words[1:])
    if len(files) != FILES[command]:
        raise InputError(f"what to measure is {' '.join(words)!r}", expected=CALLS[command])
    values = {}
    for option in OPTIONS:
        fits = command in option.commands
        value = given.get(option.name) or (from_environment(option) if fits else None)
        if not value:
            continue
        if not fits:
            raise InputError(f"{option.flag} of edge-bench {command}", expected=CALLS[command])
        values[option.name] = value_of(option, value)
    request = Request(command=command, files=files, **values)
    check(request)
    return replace(request, scenario=scenario_of(request))


def scenario_of(request: Request) -> Scenario | None:
    """The one scenario that is meant, by its name or by what belongs to it; None where there is none."""
    if request.rate is not None:
        return "server"
    if request.sustained is not None:
        return "sustained"
    return "single-stream" if request.scenario is None and request.baseline is not None else request.scenario


def from_environment(option: Option) -> Any:
    text = os.environ.get(f"EDGE_BENCH_{option.name.upper()}", "")
    if option.metavar is None:
        return text.lower() in ("1", "true", "yes", "on")
    return text.split() if option.many else text


def value_of(option: Option, given: Any) -> Any:
    if option.metavar is None:
        return True
    try:
        return tuple(map(option.read, given)) if option.many else option.read(given)
    except InputError as error:
        raise InputError(f"{option.flag} is {error.problem}", expected=error.expected) from None


def check(request: Request) -> None:
    """Refuse options that do not go together. Raises InputError."""
    scenario, batch, baseline = request.scenario, request.batch, request.baseline
    about_baseline = request.max_regression is not None or (request.anyway and request.command == MEASURE)
    wrong = (
        (request.json and request.csv, "--json and --csv both print to standard output", "one of them"),
        (request.rate is not None and request.sustained is not None, "--rate and --sustained", "one scenario"),
        (
            request.rate is not None and scenario not in (None, "server"),
            f"--rate in the scenario {scenario}", "the scenario server",
        ),
        (
            request.sustained is not None and scenario not in (None, "sustained"),
            f"--sustained in the scenario {scenario}", "one scenario",
        ),
        (
            scenario == "server" and request.rate is None and request.find_max_rate is None,
            "--scenario server without a rate", "--rate 100, or --find-max-rate 5ms",
        ),
        (
            batch is not None and scenario != "offline" and not request.sweep and not request.profile,
            "--batch alone", "--scenario offline, --sweep or --profile beside it",
        ),
        (
            baseline is not None and scenario == "offline" and batch is None,
            "--baseline and --scenario offline without a batch", "--batch ROWS",
        ),
        (
            baseline is not None and scenario == "server" and request.rate is None,
            "--baseline and --scenario server without a rate", "--rate N",
        ),
        (baseline is None and about_baseline, "--max-regression and --anyway alone", "--baseline FILE beside them"),
    )  # fmt: skip
    for refused, problem, expected in wrong:
        if refused:
            raise InputError(problem, expected=expected)
