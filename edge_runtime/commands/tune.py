"""`edge tune`: which variant of a bundle is best on this machine.

Belongs here: parsing, and the table. Not here: trying and timing (tuning.py), where it is remembered (choice.py).
Only click is imported at the top.
Imported as edge_runtime.commands.tune.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edge_runtime.words import printable

if TYPE_CHECKING:
    from edge_runtime.timing import Estimate
    from edge_runtime.tuning import Trial, Tuning

__all__ = ["tune"]

HEADINGS = ("variant", "graph", "golden rows", "p50", "ratio", "verdict")
NUMBERS = HEADINGS[1:5]


@click.command(epilog="Example: edge tune fraud.edge", short_help="Find the best variant for this machine.")
@click.argument("bundle")
@click.option("--json", is_flag=True, help="Print the outcome as JSON.")
@click.option(
    "--limit", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, metavar="SECONDS",
    help="What one step of a variant may take.",
)  # fmt: skip
@click.option("--forget", is_flag=True, help="Forget what was found here for BUNDLE, and try nothing.")
@click.pass_context
def tune(context: click.Context, bundle: str, json: bool, limit: float, forget: bool) -> None:
    """Try every variant of BUNDLE here, each in a process of its own, and remember the best one for load.

    A variant that crashes, needs more than SECONDS for a step, or answers a golden row otherwise than was recorded is
    out. The others are timed in turns; a later one is chosen over an earlier one if it is surely 2% faster. What is
    found holds for this bundle, processor and version of onnxruntime, and lies in the folder EDGE_CACHE, or
    edge-runtime in the user's cache folder.

    Exit status: 0 there is a variant that is right here; 1 there is none.
    """
    if forget:
        forgotten(bundle, json)
        return

    from edge_runtime.errors import InputError
    from edge_runtime.tuning import tune as run

    found = run(bundle, limit=limit, tell=lambda text: click.echo(printable(text), err=True))
    place, failure = None, None
    try:
        place = found.remember()
    except InputError as error:  # shown after what was found
        failure = error
    if json:
        from json import dumps

        click.echo(dumps(data_of(found, place)))
    else:
        show(found, place)
    if failure is not None:
        raise failure
    context.exit(0 if found.chosen is not None else 1)


def forgotten(path: str, json: bool) -> None:
    from edge_runtime.bundle import Bundle
    from edge_runtime.choice import forget

    digest = Bundle.open(path).digest
    was_there = forget(digest)
    if json:
        from json import dumps

        click.echo(dumps({"digest": digest, "forgotten": was_there, "path": path}))
        return
    text = "forgotten: load takes the first variant" if was_there else "nothing was remembered here"
    click.echo(printable(f"{path}: {text}"))


def data_of(found: Tuning, place: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(found), "chosen": found.chosen, "remembered": place}


def show(found: Tuning, place: str | None) -> None:
    from edge_runtime.errors import extra

    with extra("cli", used_by="edge tune"):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

    threads = "1 thread" if found.threads == 1 else f"{found.threads} threads"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold", no_wrap=heading in NUMBERS)
    for trial in found.trials:
        table.add_row(*map(Text, row_of(trial, found)))
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(Text(printable(f"{found.path}, {found.digest}")), soft_wrap=True)
        console.print(Text(printable(f"{found.processor}, {threads}, onnxruntime {found.onnxruntime}")))
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
    for trial in found.trials:
        if trial.reason:
            click.echo(printable(f"{trial.variant}: {trial.reason}"))
    click.echo(printable(outcome(found, place)))


def row_of(trial: Trial, found: Tuning) -> tuple[str, ...]:
    from edge_runtime.words import bytes_text, duration_text

    right = trial.time is not None
    return (
        printable(trial.variant),
        bytes_text(trial.size),
        f"{found.rows:,} right" if right else "not right",
        duration_text(trial.time.value) if trial.time is not None else "",
        ratio_text(trial.ratio),
        printable(trial.verdict),
    )


def ratio_text(ratio: Estimate | None) -> str:
    """To three digits, with what bounds it; small ones count too."""
    if ratio is None:
        return ""
    value, low, high = (
        f"{each:.3f}" if each >= 0.0995 else f"{each:.2g}" for each in (ratio.value, ratio.low, ratio.high)
    )
    return value if low == high else f"{value} ({low} to {high})"


def outcome(found: Tuning, place: str | None) -> str:
    if found.chosen is None:
        return "no variant is right on this machine"
    return f"load takes {found.chosen} here" + (f", as {place} says" if place is not None else " once it is remembered")
