"""What mlflow is told of a bundle: its signature and its input example.

A column's type is one by which mlflow changes no value on its way in. Whole numbers that may be missing, and bools, are
therefore `any`, as mlflow calls what it leaves alone: as `double` it refuses a frame of integers, as `long` one with a
missing value, and of a bool that is null it makes false. What may come in then is for the model itself to say.

Belongs here: schema and golden rows in the terms of mlflow. Not here: the way back, to columns (converters).
Imported as edge_runtime.mlflow.signature.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_runtime.model import Model
from edge_runtime.schema import ColumnSpec, Schema

__all__ = ["example_of", "signature_of"]

EXAMPLE_ROWS = 5
UNSIGNED = "uint64"  # half of it is beyond mlflow's long


def signature_of(schema: Schema) -> Any:
    """mlflow's ModelSignature: columns of a table, or named tensors."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec
    from mlflow.types.schema import Schema as Columns

    if not schema.columns:
        return ModelSignature(Columns(tensors(schema.inputs)), Columns(tensors(schema.outputs)))
    inputs = [ColSpec(column_type(column), column.name) for column in schema.columns]
    outputs = [ColSpec(output_type(output.dtype, len(output.shape)), output.name) for output in schema.outputs]
    return ModelSignature(Columns(inputs), Columns(outputs))


def column_type(column: ColumnSpec) -> Any:
    """Every integer is a `long` and every float a `double`, since mlflow widens what comes and never narrows it."""
    from mlflow.types.schema import AnyType

    left_alone = column.dtype in ("bool", UNSIGNED) or (column.nullable and "int" in column.dtype)
    return AnyType() if left_alone else scalar_type(column.dtype)


def output_type(dtype: str, axes: int) -> Any:
    """The type of one row's answer: a scalar, or arrays of them."""
    from mlflow.types.schema import AnyType, Array

    if axes == 0:  # the graph does not say
        return AnyType()
    made = scalar_type(dtype)
    for _ in range(axes - 1):
        made = Array(made)
    return made


def scalar_type(dtype: str) -> Any:
    from mlflow.types.schema import DataType

    kind = "string" if dtype == "str" else "boolean" if dtype == "bool" else "long" if "int" in dtype else "double"
    return DataType[kind]


def tensors(specs: Any) -> list[Any]:
    from mlflow.types.schema import TensorSpec

    return [
        TensorSpec(np.dtype(spec.dtype), tuple(-1 if size is None else size for size in spec.shape), spec.name)
        for spec in specs
    ]


def example_of(model: Model) -> Any:
    """Golden rows as a frame, or the tensors of one sample; None if JSON can write none of them."""
    samples = [sample.inputs for sample in model.golden_rows()]
    if not model.schema.columns:
        return samples[0] if samples else None
    rows = [row for row in samples if all(map(written, row.values()))][:EXAMPLE_ROWS]
    if not rows:
        return None
    import pandas

    return pandas.DataFrame({name: [row[name] for row in rows] for name in rows[0]})


def written(value: Any) -> bool:
    """Whether mlflow's JSON gives ``value`` back: an infinity becomes null there."""
    return not (isinstance(value, float) and math.isinf(value))
