"""Everything of scikit-learn that is not lowered here: through skl2onnx, as it stands, and compared like the rest.

Belongs here: calling skl2onnx, naming outputs. Not here: judging the result (converters/parity.py).
Imported as edge_runtime.converters.sources.sklearn.other.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any

import numpy as np
import onnx
import pandas as pd
import skl2onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    StringTensorType,
)
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from threadpoolctl import threadpool_limits

from edge_runtime.ending import Ending
from edge_runtime.errors import BundleError, UnsupportedModelError
from edge_runtime.golden import differences
from edge_runtime.graph_scan import scan
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, Schema, TensorSpec
from edge_runtime.session import inputs_of, open_session

from ...graph import IR_VERSION, OPSETS, element_type
from ...head import classes_of
from ...data import Data
from ...source import Request, Source
from .pipeline import on_one_thread
from .preprocessing import used_columns
from .tabular import UNKNOWN_TEXT, Asked, column_dtype, decided, frame_of, rows_of

__all__ = ["read"]

TYPES = {"float64": DoubleTensorType, "float32": FloatTensorType, "str": StringTensorType, "bool": BooleanTensorType}
OPSET = {"": OPSETS[""], "ai.onnx.ml": 3}
TOLERANCE = 1e-5
TRIED_ROWS = 8


def read(model: Any, estimator: Any, request: Request, framework: str, *, reason: str) -> Source:
    """Raises UnsupportedModelError where skl2onnx cannot convert it. ``reason`` says why it is not lowered."""
    frame = frame_of(model, request)
    used = used_columns(model, frame)
    precisions = ["float64", "float32"] if request.input_dtype == "auto" else [request.input_dtype]
    failures = []
    for precision in precisions:
        dtypes = [column_dtype(frame.iloc[:, c], str(frame.columns[c]), precision, model) for c in range(frame.shape[1])]
        try:
            graph = _convert(model, estimator, frame, dtypes, used, precision, request.data.positional)
        except UnsupportedModelError as error:
            failures.append(error)
            continue
        return _source(model, estimator, request, framework, reason, frame, dtypes, used, graph)
    raise failures[0]


def _convert(
    model: Any, estimator: Any, frame: pd.DataFrame, dtypes: list[str], used: list[int], precision: str, positional: bool
) -> onnx.ModelProto:
    number = TYPES[precision]  # of integers too: skl2onnx does not mix them in one transformer
    if positional:
        initial = [("x", number([None, len(dtypes)]))]
    else:
        initial = [(str(frame.columns[c]), TYPES.get(dtypes[c], number)([None, 1])) for c in used]
    options: dict[str, Any] = {}
    if hasattr(estimator, "predict_proba"):
        options["zipmap"] = False
    if isinstance(estimator, (KNeighborsClassifier, KNeighborsRegressor)):
        options["optim"] = "cdist"  # otherwise a Scan, which the graph rule does not let in
    name = type(estimator).__name__
    try:
        graph = skl2onnx.to_onnx(model, initial_types=initial, options={id(estimator): options}, target_opset=OPSET)
    except (MissingConverter, MissingShapeCalculator, RuntimeError, NotImplementedError, ValueError, TypeError, NameError, KeyError) as error:
        raise UnsupportedModelError(
            f"{name} is not lowered here, and skl2onnx {skl2onnx.__version__} cannot convert it ({str(error).splitlines()[0][:120]})",
            advice="use a tree or linear model of scikit-learn, or compute the unsupported step before the pipeline",
        ) from error
    graph.ir_version = IR_VERSION
    raw = graph.SerializeToString()
    try:
        scan(raw)
        open_session(raw, threads=1, largest_tensor=2**20)
    except BundleError as error:
        raise UnsupportedModelError(
            f"what skl2onnx {skl2onnx.__version__} makes of {name} does not load ({str(error).splitlines()[0][:160]})",
            advice="use a tree or linear model of scikit-learn",
        ) from error
    return graph


def _source(
    model: Any, estimator: Any, request: Request, framework: str, reason: str, frame: pd.DataFrame, dtypes: list[str],
    used: list[int], graph: onnx.ModelProto,
) -> Source:  # fmt: skip
    rows = rows_of(frame, dtypes, request)
    asked = Asked(on_one_thread(model), rows, used)
    asked.check_typical()
    outputs, ending, renamed = _outputs(estimator, graph, request)
    inputs = tuple(
        TensorSpec(value.name, _numpy_name(value.type.tensor_type.elem_type), (None, value.type.tensor_type.shape.dim[1].dim_value))
        for value in renamed.graph.input
    )

    def reference(given: pd.DataFrame) -> dict[str, NDArray[Any]]:
        with threadpool_limits(1), np.errstate(all="ignore"):
            return decided(_answer(asked.model, estimator, asked.build(given), [o.name for o in outputs]), request.decision)

    columns = _columns(asked, reference, renamed, dtypes, request.data, frame)
    floats = [o.name for o in outputs if o.dtype.startswith("float") and o.name != "label"]
    return Source(
        framework, Schema(columns, inputs, outputs), ending, renamed, reference, exact=False,
        tolerance=dict.fromkeys(floats, TOLERANCE), statements=(f"converted by skl2onnx {skl2onnx.__version__}: {reason}",),
        libraries=("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx"),
    )  # fmt: skip


def _columns(
    asked: Asked, reference: Callable[[pd.DataFrame], dict[str, NDArray[Any]]], graph: onnx.ModelProto, dtypes: list[str],
    data: Data, frame: pd.DataFrame,
) -> tuple[ColumnSpec, ...]:  # fmt: skip
    """The columns, each with the values for which graph and source were seen to agree: what skl2onnx writes is right
    for ordinary numbers, and often not for missing or very large ones."""
    session = open_session(graph.SerializeToString(), threads=1, largest_tensor=2**20)
    names = [asked.rows.names[c] for c in asked.used]
    kinds = [dtypes[c] for c in asked.used]
    base = frame.iloc[:TRIED_ROWS]

    def agrees(i: int, value: Any) -> bool:
        given = pd.DataFrame({name: base.iloc[:, c].to_numpy(object) for name, c in zip(names, asked.used, strict=True)})
        given[names[i]] = pd.Series([value] * len(given), dtype=object)
        feeds = {}
        try:
            wanted = reference(given)
            number = {tensor.name: tensor for tensor in inputs_of(session)}
            arrays = [
                given[name].to_numpy().astype(object if kind == "str" else number[name if name in number else "x"].dtype)
                for name, kind in zip(names, kinds, strict=True)
            ]
            if data.positional:
                feeds["x"] = np.column_stack(arrays)
            else:
                feeds = {name: array[:, None] for name, array in zip(names, arrays, strict=True)}
            found = dict(zip(wanted, session.run(list(wanted), feeds), strict=True))
        except (ValueError, TypeError):
            return False
        return all(float(differences(found[name], wanted[name]).max(initial=0.0)) <= TOLERANCE for name in wanted)

    made = []
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        tensor, index = ("x", i) if data.positional else (name, 0)
        low: float | None = None
        high: float | None = None
        if kind in INTEGER_RANGE:
            low, high = float(max(INTEGER_RANGE[kind][0], -(2**53))), float(min(INTEGER_RANGE[kind][1], 2**53))
        elif kind not in ("str", "bool"):
            present = frame.iloc[:, asked.used[i]].dropna().to_numpy(np.float64)
            least, most = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
            steps = [*(10.0**power for power in range(1, 37, 3)), float(np.finfo(np.dtype(kind)).max), np.inf]
            low = max([-v for v in takewhile(lambda v, i=i: agrees(i, -v), (v for v in steps if -v < least))] + [least], key=abs)
            high = max([*takewhile(lambda v, i=i: agrees(i, v), (v for v in steps if v > most)), most], key=abs)
        open_ = kind != "str" or agrees(i, UNKNOWN_TEXT)
        listed = None if open_ else tuple(sorted({value for value in frame.iloc[:, asked.used[i]] if isinstance(value, str)}))
        nullable = kind.startswith("float") and agrees(i, np.nan)
        made.append(ColumnSpec(name, kind, nullable, tensor, index, low, high, categories=listed, open=open_))
    return tuple(made)


def _outputs(estimator: Any, graph: onnx.ModelProto, request: Request) -> tuple[tuple[TensorSpec, ...], Ending, onnx.ModelProto]:
    """Outputs by the names of the contract; labels in the dtype of training, a decision as nodes."""
    produced = [value.name for value in graph.graph.output]
    classifier = hasattr(estimator, "classes_") and hasattr(estimator, "predict")
    if request.decision is not None and not classifier:
        raise UnsupportedModelError("a decision needs a classifier of two classes", advice="leave the decision away")
    wanted: list[TensorSpec] = []
    if classifier:
        classes, dtype = classes_of(np.asarray(estimator.classes_))
        scores = "probabilities" if hasattr(estimator, "predict_proba") else "scores"
        _finish(graph, produced[0], "label", element_type(dtype), reshape=[-1])
        _finish(graph, produced[1], scores, TensorProto.DOUBLE)
        wanted = [TensorSpec("label", dtype, (None,)), TensorSpec(scores, "float64", (None, len(classes)))]
        if scores == "scores" and len(classes) == 2:
            raise UnsupportedModelError(f"{type(estimator).__name__} gives no probabilities", advice="use one with predict_proba")
        if request.decision is not None:
            if len(classes) != 2:
                raise UnsupportedModelError("a decision needs a classifier of two classes", advice="leave the decision away")
            _decide(graph, request.decision.score, request.decision.name, request.decision.threshold)
            wanted = [TensorSpec(request.decision.score, "float64", (None,)), TensorSpec(request.decision.name, "bool", (None,))]
    elif hasattr(estimator, "fit_predict") and hasattr(estimator, "decision_function"):
        _finish(graph, produced[0], "label", TensorProto.INT64, reshape=[-1])
        _finish(graph, produced[1], "score", TensorProto.DOUBLE, reshape=[-1])
        wanted = [TensorSpec("label", "int64", (None,)), TensorSpec("score", "float64", (None,))]
    elif hasattr(estimator, "fit_predict"):
        _finish(graph, produced[0], "label", TensorProto.INT64, reshape=[-1])
        wanted = [TensorSpec("label", "int64", (None,))]
    elif hasattr(estimator, "predict"):
        _finish(graph, produced[0], "prediction", TensorProto.DOUBLE, reshape=[-1])
        wanted = [TensorSpec("prediction", "float64", (None,))]
    else:
        width = graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value
        _finish(graph, produced[0], "features", TensorProto.DOUBLE)
        wanted = [TensorSpec("features", "float64", (None, width or None))]
    del graph.graph.output[:]
    for spec in wanted:
        graph.graph.output.append(helper.make_tensor_value_info(spec.name, element_type(spec.dtype), list(spec.shape)))
    return tuple(wanted), Ending("graph"), graph


def _finish(graph: onnx.ModelProto, source: str, name: str, kind: int, reshape: list[int] | None = None) -> None:
    if reshape is not None:
        graph.graph.initializer.append(helper.make_tensor(f"{name}_shape", TensorProto.INT64, [len(reshape)], reshape))
        graph.graph.node.append(helper.make_node("Reshape", [source, f"{name}_shape"], [f"{name}_flat"]))
        source = f"{name}_flat"
    for node in graph.graph.node:  # a tensor of skl2onnx's may already have the name
        if name in node.output:
            node.output[:] = [f"{name}_0" if value == name else value for value in node.output]
            for other in graph.graph.node:
                other.input[:] = [f"{name}_0" if value == name else value for value in other.input]
            source = f"{name}_0" if source == name else source
    graph.graph.node.append(helper.make_node("Cast", [source], [name], to=kind) if kind != TensorProto.STRING else helper.make_node("Identity", [source], [name]))


def _decide(graph: onnx.ModelProto, score: str, name: str, threshold: float) -> None:
    graph.graph.initializer.append(helper.make_tensor("decision_class", TensorProto.INT64, [], [1]))
    graph.graph.initializer.append(helper.make_tensor("decision_threshold", TensorProto.DOUBLE, [], [threshold]))
    graph.graph.node.append(helper.make_node("Gather", ["probabilities", "decision_class"], [score], axis=1))
    graph.graph.node.append(helper.make_node("Greater", [score, "decision_threshold"], [name]))


def _answer(model: Any, estimator: Any, rows: Any, names: list[str]) -> dict[str, NDArray[Any]]:
    calls = {
        "label": "predict", "prediction": "predict", "probabilities": "predict_proba", "scores": "decision_function",
        "score": "decision_function", "features": "transform",
    }  # fmt: skip
    if "label" not in names and "probabilities" not in names and not set(names) & set(calls):
        names = ["probabilities"]  # a decision is made of these
    made = {}
    for name in names:
        result = getattr(model, calls[name])(rows)
        made[name] = np.asarray(result.toarray() if hasattr(result, "toarray") else result)
    return made


def _numpy_name(kind: int) -> str:
    return "str" if kind == TensorProto.STRING else helper.tensor_dtype_to_np_dtype(kind).name
