"""What can be measured: a Model, a path to one, or any callable without arguments.

Belongs here: turning each of them into one call that rotates its rows. Not here: timing (run.py, comparison.py).
Imported as edge_runtime.benchmarks.targets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

import edge_runtime
from edge_runtime.errors import InputError
from edge_runtime.timing import rotate

__all__ = ["Measurable", "Target", "calls_of"]

VARIED = 16  # tensor inputs made up when there are no rows: enough to rotate, few enough to hold images


@dataclass(frozen=True, slots=True)
class Target:
    """``call`` is one inference, on another row each time, and ``work`` says which in words; ``threads`` is what its
    session was given; ``verify`` says whether the golden rows are answered right (None: there are none to ask)."""

    name: str
    call: Callable[[], object]
    work: str = "a callable"
    threads: int | None = None
    verify: Callable[[], bool] | None = None


@runtime_checkable
class Answers(Protocol):
    """An edge_runtime.Model, as far as a type checker needs to know one here."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def predict_one(self, row: Any, /) -> Any: ...


Measurable = Target | Answers | str | os.PathLike[str] | Callable[[], object]


def calls_of(target: Measurable, *, threads: int | None = None) -> Target:
    """The call behind ``target``; a path is loaded, with ``threads`` if given.

    Raises what `edge_runtime.load` raises, InputError for a model that has no rows and whose inputs cannot be made up,
    TypeError for anything else that is not callable.
    """
    if isinstance(target, Target):
        return target
    if isinstance(target, str | os.PathLike):
        return of_model(edge_runtime.load(target, threads=threads), os.path.basename(os.fspath(target)))
    if isinstance(target, Answers):
        return of_model(target, " ".join(filter(None, [target.name, target.version])))
    if not callable(target):
        raise TypeError(f"cannot measure a {type(target).__name__}; expected a Model, a path or a callable")
    return Target(getattr(target, "__qualname__", type(target).__name__), target)


def of_model(model: Any, name: str) -> Target:
    """A model answers its golden rows one by one; without them, made-up tensors."""
    rows = [sample.inputs for sample in model.golden_rows()]
    by_row = bool(rows and model.schema.columns)
    ask = model.predict_one if by_row else model.run
    asked = rows or made_up(model.schema.inputs)
    work = f"{'predict_one' if by_row else 'run'}, {len(asked)} {'golden rows' if rows else 'made-up inputs'} in turn"
    threads = model.session.get_session_options().intra_op_num_threads
    return Target(name, rotate(ask, asked), work, threads, (lambda: bool(model.verify().ok)) if rows else None)


def made_up(inputs: Any) -> list[dict[str, Any]]:
    """VARIED feeds for ``inputs`` (TensorSpecs): floats from a normal distribution, integers and bools 0 or 1, every
    free axis 1. Raises InputError for a text input."""
    rng = np.random.default_rng(0)
    feeds: list[dict[str, Any]] = [{} for _ in range(VARIED)]
    for spec in inputs:
        if spec.dtype == "str":
            raise InputError(
                "there are no rows to time with", column=spec.name, expected="golden rows: text cannot be made up"
            )
        shape = [size if size is not None else 1 for size in spec.shape]
        for feed in feeds:
            drawn = rng.standard_normal(shape) if spec.dtype.startswith("float") else rng.integers(0, 2, shape)
            feed[spec.name] = np.asarray(drawn, dtype=spec.dtype)
    return feeds
