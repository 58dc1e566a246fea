"""What a model is asked with: golden rows, the rows of a file, or tensors made up from its schema; always several.

Belongs here: the rows, batches and tensors made of them, and telling a right answer from a wrong one. Not here: how
they are asked (opening.py).
Imported as edge_runtime.benchmarks.inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np

from edge_runtime import golden
from edge_runtime.errors import InputError
from edge_runtime.golden import Sample
from edge_runtime.tables import read_table

__all__ = ["Inputs", "batches_of", "checker", "file_of_rows", "inputs_of", "tensors_of", "tolerance_of"]

VARIED = 16  # tensors made up when there are no rows, and batches: enough to rotate, few enough to hold images
MOST_ROWS = 4_096  # of a file
MOST_BATCH_BYTES = 64_000_000  # all batches of one size together


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """``items`` are rows (records of app values) or feeds (tensors by name, one row each); ``words`` says what they
    are, ``wanted`` which answers to the first of them are right, and ``tolerance`` how far off they
    may be where no model says it."""

    items: tuple[dict[str, Any], ...]
    rows: bool
    words: str
    wanted: tuple[Sample, ...] = ()
    tolerance: Mapping[str, float] = field(default_factory=dict)


def inputs_of(model: Any, path: str | None = None) -> Inputs:
    """The rows of the file ``path``, else the model's golden rows, else made-up tensors. Of another bundle than the
    model's, rows alone are taken: its answers are another model's."""
    bundle = opened(path) if path is not None and is_bundle(path) else None
    if path is not None and bundle is None:
        return from_file(model, path)
    own = bundle is None or bundle.digest == model.digest
    samples = tuple(model.golden_rows() if own else golden_rows_of(bundle))
    if samples:
        items = tuple(sample.inputs for sample in samples)
        words = counted(len(items), "golden row") + ("" if path is None else f" of {path}")
        if len(items) == 1 and not model.schema.columns:
            items, words = (*items, *rolled(items[0])), f"{words} and {VARIED - 1} made of it"
        wanted = samples if own else ()
        return Inputs(items=items, rows=bool(model.schema.columns), words=words, wanted=wanted)
    return Inputs(items=made_up(model.schema.inputs), rows=False, words=counted(VARIED, "made-up input"))


def is_bundle(path: str) -> bool:
    return path.lower().endswith(".edge")


def opened(path: str) -> Any:
    from edge_runtime.bundle import Bundle

    return Bundle.open(path)


def golden_rows_of(bundle: Any) -> list[Sample]:
    """A bundle's golden rows, as its first variant answers them."""
    return golden.recorded(bundle.manifest, bundle.manifest.variants[0], bundle.read)


def from_file(model: Any, path: str) -> Inputs:
    from edge_runtime.rows import read_for, read_tensors

    words = f"of {path}"
    if not model.schema.columns:
        feeds = feeds_of(model.schema.inputs, read_tensors(path), path)
        count = len(feeds)
        return Inputs(items=feeds, rows=False, words=f"{counted(count, 'row')} {words}")
    items = tuple(islice(records(read_for(model.schema, path).data), MOST_ROWS))
    known = {column.name for column in model.schema.columns}
    kept = tuple({name: value for name, value in row.items() if name in known} for row in items)
    return Inputs(items=kept, rows=True, words=f"{counted(len(kept), 'row')} {words}")


