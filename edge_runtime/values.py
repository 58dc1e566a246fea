"""What a value may be: the law for one value, and for an array of one column's values.

Belongs here: which values a column accepts, what of them enters the graph, and how a refusal reads. Not here: where the
values come from (tables.py, row.py). Imported as edge_runtime.values.

`one` is the law. `many` is its fast form: it gives the same bits, and leaves to `one` whatever is not plainly right.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .errors import BundleError, InputError
from .schema import INTEGER_RANGE, ColumnSpec, Schema

__all__ = ["Coder", "coder", "coders", "plain", "shorten"]

Scalar = float | int | bool | str
Absent = NDArray[np.bool_] | None

# Integers up to here are exact in the float dtype; beyond, neighbours fall together.
EXACT = {"float64": 2**53, "float32": 2**24, "float16": 2**11}
STRUCT_FORMAT = {"float32": "<f", "float16": "<e"}  # the native "f" overflows in silence
INTEGER_CHARS = "bBhHiIlLqQ"
FLOAT_CHARS = "efd"  # not g: a long double would be rounded
NUMPY_SCALARS = frozenset("?U" + INTEGER_CHARS + FLOAT_CHARS)
LONGEST_SHOWN = 40


class Coder:
    """One column in its tensor. ``dtype`` is the tensor's (object for text). Safe to share among threads."""

    takes = ""  # dtype characters of the arrays that `_many` understands

    def __init__(self, column: ColumnSpec, dtype: np.dtype[Any]) -> None:
        self.column, self.dtype = column, dtype
        self.nullable = column.nullable and dtype.kind == "f"  # elsewhere there is nothing that could say "missing"
        self.members: frozenset[Any] | None = None  # what alone is accepted, where that is a list
        self.listed: NDArray[Any] | None = None
        self.expected = "a value"

    def one(self, value: object, row: int | None) -> Scalar:
        """What ``value`` puts into the tensor: float, int, bool or str, after the tensor's dtype; NaN where missing.

        Raises InputError, with the column and ``row``, if the column does not accept the value.
        """
        known = plain(value)
        if known is None:
            if not self.nullable:
                raise InputError("a value is missing", expected=self.expected, column=self.column.name, row=row)
            return math.nan
        return self._one(known, row)

    def many(self, values: Sequence[Any] | NDArray[Any], missing: Absent, start: int) -> NDArray[Any]:
        """What ``values`` (a list, or an array of shape [N] and any dtype) put into the tensor: shape [N], its dtype.

        ``missing`` (bool, [N]) marks values that are missing whatever they hold. ``start`` is the row number of the
        first. The result may be ``values`` itself. Raises InputError for the first value that is not accepted.
        """
        array: NDArray[Any] | None
        if missing is not None and not missing.any():
            missing = None
        if isinstance(values, np.ndarray) and values.dtype.kind not in "OUT":
            array, absent = values, missing
        else:
            array, absent = pack(merge(values, missing))
        if array is not None and array.dtype.char in self.takes:
            made = self._many(array, absent)
            if made is not None:
                return made
        return self._each(values, missing, start)

    def _each(self, values: Sequence[Any] | NDArray[Any], missing: Absent, start: int) -> NDArray[Any]:
        out = np.empty(len(values), self.dtype)
        for i, value in enumerate(values):
            out[i] = self.one(None if missing is not None and missing[i] else value, start + i)
        return out

    def _one(self, value: Any, row: int | None) -> Scalar:
        raise NotImplementedError

    def _many(self, values: NDArray[Any], missing: Absent) -> NDArray[Any] | None:
        """The fast form over an array whose dtype is in ``takes``; None wherever `one` has to look."""
        raise NotImplementedError

    def _extent(self, values: NDArray[Any], missing: Absent) -> tuple[Absent, Any, Any] | None:
        """Which values are missing, and the least and the largest of the others (inf, -inf if there are none).

        None if there are missing values and the column is not nullable.
        """
        known = values if missing is None else values[~missing]
        absent, low = missing, least(known)
        if math.isnan(low):
            absent = np.isnan(values) if missing is None else np.isnan(values) | missing
        if absent is not None and not self.nullable:
            return None
        if not math.isnan(low):
            return absent, low, np.maximum.reduce(known).item() if known.size else -math.inf
        low = np.fmin.reduce(known).item()  # passes over NaN
        return (absent, math.inf, -math.inf) if math.isnan(low) else (absent, low, np.fmax.reduce(known).item())

    def _finish(self, out: NDArray[Any], absent: Absent) -> NDArray[Any] | None:
        if self.listed is not None:
            listed = np.isin(out, self.listed)
            if not (listed if absent is None else listed | absent).all():
                return None
        if absent is not None:
            out = out.copy()
            np.putmask(out, absent, math.nan)  # always the same NaN, whatever bits came in
        return out

    def _close(self, members: Iterable[Scalar]) -> None:
        self.members = frozenset(members)
        self.listed = np.array(list(self.members), self.dtype)

    def _check_member(self, value: Scalar, given: object, row: int | None) -> None:
        if self.members is not None and value not in self.members:
            self._refuse(given, row, self._listed())

    def _listed(self) -> str:
        categories = self.column.categories or ()
        first = ", ".join(shorten(value) for value in categories[:5])
        return f"one of {first}" + (f", … ({len(categories)} in all)" if len(categories) > 5 else "")

    def _refuse(self, value: object, row: int | None, expected: str | None = None) -> NoReturn:
        raise InputError(f"got {describe(value)}", expected=expected or self.expected, column=self.column.name, row=row)


