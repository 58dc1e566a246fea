"""What a transformed feature is of the app's own columns.

Preprocessing before trees works column by column, so each feature is a function of one column. For a *number* it is
monotone, and a split on it becomes a split on the column (searched on the float lattice). For a *finite* column it
takes one value per category, one for anything unknown and one for missing, and a split on it becomes a set of
categories.

The functions themselves are never written down: `evaluate` runs the source's own preprocessing, so the arithmetic is
the source's by construction.

Belongs here: features, blocks of them, pulling splits back. Not here: which transformers are known (sources/), trees.
Imported as edge_runtime.converters.exact.features.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .ensemble import Conditions
from .lattice import from_ordinal, last_true, to_ordinal

__all__ = ["ZERO", "Block", "Feature", "FiniteColumn", "Hole", "Splits", "pull_back"]

Floats = NDArray[np.float64]
ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: what lies within counts as zero
MOST_MEMBERS = 8  # the operator holds a node for each: of more, a set costs more than what makes a cut of it


@dataclass(frozen=True, slots=True)
class Feature:
    """Feature of one column (its position in the schema). ``finite`` = it depends on the category only; a number's
    ``steps`` are the operations that lead to it, each with its constant (for models that need them as operators).
    ``encoded``: an encoder stands before it. With ``bins``, it is the number of a bin, of which the model sees one
    feature of 0 and 1 for each."""

    column: int
    finite: bool
    steps: tuple[tuple[str, float], ...] = ()
    encoded: bool = False
    bins: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Features that one piece of preprocessing makes of some columns.

    ``evaluate`` takes values for some columns, {column: [n] float64 or categories}, the others being held at a typical
    value, and answers [n, len(features)] float64 as the model behind it reads them; NaN is missing. ``absent`` says
    where a sparse matrix leaves a zero out, if the model takes that for missing.
    """

    features: tuple[Feature, ...]
    evaluate: Callable[[dict[int, NDArray[np.generic]], int], Floats]
    absent: Callable[[dict[int, NDArray[np.generic]], int], NDArray[np.bool_]] | None = None

    @property
    def width(self) -> int:
        """How many features the model sees."""
        return sum(max(feature.bins, 1) for feature in self.features)

    def seen(self, given: dict[int, NDArray[np.generic]], n: int) -> Floats:
        """What the model takes for the values: NaN where it sees a missing one."""
        values = self.evaluate(given, n)
        return values if self.absent is None else np.where(self.absent(given, n), np.nan, values)


