"""What each column may hold, by what the source answers: the ends of its range, missing values, categories.

Belongs here: the search for these. Not here: asking (asking.py), what is made of them (tabular.py).
Imported as edge_runtime.converters.sources.sklearn.domain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import UnsupportedModelError
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec

from ...exact.ensemble import Ensemble
from ...exact.features import Block, FiniteColumn, Splits
from ...exact.lattice import from_ordinal, last_true, to_ordinal
from ...exact.region import Cell, Region
from ...exact.trees import cut_columns, zero_columns
from ..tried_columns import UNKNOWN_TEXT
from .asking import Asked

__all__ = ["Domain", "ask_domain"]

MAX = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Domain:
    """What each column may hold, by its place among the used ones: whether missing is answered, the numbers that are
    (`bounds`; text has none), the categories, and whether a value outside these is answered (`open`)."""

    nullable: tuple[bool, ...]
    bounds: dict[int, tuple[float, float]]
    finite: dict[int, FiniteColumn]
    categories: dict[int, list[Any]]
    open: dict[int, bool]

    def space(self, dtypes: list[str], ensemble: Ensemble, splits: Splits) -> Region:
        """What the trees may be asked: per column the numbers, or codes, and whether missing ones come."""
        to_missing = [*cut_columns(splits), *(zero_columns(ensemble, splits) if ensemble.zero_missing else [])]
        to_missing += splits.holes
        made: Region = {}
        for i, dtype in enumerate(dtypes):
            low, high = (
                self.bounds[i] if dtype != "str" else (-1.0 if self.open[i] else 0.0, len(self.categories[i]) - 1.0)
            )
            only = None
            if dtype != "str" and not self.open.get(i, True):
                only = frozenset(float(value) for value in self.categories[i])
            made[i] = Cell(low, high, self.nullable[i] or i in to_missing, only)
        return made

    def told_apart(self, blocks: list[Block]) -> list[Block]:
        """Blocks whose numbers are told by category where an encoder in the same block refuses all others: nothing
        between them can be asked."""
        made = []
        for block in blocks:
            refusing = {f.column for f in block.features if f.encoded and not self.open.get(f.column, True)}
            features = [replace(f, finite=f.finite or f.column in refusing) for f in block.features]
            made.append(replace(block, features=tuple(features)))
        return made

    def column(self, i: int, name: str, dtype: str) -> ColumnSpec:
        low, high = self.bounds[i] if dtype not in ("str", "bool") else (None, None)
        known = self.categories.get(i)
        both = known == [False, True]  # all there is of a bool: nothing to list
        kind = {"str": str, "bool": bool}.get(dtype, float if dtype.startswith("float") else int)
        listed = None if known is None or both else tuple(kind(value) for value in known)
        return ColumnSpec(name, dtype, self.nullable[i], "x", i, low, high, listed, both or self.open.get(i, True))


def ask_domain(asked: Asked, blocks: list[Block], categories: dict[int, list[Any]], input_dtype: str) -> Domain:
    """The domain of every column; ``categories`` are those of the encoders. Raises UnsupportedModelError."""
    app = asked.dtypes
    nullable = tuple(asked.answers_each([(i, np.nan if dtype != "str" else None) for i, dtype in enumerate(app)]))
    _put_in_order(blocks, categories, app)
    finite, open_ = _finite(asked, categories, app, nullable)
    closed = {i for i, answered in open_.items() if not answered}
    bounds = _bounds(asked, blocks, app, input_dtype, closed)
    for i, known in finite.items():
        if app[i].startswith("float") and all(value == int(value) for value in categories[i]):
            if not open_[i]:
                finite[i] = replace(known, whole=True)
            elif np.isfinite(bounds[i]).all():
                finite[i] = replace(known, other=float(known.inputs[len(categories[i])]))
    return Domain(nullable, bounds, finite, categories, open_)


def _bounds(
    asked: Asked, blocks: list[Block], app: list[str], input_dtype: str, closed: set[int]
) -> dict[int, tuple[float, float]]:
    """The numbers that the source answers, per number column: tried with infinities, and where those are refused,
    searched for the last one whose features are finite. ``closed`` columns are bound by their categories."""
    numbers = [i for i, dtype in enumerate(app) if dtype.startswith("float")]
    infinite = {sign: _answered(asked, dict.fromkeys(numbers, sign * np.inf)) for sign in (-1.0, 1.0)}
    bounds: dict[int, tuple[float, float]] = {}
    for i, dtype in enumerate(app):
        if dtype == "bool":
            bounds[i] = (0.0, 1.0)
        elif dtype in INTEGER_RANGE:
            exact = 2**24 if input_dtype == "float32" else 2**53
            low, high = INTEGER_RANGE[dtype]
            bounds[i] = float(max(low, -exact)), float(min(high, exact))
        elif dtype != "str":
            most = float(np.finfo(np.float32).max) if dtype == "float32" else MAX
            bounds[i] = -np.inf if i in infinite[-1.0] else -most, np.inf if i in infinite[1.0] else most
    tried = [i for i in bounds if i not in closed and app[i] != "bool"]
    searched = {
        upper: sorted(set(tried) - _answered(asked, {i: bounds[i][upper] for i in tried})) for upper in (False, True)
    }
    for upper, columns in searched.items():
        sign = 1.0 if upper else -1.0
        outermost = {i: abs(bounds[i][upper]) for i in columns}
        for i, found in _last_finite(asked, blocks, outermost, sign).items():
            bounds[i] = (bounds[i][0], found) if upper else (found, bounds[i][1])
    for block in blocks:
        for j, feature in enumerate(block.features):
            steps = [name for name, _ in feature.steps]
            if "gap" in steps:
                filled = not {"fill", "missing"}.isdisjoint(steps[steps.index("gap") :])
                _leave_out_the_gap(asked, block, j, bounds, filled=filled)
    return bounds


def _answered(asked: Asked, values: dict[int, Any]) -> set[int]:
    """The columns for which the source answers their value."""
    return {i for i, yes in zip(values, asked.answers_each(list(values.items())), strict=True) if yes}


def _leave_out_the_gap(
    asked: Asked, block: Block, j: int, bounds: dict[int, tuple[float, float]], *, filled: bool
) -> None:
    """Small numbers have no logarithm: the source takes them for missing. Where it refuses the first one above, whose
    logarithm is infinite, or replaces missing values, which may belong above that, the range begins behind the gap."""
    i = block.features[j].column
    low, high = (np.array([end]) for end in bounds[i])

    def made(tried: NDArray[np.float64]) -> NDArray[np.float64]:
        return block.evaluate({i: tried}, 1)[:, j]

    missing = made(np.array([np.nan])) if filled else np.array([np.nan])
    last = last_true(lambda tried: (made(tried) == missing) | (np.isnan(made(tried)) & np.isnan(missing)), low, high)
    if np.isnan(last[0]) or last[0] == high[0]:
        return
    whole = asked.dtypes[i] in INTEGER_RANGE
    first = float(from_ordinal(to_ordinal(last) + 1)[0])
    first = float(np.ceil(first)) if whole else first
    answered = asked.answers(i, first)
    if answered and not filled:
        return
    if not answered:
        first = _last_answered(asked, i, bounds[i][1], first)
        first = float(np.ceil(first)) if whole else first
    bounds[i] = first, bounds[i][1]
    asked.narrow(i, first)


def alone(block: Block, column: int, features: list[int], value: NDArray[np.float64]) -> bool:
    """Whether ``features`` are finite for one value of their column."""
    try:
        return bool(np.isfinite(block.evaluate({column: value}, 1)[0, features]).all())
    except ValueError:
        return False


def _last_finite(asked: Asked, blocks: list[Block], widest: dict[int, float], sign: float) -> dict[int, float]:
    found: dict[int, float] = {}
    for block in blocks:
        own = sorted({f.column for f in block.features if not f.finite} & set(widest))
        if not own:
            continue
        of = [[j for j, f in enumerate(block.features) if f.column == i and not f.finite] for i in own]

        def holds(
            candidates: NDArray[np.float64], own: list[int] = own, of: list[list[int]] = of, block: Block = block
        ) -> NDArray[np.bool_]:
            asked_for = {i: np.array([sign * v]) for i, v in zip(own, candidates, strict=True)}
            try:
                made = block.evaluate(asked_for, 1)[0]
            except ValueError:  # a transformer refuses one of them (Box-Cox): each alone
                if len(own) == 1:
                    return np.array([False])
                return np.array(
                    [alone(block, i, j, value) for (i, value), j in zip(asked_for.items(), of, strict=True)]
                )
            return np.array([bool(np.isfinite(made[j]).all()) for j in of])

        start = np.array([sign * float(asked.rows.typical[asked.used[i]]) for i in own])
        for i, value in zip(own, last_true(holds, start, np.array([widest[i] for i in own])), strict=True):
            found[i] = sign * min(float(value), sign * found[i] if i in found else np.inf)
    with np.errstate(over="ignore"):
        beyond = _answered(asked, {i: float(np.nextafter(value, sign * np.inf)) for i, value in found.items()})
    refused = set(found) - beyond - _answered(asked, {i: found[i] for i in found if i not in beyond})
    for i in beyond:  # a step before the model refuses, and reads wider floats than the model does
        found[i] = _last_answered(asked, i, found[i], sign * widest[i])
    for i in refused:  # a step in between refuses: what a scaler made infinite
        found[i] = _last_answered(asked, i, float(asked.rows.typical[asked.used[i]]), found[i])
    answered = _answered(asked, found)
    for i in widest:
        if i not in answered:
            raise UnsupportedModelError(
                f"the source refuses large values of column {asked.names[i]!r} for a reason of its own",
                advice="convert with data whose first row the source answers",
            )
    return found


def _last_answered(asked: Asked, i: int, answered: float, refused: float) -> float:
    """The number farthest from ``answered``, towards ``refused``, that the source still answers."""
    sign = np.sign(refused - answered)
    bounds = np.array([sign * answered]), np.array([sign * refused])
    return float(sign * last_true(lambda tried: np.array([asked.answers(i, sign * float(tried[0]))]), *bounds)[0])


def _finite(
    asked: Asked, categories: dict[int, list[Any]], app: list[str], nullable: tuple[bool, ...]
) -> tuple[dict[int, FiniteColumn], dict[int, bool]]:
    """Columns by their categories, and whether a value outside these is answered."""
    finite: dict[int, FiniteColumn] = {}
    open_: dict[int, bool] = {}
    unseen: dict[int, Any] = {
        i: UNKNOWN_TEXT if app[i] == "str" else _unseen(categories[i], app[i]) for i in categories
    }
    taken = _answered(asked, {i: value for i, value in unseen.items() if value is not None})
    for i, known in categories.items():
        text = app[i] == "str"
        if app[i] == "bool":
            known[:] = [value for value in (False, True) if asked.answers(i, value)]
        open_[i] = i in taken
        inputs = [*known, *([unseen[i]] if open_[i] else []), *([None] if nullable[i] else [])]
        codes = [float(j) for j in range(len(known))] if text else [float(v) for v in known]
        codes += [-1.0] * open_[i] + [np.nan] * nullable[i]
        made = np.empty(len(inputs), object)
        made[:] = inputs
        whole = text or app[i] in INTEGER_RANGE or app[i] == "bool"
        finite[i] = FiniteColumn(made, np.array(codes), text, whole, open_[i], nullable[i])
    return finite, open_


def _put_in_order(blocks: list[Block], categories: dict[int, list[Any]], app: list[str]) -> None:
    """Number the texts of a column that makes one feature by the values that their encoder gives them: then a split is
    a cut through the numbers."""
    for block in blocks:
        for j, feature in enumerate(block.features):
            i = feature.column
            ways = sum(other.column == i for each in blocks for other in each.features)
            known = categories.get(i, [])
            if ways > 1 or not feature.encoded or app[i] != "str" or len(known) < 3:
                continue
            inputs = np.empty(len(known), object)
            inputs[:] = known
            values = block.seen({i: inputs}, len(known))[:, j]
            known[:] = inputs[np.argsort(values, kind="stable")].tolist()


def _unseen(known: list[Any], dtype: str) -> Any:
    if dtype == "bool":
        return None
    low, high = INTEGER_RANGE.get(dtype, (-(2**20), 2**20))
    candidates = (value for value in range(max(low, -(2**20)), min(high, 2**20)) if value not in set(known))
    return next(candidates, None)
