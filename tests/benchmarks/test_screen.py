"""What a person reads: the whole text, and nothing in it that moves a cursor."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.benchmarks import Comparison, Environment, Estimate, Run
from edge_runtime.benchmarks.screen import comparison_text, duration, run_text
from edge_runtime.words import printable

MACHINE = Environment(
    cpu_model="Cortex-A72", cores=4, threads=1, processes=1, load=0.25, date="2026-01-02T03:04:05+00:00",
    system="Linux 6.1 aarch64", python="3.11.7", numpy="2.4.6", onnxruntime="1.32.0", edge_runtime="0.1.0",
)  # fmt: skip


def test_a_run_reads_like_this() -> None:
    """Target, machine, golden rows, percentiles or what they need, the clock, the A/A pair."""
    run = Run(
        target="fraud.edge", work="predict_one, 3 golden rows in turn", scenario="single-stream",
        latency_ns=np.full(1_000, 3_210), warmup_calls=65_536,
        own_cost_ns=53.0, answers_right=True, environment=MACHINE,
    )  # fmt: skip
    assert (
        run_text(run)
        == """\
fraud.edge
Cortex-A72, 4 cores, 1 thread, load 0.25, Python 3.11.7, numpy 2.4.6, onnxruntime 1.32.0, 2026-01-02T03:04:05+00:00
golden rows: answered right
one call: predict_one, 3 golden rows in turn

single-stream, one call at a time: 1,000 calls after 65,536 to warm up
            latency   95% interval, of these calls alone: another run may differ by more
  p50       3.21 µs   3.21 µs to 3.21 µs
  p90       3.21 µs   3.21 µs to 3.21 µs
  p99       3.21 µs   3.21 µs to 3.21 µs
  p99.9           –   needs 5,636 more samples
the clock's own cost, included: 53.0 ns a call
A/A: 1.000 (1.000 to 1.000, 99% interval): ±0.0% is the smallest difference this run could have seen"""
    )


def test_a_comparison_reads_like_this() -> None:
    """How it was done, the A/A pair, the sentence."""
    blocks = np.full(285, 3_500_000)
    result = Comparison(
        a="new.edge", b="old.edge", a_work="x", b_work="x", calls=1_090,
        a_block_ns=blocks, again_block_ns=blocks, b_block_ns=blocks,
        ratio=Estimate(0.5, 0.49, 0.51, "ratio"), against_itself=Estimate(1.001, 0.996, 1.004, "ratio"),
        environment=MACHINE,
    )  # fmt: skip
    assert (
        comparison_text(result)
        == """\
interleaved: 285 rounds of 1,090 calls, in random order
A/A: 1.001 (0.996 to 1.004, 99% interval): ±0.4% is the smallest difference this run could have seen
new.edge is 2.00x faster than old.edge (99% interval 1.96 to 2.04)"""
    )


def test_calls_that_are_not_alike_are_said_to_be() -> None:
    """A ratio of two different kinds of call is not a ratio of two models, and the reader is told."""
    blocks, one = np.full(30, 3_500_000), Estimate(1.0, 1.0, 1.0, "ratio")
    result = Comparison(
        a="new.edge", b="bare.onnx", a_work="predict_one, 3 golden rows in turn, threads=1",
        b_work="run, 16 made-up inputs in turn, threads=2", calls=9, a_block_ns=blocks, again_block_ns=blocks,
        b_block_ns=blocks, ratio=one, against_itself=one, environment=MACHINE,
    )  # fmt: skip
    assert comparison_text(result).splitlines()[-1] == (
        "not like for like: new.edge: predict_one, 3 golden rows in turn, threads=1; "
        "bare.onnx: run, 16 made-up inputs in turn, threads=2"
    )


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


def test_foreign_text_cannot_move_the_cursor() -> None:
    """A file's name with an escape sequence in it is shown, not obeyed; letters of any script stay."""
    assert printable("é 模型 \x1b[2J\n\u202e") == "é 模型 \\x1b[2J\\n\\u202e"