@dataclass(frozen=True, slots=True)
class FiniteColumn:
    """A column by its categories: ``inputs`` are what goes into the source for each (then unknown, then missing, where
    these are answered), ``codes`` what goes into the graph (unknown as -1 for codes, NaN = missing)."""

    inputs: NDArray[np.generic]
    codes: Floats
    coded: bool  # text: the graph sees codes, and any unknown is -1; a number stays itself, and unknown is any other
    whole: bool  # only whole numbers come (codes, integers): a set of them can be told
    unknown: bool
    missing: bool
    other: float | None = None  # a whole number outside the categories, all of them whole: any fraction is as unknown


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers of a column, ``low`` to ``high``, that are missing to the source: their feature is a zero that a sparse
    matrix leaves out, or a logarithm that there is not. One that is missing itself is the number ``fill`` (NaN =
    missing as well)."""

    low: float
    high: float
    fill: float


@dataclass(frozen=True, slots=True)
class Splits:
    """Conditions on the graph's inputs, one per split: true where value <= ``threshold``, where they are ``equal``, or
    where the value is one of ``members`` (by split). ``swap`` exchanges the children, ``missing`` says whether a
    missing value takes the true side (after the exchange); ``finite`` marks splits on a category, ``cut`` those on a
    number without its fraction (an infinite one is missing then)."""

    column: NDArray[np.int64]
    equal: NDArray[np.bool_]
    members: dict[int, Floats]
    threshold: Floats
    swap: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    finite: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    constant: NDArray[np.int8] = field(repr=False)  # 1 = always the left child, 0 = always the right one, -1 = neither
    holes: dict[int, Hole] = field(default_factory=dict)  # by column
    others: dict[int, float] = field(default_factory=dict)  # by column: the number that a fraction is taken for


class NotPulledBackError(Exception):
    """A split is no single condition on a column; the caller takes another route."""


def pull_back(
    blocks: Sequence[Block],
    finite: dict[int, FiniteColumn],
    bounds: dict[int, tuple[float, float]],
    nullable: Sequence[bool],
    conditions: Conditions,
    whole: Collection[int] = (),
) -> Splits:
    """Turn conditions on features, counted through the blocks, into conditions on the columns.

    ``bounds`` are the numbers that the source answers, per column; ``whole`` columns hold integers only. Raises
    NotPulledBackError where a condition on a feature is no single condition on a column.
    """
    feature = conditions.feature
    n = len(feature)
    splits = Splits(
        np.zeros(n, np.int64), np.zeros(n, bool), {}, np.zeros(n), np.zeros(n, bool), np.zeros(n, bool),
        np.zeros(n, bool), np.zeros(n, bool), np.full(n, -1, np.int8),
    )  # fmt: skip
    columns = np.array([f.column for block in blocks for f in block.features], np.int64)
    seen, ways = np.unique(columns[np.unique(feature)], return_counts=True)
    alone = {c for c in seen[ways == 1].tolist() if c in finite and finite[c].coded and finite[c].unknown}
    start = 0
    for block in blocks:
        stop = start + len(block.features)
        chosen = np.flatnonzero((feature >= start) & (feature < stop))
        local = feature[chosen] - start
        is_finite = np.array([f.finite for f in block.features], bool)[local]
        splits.column[chosen] = np.array([f.column for f in block.features], np.int64)[local]
        splits.finite[chosen] = is_finite
        numbers, sets = chosen[~is_finite], chosen[is_finite]
        if len(numbers):
            in_set = np.isin(numbers, list(conditions.sets))
            _check_numbers(block, numbers, feature[numbers] - start, conditions, whole)
            for i in numbers[in_set].tolist():
                _pull_number_set(i, conditions, whole, splits)
            numbers = numbers[~in_set]
        if len(numbers):
            _pull_numbers(block, numbers, feature[numbers] - start, conditions, bounds, nullable, whole, splits)
        if len(sets):
            lefts = _pull_sets(block, sets, feature[sets] - start, conditions, finite, splits)
            for c in alone & set(splits.column[sets].tolist()):
                _unknown_as_missing(c, finite[c], {i: lefts[i] for i in sets.tolist() if splits.column[i] == c}, splits)
        start = stop
    _check_columns(splits, feature)
    return splits


def _check_columns(splits: Splits, feature: NDArray[np.int64]) -> None:
    """What the graph does to a whole column must suit all features that it makes."""
    for column in splits.others:
        if not splits.finite[splits.column == column].all():
            raise NotPulledBackError("a column's fraction is unknown for one feature and a number for another")
    for column in splits.holes:
        if len(np.unique(feature[splits.column == column])) > 1:
            raise NotPulledBackError("a column's number is missing for one feature and a number for another")


def _check_numbers(
    block: Block, index: NDArray[np.int64], local: NDArray[np.int64], conditions: Conditions, whole: Collection[int]
) -> None:
    """Sets and zeros are told on the number itself only."""
    for i, j in zip(index.tolist(), local.tolist(), strict=True):
        feature, steps = int(conditions.feature[i]), block.features[j].steps
        if feature in conditions.zero_missing and steps:
            raise NotPulledBackError("zero stands for missing behind arithmetic")
        if i in conditions.sets and feature not in conditions.truncated and block.features[j].column not in whole:
            raise NotPulledBackError("a number that may have a fraction is split by a set of values")
        if i in conditions.sets and steps:
            raise NotPulledBackError("a number is split by a set of values behind arithmetic")


def _pull_number_set(i: int, conditions: Conditions, whole: Collection[int], splits: Splits) -> None:
    """A set of numbers, whatever their fraction, as it stands: it looks at the column itself."""
    members = conditions.sets[i]
    splits.cut[i] = int(splits.column[i]) not in whole
    splits.missing[i] = conditions.missing_left[i]
    if len(members) > 1:
        splits.members[i] = members
    else:
        splits.equal[i] = True
        splits.threshold[i] = members[0] if len(members) else -np.inf  # none: no number without a fraction is infinite


def _pull_numbers(
    block: Block,
    index: NDArray[np.int64],
    local: NDArray[np.int64],
    conditions: Conditions,
    bounds: dict[int, tuple[float, float]],
    nullable: Sequence[bool],
    whole: Collection[int],
    splits: Splits,
) -> None:
    column, wanted = splits.column[index], conditions.threshold[index]
    # Searches on one column stand below each other; those of different columns share the rows of one evaluation.
    row = np.zeros(len(index), np.int64)
    for c in np.unique(column):
        row[column == c] = np.arange((column == c).sum())
    rows = int(row.max()) + 1
    low = np.array([bounds[int(c)][0] for c in column])
    high = np.array([bounds[int(c)][1] for c in column])
    columns = [int(c) for c in np.unique(column)]

    def values(candidates: Floats) -> Floats:
        probe: dict[int, NDArray[np.generic]] = {}
        for c in columns:
            own = column == c
            filled = np.full(rows, candidates[own][0])
            filled[row[own]] = candidates[own]
            probe[c] = filled
        return np.asarray(block.evaluate(probe, rows)[row, local], np.float64)

    nowhere = np.isnan(values(low))
    if nowhere.any():  # a logarithm has no number for small ones: to the source, these are missing
        last = last_true(lambda candidates: np.isnan(values(candidates)), np.where(nowhere, low, high), high)
        for c in np.unique(column[nowhere]).tolist():
            ends = np.unique(last[column == c])
            if not nowhere[column == c].all() or len(ends) > 1 or ends[0] == bounds[c][1]:
                raise NotPulledBackError("a transformer has no number for some numbers")
            splits.holes[c] = Hole(bounds[c][0], float(ends[0]), np.nan)
            low[column == c] = from_ordinal(to_ordinal(ends) + 1)[0]
    found = last_true(lambda candidates: values(candidates) <= wanted, low, high)
    never, always = np.isnan(found), found == high
    # "x <= high" holds for every number; as infinity it also reads as such.
    splits.threshold[index] = np.where(never | always, np.inf, found)
    splits.swap[index] = never
    answers = np.array([nullable[int(c)] for c in column])
    left = np.zeros(len(index), bool)
    if answers.any():
        at_missing = np.full(len(index), np.nan)
        probe_columns = [c for c in columns if nullable[c]]
        made = block.seen({c: np.full(1, np.nan) for c in probe_columns}, 1)[0, local]
        at_missing[answers] = made[answers]
        left = np.where(np.isnan(at_missing), conditions.missing_left[index], at_missing <= wanted) & answers
        # A missing value that is not answered never comes: let it follow the numbers where those all agree.
    left = np.where(answers, left, always)
    for c in columns if block.absent is not None else ():
        own = column == c
        # Where every condition sends zero the way of a missing value, it need not become one.
        if ((wanted[own] >= 0.0) != conditions.missing_left[index][own]).any():
            hole = _hole(block, int(local[own][0]), c, bounds[c], nullable[c])
            if hole is not None and (c not in whole or np.ceil(hole.low) <= hole.high):
                splits.holes[c] = hole
                left[own] = conditions.missing_left[index][own]
    splits.missing[index] = left ^ never
    splits.constant[index] = np.where(always & left, 1, np.where(never & ~left, 0, -1))


def _hole(block: Block, feature: int, column: int, bounds: tuple[float, float], nullable: bool) -> Hole | None:
    """The numbers of ``column`` whose ``feature`` is left out, if there are any within ``bounds``."""
    low, high = np.array([bounds[0]]), np.array([bounds[1]])

    def signs(candidates: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        given: dict[int, NDArray[np.generic]] = {column: candidates}
        assert block.absent is not None
        negative = np.signbit(block.evaluate(given, len(candidates))[:, feature])
        return negative, block.absent(given, len(candidates))[:, feature]

    def below(candidates: Floats) -> NDArray[np.bool_]:
        negative, absent = signs(candidates)
        return negative & ~absent

    def up_to(candidates: Floats) -> NDArray[np.bool_]:
        negative, absent = signs(candidates)
        return negative | absent

    before, last = float(last_true(below, low, high)[0]), float(last_true(up_to, low, high)[0])
    if before == last or np.isnan(last) or before == bounds[1]:
        return None
    first = float(low[0]) if np.isnan(before) else float(from_ordinal(to_ordinal(np.array([before])) + 1)[0])
    missing = {column: np.full(1, np.nan)}
    value = float(block.seen(missing, 1)[0, feature]) if nullable else np.nan
    if np.isnan(value):
        return Hole(first, last, np.nan)
    fill = last_true(lambda candidates: block.evaluate({column: candidates}, 1)[:, feature] <= value, low, high)
    if np.isnan(fill[0]) or block.seen({column: fill}, 1)[0, feature] != value:
        raise NotPulledBackError("a missing value becomes a number that no number becomes")
    return Hole(first, last, float(fill[0]))


def _pull_sets(
    block: Block,
    index: NDArray[np.int64],
    local: NDArray[np.int64],
    conditions: Conditions,
    finite: dict[int, FiniteColumn],
    splits: Splits,
) -> dict[int, NDArray[np.bool_]]:
    """Which of a column's ``inputs`` go left, by split."""
    tables: dict[int, Floats] = {}
    lefts: dict[int, NDArray[np.bool_]] = {}
    for position, feature in zip(index.tolist(), local.tolist(), strict=True):
        column = int(splits.column[position])
        if column not in tables:
            known = finite[column]
            tables[column] = block.seen({column: known.inputs}, len(known.inputs))
        value = tables[column][:, feature]
        chosen = conditions.sets.get(position)
        if int(conditions.feature[position]) in conditions.truncated:
            value = np.trunc(value)
        left = np.isin(value, chosen) if chosen is not None else value <= conditions.threshold[position]
        missing = np.isnan(value)
        if int(conditions.feature[position]) in conditions.zero_missing:
            missing |= np.abs(value) <= ZERO
        left = np.where(missing, conditions.missing_left[position], left)
        lefts[position] = left
        _place_set(finite[column], left, position, splits)
    return lefts


