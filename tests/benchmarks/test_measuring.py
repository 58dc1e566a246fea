"""Measuring for real, briefly: in this process and in fresh ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_runtime.benchmarks import (
    RateSearch,
    Settings,
    Target,
    cold_start,
    energy,
    find_max_rate,
    measure,
    memory,
    profile,
    sweep,
)
from edge_runtime.benchmarks.fresh import in_fresh_process
from edge_runtime.benchmarks.scenarios import own_cost_ns
from edge_runtime.errors import EdgeError, InputError

from .conftest import Clock


def test_the_environment_says_where_and_when() -> None:
    """Versions are those that run, the date is in UTC, and the machine has a name."""
    environment = measure(int, seconds=1e-9).environment
    assert environment.numpy == np.__version__
    assert environment.onnxruntime == onnxruntime.__version__
    assert environment.cpu_model
    assert environment.cores >= 1
    assert environment.processes == 1
    assert environment.threads is None
    assert environment.differences(environment) == ()
    if hasattr(os, "sched_getaffinity"):
        assert environment.affinity == tuple(sorted(os.sched_getaffinity(0)))
    made = datetime.fromisoformat(environment.date)
    assert made.utcoffset() is not None
    assert abs((datetime.now(UTC) - made).total_seconds()) < 3600


def test_the_harness_knows_its_own_cost() -> None:
    """A positive number of nanoseconds."""
    assert own_cost_ns() > 0


def test_wrong_answers_are_recorded(make_model: Callable[..., Any]) -> None:
    """A run of a model whose golden rows differ says so."""
    assert measure(make_model(right=False), seconds=1e-9).answers_right is False
    assert measure(make_model(), seconds=1e-9).answers_right is True


def test_every_scenario_measures_a_model(make_model: Callable[..., Any]) -> None:
    """With what each of them needs, and rows of a batch."""
    model = make_model()
    assert measure(model, "server", rate=2_000.0, seconds=0.05).rate_per_s == 2_000
    offline = measure(model, "offline", batch=5, seconds=0.01)
    assert offline.rows == 5
    assert offline.throughput().value > 0
    assert len(model.asked[-1]["amount"]) == 5
    assert measure(model, "sustained", seconds=0.1).scenario == "sustained"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scenario": "quick"}, "unknown scenario 'quick'; expected one of"),
        ({"scenario": "server"}, "expected a rate in the server scenario"),
        ({"rate": 3.0}, "expected a rate in the server scenario, and only there"),
        ({"scenario": "server", "rate": 0.0}, "rate is 0.0; expected a positive number"),
        ({"batch": 3}, "expected batches in the offline scenario only"),
        ({"scenario": "offline", "batch": 0}, "batch is 0; expected 1 row or more"),
        ({"scenario": "offline", "batch": 2}, "int takes no batches"),
        ({"processes": 0}, "processes is 0; expected 1 or more"),
        ({"processes": 2}, "a type cannot be handed to fresh processes; expected a path"),
        ({"seconds": 0}, "expected a positive number"),
        ({"seconds": float("nan")}, "expected a positive number"),
    ],
)
def test_bad_use_is_one_sentence(wrong: dict[str, Any], says: str) -> None:
    """What is wrong, and what would be right."""
    with pytest.raises(ValueError, match=says):
        measure(int, **wrong)


def test_fresh_processes_share_the_time(real_bundle: Path) -> None:
    """Each is bound to its cores, measures, and checks its answers; samples keep their process."""
    seen: list[tuple[str, float]] = []
    run = measure(
        str(real_bundle), seconds=0.1, processes=2, settings=Settings(threads=1),
        progress=lambda what, part: seen.append((what, part)),
    )  # fmt: skip
    assert len(run.process_calls) == 2
    assert sum(run.process_calls) == len(run.latency_ns)
    assert run.environment.processes == 2
    assert run.answers_right is True
    assert run.environment.threads == 1
    assert seen[-1] == ("single-stream", 1.0)
    assert seen == sorted(seen)
    if hasattr(os, "sched_getaffinity"):
        assert run.environment.affinity == (max(os.sched_getaffinity(0)),)


def test_a_long_process_says_how_far_it_is(bare_graph: Path) -> None:
    """Every two seconds; and an error of ours in it keeps its words, without a class."""
    heard: list[float] = []
    asked: dict[str, Any] = {"target": str(bare_graph), "settings": Settings().to_json(), "inputs": None}
    in_fresh_process("measure", **asked, scenario="sustained", seconds=2.5, report=heard.append)
    assert heard
    assert heard == sorted(heard)
    assert all(0 < part <= 1 for part in heard)
    with pytest.raises(EdgeError, match=r"^the bound is -1 ms; expected a positive number$"):
        in_fresh_process("search", **asked, bound_ms=-1)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    """The last line of its complaint, as an error of ours."""
    with pytest.raises(EdgeError, match=r"a measuring process failed: .*missing\.edge"):
        in_fresh_process("measure", target=str(tmp_path / "missing.edge"), settings=Settings().to_json(), inputs=None)


def test_the_highest_rate_is_where_theory_puts_it(clock: Clock) -> None:
    """Constant service of 1 ms and a p99 below 5 ms: an M/D/1 queue keeps that up to 555 calls a second (Lindley's
    recursion, simulated apart)."""
    target = Target(name="x", new_call=lambda: lambda: clock.spend(1_000_000))
    found = find_max_rate(target, bound_ms=5.0, seconds=800.0)
    assert found.rate_per_s == pytest.approx(555, rel=0.05)
    assert len(found.tries) > 3
    assert RateSearch.from_json(found.to_json()).rate_per_s == found.rate_per_s
    assert find_max_rate(target, bound_ms=0.5, seconds=1.0).rate_per_s is None
    with pytest.raises(InputError, match="the bound is 0 ms"):
        find_max_rate(target, bound_ms=0)


def test_a_cold_start_is_split_into_its_phases(real_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each fresh process, and their sum is the time to the first answer; the first process is not counted."""
    monkeypatch.setattr("edge_runtime.benchmarks.starting.FEWEST", 11)
    found = cold_start(str(real_bundle), processes=11, settings=Settings(threads=1))
    assert found.phases == ("interpreter", "numpy", "onnxruntime", "session", "first run", "second run")
    assert found.phase_ns.shape == (11, 6)
    assert (found.phase_ns > 0).all()
    assert found.phase("numpy").value > 1e6
    assert found.total().value > found.phase("session").value
    assert type(found).from_json(found.to_json()).to_json() == found.to_json()
    with pytest.raises(InputError, match="processes is 3; expected 11 or more"):
        cold_start(str(real_bundle), processes=3)


