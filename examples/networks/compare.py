"""The bars of precisions on seven real networks, ours beside what users would do instead, in one run:
`make bench-networks`.

Everything is judged on the same samples (those on which nothing was chosen or calibrated), by the same figure, and
timed side by side, one thread, one sample after the other.
"""

from __future__ import annotations

import os
import platform
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from networks import NAMES, Network, network
from numpy.typing import NDArray
from ours import MAX_DROP, ours
from peers import peers
from states import speaking

import edge_runtime as er
from edge_runtime.benchmarks.environment import cpu_model
from edge_runtime.converters.checked_network import SampleRows
from edge_runtime.converters.precision.certifying import ALPHA, Judgement, judge, lower_bound
from edge_runtime.converters.precision.cpu import instruction_set
from edge_runtime.converters.precision.losses import Loss, Losses
from edge_runtime.converters.precision.metric import Metric, choose_metric
from edge_runtime.converters.precision.splitting import split
from edge_runtime.converters.samples import Feed, Samples, Tensors
from edge_runtime.schema import TensorSpec
from edge_runtime.session import inputs_of
from edge_runtime.timing import BLOCK_NS, Estimate, calibrate, interleave, median_ratio, rotate

SMALLER, NO_SLOWER = 3.5, 1.03
SPEECH = 0.75
ROUNDS = 120
ROTATED = 64

Answers = dict[str, list[NDArray[Any]]]


@dataclass
class Side:
    """One graph of the table: its file's bytes, what it answers, and then how it compares with the float32 file."""

    name: str
    session: ort.InferenceSession = field(repr=False)
    size: int
    deflated: int
    losses: Losses = field(default=(), repr=False)
    judged: Judgement | None = None
    taken: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    calls: int = 1
    ratio: Estimate | None = None
    said: str = ""


def main() -> None:
    cores, python = len(os.sched_getaffinity(0)), platform.python_version()
    print(f"{cpu_model()} ({instruction_set().integers}), {cores} cores, Python {python}")
    print(", ".join(f"{module.__name__} {module.__version__}" for module in (np, ort, onnx)))
    print(datetime.now(UTC).strftime("%Y-%m-%d"))
    for name in sys.argv[1:] or NAMES:
        Comparison(network(name)).run()


class Comparison:
    """One network: all sides, the table, the bars."""

    def __init__(self, of: Network) -> None:
        self.network = of
        self.float32 = session(of.onnx)
        self.inputs: tuple[TensorSpec, ...] = inputs_of(self.float32)
        self.samples: Samples = Tensors(of.samples, None, of.target).of(self.inputs)
        rows = SampleRows(self.samples, of.target, None)
        self.splits = split(len(rows), target=of.target, keys=rows.keys())  # as the search does it
        self.certify = self.splits.certify

    def run(self) -> None:
        first = Side("float32", self.float32, *sizes(self.network.onnx))
        wanted = self.answers(self.float32)
        truth = self.network.target
        metric = choose_metric(wanted, target=None if truth is None else truth[self.certify])
        print(f"\n{self.network.name}, {len(self.network):,} samples: {self.splits.sentence}. {metric.sentence}.\n")
        print(f"{'':<24}{'lost':>9}{'at most':>9}{'bytes':>11}{'smaller':>9}{'zipped':>11}{'one, µs':>10}{'ratio':>7}")
        sides = [first]
        for side in self.tried():
            self.judge(side, wanted, metric)
            sides.append(side)
        self.time(sides)
        for side in sides:
            print(row(side, first), flush=True)
        self.bars(sides)

    # The sides

    def tried(self) -> Iterator[Side]:
        """Ours, then theirs; of those that wrote nothing, the reason is printed."""
        calibrate_on = [self.samples.feed(i) for i in self.splits.calibrate.tolist()]
        for each in (*ours(self.network), *peers(self.network, calibrate_on)):
            if each.path is None:
                print(f"{each.name:<24} {each.said}", flush=True)
                continue
            is_bundle = each.path.suffix == ".edge"
            asked = er.load(each.path, threads=1).session if is_bundle else session(each.path)
            yield Side(each.name, asked, *sizes(each.path), said=each.said)

    # Judging and timing

    def feed(self, i: int, asked: ort.InferenceSession) -> Feed:
        """Sample i by the names of this session's inputs: a table's may be others."""
        names = [node.name for node in asked.get_inputs()]
        made = self.samples.feed(i)
        return made if set(names) == set(made) else dict(zip(names, made.values(), strict=True))

    def answers(self, asked: ort.InferenceSession) -> Answers:
        names = [node.name for node in self.float32.get_outputs()]
        found: Answers = {name: [] for name in names}
        for i in self.certify.tolist():
            for name, values in zip(names, asked.run(None, self.feed(i, asked)), strict=True):
                found[name].append(values)
        return found

    def judge(self, side: Side, wanted: Answers, metric: Metric) -> None:
        side.losses = metric.losses(wanted, self.answers(side.session), np.arange(len(self.certify)))
        side.judged = judge(side.losses, MAX_DROP)

    def time(self, sides: list[Side]) -> None:
        which = self.splits.search[:ROTATED].tolist()
        lanes = {
            side.name: rotate(partial(side.session.run, None), [self.feed(i, side.session) for i in which])
            for side in sides
        }
        slowest = max(calibrate(call, BLOCK_NS)[1] for call in lanes.values())
        calls = max(1, round(BLOCK_NS / slowest))
        taken = interleave(lanes, rounds=ROUNDS, calls=calls)
        for side in sides:
            side.taken, side.calls = taken[side.name], calls
            side.ratio = median_ratio(side.taken, taken["float32"])

    def bars(self, sides: list[Side]) -> None:
        """What the issue promises, kept or missed."""
        first, named = sides[0], {side.name: side for side in sides}
        mine = [side for side in sides if side.name.startswith("ours")]
        if (small := named.get("ours, size")) is not None:
            parts = {
                f"{first.size / small.size:.2f}× smaller (≥ {SMALLER})": first.size >= SMALLER * small.size,
                f"{ratio(small):.2f}× the time (≤ {NO_SLOWER})": ratio(small) <= NO_SLOWER,
                f"{certified(small):.2%} lost at most (≤ {MAX_DROP:.1%})": certified(small) <= MAX_DROP,
            }
            line("objective size", parts)
        if (fast := named.get("ours, latency")) is not None:
            bar = SPEECH if self.network.name == "silero-vad" and instruction_set().integers.endswith("vnni") else 1.0
            assert fast.ratio is not None
            kept = fast.ratio.value <= bar if bar < 1 else fast.ratio.low <= 1.0
            line("objective latency", {f"{ratio(fast):.2f}× the time (≤ {bar})": kept})
        for side in sides[1:]:
            if side not in mine and mine:
                line(f"beside {side.name}", beside(side, mine))
        for side in mine:
            print(f"  {side.name}: {side.said}")
        if self.network.name == "silero-vad":
            self.fed_back(sides)

    def fed_back(self, sides: list[Side]) -> None:
        first, *others = (speaking(side.session, self.network.samples) for side in sides)
        shares = [f"{side.name} {(other != first).mean():.2%}" for side, other in zip(sides[1:], others, strict=True)]
        print(f"  fed its own state, frame after frame, it decides otherwise in: {', '.join(shares)}")


