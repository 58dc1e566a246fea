"""What the machine did meanwhile: read where the system says it, and judged in sentences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.benchmarks import Conditions
from edge_runtime.benchmarks.conditions import Watch, kernel_ns

Maker = Callable[..., Conditions]


def test_a_quiet_machine_has_no_problems(conditions_of: Maker) -> None:
    """Nor has one whose system says nothing."""
    assert conditions_of().problems == ()
    unknown = dict.fromkeys(
        ["steal_share", "pressure_share", "others_cores", "involuntary_switches", "frequency_start_hz", "frequency_end_hz"]
    )  # fmt: skip
    assert conditions_of(**unknown, kernel_ns=np.array([], np.int64)).problems == ()


RNG = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"steal_share": 0.05}, "the hypervisor gave 5% of the CPU time to other guests"),
        ({"pressure_share": 0.4}, "tasks waited for a core during 40% of the time"),
        ({"others_cores": 1.7}, "other processes kept 1.7 of 4 cores busy"),
        ({"involuntary_switches": 2_000}, "the measuring process was taken off its core 1,000 times a second"),
        ({"frequency_end_hz": 1.5e9}, "the processor fell from 2,000 to 1,500 MHz"),
        (
            {"kernel_ns": RNG.normal(60_000, 100, 90) * np.linspace(1, 1.2, 90)},
            "a fixed computation took 1.13 times as long at the end as at the start",
        ),
        (
            {"kernel_ns": np.tile([60_000] * 8 + [90_000] * 2, 9)},
            "one in ten runs of a fixed computation took more than 1.50 times the usual",
        ),
    ],
)
def test_what_disturbs_is_a_sentence(conditions_of: Maker, changed: dict[str, Any], says: str) -> None:
    """One for each kind of disturbance, with its size."""
    assert conditions_of(**changed).problems == (says,)


def test_a_sessions_own_threads_are_no_disturbance(conditions_of: Maker) -> None:
    """They wait for cores and take them from one another, on a machine that is theirs alone."""
    assert conditions_of(others_cores=0.1, pressure_share=0.4, involuntary_switches=100_000).problems == ()
    assert conditions_of(others_cores=None, pressure_share=0.4).problems != ()


def test_a_few_kernels_say_nothing(conditions_of: Maker) -> None:
    """Below thirty there is no drift to tell."""
    assert conditions_of(kernel_ns=np.array([1, 100])).kernel_drift is None
    assert conditions_of(kernel_ns=np.array([1, 100])).problems == ()


def test_a_watch_sees_what_happens_while_it_looks() -> None:
    """Kernels in order, wall and CPU time, and whatever this system says of the rest."""
    watch = Watch()
    for _ in range(40):
        watch.run_kernel()
    found = watch.conditions()
    assert len(found.kernel_ns) == 40
    assert (found.kernel_ns > 0).all()
    assert found.cpu_seconds > 0
    assert found.seconds > 0
    assert found.cores >= 1
    if sys.platform == "linux":
        assert found.steal_share is not None
        assert 0 <= found.steal_share <= 1
        assert found.others_cores is not None
        assert found.involuntary_switches is not None
    assert Conditions.from_json(found.to_json()).to_json() == found.to_json()


def test_the_kernel_takes_some_time() -> None:
    """It does the same each time, and more than reading the clock."""
    assert kernel_ns() > 1_000


def test_where_a_system_says_nothing_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, no figure: None, and no guess."""
    monkeypatch.setattr("edge_runtime.benchmarks.conditions.first_line", lambda path: None)
    monkeypatch.setattr(sys, "platform", "win32")
    found = Watch().conditions()
    assert found.steal_share is found.pressure_share is found.others_cores is found.involuntary_switches is None
    assert found.frequency_start_hz is None


def test_what_one_process_does_not_know_the_whole_does_not_know(conditions_of: Maker) -> None:
    """A share is known only if it was known all the time."""
    assert Conditions.merged([conditions_of(), conditions_of(steal_share=None)]).steal_share is None
    assert Conditions.merged([conditions_of(), conditions_of()]).involuntary_switches == 6
