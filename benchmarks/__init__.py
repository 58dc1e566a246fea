"""edge-bench as a library: samples that are kept, figures with intervals, comparisons that can say "I do not know".

Belongs here: the public names. Not here: the clock and the statistics, which others need too (edge_runtime.timing).
Imported as edge_runtime.benchmarks. Needs numpy and onnxruntime only.
"""

from __future__ import annotations

from edge_runtime.timing import Estimate, NeedsMoreSamples

from .comparison import Comparison, compare
from .environment import Environment
from .run import Run, measure

__all__ = ["Comparison", "Environment", "Estimate", "NeedsMoreSamples", "Run", "compare", "measure"]
