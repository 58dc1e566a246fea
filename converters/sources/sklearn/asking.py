"""What the source answers, found by asking it: missing values, infinities, large numbers, unknown categories.

Belongs here: rows put before the source, and the domain of each column. Not here: what is made of it (tabular.py).
Imported as edge_runtime.converters.sources.sklearn.asking.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.ending import Decision
from edge_runtime.errors import UnsupportedModelError
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec

from ...data import app_dtype, columns_missing
from ...exact.ensemble import Ensemble
from ...exact.features import Block, FiniteColumn, Splits
from ...exact.head import Head
from ...exact.lattice import last_true
from ...exact.region import Cell, Region
from ...exact.trees import cut_columns, zero_columns
from ...source import Request
from .answers import quietly
from .pipeline import names_of, on_one_thread
from .preprocessing import Rows, read_together

__all__ = ["UNKNOWN_TEXT", "Asked", "Domain", "arriving", "ask_domain", "decided"]

MAX = float(np.finfo(np.float64).max)
UNKNOWN_TEXT = "\x00 a text that no one trained on"


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

    def column(self, i: int, name: str, dtype: str) -> ColumnSpec:
        low, high = self.bounds[i] if dtype not in ("str", "bool") else (None, None)
        known = self.categories.get(i)
        both = known == [False, True]  # all there is of a bool: nothing to list
        kind = {"str": str, "bool": bool}.get(dtype, float if dtype.startswith("float") else int)
        listed = None if known is None or both else tuple(kind(value) for value in known)
        return ColumnSpec(name, dtype, self.nullable[i], "x", i, low, high, listed, both or self.open.get(i, True))


def decided(outputs: dict[str, NDArray[Any]], decision: Decision | None) -> dict[str, NDArray[Any]]:
    """The source's outputs by the names that the bundle gives out."""
    if decision is None:
        return outputs
    score = outputs["probabilities"][:, 1]
    return {decision.score: score, decision.name: score > decision.threshold}


class Asked:
    """The source on one thread, and rows as it takes them. Columns are counted among the used ones.

    ``head`` tells how a model without preprocessing takes categories. Raises UnsupportedModelError where the source
    refuses its own data, or a column has no dtype that can be handed over.
    """

    def __init__(self, model: Any, transformer: Any, request: Request, head: Head | None = None) -> None:
        self.frame = frame_of(model, request)
        if transformer is None and head is not None:
            self.frame = as_trained(self.frame, head.categories)
        # An array's columns go by position, so it has them all.
        everything = list(range(self.frame.shape[1]))
        groups = read_together(transformer, self.frame)
        self.used = everything if names_of(model) is None else sorted(set(itertools.chain(*groups)))
        dtypes = ["float64"] * self.frame.shape[1]  # of columns that nobody looks at
        for c in self.used:
            dtypes[c] = column_dtype(self.frame, c, request.input_dtype, transformer)
        self.rows = rows_of(model, self.frame, dtypes, groups, closed=head is not None and head.closed)
        self.names = [self.rows.names[c] for c in self.used]
        self.dtypes = [dtypes[c] for c in self.used]
        self.model = on_one_thread(model)
        self.check_typical()

    def call(self, rows: Any) -> Any:
        with quietly():
            return self.model.predict(rows) if hasattr(self.model, "predict") else self.model.transform(rows)

    def answers(self, column: int, value: Any) -> bool:
        """Whether the source answers a row of typical values with ``value`` in this column."""
        try:
            kind: Any = object if isinstance(value, str) or value is None else None
            if self.dtypes[column] in INTEGER_RANGE and value is not None and value == value:
                kind = self.dtypes[column]  # as the app has it: some take no float for a whole number
            self.call(self.rows.build(self.used, {self.used[column]: np.array([value], kind)}, 1))
        except (ValueError, TypeError):
            return False
        return True

    def is_sparse(self, transformer: Any) -> bool:
        """Whether ``transformer`` (None = none) hands a sparse matrix on."""
        if transformer is None:
            return False
        with quietly():
            return hasattr(transformer.transform(self.rows.build(self.used, {}, 1)), "toarray")

    def check_typical(self) -> None:
        try:
            self.call(self.rows.build(self.used, {}, 1))
        except (ValueError, TypeError, KeyError) as error:
            raise UnsupportedModelError(
                f"the source refuses a row of its own data ({str(error).splitlines()[0]})",
                advice="pass the columns that it was trained on, with their names and dtypes",
            ) from error

    def build(self, frame: pd.DataFrame) -> Any:
        """A frame of app values as the source takes it."""
        names = self.rows.names
        return self.rows.build(self.used, {c: frame[names[c]].to_numpy() for c in self.used}, len(frame))


def frame_of(model: Any, request: Request) -> pd.DataFrame:
    frame = request.data.frame
    wanted = names_of(model)
    if wanted is not None and not request.data.positional:
        columns_missing(wanted, frame)
        return frame[wanted]
    expected = getattr(model, "n_features_in_", frame.shape[1])
    if expected != frame.shape[1]:
        raise UnsupportedModelError(
            f"data has {frame.shape[1]} columns, the source was trained on {expected}",
            advice="pass the rows without the target",
        )
    return frame


def arriving(model: Any, transformer: Any, request: Request) -> Any:
    """The data as it reaches the estimator behind ``transformer`` (None = nothing)."""
    frame = frame_of(model, request)
    rows = frame.to_numpy() if names_of(model) is None else frame
    return rows if transformer is None else transformer.transform(rows)


