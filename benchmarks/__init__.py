"""edge-bench as a library: samples that are kept, figures with intervals, comparisons that can say "I do not know".

Belongs here: the public names. Not here: the clock and the statistics, which others need too (edge_runtime.timing).
Imported as edge_runtime.benchmarks. Needs numpy and onnxruntime only.
"""

from __future__ import annotations

from edge_runtime.timing import Estimate, NeedsMoreSamples

from .comparison import Comparison, compare
from .conditions import Conditions
from .consumption import Energy, energy
from .environment import Environment
from .footprint import Memory, MemoryPhase, memory
from .gating import EnvironmentsDiffer, Gate, compare_runs, gate
from .measuring import RateSearch, find_max_rate, measure
from .profiling import NodeTime, OperatorTime, Profile, profile
from .run import Run
from .settings import Settings
from .starting import ColdStart, cold_start
from .sweeping import Sweep, SweepPoint, sweep
from .target import Target

__all__ = [
    "ColdStart",
    "Comparison",
    "Conditions",
    "Energy",
    "Environment",
    "EnvironmentsDiffer",
    "Estimate",
    "Gate",
    "Memory",
    "MemoryPhase",
    "NeedsMoreSamples",
    "NodeTime",
    "OperatorTime",
    "Profile",
    "RateSearch",
    "Run",
    "Settings",
    "Sweep",
    "SweepPoint",
    "Target",
    "cold_start",
    "compare",
    "compare_runs",
    "energy",
    "find_max_rate",
    "gate",
    "measure",
    "memory",
    "profile",
    "sweep",
]
