"""The process around the application, and an end that loses nothing.

Belongs here: signals, draining, uvicorn's settings. Not here: the application (app.py), the socket (listener.py),
options (cli.py).
Imported as edge_runtime.server.process.

SIGTERM: at once, readiness fails and every answer closes its connection; after `grace_seconds`, when load balancers
have looked away, the listener goes; what is in progress has `drain_seconds`.
A second SIGTERM, and Ctrl-C, skip the grace.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from time import monotonic
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .endpoint import CLOSE, Answer
from .listener import BACKLOG, deafen, url_of
from .predict import refuse
from .problems import Problem
from .state import State

__all__ = ["run"]

KEEP_ALIVE = 75  # seconds: longer than load balancers keep theirs, so that it is they who close an idle connection
HANDSHAKE = 0.2  # seconds for connections that are half made to be made, and accepted
SETTLE = 1.0  # seconds for connections that are open when the listener goes to bring the request they were opened for


def run(app: FastAPI, listener: socket.socket, *, grace_seconds: float, drain_seconds: float) -> None:
    """Serve until a signal ends it: returns after SIGTERM, once all is answered; KeyboardInterrupt after Ctrl-C."""
    config = uvicorn.Config(
        app, http=Protocol, ws="none", loop="asyncio", lifespan="on", log_level="warning", access_log=False,
        proxy_headers=False, server_header=False, backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )  # fmt: skip
    DrainingServer(config, app.state.server, grace_seconds).run([listener])


class Protocol(H11Protocol):
    """uvicorn's protocol, whose answer to what is no HTTP has the form of all other errors."""

    def send_400_response(self, msg: str) -> None:
        body = refuse(Problem(400, "the request is not valid HTTP/1.1"))
        headers = [*Answer(body).head(), CLOSE]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class DrainingServer(uvicorn.Server):
    """uvicorn's server with a grace time between the signal and the listener's end."""

    def __init__(self, config: uvicorn.Config, state: State, grace_seconds: float) -> None:
        super().__init__(config)
        self.state, self.grace_seconds = state, grace_seconds
        self.deadline: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or self.state.draining:
            super().handle_exit(sig, frame)
        else:
            self.deadline = monotonic() + self.grace_seconds
            print(f"SIGTERM: not ready any more, closing in {self.grace_seconds:g} s", file=sys.stderr, flush=True)
        self.state.draining = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        app = self.config.app
        assert isinstance(app, FastAPI)
        for listener in sockets or []:  # from here on a signal is heard
            print(f"{app.title} {app.version} at {url_of(listener)}, documentation at /docs", flush=True)

    async def on_tick(self, counter: int) -> bool:
        if self.deadline is not None and monotonic() >= self.deadline:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:
            deafen(listener)
        await asyncio.sleep(HANDSHAKE)
        for server in self.servers:
            server.close()
        end = monotonic() + (0.0 if self.deadline is None else SETTLE)
        while self.server_state.connections and monotonic() < end and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)
