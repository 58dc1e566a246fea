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
from sklearn.pipeline import FeatureUnion

from edge_runtime.ending import Ending
from edge_runtime.errors import ParityError
from edge_runtime.schema import INTEGER_RANGE, Schema, TensorSpec
from edge_runtime.words import at_most

from ...exact import linear, trees
from ...exact.bins import unfold
from ...exact.bounds import Sums, bound_of
from ...exact.ensemble import Conditions, Ensemble
from ...exact.features import Block, Splits, pull_back
from ...exact.graph import to_bytes
from ...exact.head import Head, Linear
from ...exact.joining import Joined
from ...exact.proof import AROUND, UNIT, ProofError, prove_conditions, prove_routing, prove_sums
from ...exact.settling import settled
from ...source import Outputs, Request, Source, decided, needs_two_classes
from .answers import quietly
from .asking import Asked
from .domain import Domain, ask_domain
from .pipeline import behind
from .preprocessing import NotColumnwiseError, blocks_of

__all__ = ["read_tabular"]

LINEAR = 1e-9  # a dot product in another order; relative above 1
UNPROVEN: dict[Any, float] = {np.float64: 1e-6, np.float32: 1e-4}  # what is looked for where nothing is claimed


def read_tabular(model: Any, transformer: Any, head: Head, request: Request, framework: str) -> Source:
    """Lower ``head`` behind ``transformer`` (None = nothing). Raises NotColumnwiseError or NotPulledBackError where
    this cannot be done exactly, UnsupportedModelError where it should not be done at all, ParityError if the proof
    fails."""
    if isinstance(head.body, Linear) and request.input_dtype == "auto":
        request = replace(request, input_dtype="float64")  # scaled in float32, a dot product has no bits to repeat
    asked = Asked(model, _seen_through(transformer, head), request, head)
    blocks, categories, widths = _blocks(asked, transformer, head)
    domain = ask_domain(asked, blocks, categories, request.input_dtype)
    blocks = domain.told_apart(blocks)
    width = len(asked.used)
    dtype = "float32" if request.input_dtype == "float32" else "float64"
    ending = head.ending if request.decision is None else _with_decision(head.ending, request)
    if not isinstance(head.body, Linear):
        ensemble = head.body.ensemble(widths) if isinstance(head.body, Joined) else head.body
        body = _lower_trees(head, ensemble, asked, blocks, domain, dtype)
    else:
        graph = linear.lower(head.body, blocks, domain.finite, width, dtype)
        targets = head.body.weights.shape[1]
        sums = Sums(LINEAR, (0.0,) * targets, UNIT[np.float64])
        body = _Body(graph, targets, sums, ("exact: linear map as one float64 Gemm",))
    outputs = ending.outputs(body.targets)
    columns = tuple(
        domain.column(i, name, app) for i, (name, app) in enumerate(zip(asked.names, asked.dtypes, strict=True))
    )

    def reference(given: pd.DataFrame) -> Outputs:
        with quietly():
            return decided(head.answer(asked.model, asked.build(given)), request.decision)

    numbers = [output.name for output in outputs if output.dtype == "float64" and output.name != "label"]
    bound = bound_of(head.ending, body.sums)
    ending = settled(ending, body.sums)
    statements = (*body.statements, *asked.statements)
    if not isinstance(head.body, Linear):
        statements += (_bounds_statement(ending, body.sums, bound, numbers),)
    bound = bound if np.isfinite(bound) else UNPROVEN[head.sums]
    return Source(
        framework, Schema(columns, (TensorSpec("x", dtype, (None, width)),), outputs), ending, body.graph, reference,
        exact=True, tolerance=dict.fromkeys(numbers, bound), statements=(*statements, *head.statements),
        libraries=("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", *head.libraries),
        probes=body.probes, leaves=body.leaves, leaf_count=body.leaf_count,
    )  # fmt: skip


def _seen_through(transformer: Any, head: Head) -> Any:
    """Every way in which a model looks at its columns, as one transformer (None = directly)."""
    ways = [behind(transformer, view.transformer) for view in head.views]
    if len(ways) == 1 or all(way is None for way in ways):
        return ways[0]
    return FeatureUnion([(f"view{i}", "passthrough" if way is None else way) for i, way in enumerate(ways)])


def _blocks(asked: Asked, transformer: Any, head: Head) -> tuple[list[Block], dict[int, list[Any]], list[int]]:
    """The blocks of all views, one after the other; the categories of each column; how many features each view has."""
    own_ways = len({id(view.transformer) for view in head.views}) > 1
    if own_ways and "float32" in asked.dtypes and any(kind in INTEGER_RANGE for kind in asked.dtypes):
        raise NotColumnwiseError("members of their own preprocessing read whole numbers beside float32 ones")
    blocks: list[Block] = []
    categories: dict[int, list[Any]] = {}
    widths = []
    own = []
    for view in head.views:
        through = behind(transformer, view.transformer)
        sparse = view.sparse and asked.is_sparse(through)
        made, known = blocks_of(through, asked.rows, asked.frame, asked.used, view.reads, sparse=sparse)
        blocks += made
        widths.append(sum(block.width for block in made))
        own.append(known)
    for known in own:
        for i, values in known.items():
            listed = categories.setdefault(i, [])
            listed += [value for value in values if value not in set(listed)]
    for i, listed in categories.items():
        if any(len(known.get(i, listed)) < len(listed) for known in own):  # one of them may refuse the others' values
            listed[:] = [value for value in listed if asked.answers(i, value)]
    return blocks, categories, widths


