"""Which precision is shipped: trials on the search split, the finalists certified on rows not used so far, the choice.

Belongs here: what follows what. Not here: any step.
Imported as edge_runtime.converters.precision.search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx

from edge_runtime.errors import BudgetError, InputError
from edge_runtime.golden import differences
from edge_runtime.manifest import Variant
from edge_runtime.model import Model
from edge_runtime.parallel import usable_cores
from edge_runtime.timing import calibrate
from edge_runtime.words import bytes_text, duration_text

from ..samples import Feed
from .bench import Bench, whole_graph
from .candidate import Candidate, Layer, Outcome, Shipped, Verdict
from .certifying import Judgement, judge
from .cpu import instruction_set
from .demand import Demand
from .layers import layer_search
from .losses import Answers, restricted
from .memory import peak_memory
from .metric import Metric, choose_metric
from .rows import Numbers, Rows
from .splitting import Splits, split
from .storing import mixed_storage
from .trials import ROTATED, Open, Trial, Trials, stored_size

__all__ = ["divided", "search"]

Tell = Callable[[str, int, int], None]

FINALISTS = 3
"""Candidates that are certified: a number that is fixed beforehand, since each of them may pass by chance."""
FINAL_ROUNDS = 80
FINAL_TIMES = 4
SAME_TIME = 1.03
"""Of the reference's time: what a smaller file may cost, unless something else was demanded."""
ROOM = 0.6
"""Of what may be lost: what a candidate may lose on the rows that it was put together by."""
NEARLY = 1.1
"""Times the smallest file: no larger than that is as good as the smallest."""
FASTER = 0.98
"""Of the reference's time: what is surely below it is faster. Less would be the machine's noise, as in `edge tune`."""
WARM_NS = 50_000_000
SEARCHED_NS = 3_000_000_000
FEWEST_SEARCHED = 400
BRANCHES = "checked: branches of the graph only as far as the samples take them"
UNTRIED = "nothing else was tried: max_drop is 0, and that something loses nothing at all cannot be certified"


def search(
    graph: bytes, model: Model, reference: Variant, opened: Open, rows: Rows, demand: Demand, tell: Tell
) -> Outcome:
    """Try precisions of ``graph`` against ``model``, the ``reference``, on ``rows``.

    Raises InputError before the long work where there are too few rows to certify ``demand.max_drop`` of anything, or
    where the metric has no figure for the data; BudgetError where nothing keeps what is demanded.
    """
    first = Trial(
        reference.name, reference.precision, graph=graph, size=stored_size(graph), variant=reference, model=model
    )
    if not demand.searched:
        return unsearched(first, rows, demand)
    return Search(first, opened, rows, demand, tell).outcome()


def divided(rows: Rows, demand: Demand) -> Splits:
    """The three splits. Raises InputError where there are too few rows to certify ``demand.max_drop`` of anything."""
    splits = split(len(rows), target=rows.target, groups=rows.groups, keys=rows.keys())
    splits.check(demand.max_drop, tried=FINALISTS)
    return splits


def unsearched(first: Trial, rows: Rows, demand: Demand) -> Outcome:
    """The reference alone, measured only as far as something is demanded of it."""
    variant, model = first.opened()
    measured: dict[str, float] = {"size": first.size, "ratio": 1.0, "drop": 0.0}
    if demand.budget.of("latency") is not None:
        measured["latency"] = calibrate(rows.asking(model, range(min(ROTATED, len(rows)))), WARM_NS)[1]
    if demand.budget.of("memory") is not None:
        measured["memory"] = peak_memory(first.graph, variant, next(iter(rows.feeds([0]))), usable_cores())
    only = Candidate(first.name, first.precision, "reference", UNTRIED, first.size)
    outcome = Outcome((only,), (Shipped(variant, first.graph),), (), "", 0.0, demand.budget.objective, "")
    unmet = demand.budget.unmet(measured)
    if unmet:
        raise BudgetError(f"{'; '.join(unmet)}; {UNTRIED}", outcome=outcome)
    return outcome


