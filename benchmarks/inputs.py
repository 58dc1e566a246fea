"""What a model is asked with: golden rows, the rows of a file, or tensors made up from its schema; always several.

Belongs here: the rows, batches and tensors made of them, and telling a right answer from a wrong one. Not here: how
they are asked (opening.py).
Imported as edge_runtime.benchmarks.inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from edge_runtime import golden
from edge_runtime.errors import InputError
from edge_runtime.golden import Sample
from edge_runtime.tables import read_table

__all__ = ["Inputs", "batches_of", "checker", "file_of_rows", "inputs_of", "tensors_of"]

VARIED = 16  # tensors made up when there are no rows, and batches: enough to rotate, few enough to hold images
MOST_ROWS = 4_096  # of a file
MOST_BATCH_BYTES = 64_000_000  # all batches of one size together


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """``items`` are rows (records of app values) or feeds (tensors by name, one row each); ``words`` says what they
    are, ``wanted`` [one per item] which answers are right (() where nobody knows)."""

    items: tuple[dict[str, Any], ...]
    rows: bool
    words: str
    wanted: tuple[Sample, ...] = ()


def inputs_of(model: Any, path: str | None = None) -> Inputs:
    """The rows of the file ``path``, else the model's golden rows, else made-up tensors."""
    if path is not None and not path.lower().endswith(".edge"):
        return from_file(model, path)
    samples = tuple(golden_rows_of(path) if path is not None else model.golden_rows())
    if samples:
        items = tuple(sample.inputs for sample in samples)
        words = counted(len(items), "golden row")
        return Inputs(items=items, rows=bool(model.schema.columns), words=words, wanted=samples)
    return Inputs(items=made_up(model.schema.inputs), rows=False, words=counted(VARIED, "made-up input"))


def golden_rows_of(path: str) -> list[Sample]:
    from edge_runtime.bundle import Bundle

    bundle = Bundle.open(path)
    return golden.decode(bundle.read(bundle.manifest.golden), bundle.manifest.schema, bundle.read)


def from_file(model: Any, path: str) -> Inputs:
    from edge_runtime.rows import read_for, read_tensors

    words = f"of {path}"
    if not model.schema.columns:
        arrays = read_tensors(path)
        count = min(MOST_ROWS, *(len(array) for array in arrays.values()))
        feeds = tuple({name: array[i : i + 1] for name, array in arrays.items()} for i in range(count))
        return Inputs(items=feeds, rows=False, words=f"{counted(count, 'row')} {words}")
    items = tuple(islice(records(read_for(model.schema, path).data), MOST_ROWS))
    known = {column.name for column in model.schema.columns}
    kept = tuple({name: value for name, value in row.items() if name in known} for row in items)
    return Inputs(items=kept, rows=True, words=f"{counted(len(kept), 'row')} {words}")


def file_of_rows(path: str) -> Inputs:
    """The rows of a file that nobody has a schema for; of a bundle, its golden rows with their answers."""
    from edge_runtime.rows import read_rows

    if path.lower().endswith(".edge"):
        samples = tuple(golden_rows_of(path))
        if not samples or any(sample.positions for sample in samples):
            raise InputError(f"{path}: there are no golden rows in it to send", expected="a bundle of a table, or rows")
        items = tuple(sample.inputs for sample in samples)
        return Inputs(items=items, rows=True, words=counted(len(items), "golden row"), wanted=samples)
    found = read_rows(path)
    rows = found if isinstance(found, list) else found.to_dict("records")
    return Inputs(
        items=tuple(rows[:MOST_ROWS]), rows=True, words=f"{counted(min(len(rows), MOST_ROWS), 'row')} of {path}"
    )


def records(data: Any) -> Any:
    """Records, one by one, of what a file held: records already, columns by name, an Arrow table."""
    if hasattr(data, "to_pylist"):
        return iter(data.to_pylist())
    if isinstance(data, Mapping):
        return (dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True))
    return iter(data)


def made_up(inputs: Any) -> tuple[dict[str, Any], ...]:
    """VARIED feeds for ``inputs`` (TensorSpecs): floats from a normal distribution, integers and bools 0 or 1, every
    free axis 1. Raises InputError for a text input."""
    rng = np.random.default_rng(0)
    feeds: tuple[dict[str, Any], ...] = tuple({} for _ in range(VARIED))
    for spec in inputs:
        if spec.dtype == "str":
            raise InputError(
                "there are no rows to time with",
                column=spec.name,
                expected="golden rows, or a file: text cannot be made up",
            )
        shape = [size if size is not None else 1 for size in spec.shape]
        for feed in feeds:
            drawn = rng.standard_normal(shape) if spec.dtype.startswith("float") else rng.integers(0, 2, shape)
            feed[spec.name] = np.asarray(drawn, dtype=spec.dtype)
    return feeds