def test_memory_is_told_by_phase(real_bundle: Path) -> None:
    """What is loaded adds up, installed packages and the file have their size."""
    found = memory(str(real_bundle))
    assert [phase.name for phase in found.phases] == ["interpreter", "numpy", "onnxruntime", "session", "runs"]
    assert found.model_bytes == real_bundle.stat().st_size
    assert found.installed_bytes["numpy"] > 1e6
    assert type(found).from_json(found.to_json()) == found
    if sys.platform == "linux":
        held = [phase.rss_bytes or 0 for phase in found.phases]
        assert held[0] < held[1] < held[2]
        assert all((phase.peak_rss_bytes or 0) >= (phase.rss_bytes or 0) for phase in found.phases)


def test_energy_is_read_or_said_to_be_unavailable(real_bundle: Path) -> None:
    """Never guessed; CPU seconds stand beside it."""
    found = energy(str(real_bundle), seconds=0.05)
    assert (found.joules_per_call is None) == (found.unavailable is not None)
    assert found.cpu_seconds_per_call > 0


def test_energy_counters_that_start_anew_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """16 parts at 2 J each, over the end of the counter: the joules of a call."""
    (tmp_path / "max_energy_range_uj").write_text("10000000")
    at = 0

    def counted(path: str) -> str | None:
        nonlocal at
        if path.endswith("max_energy_range_uj"):
            return "10000000"
        at += 1
        return str(at * 2_000_000 % 10_000_000)

    monkeypatch.setattr("edge_runtime.benchmarks.consumption.RAPL", str(tmp_path))
    monkeypatch.setattr("edge_runtime.benchmarks.consumption.first_line", counted)
    found = energy(int, seconds=0.001)
    assert found.unavailable is None
    assert found.joules_per_call is not None
    assert found.joules_per_call.value == pytest.approx(2.0 * 16 / found.calls)
    assert found.joules_per_call.unit == "J"


def test_a_sweep_measures_every_value_four_times(real_bundle: Path) -> None:
    """In fresh processes, with the size of the graph and what is worth having."""
    found = sweep(str(real_bundle), "batch", ["1", "256"], seconds=0.04)
    assert [point.value for point in found.points] == ["1", "256"]
    assert all(point.run is not None and point.run.environment.processes == 4 for point in found.points)
    assert all(point.size_bytes for point in found.points)
    assert found.advice is not None
    assert found.advice.startswith("rows in batches of 256 take ")
    assert any(found.pareto)
    assert type(found).from_json(found.to_json()).to_json() == found.to_json()


@pytest.mark.parametrize(
    ("parameter", "values", "says"),
    [
        ("speed", None, "unknown parameter 'speed'"),
        ("threads", ["99999"], "threads is 99999; expected 1 to"),
        ("threads", ["two"], "threads is 'two'; expected a whole number"),
        ("spinning", ["fast"], 'spinning is \'fast\'; expected "on" or "off"'),
        ("provider", ["Abacus"], "there is no provider 'Abacus' here"),
        ("variant", ["int3"], "there is no variant 'int3'"),
    ],
)
def test_values_that_are_none_are_refused(real_bundle: Path, parameter: Any, values: Any, says: str) -> None:
    """Before anything is measured for long."""
    with pytest.raises(InputError, match=says):
        sweep(str(real_bundle), parameter, values, seconds=0.01)


def test_a_profile_says_where_the_time_goes(real_bundle: Path) -> None:
    """By operator and node; shares add up, nothing is left behind in the folder."""
    before = set(Path.cwd().iterdir())
    found = profile(str(real_bundle), calls=20)
    assert found.calls == 20
    assert sum(each.share for each in found.operators) == pytest.approx(1.0, abs=1e-6)
    assert sum(each.nodes for each in found.operators) == len(found.nodes)
    assert set(Path.cwd().iterdir()) == before


def test_what_is_loaded_from_no_file_has_no_cold_start() -> None:
    """Nor a memory or a profile of its own."""
    for function in (cold_start, memory, profile):
        with pytest.raises(InputError, match="math:floor is not loaded from a file"):
            function("math:floor")


def test_the_device_needs_nothing_but_the_core() -> None:
    """With every extra absent, the library measures, compares and stores."""
    code = """
import json, sys
extras = ["click", "rich", "scipy", "pandas", "pyarrow", "onnx", "matplotlib", "jinja2", "ruptures"]
sys.modules.update(dict.fromkeys(extras))
from edge_runtime.benchmarks import Run, compare, measure
run = measure(int, seconds=0.001)
assert Run.from_json(json.loads(json.dumps(run.to_json()))).percentile(50) == run.percentile(50)
print(compare(int, int, seconds=0.001).verdict)
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)
