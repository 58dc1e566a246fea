"""The `edge` command: its subcommands by entry points, and one answer to everything that can go wrong.

Exit status: 0 done; 1 the answer is no; 2 wrong use or bad input; 3 and 4, of measuring commands, inconclusive and
unfit; 130 interrupted; 141 nobody reads the output.

Belongs here: the group, errors as one line. Not here: any command (commands/, and a cli.py in each spoke).
Imported as edge_runtime.cli; needs the extra `cli`, and the core imports it nowhere but in __main__.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from .errors import BudgetError, EdgeError, IntegrityError, ParityError
from .tables import closest
from .version import VERSION
from .words import printable

__all__ = ["edge", "main"]

GROUP = "edge_runtime.commands"
NO, WRONG_USE, INTERRUPTED, NO_READER = 1, 2, 130, 141
ANSWERS_NO = (BudgetError, IntegrityError, ParityError)


class Commands(click.Group):
    """The entry points of GROUP, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = entry_points().get(cmd_name)
        if point is None:
            return None
        try:
            command: click.Command = point.load()
        except ImportError as error:
            return absent(cmd_name, error)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            near = closest(args[0], names)
            hint = f"did you mean {near}?" if near else f"expected one of {', '.join(names)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # The interpreter flushes once more on its way out: into nothing, rather than into a traceback.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(NO_READER)
        return status


def entry_points() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def absent(name: str, error: ImportError) -> click.Command:
    """The command that stands in the list for one whose part is not installed."""

    def refuse() -> None:
        raise error if isinstance(error, EdgeError) else click.UsageError(f"{name} cannot be loaded: {error}")

    help_text = f"Not installed: pip install 'edge-runtime[{getattr(error, 'extra', 'all')}]'"
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=refuse, help=help_text, context_settings=settings)


@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": "EDGE"},
    epilog="Every option may come from the environment: EDGE_CONVERT_DATA=rows.parquet for edge convert --data."
    " Exit status: 0 done, 1 the answer is no, 2 wrong use or bad input.",
)
@click.version_option(VERSION, message="edge-runtime %(version)s")
def edge() -> None:
    """Train anywhere, ship one verified file, get the same numbers on the device."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``arguments`` (left out: the command line) and return the exit status; nothing a user does wrong ends in a
    traceback."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without µ and ≤ gets \u escapes, not an error
    try:
        status = edge.main(arguments, prog_name="edge", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return WRONG_USE
    except click.ClickException as error:
        return complain(usage_text(error), error.exit_code)
    except click.Abort:
        return INTERRUPTED
    except ParityError as error:
        complain(f"{error.summary}; nothing was written", NO)
        click.echo("\n".join(map(printable, error.rows.splitlines())), err=True)
        return NO
    except EdgeError as error:
        return complain(str(error), NO if isinstance(error, ANSWERS_NO) else WRONG_USE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        return complain(f"{place}{(error.strerror or str(error)).lower()}", WRONG_USE)
    return status if isinstance(status, int) else 0


def usage_text(error: click.ClickException) -> str:
    """The message, and the command whose help says more."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message().removesuffix(".")
    return f"{message} (see {context.command_path} --help)" if context is not None else message


def complain(problem: str, status: int) -> int:
    click.echo(f"edge: {printable(problem)}", err=True)
    return status
