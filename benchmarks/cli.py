"""`edge bench`.

Belongs here: parsing with click. Not here: the options (options.py), what the command does (bench.py). Of what needs an
extra, only click is imported at the top.
Imported as edge_runtime.benchmarks.cli.
"""

from __future__ import annotations

from typing import Any

import click

from .options import EXAMPLES, OPTIONS, STATUSES, SUMMARY, Option

__all__ = ["bench"]


def parameter(option: Option) -> click.Option:
    if option.metavar is None:
        return click.Option([option.flag, option.name], is_flag=True, help=option.help)
    return click.Option([option.flag, option.name], metavar=option.metavar, multiple=option.many, help=option.help)


@click.pass_context
def run(context: click.Context, /, words: tuple[str, ...], **given: Any) -> None:
    from .bench import bench as run_bench

    context.exit(run_bench(words, given))


bench = click.Command(
    "bench",
    callback=run,
    params=[click.Argument(["words"], metavar="MODEL", nargs=-1, required=True), *map(parameter, OPTIONS)],
    short_help="Measure MODEL, a bundle or an .onnx file, on this machine.",
    help=f"{SUMMARY}\n\nMODEL may also be show RUN.json, or compare NEW.json OLD.json: runs that --json printed.",
    epilog="\n".join(["\b", "Examples:", *(f"  {each.replace('edge-bench', 'edge bench')}" for each in EXAMPLES)])
    + f"\n\n{STATUSES}",
)
