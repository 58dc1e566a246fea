"""A tabular model lowered onto the app's own columns: one tensor in, the raw sum out.

Belongs here: putting preprocessing, head and ending together. Not here: asking the source (asking.py), trees
(converters/exact/trees.py), linear maps (converters/exact/linear.py).
Imported as edge_runtime.converters.sources.sklearn.tabular.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.ending import Ending
from edge_runtime.errors import ParityError, UnsupportedModelError
from edge_runtime.schema import INTEGER_RANGE, Schema, TensorSpec
from edge_runtime.words import at_most

from ...exact import linear, trees
from ...exact.ensemble import Ensemble
from ...exact.features import Block, Splits, pull_back
from ...exact.head import Head, Linear
from ...exact.proof import UNIT, ProofError, prove_conditions, prove_routing, prove_sums
from ...source import Request, Source
from .answers import quietly
from .asking import Asked, Domain, ask_domain, decided
from .preprocessing import blocks_of

__all__ = ["read_tabular"]


def read_tabular(model: Any, transformer: Any, head: Head, request: Request, framework: str) -> Source:
    """Lower ``head`` behind ``transformer`` (None = nothing). Raises NotColumnwiseError or NotPulledBackError where
    this cannot be done exactly, UnsupportedModelError where it should not be done at all, ParityError if the proof
    fails."""
    if isinstance(head.body, Linear) and request.input_dtype == "auto":
        request = replace(request, input_dtype="float64")  # scaled in float32, a dot product has no bits to repeat
    asked = Asked(model, transformer, request, head)
    sparse = head.sparse and asked.is_sparse(transformer)
    blocks, categories = blocks_of(transformer, asked.rows, asked.frame, asked.used, head.reads, sparse=sparse)
    domain = ask_domain(asked, blocks, categories, request.input_dtype)
    width = len(asked.used)
    dtype = "float32" if request.input_dtype == "float32" else "float64"
    ending = head.ending if request.decision is None else _with_decision(head.ending, request)
    if isinstance(head.body, Ensemble):
        body = _lower_trees(head, head.body, asked, blocks, domain, dtype)
    else:
        graph = linear.lower(head.body, blocks, domain.finite, width, dtype)
        body = _Body(graph, head.body.weights.shape[1], LINEAR, ("exact: linear map as one float64 Gemm",))
    outputs = ending.outputs(body.targets)
    columns = tuple(
        domain.column(i, name, app) for i, (name, app) in enumerate(zip(asked.names, asked.dtypes, strict=True))
    )

    def reference(given: pd.DataFrame) -> dict[str, NDArray[Any]]:
        with quietly():
            return decided(head.answer(asked.model, asked.build(given)), request.decision)

    numbers = [output.name for output in outputs if output.dtype == "float64" and output.name != "label"]
    bound = _bound(head.ending, body.raw, head.sums)
    statements = body.statements
    if isinstance(head.body, Ensemble):
        shown = ", ".join(f"|Δ {name}| ≤ {at_most(bound)}" for name in numbers)
        tie = ", so labels agree wherever it is farther than that from a tie" if ending.classes else ""
        statements += (f"proven: the raw sum is within {at_most(body.raw)} of the source's{tie}; {shown}",)
    return Source(
        framework, Schema(columns, (TensorSpec("x", dtype, (None, width)),), outputs), ending, body.graph, reference,
        exact=True, tolerance=dict.fromkeys(numbers, bound), statements=(*statements, *head.statements),
        libraries=("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", *head.libraries),
        probes=body.probes, leaves=body.leaves, leaf_count=body.leaf_count,
    )  # fmt: skip


LINEAR = 1e-9  # a dot product in another order; relative above 1


@dataclass(frozen=True, slots=True)
class _Body:
    """The graph up to the raw sum, ``targets`` wide, which differs from the source's by ``raw`` at most."""

    graph: onnx.ModelProto
    targets: int
    raw: float
    statements: tuple[str, ...]
    probes: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    leaves: onnx.ModelProto | None = None
    leaf_count: int = 0


def _lower_trees(
    head: Head, ensemble: Ensemble, asked: Asked, blocks: list[Block], domain: Domain, dtype: str
) -> _Body:
    conditions = ensemble.conditions()
    whole = {i for i, kind in enumerate(asked.dtypes) if kind in INTEGER_RANGE}
    splits = pull_back(blocks, domain.finite, domain.bounds, domain.nullable, conditions, whole)
    space = domain.space(asked.dtypes, ensemble, splits)
    lowered = trees.lower(ensemble, splits, space, dtype)
    try:
        count = prove_conditions(blocks, domain.finite, domain.bounds, domain.nullable, conditions, splits, whole)
        leaves = prove_routing(ensemble, splits, lowered, space, lowered.model.SerializeToString())
        _, raw = prove_sums(ensemble, lowered, head.sums, head.roundings)
    except ProofError as error:
        raise ParityError(f"the lowered trees do not answer as their source: {error}", rows="") from error
    proven = f"proven: every {dtype} input is routed as by the source ({count:,} conditions, {leaves:,} leaves)"
    numbers = trees.leaf_numbers(ensemble, splits, space, dtype)
    return _Body(lowered.model, ensemble.targets, raw, (proven,), _thresholds(splits, asked.names), numbers, leaves)


def _thresholds(splits: Splits, names: list[str]) -> dict[str, NDArray[np.float64]]:
    """The finite thresholds on each column, and what is in sets of its numbers."""
    made = {}
    for i in np.unique(splits.column).tolist():
        own = np.flatnonzero((splits.column == i) & np.isfinite(splits.threshold))
        sets = [splits.members[k] for k in own.tolist() if k in splits.members and not splits.finite[k]]
        around = [[-1.0, -0.5]] if splits.cut[own].any() else []
        around += [[splits.holes[i].low, splits.holes[i].high]] if i in splits.holes else []
        made[names[i]] = np.unique(np.concatenate([splits.threshold[own], *sets, *around]))
    return made


def _with_decision(ending: Ending, request: Request) -> Ending:
    if ending.classes is None or len(ending.classes) != 2:
        raise UnsupportedModelError("a decision needs a classifier of two classes", advice="leave the decision away")
    return replace(ending, decision=request.decision)


def _bound(ending: Ending, raw: float, sums: type) -> float:
    """How far an output may be from the source's, if raw sums are within ``raw``: the steepest that each link is, and
    what the link itself rounds where it is computed in ``sums``. Relative above 1, as differences are measured."""
    steepest = {
        "logistic": 0.25,
        "softmax": 0.5,
        "share": 1.0 / ending.scale,
        "identity": 1.0 / ending.scale,
        "exp": 1.0,
    }
    roundings = 1 if ending.kind == "identity" else 16
    return steepest[ending.kind] * raw + roundings * UNIT[sums]
