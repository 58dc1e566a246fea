"""A tabular model lowered onto the app's own columns: one tensor in, the raw sum out.

Belongs here: putting preprocessing, head and ending together. Not here: asking the source (asking.py), trees
(converters/trees.py), linear maps (converters/linear.py).
Imported as edge_runtime.converters.sources.sklearn.tabular.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edge_runtime.ending import Ending
from edge_runtime.errors import UnsupportedModelError
from edge_runtime.schema import Schema, TensorSpec

from ... import linear, trees
from ...ensemble import Ensemble
from ...features import Splits, pull_back
from ...head import Head
from ...source import Request, Source
from .asking import Asked, ask_domain, decided
from .preprocessing import blocks_of

__all__ = ["read_tabular"]


def read_tabular(model: Any, transformer: Any, head: Head, request: Request, framework: str) -> Source:
    """Lower ``head`` behind ``transformer`` (None = nothing). Raises NotColumnwiseError or NotPulledBackError where
    this cannot be done exactly, UnsupportedModelError where it should not be done at all."""
    asked = Asked(model, transformer, request)
    blocks, categories = blocks_of(transformer, asked.rows, asked.frame, asked.used, head.reads)
    domain = ask_domain(asked, blocks, categories, request.input_dtype)
    width = len(asked.used)
    dtype = "float32" if request.input_dtype == "float32" else "float64"
    ending = head.ending if request.decision is None else _with_decision(head.ending, request)
    moved, leaves, leaf_count = 0.0, None, 0
    probes: dict[str, NDArray[np.float64]] = {}
    if isinstance(head.body, Ensemble):
        splits = pull_back(blocks, domain.finite, domain.bounds, domain.nullable, head.body.conditions())
        space = domain.space(asked.dtypes, head.body, splits)
        lowered = trees.lower(head.body, splits, space, dtype)
        graph, moved = lowered.model, lowered.moved
        leaves, leaf_count = trees.leaf_numbers(head.body, splits, space, dtype), head.body.leaves
        probes = _thresholds(splits, asked.names)
        targets = head.body.targets
        statement = f"exact: thresholds searched on the {dtype} lattice in the source's own arithmetic"
    else:
        graph = linear.lower(head.body, blocks, domain.finite, width, dtype)
        targets = head.body.weights.shape[1]
        statement = "exact: linear map as one float64 Gemm"
    outputs = ending.outputs(targets)
    columns = tuple(
        domain.column(i, name, app) for i, (name, app) in enumerate(zip(asked.names, asked.dtypes, strict=True))
    )

    def reference(given: pd.DataFrame) -> dict[str, NDArray[Any]]:
        with threadpool_limits(1), np.errstate(all="ignore"):
            return decided(head.answer(asked.model, asked.build(given)), request.decision)

    numbers = [output.name for output in outputs if output.dtype == "float64" and output.name != "label"]
    return Source(
        framework, Schema(columns, (TensorSpec("x", dtype, (None, width)),), outputs), ending, graph, reference,
        exact=True, tolerance=_tolerance(head, moved, numbers),
        statements=(statement,), libraries=("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn"),
        probes=probes, leaves=leaves, leaf_count=leaf_count,
    )  # fmt: skip


def _thresholds(splits: Splits, names: list[str]) -> dict[str, NDArray[np.float64]]:
    """The finite thresholds on each column."""
    finite = np.isfinite(splits.threshold)
    return {
        names[i]: np.unique(splits.threshold[finite & (splits.column == i)]) for i in np.unique(splits.column).tolist()
    }


def _with_decision(ending: Ending, request: Request) -> Ending:
    if ending.classes is None or len(ending.classes) != 2:
        raise UnsupportedModelError("a decision needs a classifier of two classes", advice="leave the decision away")
    return replace(ending, decision=request.decision)


def _tolerance(head: Head, moved: float, numbers: list[str]) -> dict[str, float]:
    """How far graph and source may be apart per output: the grid, and what the source's own float64 sum rounds."""
    if isinstance(head.body, Ensemble):
        reach = sum(float(np.abs(tree.value).max()) for tree in head.body.trees) + float(np.abs(head.body.base).max())
        slack = moved + (len(head.body.trees) + 8) * reach * 2.0**-52
    else:
        slack = 1e-9
    if head.ending.kind in ("identity", "share"):
        slack /= head.ending.scale
    return {name: max(slack, 1e-12) if head.ending.classes else slack for name in numbers}
