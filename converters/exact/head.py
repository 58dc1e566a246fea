"""The last part of a tabular model, behind its preprocessing: an ensemble of trees or a linear map, and its ending.

Belongs here: the type that every framework's reader fills. Not here: reading (sources/), lowering (tabular.py).
Imported as edge_runtime.converters.exact.head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.ending import Ending
from edge_runtime.errors import UnsupportedModelError

from .ensemble import Ensemble
from .joining import Joined, View

__all__ = ["Head", "Linear", "classes_of"]


@dataclass(frozen=True, slots=True)
class Linear:
    """raw = features @ ``weights`` [features, targets] + ``bias`` [targets]."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Head:
    """``reads`` is the dtype that the model casts its features to; ``answer`` gives the outputs of a fitted model for
    rows as it takes them; ``prepares`` is a transformer of the model's own, behind the pipeline's.

    ``sums`` is the dtype that the source adds leaves in, ``roundings`` how many one leaf costs it there. ``categories``
    are those of features that training had as pandas categories, by position and in training's order; ``closed`` means
    that a value outside them is refused, where others take it for missing. ``sparse``: a zero that a sparse matrix
    leaves out is missing.

    ``libraries`` are named in the bundle's provenance, by their distribution's name. ``stands_in`` is an estimator that
    answers for the fitted one, on one thread and refusing as scikit-learn does. ``statements`` are what the certificate
    must say besides.
    """

    body: Ensemble | Linear | Joined
    ending: Ending
    reads: type
    answer: Callable[[Any, Any], dict[str, NDArray[Any]]]
    prepares: Any = None
    sums: type = np.float64
    roundings: float = 1.0
    categories: dict[int, NDArray[Any]] = field(default_factory=dict)
    closed: bool = False
    libraries: tuple[str, ...] = ()
    sparse: bool = False
    stands_in: Any = None
    statements: tuple[str, ...] = ()

    @property
    def views(self) -> tuple[View, ...]:
        """How the model looks at the rows that the pipeline makes: one view, or those of its members."""
        return self.body.views if isinstance(self.body, Joined) else (View(self.prepares, self.reads, self.sparse),)


def classes_of(classes: NDArray[Any]) -> tuple[tuple[Any, ...], str]:
    """Training labels in order, and their dtype as an ending has it. Raises UnsupportedModelError for other labels."""
    values = classes.tolist()
    kinds = {type(value) for value in values}
    for kind, dtype in ((str, "str"), (bool, "bool"), (int, "int64"), (float, "float64")):
        if kinds == {kind}:
            return tuple(values), dtype
    raise UnsupportedModelError(
        f"class labels are {sorted(k.__name__ for k in kinds)}",
        advice="train on labels of one kind: text, int, bool or float",
    )
