"""What `edge-bench` does: measure, compare, print, and answer with an exit status.

Belongs here: the command, whoever parsed it. Not here: parsing (cli.py with click, __main__.py without).
Imported as edge_runtime.benchmarks.bench.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from edge_runtime.errors import EdgeError, IntegrityError
from edge_runtime.parallel import usable_cores
from edge_runtime.words import printable

from .comparison import Comparison, Verdict, compare
from .run import Run, measure
from .screen import comparison_text, run_text
from .targets import calls_of

__all__ = ["EXAMPLES", "bench"]

# 1 (0.1): first version. To raise: when a reader of the old form would misread the new one.
JSON_FORMAT = 1
DONE, NO, WRONG_USE = 0, 1, 2
STATUS: dict[Verdict, int] = {"faster": DONE, "no difference": DONE, "slower": NO, "inconclusive": 3, "unfit": 4}
EXAMPLES = """\
Examples: edge-bench fraud.edge          edge-bench fraud.edge --against old.edge --json

Exit status: 0 done; 1 a golden row was answered wrong, or slower than OTHER; 2 wrong use or bad input;
3 inconclusive; 4 this machine is not fit to judge."""


def bench(path: str, *, against: str | None = None, threads: int | None = None, as_json: bool = False) -> int:
    """Measure ``path``, and compare it with ``against`` if given; print text or JSON; return the exit status."""
    if threads is not None and not 1 <= threads <= usable_cores():
        return complain(f"--threads {threads} does not fit this machine; expected 1 to {usable_cores()}", WRONG_USE)
    try:
        targets = [calls_of(each, threads=threads) for each in (path, against) if each is not None]
        runs = [measure(target) for target in targets]
        comparison = compare(*targets) if len(targets) == 2 else None
    except IntegrityError as error:
        return complain(str(error), NO)
    except EdgeError as error:
        return complain(str(error), WRONG_USE)
    except OSError as error:
        return complain(f"{error.filename}: {error.strerror}", WRONG_USE)
    status = status_of(runs, comparison)
    print(json.dumps(as_data(runs, comparison, status)) if as_json else as_text(runs, comparison))
    return status


def status_of(runs: list[Run], comparison: Comparison | None) -> int:
    """A wrong answer outweighs any speed."""
    if any(run.answers_right is False for run in runs):
        return NO
    return STATUS[comparison.verdict] if comparison is not None else DONE


def as_text(runs: list[Run], comparison: Comparison | None) -> str:
    parts = [run_text(run) for run in runs]
    return "\n\n".join(parts if comparison is None else [*parts, comparison_text(comparison)])


def as_data(runs: list[Run], comparison: Comparison | None, status: int) -> dict[str, Any]:
    return {
        "format": JSON_FORMAT,
        "runs": [run.to_json() for run in runs],
        "comparison": comparison.to_json() if comparison is not None else None,
        "status": status,
    }


def complain(problem: str, status: int) -> int:
    print(f"edge-bench: {printable(problem)}", file=sys.stderr)
    return status
