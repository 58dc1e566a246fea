"""`edge bench`.

Belongs here: parsing with click. Not here: what the command does (bench.py); only click is imported at the top.
Imported as edge_runtime.benchmarks.cli.
"""

from __future__ import annotations

import click

__all__ = ["bench"]


@click.command(
    epilog="Examples: edge bench fraud.edge    edge bench fraud.edge --against old.edge --json",
)
@click.argument("model")
@click.option("--against", metavar="OTHER", help="Compare with this one, interleaved.")
@click.option("--threads", type=int, metavar="N", help="Threads of the session.")
@click.option("--json", "as_json", is_flag=True, help="Print samples and figures as JSON.")
@click.pass_context
def bench(context: click.Context, model: str, against: str | None, threads: int | None, as_json: bool) -> None:
    """Measure MODEL, a bundle or an .onnx file, on this machine.

    Exit status: 0 done; 1 a golden row was answered wrong, or slower than OTHER; 2 wrong use or bad input; 3
    inconclusive; 4 this machine is not fit to judge.
    """
    from .bench import bench as run

    context.exit(run(model, against=against, threads=threads, as_json=as_json))
