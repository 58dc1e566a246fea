"""Golden rows: inputs and answers that travel with the model, so that any machine can check itself.

For tables they are the app's own values, as JSON that a browser or a phone can replay; for tensors, raw little-endian
entries with outputs at stated positions. Described in docs/bundle-format.md.

Belongs here: their two forms, comparing. Not here: choosing them (converters), running the model (model.py).
Imported as edge_runtime.golden; `VerificationReport` is public in edge_runtime.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import BundleError, IntegrityError, UnsupportedModelError
from .generated import Generated
from .schema import TENSOR_DTYPES, Schema, decimal

if TYPE_CHECKING:
    from .manifest import Manifest, Variant

__all__ = [
    "Sample",
    "VerificationReport",
    "decode",
    "decode_answers",
    "differences",
    "encode",
    "encode_answers",
    "kept_of",
    "recorded",
    "report",
]

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
LARGEST_GENERATED = 2**26  # bytes
POSITIONS = 256  # outputs of tensors are kept at so many places


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """Golden rows replayed here. ``largest`` is the largest difference per output (relative above 1), ``tolerance``
    what is allowed, and ``problems`` the rows that are off, in words."""

    rows: int
    largest: dict[str, float]
    tolerance: dict[str, float]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


class Sample(NamedTuple):
    """One golden row: app values of a record, or tensors by name; and the outputs. Of a tensor output that was read,
    ``positions`` are the places that were kept, and ``shapes`` says what shape the whole has."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    positions: dict[str, NDArray[np.int64]] | None = None
    shapes: dict[str, tuple[int, ...]] | None = None


def encode(samples: Sequence[Sample], schema: Schema) -> dict[str, bytes]:
    """The entries that hold the samples, by name; the first is `golden.json`.

    Raises UnsupportedModelError for an input tensor of text, which has no form here."""
    if schema.columns:
        document: dict[str, Any] = {
            "rows": [_words(sample.inputs) for sample in samples],
            "outputs": [_words(sample.outputs) for sample in samples],
        }
        return {"golden.json": _json(document)}
    entries: dict[str, bytes] = {}
    described = []
    for number, sample in enumerate(samples):
        inputs: dict[str, Any] = {}
        for name, value in sample.inputs.items():
            if isinstance(value, Generated):
                drawn = {"high": repr(value.high), "low": repr(value.low), "seed": value.seed}
                inputs[name] = {"dtype": value.dtype, "generator": drawn, "shape": list(value.shape)}
                continue
            array = np.asarray(value, order="C")
            if array.dtype.kind not in "biuf":
                raise UnsupportedModelError(f"tensor {name!r} is no number", advice="golden samples hold numbers only")
            entry = f"golden/{number}-{len(inputs)}.bin"
            entries[entry] = array.astype(array.dtype.newbyteorder("<")).tobytes()
            inputs[name] = {"dtype": array.dtype.name, "entry": entry, "shape": list(array.shape)}
        described.append({"inputs": inputs, "outputs": _described(sample.outputs)})
    return {"golden.json": _json({"samples": described}), **entries}


def encode_answers(answers: Sequence[Mapping[str, Any]], schema: Schema) -> bytes:
    """The entry that holds a variant's own answers, {output: value} to each golden row, in the order of these."""
    form = _words if schema.columns else _described
    return _json({"outputs": [form(dict(outputs)) for outputs in answers]})


def _described(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors by name, as JSON that holds their values at a few places."""
    made = {}
    for name, value in outputs.items():
        array = np.asarray(value)
        kept = places(array.size)
        made[name] = {
            "positions": kept.tolist(), "shape": list(array.shape), "values": _words(array.ravel()[kept].tolist()),
        }  # fmt: skip
    return made


def places(size: int) -> NDArray[np.int64]:
    """Up to 256 places spread evenly over ``size`` values, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, POSITIONS)).astype(np.int64)) if size else np.zeros(0, np.int64)


def decode(raw: bytes, schema: Schema, read: Callable[[str], bytes]) -> list[Sample]:
    """The samples in `golden.json`; ``read`` gives the content of another entry. Raises BundleError if it is
    malformed."""
    with _refusing():
        document = json.loads(raw)
        texts = {output.name for output in schema.outputs if output.dtype == "str"}
        if schema.columns:
            numbers = {column.name for column in schema.columns if column.dtype != "str"}
            return [
                Sample(
                    {name: _number(value) if name in numbers else value for name, value in row.items()},
                    _answer(outputs, texts),
                )
                for row, outputs in zip(document["rows"], document["outputs"], strict=True)
            ]
        samples = []
        for item in document["samples"]:
            inputs = {name: _tensor(spec, read) for name, spec in item["inputs"].items()}
            samples.append(Sample(inputs, *_kept(item["outputs"], texts)))
        return samples


def decode_answers(raw: bytes, samples: Sequence[Sample], schema: Schema) -> list[Sample]:
    """The ``samples`` with the answers in ``raw``, one for each, to the same outputs. Raises BundleError if they are
    malformed."""
    with _refusing():
        document = json.loads(raw)
        texts = {output.name for output in schema.outputs if output.dtype == "str"}
        if document.keys() != {"outputs"}:
            raise ValueError(f"a variant's own answers have the field outputs alone, found {sorted(document)}")
        made = []
        for sample, answer in zip(samples, document["outputs"], strict=True):
            if answer.keys() != sample.outputs.keys():
                raise ValueError(f"outputs {sorted(answer)} instead of {sorted(sample.outputs)}")
            answered = (_answer(answer, texts),) if schema.columns else _kept(answer, texts)
            made.append(Sample(sample.inputs, *answered))
        return made


