"""scikit-learn estimators and pipelines.

Trees and linear models behind column-wise preprocessing are lowered exactly (tabular.py); the rest goes through
skl2onnx and is compared like everything else (other.py).

Belongs here: telling which way a model goes. Not here: the ways.
Imported as edge_runtime.converters.sources.sklearn.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import sklearn
from sklearn.base import BaseEstimator

from edge_runtime.errors import UnsupportedModelError

from ...exact.features import NotPulledBackError
from ...exact.head import Head
from ...source import Request, Source, read_source
from . import joined, linear, other, trees
from .asking import arriving
from .pipeline import behind, estimator_of, opened, split, with_final
from .preprocessing import NotColumnwiseError
from .tabular import read_tabular

__all__ = ["accepts", "read"]

FRAMEWORK = f"scikit-learn {sklearn.__version__}"


def accepts(model: Any) -> bool:
    return isinstance(model, BaseEstimator)


def boosters(estimator: Any) -> list[Any]:
    """The reader of another library whose estimator ends a pipeline; it offers `head(estimator)` as ours do, and may
    return a function that makes the head of the rows that reach the estimator."""
    package = type(estimator).__module__.partition(".")[0]
    if package == "sklearn":
        return []
    return [entry.load() for entry in entry_points(group="edge_runtime.sources", name=package)]


def read(model: Any, request: Request) -> Source:
    """Raises UnsupportedModelError for what is not fitted, and for parts that are somebody's own code."""
    given, model = model, opened(model)
    estimator = estimator_of(model)
    transformer, final = split(model)
    if transformer is None and final is not given:  # alone in a pipeline; it may be another library's
        return read_source(final, request)
    head = head_of(model, transformer, final, request)
    if head is None:
        return other.read(model, estimator, request, FRAMEWORK, reason=f"{type(final).__name__} is not lowered")
    if head.stands_in is not None:
        model = with_final(model, head.stands_in)
    try:
        return read_tabular(model, transformer, head, request, FRAMEWORK)
    except (NotColumnwiseError, NotPulledBackError) as reason:
        if head.prepares is not None:  # skl2onnx leaves out what the model itself does to its categories
            raise UnsupportedModelError(
                f"the categories of {type(final).__name__} cannot be lowered: {reason}",
                advice="train on categories that are text, bools or whole numbers",
            ) from reason
        return other.read(model, estimator, request, FRAMEWORK, reason=str(reason))


def head_of(model: Any, transformer: Any, final: Any, request: Request) -> Head | None:
    """The head of ``final``, which stands behind ``transformer`` in ``model``; None if it is not lowered."""
    for heads in (trees, linear, *boosters(final)):
        head: Head | Callable[[Any], Head] | None = heads.head(final)
        if head is not None:
            return head if isinstance(head, Head) else head(arriving(model, transformer, request))
    return joined.head(final, lambda own, member: head_of(model, behind(transformer, own), member, request))
