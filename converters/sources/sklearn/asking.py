"""The source, asked: rows put before it as it takes them, on one thread.

Belongs here: preparing the data and rows, whether a value is answered. Not here: what is found by asking (domain.py),
what is made of that (tabular.py).
Imported as edge_runtime.converters.sources.sklearn.asking.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.errors import UnsupportedModelError
from edge_runtime.schema import INTEGER_RANGE

from ...data import app_dtype, columns_missing
from ...exact.head import Head
from ...source import Request
from .answers import quietly
from .pipeline import names_of, on_one_thread
from .preprocessing import Rows, read_together
from .rules import RULES, is_missing

__all__ = ["Asked", "arriving"]


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
        self.entries = read_together(transformer, self.frame)
        groups = [group for _, group in self.entries]
        self.used = everything if names_of(model) is None else sorted(set(itertools.chain(*groups)))
        dtypes = ["float64"] * self.frame.shape[1]  # of columns that nobody looks at
        for c in self.used:
            dtypes[c] = column_dtype(self.frame, c, request.input_dtype, transformer)
        self.rows = rows_of(model, self.frame, dtypes, groups, closed=head is not None and head.closed)
        self.names = [self.rows.names[c] for c in self.used]
        self.dtypes = [dtypes[c] for c in self.used]
        self.model = on_one_thread(model)
        self.least: dict[int, float] = {}
        self.refused: dict[tuple[int, str, str], str] = {}  # why, or ""
        self.refusals: list[tuple[list[str], float, str]] = []
        self.check_typical()

    def narrow(self, column: int, least: float) -> None:
        """Refuse numbers below ``least``, whatever the source does, and note it for the certificate. Raises
        UnsupportedModelError where the data has such numbers."""
        if (pd.to_numeric(self.frame.iloc[:, self.used[column]]) < least).any():
            raise UnsupportedModelError(
                f"column {self.names[column]!r} has numbers below {least!r}, of which a step takes a logarithm or root",
                advice="clip them before that step, or make them missing",
            )
        self.least[column] = least

    @property
    def statements(self) -> tuple[str, ...]:
        """What the certificate must say of the columns that were narrowed."""
        begin = ", ".join(f"{self.names[column]!r} at {least!r}" for column, least in sorted(self.least.items()))
        text = (
            f"narrower: numbers begin for {begin}; below, a step has no logarithm or root, and the source answers as if"
        )
        return (f"{text} the value were missing",) if begin else ()

    def call(self, rows: Any) -> Any:
        return self.model.predict(rows) if hasattr(self.model, "predict") else self.model.transform(rows)

    def answers(self, column: int, value: Any) -> bool:
        """Whether the source answers a row of typical values with ``value`` in this column."""
        return self.answers_each([(column, value)])[0]

    def answers_each(self, asked_for: Sequence[tuple[int, Any]]) -> list[bool]:
        """Whether the source answers a row of typical values with the value in the column, for each of these."""
        found = [False] * len(asked_for)
        with quietly():
            # A whole number's column is of another dtype where one is missing.
            for missing in (False, True):
                left = [k for k, (_, value) in enumerate(asked_for) if is_missing(value) == missing]
                left = [k for k in left if not self.refused_at_once(*asked_for[k])]
                many = len(left)  # together; after a refusal alone, then ever more
                while left:
                    if self.answers_all([asked_for[k] for k in left[:many]]):
                        for k in left[:many]:
                            found[k] = True
                    elif many > 1:
                        many = 1
                        continue
                    left, many = left[many:], many * 2 if found[left[0]] else 1
        return found

    def answers_all(self, asked_for: list[tuple[int, Any]]) -> bool:
        n = len(asked_for)
        given: dict[int, list[Any]] = {}
        for k, (column, value) in enumerate(asked_for):
            given.setdefault(column, [self.rows.typical[self.used[column]]] * n)[k] = value
        try:
            rows = {self.used[column]: self.as_given(column, values) for column, values in given.items()}
            self.call(self.rows.build(self.used, rows, n))
        except (ValueError, TypeError):
            return False
        return True

    def as_given(self, column: int, values: list[Any]) -> NDArray[Any]:
        kind: Any = object if any(isinstance(value, str) or value is None for value in values) else None
        if self.dtypes[column] in INTEGER_RANGE and not any(map(is_missing, values)):
            kind = self.dtypes[column]  # as the app has it: some take no float for a whole number
        return np.array(values, kind)

    def refused_at_once(self, column: int, value: Any) -> bool:
        """Whether a step that this column enters first refuses the value in any column, as scikit-learn's check of a
        whole array does: asked for one column, it is known for all beside it."""
        for number, (step, group) in enumerate(self.entries):
            if self.used[column] not in group or type(step) not in RULES or type(value) is not float:
                continue
            if any(self.rows.dtypes[c] not in ("float32", "float64") for c in group):
                continue
            key = number, self.dtypes[column], repr(value)
            if key not in self.refused:
                rows = self.rows.build(group, {self.used[column]: np.array([value])}, 1)
                reason = self.refused[key] = whole_refused(step, rows)
                if reason:
                    alike = [self.rows.names[c] for c in group if self.rows.dtypes[c] == self.dtypes[column]]
                    self.refusals.append((alike, value, reason))
            if self.refused[key]:
                return True
        return False

    def is_sparse(self, transformer: Any) -> bool:
        """Whether ``transformer`` (None = none) hands a sparse matrix on."""
        if transformer is None:
            return False
        with quietly():
            return hasattr(transformer.transform(self.rows.build(self.used, {}, 1)), "toarray")

    def check_typical(self) -> None:
        try:
            with quietly():
                self.call(self.rows.build(self.used, {}, 1))
        except (ValueError, TypeError, KeyError) as error:
            raise UnsupportedModelError(
                f"the source refuses a row of its own data ({str(error).splitlines()[0]})",
                advice="pass the columns that it was trained on, with their names and dtypes",
            ) from error

    def build(self, frame: pd.DataFrame) -> Any:
        """A frame of app values as the source takes it. Raises ValueError for what was narrowed away, and for a row
        with a number that a first step has refused."""
        names = self.rows.names
        for column, least in self.least.items():
            if (pd.to_numeric(frame[self.names[column]]) < least).any():
                raise ValueError(f"column {self.names[column]!r} has a number below {least!r}")
        for alike, value, reason in self.refusals if len(frame) == 1 else ():  # row after row, and each a wide one
            row = frame[alike].to_numpy(np.float64, na_value=np.nan)
            if (np.isnan(row) if value != value else row == value).any():
                raise ValueError(reason)
        if all(map(pd.api.types.is_object_dtype, frame.dtypes)):
            values = frame[[names[c] for c in self.used]].to_numpy()
            return self.rows.build(self.used, dict(zip(self.used, values.T, strict=True)), len(frame))
        return self.rows.build(self.used, {c: frame[names[c]].to_numpy() for c in self.used}, len(frame))


def whole_refused(step: Any, rows: Any) -> str:
    """Why ``step`` refuses an array for a number in it, whatever the column; empty where it does not."""
    try:
        step.transform(rows)
    except ValueError as error:
        reason = str(error)
        return reason if reason.startswith(("Input X contains NaN", "Input X contains infinity")) else ""
    return ""


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