class FloatCoder(Coder):
    """A float column. It is rounded to the narrower of the column's and the tensor's dtype: both declare it."""

    takes = FLOAT_CHARS + INTEGER_CHARS

    def __init__(self, column: ColumnSpec, dtype: np.dtype[Any]) -> None:
        super().__init__(column, dtype)
        self.low, self.high = bounds(column)
        self.narrow = min(np.dtype(column.dtype), dtype, key=lambda kind: kind.itemsize)
        self.format = STRUCT_FORMAT.get(self.narrow.name)
        self.expected = between("a number", self.low, self.high)
        if not column.open and column.categories is not None:
            try:
                self._close(self._round(float(value)) for value in column.categories)
            except OverflowError:
                raise BundleError(f"column {column.name!r} has categories beyond {self.narrow.name}") from None

    def _round(self, value: float) -> float:
        """Raises OverflowError if a finite ``value`` would become infinite."""
        if self.format is None:
            return value
        rounded: float = struct.unpack(self.format, struct.pack(self.format, value))[0]
        return rounded

    def _one(self, value: Any, row: int | None) -> Scalar:
        number = value
        if type(value) is int:
            if abs(value) > EXACT["float64"]:
                self._refuse(value, row, "a float, or an integer up to 2**53 in size")
            number = float(value)
        elif type(value) is not float:
            self._refuse(value, row)
        if not self.low <= number <= self.high:
            self._refuse(value, row)
        try:
            number = self._round(number)
        except OverflowError:
            self._refuse(value, row, f"a number that {self.narrow.name} can hold")
        self._check_member(number, value, row)
        return float(number)

    def _many(self, values: NDArray[Any], missing: Absent) -> NDArray[Any] | None:
        extent = self._extent(values, missing)
        if extent is None:
            return None
        absent, low, high = extent
        if low <= high and not (self.low <= low and high <= self.high):
            return None
        if values.dtype.kind != "f":
            if low <= high and not (-EXACT["float64"] <= low and high <= EXACT["float64"]):
                return None
            values = values.astype(np.float64)
        if values.dtype.itemsize > self.narrow.itemsize:
            with np.errstate(over="ignore", invalid="ignore"):
                rounded = values.astype(self.narrow)
            overflown = np.isinf(rounded) & np.isfinite(values)
            if (overflown if absent is None else overflown & ~absent).any():
                return None
            values = rounded
        return self._finish(values.astype(self.dtype, copy=False), absent)


class IntegerCoder(Coder):
    """An integer column; its range is what the column's dtype, the tensor's dtype and the bounds all hold exactly."""

    takes = FLOAT_CHARS + INTEGER_CHARS

    def __init__(self, column: ColumnSpec, dtype: np.dtype[Any]) -> None:
        super().__init__(column, dtype)
        smallest, largest = INTEGER_RANGE[column.dtype]
        exact = EXACT.get(dtype.name)
        narrowest = (-exact, exact) if exact else INTEGER_RANGE[dtype.name]
        low, high = bounds(column)
        self.low = max(smallest, narrowest[0], smallest if low == -math.inf else math.ceil(low))
        self.high = min(largest, narrowest[1], largest if high == math.inf else math.floor(high))
        self.range = f"an integer between {self.low} and {self.high}"
        bounded = math.isfinite(low) or math.isfinite(high)
        self.expected = self.range if bounded else "an integer"
        if not column.open and column.categories is not None:
            self._close(value for value in column.categories if self.low <= int(value) <= self.high)

    def _one(self, value: Any, row: int | None) -> Scalar:
        if type(value) is not int and not (type(value) is float and value.is_integer()):
            self._refuse(value, row)
        if not self.low <= value <= self.high:
            self._refuse(value, row, self.range)
        self._check_member(value, value, row)
        return float(value) if self.dtype.kind == "f" else int(value)

    def _many(self, values: NDArray[Any], missing: Absent) -> NDArray[Any] | None:
        extent = self._extent(values, missing)
        if extent is None:
            return None
        absent, low, high = extent
        if low <= high and not (self.low <= low and high <= self.high):  # Python's own comparison: exact
            return None
        if values.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                whole = np.trunc(values) == values
            if not (whole if absent is None else whole | absent).all():
                return None
        with np.errstate(over="ignore", invalid="ignore"):  # what lies under a missing value may be anything
            return self._finish(values.astype(self.dtype, copy=False), absent)


