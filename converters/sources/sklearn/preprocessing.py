"""scikit-learn preprocessing, column by column: which feature comes from which column, and how.

Only the structure is read here; what a transformer computes is left to the transformer itself (`Block.evaluate`). A
transformer that is not listed ends the exact route: NotColumnwiseError, and the caller takes another.

Belongs here: the walk through pipelines and column transformers. Not here: models (trees.py, linear.py), splits
(features.py).
Imported as edge_runtime.converters.sources.sklearn.preprocessing.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import KBinsDiscretizer
from sklearn.utils._indexing import _get_column_indices

from edge_runtime.schema import INTEGER_RANGE

from ...exact.features import Block, Feature
from .pipeline import first_of, opened
from .rules import RULES, NotColumnwiseError, is_missing

__all__ = ["NotColumnwiseError", "Rows", "blocks_of", "read_together"]


@dataclass(frozen=True, slots=True)
class Rows:
    """How rows are put before the source: ``names`` and app ``dtypes`` of its columns, one ``typical`` value each, the
    marker that stands for a missing text, pandas' dtype of text and categories (``kinds``), the columns that enter a
    transformer ``beside`` one of float32, whether the source takes an array, and whether it refuses a value outside a
    column's categories (``closed``)."""

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    typical: tuple[Any, ...]
    missing_text: Any
    kinds: tuple[Any, ...]
    beside: frozenset[int]
    positional: bool
    closed: bool = False

    def build(self, columns: list[int], given: dict[int, NDArray[Any]], n: int) -> Any:
        """Rows of ``columns``: values where given, the typical one elsewhere; as the source takes them."""
        kinds = {"" if isinstance(self.kinds[c], pd.CategoricalDtype) else self.dtypes[c] for c in columns}
        if kinds in ({"float32"}, {"float64"}):  # as below, at once: wide rows are built by the thousand
            block = np.empty((len(columns), n), kinds.pop())
            block[:] = np.array([self.typical[c] for c in columns], np.float64)[:, None]
            for k, c in enumerate(columns):
                if c in given:
                    block[k] = self.column(c, given[c], False)
            if self.positional:
                return np.array(block.T, order="C")
            return pd.DataFrame(block.T, columns=[self.names[c] for c in columns])
        narrow = self.beside if any(self.dtypes[c] == "float32" for c in columns) else frozenset()
        made: dict[str, Any] = {}
        for c in columns:
            values = given.get(c)
            if values is None:
                values = np.full(n, self.typical[c], object if self.dtypes[c] == "str" else None)
            made[self.names[c]] = self.column(c, values, c in narrow)
        if self.positional:
            return np.column_stack([np.asarray(values) for values in made.values()])
        return pd.DataFrame(made)

    def column(self, c: int, values: NDArray[Any], narrow: bool) -> Any:
        """Values of one column in the dtype of the app; integers and bools as floats where one is missing or they are
        probed, ``narrow`` ones as float32 if it holds them: the arithmetic of their neighbours stays as it is."""
        kind = self.kinds[c]
        if isinstance(kind, pd.CategoricalDtype):
            known = set(kind.categories)
            if self.closed and not known.issuperset(v for v in values.tolist() if not is_missing(v)):
                raise ValueError(f"column {self.names[c]!r} has a category that training did not have")
            return pd.Categorical([value if value in known else None for value in values.tolist()], dtype=kind)
        if self.dtypes[c] == "str":
            text = np.array(
                [self.missing_text if is_missing(value) else value for value in values.tolist()] + [None], object
            )
            return pd.Series(text[:-1], dtype=kind)
        if self.dtypes[c] == "bool" and values.dtype.kind in "bO" and not any(map(is_missing, values.tolist())):
            return values.astype(bool)
        if self.dtypes[c] in INTEGER_RANGE and all(type(value) is int for value in values.tolist()):
            return values.astype(self.dtypes[c])
        if values.dtype.kind == "O":
            values = np.array([np.nan if is_missing(value) else value for value in values.tolist()], np.float64)
        if self.dtypes[c].startswith("float"):
            with np.errstate(over="ignore"):  # data beyond float32 is refused where the source's rows are compared
                return values.astype(self.dtypes[c])
        if values.dtype.kind != "f":
            return values
        fits = np.result_type(self.dtypes[c], np.float32) == np.float32
        return values.astype(np.float32 if narrow and fits else np.float64)


def read_together(transformer: Any, frame: pd.DataFrame) -> list[tuple[Any, list[int]]]:
    """Each transformer that columns enter first (None, "passthrough" = none), and the positions of those that enter it
    side by side: such are of one dtype before anything is computed. A column that is in none is not looked at."""
    first = first_of(transformer)
    if isinstance(first, FeatureUnion):
        return [group for _, part in first.transformer_list for group in read_together(part, frame)]
    if not isinstance(first, ColumnTransformer):
        return [(first, list(range(frame.shape[1])))]
    groups = []
    for _, part, columns in first.transformers_:
        if not (isinstance(part, str) and part == "drop"):
            places = _get_column_indices(frame, columns)
            inner = read_together(part, frame.iloc[:, places])
            groups += [(step, [places[i] for i in group]) for step, group in inner]
    return groups


