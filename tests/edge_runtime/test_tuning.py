"""Tuning: every variant is tried where nothing that it does reaches the others, and what is chosen is right and fast.

The crash, the hang, the wrong answers and the ends of processes are real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_runtime
from edge_runtime import choice
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, EdgeError, InputError
from edge_runtime.inspection import replayed_rows
from edge_runtime.tuning import Tuning, ordered, tune

from .conftest import (
    Several,
    answers_of,
    crashing_network,
    float_network,
    int8_network,
    nan_network,
)

pytestmark = pytest.mark.usefixtures("own_cache")

RIGHT = float_network()
SLOW = float_network(detours=2)
INT8 = int8_network()
ANSWERS = answers_of(INT8)
SHORT = 0.1  # seconds of timing: enough for what is a hundred times as fast

Processes = list["subprocess.Popen[str]"]


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """Those that tuning starts, in order; afterwards none of them is alive."""
    made: Processes = []

    class Noted(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            made.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    yield made
    assert [process.returncode for process in made if process.returncode is None] == []


def verdicts(found: Tuning) -> dict[str, str]:
    return {trial.variant: trial.verdict for trial in found.trials}


def reasons(found: Tuning) -> dict[str, str]:
    return {trial.variant: trial.reason for trial in found.trials}


# ---- Right or wrong.


def test_whatever_is_wrong_is_out_and_the_fastest_of_the_right_is_taken(several: Several, processes: Processes) -> None:
    """Saturated, NaN, wrong, crashing, hanging and unfit variants, around two that are right."""
    path = several(
        crash=crashing_network(),
        slow=SLOW,
        saturated=(int8_network(saturated=True), ANSWERS),
        int8=(INT8, ANSWERS),
        nan=nan_network(),
        wrong=float_network(factor=1.01),
        other=float_network(output="z"),
        hang=float_network(detours=400, size=3000),
    )
    heard: list[str] = []
    found = tune(path, limit=8.0, seconds=SHORT, tell=heard.append)
    assert (found.order, found.chosen, found.rows) == (("int8", "slow"), "int8", 6)
    assert verdicts(found) == {
        "crash": "out", "slow": "slower than int8", "saturated": "out", "int8": "chosen: surely faster than slow",
        "nan": "out", "wrong": "out", "other": "out", "hang": "out",
    }  # fmt: skip
    said = reasons(found)
    assert said["crash"] == "opening it and its golden rows ended its process with SIGFPE"
    assert said["hang"] == "opening it and its golden rows took more than 8 s, so its process was ended"
    assert said["saturated"].startswith("the golden rows are not answered as recorded: golden sample 0: y is ")
    assert said["nan"].startswith("the golden rows are not answered as recorded: golden sample 0: y is nan, recorded ")
    assert said["wrong"].startswith("the golden rows are not answered as recorded: golden sample 0: y is ")
    assert said["other"] == "edge.json declares other outputs than the model gives"
    assert (said["slow"], said["int8"]) == ("", "")
    assert len(processes) == 8 + 2 * 2
    assert heard[0] == "crash: 6 golden rows"
    assert heard[-1].startswith("timing 3/3: slow, int8")
    times = {trial.variant: trial.time for trial in found.trials}
    for name in ("slow", "int8"):
        time = times[name]
        assert time is not None
        assert time.unit == "ns"
        assert 0 < time.low <= time.value <= time.high
    assert [name for name, time in times.items() if time is None] == [
        "crash",
        "saturated",
        "nan",
        "wrong",
        "other",
        "hang",
    ]

    assert found.remember() is not None
    assert edge_runtime.load(path).variant == "int8"  # and the variant that comes first ends no process


def test_answers_recorded_as_nan_are_no_answers(several: Several) -> None:
    """It answers as was recorded, and that is nothing."""
    path = several(float32=RIGHT, nan=(nan_network(), answers_of(nan_network())))
    assert edge_runtime.load(path, variant="nan").verify().ok
    found = tune(path, seconds=SHORT)
    assert verdicts(found) == {"float32": "chosen: the only one that is right", "nan": "out"}
    assert reasons(found)["nan"] == "golden row 0: y was recorded as NaN, which the first variant does not answer"


def test_rows_after_those_that_load_replays_count_too(several: Several) -> None:
    """Loading replays the first few; tuning all of them."""
    changed = [{"y": answer["y"] + (0.1 if i == 5 else 0.0)} for i, answer in enumerate(ANSWERS)]
    path = several(float32=RIGHT, int8=(INT8, changed))
    assert edge_runtime.load(path, variant="int8").variant == "int8"
    assert "golden sample 5: y is" in reasons(tune(path, seconds=SHORT))["int8"]


def test_where_nothing_is_right_nothing_is_remembered(several: Several) -> None:
    """And what was remembered before is forgotten."""
    path = several(nan=nan_network(), crash=crashing_network())
    place = Path(choice.remember(Bundle.open(path).digest, ["crash"]))
    found = tune(path, seconds=SHORT)
    assert (found.order, found.chosen) == ((), None)
    assert found.remember() is None
    assert not place.exists()


def test_tables_are_tuned_by_row(small_bundle: Path) -> None:
    """One variant has no rival, and is tried all the same."""
    found = tune(small_bundle, seconds=SHORT)
    assert verdicts(found) == {"exact": "chosen: the only one that is right"}
    assert (found.rows, found.order) == (3, ("exact",))


def test_what_cannot_be_tuned_is_refused(tmp_path: Path, several: Several, small_manifest: Any) -> None:
    """No bundle, no golden rows, golden rows that are malformed."""
    (tmp_path / "no.edge").write_text("no bundle")
    with pytest.raises(BundleError):
        tune(tmp_path / "no.edge")
    with pytest.raises(BundleError, match="golden rows are malformed"):
        tune(several(float32=RIGHT, int8=(INT8, ANSWERS[1:])))
    contents = {"graph.onnx": RIGHT, "golden.json": b'{"outputs":[],"rows":[]}'}
    Bundle.write(tmp_path / "none.edge", small_manifest, contents)
    with pytest.raises(InputError, match="it has no golden rows to replay; expected a bundle, as edge convert writes"):
        tune(tmp_path / "none.edge")


# ---- What happens while it is timed.


@pytest.mark.parametrize(
    ("sent", "says"), [(signal.SIGKILL, "ended its process with SIGKILL"), (signal.SIGSTOP, "took more than 8 s")]
)
def test_a_variant_that_is_lost_while_it_is_timed_is_out(
    several: Several, processes: Processes, sent: signal.Signals, says: str
) -> None:
    """The others are timed anew."""
    path = several(float32=RIGHT, int8=(INT8, ANSWERS), again=RIGHT)
    heard: list[str] = []

    def tell(text: str) -> None:
        heard.append(text)
        if text.startswith("timing 1/3: float32, int8, again"):
            os.kill(processes[1].pid, sent)

    found = tune(path, limit=8.0, seconds=SHORT, tell=tell)
    assert says in reasons(found)["int8"]
    assert set(found.order) == {"float32", "again"}
    assert heard[-1].startswith("timing 3/3: float32, again")


def test_an_error_of_ours_is_not_a_variants(several: Several, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If the trying itself fails, that is said, and no variant is called wrong."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'NameError: name x is not defined' >&2\nexit 1\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(EdgeError, match="the process that tries variant 'float32' failed: NameError: name x is not de"):
        tune(several(float32=RIGHT))


def test_whatever_is_printed_in_the_process_is_no_answer(several: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries print what they like."""
    monkeypatch.setenv("PYTHONVERBOSE", "1")  # megabytes on standard error
    assert tune(several(float32=RIGHT), seconds=SHORT).chosen == "float32"