def _unknown_as_missing(column: int, known: FiniteColumn, lefts: dict[int, NDArray[np.bool_]], splits: Splits) -> None:
    """Where only the unknown category, whose place in the order is the first, keeps a cut from being one: it goes the
    way of a missing value, which each split is free to choose, if missing ones go that way or never come."""
    count = len(known.codes) - 1 - known.missing
    sides = np.array(list(lefts.values()))
    one_cut = ((sides[:, 1:count] != sides[:, : count - 1]).sum(axis=1) <= 1).all()
    if not one_cut or not any(len(splits.members.get(i, ())) > MOST_MEMBERS for i in lefts):
        return
    if known.missing and (sides[:, count] != sides[:, count + 1]).any():
        return
    inputs, codes = known.inputs[: count + 1], np.append(known.codes[:count], np.nan)
    without = replace(known, inputs=inputs, codes=codes, unknown=False, missing=True)
    splits.holes[column] = Hole(-1.0, -1.0, np.nan)
    for i, left in lefts.items():
        splits.members.pop(i, None)
        splits.equal[i], splits.constant[i] = False, -1
        _place_set(without, left[: count + 1], i, splits)


def _place_set(known: FiniteColumn, left: NDArray[np.bool_], position: int, splits: Splits) -> None:
    """Write the condition of one set of categories: equality with one, a cut through their order, or membership."""
    end = len(left) - known.missing
    missing = bool(left[-1]) if known.missing else None
    sides, codes = left[:end], known.codes[:end]
    if known.unknown and not known.coded:  # any other number: no place in the order, so only equality can tell it
        other, sides, codes = bool(sides[-1]), sides[:-1], codes[:-1]
    else:
        order = np.argsort(codes, kind="stable")
        sides, codes, other = sides[order], codes[order], None
    if (sides == sides[0]).all() and other in (None, bool(sides[0])):
        side = bool(sides[0])
        splits.threshold[position], splits.swap[position] = np.inf, not side
        splits.missing[position] = (side if missing is None else missing) ^ (not side)
        splits.constant[position] = int(side) if missing in (None, side) else -1
        return
    for alone in (True, False):
        if (sides == alone).sum() == 1 and other in (None, not alone):
            splits.equal[position] = True
            splits.threshold[position] = codes[int(np.flatnonzero(sides == alone)[0])]
            splits.swap[position] = not alone
            splits.missing[position] = ((not alone) if missing is None else missing) ^ (not alone)
            return
    turns = np.flatnonzero(sides[1:] != sides[:-1])
    if other is None and len(turns) == 1:
        splits.threshold[position] = codes[int(turns[0])]
        splits.swap[position] = not sides[0]
        splits.missing[position] = (bool(sides[0]) if missing is None else missing) ^ (not sides[0])
        return
    if known.whole or known.other is not None:
        if not known.whole and known.other is not None:
            splits.others[int(splits.column[position])] = known.other
        alone = other is False or (other is None and sides.sum() * 2 <= len(sides))
        splits.members[position] = codes[sides == alone]
        splits.swap[position] = not alone
        splits.missing[position] = ((not alone) if missing is None else missing) ^ (not alone)
        return
    raise NotPulledBackError(f"a split sends {int(sides.sum())} of {len(sides)} categories to one side")
