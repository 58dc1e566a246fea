"""The listening socket: opened, and made deaf before it is closed.

Belongs here: the socket itself. Not here: who accepts from it, and when it goes (process.py).
Imported as edge_runtime.server.listener.

Closing a listener resets every connection that the kernel has made and nobody has accepted yet, so under load some
client is always cut off. Linux can filter what reaches a socket: with SYN packets dropped there are no new connections,
those half made are finished and accepted, and then there is nothing left to reset. Whoever tries meanwhile tries again
a second later, and is refused.
"""

from __future__ import annotations

import ctypes
import socket
import sys

from edge_runtime.errors import InputError

__all__ = ["BACKLOG", "deafen", "listen", "url_of"]

BACKLOG = 2048
SO_ATTACH_FILTER = 26
# Classic BPF over the TCP header: load the byte of flags; of SYN and ACK, is only SYN set? drop : keep.
DROP_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


class Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction)))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises InputError where there is none to be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise unavailable(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise unavailable(host, port, error) from error
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def unavailable(host: str, port: int, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(f"{host} port {port}: {reason}", expected="an address of this machine and a free port")


def deafen(listener: socket.socket) -> bool:
    """Let ``listener`` take no new connection, and finish those under way; False where the system cannot do so."""
    if sys.platform != "linux":
        return False
    instructions = (Instruction * len(DROP_SYN))(*(Instruction(*fields) for fields in DROP_SYN))
    program = Program(len(DROP_SYN), instructions)
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))
    except OSError:  # a sandbox may not know it
        return False
    return True
