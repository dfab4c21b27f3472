"""What every page shares: its look, its script, and how plots get into it."""

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

COLORS = ("#d97706", "#2563eb", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#db2777", "#92400e", "#475569")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Plot:
    """name: unique in the page, an HTML id. figure: of plotly."""

    name: str
    title: str
    figure: Any

    def section(self) -> str:
        """Where the script draws it."""
        return f'<section><h2>{html.escape(self.title)}</h2><div class="plot" id="{self.name}"></div></section>'


def page(title: str, head: str, plots: Sequence[Plot], tail: str = "") -> str:
    """The whole document: head, plots, tail. head and tail are HTML."""
    data = json.dumps({plot.name: plot.figure.to_plotly_json() for plot in plots}, default=_plain)
    return _PAGE.format(
        title=html.escape(title),
        head=head,
        sections="\n".join(plot.section() for plot in plots),
        tail=tail,
        plotly=get_plotlyjs(),
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
    return empty


def colored(items: Iterable[Item]) -> list[tuple[Item, str]]:
    """Each with its colour; they repeat where there are more than a person can tell apart."""
    return [(item, COLORS[index % len(COLORS)]) for index, item in enumerate(items)]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Titles are text; cells are HTML."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values, both text."""
    rows = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{''.join(rows)}</dl>"


def _plain(value: NDArray[Any] | np.generic) -> Any:
    """What plotly leaves as numpy has it: empty arrays, single numbers."""
    return value.tolist()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
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
dt {{ color: #6b7280; }} dd {{ margin: 0; }}
summary {{ cursor: pointer; padding: 6px 0; font-weight: 600; }}
</style>
</head>
<body>
<h1>{title}</h1>
{head}
{sections}
{tail}
<script>{plotly}</script>
<script type="application/json" id="figures">{data}</script>
<script>
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [name, figure] of Object.entries(figures))
  Plotly.newPlot(name, figure.data, figure.layout, {{responsive: true, displayModeBar: false}});
document.body.dataset.plots = document.querySelectorAll(".plot .main-svg:first-child").length;
document.body.dataset.requests = performance.getEntriesByType("resource").length;
</script>
</body>
</html>
"""