def rolled(feed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Feeds of the same values at other places: one feed alone would flatter caches and branch prediction."""
    return [
        {name: np.roll(array, i, axis=-1) if array.ndim else array for name, array in feed.items()}
        for i in range(1, VARIED)
    ]


def feeds_of(inputs: Any, arrays: Mapping[str, Any], path: str) -> tuple[dict[str, Any], ...]:
    """One feed for each sample along the arrays' first axes; arrays that are no inputs (TensorSpecs) are left out.
    Raises InputError for one that is missing, and for no samples."""
    for spec in inputs:
        found = arrays.get(spec.name)
        if found is None or found.ndim not in (len(spec.shape), len(spec.shape) + 1) or not found.ndim:
            problem = "is not there" if found is None else f"has the shape {list(found.shape)}"
            raise InputError(f"{path}: a tensor {problem}", column=spec.name, expected="all samples along a first axis")
    count = min(MOST_ROWS, *(len(arrays[spec.name]) for spec in inputs), MOST_ROWS)
    if not count:
        raise InputError(f"{path}: there are no samples in it", expected="one or more")
    return tuple(
        {
            spec.name: np.asarray(
                arrays[spec.name][i] if arrays[spec.name].ndim > len(spec.shape) else arrays[spec.name][i : i + 1]
            )
            for spec in inputs
        }
        for i in range(count)
    )


def file_of_rows(path: str) -> Inputs:
    """The rows of a file that nobody has a schema for; of a bundle, its golden rows with their answers."""
    from edge_runtime.rows import read_rows

    if is_bundle(path):
        bundle = opened(path)
        samples = tuple(golden_rows_of(bundle))
        if not samples or any(sample.positions for sample in samples):
            raise InputError(f"{path}: there are no golden rows in it to send", expected="a bundle of a table, or rows")
        items = tuple(sample.inputs for sample in samples)
        words, allowed = counted(len(items), "golden row"), tolerance_of(bundle.manifest)
        return Inputs(items=items, rows=True, words=words, wanted=samples, tolerance=allowed)
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
        return tensors_of(model, asked, rows), together(asked, rows)
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


def together(asked: Inputs, rows: int) -> tuple[Sample, ...]:
    """The right answers to the batches that `tensors_of` makes; () unless all are known, one row of each output."""
    wanted = asked.wanted
    shapes = [shape for sample in wanted for shape in (sample.shapes or {}).values()]
    if rows == 1:
        return wanted
    if not shapes or len(wanted) < len(asked.items) or any(shape[:1] != (1,) for shape in shapes):
        return ()
    picks = picked(len(wanted), rows, batches_that_fit(asked.items[0], rows))
    return tuple(one_answer([wanted[i] for i in pick]) for pick in picks)


def one_answer(samples: Sequence[Sample]) -> Sample:
    """The answers to samples of one row each, as the one to all of them at once."""
    outputs, positions, shapes = {}, {}, {}
    for name, shape in (samples[0].shapes or {}).items():
        size = int(np.prod(shape))
        outputs[name] = np.concatenate([sample.outputs[name] for sample in samples])
        positions[name] = np.concatenate([(each.positions or {})[name] + i * size for i, each in enumerate(samples)])
        shapes[name] = (len(samples), *shape[1:])
    return Sample({}, outputs, positions, shapes)


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
        picks = picked(len(asked.items), rows, batches_that_fit(asked.items[0], rows))
        return tuple(joined([asked.items[i] for i in pick], rows) for pick in picks)
    table = read_table(list(asked.items), model.schema)
    whole = {spec.name: blank(spec, table.rows) for spec in model.schema.inputs}
    table.fill(0, table.rows, whole)
    starts = range(len(asked.items)) if rows == 1 else range(VARIED)
    return tuple(
        {name: np.take(array, np.arange(start, start + rows), axis=0, mode="wrap") for name, array in whole.items()}
        for start in starts
    )


def batches_that_fit(feed: Mapping[str, Any], rows: int) -> int:
    """How many batches of so many rows like ``feed`` are made. Raises InputError if not even one should be."""
    size = rows * sum(int(array.nbytes) for array in feed.values())
    if size > MOST_BATCH_BYTES:
        raise InputError(f"{rows:,} rows are {size:,} bytes", expected=f"{MOST_BATCH_BYTES:,} bytes at once, or less")
    return max(1, min(VARIED, MOST_BATCH_BYTES // max(1, size)))


def joined(feeds: Sequence[Mapping[str, Any]], rows: int) -> dict[str, Any]:
    return {name: np.concatenate([feed[name] for feed in feeds])[:rows] for name in feeds[0]}


def blank(spec: Any, rows: int) -> Any:
    shape = (rows, *(1 if size is None else size for size in spec.shape[1:]))
    return np.zeros(shape, object if spec.dtype == "str" else spec.dtype)


# Answers


def tolerance_of(manifest: Any, variant: str | None = None) -> Mapping[str, float]:
    """What the answers of a variant (the first) may be off by, per output."""
    found: Mapping[str, float] = manifest.variant(variant).tolerance or manifest.certificate.tolerance
    return found


def checker(model: Any, wanted: Sequence[Sample]) -> Callable[[int, Any], bool | None]:
    """The function that says whether an answer to item i is the right one, within the bundle's tolerance; None for an
    item whose answer nobody knows.

    An answer that equals one that was found right is right, which costs little beside the call that gave it.
    """
    tolerance = tolerance_of(model.manifest, model.variant) if model.manifest is not None else {}
    known: list[Any] = [None] * len(wanted)

    def check(i: int, answer: Any) -> bool | None:
        if i >= len(wanted):
            return None
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
