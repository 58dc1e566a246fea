"""Preallocated tensors bound to a session: the fast way to call onnxruntime again and again.

`session.run` checks every feed's name and copies; a bound run does neither.

Belongs here: binding and its buffers. Not here: opening sessions (session.py), what goes into the buffers (row.py).
Imported as edge_runtime.binding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .errors import InputError, UnsupportedModelError
from .schema import TensorSpec
from .session import ERRORS, failed

__all__ = ["Call", "bound_run"]


def bound_run(session: onnxruntime.InferenceSession) -> Callable[..., Any]:
    """`run(binding, options)` of the inner session: the public method of the same name costs half a microsecond
    more."""
    run: Callable[..., Any] = session._sess.run_with_iobinding
    return run


class Call:
    """A graph with its tensors bound: fill ``inputs``, call, read the outputs.

    ``inputs`` and the dict that a call returns hold the bound arrays themselves, valid until the next call. One thread
    per object; not after a fork.
    """

    __slots__ = ("_binding", "_io", "_options", "_run", "inputs", "outputs")

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        rows: int,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        for spec in (*inputs, *outputs):
            if spec.dtype == "str":
                raise UnsupportedModelError(
                    f"tensor {spec.name!r} is text, which cannot be bound", advice="use run or predict"
                )
        names = [spec.name for spec in inputs]
        for name in shapes:
            if name not in names:
                raise InputError("unknown tensor", column=str(name), expected=f"shapes of the tensors {names}")
        self.inputs = {spec.name: np.zeros(_shape(spec, rows, shapes), spec.dtype) for spec in inputs}
        self.outputs = _outputs(session, outputs, self.inputs)
        self._binding = session.io_binding()
        for bind, arrays in ((self._binding.bind_input, self.inputs), (self._binding.bind_output, self.outputs)):
            for name, array in arrays.items():
                bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._io = self._binding._iobinding
        self._options = onnxruntime.RunOptions()  # one object, reused: passing None costs half a microsecond
        self._run = bound_run(session)

    def __call__(self) -> dict[str, NDArray[Any]]:
        """Run the graph on what stands in ``inputs``; the outputs, as views.

        Raises InputError if it cannot be run on that, or would give outputs of other shapes."""
        try:
            self._run(self._io, self._options)
        except ERRORS as error:
            raise failed(error) from error
        return self.outputs

    @property
    def parts(self) -> tuple[Callable[..., Any], Any, Any]:
        """(run, binding, options): for callers that spell the call out, because a Python frame is a tenth of it."""
        return self._run, self._io, self._options


def _shape(spec: TensorSpec, rows: int, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    wanted = shapes.get(spec.name)
    if wanted is not None:
        fits = len(wanted) == len(spec.shape) and min(wanted, default=0) >= 0
        if not fits or any(a is not None and a != b for a, b in zip(spec.shape, wanted, strict=True)):
            raise InputError(f"shape {wanted}", column=spec.name, expected=f"shape {spec.shape}, None being free")
        return wanted
    made = tuple(rows if i == 0 and size is None else size for i, size in enumerate(spec.shape))
    if None in made:
        raise InputError(
            "the tensor has free axes", column=spec.name, expected=f"shapes={{{spec.name!r}: …}} for {spec.shape}"
        )
    return made  # type: ignore[return-value]


def _outputs(
    session: onnxruntime.InferenceSession, outputs: tuple[TensorSpec, ...], inputs: dict[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Arrays of the shapes that a run gives: a graph need not say them, and what it says need not be so."""
    try:
        made = session.run([spec.name for spec in outputs], inputs)
    except ERRORS as error:
        raise failed(error) from error
    return {spec.name: np.zeros(np.shape(array), spec.dtype) for spec, array in zip(outputs, made, strict=True)}
