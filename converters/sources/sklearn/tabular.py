"""A tabular model lowered onto the app's own columns: one tensor in, the raw sum out.

Belongs here: which columns there are and what they may hold (by asking the source), and putting preprocessing, head and
ending together. Not here: reading a framework (sources/), trees (trees.py), linear maps (linear.py).
Imported as edge_runtime.converters.sources.sklearn.tabular.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edge_runtime.ending import Decision, Ending
from edge_runtime.errors import UnsupportedModelError
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, Schema, TensorSpec

from ... import linear, trees
from ...data import app_dtype, columns_missing
from ...features import Block, FiniteColumn, pull_back
from ...head import Head
from ...lattice import last_true
from ...source import Request, Source
from .pipeline import on_one_thread
from .preprocessing import Rows, blocks_of, used_columns

__all__ = ["Asked", "column_dtype", "decided", "frame_of", "read_tabular", "rows_of"]

MAX = float(np.finfo(np.float64).max)
UNKNOWN_TEXT = "\x00 a text that no one trained on"


def read_tabular(model: Any, transformer: Any, head: Head, request: Request, framework: str) -> Source:
    """Lower ``head`` behind ``transformer`` (None = nothing). Raises NotColumnwiseError or NotPulledBackError where this
    cannot be done exactly, UnsupportedModelError where it should not be done at all."""
    frame = frame_of(model, request)
    used = used_columns(transformer, frame)
    dtypes = [column_dtype(frame.iloc[:, c], str(frame.columns[c]), request.input_dtype, transformer) for c in range(frame.shape[1])]
    rows = rows_of(frame, dtypes, request)
    asked = Asked(on_one_thread(model), rows, used)
    blocks, categories = blocks_of(transformer, rows, frame, used, head.reads)
    asked.check_typical()
    names = [rows.names[c] for c in used]
    app = [dtypes[c] for c in used]
    nullable = [asked.answers(i, np.nan if app[i] != "str" else None) for i in range(len(used))]
    finite, open_ = _finite(asked, categories, app, nullable)
    bounds = _bounds(asked, blocks, app, request.input_dtype, closed={i for i, answered in open_.items() if not answered})
    dtype = "float32" if request.input_dtype == "float32" else "float64"
    columns = tuple(
        ColumnSpec(
            names[i], app[i], nullable[i], "x", i, *(bounds[i] if app[i] not in ("str", "bool") else (None, None)),
            categories=_listed(i, app[i], categories, open_), open=open_.get(i, True) or categories[i] == [False, True],
        )
        for i in range(len(used))
    )  # fmt: skip
    ending = head.ending if request.decision is None else _with_decision(head.ending, request)
    moved, leaves, leaf_count, probes = 0.0, None, 0, {}
    if isinstance(head.body, trees.Ensemble):
        feature, threshold, missing_left = head.body.split_arrays()
        splits = pull_back(blocks, finite, bounds, nullable, feature, threshold, missing_left)
        lowered = trees.lower(head.body, splits, len(used), dtype)
        graph, moved = lowered.model, lowered.moved
        leaf_count = sum(int((~tree.inner).sum()) for tree in head.body.trees)
        leaves = trees.leaf_numbers(head.body, splits, len(used), dtype)
        for i in set(splits.column.tolist()) & set(bounds):
            at = (splits.column == i) & np.isfinite(splits.threshold)
            probes[names[i]] = np.unique(splits.threshold[at])
        targets = head.body.targets
        statements = (f"thresholds searched on the {dtype} lattice in the source's own arithmetic",)
    else:
        graph = linear.lower(head.body, blocks, finite, len(used), dtype)
        targets = head.body.weights.shape[1]
        statements = ("linear map as one float64 Gemm",)
    outputs = ending.outputs(targets)

    def reference(given: pd.DataFrame) -> dict[str, NDArray[Any]]:
        with threadpool_limits(1), np.errstate(all="ignore"):
            return decided(head.answer(asked.model, asked.build(given)), request.decision)

    return Source(
        framework, Schema(columns, (TensorSpec("x", dtype, (None, len(used))),), outputs), ending, graph, reference,
        exact=True, tolerance=_tolerance(head, moved, outputs), statements=statements,
        libraries=("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn"), probes=probes, leaves=leaves, leaf_count=leaf_count,
    )  # fmt: skip


def decided(outputs: dict[str, NDArray[Any]], decision: Decision | None) -> dict[str, NDArray[Any]]:
    """The source's outputs by the names that the bundle gives out."""
    if decision is None:
        return outputs
    score = outputs["probabilities"][:, 1]
    return {decision.score: score, decision.name: score > decision.threshold}


class Asked:
    """The source, asked row by row what it answers. Columns are counted among the used ones."""


    def __init__(self, model: Any, rows: Rows, used: list[int]) -> None:
        self.model, self.rows, self.used = model, rows, used

    def call(self, rows: Any) -> Any:
        return self.model.predict(rows) if hasattr(self.model, "predict") else self.model.transform(rows)

    def answers(self, column: int, value: Any) -> bool:
        """Whether the source answers a row of typical values with ``value`` in this column."""
        try:
            with np.errstate(all="ignore"):
                kind = object if isinstance(value, str) or value is None else None
                self.call(self.rows.build(self.used, {self.used[column]: np.array([value], kind)}, 1))
        except (ValueError, TypeError):
            return False
        return True

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
    wanted = getattr(model, "feature_names_in_", None)
    if wanted is not None and not request.data.positional:
        columns_missing(wanted.tolist(), frame)
        return frame[wanted.tolist()]
    expected = getattr(model, "n_features_in_", frame.shape[1])
    if expected != frame.shape[1]:
        raise UnsupportedModelError(
            f"data has {frame.shape[1]} columns, the source was trained on {expected}", advice="pass the rows without the target"
        )
    return frame