def recorded(manifest: Manifest, variant: Variant, read: Callable[[str], bytes]) -> list[Sample]:
    """The golden rows as ``variant`` must answer them; ``read`` gives the content of an entry. Raises BundleError if
    they are malformed."""
    samples = decode(read(manifest.golden), manifest.schema, read)
    return decode_answers(read(variant.golden), samples, manifest.schema) if variant.golden else samples


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(f"golden rows are malformed ({type(error).__name__}: {error})") from None


def _answer(outputs: Mapping[str, Any], texts: set[str]) -> dict[str, Any]:
    return {name: value if name in texts else _number(value) for name, value in outputs.items()}


def _kept(
    described: Mapping[str, Any], texts: set[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.int64]], dict[str, tuple[int, ...]]]:
    """The values of each output, the places where they were kept, and the shape of the whole."""
    outputs, kept, shapes = {}, {}, {}
    for name, spec in described.items():
        outputs[name] = np.array(spec["values"] if name in texts else _number(spec["values"]))
        kept[name], shapes[name] = np.array(spec["positions"], np.int64), _sizes(spec["shape"])
        if not outputs[name].ndim == kept[name].ndim == 1 or len(outputs[name]) != len(kept[name]):
            raise ValueError(f"output {name!r} has other values than positions")
        if not len(kept[name]) and 0 not in shapes[name]:
            raise ValueError(f"output {name!r} has no value of its shape {list(shapes[name])}")
    return outputs, kept, shapes


def _tensor(spec: dict[str, Any], read: Callable[[str], bytes]) -> NDArray[Any]:
    if spec["dtype"] not in TENSOR_DTYPES - {"str"}:
        raise ValueError(f"the dtype {spec['dtype']!r} is not one of a tensor of numbers")
    dtype = np.dtype(spec["dtype"])
    if "generator" in spec:
        drawn, shape = spec["generator"], _sizes(spec["shape"])
        if math.prod(shape) * dtype.itemsize > LARGEST_GENERATED or type(drawn["seed"]) is not int:
            raise ValueError(f"a tensor of {list(shape)} is not generated")
        low, high = (decimal(drawn[name], name) for name in ("low", "high"))
        return Generated(dtype.name, shape, drawn["seed"], low, high).array()
    return np.frombuffer(read(spec["entry"]), dtype.newbyteorder("<")).reshape(_sizes(spec["shape"])).astype(dtype)


def _sizes(shape: Any) -> tuple[int, ...]:
    if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{shape!r} is not a list of sizes")
    return tuple(shape)


def kept_of(found: Mapping[str, NDArray[Any]], sample: Sample, what: str) -> dict[str, NDArray[Any]]:
    """Of a graph's outputs, the values at the places that ``sample``, called ``what``, has kept. Raises IntegrityError
    for an output of another shape, and for places beyond it."""
    positions, shapes = sample.positions or {}, sample.shapes or {}
    kept = {}
    for name in sample.outputs:
        if name not in found:
            continue
        at, shape, size = positions[name], found[name].shape, found[name].size
        if shape != shapes[name]:
            problem = f"{name!r} of the shape {list(shape)}, recorded {list(shapes[name])}"
            raise IntegrityError(f"{what} is answered with {problem}")
        if not 0 <= at.min(initial=0) <= at.max(initial=0) < max(1, size):
            raise IntegrityError(f"{what} has positions beyond the {size} values of {name!r}")
        kept[name] = found[name].ravel()[at]
    return kept


def differences(found: Any, wanted: Any) -> NDArray[np.float64]:
    """|found - wanted| of each value, relative where |wanted| is above 1; infinite where text, a bool, a shape or the
    place of a NaN differs."""
    try:
        a, b = np.asarray(found), np.asarray(wanted)
    except ValueError:  # lists of unequal lengths
        return np.full((1,), math.inf)
    if a.shape != b.shape:
        return np.full(b.shape if b.size else (1,), math.inf)
    if a.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        return np.where(a == b, 0.0, math.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        same = (a == b) | ((a != a) & (b != b))
        gap = np.abs(a.astype(np.float64) - b.astype(np.float64)) / np.maximum(1.0, np.abs(b))
        gap = np.where(gap == 0.0, 2.0**-52, gap)  # integers that are one float64: at most so far apart
    made: NDArray[np.float64] = np.where(same, 0.0, np.where(gap == gap, gap, math.inf))
    return made


def report(
    pairs: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]], tolerance: Mapping[str, float], *, rows: int
) -> VerificationReport:
    """Compare (what, found, wanted) triples of ``rows`` golden rows. An output without a tolerance must be equal."""
    largest: dict[str, float] = {}
    problems: list[str] = []
    for what, found, wanted in pairs:
        if found.keys() != wanted.keys():
            problems.append(f"{what}: outputs {sorted(found)} instead of {sorted(wanted)}")
            continue
        for name in wanted:
            gaps = differences(found[name], wanted[name])
            gap = float(gaps.max(initial=0.0))
            largest[name] = max(largest.get(name, 0.0), gap)
            if gap > tolerance.get(name, 0.0):
                here, there = found[name], wanted[name]
                if isinstance(here, np.ndarray) and isinstance(there, np.ndarray) and here.shape == there.shape:
                    here, there = (array.ravel().tolist()[gaps.argmax()] for array in (here, there))
                problems.append(f"{what}: {name} is {_shown(here)}, recorded {_shown(there)}")
    return VerificationReport(rows, largest, dict(tolerance), tuple(problems))


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _shown(value: Any) -> str:
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 200 else text[:200] + "…"


def _words(value: Any) -> Any:
    """JSON has no NaN and no infinities: text instead."""
    if isinstance(value, dict):
        return {name: _words(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_words(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(item) for item in value]
    return WORDS.get(value, value) if isinstance(value, str) else value