# ---- Which one is chosen.


def rounds(*scales: float, seed: int = 0) -> dict[str, Any]:
    """The same noise of 2% for each, at other scales: 60 rounds."""
    random = np.random.default_rng(seed)
    names = "abcdef"
    return {names[i]: 1e6 * scale * random.normal(1, 0.02, 60) for i, scale in enumerate(scales)}


@pytest.mark.parametrize(
    ("scales", "order"),
    [
        ((), ""),
        ((1.0,), "a"),
        ((1.0, 1.0, 1.0), "abc"),
        ((1.0, 0.99), "ab"),
        ((1.0, 0.9), "ba"),
        ((1.0, 1.1, 0.5), "cab"),
        ((1.0, 0.9, 0.895, 0.91), "bacd"),
        ((1.0, 0.9, 0.8, 0.7, 2.0), "dabce"),
    ],
)
def test_only_what_is_surely_faster_takes_the_place_of_an_earlier_one(scales: tuple[float, ...], order: str) -> None:
    """Ties go to the order in the bundle, and so do differences that another run would not find again."""
    assert "".join(ordered([rounds(*scales, seed=seed) for seed in range(3)])) == order


def test_what_is_faster_in_one_go_only_is_not_surely_faster() -> None:
    """Two processes with the same graph differ: a gain has to be there with each."""
    assert ordered([rounds(1.0, 0.9), rounds(1.0, 1.0, seed=1), rounds(1.0, 0.9, seed=2)]) == ("a", "b")


