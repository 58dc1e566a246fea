"""`python -m edge_runtime.benchmarks`: edge-bench on a device that has numpy and onnxruntime only.

Belongs here: parsing with the standard library. Not here: the options (options.py), what the command does (bench.py).
Imported as edge_runtime.benchmarks.__main__.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from .bench import bench
from .options import EXAMPLES, OPTIONS, STATUSES, SUMMARY, USAGE

__all__ = ["main"]

NO_READER = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse ``arguments`` (left out: the command line), run, return the exit status."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without µ and ≤ gets \\u escapes, not an error
    given = vars(parser().parse_intermixed_args(arguments))
    try:
        return bench(given.pop("words"), given)
    except BrokenPipeError:
        # The interpreter flushes once more on its way out: into nothing, rather than into a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER


def parser() -> ArgumentParser:
    examples = "\n".join(f"  {example}" for example in EXAMPLES)
    made = ArgumentParser(
        "edge-bench",
        usage=USAGE,
        description=SUMMARY,
        epilog=f"Examples:\n{examples}\n\n{STATUSES}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("words", metavar="MODEL", nargs="+", help="what is measured; or show, or compare, and files")
    for option in OPTIONS:
        text = option.help.replace("%", "%%")
        if option.metavar is None:
            made.add_argument(option.flag, action="store_true", help=text)
        else:
            action = "append" if option.many else "store"
            made.add_argument(option.flag, action=action, metavar=option.metavar, help=text)
    return made


if __name__ == "__main__":
    sys.exit(main())
