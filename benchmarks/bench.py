"""What `edge-bench` does: measure or read, print, write a page, and answer with an exit status.

Belongs here: the command, whoever parsed it. Not here: parsing (cli.py with click, __main__.py without), which
measurements are made (plan.py).
Imported as edge_runtime.benchmarks.bench.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from edge_runtime.errors import EdgeError, InputError, IntegrityError, VariantWarning
from edge_runtime.words import printable

from .document import Document, read_document
from .figures import csv_of
from .gating import EnvironmentsDiffer
from .options import Request, request_of
from .plan import compared, measured
from .progress import progress_line
from .screen import document_text

__all__ = ["bench"]

NO, WRONG_USE, UNFIT, INTERRUPTED = 1, 2, 4, 130


def bench(words: Sequence[str], given: Mapping[str, Any]) -> int:
    """Do what the command line says: its ``words`` and the options ``given`` (options.py); return the exit status."""
    try:
        request = request_of(words, given)
        prepare(request)
        with warnings_in_a_line():
            document = document_of(request)
        if request.html is not None:
            write_page(document, request.html)
    except IntegrityError as error:
        return complain(str(error), NO)
    except EnvironmentsDiffer as error:
        return complain(f"{error}: --anyway", UNFIT)
    except EdgeError as error:
        return complain(str(error), WRONG_USE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        return complain(f"{place}{(error.strerror or str(error)).lower()}", WRONG_USE)
    except KeyboardInterrupt:
        return INTERRUPTED
    show(document, request)
    return document.status


def document_of(request: Request) -> Document:
    match request.command:
        case "show":
            return read_document(request.model)
        case "compare":
            return compared(request)
        case _:
            with progress_line() as line:
                return measured(request, line)


def prepare(request: Request) -> None:
    """Fail now rather than behind a minute of measuring. Raises MissingExtraError, InputError."""
    if request.html is None:
        return
    from edge_runtime.report import require

    require(used_by="edge-bench --html")
    folder = os.path.dirname(request.html) or "."
    file = request.html if os.path.exists(request.html) else folder
    if not os.path.isdir(folder) or os.path.isdir(request.html) or not os.access(file, os.W_OK):
        expected = "a file's name in a folder that is there, and may be written to"
        raise InputError(f"{request.html} cannot be written", expected=expected)


def write_page(document: Document, path: str) -> None:
    from .pages import page_of

    text = page_of(document)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def show(document: Document, request: Request) -> None:
    """Print the document as it was asked for."""
    if request.json:
        print(json.dumps(document.to_json(), separators=(",", ":")))
    elif request.csv:
        print(csv_of(document.figures()))
    else:
        print(document_text(document))
    sys.stdout.flush()


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Each warning of a variant that is left out once, without the line of code that gave it."""
    told: set[str] = set()

    def warn(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            print(f"edge-bench: warning: {printable(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", VariantWarning)
        warnings.showwarning = warn
        yield


def complain(problem: str, status: int) -> int:
    print(f"edge-bench: {printable(problem)}", file=sys.stderr)
    return status