class BoolCoder(Coder):
    """A column of true and false."""

    takes = "?"

    def __init__(self, column: ColumnSpec, dtype: np.dtype[Any]) -> None:
        super().__init__(column, dtype)
        self.expected = "true or false"
        self.python: type[float | int | bool] = {"f": float, "b": bool}.get(dtype.kind, int)
        if not column.open and column.categories is not None:
            self._close(column.categories)

    def _one(self, value: Any, row: int | None) -> Scalar:
        if type(value) is not bool:
            self._refuse(value, row)
        self._check_member(value, value, row)
        return self.python(value)

    def _many(self, values: NDArray[Any], missing: Absent) -> NDArray[Any] | None:
        if missing is not None and not self.nullable:
            return None
        return self._finish(values.astype(self.dtype, copy=False), missing)


class CodeCoder(Coder):
    """A text column in a tensor of numbers: each text becomes its position among the categories, or -1."""

    def __init__(self, column: ColumnSpec, dtype: np.dtype[Any]) -> None:
        super().__init__(column, dtype)
        self.codes = {text: code for code, text in enumerate(column.categories or ())}
        self.expected = "text"
        self.python: type[float | int] = float if dtype.kind == "f" else int

    def _one(self, value: Any, row: int | None) -> Scalar:
        if type(value) is not str:
            self._refuse(value, row)
        code = self.codes.get(value)
        if code is None:
            if not self.column.open:
                self._refuse(value, row, self._listed())
            code = -1
        return self.python(code)

    def many(self, values: Sequence[Any] | NDArray[Any], missing: Absent, start: int) -> NDArray[Any]:
        texts = merge(values, missing)
        strange = [] if is_text(texts) else [i for i, value in enumerate(texts) if type(value) is not str]
        if any(plain(texts[i]) is not None for i in strange) or (strange and not self.nullable):
            return self._each(texts, None, start)
        codes = np.fromiter(map(self.codes.get, texts, repeat(-1)), np.intp, len(texts))
        if not self.column.open:
            codes[strange] = 0
            if least(codes) < 0:
                return self._each(texts, None, start)
        out = codes.astype(self.dtype)
        if strange:
            out[strange] = math.nan
        return out


class TextCoder(Coder):
    """A text column in a text tensor: the text itself. Such a tensor has no missing value; "" is one like any other."""

    def __init__(self, column: ColumnSpec, dtype: np.dtype[Any]) -> None:
        super().__init__(column, dtype)
        self.expected = "text"
        if not column.open and column.categories is not None:
            self.members = frozenset(column.categories)

    def _one(self, value: Any, row: int | None) -> Scalar:
        if type(value) is not str:
            self._refuse(value, row)
        self._check_member(value, value, row)
        if not is_unicode(value):
            self._refuse(value, row, "text without lone surrogates")
        return str(value)

    def many(self, values: Sequence[Any] | NDArray[Any], missing: Absent, start: int) -> NDArray[Any]:
        texts = merge(values, missing)
        if (
            not is_text(texts)
            or not is_unicode("".join(texts))
            or not (self.members is None or self.members >= set(texts))
        ):
            return self._each(texts, None, start)
        out = np.empty(len(texts), object)
        out[:] = texts
        return out


def coders(schema: Schema) -> tuple[Coder, ...]:
    """The coder of each of the schema's columns, in order. Raises BundleError as `coder` does."""
    dtypes = {tensor.name: tensor.dtype for tensor in schema.inputs}
    return tuple(coder(column, dtypes[column.tensor]) for column in schema.columns)


