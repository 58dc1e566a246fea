"""What a person reads: the whole text, and nothing in it that moves a cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.benchmarks import (
    ColdStart,
    Comparison,
    Conditions,
    Energy,
    Environment,
    Estimate,
    Gate,
    Memory,
    MemoryPhase,
    NodeTime,
    OperatorTime,
    Profile,
    RateSearch,
    Run,
    Sweep,
    SweepPoint,
)
from edge_runtime.benchmarks.document import FORMAT, Document, ModelFile
from edge_runtime.benchmarks.screen import comparison_text, document_text, run_text
from edge_runtime.benchmarks.wording import duration, plural, rate
from edge_runtime.words import printable

RunOf = Callable[..., Run]

MACHINE = Environment(
    cpu_model="Cortex-A72", cores=4, affinity=(3,), threads=1, processes=5, load=0.25, memory_bytes=4_000_000_000,
    governor="performance", date="2026-01-02T03:04:05+00:00", system="Linux 6.1 aarch64", python="3.11.7",
    numpy="2.4.6", onnxruntime="1.32.0", edge_runtime="0.1.0",
)  # fmt: skip
MODEL = ModelFile(
    name="fraud", version="2.1.0", variant="exact", digest="sha256:0123", file_bytes=52_000, golden_rows=40
)
HEAD = """\
fraud 2.1.0 (exact), 52 kB, sha256:0123
Cortex-A72, 4 cores, 1 thread, 4.0 GB, governor performance, load 0.25, Linux 6.1 aarch64, Python 3.11.7, \
numpy 2.4.6, onnxruntime 1.32.0, 2026-01-02T03:04:05+00:00"""


def document(**changed: Any) -> Document:
    """A document of fraud.edge, measured on MACHINE."""
    return Document(format=FORMAT, target="fraud.edge", model=MODEL, environment=MACHINE, **changed)


def test_a_run_reads_like_this(run_of: RunOf) -> None:
    """Percentiles or what they need, one call in words, the A/A pair, the clock."""
    run = run_of(np.full(1_000, 3_210), process_calls=(200,) * 5)
    assert (
        run_text(run)
        == """\
single-stream: one call after another; 1,000 calls in 5 fresh processes
  one call: predict_one, 3 golden rows in turn
         latency  95% interval
  p50    3.21 µs  3.21 µs to 3.21 µs
  p90    3.21 µs  3.21 µs to 3.21 µs
  p99    3.21 µs  3.21 µs to 3.21 µs
  p99.9        –  needs 5,636 more samples
  312,000 rows/s (312,000 to 312,000)
  A/A: 1.000 (1.000 to 1.000, 99% interval): ±0.0% is the smallest difference this run could have seen
  the clock's own cost, included: 53.0 ns a call"""
    )


def test_a_disturbed_run_says_so(run_of: RunOf, conditions_of: Callable[..., Conditions]) -> None:
    """Each problem of the machine is a line of its own."""
    run = run_of(np.full(100, 3_210), conditions=conditions_of(steal_share=0.2), steady=False)
    assert "  not quiet: no steady state" in run_text(run)
    assert "  not quiet: the hypervisor gave 20% of the CPU time to other guests" in run_text(run)


def test_a_server_run_shows_the_naive_figure_beside_it(run_of: RunOf) -> None:
    """What a tool would say that waits for each answer before it asks again."""
    waited = np.where(np.arange(1_000) % 50 == 0, 50_000_000, 1_000_000)
    run = run_of(waited, scenario="server", rate_per_s=100.0, service_ns=np.full(1_000, 1_000_000))
    lines = run_text(run).splitlines()
    assert lines[0] == "server: calls that arrive at random, 100 a second; 1,000 calls in 1 fresh process"
    assert lines[5] == "  p99    50.0 ms  50.0 ms to 50.0 ms"
    told = "  counted from when a call was due; tools that count from when it was made would say"
    assert f"{told} p50 1.00 ms, p90 1.00 ms, p99 1.00 ms" in lines


def test_a_sustained_run_says_whether_it_drifted(run_of: RunOf) -> None:
    """Slower at the end by a third, or not at all."""
    slower = run_of(np.linspace(3_000, 4_500, 2_000), scenario="sustained", at_ns=np.arange(2_000))
    assert "  slower at the end: calls of the last fifth of the time took 1.3" in run_text(slower)
    assert "  no drift: " in run_text(run_of(np.full(2_000, 3_000), scenario="sustained", at_ns=np.arange(2_000)))


def test_a_comparison_reads_like_this(comparison_of: Callable[..., Comparison]) -> None:
    """How it was done, the A/A pair, the sentence."""
    assert (
        comparison_text(comparison_of())
        == """\
interleaved: 285 rounds of 1,090 calls in 5 fresh processes, in random order
A/A: 1.001 (0.996 to 1.004, 99% interval): ±0.4% is the smallest difference this run could have seen
new.edge is 2.00x faster than old.edge (99% interval 1.96 to 2.04)"""
    )


