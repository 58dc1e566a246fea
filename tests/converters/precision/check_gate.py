"""False acceptances of the certified budget, with candidates whose true loss is known: a table (about ten minutes).

`python -m pytest` runs a part of it (test_gate.py); here is every kind, with more trials, beside the plain way: the best
candidate on the calibration rows, if it keeps the promise there. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import platform
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from edge_runtime.converters.precision.certifying import ALPHA, upper_bound
from edge_runtime.converters.precision.losses import Loss
from edge_runtime.converters.precision.metric import Metric, choose_metric
from edge_runtime.converters.precision.splitting import split

ROWS = (100, 300, 1_000, 5_000)
MAX_DROP = 0.02
TRUE = (1.0, 1.1, 0.2)
"""Of the allowed loss."""
SLOW = {"ROC AUC": 10}
"""Kinds that ask scikit-learn again and again: one trial in so many."""
BAR = 0.05

RNG = np.random.Generator
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One candidate: what it loses on some rows, and the mean of that."""

    loss: Callable[[NDArray[np.int64]], Loss]
    value: Callable[[NDArray[np.int64]], float]


Draw = Callable[[RNG, int, float, int], list[Part]]
"""(rng, rows, true loss, candidates) to one `Part` each."""


def by_metric(metric: Metric, wanted: Array, found: Array) -> Part:
    def answers(rows: NDArray[np.int64]) -> tuple[dict[str, Array], dict[str, Array], NDArray[np.int64]]:
        return {"y": wanted[rows]}, {"y": found[rows]}, rows

    return Part(lambda rows: metric.losses(*answers(rows))[0], lambda rows: metric.measured(*answers(rows)))


def bounded(values: Callable[[RNG, int, float], Array], **known: Any) -> Draw:
    def draw(rng: RNG, n: int, loss: float, candidates: int) -> list[Part]:
        def part(x: Array) -> Part:
            return Part(lambda rows: Loss("simulated", x[rows], **known), lambda rows: float(x[rows].mean()))

        return [part(values(rng, n, loss)) for _ in range(candidates)]

    return draw


def binary(rng: RNG, n: int, loss: float) -> Array:
    return (rng.random(n) < loss).astype(np.float64)


def ternary(rng: RNG, n: int, loss: float) -> Array:
    """Twice as many rows change as are lost on balance, and more."""
    drawn = rng.random(n)
    return (drawn < 0.02 + loss) * 1.0 - (drawn > 0.98)


def shares(rng: RNG, n: int, loss: float) -> Array:
    """Of 20 positions, those of one sample alike."""
    return rng.binomial(20, rng.beta(0.5, 0.5 / loss - 0.5, n)) / 20


def skewed(rng: RNG, n: int, loss: float) -> Array:
    """1 - cosine: most samples lose little, some much."""
    return rng.beta(0.2, 0.2 / loss - 0.2, n)


def broken(rng: RNG, n: int, loss: float) -> Array:
    """1 - cosine: few samples lose nearly everything, the others next to nothing."""
    return np.where(rng.random(n) < (loss - 1e-4) / 0.9, 0.9, 0.0) + 1e-4


def regression(metric: str, share: Callable[[float], float]) -> Draw:
    """Errors of Student's distribution with 5 degrees of freedom, and what a candidate adds: log-normal in size.
    ``share`` of the loss is what that must be on average, squared, of the errors' variance."""
    noise, spread = 5 / 3, 0.7

    def draw(rng: RNG, n: int, loss: float, candidates: int) -> list[Part]:
        fit = rng.normal(size=n)
        target = fit + rng.standard_t(5, n)
        scale = sqrt(share(loss) * noise / np.exp(2 * spread**2))
        chosen = choose_metric({"y": fit}, target=target, metric=metric)

        added = [scale * rng.lognormal(0, spread, n) * rng.choice([-1, 1], n) for _ in range(candidates)]
        return [by_metric(chosen, fit, fit + each) for each in added]

    return draw


