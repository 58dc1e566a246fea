"""Reports as one HTML file: sections of text, tables and pictures, without a script, opened offline and in mail.

Belongs here: the page's look and its parts, pictures as SVG that follow the reader's colours. Not here: what a report
says (benchmarks/pages.py and its like).
Imported as edge_runtime.report; needs the extra `bench`, inside its functions.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .errors import extra
from .words import printable

__all__ = ["COLOURS", "Picture", "Section", "Table", "page", "picture", "require"]

EXTRA = "bench"
COLOURS = ("#3b7dd8", "#e07b14", "#8a8a8a", "#2a9d6f")  # they read on white and on black
INK = "#010203"  # stands for the reader's own colour of text until the SVG is written
STYLE: Any = {
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "text.parse_math": False, "font.size": 9.0, "axes.titlesize": 9.0, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "axes.unicode_minus": False,
    "svg.fonttype": "none", "svg.hashsalt": "edge-runtime", "path.simplify": True,
}  # fmt: skip
TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em}
h1{font-size:1.5em;margin:0}
h2{font-size:1.15em;margin:2em 0 .4em;border-top:1px solid #8886;padding-top:.6em}
p{margin:.3em 0;overflow-wrap:anywhere}
.lead{font-weight:600}
table{border-collapse:collapse;margin:.6em 0;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.1em 1.4em .1em 0;overflow-wrap:anywhere}
th{font-weight:normal;opacity:.65;border-bottom:1px solid #8888}
td:first-child{white-space:nowrap}
td:not(:last-child){overflow-wrap:break-word}
figure{margin:1em 0}
figcaption{font-size:.9em;opacity:.75}
svg{max-width:100%;height:auto}
svg text{font-family:system-ui,sans-serif!important}
</style>
</head>
<body>
<h1>{{ title }}</h1>
{%- for section in sections %}
<section>
{%- if section.title %}
<h2>{{ section.title }}</h2>
{%- endif %}
{%- for part in section.parts %}
{%- if part is string %}
<p{% if loop.first and section.lead %} class="lead"{% endif %}>{{ part }}</p>
{%- elif part.svg is defined %}
<figure>
{{ part.svg | safe }}
<figcaption>{{ part.says }}</figcaption>
</figure>
{%- else %}
<table>
{%- if part.headings %}
<tr>{% for heading in part.headings %}<th>{{ heading }}</th>{% endfor %}</tr>
{%- endif %}
{%- for row in part.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</table>
{%- endif %}
{%- endfor %}
</section>
{%- endfor %}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under ``headings`` (() for none)."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG, and what it ``says``: its caption, and its text for those who cannot see it."""

    svg: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page: paragraphs, tables and pictures below a ``title`` ("" for none); the first paragraph stands
    out if it is the ``lead``."""

    title: str
    parts: tuple[str | Table | Picture, ...]
    lead: bool = False


def require(*, used_by: str) -> None:
    """Raise MissingExtraError now if a report could not be made."""
    with extra(EXTRA, used_by=used_by):
        import jinja2  # noqa: F401
        import matplotlib.figure  # noqa: F401


def page(title: str, sections: Sequence[Section], *, used_by: str) -> str:
    """The HTML of a page. All text is escaped, and what could move a cursor written out. Raises MissingExtraError."""
    with extra(EXTRA, used_by=used_by):
        import jinja2
    numbers = iter(range(1, 1_000_000))
    made = [
        {"title": printable(each.title), "lead": each.lead, "parts": [shown(part, numbers) for part in each.parts]}
        for each in sections
    ]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(TEMPLATE)
    return template.render(title=printable(title), sections=made) + "\n"


def shown(part: str | Table | Picture, numbers: Any) -> str | Table | Picture:
    if isinstance(part, Table):
        rows = tuple(tuple(printable(cell) for cell in row) for row in part.rows)
        return Table(tuple(printable(heading) for heading in part.headings), rows)
    if isinstance(part, Picture):
        return Picture(apart(part.svg, f"p{next(numbers)}-"), printable(part.says))
    return printable(part)


def picture(
    paint: Callable[..., None],
    *,
    says: str,
    used_by: str,
    widths: Sequence[float] = (1.0,),
    height: float = 2.6,
) -> Picture:
    """What ``paint`` draws on axes of matplotlib: one for each of ``widths``, side by side, ``height`` inches high.

    Text stays text, in the reader's font and colour. Raises MissingExtraError.
    """
    with extra(EXTRA, used_by=used_by):
        import matplotlib as mpl
        from matplotlib.figure import Figure
    out = io.StringIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's font draws the text, not matplotlib's
        figure = Figure(figsize=(9.0, height), layout="constrained")
        axes = figure.subplots(1, len(widths), width_ratios=list(widths), squeeze=False)[0]
        paint(*axes)
        for each in axes:
            plain_ticks(each.xaxis)
            plain_ticks(each.yaxis)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    label = escape(printable(says))
    return Picture(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip(), says)


def plain_ticks(axis: Any) -> None:
    """Numbers as they are, 1 2 5 10, on a logarithmic axis that has no labels of its own."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    if axis.get_scale() != "log" or isinstance(axis.get_major_locator(), FixedLocator):
        return
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def apart(svg: str, prefix: str) -> str:
    """``svg`` with ids that start with ``prefix`` and are numbered, so that several can stand on one page, and the same
    page is the same text each time."""
    names = {name: f"{prefix}{number}" for number, name in enumerate(re.findall(r'\bid="([^"]+)"', svg))}
    return re.sub(r'(\bid="|url\(#|xlink:href="#)([^")]+)', lambda found: found[1] + names.get(found[2], found[2]), svg)
