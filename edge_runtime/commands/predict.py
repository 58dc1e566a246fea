"""`edge predict`: rows in, answers out.

Belongs here: parsing, and the way from one file to another. Not here: files (rows.py, answers.py), predicting
(model.py).
Only click is imported at the top.
Imported as edge_runtime.commands.predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge_runtime.words import printable

if TYPE_CHECKING:
    from edge_runtime.model import Model

__all__ = ["predict"]

EXAMPLES = """\b
Examples:
  edge predict fraud.edge rows.csv -o answers.parquet
  echo '{"amount": 8500.0, "merchant_id": 443}' | edge predict fraud.edge -
"""


@click.command(epilog=EXAMPLES, short_help="Answer the rows of a file, or of standard input.")
@click.argument("model")
@click.argument("rows")
@click.option("-o", "--output", metavar="OUT", help="Write here: .csv, .parquet, .jsonl or .json (tensors: .npz).")
def predict(model: str, rows: str, output: str | None) -> None:
    """Answer ROWS with MODEL, a bundle or an .onnx file.

    ROWS is a .json, .jsonl, .csv or .parquet file, or - for JSON on standard input; for a model of tensors an .npz file
    with one array per input. In CSV an empty field is a missing value.

    Without OUT, answers go to standard output, one JSON object per row.
    """
    from edge_runtime.answers import check_target
    from edge_runtime.model import load
    from edge_runtime.rows import SUFFIXES

    if output is not None:
        check_target(output, (*SUFFIXES, ".npz"))
    loaded = load(model)
    if loaded.schema.columns:
        answer_rows(loaded, rows, output)
    else:
        answer_tensors(loaded, rows, output)


def answer_rows(model: Model, path: str, output: str | None) -> None:
    import sys

    from edge_runtime.answers import about_model, check_target, lines, write_rows
    from edge_runtime.rows import SUFFIXES, located, read_for

    if output is not None:
        check_target(output, SUFFIXES)
    rows = read_for(model.schema, path)
    report_ignored(model, rows.columns, path)
    with located("standard input" if path == "-" else path):
        outputs = model.predict(rows.data)
    if output is None:
        sys.stdout.writelines(lines(outputs))
        return
    classes = model.manifest.ending.classes if model.manifest is not None else None
    write_rows(output, outputs, classes=classes, about=about_model(model), single=rows.single)
    count = len(next(iter(outputs.values())))
    click.echo(f"{count:,} {'row' if count == 1 else 'rows'} written to {printable(output)}", err=True)


def answer_tensors(model: Model, path: str, output: str | None) -> None:
    from edge_runtime.answers import write_tensors
    from edge_runtime.errors import InputError
    from edge_runtime.rows import located, read_tensors

    if output is None or not output.lower().endswith(".npz") or not path.lower().endswith(".npz"):
        names = ", ".join(spec.name for spec in model.schema.inputs)
        raise InputError(f"{model.name} takes tensors ({names})", expected="an .npz file, and -o with another one")
    tensors = read_tensors(path)
    with located(path):
        outputs = model.run(tensors)
    write_tensors(output, outputs)
    count = len(outputs)
    click.echo(f"{count:,} {'tensor' if count == 1 else 'tensors'} written to {printable(output)}", err=True)


def report_ignored(model: Model, columns: tuple[str, ...], path: str) -> None:
    known = {column.name for column in model.schema.columns}
    ignored = [name for name in columns if name not in known]
    if ignored:
        click.echo(printable(f"{path}: ignored, since the model does not take them: {', '.join(ignored)}"), err=True)
