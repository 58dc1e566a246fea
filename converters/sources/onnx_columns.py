"""Which columns of the data go where in the inputs of an ONNX graph.

Belongs here: graphs that are tables, names, dtypes. Not here: asking the graph (onnx.py), which values a column takes
(tried_columns.py).
Imported as edge_runtime.converters.sources.onnx_columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from edge_runtime.errors import UnsupportedModelError
from edge_runtime.schema import INTEGER_RANGE, TensorSpec
from edge_runtime.tables import listing

from ..data import app_dtype, columns_missing
from ..source import Request
from .tried_columns import Place

__all__ = ["AS_IT_IS", "placed"]

AS_IT_IS = "use the .onnx file as it is: edge_runtime.load opens it"


def placed(inputs: Sequence[TensorSpec], request: Request) -> tuple[list[Place], tuple[TensorSpec, ...]]:
    """The columns, and the inputs as wide as they are. Raises UnsupportedModelError for inputs that are no table, and
    for data of other columns."""
    check_tables(inputs)
    frame = request.data.frame
    if len(inputs) == 1:
        spec = inputs[0]
        width = 1 if len(spec.shape) == 1 else spec.shape[1]
        by_name = width == 1 and not request.data.positional and spec.name in frame.columns
        names = [spec.name] if by_name else list(frame.columns)
        if width not in (None, len(names)):
            raise UnsupportedModelError(
                f"data has {len(names)} columns, the graph's input {spec.name!r} takes {width}",
                advice="pass the rows without the target, the columns in the order of training",
            )
        whole = TensorSpec(spec.name, spec.dtype, (None,) if len(spec.shape) == 1 else (None, len(names)))
        places = [(name, whole, i) for i, name in enumerate(names)]
        inputs = [whole]
    else:
        names = [spec.name for spec in inputs]
        if request.data.positional and frame.shape[1] != len(names):
            raise UnsupportedModelError(
                f"data has {frame.shape[1]} columns, the graph takes {listing(names)}",
                advice="pass the rows without the target, or as a frame with these columns",
            )
        frame = request.data.named(names).frame
        columns_missing(names, frame)
        places = [(spec.name, spec, 0) for spec in inputs]
    made = [Place(name, dtype_of(frame[name], spec, request), spec.name, i) for name, spec, i in places]
    return made, tuple(inputs)


def check_tables(inputs: Sequence[TensorSpec]) -> None:
    """Raise UnsupportedModelError unless the inputs are one tensor of columns, or one column each."""
    several = len(inputs) > 1
    for spec in inputs:
        shape = [size if size is not None else "N" for size in spec.shape]
        if len(spec.shape) not in (1, 2) or spec.shape[0] is not None:
            raise UnsupportedModelError(
                f"the graph's input {spec.name!r} has the shape {shape}, and only graphs over rows of a table are"
                " converted: [N, columns], or [N, 1] for each column",
                advice=f"for a network, pass its tensors: a dict of arrays, or an .npz file; or {AS_IT_IS}",
            )
        if several and len(spec.shape) == 2 and spec.shape[1] != 1:
            raise UnsupportedModelError(
                f"the graph has {len(inputs)} inputs, of which {spec.name!r} takes {spec.shape[1] or 'any number of'}"
                " columns",
                advice="export it with one input per column, or one tensor for all",
            )
        if spec.dtype == "float16":
            raise UnsupportedModelError(
                f"the graph's input {spec.name!r} is of float16", advice="export it with float32 inputs"
            )
    if not inputs:
        raise UnsupportedModelError("the graph has no inputs", advice="export the model with its inputs")


def dtype_of(values: pd.Series, spec: TensorSpec, request: Request) -> str:
    """The dtype that an app hands a column over in. Raises UnsupportedModelError for data that are not what the tensor
    holds, or would be rounded to it."""
    name = str(values.name)
    found, wanted = app_dtype(values, name), spec.dtype
    if wanted in ("float32", "float64"):
        if found in ("float32", "float64"):
            if wanted == "float32" and request.input_dtype == "float64":
                raise UnsupportedModelError(
                    f"the graph's input {spec.name!r} is of float32, which would round float64",
                    advice="leave input_dtype at auto",
                )
            return wanted if request.input_dtype == "auto" else request.input_dtype
        if found in INTEGER_RANGE or found == "bool":
            return found
    elif wanted in INTEGER_RANGE:
        numbers = pd.to_numeric(values, errors="coerce") if found in INTEGER_RANGE or "float" in found else None
        if numbers is not None and (numbers == numbers.round()).all():
            return wanted
    elif found == wanted:
        return wanted
    raise UnsupportedModelError(
        f"column {name!r} is of {found}{' with fractions or missing values' if 'float' in found else ''}, the graph's"
        f" input {spec.name!r} takes {wanted}",
        advice="pass the columns as the model was trained on them",
    )
