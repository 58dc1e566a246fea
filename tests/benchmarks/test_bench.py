"""The command: exit statuses, one-line errors, JSON, and no need of click."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from edge_runtime.benchmarks import bench as command
from edge_runtime.benchmarks import compare, measure
from edge_runtime.benchmarks.__main__ import main
from edge_runtime.benchmarks.cli import bench as click_command
from edge_runtime.parallel import usable_cores

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command measures for seconds; here a few rounds do."""
    monkeypatch.setattr(command, "measure", lambda target: measure(target, seconds=1e-9))
    monkeypatch.setattr(command, "compare", lambda a, b: compare(a, b, seconds=1e-9))


def test_one_model_is_measured_and_the_status_is_done(files: None, capsys: Captured) -> None:
    """The table is printed, and nothing goes to the error stream."""
    assert main(["right.edge"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("right.edge\n")
    assert "golden rows: answered right" in shown.out
    assert "  p90 " in shown.out
    assert "A/A: " in shown.out
    assert shown.err == ""


def test_a_real_bundle_and_its_bare_graph_are_measured(
    real_bundle: Path, small_contents: dict[str, bytes], capsys: Captured
) -> None:
    """The bundle answers its golden rows; the graph alone has none and gets made-up tensors."""
    bare = real_bundle.with_name("bare.onnx")
    bare.write_bytes(small_contents["graph.onnx"])
    status = main([str(real_bundle), "--against", str(bare), "--threads", "1", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert status == data["status"]
    assert [run["target"] for run in data["runs"]] == ["real.edge", "bare.onnx"]
    assert [run["answers_right"] for run in data["runs"]] == [True, None]
    assert data["runs"][0]["environment"]["threads"] == 1


def test_a_file_that_is_no_bundle_is_bad_input(tmp_path: Path, capsys: Captured) -> None:
    """One line, status 2."""
    path = tmp_path / "text.edge"
    path.write_text("not a bundle")
    assert main([str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("edge-bench: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_fast_wrong_answer_is_status_one(files: None, capsys: Captured) -> None:
    """The latency is shown, the answer is no."""
    assert main(["wrong.edge"]) == 1
    assert "golden rows: ANSWERED WRONG" in capsys.readouterr().out


def test_a_wrong_answer_outweighs_any_speed(files: None) -> None:
    """Whichever of the two it is, and whatever the comparison found."""
    assert main(["right.edge", "--against", "wrong.edge"]) == 1


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("faster", 0), ("no difference", 0), ("slower", 1), ("inconclusive", 3), ("unfit", 4)],
)
def test_each_verdict_has_its_status(
    files: None, monkeypatch: pytest.MonkeyPatch, capsys: Captured, verdict: str, status: int
) -> None:
    """0 no regression, 1 regression, 3 inconclusive, 4 not fit to judge."""
    found = SimpleNamespace(verdict=verdict)
    monkeypatch.setattr(command, "compare", lambda a, b: found)
    monkeypatch.setattr(command, "comparison_text", lambda comparison: comparison.verdict)
    assert main(["right.edge", "--against", "other.edge"]) == status
    assert capsys.readouterr().out.endswith(f"\n\n{verdict}\n")


def test_two_models_are_compared_by_their_file_names(files: None, capsys: Captured) -> None:
    """The sentence names the files that were given."""
    status = main(["right.edge", "--against", "other.edge", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["status"] == status
    assert [run["target"] for run in data["runs"]] == ["right.edge", "other.edge"]
    assert (data["comparison"]["a"], data["comparison"]["b"]) == ("right.edge", "other.edge")


def test_json_is_one_versioned_document(files: None, capsys: Captured) -> None:
    """Samples and figures, in a form with a number."""
    assert main(["right.edge", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["format"] == 1
    assert data["comparison"] is None
    assert len(data["runs"][0]["latency_ns"]) == 64
    assert data["runs"][0]["answers_right"] is True


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["missing.edge"], 2, "edge-bench: missing.edge: No such file or directory\n"),
        (["miss\x1b[2Jing.edge"], 2, "edge-bench: miss\\x1b[2Jing.edge: No such file or directory\n"),
        (["right.edge", "--against", "missing.edge"], 2, "edge-bench: missing.edge: No such file or directory\n"),
        (["broken.edge"], 1, "edge-bench: broken.edge: 1 of 3 golden rows is answered differently here\n"),
        (
            ["right.edge", "--threads", "99999"], 2,
            f"edge-bench: --threads 99999 does not fit this machine; expected 1 to {usable_cores()}\n",
        ),
        (
            ["right.edge", "--threads", "0"], 2,
            f"edge-bench: --threads 0 does not fit this machine; expected 1 to {usable_cores()}\n",
        ),
    ],
)  # fmt: skip
def test_bad_use_is_one_line(files: None, capsys: Captured, arguments: list[str], status: int, says: str) -> None:
    """What is wrong and where, on the error stream, with the status of the house."""
    assert main(arguments) == status
    assert capsys.readouterr() == ("", says)


def test_no_model_is_wrong_use(capsys: Captured) -> None:
    """argparse says what is missing, with status 2."""
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "MODEL" in capsys.readouterr().err


def test_edge_bench_and_edge_bench_of_click_are_the_same(files: None) -> None:
    """Arguments arrive, text and status come back."""
    result = CliRunner().invoke(click_command, ["wrong.edge"])
    assert result.exit_code == 1
    assert "golden rows: ANSWERED WRONG" in result.output
    assert CliRunner().invoke(click_command, ["missing.edge"]).exit_code == 2
    assert CliRunner().invoke(click_command, []).exit_code == 2
    data = json.loads(CliRunner().invoke(click_command, ["right.edge", "--threads", "1", "--json"]).output)
    assert data["runs"][0]["target"] == "right.edge"


def test_both_helps_have_an_example() -> None:
    """A reader of --help sees how it is called and what the statuses mean."""
    clicked = CliRunner().invoke(click_command, ["--help"]).output
    plain = subprocess.run(
        [sys.executable, "-m", "edge_runtime.benchmarks", "--help"], check=True, capture_output=True, text=True
    ).stdout
    assert "edge bench fraud.edge --against old.edge" in clicked
    assert "edge-bench fraud.edge --against old.edge" in plain
    for text in (clicked, plain):
        assert "inconclusive" in text
        assert "--threads" in text


def test_the_device_needs_nothing_but_the_core() -> None:
    """Without click, and with no other package loaded, the module measures a callable and prints its screen."""
    code = """
import sys
extras = ["click", "rich", "scipy", "pandas", "onnx", "matplotlib", "jinja2"]
sys.modules.update(dict.fromkeys(extras))
import edge_runtime.benchmarks.__main__
from edge_runtime.benchmarks import measure
from edge_runtime.benchmarks.screen import run_text
print(run_text(measure(int, seconds=0.001)))
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "single-stream, one call at a time" in shown