def blocks_of(
    transformer: Any, rows: Rows, frame: pd.DataFrame, columns: list[int], read_as: type, *, sparse: bool = False
) -> tuple[list[Block], dict[int, list[Any]]]:
    """Blocks of features that ``transformer`` (None = none) makes of the frame's ``columns``, and the categories of
    each column that has any. Columns are counted within ``columns``; ``read_as`` is the dtype that the model reads;
    ``sparse``: a zero that a sparse matrix leaves out is missing to it.

    Raises NotColumnwiseError.
    """
    place = {c: i for i, c in enumerate(columns)}
    categories: dict[int, list[Any]] = {}
    finite = [rows.dtypes[c] in ("str", "bool") for c in columns]
    for i, c in enumerate(columns):
        if isinstance(rows.kinds[c], pd.CategoricalDtype):
            finite[i], categories[i] = True, rows.kinds[c].categories.tolist()
        elif rows.dtypes[c] == "bool":
            categories[i] = [False, True]

    def block(part: Any, chosen: list[int], walked: list[int]) -> Block:
        entering = [Feature(place.get(c, -1), c in place and finite[place[c]]) for c in walked]  # -1 is dropped within
        features = _walk(part, entering, categories, frame.iloc[:, walked])
        binned = [j for j, feature in enumerate(features) if feature.bins]
        part = numbering_bins(part) if binned else part
        for feature in features:
            if feature.finite and feature.column not in categories:
                raise NotColumnwiseError(
                    f"column {frame.columns[columns[feature.column]]!r} is text and has no encoder"
                )

        def transform(given: dict[int, NDArray[Any]], n: int) -> Any:
            # Numbers are tried that overflow on the way; what the whole source refuses is asked of the whole source.
            with np.errstate(all="ignore"), config_context(assume_finite=True), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                made = rows.build(
                    chosen, {columns[c]: values for c, values in given.items() if columns[c] in chosen}, n
                )
                return codes_of(made if part is None or part == "passthrough" else part.transform(made))

        def evaluate(given: dict[int, NDArray[Any]], n: int) -> NDArray[np.float64]:
            with np.errstate(all="ignore"):
                return dense(transform(given, n)).astype(read_as).astype(np.float64)

        def absent(given: dict[int, NDArray[Any]], n: int) -> NDArray[np.bool_]:
            result = transform(given, n)
            left_out = np.ones(result.shape, bool)
            if hasattr(result, "toarray"):
                left_out[result.tocoo().coords] = False  # a zero may be stored
            else:
                left_out[np.asarray(result) != 0] = False
            left_out[:, binned] = False  # the first bin is no zero
            return left_out

        return Block(tuple(features), evaluate, absent if sparse else None)

    outer = transformer
    if isinstance(outer, Pipeline) and len(outer.steps) == 1:
        outer = outer.steps[0][1]
    if isinstance(outer, ColumnTransformer):  # each part alone: evaluating it does not drag the others along
        parts = [
            (part, _get_column_indices(frame, chosen)) for _, part, chosen in outer.transformers_ if part != "drop"
        ]
        return [block(part, list(chosen), list(chosen)) for part, chosen in parts if len(chosen)], categories
    return [block(transformer, columns, list(range(frame.shape[1])))], categories


def numbering_bins(part: Any) -> Any:
    """``part`` whose discretizers give the number of a bin instead of a feature for each."""
    part = copy.copy(opened(part))
    if isinstance(part, KBinsDiscretizer):
        part.encode = "ordinal"
        vars(part).pop("_encoder", None)  # it would name the features
    elif isinstance(part, Pipeline):
        part.steps = [(name, numbering_bins(step)) for name, step in part.steps]
    elif isinstance(part, ColumnTransformer):
        part.transformers_ = [(name, numbering_bins(inner), chosen) for name, inner, chosen in part.transformers_]
    elif isinstance(part, FeatureUnion):
        part.transformer_list = [(name, numbering_bins(inner)) for name, inner in part.transformer_list]
    return part


def dense(made: Any) -> NDArray[Any]:
    """An array of what may be a sparse matrix, whose own `toarray` makes 0.0 of -0.0."""
    if not hasattr(made, "toarray"):
        return np.asarray(made)
    whole = np.zeros(made.shape, made.dtype)
    stored = made.tocoo()
    whole[stored.coords] = stored.data
    return whole


def codes_of(made: Any) -> Any:
    """Categories as their codes, which is how boosters read a frame; one that is missing, or none of them, is NaN."""
    if not isinstance(made, pd.DataFrame):
        return made
    categorical = [name for name in made if isinstance(made[name].dtype, pd.CategoricalDtype)]
    return made.assign(**{name: made[name].cat.codes.where(made[name].cat.codes >= 0, np.nan) for name in categorical})


def _walk(part: Any, features: list[Feature], categories: dict[int, list[Any]], frame: Any) -> list[Feature]:
    part = opened(part)
    if part is None or part == "passthrough":
        return features
    if isinstance(part, str) and part == "drop":
        return []
    if isinstance(part, Pipeline):
        for _, step in part.steps:
            if any(feature.bins for feature in features) and step not in ("passthrough", None):
                raise NotColumnwiseError("a KBinsDiscretizer that makes one feature per bin stands before another step")
            features = _walk(step, features, categories, frame)
            frame = None  # names are those of the source only before the first step
        return features
    if isinstance(part, ColumnTransformer):
        made: list[Feature] = []
        for _, inner, chosen in part.transformers_:
            if isinstance(inner, str) and inner == "drop":
                continue
            if frame is None and any(isinstance(name, str) for name in np.ravel(chosen)):
                raise NotColumnwiseError("a ColumnTransformer that goes by name stands behind another step")
            places = _get_column_indices(np.empty((1, len(features))) if frame is None else frame, chosen)
            inside = None if frame is None else frame.iloc[:, places]
            made += _walk(inner, [features[i] for i in places], categories, inside)
        return made
    if isinstance(part, FeatureUnion):
        return [feature for _, inner in part.transformer_list for feature in _walk(inner, features, categories, frame)]
    rule = RULES.get(type(part))
    if rule is not None:
        return rule(part, features, categories)
    raise NotColumnwiseError(f"{type(part).__name__} is not known to work column by column")
