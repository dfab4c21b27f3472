"""What every page shares: its look, its script, and how plots get into it.

A page is one file that asks nobody for anything, and its own Content-Security-Policy holds it to that. The plotting
library is in it packed, which makes the page less than half as large.
"""

import base64
import gzip
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

COLORS = ("#d97706", "#2563eb", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#db2777", "#92400e", "#475569")

MOST_CARDS = 60
"""Rows of a table that a phone shows as cards, a line a cell; a longer one is scrolled within its own frame."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Plot:
    """name: unique in the page, an HTML id. figure: of plotly. note: text under the title."""

    name: str
    title: str
    figure: Any
    note: str = ""

    def section(self) -> str:
        """Where the script draws it."""
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f'<section><h2>{html.escape(self.title)}</h2>{note}<div class="plot" id="{self.name}"></div></section>'


def page(title: str, head: str, plots: Sequence[Plot], tail: str = "") -> str:
    """The whole document: head, plots, tail. head and tail are HTML."""
    data = json.dumps({plot.name: plot.figure.to_plotly_json() for plot in plots}, default=_plain)
    return _PAGE.format(
        title=html.escape(title),
        head=head,
        sections="\n".join(plot.section() for plot in plots),
        tail=tail,
        plotly=_packed_plotly(),
        data=data.replace("</", "<\\/"),
    )


def figure(x_title: str, y_title: str, kind: str = "linear") -> Any:
    """An empty plot in the pages' style. kind: of the y axis, linear or log."""
    empty = go.Figure()
    empty.update_layout(
        template="plotly_white",
        height=320,
        margin={"l": 60, "r": 16, "t": 8, "b": 44},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        hovermode="x unified",
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    empty.update_xaxes(title=x_title)
    empty.update_yaxes(title=y_title, type=kind, rangemode="tozero" if kind == "linear" else "normal")
    if kind == "log":  # else plotly writes the digits between powers of ten in letters too small to read
        empty.update_yaxes(tickformat="~g", nticks=4)
    return empty


def colored(items: Iterable[Item]) -> list[tuple[Item, str]]:
    """Each with its colour; they repeat where there are more than a person can tell apart."""
    return [(item, COLORS[index % len(COLORS)]) for index, item in enumerate(items)]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Titles are text; cells are HTML. On a phone a row is a card: each cell behind its title."""
    listed = list(rows)
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    is_short = len(listed) <= MOST_CARDS
    names = [f' data-title="{html.escape(title)}"' if is_short else "" for title in titles]
    body = "".join(
        "<tr>" + "".join(f"<td{name}>{cell}</td>" for name, cell in zip(names, row, strict=True)) + "</tr>"
        for row in listed
    )
    kind = ' class="cards"' if is_short else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values, both text."""
    rows = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{''.join(rows)}</dl>"


@cache
def _packed_plotly() -> str:
    """Plotly's script, gzip in base64; equal for equal versions."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _plain(value: NDArray[Any] | np.generic) -> Any:
    """What plotly leaves as numpy has it: empty arrays, single numbers."""
    return value.tolist()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>leadtime report</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #111827; margin: 0 auto; max-width: 1100px; padding: 16px; }}
h1 {{ font-size: 24px; margin: 8px 0; }} h2 {{ font-size: 17px; margin: 24px 0 4px; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: 4px 6px; border-bottom: 1px solid #e5e7eb; }}
th:first-child, td:first-child {{ text-align: left; }}
details td, details th {{ text-align: left; vertical-align: top; }}
.scroll {{ overflow-x: auto; }} .scroll > table td {{ white-space: nowrap; }} .change td {{ background: #fef3c7; }}
.delta {{ color: #6b7280; font-size: 13px; }} .best td {{ background: #ecfdf5; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; }}
dt {{ color: #6b7280; }} dd {{ margin: 0; overflow-wrap: anywhere; }}
summary {{ cursor: pointer; padding: 6px 0; font-weight: 600; }}
@media (max-width: 640px) {{
  body {{ padding: 10px; overflow-wrap: anywhere; }} dl {{ grid-template-columns: 1fr; }} dd {{ margin: 0 0 6px; }}
  .cards thead {{ display: none; }}
  .cards tr {{ display: block; padding: 6px 0; border-bottom: 1px solid #9ca3af; }}
  .scroll > table.cards td {{ display: block; white-space: normal; border: 0; padding: 1px 0; text-align: right; }}
  .cards td::before {{ content: attr(data-title); color: #6b7280; float: left; margin-right: 12px; }}
  .cards td::after {{ content: ""; display: block; clear: both; }}
  .cards td:first-child {{ font-weight: 600; }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
{head}
{sections}
{tail}
<script>const packed = "{plotly}";</script>
<script type="application/json" id="figures">{data}</script>
<script>
async function unpacked(text) {{
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}}
async function draw() {{
  const library = document.createElement("script");
  library.textContent = await unpacked(packed);
  document.head.append(library);
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const isTouched = matchMedia("(pointer: coarse)").matches;
  for (const [name, figure] of Object.entries(figures)) {{
    const legend = figure.layout.legend ?? {{}};
    if (isTouched) figure.layout.dragmode = false;
    if (innerWidth < 640 && legend.y > 1) {{
      Object.assign(legend, {{y: 1.02, yanchor: "bottom"}});
      figure.layout.height += 20 * Math.max(0, figure.data.length - 2);
    }}
    Plotly.newPlot(name, figure.data, figure.layout, {{responsive: true, displayModeBar: false}});
  }}
  document.body.dataset.plots = document.querySelectorAll(".plot .main-svg:first-child").length;
  document.body.dataset.requests = performance.getEntriesByType("resource").length;
  document.dispatchEvent(new Event("drawn"));
}}
draw().catch((error) => {{
  for (const plot of document.querySelectorAll(".plot"))
    plot.textContent = `Not drawn: ${{error}}. Plots need a browser that has DecompressionStream.`;
}});
</script>
</body>
</html>
"""
