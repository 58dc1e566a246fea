"""Samples as a module takes them, before there is a graph that could say how.

Whether the samples of an array are its rows, and which dtype a module wants, is found out by asking the module.

Belongs here: reading given tensors for a module, an example, the axes that must be free. Not here: samples of a known
graph (converters/samples.py), calling a module (torch_program.py).
Imported as edge_runtime.converters.sources.torch_samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError, UnsupportedModelError

from ..samples import ONLY, Feed, Tensors
from .torch_program import Program, first_line

__all__ = ["Taken", "names_in", "taken"]

MOST_INPUTS = 4  # each doubles the ways to read arrays


@dataclass(frozen=True)
class Taken:
    """``example`` is a sample that the program answers, the largest one; ``sizes`` are those of each axis of each
    input in all samples."""

    example: Feed
    sizes: Mapping[str, tuple[frozenset[int], ...]]

    def differing(self, name: str) -> tuple[int, ...]:
        return tuple(axis for axis, sizes in enumerate(self.sizes[name]) if len(sizes) > 1)

    def doubled(self) -> Feed:
        """The example twice over: an axis of one row would be taken for one that cannot have two."""
        return {
            name: np.concatenate([array, array]) if array.shape[:1] == (1,) else array
            for name, array in self.example.items()
        }

    def fits(self, name: str, shape: Sequence[int | None]) -> bool:
        return len(shape) == len(self.sizes[name]) and all(
            size is None or found == {size} for size, found in zip(shape, self.sizes[name], strict=True)
        )


def names_in(tensors: Tensors) -> list[str] | None:
    """The names of the tensors; None where it is one without a name."""
    if tensors.arrays is not None:
        return None if ONLY in tensors.arrays else list(tensors.arrays)
    assert tensors.feeds is not None
    return list(tensors.feeds[0])


def taken(program: Program, tensors: Tensors, floats: np.dtype[Any]) -> Taken:
    """Ask the program with one sample, read in each way that it can be read, until it answers. ``floats`` is the dtype
    that the module computes in. Raises InputError if it answers none."""
    first: tuple[str, Feed] | None = None
    for feeds in readings(program.names, tensors):
        largest = max(feeds, key=lambda feed: sum(np.size(array) for array in feed.values()))
        for cast in (as_they_are, as_numbers, as_ids):
            example = {name: np.ascontiguousarray(cast(array, floats)) for name, array in largest.items()}
            before = program.state()
            try:
                program.answers(example)
            except UnsupportedModelError:
                raise
            except Exception as error:  # a module of anybody's refuses tensors in its own way
                first = first or (first_line(error), example)
                continue
            changed = [name for name, state in program.state().items() if before.get(name) != state]
            if changed:
                raise UnsupportedModelError(
                    f"the module keeps what it has seen in {changed[0]!r}",
                    advice="take the state as an input of forward, and return the next one",
                )
            for name, array in example.items():
                check_exact(name, np.asarray(largest[name]), array)
            return Taken(example, {name: sizes_of([np.shape(feed[name]) for feed in feeds], name) for name in example})
    assert first is not None
    given = {name: f"{array.dtype}{list(array.shape)}" for name, array in first[1].items()}
    raise InputError(
        f"the module does not take its own sample ({first[0]}), given {given}",
        expected=f"the tensors {list(program.names)} as forward takes them, all samples along the first axis",
    )


def readings(names: Sequence[str], tensors: Tensors) -> Iterator[Sequence[Mapping[str, NDArray[Any]]]]:
    """Samples, in each way that they may lie in the arrays: as rows, or along an axis of their own."""
    if tensors.arrays is None:
        assert tensors.feeds is not None
        for i, feed in enumerate(tensors.feeds):
            if set(feed) != set(names):
                raise InputError(f"sample {i} has the tensors {sorted(feed)}", expected=f"{list(names)}, as the first")
        yield [{name: np.asarray(feed[name]) for name in names} for feed in tensors.feeds]
        return
    arrays = {names[0]: tensors.arrays[ONLY]} if ONLY in tensors.arrays else tensors.arrays
    for by_row in product((True, False), repeat=min(len(names), MOST_INPUTS)):
        rows = dict(zip(names, by_row + (by_row[-1],) * len(names), strict=False))
        yield [{name: arrays[name][:1] if rows[name] else np.asarray(arrays[name][0]) for name in names}]


def check_exact(name: str, given: NDArray[Any], taken: NDArray[Any]) -> None:
    """Raise InputError, before the long work starts, for values that would have to be rounded."""
    if given.dtype.kind == "f" and not np.array_equal(given, taken, equal_nan=True):
        raise InputError(
            f"{given.dtype} values that {taken.dtype} cannot hold", column=name, expected=f"{taken.dtype}: astype it"
        )


def sizes_of(shapes: Sequence[tuple[int, ...]], name: str) -> tuple[frozenset[int], ...]:
    if len({len(shape) for shape in shapes}) > 1:
        raise InputError("samples have different numbers of axes", column=name, expected="one number of axes")
    return tuple(frozenset(sizes) for sizes in zip(*shapes, strict=True))


def as_they_are(array: NDArray[Any], floats: np.dtype[Any]) -> NDArray[Any]:
    return array.astype(floats) if array.dtype.kind == "f" else array


def as_numbers(array: NDArray[Any], floats: np.dtype[Any]) -> NDArray[Any]:
    return array.astype(floats) if array.dtype.kind in "iu" else as_they_are(array, floats)


def as_ids(array: NDArray[Any], floats: np.dtype[Any]) -> NDArray[Any]:
    return array.astype(np.int64) if array.dtype.kind in "iu" else as_they_are(array, floats)