def auc(rng: RNG, n: int, loss: float, candidates: int) -> list[Part]:
    """Two normal distributions, and noise on the scores."""
    normal = NormalDist()
    apart = 2.0
    noise = (apart / normal.inv_cdf(normal.cdf(apart / sqrt(2)) - loss)) ** 2 / 2 - 1
    target = np.arange(n) % 2
    scores = rng.normal(size=n) + apart * target
    chosen = choose_metric({"y": scores}, target=target, metric="roc_auc")

    return [by_metric(chosen, scores, scores + sqrt(noise) * rng.normal(size=n)) for _ in range(candidates)]


KINDS: dict[str, Draw] = {
    "top-1 disagreement": bounded(binary, whole=True),
    "accuracy, rows lost and gained": bounded(ternary, low=-1.0, whole=True),
    "disagreement, 20 positions": bounded(shares),
    "1 - cosine, skewed": bounded(skewed),
    "1 - cosine, few broken": bounded(broken),
    "R², heavy tails": regression("r2", lambda loss: loss * (1 + 5 / 3) / (5 / 3)),
    "RMSE, heavy tails": regression("rmse", lambda loss: (1 + loss) ** 2 - 1),
    "ROC AUC": auc,
}


@dataclass(frozen=True, slots=True)
class Gate:
    """How many of ``trials`` let a candidate through: ours, and the point estimate on the calibration rows."""

    trials: int
    accepted: int
    plain: int


def gate(
    draw: Draw,
    n: int,
    loss: float,
    max_drop: float,
    *,
    trials: int,
    candidates: int = 5,
    finalists: int = 2,
    seed: int = 0,
) -> Gate:
    """Candidates that all lose ``loss``: the best by the search split are judged by the certify split; and plainly, the
    best on the calibration rows is taken if it keeps ``max_drop`` there."""
    accepted = plain = 0
    for trial in range(trials):
        rng = np.random.default_rng((seed, trial))
        parts = draw(rng, n, loss, candidates)
        splits = split(n, seed=trial)
        plain += min(part.value(splits.calibrate) for part in parts) <= max_drop
        best = sorted(parts, key=lambda part: part.value(splits.search))[:finalists]
        level = ALPHA / finalists
        accepted += any(upper_bound(part.loss(splits.certify), level) <= max_drop for part in best)
    return Gate(trials, accepted, plain)


def one(task: tuple[str, int, float, int]) -> Gate:
    kind, n, part, trials = task
    return gate(KINDS[kind], n, part * MAX_DROP, MAX_DROP, trials=trials)


def machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return f"{cpu}, Python {platform.python_version()}, {date.today().isoformat()}"


def main() -> int:
    """Print the table; the exit status says whether false acceptances are 5% at most, but for what chance allows."""
    parser = ArgumentParser(description="False acceptances of the certified budget, simulated.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; left out: all")
    parser.add_argument("--trials", type=int, default=1_000, help="per cell (default: 1,000)")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    kinds = options.kinds or list(KINDS)
    tasks = [(k, n, part, max(1, options.trials // SLOW.get(k, 1))) for k in kinds for n in ROWS for part in TRUE]
    print(machine())
    print(f"allowed: {MAX_DROP:.0%}; 5 candidates, 2 of them certified; {options.trials:,} trials (ROC AUC: a tenth)")
    print(f"{'':34}{'rows':>6} | {'all lose 1.0x':^15} | {'all lose 1.1x':^15} | all lose 0.2x")
    print(
        f"{'':34}{'':>6} | {'gate':>7} {'plain':>7} | {'gate':>7} {'plain':>7} | {'gate':>7} {'plain':>7}", flush=True
    )
    met = True
    with ProcessPoolExecutor(options.processes) as pool:
        found = pool.map(one, tasks)
        for kind in kinds:
            for n in ROWS:
                gates = [next(found) for _ in TRUE]
                met &= all(each.accepted <= binom.ppf(0.999, each.trials, BAR) for each in gates[:2])
                cells = [f"{each.accepted / each.trials:>7.1%} {each.plain / each.trials:>7.1%}" for each in gates]
                print(f"{kind:34}{n:>6,} | {' | '.join(cells)}", flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
