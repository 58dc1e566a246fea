"""Every error that edge-runtime raises on purpose.

    EdgeError
     ├── BundleError (ValueError)         the file is not a bundle that may be opened
     │    ├── IntegrityError              its bytes are not those that were written, or its answers are not
     │    └── FormatVersionError          a format that this version does not read
     ├── InputError (ValueError)          a row does not fit the schema
     ├── UnsupportedModelError (TypeError)  a source that cannot be converted without guessing
     ├── ParityError                      converted and source do not answer alike; nothing was written
     ├── BudgetError                      a demanded budget cannot be kept
     └── MissingExtraError (ImportError)  an optional dependency is not installed

    VariantWarning (RuntimeWarning)       one variant of a bundle does not answer right here, another one does

Belongs here: one class per decision that a caller can take, its fields, its one message. Not here: when to raise them.
Imported as edge_runtime.errors; the names are public in edge_runtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "BudgetError",
    "BundleError",
    "EdgeError",
    "FormatVersionError",
    "InputError",
    "IntegrityError",
    "MissingExtraError",
    "ParityError",
    "UnsupportedModelError",
    "VariantWarning",
    "extra",
]


class EdgeError(Exception):
    """Base of all errors of this package. They pass from process to process with their fields."""

    def __reduce__(self) -> tuple[Any, ...]:  # the usual one calls the class with the message alone
        return _again, (type(self), self.args, self.__dict__)


class BundleError(EdgeError, ValueError):
    """The file is not a bundle that may be opened."""


class IntegrityError(BundleError):
    """The bundle's bytes are not those that were written, or its answers here are not those that were recorded."""


class FormatVersionError(BundleError):
    """The bundle has a format version that this version of edge-runtime does not read."""

    def __init__(self, found: object, *, supported: str) -> None:
        self.found, self.supported = found, supported
        super().__init__(f"bundle format {found!r} is not supported; expected {supported}")


class InputError(EdgeError, ValueError):
    """A row, a table or a tensor does not fit the schema.

    ``column`` is the column's or the tensor's name, ``row`` counts from 0; either is None where it does not apply.
    """

    def __init__(self, problem: str, *, expected: str, column: str | None = None, row: int | None = None) -> None:
        self.problem, self.expected, self.column, self.row = problem, expected, column, row
        place = [f"column {column!r}"] if column is not None else []
        place += [f"row {row}"] if row is not None else []
        where = f" ({', '.join(place)})" if place else ""
        super().__init__(f"{problem}{where}; expected {expected}")


class UnsupportedModelError(EdgeError, TypeError):
    """The source, or a part of it, cannot be converted without guessing."""

    def __init__(self, what: str, *, advice: str) -> None:
        self.what, self.advice = what, advice
        super().__init__(f"{what}; {advice}")


class ParityError(EdgeError):
    """The converted model does not answer as its source does. ``rows`` holds the worst ones as printable text."""

    def __init__(self, summary: str, *, rows: str) -> None:
        self.summary, self.rows = summary, rows
        super().__init__(f"{summary}; nothing was written\n{rows}" if rows else f"{summary}; nothing was written")


class BudgetError(EdgeError):
    """No candidate keeps a budget that was demanded. ``outcome`` is all that was tried."""

    def __init__(self, problem: str, *, outcome: Any = None) -> None:
        self.outcome = outcome
        super().__init__(problem)


class MissingExtraError(EdgeError, ImportError):
    """An optional dependency is missing. ``extra`` is the name to install it by."""

    def __init__(self, used_by: str, *, extra: str, missing: str | None) -> None:
        self.used_by, self.extra, self.missing = used_by, extra, missing
        super().__init__(f"{used_by} needs {missing}, which is not installed: pip install 'edge-runtime[{extra}]'")


class VariantWarning(RuntimeWarning):
    """A variant of a bundle cannot be opened here or answers otherwise than was recorded, so another one was taken."""


def _again(kind: type[EdgeError], args: tuple[Any, ...], fields: dict[str, Any]) -> EdgeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


@contextmanager
def extra(name: str, *, used_by: str) -> Iterator[None]:
    """Turn a missing optional import into the command that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(used_by, extra=name, missing=error.name) from error
