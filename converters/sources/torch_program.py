"""What a module of PyTorch takes and gives, by name: its tensors as feeds, and itself as the reference.

Belongs here: names of inputs and outputs, calling a module as it is meant to be called and leaving it as it was. Not
here: samples (torch_samples.py), exporting (torch_export.py).
Imported as edge_runtime.converters.sources.torch_program.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from edge_runtime.errors import InputError, UnsupportedModelError

from ..samples import Feed

__all__ = ["Program", "alone", "evaluating", "first_line", "of_exported", "of_module", "scripted"]

Structure = Any
"""What a module answers: a tensor, or tensors in tuples, lists, dicts, named tuples and dataclasses."""


class Program(torch.nn.Module):  # type: ignore[misc]
    """A module with its tensors in a row: it takes those of ``names``, and gives those of ``outputs``.

    ``call`` asks ``inner`` with a list of tensors. ``outputs`` are known once it was asked.
    """

    def __init__(
        self, inner: torch.nn.Module, names: Sequence[str], call: Callable[[Any, list[Any]], Structure]
    ) -> None:
        super().__init__()
        self.inner, self.names, self.call = inner, tuple(names), call
        self.outputs: tuple[str, ...] = ()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(flat(self.call(self.inner, list(tensors))).values())

    def state(self) -> dict[str, tuple[int, int]]:
        """What tells whether a call has changed the module's buffers."""
        return {name: (id(part), part._version) for name, part in self.inner.named_buffers()}

    def answers(self, feed: Feed) -> Feed:
        """One feed answered on one thread. The module stays as it was."""
        with alone(), evaluating(self):
            found = flat(self.call(self.inner, [torch.from_numpy(feed[name].copy()) for name in self.names]))
        if not self.outputs:
            self.outputs = told_apart(list(found), self.names)
        return {name: values.detach().cpu().numpy() for name, values in zip(self.outputs, found.values(), strict=True)}


def of_module(module: torch.nn.Module, given: Sequence[str] | None) -> Program:
    """``given`` are the names in the data; None: it is one tensor without a name. Raises InputError where they are not
    those of the module's forward."""
    takes = inspect.signature(module.forward).parameters.values()
    named = [p.name for p in takes if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p.name for p in takes if p.default is p.empty and p.name in named]
    if given is None:
        if len(needed) > 1:
            raise InputError("data is one array, and forward takes several", expected=f"a dict of {needed}")
        given = needed or named[:1] or ["input"]
    elif not set(needed) <= set(given) or not (set(given) <= set(named) or any(p.kind is p.VAR_KEYWORD for p in takes)):
        optional = [name for name in named if name not in needed]
        more = f", and if wanted {optional}" if optional else ""
        raise InputError(f"data has the tensors {sorted(given)}", expected=f"those of forward: {needed or named}{more}")
    names = [name for name in named if name in given] + [name for name in given if name not in named]
    by_place = {p.name for p in takes if p.kind is p.POSITIONAL_ONLY} or not named

    def call(inner: Any, tensors: list[Any]) -> Structure:
        if by_place:
            return inner(*tensors)
        return inner(**dict(zip(names, tensors, strict=True)))

    return Program(module, names, call)


def of_exported(program: torch.export.ExportedProgram, given: Sequence[str] | None) -> Program:
    """Raises InputError for other names than the program's, UnsupportedModelError for one exported in training mode."""
    names = list(program.graph_signature.user_inputs)
    if not all(isinstance(name, str) for name in names):
        raise UnsupportedModelError("the exported program takes numbers besides tensors", advice="export it without")
    if given is not None and set(given) != set(names):
        raise InputError(f"data has the tensors {sorted(given)}", expected=f"those of the exported program: {names}")
    if given is None and len(names) > 1:
        raise InputError("data is one array, and the exported program takes several", expected=f"a dict of {names}")
    if any(is_training(node) for node in program.graph.nodes):
        raise UnsupportedModelError("the program was exported while training", advice="export it after module.eval()")
    spec = program.call_spec.in_spec

    def call(inner: Any, tensors: list[Any]) -> Structure:
        places, keywords = torch.utils._pytree.tree_unflatten(tensors, spec)
        return inner(*places, **keywords)

    return Program(program.module(check_guards=False), names, call)


def is_training(node: Any) -> bool:
    at = {torch.ops.aten.dropout.default: 2, torch.ops.aten.batch_norm.default: 5}.get(node.target)
    return at is not None and len(node.args) > at and node.args[at] is True


# What a module answers


def flat(answer: Structure, name: str = "") -> dict[str, torch.Tensor]:
    """The tensors in an answer, by the names that it gives them. Raises UnsupportedModelError for other things."""
    if answer is None:
        return {}
    if isinstance(answer, torch.Tensor):
        return {name or "output": answer}
    if isinstance(answer, Mapping):
        parts: dict[str, Structure] = {str(key): value for key, value in answer.items()}
    elif dataclasses.is_dataclass(answer):
        parts = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    elif hasattr(answer, "_asdict"):
        parts = answer._asdict()
    elif isinstance(answer, (tuple, list)):
        if len(answer) == 1 and not name:
            return flat(answer[0])
        start = name or "output"
        parts, name = {f"{start}_{i}": value for i, value in enumerate(answer)}, ""
    else:
        raise UnsupportedModelError(
            f"the module answers with {type(answer).__name__}", advice="let forward return tensors, in a dict or tuple"
        )
    made: dict[str, torch.Tensor] = {}
    for key, value in parts.items():
        made.update(flat(value, f"{name}_{key}" if name else key))
    return made


def told_apart(outputs: list[str], inputs: Sequence[str]) -> tuple[str, ...]:
    """A graph cannot give a tensor out by the name of one that it takes."""
    return tuple(f"{name}_out" if name in inputs else name for name in outputs)


# Calling it


@contextmanager
def alone() -> Iterator[None]:
    """One thread, no gradients."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Each part in evaluation mode, and afterwards in the one that it had."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def scripted(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{what} is TorchScript, which PyTorch's exporter no longer reads", advice="pass the module that was scripted"
    )


def first_line(error: BaseException) -> str:
    """What went wrong first, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
