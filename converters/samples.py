"""The samples that a network is judged by: tensors by name, whatever they come as.

Belongs here: telling samples from the axes of a tensor, and handing them out one by one. Not here: tables (data.py),
what a tensor may hold (edge_runtime.tensors).
Imported as edge_runtime.converters.samples.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.schema import TensorSpec
from edge_runtime.tensors import check_tensors

__all__ = ["ONLY", "Feed", "Samples", "Tensors", "all_finite", "one_each", "tensors_of"]

Feed = dict[str, NDArray[Any]]
ONLY = ""
"""The name of a tensor that was given without one."""
ONE = "number, text or bool"


@dataclass(frozen=True)
class Tensors:
    """Tensors as they were given: one array per tensor, with all samples in it, or one dict per sample. ``target`` are
    the true answers and ``groups`` which samples are ranked together, one per sample, if there are any."""

    arrays: Mapping[str, NDArray[Any]] | None
    feeds: Sequence[Mapping[str, Any]] | None
    target: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    path: str | None = None

    def of(self, inputs: Sequence[TensorSpec]) -> Samples:
        """The samples as a graph with these inputs takes them. Raises InputError for tensors of other names, dtypes or
        shapes than the graph's, and for a target of another length."""
        samples = Samples(tuple(inputs), self.named(inputs), self.feeds)
        for role, values in (("target", self.target), ("groups", self.groups)):
            if values is not None and len(values) != len(samples):
                raise InputError(
                    f"the {role} has {len(values):,} values for {len(samples):,} samples", expected="one per sample"
                )
        return samples

    def named(self, inputs: Sequence[TensorSpec]) -> Mapping[str, NDArray[Any]] | None:
        if self.arrays is None or ONLY not in self.arrays:
            return self.arrays
        if len(inputs) != 1:
            raise InputError(
                "data is one array, and the graph has several inputs",
                expected=f"a dict of {[spec.name for spec in inputs]}",
            )
        return {inputs[0].name: self.arrays[ONLY]}


@dataclass(frozen=True)
class Samples:
    """``feed(i)`` is sample i as the graph takes it: {name: array}, its row axis included.

    Of one array per tensor, samples lie along the first axis: that of the rows where the graph leaves it open or takes
    one ([N, 3, 48, 192] for [None, 3, 48, 192]), or one axis more than the graph's tensor has ([N, 2, 1, 128] for
    [2, 1, 128], [N] for a number).
    """

    inputs: tuple[TensorSpec, ...]
    arrays: Mapping[str, NDArray[Any]] | None
    feeds: Sequence[Mapping[str, Any]] | None
    by_row: dict[str, bool] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_row", self._axes())
        for i in sorted({0, len(self) - 1}):
            self.feed(i)

    def __len__(self) -> int:
        return len(self.feeds) if self.arrays is None else len(next(iter(self.arrays.values())))  # type: ignore[arg-type]

    def feed(self, i: int) -> Feed:
        """Raises InputError, with the sample's number, for what the graph does not take."""
        given: Mapping[str, Any]
        if self.arrays is None:
            assert self.feeds is not None
            given = self.feeds[i]
        else:
            given = {name: a[i : i + 1] if self.by_row[name] else a[i, ...] for name, a in self.arrays.items()}
        try:
            return check_tensors(given, self.inputs)
        except InputError as error:
            raise InputError(f"sample {i}: {error.problem}", column=error.column, expected=error.expected) from None

    def broken(self) -> list[int]:
        """The numbers of the samples that hold NaN or infinity."""
        if self.arrays is None:
            assert self.feeds is not None
            return [i for i, feed in enumerate(self.feeds) if not all(map(all_finite, feed.values()))]
        lost = np.zeros(len(self), dtype=bool)
        for array in self.arrays.values():
            if array.dtype.kind == "f":
                lost |= ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
        return np.flatnonzero(lost).tolist()

    @property
    def stackable(self) -> bool:
        """Whether several samples can be asked as one: all tensors have an open first axis, and one shape."""
        return self.arrays is not None and all(spec.shape[:1] == (None,) for spec in self.inputs)

    def stacked(self, which: Sequence[int]) -> Feed:
        """Samples as one feed, where they are `stackable`."""
        assert self.arrays is not None
        return check_tensors({name: a[list(which)] for name, a in self.arrays.items()}, self.inputs)

    def _axes(self) -> dict[str, bool]:
        """Of each array: whether samples are its rows (or lie along an axis of their own)."""
        if self.arrays is None:
            return {}
        names = {spec.name for spec in self.inputs}
        if self.arrays.keys() != names:
            raise InputError(
                f"data has the tensors {sorted(self.arrays)}", expected=f"those of the graph: {sorted(names)}"
            )
        found = {}
        for spec in self.inputs:
            array = self.arrays[spec.name]
            more = array.ndim - len(spec.shape)
            if more == 0 and spec.shape[:1] in ((None,), (1,)):
                found[spec.name] = True
            elif more == 1:
                found[spec.name] = False
            else:
                raise InputError(
                    f"data of the shape {list(array.shape)}",
                    column=spec.name,
                    expected=f"samples, and the graph's {list(spec.shape)} for each of them",
                )
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"tensors of {lengths} samples", expected="as many in each")
        return found


