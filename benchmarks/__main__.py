"""`python -m edge_runtime.benchmarks`: edge-bench on a device that has numpy and onnxruntime only.

Belongs here: parsing with the standard library. Not here: what the command does (bench.py).
Imported as edge_runtime.benchmarks.__main__.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from .bench import EXAMPLES, bench

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse ``arguments`` (left out: the command line), run, return the exit status."""
    parser = ArgumentParser(
        "edge-bench",
        description="Measure a bundle or an .onnx file on this machine.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="MODEL", help="a bundle or an .onnx file")
    parser.add_argument("--against", metavar="OTHER", help="compare with this one, interleaved")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the session")
    parser.add_argument("--json", action="store_true", help="print samples and figures as JSON")
    options = parser.parse_args(arguments)
    return bench(options.path, against=options.against, threads=options.threads, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
