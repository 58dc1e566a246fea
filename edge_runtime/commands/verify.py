"""`edge verify`: whether this machine answers as was recorded.

Belongs here: parsing and printing around `Model.verify`. Only click is imported at the top.
Imported as edge_runtime.commands.verify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_runtime.golden import VerificationReport
    from edge_runtime.model import Model

__all__ = ["verify"]


@click.command(epilog="Example: edge verify fraud.edge", short_help="Replay a bundle's golden rows on this machine.")
@click.argument("bundle")
@click.option("--json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def verify(context: click.Context, bundle: str, json: bool) -> None:
    """Replay all golden rows of BUNDLE on this machine, one by one and together.

    Exit status: 0 every answer is the recorded one; 1 one is not, or the file is not as it was written; 2 there is
    nothing to verify.
    """
    from edge_runtime.errors import IntegrityError

    try:
        data, text = replay(bundle)
    except IntegrityError as error:
        if not json:
            raise
        data, text = {"ok": False, "path": bundle, "problems": [str(error)]}, ""
    if json:
        from json import dumps

        click.echo(dumps(data))
    else:
        click.echo(text)
    context.exit(0 if data["ok"] else 1)


def replay(path: str) -> tuple[dict[str, Any], str]:
    """The report as data and as text. Raises InputError where there are no golden rows."""
    from edge_runtime.errors import InputError
    from edge_runtime.model import load

    model = load(path)
    report = model.verify()
    if not report.rows:
        raise InputError(f"{path}: it has no golden rows to replay", expected="a bundle, as edge convert writes it")
    data = {
        "digest": model.digest,
        "largest": report.largest,
        "name": model.name,
        "ok": report.ok,
        "path": path,
        "problems": list(report.problems),
        "rows": report.rows,
        "tolerance": {name: report.tolerance.get(name, 0.0) for name in report.largest},
        "version": model.version,
    }
    return data, text_of(model, report)


def text_of(model: Model, report: VerificationReport) -> str:
    from edge_runtime.inspection import allowed, title
    from edge_runtime.words import at_most, printable

    how = "each alone and all as one table" if model.schema.columns else "one by one"
    lines = [f"{title(model.name, model.version)}, {model.digest}", f"{report.rows:,} golden rows replayed, {how}"]
    width = max(map(len, report.largest))
    for name, largest in report.largest.items():
        found = "equal" if largest == 0.0 else "differs" if largest == float("inf") else f"within {at_most(largest)}"
        limit = report.tolerance.get(name, 0.0)
        lines.append(f"  {printable(name):{width}}  {found}  (must be {allowed(limit)})")
    lines += map(printable, report.problems)
    lines.append("verified: this machine answers as recorded" if report.ok else "NOT verified: answers differ here")
    return "\n".join(lines)