class Again:
    """Some rows as tensors, each time from the first to the last, one at a time in memory."""

    def __init__(self, rows: Rows, which: Numbers) -> None:
        self.rows, self.which = rows, which.tolist()

    def __iter__(self) -> Iterator[Feed]:
        return self.rows.feeds(self.which)


class Search:
    """One search, from the splits to the choice."""

    def __init__(self, first: Trial, opened: Open, rows: Rows, demand: Demand, tell: Tell) -> None:
        self.first, self.rows, self.demand, self.tell = first, rows, demand, tell
        self.splits: Splits = divided(rows, demand)
        self.answers = rows.answers(first.opened()[1], list(range(len(rows))))
        # Opened as the others are: one that was loaded from its file is asked 2% more slowly.
        first.model = opened(first.opened()[0], first.graph)
        self.metric: Metric = choose_metric(
            self.answers, target=rows.target, metric=demand.metric, groups=rows.groups, classes=rows.classes
        )
        searched = self.splits.search[: self.affordable()]
        self.check_rows(searched)
        self.trials = Trials(first, opened, rows, self.answers, self.metric, searched, demand.max_drop)
        self.judgements: dict[str, Judgement] = {}
        self.memory: dict[str, int] = {}
        self.largest: dict[str, dict[str, float]] = {}
        self.layers: tuple[Layer, ...] = ()

    def check_rows(self, searched: Numbers) -> None:
        """Raise InputError where the metric has no figure on these rows, or where not even the reference, which loses
        nothing, would be certified to."""
        for rows in (searched, self.splits.certify):
            answers = restricted(self.answers, rows)
            self.metric.measured(answers, answers, rows)
        found = judge(self.metric.losses(answers, answers, rows), self.demand.max_drop, tried=FINALISTS)
        if not found.accepted:
            raise InputError(
                f"even what loses nothing would not be certified: {found.reason}",
                expected="more samples, or a larger max_drop",
            )

    def affordable(self) -> int:
        """How many rows or samples of the search split a candidate is asked: as many as take a few seconds."""
        call = self.rows.asking(self.first.opened()[1], self.splits.search[:ROTATED].tolist())
        return max(FEWEST_SEARCHED, int(SEARCHED_NS / calibrate(call, WARM_NS)[1]))

    def outcome(self) -> Outcome:
        bench = Bench(self.first.graph, Again(self.rows, self.splits.calibrate), instruction_set())
        bench.told_ranges()  # raises now what is wrong with the samples
        tried = whole_graph(self.trials, bench, self.tell)
        room = ROOM * self.demand.max_drop
        if self.demand.budget.objective == "latency":
            found, self.layers = layer_search(self.trials, bench, room, self.tell)
            for trial in found:  # so far, on a few rows
                trial.loss = self.trials.loss(trial.opened()[1], self.trials.searched)
            tried += found
        elif self.demand.budget.objective == "size":
            tried += mixed_storage(self.trials, bench, room, self.tell)
        running = [trial for trial in tried if not trial.failed]
        self.trials.time(running)
        finalists = self.finalists(running)
        self.certify(finalists)
        accepted = [trial for trial in finalists if self.judgements[trial.name].accepted]
        self.time_again(accepted)
        chosen = next((trial for trial in self.ordered(accepted) if self.gains(trial, surely=True)), None)
        shipped = self.shipped(chosen)
        candidates = (
            self.row(self.first, chosen),
            *(self.row(trial, chosen) for trial in sorted(tried, key=lambda trial: (bool(trial.failed), trial.size))),
        )
        outcome = Outcome(
            candidates, shipped, self.statements(chosen), self.metric.sentence, self.demand.max_drop,
            self.demand.budget.objective, self.splits.sentence, self.largest.get(chosen.name) if chosen else None,
            self.layers, bench.told_ranges(),
        )  # fmt: skip
        self.check(chosen, outcome)
        return outcome

    def finalists(self, running: Sequence[Trial]) -> list[Trial]:
        """The best by the objective, of those that keep the promise on the search split and gain something. The last
        of them is a safe one: for size the smallest that computes as the reference does, and so takes its time, for
        others the one that loses least."""
        kept = self.ordered([trial for trial in running if trial.loss <= self.demand.max_drop and self.gains(trial)])
        best, others = kept[: FINALISTS - 1], kept[FINALISTS - 1 :]
        if self.demand.budget.objective == "size":
            alike = [trial for trial in kept if not trial.integers]
            safe = alike[:1] if not set(map(id, best)) & set(map(id, alike)) else others[:1]
            return best + safe
        return best + sorted(others, key=lambda trial: trial.loss)[:1]

    def time_again(self, accepted: Sequence[Trial]) -> None:
        """Time those that are left for longer, and once more where a disturbed machine leaves it open what they
        take."""
        for _ in range(FINAL_TIMES if accepted else 0):
            self.trials.time(accepted, rounds=FINAL_ROUNDS)
            ratios = [trial.ratio for trial in accepted if trial.ratio is not None]
            if all(ratio.high <= SAME_TIME or ratio.low > SAME_TIME for ratio in ratios):
                return

    def gains(self, trial: Trial, *, surely: bool = False) -> bool:
        """Whether it is better than the reference by the objective, and within what was demanded beside it; with
        ``surely``, by the middle of an interval and not its friendly end."""
        budget, measured = self.demand.budget, self.measured(trial)
        if budget.limits and budget.unmet({**measured, "drop": 0.0}):
            return False
        if not self.reference_will_do():
            return True
        assert trial.ratio is not None
        match budget.objective:
            case "latency":
                return trial.ratio.high < FASTER
            case "size":
                bounded = budget.of("latency") is not None or budget.of("ratio") is not None
                ratio = trial.ratio.value if surely else trial.ratio.low
                return trial.size < self.first.size and (bounded or ratio <= SAME_TIME)
            case _:
                return measured["memory"] < self.measured(self.first)["memory"]

    def reference_will_do(self) -> bool:
        """Whether the reference itself is within what was demanded; if not, another one need not be better."""
        return not self.demand.budget.unmet({**self.measured(self.first), "drop": 0.0})

    def ordered(self, trials: Sequence[Trial]) -> list[Trial]:
        """The best by the objective first; of files that are as small as the smallest, or nearly so, the fastest."""
        smallest = min((trial.size for trial in trials), default=0)

        def key(trial: Trial) -> tuple[float, float]:
            assert trial.ratio is not None
            match self.demand.budget.objective:
                case "latency":
                    return trial.ratio.value, trial.size
                case "size":
                    return (0.0 if trial.size <= NEARLY * smallest else trial.size), trial.ratio.value
                case _:
                    return self.measured(trial)["memory"], trial.ratio.value

        return sorted(trials, key=key)

    def measured(self, trial: Trial) -> dict[str, float]:
        """What limits may be on, but for the loss."""
        found: dict[str, float] = {"size": trial.size}
        if trial.latency is not None:
            found["latency"] = trial.latency.value
        if trial is self.first:
            found["ratio"] = 1.0
        elif trial.ratio is not None:
            found["ratio"] = trial.ratio.value
        if "memory" in (self.demand.budget.objective, *(limit.quantity for limit in self.demand.budget.limits)):
            if trial.name not in self.memory:
                feed = next(iter(self.rows.feeds(self.splits.search[:1].tolist())))
                self.memory[trial.name] = peak_memory(trial.graph, trial.opened()[0], feed, usable_cores())
            found["memory"] = self.memory[trial.name]
        return found

    def certify(self, finalists: Sequence[Trial]) -> None:
        """Judge them on the rows that nothing was chosen by."""
        rows = self.splits.certify
        reference = restricted(self.answers, rows)
        for i, trial in enumerate(finalists):
            found = self.rows.answers(trial.opened()[1], rows.tolist())
            losses = self.metric.losses(reference, found, rows)
            self.largest[trial.name] = gaps(reference, found)
            self.judgements[trial.name] = judge(losses, self.demand.max_drop, tried=FINALISTS)
            self.tell("certify", i + 1, len(finalists))

    def shipped(self, chosen: Trial | None) -> tuple[Shipped, ...]:
        """The chosen one; beside it the reference, unless room is what counts, or it is not within what was
        demanded."""
        first = Shipped(self.first.opened()[0], self.first.graph)
        if chosen is None:
            return (first,)
        mine = Shipped(chosen.opened()[0], chosen.graph)
        return (mine, first) if self.demand.budget.objective == "latency" and self.reference_will_do() else (mine,)

    def check(self, chosen: Trial | None, outcome: Outcome) -> None:
        """Raise BudgetError where what is shipped does not keep what was demanded."""
        taken = chosen or self.first
        drop = self.judgements[taken.name].drop.high if chosen else 0.0
        unmet = self.demand.budget.unmet({**self.measured(taken), "drop": drop})
        if unmet:
            problem = f"no precision keeps the demand: of the best, {taken.name}, {'; '.join(unmet)}"
            raise BudgetError(problem, outcome=outcome)

    def row(self, trial: Trial, chosen: Trial | None) -> Candidate:
        verdict, reason = self.verdict(trial, chosen)
        judgement = self.judgements.get(trial.name)
        return Candidate(
            trial.name, trial.precision, verdict, reason, trial.size or None,
            None if trial.failed or trial is self.first else trial.loss, judgement.drop if judgement else None,
            judgement.rows if judgement else 0, trial.latency, trial.ratio, self.memory.get(trial.name),
        )  # fmt: skip

    def verdict(self, trial: Trial, chosen: Trial | None) -> tuple[Verdict, str]:
        if trial is self.first:
            return "reference", "what the others are compared with" if chosen else self.kept()
        if trial.failed:
            return "failed", trial.failed
        judgement = self.judgements.get(trial.name)
        if trial is chosen:
            assert judgement is not None
            return "chosen", judgement.reason
        if judgement is not None:
            return ("accepted" if judgement.accepted else "refused"), judgement.reason
        if trial.loss > self.demand.max_drop:
            return "refused", f"loses {trial.loss:.2%} on the search split; {self.demand.max_drop:.2%} is allowed"
        if not self.gains(trial):
            return "no gain", self.no_gain(trial)
        return "no gain", f"not among the {FINALISTS} best"

    def no_gain(self, trial: Trial) -> str:
        unmet = self.demand.budget.unmet({**self.measured(trial), "drop": 0.0})
        if unmet:
            return "; ".join(unmet)
        assert trial.ratio is not None
        slower = f"{trial.ratio.value:.2f}× the reference's time"
        match self.demand.budget.objective:
            case "latency":
                return slower if trial.ratio.value >= 1.0 else f"not surely faster: {slower}"
            case "size":
                return slower if trial.size < self.first.size else "not smaller"
            case _:
                return "no less memory"

    def kept(self) -> str:
        return f"kept: no other precision has a better {self.demand.budget.objective} here and keeps the promise"

    def statements(self, chosen: Trial | None) -> tuple[str, ...]:
        """What the certificate says of the choice."""
        if chosen is None:
            return (f"checked: {self.first.name} {self.kept()}",)
        judgement = self.judgements[chosen.name]
        assert chosen.ratio is not None
        assert chosen.latency is not None
        gain = f"{chosen.ratio.value:.2f}× the time ({duration_text(chosen.latency.value)}) where it was made"
        return (
            f"certified: {chosen.name} against {self.first.name}: {judgement.reason}, at 95% confidence over"
            f" {FINALISTS} candidates, on rows that nothing was chosen by",
            f"checked: {chosen.name} takes {gain}, and {bytes_text(chosen.size)} instead of"
            f" {bytes_text(self.first.size)}",
            *([chosen.told.format(chosen.name)] if chosen.told else []),
            *([BRANCHES] if has_branches(self.first.graph) else []),
        )


def gaps(reference: Answers, found: Answers) -> dict[str, float]:
    """Of each output of numbers the largest difference, absolute, relative above 1."""
    made: dict[str, float] = {}
    for name, wanted in reference.items():
        if len(wanted) and np.asarray(wanted[0]).dtype.kind == "f":
            pairs = zip(found[name], wanted, strict=True)
            made[name] = max(float(differences(a, b).max(initial=0.0)) for a, b in pairs)
    return made


def has_branches(graph: bytes) -> bool:
    """Whether an operator decides between graphs."""
    return any(
        attribute.HasField("g") for node in onnx.load_from_string(graph).graph.node for attribute in node.attribute
    )
