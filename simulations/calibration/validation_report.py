"""One self-contained HTML page: measured against simulated, a plot a metric and every row in a table."""

import html
import math
from collections.abc import Sequence
from typing import Any

from simulations.calibration.fitting import METRICS
from simulations.calibration.validation import TITLES, Judged, median_errors
from simulations.report.page import Plot, colored, figure, page

_STYLE = "<style>th:nth-child(3), td:nth-child(3), td.reason { text-align: left; }</style>"
"""Of the rows: text that is not in the first column."""


def validation_html(judged: Sequence[Judged], how: str) -> str:
    """The page; `how` says in a sentence which profiles were used. No network request is made when it is opened."""
    medians = median_errors(judged)
    plots = [
        Plot(metric, f"{TITLES[metric]}: median error {_percent(medians[metric], sign=False)}", _figure(judged, metric))
        for metric in METRICS
    ]
    rows = f'<section><h2>Rows</h2><div class="scroll">{_table(judged)}</div></section>'
    return page("leadtime: measured against simulated", f"{_STYLE}<p>{html.escape(how)}</p>", plots, rows)


def _figure(judged: Sequence[Judged], metric: str) -> Any:
    """Milliseconds on logarithmic axes: on the line is right, the band is 10 % either way."""
    plot = figure("measured, ms", "simulated, ms", kind="log")
    pairs: dict[str, list[Judged]] = {}
    for row in judged:
        if row.error(metric) is not None:
            pairs.setdefault(_pair(row), []).append(row)
    values = [getattr(row.run, metric) * 1e3 for rows in pairs.values() for row in rows]
    ends = [0.8 * min(values, default=1.0), 1.25 * max(values, default=10.0)]
    for share, dash in ((0.9, "dot"), (1.0, "solid"), (1.1, "dot")):
        plot.add_scatter(
            x=ends,
            y=[share * end for end in ends],
            mode="lines",
            line={"color": "#9ca3af", "width": 1, "dash": dash},
            hoverinfo="skip",
            showlegend=False,
        )
    for (pair, rows), color in colored(sorted(pairs.items())):
        plot.add_scatter(
            x=[getattr(row.run, metric) * 1e3 for row in rows],
            y=[getattr(row.simulated, metric) * 1e3 for row in rows],
            mode="markers",
            name=pair,
            marker={"color": color, "size": 9},
            text=[
                f"exp {row.run.experiment}, {row.run.requests_per_second:g} requests/s, "
                f"{_percent(row.error(metric), sign=True)}"
                for row in rows
            ],
        )
    plot.update_layout(height=440, hovermode="closest", legend={"y": 1.02, "yanchor": "bottom"})
    ticks = [digit * 10**power for power in range(-2, 7) for digit in (1, 2, 3, 5)]
    axis = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]}
    plot.update_xaxes(**axis)
    plot.update_yaxes(**axis)
    return plot


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
