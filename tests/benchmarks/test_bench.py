"""The command: what it measures for real, exit statuses, one-line errors, JSON, and no need of click."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_runtime import golden
from edge_runtime.benchmarks.__main__ import main
from edge_runtime.benchmarks.cli import bench as click_command
from edge_runtime.bundle import Bundle
from edge_runtime.golden import Sample
from edge_runtime.manifest import Manifest
from edge_runtime.parallel import usable_cores

Captured = pytest.CaptureFixture[str]
Json = Callable[..., Any]

SHORT = ["--seconds", "0.1", "--processes", "1"]
SINGLE = ["--scenario", "single-stream", *SHORT]
# What a device does not have; importing one of them fails.
EXTRAS = ["click", "rich", "scipy", "pandas", "onnx", "matplotlib", "jinja2", "sklearn", "pyarrow"]
DEVICE = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS!r}))
from edge_runtime import golden
from edge_runtime.benchmarks.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def json_of(capsys: Captured) -> Json:
    """(exit status, the document that `edge-bench ARGUMENTS --json` prints)."""

    def run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        status = main([*map(str, arguments), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


def test_everything_is_measured_on_a_device_that_has_no_extra(real_bundle: Path) -> None:
    """On a device: batches, cold start, memory, energy, and golden rows held meanwhile."""
    command = [sys.executable, "-P", "-c", DEVICE, str(real_bundle), *SHORT, "--threads", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    assert data["status"] == 0
    assert data["model"]["name"] == "small"
    assert data["model"]["file_bytes"] == real_bundle.stat().st_size
    assert [run["scenario"] for run in data["runs"]] == ["single-stream"]
    assert data["runs"][0]["answers_right"] is True
    assert data["runs"][0]["answers_checked"] > 0
    assert [sweep["parameter"] for sweep in data["sweeps"]] == ["batch"]
    assert len(data["cold_start"]["phase_ns"]) == 20
    assert data["memory"]["model_bytes"] == real_bundle.stat().st_size
    assert data["energy"]["cpu_seconds_per_call"] > 0
    parts = {figure["part"] for figure in data["figures"]}
    assert {"run", "sweep", "cold start", "size", "energy"} <= parts


def test_what_was_measured_there_is_shown_here(real_bundle: Path, tmp_path: Path, capsys: Captured) -> None:
    """The stored run as screen, CSV, JSON and page."""
    assert main([str(real_bundle), *SINGLE, "--json"]) == 0
    stored = tmp_path / "run.json"
    stored.write_text(capsys.readouterr().out)
    assert main(["show", str(stored), "--html", str(tmp_path / "run.html")]) == 0
    assert "single-stream: one call after another" in capsys.readouterr().out
    assert "<svg" in (tmp_path / "run.html").read_text(encoding="utf-8")
    assert main(["show", str(stored), "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {"p50", "p90", "throughput"} <= {row["figure"] for row in rows}
    assert main(["show", str(stored), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(stored.read_text())


def test_what_is_named_is_measured_and_nothing_else(real_bundle: Path, json_of: Json) -> None:
    """The offline scenario with one batch size, and a profile."""
    status, data = json_of(real_bundle, "--scenario", "offline", "--batch", "64", "--profile", *SHORT)
    assert status == 0
    assert [(run["scenario"], run["rows"]) for run in data["runs"]] == [("offline", 64)]
    assert data["profile"]["rows"] == 64
    assert [each["operator"] for each in data["profile"]["operators"]] == ["Gemm"]
    assert (data["sweeps"], data["cold_start"], data["memory"]) == ([], None, None)


def test_calls_arrive_at_the_rate_that_was_asked_for(real_bundle: Path, json_of: Json) -> None:
    """The server scenario, with the naive latencies beside those from the schedule."""
    status, data = json_of(real_bundle, "--rate", "1000", "--seconds", "0.2")
    (run,) = data["runs"]
    assert status == 0
    assert (run["scenario"], run["rate_per_s"]) == ("server", 1000.0)
    assert len(run["service_ns"]) == len(run["latency_ns"]) == 200


def test_the_highest_rate_is_searched_under_a_bound(real_bundle: Path, json_of: Json) -> None:
    """A bound that anything keeps is kept; one that nothing keeps is the answer no."""
    status, data = json_of(real_bundle, "--find-max-rate", "1h", "--seconds", "0.2")
    assert (status, data["rate_search"]["bound_ns"]) == (0, 3.6e12)
    assert data["rate_search"]["rate_per_s"] > 0
    status, data = json_of(real_bundle, "--find-max-rate", "1us", "--seconds", "0.2")
    assert (status, data["rate_search"]["rate_per_s"]) == (1, None)


def test_several_values_are_tried(real_bundle: Path, json_of: Json) -> None:
    """Each named once, in order, with those that no other beats marked on the screen."""
    status, data = json_of(real_bundle, "--sweep", "optimisation=basic,all", "--seconds", "0.05")
    (sweep,) = data["sweeps"]
    assert status == 0
    assert [point["value"] for point in sweep["points"]] == ["basic", "all"]


def test_a_sustained_run_is_one_process_long(real_bundle: Path, json_of: Json) -> None:
    """Throttling shows within one process only."""
    status, data = json_of(real_bundle, "--sustained", "200ms")
    assert status == 0
    assert [(run["scenario"], len(run["process_calls"])) for run in data["runs"]] == [("sustained", 1)]


def test_a_bundle_and_its_bare_graph_are_compared(real_bundle: Path, bare_graph: Path, json_of: Json) -> None:
    """By their file names, interleaved; the graph alone has no golden rows, and what one call does is said of both."""
    status, data = json_of(real_bundle, "--against", bare_graph, *SHORT)
    (found,) = data["comparisons"]
    assert status == data["status"]
    assert (found["a"], found["b"], found["interleaved"]) == ("real.edge", "bare.onnx", True)
    assert (found["a_answers_right"], found["b_answers_right"]) == (True, None)
    assert found["a_work"] != found["b_work"]
    (verdict,) = data["verdicts"]
    assert status == {"faster": 0, "no difference": 0, "slower": 1, "inconclusive": 3, "unfit": 4}[verdict["verdict"]]


def test_a_function_is_measured_by_its_name(capsys: Captured) -> None:
    """And what cannot be measured of one is said."""
    assert main(["os:getpid", *SHORT]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("os:getpid\n")
    assert "not measured: batches, cold start, memory and size are measured of files" in shown


@pytest.fixture
def base(real_bundle: Path, tmp_path: Path, json_of: Json) -> Path:
    """A stored run of the bundle."""
    path = tmp_path / "base.json"
    path.write_text(json.dumps(json_of(real_bundle, *SINGLE)[1]))
    return path


def changed(base: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """The stored run with a change, under another name."""
    data = json.loads(base.read_text())
    change(data["runs"][0])
    path = base.with_name(name)
    path.write_text(json.dumps(data))
    return path


def quiet(run: dict[str, Any]) -> None:
    """A machine on which nothing disturbed the run, whatever disturbed this one."""
    run["steady"] = True
    run["conditions"] |= {
        "kernel_ns": [60_000] * 60, "steal_share": 0.0, "pressure_share": 0.0, "others_cores": 0.0,
        "involuntary_switches": 0, "frequency_start_hz": None, "frequency_end_hz": None,
    }  # fmt: skip
    run["latency_ns"] = [5_000, 5_001] * 500
    run["at_ns"] = list(range(0, 5_000_000, 5_000))
    run["process_calls"] = [1_000]


def slow(run: dict[str, Any]) -> None:
    quiet(run)
    run["latency_ns"] = [each * 2 for each in run["latency_ns"]]


def wrong(run: dict[str, Any]) -> None:
    quiet(run)
    run["answers_right"] = False


def disturbed(run: dict[str, Any]) -> None:
    quiet(run)
    run["conditions"]["steal_share"] = 0.5


def elsewhere(run: dict[str, Any]) -> None:
    quiet(run)
    run["environment"]["cpu_model"] = "Cortex-A72"


def test_stored_runs_are_compared_with_the_statuses_of_the_house(base: Path, json_of: Json, capsys: Captured) -> None:
    """0 no difference or faster, 1 slower or wrong, 4 a disturbed machine, or another one, unless told anyway."""
    same, twice = changed(base, "same.json", quiet), changed(base, "slow.json", slow)
    for new, old, status, verdict in (
        (same, same, 0, "no difference"), (twice, same, 1, "slower"), (same, twice, 0, "faster"),
        (changed(base, "noisy.json", disturbed), same, 4, "unfit"),
        (changed(base, "wrong.json", wrong), twice, 1, "faster"),
    ):  # fmt: skip
        found, data = json_of("compare", new, old)
        assert (found, data["verdicts"][0]["verdict"]) == (status, verdict)
    other = changed(base, "other.json", elsewhere)
    assert main(["compare", str(other), str(same)]) == 4
    assert "processor: Cortex-A72 and " in capsys.readouterr().err
    assert main(["compare", str(other), str(same), "--anyway"]) == 0


def test_the_gate_holds_a_new_run_against_the_baseline(real_bundle: Path, base: Path, json_of: Json) -> None:
    """Its exit status is the gate's; the run itself is in the document, to be the next baseline."""
    status, data = json_of(real_bundle, "--baseline", base, "--max-regression", "20%", *SHORT)
    assert status == data["status"]
    assert data["gate"]["max_regression"] == 0.2
    assert [run["scenario"] for run in data["runs"]] == ["single-stream"]
    verdicts = {"no regression": 0, "regression": 1, "inconclusive": 3, "unfit": 4}
    assert status == verdicts[data["verdicts"][0]["verdict"]]