def tensors_of(data: Any, target: Any = None, groups: Any = None) -> Tensors | None:
    """Data as tensors; None for what is a table or nothing known. ``target`` and ``groups`` as names are taken out.

    Raises InputError for no samples, or a target that is not among the tensors."""
    if isinstance(data, np.ndarray) and data.ndim > 2:
        data = {ONLY: data}
    if isinstance(data, Mapping) and data and any(is_tensor(value) for value in data.values()):
        arrays = {str(name): np.asarray(value) for name, value in data.items()}
        taken = [taken_out([arrays], *pair) for pair in (("target", target), ("groups", groups))]
        taken = [each[0] if isinstance(name, str) else each for each, name in zip(taken, (target, groups), strict=True)]
        flat = sorted(name for name, array in arrays.items() if array.ndim == 0)
        if flat or not all(map(len, arrays.values())):
            raise InputError("data has no samples", column=flat[0] if flat else None, expected="one sample or more")
        return Tensors(arrays, None, one_each(taken[0], "target"), one_each(taken[1], "groups"))
    if isinstance(data, (list, tuple)) and data and all(isinstance(item, Mapping) for item in data):
        if not any(has_axes(value) for value in data[0].values()):
            return None
        feeds = [dict(item) for item in data]
        taken = [taken_out(feeds, *pair) for pair in (("target", target), ("groups", groups))]
        return Tensors(None, feeds, one_each(taken[0], "target"), one_each(taken[1], "groups"))
    return None


def taken_out(samples: list[dict[str, Any]], role: str, given: Any) -> Any:
    """What is called ``given`` in each of ``samples``, taken out of them; or ``given`` itself, where it is no name."""
    if not isinstance(given, str):
        return given
    if not all(given in each for each in samples):
        raise InputError(f"{role}: not in the data", column=given, expected=f"one of {sorted(samples[0])}")
    return [each.pop(given) for each in samples]


def one_each(values: Any, role: str) -> NDArray[Any] | None:
    """Values [N] of the ``role`` target or groups, also from [N, 1]; None for none. Raises InputError for others."""
    if values is None:
        return None
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"the {role} has values of several lengths", expected=f"one {ONE} per sample") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"the {role} has the shape {list(array.shape)}", expected=f"one {ONE} per sample")
    if array.dtype.kind == "O" and not all(isinstance(value, Hashable) for value in array.tolist()):
        raise InputError(f"the {role} holds {type(array[0]).__name__}s", expected=f"one {ONE} per sample")
    return array


def is_tensor(value: Any) -> bool:
    """Whether it is more than one column of a table."""
    array = np.asarray(value) if isinstance(value, (np.ndarray, list)) else None
    return array is not None and array.ndim >= 2 and array.shape[1:] != (1,)


def all_finite(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def has_axes(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)
