"""What goes wrong, as a status and one sentence that repeats no value of the request.

Belongs here: the refusal, and how the core's InputError reads to a stranger. Not here: finding what is wrong
(strict_json.py, and the core).
Imported as edge_runtime.server.problems.

InputError may quote what came; a log or a page that shows an answer must not. So the sentence is made anew, of the
column's name, the row's number, the kind of what came, and what the schema expects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.schema import Schema
from edge_runtime.values import plain, shorten
from edge_runtime.words import printable

__all__ = ["Problem", "in_columns", "kind_of", "misfit", "refusing", "unanswerable"]

KINDS: dict[type, str] = {
    bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object",
}  # fmt: skip


class Problem(Exception):
    """A request that is refused: the HTTP ``status``, the ``sentence`` for whoever sent it, and headers for it."""

    def __init__(self, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.status, self.sentence, self.headers = status, sentence, headers
        super().__init__(sentence)


def kind_of(value: object) -> str:
    """What a JSON value is, in words, without the value."""
    value = plain(value)
    return "null" if value is None else KINDS.get(type(value), "something else")


def misfit(error: InputError, schema: Schema, given: Callable[[str, int | None], Any]) -> Problem:
    """The refusal of a value, a column or a tensor that does not fit ``schema``.

    ``given(name, row)`` is what the request held there; KeyError where it held nothing.
    """
    expected = printable(error.expected)
    if error.column is None:
        return Problem(422, f"the request does not fit the model; expected {expected}")
    place = shorten(error.column) + ("" if error.row is None else f", row {error.row}")
    what = "column" if schema.columns else "tensor"
    known = {spec.name for spec in schema.columns or schema.inputs}
    if error.column not in known:
        return Problem(422, f"the {what} {place} is unknown; expected {expected}")
    try:
        value = given(error.column, error.row)
    except KeyError:
        return Problem(422, f"the {what} {place} is missing")
    if what == "tensor":
        return Problem(422, f"the tensor {place} does not fit; expected {expected}")
    return Problem(422, f"the column {place}: got {kind_of(value)}; expected {expected}")


@contextmanager
def refusing(schema: Schema, given: Callable[[str, int | None], Any]) -> Iterator[None]:
    """Turn what the model raises of a request into a Problem; ``given`` as for ``misfit``."""
    try:
        yield
    except InputError as error:
        raise misfit(error, schema, given) from None
    except UnsupportedModelError as error:
        raise unanswerable(error) from None


def in_columns(columns: Mapping[str, Any]) -> Callable[[str, int | None], Any]:
    """What ``misfit`` asks for, of columns by name."""
    return lambda name, row: columns[name] if row is None else columns[name][row]


def unanswerable(error: UnsupportedModelError) -> Problem:
    """The refusal of a model that gives no answer per row."""
    return Problem(422, f"this model does not answer row by row: {printable(error.advice)}")