def test_a_baseline_from_another_machine_judges_nothing(real_bundle: Path, base: Path, capsys: Captured) -> None:
    """Status 4: the environment is not fit to judge; the sentence says in what they differ, and how to insist."""
    other = changed(base, "other.json", elsewhere)
    assert main([str(real_bundle), "--baseline", str(other), *SHORT]) == 4
    assert "Cortex-A72" in capsys.readouterr().err


# What a user may do wrong: arguments (TEXT is a file that is no bundle), what the one line says.
BAD_USE: dict[str, tuple[list[str], str]] = {
    "missing file": (["missing.edge"], "edge-bench: missing.edge: no such file or directory\n"),
    "a name with an escape": (["miss\x1b[2J.edge"], "edge-bench: miss\\x1b[2J.edge: no such file"),
    "no bundle": (["TEXT"], "text.edge: no end record"),
    "no baseline": (["TEXT", "--baseline", "missing.json"], "missing.json: no such file or directory"),
    "a baseline that is none": (["TEXT", "--baseline", "TEXT"], "text.edge is no JSON"),
    "no stored run": (["show", "TEXT"], "expected what edge-bench --json printed"),
    "more threads than cores": (["TEXT", "--threads", "99999"], f"expected 1 to {usable_cores()}, the usable cores"),
    "unknown provider": (["TEXT", "--provider", "Abacus"], "there is no provider 'Abacus' here; expected one of"),
    "unknown scenario": (["TEXT", "--scenario", "x"], "--scenario is 'x'; expected one of single-stream"),
    "no such function": (["os:nothing"], "os:nothing: "),
    "a URL without rows": (["http://127.0.0.1:9/predict"], "a server has no rows of its own"),
    "no such folder": (["TEXT", "--html", "/nowhere/x.html"], "/nowhere/x.html cannot be written"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD_USE.values(), ids=BAD_USE)
def test_bad_use_is_one_line(tmp_path: Path, capsys: Captured, arguments: list[str], says: str) -> None:
    """What is wrong, where, and what would be right, on the error stream, with status 2."""
    path = tmp_path / "text.edge"
    path.write_text("not a bundle")
    assert main([str(path) if each == "TEXT" else each for each in arguments]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert shown.err.startswith("edge-bench: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.fixture
def lying_bundle(tmp_path: Path, small_manifest: Manifest, small_contents: dict[str, bytes]) -> Callable[[int], Path]:
    """(which of its six golden rows has a wrong answer) -> a bundle."""

    def make(lie: int) -> Path:
        rows = [{f"x{i}": float(row * i) for i in range(8)} for row in range(6)]
        answers = [sum(row.values()) + (number == lie) for number, row in enumerate(rows)]
        samples = [Sample(row, {"prediction": answer}) for row, answer in zip(rows, answers, strict=True)]
        path = tmp_path / "lying.edge"
        graph = {"graph.onnx": small_contents["graph.onnx"]}
        Bundle.write(path, small_manifest, graph | golden.encode(samples, small_manifest.schema))
        return path

    return make


def test_a_fast_wrong_answer_is_status_one(lying_bundle: Callable[[int], Path], capsys: Captured) -> None:
    """The last golden row is not among those that loading replays; timing finds it, and the latency is shown."""
    assert main([str(lying_bundle(5)), *SINGLE]) == 1
    shown = capsys.readouterr().out
    assert "golden rows: ANSWERED WRONG" in shown
    assert "  p50 " in shown


def test_a_bundle_that_fails_verification_is_not_measured(
    lying_bundle: Callable[[int], Path], capsys: Captured
) -> None:
    """Status 1 and one line."""
    assert main([str(lying_bundle(0)), *SINGLE]) == 1
    shown = capsys.readouterr()
    assert "the golden rows are not answered as recorded" in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)


def test_no_model_is_wrong_use(capsys: Captured) -> None:
    """argparse says what is missing, with status 2."""
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "MODEL" in capsys.readouterr().err


def test_edge_bench_is_edge_bench(base: Path) -> None:
    """By click or without: the same words, the same statuses."""
    runner = CliRunner()
    shown = runner.invoke(click_command, ["show", str(base)])
    assert (shown.exit_code, "single-stream: one call after another" in shown.output) == (0, True)
    assert runner.invoke(click_command, ["missing.edge"]).exit_code == 2
    assert runner.invoke(click_command, []).exit_code == 2


def test_nobody_reading_is_no_traceback(base: Path) -> None:
    """`edge-bench … --json | head` ends in silence."""
    command = f"{sys.executable} -P -m edge_runtime.benchmarks show {base} --json | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (len(done.stdout), done.stderr) == (10, "")
