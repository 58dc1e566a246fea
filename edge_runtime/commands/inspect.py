"""`edge inspect`: what a bundle says of itself, as a page or as JSON.

Belongs here: laying the page out on a terminal. Not here: its words (inspection.py). Only click is imported at the top.
Imported as edge_runtime.commands.inspect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edge_runtime.inspection import Page, Rows

__all__ = ["inspect"]


@click.command(epilog="Example: edge inspect fraud.edge", short_help="Show what a bundle says of itself.")
@click.argument("model")
@click.option("--json", is_flag=True, help="Print what edge.json says, with digest and sizes, as JSON.")
def inspect(model: str, json: bool) -> None:
    """Show what MODEL, a bundle or an .onnx file, takes and answers, and what is known of it.

    A bundle is opened and its hashes are checked; nothing in it is run.
    """
    page, data = plain(model) if model.lower().endswith(".onnx") else bundle(model)
    if json:
        from json import dumps

        click.echo(dumps(data))
    else:
        show(page)


def bundle(path: str) -> tuple[Page, dict[str, Any]]:
    from json import loads

    from edge_runtime.bundle import Bundle
    from edge_runtime.inspection import page_of_bundle, parts

    opened = Bundle.open(path)
    told = loads(opened.manifest.to_bytes())
    data = {**told, "digest": opened.digest, "path": path, "size": opened.size, "sizes": parts(opened.manifest)}
    return page_of_bundle(opened.manifest, opened.digest), data


def plain(path: str) -> tuple[Page, dict[str, Any]]:
    from edge_runtime.inspection import page_of_graph
    from edge_runtime.model import load

    model = load(path, threads=1)
    page = page_of_graph(model.name, model.digest, model.schema)
    data = {"digest": model.digest, "lacks": page.lacks, "name": model.name, "path": path}
    return page, {**data, "schema": model.schema.to_json()}


def show(page: Page) -> None:
    from edge_runtime.errors import extra

    with extra("cli", used_by="edge inspect"):
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

    from edge_runtime.inspection import COLUMNS, OUTPUTS, TENSORS, VARIANTS

    sections: tuple[tuple[str, RenderableType | None], ...] = (
        (counted(page.columns, "column"), table(COLUMNS, page.columns)),
        ("graph takes", table(TENSORS, page.tensors)),
        ("answers", table(OUTPUTS, page.outputs)),
        ("ending", Text(page.ending) if page.ending else None),
        ("certificate", pairs(page.certificate)),
        (counted(page.variants, "variant"), table(VARIANTS, page.variants)),
        ("provenance", pairs(page.provenance)),
        ("size", shares(page.parts)),
        ("lacks", Text(page.lacks) if page.lacks else None),
    )
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(Text(page.title, style="bold"))
        console.print(pairs(page.facts))
        for heading, content in sections:
            if content is not None:
                console.print(Text(f"\n{heading}", style="bold"))
                console.print(Padding(content, (0, 0, 0, 2)))
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def counted(rows: Rows, thing: str) -> str:
    return f"1 {thing}" if len(rows) == 1 else f"{len(rows):,} {thing}s"


def table(headings: tuple[str, ...], rows: Rows) -> RenderableType | None:
    """Rows under headings, without rules: the last column takes what width there is."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return None
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def pairs(rows: Rows) -> RenderableType | None:
    """Names and what they stand for."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return None
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", overflow="fold")
    made.add_column(overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def shares(parts: tuple[tuple[str, int], ...]) -> RenderableType | None:
    """Bytes, percent and a bar for each part of the file."""
    from rich.table import Table
    from rich.text import Text

    whole = sum(size for _, size in parts)
    if not whole:
        return None
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(overflow="fold")
    made.add_column(justify="right")
    made.add_column(justify="right")
    made.add_column()
    for name, size in parts:
        bar = "█" * round(30 * size / whole)
        made.add_row(Text(name), f"{size:,} bytes", f"{size / whole:.1%}", Text(bar, style="dim"))
    return made