# ---- The command.

Edge = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def quick(several: Several) -> Path:
    """A slow variant, one that crashes, and one that is a hundred times as fast as the first."""
    return several(float32=SLOW, crash=crashing_network(), int8=(INT8, ANSWERS))


def test_tune_prints_a_table_and_remembers(edge: Edge, quick: Path) -> None:
    """Each variant with size, golden rows, time, ratio and verdict; progress on standard error."""
    done = edge("tune", quick, COLUMNS="120")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    digest = Bundle.open(quick).digest
    assert lines[0] == f"{quick}, {digest}"
    assert lines[2].split() == ["variant", "graph", "golden", "rows", "p50", "ratio", "verdict"]
    assert [line.split()[0] for line in lines[3:6]] == ["float32", "crash", "int8"]
    assert "6 right" in lines[3]
    assert "1.000" in lines[3]
    assert "not right" in lines[4]
    assert lines[5].endswith("chosen: surely faster than float32")
    assert lines[6] == "crash: opening it and its golden rows ended its process with SIGFPE"
    place = choice.place(digest)
    assert lines[7] == f"load takes int8 here, as {place} says"
    assert done.stderr.splitlines()[0] == "float32: 6 golden rows"
    assert edge_runtime.load(quick).variant == "int8"
    again = edge("tune", quick, "--forget")
    assert (again.returncode, again.stdout) == (0, f"{quick}: forgotten: load takes the first variant\n")
    assert edge("tune", quick, "--forget").stdout == f"{quick}: nothing was remembered here\n"
    assert not Path(place).exists()