# Batches


def batches_of(model: Any, asked: Inputs, rows: int) -> tuple[tuple[dict[str, Any], ...], tuple[Sample, ...]]:
    """Up to 16 batches of ``rows`` rows, each starting at another row, and their right answers where those are known.

    Tables come as columns, arrays where they hold numbers only. Raises InputError for a graph whose first axis is not
    free.
    """
    if not asked.rows:
        return tensors_of(model, asked, rows), ()
    columns = {name: [item[name] for item in asked.items] for name in asked.items[0]}
    width = 16 * len(columns) * rows
    picks = picked(len(asked.items), rows, max(1, min(VARIED, MOST_BATCH_BYTES // max(1, width))))
    batches = tuple({name: column([values[i] for i in pick]) for name, values in columns.items()} for pick in picks)
    wanted = tuple(
        Sample({}, {name: [asked.wanted[i].outputs[name] for i in pick] for name in asked.wanted[0].outputs})
        for pick in picks
        if asked.wanted
    )
    return batches, wanted


def picked(items: int, rows: int, batches: int) -> list[list[int]]:
    """For each batch, which items are its rows: in turn, from the first again after the last; batches start apart."""
    apart = max(1, items // batches)
    return [
        list(islice(cycle(range(items)), batch * apart % items, batch * apart % items + rows))
        for batch in range(batches)
    ]


def column(values: Sequence[Any]) -> Any:
    """``values`` as an array if all of them are floats, or all integers; a list with missing values or text stays."""
    kinds = set(map(type, values))
    if kinds in ({float}, {int}):
        try:
            return np.array(values, np.float64 if kinds == {float} else np.int64)
        except OverflowError:  # beyond int64
            pass
    return list(values)


def tensors_of(model: Any, asked: Inputs, rows: int) -> tuple[dict[str, Any], ...]:
    """Feeds of ``rows`` rows for the graph itself. Raises InputError if its first axis is not free (rows above 1)."""
    fixed = [spec.name for spec in model.schema.inputs if not spec.shape or spec.shape[0] is not None]
    if rows > 1 and fixed:
        raise InputError(f"the graph takes no {rows} rows at once", column=fixed[0], expected="a free first axis")
    if not asked.rows:
        if rows == 1:
            return asked.items
        return tuple(joined([asked.items[i] for i in pick], rows) for pick in picked(len(asked.items), rows, VARIED))
    table = read_table(list(asked.items), model.schema)
    whole = {spec.name: blank(spec, table.rows) for spec in model.schema.inputs}
    table.fill(0, table.rows, whole)
    starts = range(len(asked.items)) if rows == 1 else range(VARIED)
    return tuple(
        {name: np.take(array, np.arange(start, start + rows), axis=0, mode="wrap") for name, array in whole.items()}
        for start in starts
    )


def joined(feeds: Sequence[Mapping[str, Any]], rows: int) -> dict[str, Any]:
    return {name: np.concatenate([feed[name] for feed in feeds])[:rows] for name in feeds[0]}


def blank(spec: Any, rows: int) -> Any:
    shape = (rows, *(1 if size is None else size for size in spec.shape[1:]))
    return np.zeros(shape, object if spec.dtype == "str" else spec.dtype)


# Answers


def checker(model: Any, wanted: Sequence[Sample]) -> Callable[[int, Any], bool]:
    """The function that says whether an answer to item i is the right one, within the bundle's tolerance.

    An answer that equals one that was found right is right, which costs little beside the call that gave it.
    """
    tolerance = model.manifest.certificate.tolerance if model.manifest is not None else {}
    known: list[Any] = [None] * len(wanted)

    def check(i: int, answer: Any) -> bool:
        if known[i] is not None and same(answer, known[i]):
            return True
        found = kept(answer, wanted[i])
        right = found is not None and golden.report([("", found, wanted[i].outputs)], tolerance, rows=1).ok
        if right:
            known[i] = answer
        return right

    return check


def kept(answer: Mapping[str, Any], wanted: Sample) -> Mapping[str, Any] | None:
    """Of an answer, the outputs that were recorded, and of tensors the places; None where shapes differ."""
    if wanted.positions is None:
        return answer
    if any(name not in answer or answer[name].shape != shape for name, shape in (wanted.shapes or {}).items()):
        return None
    return {name: answer[name].ravel()[places] for name, places in wanted.positions.items()}


def same(answer: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    for name, value in known.items():
        found: Any = answer.get(name)
        if isinstance(value, np.ndarray):
            if not np.array_equal(found, value):
                return False
        elif found != value:
            return False
    return len(answer) == len(known)


def counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