def test_calls_that_are_not_alike_are_said_to_be(comparison_of: Callable[..., Comparison]) -> None:
    """A ratio of two different kinds of call is not a ratio of two models, and the reader is told; so is the reader of
    a comparison with wrong answers."""
    found = comparison_of(a_work="predict_one, threads=1", b_work="run, threads=2", b_answers_right=False)
    assert comparison_text(found).splitlines()[2:4] == [
        "not like for like: new.edge: predict_one, threads=1; old.edge: run, threads=2",
        "golden rows: old.edge ANSWERS WRONG",
    ]


def test_what_disturbed_a_comparison_is_said_once(comparison_of: Callable[..., Comparison]) -> None:
    """Beside the verdict of interleaved runs, within that of stored ones."""
    for interleaved in (True, False):
        text = comparison_text(comparison_of(interleaved=interleaved, problems=("the cat sat on it",)))
        assert text.count("the cat sat on it") == 1


def test_the_whole_screen_reads_like_this(run_of: RunOf) -> None:
    """What was measured where, batches with the Pareto set marked, cold start, memory, size, energy, one advice."""
    single, batch = run_of(np.full(100, 10_000)), run_of(np.full(100, 64_000), scenario="offline", rows=64)
    points = tuple(
        SweepPoint(value=value, run=run, refused=refused, size_bytes=1)
        for value, run, refused in (("1", single, None), ("64", batch, None), ("4096", None, "out of memory"))
    )
    found = document(
        runs=(single,),
        sweeps=(Sweep(target="fraud.edge", parameter="batch", usual="1", points=points),),
        cold_start=ColdStart(
            target="fraud.edge", phases=("interpreter", "first run", "second run"),
            phase_ns=np.array([[20_000_000, 3_000_000, 10_000]] * 20), environment=MACHINE,
        ),
        memory=Memory(
            target="fraud.edge", peak_is_per_phase=True, model_bytes=52_000, installed_bytes={"numpy": 71_000_000},
            phases=(MemoryPhase(name="runs", peak_rss_bytes=64_000_000, rss_bytes=63_000_000, pss_bytes=39_000_000),),
            environment=MACHINE,
        ),
        energy=Energy(
            target="fraud.edge", joules_per_call=None, unavailable="this machine has no RAPL counters",
            cpu_seconds_per_call=4.5e-6, calls=1_000, environment=MACHINE,
        ),
        notes=("the moon",),
    )  # fmt: skip
    text = document_text(found)
    assert text.startswith(f"{HEAD}\ngolden rows: answered right, 64 of them while timing\n\nsingle-stream: ")
    assert text.endswith(
        """

by batch (* no other is better in speed, CPU time and size)
  batch     rows/s            95% interval   a call
  1        100,000      100,000 to 100,000  10.0 µs  * the usual
  64     1,000,000  1,000,000 to 1,000,000  64.0 µs  *
  4096           –                 refused        –
  4096: out of memory

cold start: 23.0 ms to the first answer (23.0 ms to 23.0 ms), median of 20 fresh processes, files in the cache
  interpreter 20.0 ms, first run 3.00 ms, second run 10.0 µs
memory: 63 MB resident after the runs, 39 MB of it its own share (PSS)
  peak of each phase: runs 64 MB
size: the file 52 kB; installed: numpy 71 MB
energy: unavailable (this machine has no RAPL counters); as a proxy, CPU time 4.50 µs a call, idle tail included

not measured: the moon

advice: rows in batches of 64 take 10.0x less time a row than one at a time here"""
    )


def test_a_wrong_answer_cannot_be_overlooked(run_of: RunOf) -> None:
    """It stands in capitals near the top."""
    text = document_text(document(runs=(run_of(np.full(100, 9), answers_right=False),)))
    assert text.splitlines()[2] == "golden rows: ANSWERED WRONG"


def test_nothing_clearly_faster_is_an_advice_too(run_of: RunOf) -> None:
    """A reader who sees no advice would wonder."""
    point = SweepPoint(value="1", run=run_of(np.full(100, 9_000)), refused=None, size_bytes=1)
    found = document(sweeps=(Sweep(target="fraud.edge", parameter="threads", usual="1", points=(point,)),))
    assert document_text(found).splitlines()[-1].startswith("advice: none: nothing that was tried here is clearly")


