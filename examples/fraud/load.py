"""Load on an HTTP server from this process: many connections, each asks again as soon as it is answered."""

from __future__ import annotations

import asyncio
import time
from functools import partial

__all__ = ["requests_per_second"]


class Asking(asyncio.Protocol):
    """One kept connection. An answer is whole when as many bytes came as its Content-Length says."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[int]) -> None:
        self.request, self.until, self.done = request, until, done
        self.answered, self.pending = 0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.pending += data
        head, found, body = self.pending.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.fail(ValueError(f"answered with {head.partition(bytes([13]))[0]!r}"))
            return
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < size:
            return
        self.pending = b""
        self.answered += 1
        if time.monotonic() < self.until:
            self.transport.write(self.request)
        else:
            self.transport.close()
            self.done.set_result(self.answered)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.fail(exc or ConnectionError("the server closed the connection"))

    def fail(self, problem: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(problem)
        self.transport.close()


def requests_per_second(port: int, path: str, body: bytes, *, connections: int = 16, seconds: float = 2.0) -> float:
    """POST ``body`` to ``path`` for so long. Raises ValueError for an answer other than 200."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    async def ask() -> int:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + seconds
        waiting: list[asyncio.Future[int]] = [loop.create_future() for _ in range(connections)]
        for done in waiting:
            await loop.create_connection(partial(Asking, request, until, done), "127.0.0.1", port)
        return sum(await asyncio.gather(*waiting))

    began = time.monotonic()
    return asyncio.run(ask()) / (time.monotonic() - began)
