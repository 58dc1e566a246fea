"""One POST route to the model: the request's head and body within their limits, the call, the answer, the figures.

Belongs here: what all routes to the model share, over bare ASGI. Not here: what a body means (predict.py, inference.py,
invocations.py), which path is whose (app.py).
Imported as edge_runtime.server.endpoint.

FastAPI's own way for a request (routing, exit stacks, pydantic) costs more than a small model; so these routes read and
answer ASGI messages themselves, and `Direct` leads to the hottest of them past the router.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import RouteFigures
from .problems import Problem
from .settings import Settings
from .state import State

__all__ = ["CLOSE", "JSON", "Answer", "Direct", "Endpoint", "Request"]

Headers = tuple[tuple[bytes, bytes], ...]

JSON = b"application/json"
INLINE_BYTES = 8192
"""Bodies up to here are answered on the event loop where the model is small: a thread would cost more than the call."""
CLOSE = (b"connection", b"close")
LENGTHS = {b"content-length", b"transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Request:
    """A whole body, its media type, and the names in the path."""

    body: bytes
    media_type: bytes
    path: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A body to send, and how many rows it answers."""

    body: bytes
    rows: int = 0
    status: int = 200
    headers: Headers = ()

    def head(self) -> list[tuple[bytes, bytes]]:
        return [(b"content-type", JSON), (b"content-length", b"%d" % len(self.body)), *self.headers]


@dataclass(slots=True)
class Endpoint:
    """``answer`` makes of a request its answer, in any thread, or raises Problem; ``refuse`` makes one of a Problem."""

    answer: Callable[[Request], Answer]
    refuse: Callable[[Problem], bytes]
    state: State
    settings: Settings
    figures: RouteFigures
    pool: ThreadPoolExecutor
    media_types: tuple[bytes, ...] = (JSON,)
    untyped: bytes | None = None  # what a body without a Content-Type is taken for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer_with(await self.respond(scope, receive), send)

    async def respond(self, scope: Scope, receive: Receive) -> Answer:
        """The answer to one request, and its figures taken down. Raises only what is a fault of this package."""
        start = perf_counter()
        state, figures = self.state, self.figures
        state.requests += 1
        status, rows = 500, 0
        try:
            answer = await self.attempt(scope, receive)
            status, rows = answer.status, answer.rows
        except Problem as problem:
            status = problem.status
            answer = Answer(self.refuse(problem), 0, status, problem.headers)
        finally:
            state.requests -= 1
            figures.take(perf_counter() - start, rows, status)
        return answer

    async def attempt(self, scope: Scope, receive: Receive) -> Answer:
        if self.state.requests > self.settings.max_requests:
            raise Problem(429, "too many requests at once; try again", ((b"retry-after", b"1"),))
        media_type = self.check_head(scope["headers"])
        body = await self.read(receive)
        if not body:
            raise Problem(400, "the body is empty")
        request = Request(body, media_type, scope.get("path_params") or {})
        if self.state.small and len(body) <= INLINE_BYTES:
            return self.answer(request)
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.answer, request)

    def check_head(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The body's media type. Raises Problem for one that is not taken, an encoding, a length beyond the limit."""
        media_type = self.untyped
        for name, value in headers:
            if name == b"content-type":
                media_type = value if value == JSON else bare(value)
            elif name == b"content-length":
                if not value.isdigit():
                    raise Problem(400, "Content-Length is no number")
                self.check_size(int(value))
            elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise Problem(415, "a compressed body is not taken; send it plain")
            elif name == b"inference-header-content-length":
                raise Problem(400, "the binary form of tensors is not taken; send JSON")
        if media_type not in self.media_types:
            wanted = " or ".join(each.decode() for each in self.media_types)
            raise Problem(415, f"the body must come with Content-Type: {wanted}")
        return media_type

    async def read(self, receive: Receive) -> bytes:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            self.check_size(len(body))
            return body
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                return await self.read_on(message, receive)
        except TimeoutError:
            sentence = f"the body did not arrive within {self.settings.body_seconds:g} s"
            raise Problem(408, sentence, (CLOSE,)) from None

    async def read_on(self, message: Message, receive: Receive) -> bytes:
        parts = bytearray()
        while message["type"] == "http.request":
            parts += message.get("body", b"")
            self.check_size(len(parts))
            if not message.get("more_body"):
                return bytes(parts)
            message = await receive()
        raise Problem(400, "the connection was closed within the body")

    def check_size(self, size: int) -> None:
        limit = self.settings.max_body_bytes
        if size > limit:
            raise Problem(413, f"the body is too large; this server takes up to {limit:,} bytes")


async def answer_with(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.head()})
    await send({"type": "http.response.body", "body": answer.body})


def bare(value: bytes) -> bytes:
    """A media type without parameters. Raises Problem for another charset than UTF-8."""
    kind, _, rest = value.partition(b";")
    for parameter in rest.split(b";"):
        name, _, text = parameter.strip().lower().partition(b"=")
        if name == b"charset" and text.strip(b'"') not in (b"utf-8", b"utf8", b"us-ascii"):
            raise Problem(415, "the body must be UTF-8")
    return kind.strip().lower()


class Direct:
    """Middleware: POST to one of ``paths`` goes to its endpoint at once; everything else takes FastAPI's way.

    A request that states its length twice is refused wherever it goes: of two servers in a row, one would believe the
    one, the other the other, and what one takes for the body would be a request to the other. While the process is
    draining, every answer closes its connection, so that none is open when the listener goes.
    """

    def __init__(
        self, app: ASGIApp, paths: Mapping[str, Endpoint], refuse: Callable[[Problem], bytes], state: State
    ) -> None:
        self.app, self.paths, self.refuse, self.state = app, paths, refuse, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.state.draining:
                send = closing(send)
            endpoint = self.paths.get(scope["path"])
            if {name for name, _ in scope["headers"]} >= LENGTHS:
                problem = Problem(400, "Content-Length and Transfer-Encoding exclude each other")
                refuse = self.refuse if endpoint is None else endpoint.refuse
                await answer_with(Answer(refuse(problem), 0, problem.status, (CLOSE,)), send)
                return
            if endpoint is not None and scope["method"] == "POST":
                await endpoint(scope, receive, send)
                return
        await self.app(scope, receive, send)


def closing(send: Send) -> Send:
    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start" and CLOSE not in message["headers"]:
            message = {**message, "headers": [*message["headers"], CLOSE]}
        await send(message)

    return send_and_close
