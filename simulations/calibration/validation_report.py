"""One self-contained HTML page: measured against simulated, a plot a metric and every row in a table."""

import html
import json
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from simulations.calibration.fitting import METRICS
from simulations.calibration.validation import TITLES, Judged, median_errors

_COLORS = ("#d97706", "#2563eb", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#db2777", "#92400e", "#475569")


def validation_html(judged: Sequence[Judged], how: str) -> str:
    """The page; `how` says in a sentence which profiles were used. No network request is made when it is opened."""
    medians = median_errors(judged)
    figures = {metric: _figure(judged, metric) for metric in METRICS}
    sections = "".join(
        f"<section><h2>{TITLES[metric]}: median error {_percent(medians[metric], sign=False)}</h2>"
        f'<div class="plot" id="{metric}"></div></section>'
        for metric in METRICS
    )
    data = json.dumps({metric: figure.to_plotly_json() for metric, figure in figures.items()})
    return _PAGE.format(
        how=html.escape(how),
        sections=sections,
        table=_table(judged),
        plotly=get_plotlyjs(),
        data=data.replace("</", "<\\/"),
    )


def _figure(judged: Sequence[Judged], metric: str) -> Any:
    """Milliseconds on logarithmic axes: on the line is right, the band is 10 % either way."""
    figure = go.Figure()
    figure.layout.template = None
    pairs: dict[str, list[Judged]] = {}
    for row in judged:
        if row.error(metric) is not None:
            pairs.setdefault(_pair(row), []).append(row)
    values = [getattr(row.run, metric) * 1e3 for rows in pairs.values() for row in rows]
    ends = [0.8 * min(values, default=1.0), 1.25 * max(values, default=10.0)]
    for share, dash in ((0.9, "dot"), (1.0, "solid"), (1.1, "dot")):
        figure.add_scatter(
            x=ends,
            y=[share * end for end in ends],
            mode="lines",
            line={"color": "#9ca3af", "width": 1, "dash": dash},
            hoverinfo="skip",
            showlegend=False,
        )
    for index, (pair, rows) in enumerate(sorted(pairs.items())):
        figure.add_scatter(
            x=[getattr(row.run, metric) * 1e3 for row in rows],
            y=[getattr(row.simulated, metric) * 1e3 for row in rows],
            mode="markers",
            name=pair,
            marker={"color": _COLORS[index % len(_COLORS)], "size": 9},
            text=[
                f"exp {row.run.experiment}, {row.run.requests_per_second:g} requests/s, "
                f"{_percent(row.error(metric), sign=True)}"
                for row in rows
            ],
        )
    figure.update_layout(height=420, margin={"l": 60, "r": 16, "t": 16, "b": 48}, hovermode="closest")
    ticks = [digit * 10**power for power in range(-2, 7) for digit in (1, 2, 3, 5)]
    axis = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]}
    figure.update_xaxes(title="measured, ms", **axis)
    figure.update_yaxes(title="simulated, ms", **axis)
    return figure


def _table(judged: Sequence[Judged]) -> str:
    titles = ["Line", "Experiment", "Model and GPU", "Requests/s"]
    for metric in METRICS:
        titles += [f"{TITLES[metric]}, ms", "error"]
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(row) for row in judged)}</tbody></table>"


def _row(row: Judged) -> str:
    rate = "" if row.run.requests_per_second is None else f"{row.run.requests_per_second:g}"
    cells = [str(row.run.line), row.run.experiment, _pair(row), rate]
    tail = ""
    if row.simulated is None:
        tail = f'<td class="reason" colspan="{2 * len(METRICS)}">not judged: {html.escape(row.reason or "")}</td>'
    else:
        for metric in METRICS:
            measured, simulated = getattr(row.run, metric), milliseconds(getattr(row.simulated, metric))
            cells.append(simulated if measured is None else f"{milliseconds(measured)} → {simulated}")
            cells.append(_percent(row.error(metric), sign=True))
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + tail + "</tr>"


def milliseconds(seconds: float) -> str:
    """Two decimals below 100 ms, none above: what a measured mean is good for."""
    figure = 1e3 * seconds
    return f"{figure:.2f}" if figure < 100 else f"{figure:,.0f}"


def _pair(row: Judged) -> str:
    ranks = row.run.tensor_parallel_size
    return f"{row.run.model.rsplit('/', 1)[-1]} on {f'{ranks} x ' if ranks > 1 else ''}{row.run.gpu}"


def _percent(share: float | None, *, sign: bool) -> str:
    if share is None or math.isnan(share):
        return ""
    return f"{100 * share:+.1f} %" if sign else f"{100 * share:.1f} %"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>leadtime: measured against simulated</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #111827; margin: 0 auto; max-width: 1100px; padding: 16px; }}
h1 {{ font-size: 24px; margin: 8px 0; }} h2 {{ font-size: 17px; margin: 24px 0 4px; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: 4px 8px; border-bottom: 1px solid #e5e7eb; white-space: nowrap; }}
th:nth-child(3), td:nth-child(3), td.reason {{ text-align: left; }}
.scroll {{ overflow-x: auto; }}
</style>
</head>
<body>
<h1>leadtime: measured against simulated</h1>
<p>{how}</p>
{sections}
<section><h2>Rows</h2><div class="scroll">{table}</div></section>
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
