"""A model as a notebook shows it: one piece of HTML that needs nothing else and follows the notebook's own colours.

Belongs here: the layout, escaping. Not here: the words (inspection.py). Loaded only when a notebook asks.
Imported as edge_runtime.page.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Protocol

from .inspection import COLUMNS, OUTPUTS, TENSORS, VARIANTS, Page, Rows, page_of_bundle, page_of_graph
from .manifest import Manifest
from .schema import Schema

__all__ = ["Described", "html_of", "model_html"]

# No colour of its own but a grey that reads on white and on black.
STYLE = """
.edge-page{font-size:13px;line-height:1.45;color:inherit;max-width:60em}
.edge-page table{border-collapse:collapse;margin:.2em 0 .8em;font-size:inherit;color:inherit}
.edge-page tr,.edge-page td,.edge-page th{background:none!important;color:inherit}
.edge-page td,.edge-page th{text-align:left!important;vertical-align:top;padding:.1em 1.2em .1em 0;white-space:normal}
.edge-page th{font-weight:normal;opacity:.65;border-bottom:1px solid rgba(128,128,128,.4)}
.edge-page tr td:first-child{white-space:nowrap}
.edge-page summary{cursor:pointer;font-weight:600}
.edge-page .edge-title{font-size:1.25em;font-weight:600}
.edge-page .edge-key{opacity:.65}
.edge-page code{font-size:.92em;background:none;color:inherit;padding:0;overflow-wrap:anywhere}
.edge-page .edge-bar{display:inline-block;height:.6em;background:currentColor;opacity:.35}
""".strip()


class Described(Protocol):
    """What is shown of an edge_runtime.Model."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def manifest(self) -> Manifest | None: ...
    @property
    def schema(self) -> Schema: ...


def model_html(model: Described) -> str:
    """The HTML of a model."""
    if model.manifest is not None:
        return html_of(page_of_bundle(model.manifest, model.digest))
    return html_of(page_of_graph(model.name, model.digest, model.schema))


def html_of(page: Page) -> str:
    """The HTML of a page: what goes in and out in full, the rest folded."""
    made = [
        f'<div class="edge-page"><style>{STYLE}</style>',
        f'<div class="edge-title">{escape(page.title)}</div>',
        pairs(page.facts),
        f"<div>{escape(page.lacks)}</div>" if page.lacks else "",
        folded("columns", table(COLUMNS, page.columns), open_=True, count=len(page.columns)),
        folded("graph takes", table(TENSORS, page.tensors), open_=not page.columns),
        folded("answers", table(OUTPUTS, page.outputs) + note(page.ending), open_=True),
        folded("certificate", pairs(page.certificate), open_=True),
        folded("variants", table(VARIANTS, page.variants), count=len(page.variants)),
        folded("provenance", pairs(page.provenance)),
        folded("size", shares(page.parts)),
        "</div>",
    ]
    return "\n".join(filter(None, made))


def folded(heading: str, content: str, *, open_: bool = False, count: int | None = None) -> str:
    """``content`` under a heading that folds it away; nothing where there is none."""
    if not content:
        return ""
    number = f" ({count:,})" if count is not None else ""
    return f"<details{' open' if open_ else ''}><summary>{escape(heading)}{number}</summary>{content}</details>"


def note(text: str) -> str:
    return f"<div><code>{escape(text)}</code></div>" if text else ""


def table(headings: tuple[str, ...], rows: Rows) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f"<table><tr>{head}</tr>{''.join(map(row_html, rows))}</table>"


def row_html(row: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td><code>{escape(text)}</code></td>' for text in row)}</tr>"


def pairs(rows: Rows) -> str:
    if not rows:
        return ""
    lines = (f'<tr><td class="edge-key">{escape(name)}</td><td>{escape(text)}</td></tr>' for name, text in rows)
    return f"<table>{''.join(lines)}</table>"


def shares(parts: tuple[tuple[str, int], ...]) -> str:
    whole = sum(size for _, size in parts)
    lines = (
        f"<tr><td>{escape(name)}</td><td>{size:,} bytes</td><td>{size / whole:.1%}</td>"
        f'<td><span class="edge-bar" style="width:{12 * size / whole:.2f}em"></span></td></tr>'
        for name, size in parts
    )
    return f"<table>{''.join(lines)}</table>" if whole else ""