def coder(column: ColumnSpec, tensor_dtype: str) -> Coder:
    """The coder of ``column`` in a tensor of ``tensor_dtype`` (numpy's name, "str" for text).

    Raises BundleError if such a tensor cannot hold such a column.
    """
    dtype = np.dtype(object if tensor_dtype == "str" else tensor_dtype)
    kind = dtype.kind
    made: type[Coder] | None
    if column.dtype == "str":
        made = TextCoder if kind == "O" else CodeCoder if holds_codes(column, dtype) else None
    elif column.dtype == "bool":
        made = BoolCoder if kind in "biuf" else None
    elif column.dtype in INTEGER_RANGE:
        made = IntegerCoder if kind in "iuf" else None
    else:
        made = FloatCoder if kind == "f" else None
    if made is None:
        raise BundleError(f"column {column.name!r} of {column.dtype} cannot lie in a tensor of {tensor_dtype}")
    return made(column, dtype)


def holds_codes(column: ColumnSpec, dtype: np.dtype[Any]) -> bool:
    if column.categories is None or dtype.kind not in "iuf":
        return False
    exact = EXACT.get(dtype.name)
    low, high = (-exact, exact) if exact else INTEGER_RANGE[dtype.name]
    return low <= (-1 if column.open else 0) and len(column.categories) - 1 <= high


def plain(value: object) -> Any:
    """``value`` as Python's own float, int, bool or str; None if it is missing; anything else as it is.

    Missing are None, NaN of any float type, pandas.NA and Arrow's null. No library is imported to know them.
    """
    kind = type(value)
    if type(value) is float:
        return None if math.isnan(value) else value
    if value is None or kind is int or kind is str or kind is bool:
        return value
    if isinstance(value, np.generic):
        return plain(value.item()) if value.dtype.char in NUMPY_SCALARS else value
    if isinstance(value, str):
        return str.__str__(value)  # a subclass may have a hash of its own
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return plain(float(value))
    package = kind.__module__.partition(".")[0]
    if package == "pandas" and kind.__name__ == "NAType":
        return None
    if package == "pyarrow" and kind.__name__.endswith("Scalar"):
        return plain(value.as_py())  # type: ignore[attr-defined]
    return value


def merge(values: Sequence[Any] | NDArray[Any], missing: Absent) -> Sequence[Any]:
    """``values`` as a sequence of objects, with None wherever ``missing`` says so."""
    if isinstance(values, np.ndarray):
        # Only of these dtypes: tolist() makes bare integers of times.
        values = values.tolist() if values.dtype.kind in "OUT" else list(values)
    if missing is not None:
        values = [None if absent else value for value, absent in zip(values, missing.tolist(), strict=True)]
    return values


def pack(values: Sequence[Any]) -> tuple[NDArray[Any] | None, Absent]:
    """An array that holds exactly ``values``, and where None stood; no array unless all are of one Python kind."""
    kinds = set(map(type, values))
    gaps = type(None) in kinds
    kinds.discard(type(None))
    if kinds <= {float}:
        return np.array(values, np.float64), None  # None becomes NaN
    dtype = {bool: np.bool_, int: np.int64}.get(kinds.pop()) if len(kinds) == 1 else None
    if dtype is None:
        return None, None
    absent = np.array([value is None for value in values]) if gaps else None
    try:
        return np.array([value or 0 for value in values] if gaps else values, dtype), absent
    except OverflowError:
        return None, None


def least(values: NDArray[Any]) -> Any:
    """The smallest of ``values`` as Python's own number: NaN if there is one, infinite if there is no value."""
    return np.minimum.reduce(values).item() if values.size else math.inf


def is_text(values: Sequence[Any]) -> bool:
    return set(map(type, values)) <= {str}


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def bounds(column: ColumnSpec) -> tuple[float, float]:
    return -math.inf if column.low is None else column.low, math.inf if column.high is None else column.high


def between(what: str, low: float, high: float) -> str:
    least, most = (repr(bound).removesuffix(".0") for bound in (low, high))
    if math.isfinite(low) and math.isfinite(high):
        return f"{what} between {least} and {most}"
    if math.isfinite(low):
        return f"{what} of at least {least}"
    return f"{what} of at most {most}" if math.isfinite(high) else what


def describe(value: object) -> str:
    """``value`` for an error message: its type, and itself where that is short and safe to print."""
    if not isinstance(value, (str, int, float)):
        return f"a value of type {type(value).__name__}"
    return f"{type(value).__name__} {shorten(value)}"


def shorten(value: str | float) -> str:
    """``repr(value)`` on one line, escaped, of at most about 40 characters."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"of {value.bit_length()} bits"
    text = repr(value[:LONGEST_SHOWN]) if isinstance(value, str) else repr(value)
    whole = len(text) <= LONGEST_SHOWN and not (isinstance(value, str) and len(value) > LONGEST_SHOWN)
    return text if whole else f"{text[:LONGEST_SHOWN]}…"