def column_dtype(values: pd.Series, name: str, input_dtype: str, transformer: Any) -> str:
    dtype = app_dtype(values, name)
    if dtype not in ("float32", "float64"):
        return dtype
    if input_dtype != "auto":
        return input_dtype
    # Nothing is computed before the model casts by itself: any float that the app has is read as the source reads it.
    return "float64" if transformer is None else dtype


def rows_of(frame: pd.DataFrame, dtypes: list[str], request: Request) -> Rows:
    typical: list[Any] = []
    marker: Any = np.nan
    for c, dtype in enumerate(dtypes):
        values = frame.iloc[:, c]
        present = values[~values.isna()]
        typical.append(present.iloc[0] if len(present) else {"str": "", "bool": False}.get(dtype, 0))
        if dtype == "str" and values.dtype == object and any(value is None for value in values):
            marker = None
    text_dtype = tuple(v.dtype if isinstance(v.dtype, pd.StringDtype) else np.dtype(object) for _, v in frame.items())
    names = tuple(str(name) for name in frame.columns)
    return Rows(names, tuple(dtypes), tuple(typical), marker, text_dtype, request.data.positional or not hasattr(frame, "columns"))


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
            widest = float(np.finfo(np.float32).max) if dtype == "float32" else MAX
            bounds[i] = tuple(sign * (np.inf if asked.answers(i, sign * np.inf) else widest) for sign in (-1.0, 1.0))  # type: ignore[assignment]
        for upper in (False, True) if i in bounds and i not in closed and dtype != "bool" else ():
            if not asked.answers(i, bounds[i][upper]):
                searched[upper].append(i)
    for upper, columns in searched.items():
        sign = 1.0 if upper else -1.0
        widest = {i: abs(bounds[i][upper]) for i in columns}
        for i, found in _last_finite(asked, blocks, widest, sign).items():
            bounds[i] = (bounds[i][0], found) if upper else (found, bounds[i][1])
    return bounds


def _last_finite(asked: Asked, blocks: list[Block], widest: dict[int, float], sign: float) -> dict[int, float]:
    found: dict[int, float] = {}
    for block in blocks:
        own = sorted({f.column for f in block.features if not f.finite} & set(widest))
        if not own:
            continue
        of = [[j for j, f in enumerate(block.features) if f.column == i and not f.finite] for i in own]

        def holds(candidates: NDArray[np.float64], own: list[int] = own, of: list[list[int]] = of, block: Block = block) -> NDArray[np.bool_]:
            made = block.evaluate({i: np.array([sign * v]) for i, v in zip(own, candidates, strict=True)}, 1)[0]
            return np.array([bool(np.isfinite(made[j]).all()) for j in of])

        start = np.array([sign * float(asked.rows.typical[asked.used[i]]) for i in own])
        for i, value in zip(own, last_true(holds, start, np.array([widest[i] for i in own])), strict=True):
            found[i] = sign * min(float(value), sign * found[i] if i in found else np.inf)
    for i in widest:
        if i not in found or not asked.answers(i, found[i]):
            raise UnsupportedModelError(
                f"the source refuses large values of column {asked.rows.names[asked.used[i]]!r} for a reason of its own",
                advice="convert with data whose first row the source answers",
            )
    return found


def _finite(
    asked: Asked, categories: dict[int, list[Any]], app: list[str], nullable: list[bool]
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


def _listed(i: int, dtype: str, categories: dict[int, list[Any]], open_: dict[int, bool]) -> tuple[Any, ...] | None:
    if i not in categories or categories[i] == [False, True]:
        return None
    kind = {"str": str, "bool": bool}.get(dtype, float if dtype.startswith("float") else int)
    return tuple(kind(value) for value in categories[i])


def _with_decision(ending: Ending, request: Request) -> Ending:
    if ending.classes is None or len(ending.classes) != 2:
        raise UnsupportedModelError("a decision needs a classifier of two classes", advice="leave the decision away")
    return replace(ending, decision=request.decision)


def _tolerance(head: Head, moved: float, outputs: tuple[TensorSpec, ...]) -> dict[str, float]:
    """How far graph and source may be apart per output: the grid, and what the source's own float64 sum rounds."""
    numbers = [output.name for output in outputs if output.dtype == "float64" and output.name != "label"]
    if isinstance(head.body, trees.Ensemble):
        reach = sum(float(np.abs(tree.value).max()) for tree in head.body.trees) + float(np.abs(head.body.base).max())
        slack = moved + (len(head.body.trees) + 8) * reach * 2.0**-52
    else:
        slack = 1e-9
    if head.ending.kind in ("identity", "share"):
        slack /= head.ending.scale
    return {name: max(slack, 1e-12) if head.ending.classes else slack for name in numbers}

