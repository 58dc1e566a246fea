"""`edge convert`: from a model's file to a bundle that answers alike, in the precision that keeps what was promised.

Belongs here: parsing, and the order of what is told. Not here: converting (conversion.py), progress (progress.py), the
closing summary (summary.py), the page (precision_page.py).
Only click is imported at the top.
Imported as edge_runtime.converters.cli.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_runtime.ending import Decision

__all__ = ["convert"]

EXAMPLES = """\b
Examples:
  edge convert fraud.joblib -o fraud.edge --data rows.parquet --target is_fraud --trust
  edge convert fraud.joblib -o fraud.edge --data rows.parquet --trust \\
      --score fraud_score --decision is_fraud --threshold 0.5
  edge convert models:/Fraud@champion -o fraud.edge --data rows.parquet
\b
A network, as fast as it gets here with a loss of half a percent at most:
  edge convert net.onnx -o net.edge --data samples.npz --max-drop 0.5% --report net.html
The same, small, judged by the true answers in the tensor y of samples.npz:
  edge convert net.pt2 -o net.edge --data samples.npz --target y --trust --max-drop 0.5% \\
      --objective size --require 'size<=1MB'
"""
REPORT = "edge convert --report"


def share(_: click.Context, __: click.Parameter, text: str) -> float:
    """A part of 1, as 0.005 or as 0.5%."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value < 1:
        raise click.BadParameter(f"{text!r} is not a share; expected 0 or more and less than 1, as 0.005 or 0.5%")
    return value


@click.command(epilog=EXAMPLES, short_help="Make a bundle of a trained model, compared with it row by row.")
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="BUNDLE", help="Write here; the name ends in .edge.")
@click.option(
    "--data",
    metavar="ROWS",
    help="Rows to compare on: .parquet, .csv, .jsonl or .json; for a network its tensors, all samples along the first"
    " axes: .npz.  [default: the input example of a model in MLflow]",
)
@click.option(
    "--target",
    metavar="COLUMN",
    help="This column (or tensor) of ROWS holds the true answers; the model is not given it.",
)
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
@click.option(
    "--max-drop",
    callback=share,
    default="0",
    metavar="SHARE",
    help="Try smaller precisions, and ship one if it is certified to lose no more than this: 0.005 or 0.5%."
    "  [default: 0, nothing is tried]",
)
@click.option(
    "--metric",
    metavar="NAME",
    help="What must not be lost: agreement (with the full precision); with --target accuracy, roc_auc, log_loss, mae,"
    " rmse, r2 or ndcg.  [default: what goes with the outputs]",
)
@click.option("--groups", metavar="COLUMN", help="This column of ROWS tells which rows are ranked together, for ndcg.")
@click.option(
    "--objective",
    type=click.Choice(["latency", "size", "memory"]),
    default="latency",
    show_default=True,
    help="What is made small.",
)
@click.option(
    "--require",
    multiple=True,
    metavar="LIMIT",
    help="Fail unless this holds: 'size<=1MB', 'latency<=2ms', 'ratio<=0.8', 'memory<=20MB', 'drop<=0.5%'. May be given"
    " several times.",
)
@click.option(
    "--preprocess", metavar="FILE", help="Put the preparation of images into the graph, as this .json file declares it."
)
@click.option("--report", metavar="FILE", help="Write a page with pictures of what was tried; the name ends in .html.")
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
    max_drop: float,
    metric: str | None,
    groups: str | None,
    objective: str,
    require: tuple[str, ...],
    preprocess: str | None,
    report: str | None,
    trust: bool,
    json: bool,
) -> None:
    """Convert SOURCE, a trained model in a file or in MLflow, and compare it with itself on every row of ROWS.

    In a file: LightGBM's .txt, XGBoost's .json and .ubj, CatBoost's .cbm, .onnx, Keras' .keras; with --trust .joblib,
    .pkl, and PyTorch's .pt2.

    In MLflow: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/ID/NAME, or the folder of a model.

    Nothing is written unless all labels are equal and all numbers within tolerance: the exit status is then 1, and the
    worst rows are shown side by side. It is 1 as well if --require cannot be kept.
    """
    from edge_runtime.answers import check_target
    from edge_runtime.errors import InputError
    from edge_runtime.mlflow.registry import is_registered

    decided = decision_of(score, decision, threshold)
    check_target(output, (".edge",))
    registered = is_registered(source)
    if data is None and not registered:
        raise click.UsageError("Missing option '--data'")
    missing = [path for path in (data, preprocess) if path is not None and not os.path.isfile(path)]
    if not registered and not os.path.exists(source):
        missing.insert(0, source)
    if missing:
        raise InputError(f"{missing[0]}: no such file", expected="a model's file, and --data with a file of rows")
    images = images_in(preprocess) if preprocess is not None else None
    if report is not None:
        check_report(report)

    from edge_runtime.converters import convert as run

    from .progress import progress

    with warnings.catch_warnings(), telling_what_was_tried(silent=json), progress(silent=json) as tell:
        warnings.showwarning = warn
        conversion = run(
            source,
            data=data,
            target=target,
            name=name or os.path.basename(output).removesuffix(".edge"),
            version=version,
            metric=metric,
            max_drop=max_drop,
            groups=groups,
            objective=objective,
            require=require,
            input_dtype=input_dtype,
            decision=decided,
            preprocess=images,
            trust=trust,
            progress=tell,
        )

    from .speed import time_one
    from .summary import data_of, summary

    bundle = conversion.save(output)
    one_ns = time_one(bundle.path)
    if report is not None:
        conversion.save_report(report)
    if json:
        from json import dumps

        click.echo(dumps(data_of(conversion, bundle, one_ns), allow_nan=False))
        return
    from rich.console import Console

    click.echo(summary(conversion, bundle, one_ns, Console().width))
    if report is not None:
        from edge_runtime.words import printable

        click.echo(f"what was tried, as a page: {printable(report)}")


@contextmanager
def telling_what_was_tried(*, silent: bool) -> Iterator[None]:
    """Show the table of candidates, on standard error, where none of them keeps what was demanded."""
    from edge_runtime.errors import BudgetError

    try:
        yield
    except BudgetError as error:
        if error.outcome is not None and len(error.outcome.candidates) > 1 and not silent:
            from rich.console import Console

            from .summary import precision_text

            click.echo(precision_text(error.outcome, "row", Console(stderr=True).width), err=True)
        raise


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


def check_report(path: str) -> None:
    """Raise now what would be raised after the long work: for a name that cannot be written, a library that lacks."""
    from edge_runtime.answers import check_target
    from edge_runtime.report import require

    check_target(path, (".html",))
    require(used_by=REPORT)


def images_in(path: str) -> dict[str, Any]:
    """The images that a file declares, by input. Raises InputError for a file that declares none."""
    from edge_runtime.converters.preprocessing import from_json
    from edge_runtime.errors import InputError

    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    try:
        return dict(from_json(text))
    except InputError as error:
        raise InputError(f"{path}: {error.problem}", expected=error.expected, column=error.column) from error
