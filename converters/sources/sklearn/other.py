"""Everything of scikit-learn that is not lowered here: through skl2onnx, as it stands, and compared like the rest.

Belongs here: the source with a graph that was only converted, and the values for which it may be asked. Not here:
calling skl2onnx (usual_graph.py), judging the result (converters/parity.py).
Imported as edge_runtime.converters.sources.sklearn.other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd

from edge_runtime.ending import Ending
from edge_runtime.errors import UnsupportedModelError
from edge_runtime.golden import differences
from edge_runtime.schema import ColumnSpec, Schema
from edge_runtime.session import inputs_of, open_session

from ...source import Outputs, Request, Source, decided
from ..tried_columns import TOLERANCE, TRIED_ROWS, Place, column_of, feeds_of, put
from .answers import quietly
from .asking import Asked
from .usual_graph import SKL2ONNX, usual_graph

__all__ = ["read"]


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

        session = open_session(graph.SerializeToString(), threads=1, largest_tensor=2**20)
        columns, inputs = _columns(asked, reference, session), inputs_of(session)
        floats = [o.name for o in outputs if o.dtype.startswith("float") and o.name != "label"]
        return Source(
            framework, Schema(columns, inputs, outputs), Ending("graph"), graph, reference, exact=False,
            tolerance=dict.fromkeys(floats, TOLERANCE), statements=(f"checked: converted by {SKL2ONNX} ({reason})",),
            libraries=("numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "skl2onnx"),
        )  # fmt: skip
    first = failures[0]
    raise UnsupportedModelError(f"{reason}, and {first.what}", advice=first.advice) from first


def _columns(
    asked: Asked, reference: Callable[[pd.DataFrame], Outputs], session: onnxruntime.InferenceSession
) -> tuple[ColumnSpec, ...]:
    """The columns, each with the values for which graph and source were seen to agree: what skl2onnx writes is right
    for ordinary numbers, and often not for missing or very large ones."""
    inputs = inputs_of(session)
    together = [spec.name for spec in inputs] == ["x"]  # all columns in one tensor
    places = [
        Place(name, kind, *(("x", i) if together else (name, 0)))
        for i, (name, kind) in enumerate(zip(asked.names, asked.dtypes, strict=True))
    ]
    base = asked.frame.iloc[:TRIED_ROWS, asked.used]

    def agrees(i: int, value: Any) -> bool:
        given = put(base, i, value)
        try:
            wanted = reference(given)
            found = dict(zip(wanted, session.run(list(wanted), feeds_of(given, places, inputs)), strict=True))
        except (ValueError, TypeError):
            return False
        return all(float(differences(found[name], wanted[name]).max(initial=0.0)) <= TOLERANCE for name in wanted)

    return tuple(
        column_of(place, asked.frame.iloc[:, c], partial(agrees, i))
        for i, (place, c) in enumerate(zip(places, asked.used, strict=True))
    )


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
