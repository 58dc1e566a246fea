"""float16 arithmetic inside, float32 at the inputs and outputs.

Half the file and half the memory; on most CPUs slower than float32, since each operator without a kernel of its own is
cast forth and back.

Belongs here: calling onnxconverter-common. Not here: float16 for weights alone (storage.py).
Imported as edge_runtime.converters.precision.half.
"""

from __future__ import annotations

import warnings

from onnx import ModelProto, TensorProto

from .failing import RecipeFailed, library
from .graphs import every_graph
from .sessions import session

__all__ = ["RECIPE", "float16"]

RECIPE = "float16"


def float16(model: ModelProto) -> ModelProto:
    """A copy of ``model`` (prepared) that computes in float16. Weights beyond float16's range become its largest
    values. Raises RecipeFailed where onnxconverter-common cannot convert the graph."""
    if sum(1 for _ in every_graph(model.graph)) > 1:
        raise RecipeFailed(RECIPE, "onnxconverter-common leaves the types of branches (If) in contradiction")
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    with library(RECIPE, "onnxconverter_common", "onnx", "onnxruntime"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for each number that float16 rounds to zero
        from onnxconverter_common.float16 import convert_float_to_float16

        made: ModelProto = convert_float_to_float16(copy, keep_io_types=True, disable_shape_infer=True)
        cast_as_told(model, made)
        del made.graph.value_info[:]
        session(made)
    return made


def cast_as_told(before: ModelProto, after: ModelProto) -> None:
    """onnxconverter-common changes what a Cast to float32 is said to give, but not what it gives."""
    casts = {node.name for node in before.graph.node if node.op_type == "Cast"}
    halves = {v.name for v in after.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for node in after.graph.node:
        for attribute in node.attribute:
            if node.name in casts and node.output[0] in halves and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