def test_tune_answers_as_json(edge: Edge, several: Several) -> None:
    """Everything that the table holds, and where it was remembered."""
    path = several(crash=crashing_network(), int8=(INT8, ANSWERS))
    done = edge("tune", path, "--json")
    data = json.loads(done.stdout)
    assert (done.returncode, data["chosen"], data["order"]) == (0, "int8", ["int8"])
    assert data["remembered"] == choice.place(data["digest"])
    assert [trial["variant"] for trial in data["trials"]] == ["crash", "int8"]
    assert data["trials"][0]["time"] is None
    assert data["trials"][1]["ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0, "unit": "ratio"}
    assert json.loads(edge("tune", path, "--forget", "--json").stdout)["forgotten"] is True


def test_tune_says_no_where_nothing_is_right(edge: Edge, several: Several) -> None:
    """Status 1, with the reasons."""
    done = edge("tune", several(nan=nan_network(), crash=crashing_network()))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "no variant is right on this machine"
    assert "crash: opening it and its golden rows ended its process with SIGFPE" in done.stdout


def test_tune_says_that_the_cache_cannot_be_written(edge: Edge, several: Several, tmp_path: Path) -> None:
    """After the table: what was found is not lost."""
    path = several(nan=nan_network(), int8=(INT8, ANSWERS))
    (tmp_path / "file").write_text("")
    done = edge("tune", path, EDGE_CACHE=str(tmp_path / "file"))
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "load takes int8 here once it is remembered"
    assert done.stderr.splitlines()[-1].startswith(f"edge: the cache folder {tmp_path}/file/tuned cannot be written (")
    data = json.loads(edge("tune", path, "--json", EDGE_CACHE=str(tmp_path / "file")).stdout)
    assert (data["chosen"], data["remembered"]) == ("int8", None)


def test_two_that_tune_at_once_leave_one_choice(quick: Path) -> None:
    """Each finds what it finds; the last one's is kept, whole."""
    command = [sys.executable, "-P", "-m", "edge_runtime", "tune", str(quick), "--json"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)
    ]
    found = [json.loads(process.communicate()[0]) for process in started]
    assert [(each["chosen"], process.returncode) for each, process in zip(found, started, strict=True)] == [
        ("int8", 0)
    ] * 2
    assert [path.name for path in Path(found[0]["remembered"]).parent.iterdir()] == [Path(found[0]["remembered"]).name]
    assert edge_runtime.load(quick).variant == "int8"


def test_tune_has_help_with_an_example(edge: Edge) -> None:
    """As every command."""
    assert "Example: edge tune fraud.edge" in edge("tune", "--help").stdout


def test_verify_replays_every_variant(edge: Edge, several: Several) -> None:
    """Also around one that ends its process; status 1 if one is not right."""
    done = edge("verify", several(float32=RIGHT, int8=(INT8, ANSWERS)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [
        "6 golden rows replayed, one by one",
        "float32: as recorded", "  y  equal  (must be within 1e-05)",
        "int8: as recorded", "  y  equal  (must be within 0.001)",
        "verified: this machine answers as recorded",
    ]  # fmt: skip
    path = several(crash=crashing_network(), float32=RIGHT, saturated=(int8_network(saturated=True), ANSWERS))
    done = edge("verify", path, "--json")
    data = json.loads(done.stdout)
    assert (done.returncode, data["ok"]) == (1, False)
    assert [each["ok"] for each in data["variants"]] == [False, True, False]
    assert data["problems"][0] == "crash: opening it and its golden rows ended its process with SIGFPE"
    assert data["problems"][1].startswith("saturated: the golden rows are not answered as recorded: golden sample 0")
    assert edge("verify", path).stdout.splitlines()[-1] == "NOT verified: answers differ here"


def test_inspect_shows_every_variant(edge: Edge, several: Several) -> None:
    """With what its golden rows must come to."""
    lines = edge("inspect", several(float32=RIGHT, int8=(INT8, ANSWERS))).stdout.splitlines()
    assert "2 variants" in lines
    assert "  replayed  golden rows, wherever the bundle is opened: y within 1e-05" in lines
    assert "  replayed  int8: its own answers to them: y within 0.001" in lines


def test_what_is_not_in_the_bundle_is_held_to_nothing(several: Several) -> None:
    """Of an 8-bit variant by itself, only its own tolerance is told."""
    manifest = Bundle.open(several(float32=RIGHT)).manifest
    alone = replace(manifest, variants=(replace(manifest.variants[0], tolerance={"y": 0.02}),))
    (row,) = replayed_rows(alone)
    assert row == ("replayed", "golden rows, wherever the bundle is opened: y within 0.02")
