"""The `edge` script, and `python -m edge_runtime`.

Belongs here: what happens where the extra `cli` is not installed. Not here: the command (cli.py).
Imported as edge_runtime.__main__.
"""

from __future__ import annotations

import sys

from .errors import MissingExtraError, extra

__all__ = ["main"]


def main() -> int:
    """Run the command line and return its exit status; without click, say in one line how to install it."""
    try:
        with extra("cli", used_by="edge"):
            from .cli import main as run
    except MissingExtraError as error:
        print(f"edge: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