def test_a_search_shows_what_it_tried(run_of: RunOf) -> None:
    """The rates in order, the percentile of each, or what it needs."""
    tries = tuple(
        run_of(np.full(count, latency), scenario="server", rate_per_s=rate, service_ns=np.full(count, 1_000))
        for count, latency, rate in ((700, 9_000_000, 900.0), (700, 2_000_000, 300.0), (100, 1_000_000, 30.0))
    )
    search = RateSearch(bound_ns=5e6, percent=99.0, rate_per_s=300.0, tries=tries)
    assert (
        document_text(document(rate_search=search)).split("\n\n", 1)[1]
        == """\
highest rate: 300 calls a second keep p99 within 5.00 ms, one at a time
  offered      p99            95% interval
  30/s           –  needs 562 more samples  100 calls
  300/s    2.00 ms      2.00 ms to 2.00 ms  700 calls
  900/s    9.00 ms      9.00 ms to 9.00 ms  700 calls"""
    )
    none = RateSearch(bound_ns=5e6, percent=99.0, rate_per_s=None, tries=tries)
    assert "no rate that was tried keeps p99 within 5.00 ms" in document_text(document(rate_search=none))


def test_a_profile_is_a_table() -> None:
    """Operators first; nodes where one operator has several."""
    found = Profile(
        target="fraud.edge", calls=200, rows=1, environment=MACHINE,
        operators=(
            OperatorTime(operator="Gemm", nodes=2, ns_per_call=9_000.0, share=0.9),
            OperatorTime(operator="Relu", nodes=1, ns_per_call=1_000.0, share=0.1),
        ),
        nodes=(
            NodeTime(name="a", operator="Gemm", ns_per_call=5_000.0, share=0.5),
            NodeTime(name="b\x1b[2J", operator="Gemm", ns_per_call=4_000.0, share=0.4),
            NodeTime(name="c", operator="Relu", ns_per_call=1_000.0, share=0.1),
        ),
    )  # fmt: skip
    lines = document_text(document(profile=found)).splitlines()
    assert "golden rows" not in lines[2]
    assert lines[3:6] == [
        "profile: 200 calls of the graph on 1 row; counted in whole µs",
        "  operator            a call  share",
        "  Gemm      2 nodes  9.00 µs  90.0%",
    ]
    assert any(line.startswith("  b\\x1b[2J") for line in lines)


def test_the_gate_says_its_outcome(comparison_of: Callable[..., Comparison]) -> None:
    """Its A/A pair, and the sentence."""
    gate = Gate(comparison=comparison_of(ratio=Estimate(1.2, 1.1, 1.3, "ratio")), max_regression=0.05)
    assert document_text(document(gate=gate)).endswith(
        "could have seen\nregression: 1.200 times the baseline's time (99% interval 1.100 to 1.300), "
        "more than the 5.0% allowed"
    )


def test_a_system_that_says_little_of_memory_says_so() -> None:
    """No figure is made up where there is none."""
    phase = MemoryPhase(name="runs", peak_rss_bytes=None, rss_bytes=None, pss_bytes=None)
    found = Memory(
        target="x", phases=(phase,), peak_is_per_phase=False, model_bytes=9, installed_bytes={}, environment=MACHINE
    )
    assert "memory: this system does not say it" in document_text(document(memory=found))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0.00 ns"), (53, "53.0 ns"), (999, "999 ns"), (1_000, "1.00 µs"), (3_214, "3.21 µs"), (45_678, "45.7 µs"),
        (123_456, "123 µs"), (9_999_999, "10.00 ms"), (1.5e9, "1.50 s"), (72e9, "72.0 s"),
    ],
)  # fmt: skip
def test_a_duration_has_three_digits_and_a_unit(nanoseconds: float, text: str) -> None:
    """From nanoseconds to seconds."""
    assert duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("a_second", "text"),
    [(0.123456, "0.123"), (9.8123, "9.81"), (45.678, "45.7"), (123.4, "123"), (198_412, "198,000"), (3e6, "3,000,000")],
)
def test_a_rate_has_three_digits(a_second: float, text: str) -> None:
    """Whatever its size."""
    assert rate(a_second) == text


def test_one_is_no_plural() -> None:
    """1 call, 1,000 calls, 2 processes."""
    assert [plural(1, "call"), plural(1_000, "call"), plural(2, "process", "processes")] == [
        "1 call", "1,000 calls", "2 processes",
    ]  # fmt: skip


def test_foreign_text_cannot_move_the_cursor() -> None:
    """A file's name with an escape sequence in it is shown, not obeyed; letters of any script stay."""
    assert printable("é 模型 \x1b[2J\n\u202e") == "é 模型 \\x1b[2J\\n\\u202e"
    model = ModelFile(name="a\x1b[2J", version="", variant="x", digest="", file_bytes=1, golden_rows=0)
    text = document_text(Document(format=FORMAT, target="a", model=model, environment=MACHINE))
    assert "\x1b" not in text
