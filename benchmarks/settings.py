"""How a target is asked: threads, spinning, graph optimisation, execution provider.

Belongs here: `Settings`, what may be set, and what each means to onnxruntime. Not here: sessions (opening.py), trying
several (sweeping.py).
Imported as edge_runtime.benchmarks.settings; `Settings` is public in edge_runtime.benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import onnxruntime

from edge_runtime.errors import InputError
from edge_runtime.parallel import usable_cores

from .stored import Stored

__all__ = ["OPTIMISATIONS", "Settings", "providers"]

Optimisation = Literal["disabled", "basic", "extended", "all"]
OPTIMISATIONS: tuple[Optimisation, ...] = ("disabled", "basic", "extended", "all")
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Stored):
    """``threads`` bounds the cores used (None: all that this process may run on). Any of the others asks a session of
    its own instead of edge-runtime's: whether its threads wait ``spinning``, the graph ``optimisation``, and the
    execution ``provider``.

    Raises InputError for more threads than cores, an unknown level, and a provider that this onnxruntime lacks.
    """

    threads: int | None = None
    spinning: bool | None = None
    optimisation: Optimisation | None = None
    provider: str | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= usable_cores():
            raise InputError(f"threads is {self.threads}", expected=f"1 to {usable_cores()}, the usable cores here")
        if self.optimisation not in (None, *OPTIMISATIONS):
            raise InputError(f"optimisation is {self.optimisation!r}", expected=f"one of {list(OPTIMISATIONS)}")
        if self.provider not in (None, *providers()):
            raise InputError(f"there is no provider {self.provider!r} here", expected=f"one of {list(providers())}")

    @property
    def own_session(self) -> bool:
        """Whether these settings take a session of their own."""
        return (self.spinning, self.optimisation, self.provider) != (None, None, None)

    def options(self) -> Any:
        """The onnxruntime.SessionOptions; what is None is as onnxruntime has it, but for the threads: all cores."""
        made = onnxruntime.SessionOptions()
        made.intra_op_num_threads = self.threads or usable_cores()
        made.inter_op_num_threads = 1
        made.log_severity_level = 4
        if self.spinning is not None:
            made.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        level = LEVELS[OPTIMISATIONS.index(self.optimisation or "all")]
        made.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        return made

    def words(self) -> str:
        """What differs from the usual, in words."""
        parts = [f"threads={self.threads}"] if self.threads is not None else []
        parts += [f"spinning={'on' if self.spinning else 'off'}"] if self.spinning is not None else []
        parts += [f"optimisation={self.optimisation}"] if self.optimisation is not None else []
        parts += [self.provider] if self.provider is not None else []
        return ", ".join(parts)


def providers() -> tuple[str, ...]:
    """The execution providers of the onnxruntime that is installed here."""
    return tuple(onnxruntime.get_available_providers())
