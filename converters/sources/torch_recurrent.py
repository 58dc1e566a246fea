"""GRU and LSTM layers as one operator each while a module is exported.

PyTorch would write them out step by step, for the number of steps that the example has. Its translation of the whole
layer is onnxscript's own, which this leads to.

Belongs here: the operators that stand for the layers, and putting them in. Not here: exporting (torch_export.py).
Imported as edge_runtime.converters.sources.torch_recurrent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from onnxscript.function_libs.torch_lib.ops import core

__all__ = ["TRANSLATIONS", "whole_layers"]

OPTIONS = "bool has_biases, int layers, float dropout, bool train, bool bidirectional, bool batch_first"
LIBRARY = torch.library.Library("edge_runtime", "DEF")
LIBRARY.define(f"gru(Tensor input, Tensor state, Tensor[] weights, {OPTIONS}) -> (Tensor, Tensor)")
LIBRARY.define(f"lstm(Tensor input, Tensor[] states, Tensor[] weights, {OPTIONS}) -> (Tensor, Tensor, Tensor)")


@torch.library.register_fake("edge_runtime::gru", lib=LIBRARY)  # type: ignore[untyped-decorator]
def gru_shapes(rows: Any, state: Any, weights: Any, *options: Any) -> tuple[Any, Any]:
    width = state.shape[-1] * (2 if options[4] else 1)
    return rows.new_empty((*rows.shape[:-1], width)), torch.empty_like(state)


@torch.library.register_fake("edge_runtime::lstm", lib=LIBRARY)  # type: ignore[untyped-decorator]
def lstm_shapes(rows: Any, states: Any, weights: Any, *options: Any) -> tuple[Any, Any, Any]:
    width = states[0].shape[-1] * (2 if options[4] else 1)
    return rows.new_empty((*rows.shape[:-1], width)), torch.empty_like(states[0]), torch.empty_like(states[1])


TRANSLATIONS: dict[Any, Callable[..., Any]] = {
    torch.ops.edge_runtime.gru.default: core.aten_gru,
    torch.ops.edge_runtime.lstm.default: core.aten_lstm,
}


@contextmanager
def whole_layers() -> Iterator[None]:
    """Layers of batches stay whole; packed sequences, and an LSTM with a projection, go PyTorch's own way."""
    functions = torch._VF

    def gru(*given: Any) -> Any:
        return torch.ops.edge_runtime.gru(*given) if is_batch(given) else usual_gru(*given)

    def lstm(*given: Any) -> Any:
        projected = is_batch(given) and given[1][0].shape[-1] != given[1][1].shape[-1]
        return usual_lstm(*given) if projected or not is_batch(given) else torch.ops.edge_runtime.lstm(*given)

    usual_gru, usual_lstm = functions.gru, functions.lstm
    functions.gru, functions.lstm = gru, lstm
    try:
        yield
    finally:
        del functions.gru, functions.lstm  # they hid what the object looks up


def is_batch(given: tuple[Any, ...]) -> bool:
    """A packed sequence comes with its batch sizes as well, which move the rest by one."""
    return isinstance(given[3], bool)
