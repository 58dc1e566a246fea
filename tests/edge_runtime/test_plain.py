"""A plain graph's schema: inputs of one value a row are columns, everything else is tensors."""

from __future__ import annotations

import math

import pytest

from edge_runtime.plain import schema_of
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, TensorSpec

OUT = (TensorSpec("y", "float32", (None, 1)),)


def inputs(*shapes: tuple[int | None, ...], dtype: str = "float32") -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"t{i}", dtype, shape) for i, shape in enumerate(shapes))


def test_several_inputs_of_one_value_a_row_are_columns() -> None:
    """As skl2onnx writes the columns of a frame: by name, floats nullable, nothing else."""
    given = (
        TensorSpec("age", "int64", (None, 1)),
        TensorSpec("city", "str", (None, 1)),
        TensorSpec("income", "float32", (None, 1)),
        TensorSpec("member", "bool", (None, 1)),
    )
    schema = schema_of(given, OUT)
    low, high = map(float, INTEGER_RANGE["int64"])
    assert schema.columns == (
        ColumnSpec("age", "int64", False, "age", 0, low, high),
        ColumnSpec("city", "str", False, "city", 0),
        ColumnSpec("income", "float32", True, "income", 0, -math.inf, math.inf),
        ColumnSpec("member", "bool", False, "member", 0),
    )
    assert (schema.inputs, schema.outputs) == (given, OUT)
    schema.check()


@pytest.mark.parametrize(
    "given",
    [
        inputs((None, 1)),
        inputs((None, 4)),
        inputs((None, 1), (None, 2)),
        inputs((None,), (None,)),
        inputs((1, 1), (1, 1)),
        inputs((None, 1), (4, 1)),
        inputs((None, 1), (None, None)),
        inputs((None, 1), ()),
        inputs((None, 1), (None, 1), dtype="float16"),
        inputs((1, 3, 224, 224)),
        (),
    ],
)
def test_anything_else_is_tensors(given: tuple[TensorSpec, ...]) -> None:
    """One input alone, fixed rows, more axes, halves: no columns are made up."""
    schema = schema_of(given, OUT)
    assert schema.columns == ()
    assert schema.inputs == given
