"""A plain `.onnx` file as a model: the schema is read off the graph, and there is no certificate.

Belongs here: what a graph's inputs say about columns. Not here: bundles (bundle.py), sessions (session.py).
Imported as edge_runtime.plain.
"""

from __future__ import annotations

import math

from .schema import INTEGER_RANGE, ColumnSpec, Schema, TensorSpec

__all__ = ["LACKS", "schema_of"]

LACKS = "a plain .onnx file: no certificate, no golden rows, no categories; its answers were compared with nothing"


def schema_of(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Schema:
    """Several inputs of one value a row are the columns of a table, as skl2onnx writes them; anything else is
    tensors."""
    table = len(inputs) > 1 and all(spec.shape == (None, 1) and spec.dtype != "float16" for spec in inputs)
    return Schema(tuple(map(_column, inputs)) if table else (), inputs, outputs)


def _column(spec: TensorSpec) -> ColumnSpec:
    if spec.dtype in ("str", "bool"):
        return ColumnSpec(spec.name, spec.dtype, False, spec.name, 0)
    if spec.dtype in INTEGER_RANGE:
        low, high = INTEGER_RANGE[spec.dtype]
        return ColumnSpec(spec.name, spec.dtype, False, spec.name, 0, float(low), float(high))
    return ColumnSpec(spec.name, spec.dtype, True, spec.name, 0, -math.inf, math.inf)
