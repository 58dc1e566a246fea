"""`edge verify`: whether this machine answers as was recorded.

Belongs here: parsing and printing around `Model.verify`. Only click is imported at the top.
Imported as edge_runtime.commands.verify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_runtime.bundle import Bundle
    from edge_runtime.errors import InputError

__all__ = ["verify"]


@click.command(epilog="Example: edge verify fraud.edge", short_help="Replay a bundle's golden rows on this machine.")
@click.argument("bundle")
@click.option("--json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def verify(context: click.Context, bundle: str, json: bool) -> None:
    """Replay all golden rows of BUNDLE on this machine, one by one and together, with each of its variants.

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
    """The report as data and as text. Raises InputError where there are no golden rows, IntegrityError where the only
    variant does not pass its self-test."""
    from edge_runtime.bundle import Bundle
    from edge_runtime.golden import recorded
    from edge_runtime.model import load

    if path.lower().endswith(".onnx"):
        load(path)
        raise nothing_to_replay(path)
    bundle = Bundle.open(path)
    names = [variant.name for variant in bundle.manifest.variants]
    found = [replay_variant(bundle, name, alone=len(names) == 1) for name in names]
    rows = len(recorded(bundle.manifest, bundle.manifest.variants[0], bundle.read))
    if not rows:
        raise nothing_to_replay(path)
    manifest = bundle.manifest
    data = {
        "digest": bundle.digest,
        "name": manifest.name,
        "ok": all(each["ok"] for each in found),
        "path": path,
        "problems": [f"{prefix(each, found)}{problem}" for each in found for problem in each["problems"]],
        "rows": rows,
        "variants": found,
        "version": manifest.version,
    }
    return data, text_of(data, table=bool(manifest.schema.columns))


def nothing_to_replay(path: str) -> InputError:
    from edge_runtime.errors import InputError

    return InputError(f"{path}: it has no golden rows to replay", expected="a bundle, as edge convert writes it")


def replay_variant(bundle: Bundle, name: str, *, alone: bool) -> dict[str, Any]:
    """What came of one variant. One among several has a process of its own: if that comes to grief, the others do
    not."""
    from edge_runtime.model import load
    from edge_runtime.trial import Out, Worker

    if alone:
        report = load(bundle.path, digest=bundle.digest, variant=name).verify()
    else:
        try:
            with Worker(bundle.path, bundle.digest, name) as worker:
                report = worker.replay()
        except Out as out:
            return {"largest": {}, "ok": False, "problems": [out.reason], "tolerance": {}, "variant": name}
    return {
        "largest": report.largest,
        "ok": report.ok,
        "problems": list(report.problems),
        "tolerance": {output: report.tolerance.get(output, 0.0) for output in report.largest},
        "variant": name,
    }


def prefix(variant: dict[str, Any], found: list[dict[str, Any]]) -> str:
    return f"{variant['variant']}: " if len(found) > 1 else ""


def text_of(data: dict[str, Any], *, table: bool) -> str:
    from edge_runtime.inspection import title
    from edge_runtime.words import printable

    how = "each alone and all as one table" if table else "one by one"
    lines = [f"{title(data['name'], data['version'])}, {data['digest']}"]
    lines.append(f"{data['rows']:,} golden rows replayed, {how}")
    for each in data["variants"]:
        if len(data["variants"]) > 1:
            lines.append(f"{printable(each['variant'])}: {'as recorded' if each['ok'] else 'NOT as recorded'}")
        lines += lines_of(each)
    lines.append("verified: this machine answers as recorded" if data["ok"] else "NOT verified: answers differ here")
    return "\n".join(lines)


def lines_of(found: dict[str, Any]) -> list[str]:
    """What one variant's outputs came to, and its problems."""
    from edge_runtime.inspection import allowed
    from edge_runtime.words import at_most, printable

    lines = []
    width = max(map(len, found["largest"]), default=0)
    for name, largest in found["largest"].items():
        came = "equal" if largest == 0.0 else "differs" if largest == float("inf") else f"within {at_most(largest)}"
        lines.append(f"  {printable(name):{width}}  {came}  (must be {allowed(found['tolerance'][name])})")
    return [*lines, *map(printable, found["problems"])]