def sizes(path: Path) -> tuple[int, int]:
    """Bytes as they are, and deflated."""
    raw = path.read_bytes()
    return len(raw), len(zlib.compress(raw, 9))


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ratio(side: Side) -> float:
    assert side.ratio is not None
    return side.ratio.value


def certified(side: Side) -> float:
    assert side.judged is not None
    return side.judged.drop.high


def row(side: Side, first: Side) -> str:
    lost = f"{'':>18}" if side.judged is None else f"{side.judged.drop.value:>9.3%}{side.judged.drop.high:>9.3%}"
    one = float(np.median(side.taken)) / side.calls / 1e3
    return (
        f"{side.name:<24}{lost}{side.size:>11,}{first.size / side.size:>8.2f}×{side.deflated:>11,}{one:>10.1f}"
        f"{ratio(side):>6.2f}×"
    )


def line(what: str, parts: dict[str, bool]) -> None:
    kept = all(parts.values())
    print(f"  {'kept  ' if kept else 'MISSED'} {what}: {', '.join(parts)}")


def beside(peer: Side, mine: list[Side]) -> dict[str, bool]:
    """Whether one of ours is better than the peer, or equal, in accuracy, size and time together. A peer that surely
    loses more than is allowed need not be beaten in size and time."""
    assert peer.judged is not None
    if peer.judged.drop.low > MAX_DROP:
        return {f"it loses {peer.judged.drop.value:.1%}": True}
    found = [compared(side, peer) for side in mine]
    return max(found, key=lambda parts: sum(parts.values()))


def compared(side: Side, peer: Side) -> dict[str, bool]:
    """Worse is only what is surely so, at 95%."""
    worse = [
        lower_bound(Loss(a.what, a.values - b.values, a.low - b.high, a.high - b.low, bounded=a.bounded), ALPHA)
        for a, b in zip(side.losses, peer.losses, strict=True)
    ]
    time = median_ratio(side.taken, peer.taken)
    more = max(worse)
    return {
        f"{side.name} loses {more:.3%} more" if more > 0 else f"{side.name} is as accurate": more <= 0,
        f"{side.size / peer.size:.2f}× its size": side.size <= peer.size,
        f"{time.value:.2f}× its time": time.low <= 1.0,
    }


if __name__ == "__main__":
    main()