def column_dtype(frame: pd.DataFrame, c: int, input_dtype: str, transformer: Any) -> str:
    dtype = app_dtype(frame.iloc[:, c], str(frame.columns[c]))
    if dtype not in ("float32", "float64"):
        return dtype
    if input_dtype != "auto":
        return input_dtype
    # Nothing is computed before the model casts by itself: any float that the app has is read as the source reads it.
    return "float64" if transformer is None else dtype


def as_trained(frame: pd.DataFrame, categories: dict[int, NDArray[Any]]) -> pd.DataFrame:
    """Columns as the categories that training had, whatever those of ``frame`` are: files hold text."""
    frame = frame.copy(deep=False)
    for i, known in categories.items():
        values = frame.iloc[:, i].astype(object)
        made = pd.Categorical(values.where(values.isin(list(known))), categories=pd.Index(known))
        if not made.notna().any() and values.notna().any():
            raise UnsupportedModelError(
                f"column {frame.columns[i]!r} has none of the categories of training ({known[:3].tolist()}…)",
                advice="pass the columns that the source was trained on",
            )
        frame.isetitem(i, made)
    return frame


def rows_of(model: Any, frame: pd.DataFrame, dtypes: list[str], groups: list[list[int]], *, closed: bool) -> Rows:
    typical: list[Any] = []
    marker: Any = np.nan
    for c, dtype in enumerate(dtypes):
        values = frame.iloc[:, c]
        present = values[~values.isna()]
        typical.append(present.iloc[0] if len(present) else {"str": "", "bool": False}.get(dtype, 0))
        if dtype == "str" and values.dtype == object and any(value is None for value in values):
            marker = None
    kept = (pd.StringDtype, pd.CategoricalDtype)
    kinds = tuple(v.dtype if isinstance(v.dtype, kept) else np.dtype(object) for _, v in frame.items())
    names = tuple(str(name) for name in frame.columns)
    return Rows(
        names,
        tuple(dtypes),
        tuple(typical),
        marker,
        kinds,
        frozenset(c for group in groups if any(dtypes[k] == "float32" for k in group) for c in group),
        names_of(model) is None,
        closed,
    )


def ask_domain(asked: Asked, blocks: list[Block], categories: dict[int, list[Any]], input_dtype: str) -> Domain:
    """The domain of every column; ``categories`` are those of the encoders. Raises UnsupportedModelError."""
    app = asked.dtypes
    nullable = tuple(asked.answers(i, np.nan if dtype != "str" else None) for i, dtype in enumerate(app))
    finite, open_ = _finite(asked, categories, app, nullable)
    closed = {i for i, answered in open_.items() if not answered}
    return Domain(nullable, _bounds(asked, blocks, app, input_dtype, closed), finite, categories, open_)


def _bounds(
    asked: Asked, blocks: list[Block], app: list[str], input_dtype: str, closed: set[int]
) -> dict[int, tuple[float, float]]:
    """The numbers that the source answers, per number column: tried with infinities, and where those are refused,
    searched for the last one whose features are finite. ``closed`` columns are bound by their categories."""
    bounds: dict[int, tuple[float, float]] = {}
    searched: dict[bool, list[int]] = {False: [], True: []}
    for i, dtype in enumerate(app):
        if dtype == "bool":
            bounds[i] = (0.0, 1.0)
        elif dtype in INTEGER_RANGE:
            exact = 2**24 if input_dtype == "float32" else 2**53
            low, high = INTEGER_RANGE[dtype]
            bounds[i] = float(max(low, -exact)), float(min(high, exact))
        elif dtype != "str":
            most = float(np.finfo(np.float32).max) if dtype == "float32" else MAX
            bounds[i] = (
                -np.inf if asked.answers(i, -np.inf) else -most, np.inf if asked.answers(i, np.inf) else most
            )  # fmt: skip
        for upper in (False, True) if i in bounds and i not in closed and dtype != "bool" else ():
            if not asked.answers(i, bounds[i][upper]):
                searched[upper].append(i)
    for upper, columns in searched.items():
        sign = 1.0 if upper else -1.0
        outermost = {i: abs(bounds[i][upper]) for i in columns}
        for i, found in _last_finite(asked, blocks, outermost, sign).items():
            bounds[i] = (bounds[i][0], found) if upper else (found, bounds[i][1])
    return bounds


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
    for i in widest:
        if i in found and asked.answers(i, float(np.nextafter(found[i], sign * np.inf))):
            # A step before the model refuses, and reads wider floats than the model does.
            found[i] = _last_answered(asked, i, found[i], sign * widest[i])
        if i not in found or not asked.answers(i, found[i]):
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
    for i, known in categories.items():
        text = app[i] == "str"
        if app[i] == "bool":
            known[:] = [value for value in (False, True) if asked.answers(i, value)]
        unknown: Any = UNKNOWN_TEXT if text else _unseen(known, app[i])
        open_[i] = unknown is not None and asked.answers(i, unknown)
        inputs = [*known, *([unknown] if open_[i] else []), *([None] if nullable[i] else [])]
        codes = [float(j) for j in range(len(known))] if text else [float(v) for v in known]
        codes += [-1.0] * open_[i] + [np.nan] * nullable[i]
        made = np.empty(len(inputs), object)
        made[:] = inputs
        whole = text or app[i] in INTEGER_RANGE or app[i] == "bool"
        finite[i] = FiniteColumn(made, np.array(codes), text, whole, open_[i], nullable[i])
    return finite, open_


def _unseen(known: list[Any], dtype: str) -> Any:
    if dtype == "bool":
        return None
    low, high = INTEGER_RANGE.get(dtype, (-(2**20), 2**20))
    candidates = (value for value in range(max(low, -(2**20)), min(high, 2**20)) if value not in set(known))
    return next(candidates, None)
