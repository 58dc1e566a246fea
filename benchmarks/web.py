"""A URL as a target: one row as JSON on a connection that stays open, as apps do that keep theirs.

Belongs here: sending rows, telling a right answer from a wrong one. Not here: which rows (inputs.py).
Imported as edge_runtime.benchmarks.web. Nothing else here talks to a network, and this only where a URL was given.
"""

from __future__ import annotations

import json
from functools import partial

from edge_runtime import golden
from edge_runtime.errors import EdgeError, InputError
from edge_runtime.timing import rotate

from .inputs import file_of_rows
from .target import Target

__all__ = ["is_url", "of_url"]

TIMEOUT = 30.0  # seconds for one answer
CLOSE_ENOUGH = 1e-6  # a server may round; a wrong answer is further off


def is_url(text: str) -> bool:
    """Whether ``text`` names a target that is asked over HTTP."""
    return text.startswith(("http://", "https://"))


def of_url(url: str, inputs: str | None) -> Target:
    """The target that sends each row of ``inputs`` (a bundle or a file of rows) to ``url`` in turn, as a JSON object.

    Raises InputError without rows, and for an answer other than 200.
    """
    if inputs is None:
        raise InputError(f"{url}: a server has no rows of its own", expected="a file of rows, or the bundle it serves")
    rows = file_of_rows(inputs)
    bodies = tuple(json.dumps(row, ensure_ascii=False).encode() for row in rows.items)
    wanted = rows.wanted
    send = partial(answer_to, Line(url))

    def check(i: int, answer: bytes) -> bool:
        found = json.loads(answer)
        outputs = {name: found.get(name) for name in wanted[i].outputs}
        tolerance = {name: max(CLOSE_ENOUGH, rows.tolerance.get(name, 0.0)) for name in outputs}
        return golden.report([("", outputs, wanted[i].outputs)], tolerance, rows=1).ok

    return Target(
        name=url,
        new_call=partial(rotate, send, bodies),
        work=f"POST, {rows.words} in turn, one connection",
        rotation=len(bodies),
        check=check if wanted else None,
        verify=(lambda: all(check(i, send(body)) for i, body in enumerate(bodies))) if wanted else None,
    )


class Line:
    """A connection that is opened again when the server has closed it."""

    def __init__(self, url: str) -> None:
        from http.client import HTTPConnection, HTTPSConnection
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"{url}: {error}", expected="http://host:port/path") from None
        if not host:
            raise InputError(f"{url} names no host", expected="http://host:port/path")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self.url, self.path = url, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.connection = kind(host, port, timeout=TIMEOUT)

    def __del__(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    def post(self, body: bytes) -> tuple[int, bytes]:
        if self.connection.sock is None:
            self.connection.connect()  # which switches Nagle's delay off
        self.connection.request("POST", self.path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def answer_to(line: Line, body: bytes) -> bytes:
    from http.client import HTTPException

    try:
        status, answer = line.post(body)
    except (OSError, HTTPException) as error:
        line.connection.close()
        raise EdgeError(f"{line.url} does not answer: {told(error)}; expected a server") from error
    if status != 200:
        raise InputError(f"{line.url} answered {status}: {answer[:200].decode('utf-8', 'replace')}", expected="200")
    return answer


def told(error: Exception) -> str:
    """Why there was no answer, without the system's numbers."""
    said = getattr(error, "strerror", None) or str(error) or "what it sent is no answer"
    return str(said).lower()
