"""Everything of scikit-learn that is not lowered here: through skl2onnx, as it stands, and compared like the rest.

Belongs here: the source with a graph that was only converted, and the values for which it may be asked. Not here:
calling skl2onnx (usual_graph.py), judging the result (converters/parity.py).
Imported as edge_runtime.converters.sources.sklearn.other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from edge_runtime.ending import Ending
from edge_runtime.errors import UnsupportedModelError
from edge_runtime.golden import differences
from edge_runtime.schema import INTEGER_RANGE, ColumnSpec, Schema
from edge_runtime.session import inputs_of, open_session

from ...source import Outputs, Request, Source
from .answers import quietly
from .asking import UNKNOWN_TEXT, Asked, decided
from .usual_graph import SKL2ONNX, usual_graph

__all__ = ["read"]

TOLERANCE = 1e-5  # float32, through a few layers of it
TRIED_ROWS = 8


def read(model: Any, estimator: Any, request: Request, framework: str, *, reason: str) -> Source:
    """In float64 if skl2onnx can, otherwise in float32; ``reason`` says why the model is not lowered.

    Raises UnsupportedModelError where skl2onnx cannot convert it.
    """
    precisions = ["float64", "float32"] if request.input_dtype == "auto" else [request.input_dtype]
    failures = []
    for precision in precisions:
        try:
            asked = Asked(model, model, replace(request, input_dtype=precision))
            graph, outputs = usual_graph(model, estimator, asked, precision, request.decision)
        except UnsupportedModelError as error:
            failures.append(error)
            continue

        def reference(
            given: pd.DataFrame,
            asked: Asked = asked,
            # A decision is made of probabilities, whatever its outputs are called.
            names: tuple[str, ...] = ("probabilities",) if request.decision else tuple(o.name for o in outputs),
        ) -> Outputs:
            with quietly():
                return decided(_answer(asked.model, asked.build(given), names), request.decision)

        columns = _columns(asked, reference, graph)
        inputs = inputs_of(open_session(graph.SerializeToString(), threads=1, largest_tensor=2**20))
        floats = [o.name for o in outputs if o.dtype.startswith("float") and o.name != "label"]
        return Source(
            framework, Schema(columns, inputs, outputs), Ending("graph"), graph, reference, exact=False,
            tolerance=dict.fromkeys(floats, TOLERANCE), statements=(f"checked: converted by {SKL2ONNX} ({reason})",),
            libraries=("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx"),
        )  # fmt: skip
    first = failures[0]
    raise UnsupportedModelError(f"{reason}, and {first.what}", advice=first.advice) from first


def _columns(
    asked: Asked, reference: Callable[[pd.DataFrame], Outputs], graph: onnx.ModelProto
) -> tuple[ColumnSpec, ...]:
    """The columns, each with the values for which graph and source were seen to agree: what skl2onnx writes is right
    for ordinary numbers, and often not for missing or very large ones."""
    session = open_session(graph.SerializeToString(), threads=1, largest_tensor=2**20)
    dtypes = {tensor.name: tensor.dtype for tensor in inputs_of(session)}
    together = set(dtypes) == {"x"}  # all columns in one tensor
    base = asked.frame.iloc[:TRIED_ROWS, asked.used]

    def agrees(i: int, value: Any) -> bool:
        given = base.astype(object)
        given.isetitem(i, pd.Series([value] * len(given), dtype=object, index=given.index))
        try:
            wanted = reference(given)
            arrays = [
                _tensor(given.iloc[:, c].to_numpy(), dtypes.get(name, dtypes.get("x")))
                for c, name in enumerate(asked.names)
            ]
            if together:
                feeds = {"x": np.column_stack(arrays)}
            else:
                feeds = {name: array[:, None] for name, array in zip(asked.names, arrays, strict=True)}
            found = dict(zip(wanted, session.run(list(wanted), feeds), strict=True))
        except (ValueError, TypeError):
            return False
        return all(float(differences(found[name], wanted[name]).max(initial=0.0)) <= TOLERANCE for name in wanted)

    def farthest(i: int, seen: float, steps: list[float]) -> float:
        """The last of ``steps`` up to which both agree, going outwards from the largest value seen."""
        return max([seen, *takewhile(lambda v: agrees(i, v), (v for v in steps if abs(v) > abs(seen)))], key=abs)

    made = []
    for i, (name, kind) in enumerate(zip(asked.names, asked.dtypes, strict=True)):
        tensor, index = ("x", i) if together else (name, 0)
        low: float | None = None
        high: float | None = None
        if kind in INTEGER_RANGE:
            low, high = float(max(INTEGER_RANGE[kind][0], -(2**53))), float(min(INTEGER_RANGE[kind][1], 2**53))
        elif kind not in ("str", "bool"):
            present = asked.frame.iloc[:, asked.used[i]].dropna().to_numpy(np.float64)
            least, most = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
            steps = [*(10.0**power for power in range(1, 37, 3)), float(np.finfo(np.dtype(kind)).max), np.inf]
            low, high = (
                farthest(i, least, [-v for v in steps if -v < least]),
                farthest(i, most, [v for v in steps if v > most]),
            )
        open_ = kind != "str" or agrees(i, UNKNOWN_TEXT)
        listed = (
            None
            if open_
            else tuple(sorted({value for value in asked.frame.iloc[:, asked.used[i]] if isinstance(value, str)}))
        )
        nullable = kind.startswith("float") and agrees(i, np.nan)
        made.append(ColumnSpec(name, kind, nullable, tensor, index, low, high, categories=listed, open=open_))
    return tuple(made)


def _tensor(values: NDArray[Any], dtype: str | None) -> NDArray[Any]:
    return values.astype(object if dtype == "str" else dtype)


def _answer(model: Any, rows: Any, names: tuple[str, ...]) -> Outputs:
    calls = {
        "label": "predict", "prediction": "predict", "probabilities": "predict_proba", "scores": "decision_function",
        "score": "decision_function", "features": "transform",
    }  # fmt: skip
    made = {}
    for name in names:
        result = getattr(model, calls[name])(rows)
        made[name] = np.asarray(result.toarray() if hasattr(result, "toarray") else result)
    return made
