"""`edge batch`: files of rows in, the same with answers out.

Belongs here: parsing, progress, the closing summary. Not here: scoring (run.py, spark_files.py).
Only click is imported at the top.
Imported as edge_runtime.batch.cli.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .summary import BatchReport

__all__ = ["batch"]

EXAMPLES = """\b
Examples:
  edge batch fraud.edge day.parquet scored.parquet
  edge batch fraud.edge 's3://bucket/day/*.parquet' s3://bucket/scored/ --keep id,amount
  edge batch models:/Fraud@champion day/ scored/ --engine spark
"""
MOST_SHOWN = 10  # labels


@click.command(epilog=EXAMPLES, short_help="Score files of rows: Parquet, CSV, JSON Lines.")
@click.argument("model")
@click.argument("source", metavar="IN")
@click.argument("sink", metavar="OUT")
@click.option("--keep", metavar="COLUMNS", help="Columns of IN that stay, with commas between.  [default: all]")
@click.option(
    "--engine",
    type=click.Choice(["pandas", "spark"]),
    default="pandas",
    show_default=True,
    help="pandas: this process, streaming. spark: a Spark session, Parquet only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and no progress.")
def batch(model: str, source: str, sink: str, keep: str | None, engine: str, as_json: bool) -> None:
    """Score the rows of IN with MODEL, a bundle or models:/NAME@ALIAS, and write them with their answers to OUT.

    IN is a .parquet, .csv or .jsonl file, a folder of such files or a glob; paths, or URLs as s3://. OUT with one of
    these suffixes gets all rows, and replaces a file that is there; another OUT is a new folder that gets a file for
    each of IN. OUT appears when all is written, or not at all. Row numbers in errors count from 0.
    """
    kept = None if keep is None else names_in(keep)
    with ended_by_sigterm():
        if engine == "spark":
            report = on_spark(model, source, sink, kept)
        else:
            from edge_runtime.batch import score

            with progress(silent=as_json) as tell:
                report = score(model, source, sink, keep=kept, progress=tell)
    if as_json:
        from dataclasses import asdict
        from json import dumps

        click.echo(dumps(asdict(report)))
    else:
        click.echo(summary(report))


def names_in(text: str) -> list[str]:
    """The names of a list with commas; one that has a comma itself stands in quotes."""
    import csv

    return next(csv.reader([text], skipinitialspace=True), [])


def on_spark(model: str, source: str, sink: str, keep: list[str] | None) -> BatchReport:
    from .spark_files import score_files
    from .spark_session import interruptible, spark_session

    with spark_session() as session:
        return interruptible(session, lambda: score_files(session, model, source, sink, keep=keep))


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that what is half-written is removed on the way out."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def progress(*, silent: bool) -> Iterator[Callable[[int, float], None] | None]:
    """A bar with rows, rows/s and the time left, on standard error where that is a terminal; elsewhere nothing."""
    if silent:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    rows = TextColumn("{task.fields[rows]:,} rows"), TextColumn("{task.fields[speed]:,.0f} rows/s")
    bars = Progress(BarColumn(), TaskProgressColumn(), *rows, TimeRemainingColumn(), console=console)
    with bars:
        task = bars.add_task("", total=1.0, rows=0, speed=0.0)

        def tell(done: int, share: float) -> None:
            elapsed = bars.tasks[0].elapsed or 0.0
            bars.update(task, completed=share, rows=done, speed=done / elapsed if elapsed else 0.0)

        yield tell


def summary(report: BatchReport) -> str:
    """What a person is told at the end."""
    from edge_runtime.words import duration_text, printable

    count = f"{report.rows:,} {'row' if report.rows == 1 else 'rows'}"
    files = f" of {report.files:,} files" if report.files != 1 else ""
    speed = f", {report.rows / report.seconds:,.0f} rows/s" if report.rows else ""
    time = duration_text(report.seconds * 1e9)
    lines = [f"{count}{files} scored by {report.model} {report.model_version} in {time}{speed}"]
    if report.not_taken:
        lines.append(f"  not taken by the model: {', '.join(name or repr(name) for name in report.not_taken)}")
    for name, labels in report.labels.items():
        shown = [f"{value} {n:,} ({n / report.rows:.2%})" for value, n in list(labels.items())[:MOST_SHOWN]]
        more = f", … ({len(labels):,} in all)" if len(labels) > MOST_SHOWN else ""
        if shown:
            lines.append(f"  {name}: {', '.join(shown)}{more}")
    for name, found in report.scores.items():
        if found.mean is None or found.least is None or found.largest is None:
            continue
        points = ", ".join(f"{p}% {value:.4g}" for p, value in found.percentiles.items())
        strange = f", {found.not_finite:,} not finite" if found.not_finite else ""
        lines.append(f"  {name}: {found.least:.4g} to {found.largest:.4g}, mean {found.mean:.4g}; {points}{strange}")
    lines.append(f"written to {report.sink}, {report.model_digest}")
    return "\n".join(map(printable, lines))
