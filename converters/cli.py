"""`edge convert`: from a model's file to a bundle that answers alike.

Belongs here: parsing, progress, the closing summary. Not here: converting (conversion.py).
Only click is imported at the top.
Imported as edge_runtime.converters.cli.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_runtime.bundle import Bundle
    from edge_runtime.ending import Decision

    from .conversion import Conversion

__all__ = ["convert"]

Progress = Callable[[str, int, int], None]

EXAMPLES = """\b
Examples:
  edge convert fraud.joblib -o fraud.edge --data rows.parquet --target is_fraud --trust
  edge convert fraud.joblib -o fraud.edge --data rows.parquet --trust \\
      --score fraud_score --decision is_fraud --threshold 0.5
  edge convert models:/Fraud@champion -o fraud.edge --data rows.parquet
"""

STAGES = {
    "read": "read the model and its data, lower it",
    "compare": "compare all rows with the source",
    "edge rows": "compare edge rows: missing, infinite, unknown",
    "self-test": "replay golden rows",
}
WARM_UP_NS = 20_000_000
TIMED_CALLS = 2_000


@click.command(epilog=EXAMPLES, short_help="Make a bundle of a trained model, compared with it row by row.")
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="BUNDLE", help="Write here; the name ends in .edge.")
@click.option(
    "--data",
    metavar="ROWS",
    help="Rows to compare on: .parquet, .csv, .jsonl or .json.  [default: the input example of a model in MLflow]",
)
@click.option("--target", metavar="COLUMN", help="Leave this column of ROWS out.")
@click.option("--name", help="The model's name.  [default: as BUNDLE is called]")
@click.option("--version", help="The model's version.  [default: the one in MLflow, or 0]")
@click.option(
    "--input-dtype",
    type=click.Choice(["auto", "float32", "float64"]),
    default="auto",
    show_default=True,
    help="How the app hands floats over.",
)
@click.option("--score", metavar="NAME", help="Give the second class's probability out under this name ...")
@click.option("--decision", metavar="NAME", help="... and, under this one, whether it is above the threshold.")
@click.option("--threshold", type=float, metavar="P", help="The threshold, 0 to 1.  [default: 0.5]")
@click.option("--trust", is_flag=True, help="SOURCE may be unpickled, which runs the code in it.")
@click.option("--json", is_flag=True, help="Print what was found as JSON, and no progress.")
def convert(
    source: str,
    output: str,
    data: str | None,
    target: str | None,
    name: str | None,
    version: str | None,
    input_dtype: str,
    score: str | None,
    decision: str | None,
    threshold: float | None,
    trust: bool,
    json: bool,
) -> None:
    """Convert SOURCE, a trained model in a file or in MLflow, and compare it with itself on every row of ROWS.

    In a file: .joblib and .pkl (with --trust), LightGBM's .txt, XGBoost's .json and .ubj, CatBoost's .cbm, .onnx.

    In MLflow: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/ID/NAME, or the folder of a model.

    Nothing is written unless all labels are equal and all numbers within tolerance: the exit status is then 1, and the
    worst rows are shown side by side.
    """
    from edge_runtime.answers import check_target
    from edge_runtime.errors import InputError
    from edge_runtime.mlflow.registry import is_registered

    decided = decision_of(score, decision, threshold)
    check_target(output, (".edge",))
    registered = is_registered(source)
    if data is None and not registered:
        raise click.UsageError("Missing option '--data'")
    for path in (None if registered else source, data):
        if path is not None and not os.path.isfile(path):
            raise InputError(f"{path}: no such file", expected="a model's file, and --data with a file of rows")

    from edge_runtime.converters import convert as run

    with warnings.catch_warnings(), progress(silent=json) as tell:
        warnings.showwarning = warn
        conversion = run(
            source,
            data=data,
            target=target,
            name=name or os.path.basename(output).removesuffix(".edge"),
            version=version,
            input_dtype=input_dtype,
            decision=decided,
            trust=trust,
            progress=tell,
        )
    bundle = conversion.save(output)
    one_row_ns = time_one_row(bundle.path)
    if json:
        from json import dumps

        click.echo(dumps(data_of(conversion, bundle, one_row_ns)))
    else:
        click.echo(summary(conversion, bundle, one_row_ns))


def warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning in one line, without the line of code that gave it."""
    from edge_runtime.words import printable

    click.echo(f"warning: {printable(str(message).partition(chr(10))[0])}", err=True)


def decision_of(score: str | None, decision: str | None, threshold: float | None) -> Decision | None:
    from edge_runtime.ending import Decision

    if score is None and decision is None and threshold is None:
        return None
    if score is None or decision is None:
        raise click.UsageError("a decision needs both --score and --decision")
    try:
        return Decision(score, decision, 0.5 if threshold is None else threshold)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def progress(*, silent: bool) -> Iterator[Progress]:
    """What `convert` calls as it goes: bars on a terminal, a line per stage elsewhere, on standard error."""
    if silent:
        yield lambda stage, done, whole: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield stage_lines()
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, whole: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(STAGES.get(stage, stage), total=None)  # pulses until there is a share
            if done:
                bars.update(tasks[stage], completed=done, total=whole)

        yield advance


def stage_lines() -> Progress:
    seen: set[str] = set()

    def advance(stage: str, done: int, whole: int) -> None:
        if stage not in seen:
            seen.add(stage)
            click.echo(STAGES.get(stage, stage), err=True)

    return advance


def time_one_row(path: str) -> float:
    """The median time, in ns, in which the bundle answers one of its golden rows here."""
    import numpy as np

    from edge_runtime.model import load
    from edge_runtime.timing import calibrate, percentile, rotate, time_each

    model = load(path)
    call = rotate(model.predict_one, [sample.inputs for sample in model.golden_rows()])
    calibrate(call, WARM_UP_NS)
    taken = np.empty(TIMED_CALLS, np.int64)
    time_each(call, taken)
    return percentile(taken, 50).value


def summary(conversion: Conversion, bundle: Bundle, one_row_ns: float) -> str:
    """What a person is told at the end."""
    from edge_runtime.inspection import page_of_bundle
    from edge_runtime.words import at_most, bytes_text, duration_text, printable

    report = conversion.report
    page = page_of_bundle(bundle.manifest, bundle.digest)
    numbers = [f"|Δ {name}| ≤ {at_most(gap)}" for name, gap in report.largest.items()]
    discrete = [output.name for output in bundle.manifest.schema.outputs if output.name not in report.largest]
    labels = [f"0 {'labels' if name == 'label' else name} differ" for name in discrete]
    found = printable(", ".join([*labels, *numbers]))
    size, time = bytes_text(bundle.size), duration_text(one_row_ns)
    lines = [page.title, f"{report.rows:,} rows checked: {found}; {size}; one row {time}"]
    lines += [f"  {kind or 'stated'}: {text}" for kind, text in page.certificate if kind != "checked"]
    lines.append(f"written to {printable(bundle.path)}, {bundle.digest}")
    return "\n".join(lines)


def data_of(conversion: Conversion, bundle: Bundle, one_row_ns: float) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "digest": bundle.digest,
        "name": conversion.name,
        "one_row_ns": one_row_ns,
        "path": bundle.path,
        "report": asdict(conversion.report),
        "size": bundle.size,
        "version": conversion.version,
    }