def _bounds_statement(ending: Ending, sums: Sums, bound: float, numbers: list[str]) -> str:
    """How near the raw sums and outputs are, and where labels agree."""
    near = f"the raw sum is within {at_most(sums.apart)} of the source's"
    if not np.isfinite(bound):
        return f"checked: {', '.join(numbers)}, as they follow from the raw sum too steeply for a bound; proven: {near}"
    shown = ", ".join(f"|Δ {name}| ≤ {at_most(bound)}" for name in numbers)
    decision = ending.decision
    if decision is not None:
        where = f"{decision.name} agrees wherever {decision.score} is not that near to {decision.threshold!r}"
    elif ending.kind == "anomaly":
        where = "labels agree unless the source's score is that little below 0"
    elif ending.kind == "each" or (ending.classes and ending.parts):
        where = f"labels agree wherever no other probability is within {at_most(2.0 * bound)} of the largest"
    elif ending.classes:
        return f"proven: {near}, so labels agree wherever it is farther than that from a tie; {shown}"
    else:
        where = ""
    return f"proven: {near}; {shown}" + (f", so {where}" if where else "")


@dataclass(frozen=True, slots=True)
class _Body:
    """The graph up to the raw sum, ``targets`` wide; how near to the source's it is."""

    graph: onnx.ModelProto
    targets: int
    sums: Sums
    statements: tuple[str, ...]
    probes: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    leaves: onnx.ModelProto | None = None
    leaf_count: int = 0


def _lower_trees(
    head: Head, ensemble: Ensemble, asked: Asked, blocks: list[Block], domain: Domain, dtype: str
) -> _Body:
    ensemble = unfold(ensemble, blocks)
    conditions = ensemble.conditions()
    whole = {i for i, kind in enumerate(asked.dtypes) if kind in INTEGER_RANGE}
    splits = pull_back(blocks, domain.finite, domain.bounds, domain.nullable, conditions, whole)
    space = domain.space(asked.dtypes, ensemble, splits)
    lowered = trees.lower(ensemble, splits, space, dtype)
    try:
        count = prove_conditions(blocks, domain.finite, domain.bounds, domain.nullable, conditions, splits, whole)
        leaves = prove_routing(ensemble, splits, lowered, space, to_bytes(lowered.model))
        _, raw = prove_sums(ensemble, lowered, head.sums, head.roundings)
    except ProofError as error:
        raise ParityError(f"the lowered trees do not answer as their source: {error}", rows="") from error
    proven = _routing_statement(blocks, conditions, dtype, count, leaves)
    numbers = trees.leaf_numbers(ensemble, splits, space, dtype)
    sums = Sums(raw, ensemble.reaches(), UNIT[head.sums])
    return _Body(lowered.model, ensemble.targets, sums, (proven,), _thresholds(splits, asked.names), numbers, leaves)


def _routing_statement(blocks: list[Block], conditions: Conditions, dtype: str, count: int, leaves: int) -> str:
    """What was shown of the routing: behind a function that a library computes, no proof, but many floats asked."""
    features = [feature for block in blocks for feature in block.features]
    smooth = [any(name == "smooth" for name, _ in features[i].steps) for i in conditions.feature.tolist()]
    shown = f"every {dtype} input is routed as by the source ({count:,} conditions, {leaves:,} leaves)"
    if not any(smooth):
        return f"proven: {shown}"
    where = f"the {sum(smooth):,} conditions behind a logarithm, power or the like"
    return f"proven: {shown}, but for {where}: these are checked at {2 * AROUND + 1} floats around each threshold"


def _thresholds(splits: Splits, names: list[str]) -> dict[str, NDArray[np.float64]]:
    """The finite thresholds on each column, and what is in sets of its numbers."""
    made = {}
    for i in np.unique(splits.column).tolist():
        own = np.flatnonzero((splits.column == i) & np.isfinite(splits.threshold))
        sets = [splits.members[k] for k in own.tolist() if k in splits.members and not splits.finite[k]]
        around = [[-1.0, -0.5]] if splits.cut[own].any() else []
        around += [[-0.5, 0.5]] if i in splits.others else []
        around += [[splits.holes[i].low, splits.holes[i].high]] if i in splits.holes else []
        made[names[i]] = np.unique(np.concatenate([splits.threshold[own], *sets, *around]))
    return made


def _with_decision(ending: Ending, request: Request) -> Ending:
    if ending.classes is None or len(ending.classes) != 2:
        raise needs_two_classes()
    return replace(ending, decision=request.decision)
