"""What a running server knows of itself: ready or draining, and how busy.

Belongs here: the facts that routes, probes and the process share. Not here: the answers made of them (probes.py).
Imported as edge_runtime.server.state.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["State"]


@dataclass(slots=True)
class State:
    """``small``: a call takes microseconds. ``requests`` are in progress. ``draining``: the end has come."""

    small: bool
    requests: int = 0
    draining: bool = False
