"""What a request may cost: the limits, and what they are where nobody says.

Belongs here: figures that a user may set. Not here: keeping them (endpoint.py, strict_json.py), when a process ends
(process.py).
Imported as edge_runtime.server.settings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from edge_runtime.errors import InputError

__all__ = ["Settings"]


@dataclass(frozen=True)  # without slots: the defaults are read off the class
class Settings:
    """The limits of one application. Raises InputError for one that is not positive."""

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 10_000
    max_nesting: int = 64
    max_requests: int = 256
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise InputError(f"{field.name} is {value}", expected="a positive number")
