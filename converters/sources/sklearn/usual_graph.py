"""What skl2onnx makes of a model, with outputs by the names of the contract.

Belongs here: calling skl2onnx, naming and typing its outputs. Not here: comparing (other.py, converters/parity.py).
Imported as edge_runtime.converters.sources.sklearn.usual_graph.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import skl2onnx
from onnx import TensorProto
from skl2onnx.common.data_types import BooleanTensorType, DoubleTensorType, FloatTensorType, StringTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.compose import ColumnTransformer
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, NuSVC

from edge_runtime.ending import Decision
from edge_runtime.errors import BundleError, UnsupportedModelError
from edge_runtime.graph_scan import scan
from edge_runtime.schema import TensorSpec
from edge_runtime.session import open_session

from ...exact.graph import IR_VERSION, OPSETS, element_type
from ...exact.head import classes_of
from ...source import needs_two_classes
from ..graph_outputs import decide, declare, finish
from .asking import Asked
from .pipeline import first_of

__all__ = ["SKL2ONNX", "usual_graph"]

SKL2ONNX = f"skl2onnx {skl2onnx.__version__}"
TYPES = {"float64": DoubleTensorType, "float32": FloatTensorType, "str": StringTensorType, "bool": BooleanTensorType}
OPSET = {"": OPSETS[""], "ai.onnx.ml": 3}
# What skl2onnx raises on models that it cannot convert, beside its own two.
FAILURES = (
    MissingConverter, MissingShapeCalculator, RuntimeError, NotImplementedError, ValueError, TypeError, NameError,
    KeyError, AttributeError, IndexError,
)  # fmt: skip


def usual_graph(
    model: Any, estimator: Any, asked: Asked, precision: str, decision: Decision | None
) -> tuple[onnx.ModelProto, tuple[TensorSpec, ...]]:
    """The graph and what it gives out. Raises UnsupportedModelError where skl2onnx, or the graph rule, says no."""
    graph = _convert(model, estimator, asked, precision)
    outputs = _name_outputs(graph, estimator, decision)
    raw = graph.SerializeToString()
    try:
        scan(raw)
        open_session(raw, threads=1, largest_tensor=2**20)
    except BundleError as error:
        raise UnsupportedModelError(
            f"what {SKL2ONNX} makes of {type(estimator).__name__} does not load ({str(error).splitlines()[0][:160]})",
            advice="use a tree or linear model of scikit-learn",
        ) from error
    return graph, outputs


def _convert(model: Any, estimator: Any, asked: Asked, precision: str) -> onnx.ModelProto:
    number = TYPES[precision]  # of integers too: skl2onnx does not mix them in one transformer
    apart = isinstance(first_of(model), ColumnTransformer) or "str" in asked.dtypes  # by name, or of several dtypes
    if asked.rows.positional or not apart:
        initial = [("x", number([None, len(asked.used)]))]
    else:
        initial = [
            (name, TYPES.get(dtype, number)([None, 1])) for name, dtype in zip(asked.names, asked.dtypes, strict=True)
        ]
    options: dict[str, Any] = {}
    if hasattr(estimator, "predict_proba") or isinstance(estimator, (SVC, NuSVC)):
        options["zipmap"] = False
    if isinstance(estimator, (KNeighborsClassifier, KNeighborsRegressor)):
        options["optim"] = "cdist"  # otherwise a Scan, which the graph rule does not let in
    try:
        with warnings.catch_warnings():
            # skl2onnx uses what scikit-learn and protobuf have deprecated; nobody here could do anything about it.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            graph: onnx.ModelProto = skl2onnx.to_onnx(
                model, initial_types=initial, options={id(estimator): options}, target_opset=OPSET
            )
    except FAILURES as error:
        raise UnsupportedModelError(
            f"{SKL2ONNX} cannot convert {type(estimator).__name__} ({str(error).splitlines()[0][:120]})",
            advice="use a tree or linear model of scikit-learn, or compute the unsupported step before the pipeline",
        ) from error
    graph.ir_version = IR_VERSION
    return graph


def _name_outputs(graph: onnx.ModelProto, estimator: Any, decision: Decision | None) -> tuple[TensorSpec, ...]:
    """Outputs by the names of the contract; labels in the dtype of training, a decision as nodes."""
    produced = [value.name for value in graph.graph.output]
    wanted: tuple[TensorSpec, ...]
    if hasattr(estimator, "classes_") and hasattr(estimator, "predict"):
        wanted = _name_classes(graph, produced, estimator, decision)
    elif decision is not None:
        raise needs_two_classes()
    elif hasattr(estimator, "fit_predict") and hasattr(estimator, "decision_function"):
        finish(graph, produced[0], "label", TensorProto.INT64, flat=True)
        finish(graph, produced[1], "score", TensorProto.DOUBLE, flat=True)
        wanted = (TensorSpec("label", "int64", (None,)), TensorSpec("score", "float64", (None,)))
    elif hasattr(estimator, "fit_predict"):
        finish(graph, produced[0], "label", TensorProto.INT64, flat=True)
        wanted = (TensorSpec("label", "int64", (None,)),)
    elif hasattr(estimator, "predict"):
        targets = graph.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
        finish(graph, produced[0], "prediction", TensorProto.DOUBLE, flat=targets <= 1)
        wanted = (TensorSpec("prediction", "float64", (None,) if targets <= 1 else (None, targets)),)
    else:
        width = graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value
        finish(graph, produced[0], "features", TensorProto.DOUBLE)
        wanted = (TensorSpec("features", "float64", (None, width or None)),)
    declare(graph, wanted)
    return wanted


def _name_classes(
    graph: onnx.ModelProto, produced: list[str], estimator: Any, decision: Decision | None
) -> tuple[TensorSpec, ...]:
    classes, dtype = classes_of(np.asarray(estimator.classes_))
    if decision is not None and (len(classes) != 2 or not hasattr(estimator, "predict_proba")):
        raise needs_two_classes()
    if not hasattr(estimator, "predict_proba") and len(classes) == 2:
        raise UnsupportedModelError(
            f"{type(estimator).__name__} gives no probabilities", advice="use one with predict_proba"
        )
    if decision is None:
        scores = "probabilities" if hasattr(estimator, "predict_proba") else "scores"
        finish(graph, produced[0], "label", element_type(dtype), flat=True)
        finish(graph, produced[1], scores, TensorProto.DOUBLE)
        return TensorSpec("label", dtype, (None,)), TensorSpec(scores, "float64", (None, len(classes)))
    return decide(graph, produced[1], decision)
