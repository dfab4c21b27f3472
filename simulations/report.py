"""One self-contained HTML page about runs of one scenario: the table, the plots, every decision in words."""

import html
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from policies.capacity.sustained import sustained_requests_per_second
from simulations.results import Moment, Result, Summary
from simulations.scenario import Scenario

_COLORS = ("#d97706", "#2563eb", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#db2777", "#92400e", "#475569")
_DEMAND_COLOR = "#6b7280"
_BIN_SECONDS = 60.0

_COLUMNS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("Policy", lambda row: html.escape(row.policy)),
    ("SLO attainment", lambda row: f"{row.slo_attainment:.2%}"),
    ("TTFT p50", lambda row: f"{row.ttft_p50_seconds:.2f} s"),
    ("TTFT p99", lambda row: f"{row.ttft_p99_seconds:.2f} s"),
    ("TPOT p50", lambda row: f"{row.tpot_p50_seconds * 1000:.0f} ms"),
    ("TPOT p99", lambda row: f"{row.tpot_p99_seconds * 1000:.0f} ms"),
    ("Goodput", lambda row: f"{row.goodput_requests_per_second:.2f} req/s"),
    ("GPU-hours", lambda row: f"{row.gpu_hours:.2f}"),
    ("Cost", lambda row: f"${row.cost_usd:.2f}"),
    ("Rescales", lambda row: str(row.rescales)),
    ("Preemptions", lambda row: str(row.preemptions)),
)


def report_html(results: Sequence[Result]) -> str:
    """The page. All results must come from the same scenario; no network request is made when it is opened."""
    scenario = results[0].scenario
    figures = [
        ("demand", "Demand against capacity", _demand_figure(results)),
        ("queue", "Requests waiting", _queue_figure(results)),
        ("ttft", "Time to first token", _latency_figure(results, "ttft")),
        ("tpot", "Time per output token", _latency_figure(results, "tpot")),
        *(
            (f"replicas-{index}", f"Replicas: {result.policy}", _replica_figure(result, color))
            for index, (result, color) in enumerate(_colored(results))
        ),
    ]
    sections = "\n".join(
        f'<section><h2>{html.escape(title)}</h2><div class="plot" id="{name}"></div></section>'
        for name, title, _ in figures
    )
    data = json.dumps({name: figure.to_plotly_json() for name, _, figure in figures}, default=_plain)
    return _PAGE.format(
        summary=_summary_table(results),
        facts=_facts(scenario),
        sections=sections,
        decisions="\n".join(_decision_table(result) for result in results),
        plotly=get_plotlyjs(),
        data=data.replace("</", "<\\/"),
    )


def _colored(results: Sequence[Result]) -> list[tuple[Result, str]]:
    """Each result with its colour; they repeat where there are more results than a person can tell apart."""
    return [(result, _COLORS[index % len(_COLORS)]) for index, result in enumerate(results)]


def _demand_figure(results: Sequence[Result]) -> Any:
    """Arrivals per minute bin, and what the ready replicas sustain for the requests of that time."""
    scenario = results[0].scenario
    centres, rates = _rates(results[0])
    figure = _figure(scenario, "requests per second")
    figure.add_scatter(
        x=_minutes(centres),
        y=rates,
        name="demand",
        line={"color": _DEMAND_COLOR, "width": 2},
        fill="tozeroy",
        fillcolor="rgba(107,114,128,0.15)",
    )
    for result, color in _colored(results):
        figure.add_scatter(
            x=_minutes(_seconds(result.moments)),
            y=_capacity(scenario, result.moments),
            name=f"capacity, {result.policy}",
            line={"color": color, "shape": "hv", "width": 2},
        )
    return figure


def _queue_figure(results: Sequence[Result]) -> Any:
    figure = _figure(results[0].scenario, "requests")
    for result, color in _colored(results):
        figure.add_scatter(
            x=_minutes(_seconds(result.moments)),
            y=[moment.waiting for moment in result.moments],
            name=result.policy,
            line={"color": color, "width": 2},
        )
    return figure


def _latency_figure(results: Sequence[Result], kind: str) -> Any:
    """Median and 99th percentile per minute of arrival, with the SLO."""
    slo = results[0].scenario.slo
    target = slo.ttft_seconds if kind == "ttft" else slo.tpot_seconds
    figure = _figure(results[0].scenario, "seconds, by time of arrival", kind="log" if kind == "ttft" else "linear")
    for result, color in _colored(results):
        values = result.ttft_seconds if kind == "ttft" else result.tpot_seconds
        for percent, dash in ((50, "dot"), (99, "solid")):
            centres, levels = _percentiles(result, values, percent)
            figure.add_scatter(
                x=_minutes(centres),
                y=levels,
                name=f"p{percent}, {result.policy}",
                line={"color": color, "dash": dash, "width": 2},
            )
    figure.add_scatter(
        x=[0, _minutes(_edges(results[0]))[-1]],
        y=[target, target],
        name=f"SLO {target:g} s",
        mode="lines",
        line={"color": "#dc2626", "dash": "dash", "width": 1},
    )
    return figure


def _replica_figure(result: Result, color: str) -> Any:
    """Ready and starting replicas, stacked; hovering shows the decision in words."""
    figure = _figure(result.scenario, "replicas")
    minutes = _minutes(_seconds(result.moments))
    for name, values, fill in (
        ("ready", [moment.ready_replicas for moment in result.moments], color),
        ("starting", [moment.starting_replicas for moment in result.moments], "rgba(148,163,184,0.6)"),
    ):
        figure.add_scatter(
            x=minutes,
            y=values,
            name=name,
            stackgroup="replicas",
            line={"shape": "hv", "width": 1, "color": fill},
            hoverinfo="skip",
        )
    changes = _changes(result)
    figure.add_scatter(
        x=_minutes(_seconds(changes)),
        y=[moment.replicas for moment in changes],
        name="decision",
        mode="markers",
        marker={"color": "#111827", "size": 7, "symbol": "diamond"},
        text=[f"{html.escape(moment.decision.reason)}<br>{html.escape(moment.decision.message)}" for moment in changes],
        hovertemplate="%{text}<extra></extra>",
    )
    return figure


def _figure(scenario: Scenario, y_title: str, kind: str = "linear") -> Any:
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        height=320,
        margin={"l": 60, "r": 16, "t": 8, "b": 44},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        hovermode="x unified",
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    figure.update_xaxes(title="minutes since the start", range=[0, scenario.trace.duration_seconds / 60])
    figure.update_yaxes(title=y_title, type=kind, rangemode="tozero" if kind == "linear" else "normal")
    return figure


def _rates(result: Result) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    edges = _edges(result)
    counts, _ = np.histogram(result.arrival_seconds, edges)
    widths = np.diff(np.minimum(edges, result.scenario.trace.duration_seconds))  # the last minute may be short
    return _centres(edges), counts / widths


def _percentiles(
    result: Result, values: NDArray[np.float64], percent: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    edges = _edges(result)
    bins = np.digitize(result.arrival_seconds, edges) - 1
    levels = np.full(len(edges) - 1, np.nan, np.float64)
    for index in range(len(levels)):
        known = values[bins == index]
        known = known[~np.isnan(known)]
        if len(known):
            levels[index] = float(np.percentile(known, percent))
    return _centres(edges), levels


def _centres(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    centres: NDArray[np.float64] = edges[:-1] + _BIN_SECONDS / 2
    return centres


def _edges(result: Result) -> NDArray[np.float64]:
    bins = max(1, int(np.ceil(result.scenario.trace.duration_seconds / _BIN_SECONDS)))
    edges: NDArray[np.float64] = _BIN_SECONDS * np.arange(bins + 1, dtype=np.float64)
    return edges


def _capacity(scenario: Scenario, moments: Sequence[Moment]) -> list[float]:
    """Ready replicas x the sustained rate of one, for the mean request of the five minutes around."""
    trace = scenario.trace
    totals = np.cumsum(np.vstack([trace.prompt_tokens, trace.output_tokens]), axis=1, dtype=np.float64)
    capacities = []
    for moment in moments:
        first, last = np.searchsorted(trace.arrival_seconds, [moment.second - 150, moment.second + 150])
        last = min(max(last, first + 1), len(trace)) - 1
        first = min(first, last)
        count = last - first + 1
        before = totals[:, first - 1] if first else np.zeros(2)
        prompt, output = (totals[:, last] - before) / count
        capacities.append(
            moment.ready_replicas
            * sustained_requests_per_second(
                scenario.profile,
                prompt_tokens=float(prompt),
                output_tokens=float(output),
                tpot_seconds=scenario.slo.tpot_seconds,
            )
        )
    return capacities


def _changes(result: Result) -> list[Moment]:
    """The moments that changed the number of replicas."""
    before = result.scenario.initial_replicas
    changed = []
    for moment in result.moments:
        if moment.replicas != before:
            changed.append(moment)
        before = moment.replicas
    return changed


def _seconds(moments: Sequence[Moment]) -> NDArray[np.float64]:
    return np.array([moment.second for moment in moments], np.float64)


def _minutes(seconds: NDArray[np.float64]) -> list[float]:
    return [round(float(second) / 60, 3) for second in seconds]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [None if np.isnan(item) else item for item in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a figure")


def _summary_table(results: Sequence[Result]) -> str:
    head = "".join(f"<th>{title}</th>" for title, _ in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{text(result.summary)}</td>" for _, text in _COLUMNS) + "</tr>" for result in results
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _facts(scenario: Scenario) -> str:
    profile, lead = scenario.profile, scenario.lead_time
    trace = scenario.trace
    facts = {
        "Demand": f"{trace.name}: {len(trace):,} requests in {trace.duration_seconds / 60:.0f} minutes",
        "Server": f"vLLM, {profile.model} on {profile.gpus_per_replica} x {profile.gpu} (profile {profile.name})",
        "Profile": f"{profile.source} ({profile.validation})",
        "SLO": f"TTFT ≤ {scenario.slo.ttft_seconds:g} s and TPOT ≤ {scenario.slo.tpot_seconds:g} s, for every request",
        "Lead time": f"{lead.start_median_seconds:g} s to start, {lead.load_median_seconds:g} s to load (medians, "
        f"lognormal, sigma {lead.sigma:g})",
        "Cost": f"${scenario.price_per_gpu_hour:g} a GPU-hour, from the ask for a pod to its end",
        "Seed": str(scenario.seed),
    }
    return "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())


def _decision_table(result: Result) -> str:
    before = result.scenario.initial_replicas
    rows = []
    for moment in result.moments:
        mark = ' class="change"' if moment.replicas != before else ""
        minute, second = divmod(int(moment.second), 60)
        rows.append(
            f"<tr{mark}><td>{minute:02d}:{second:02d}</td><td>{before} → {moment.replicas}</td>"
            f"<td>{html.escape(moment.decision.reason)}</td><td>{html.escape(moment.decision.message)}</td></tr>"
        )
        before = moment.replicas
    return (
        f"<details><summary>{html.escape(result.policy)}: {len(rows)} decisions, "
        f"{result.summary.rescales} rescales</summary><table><thead><tr><th>Time</th><th>Replicas</th>"
        f"<th>Reason</th><th>In words</th></tr></thead><tbody>{''.join(rows)}</tbody></table></details>"
    )


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
th, td {{ text-align: right; padding: 4px 8px; border-bottom: 1px solid #e5e7eb; }}
th:first-child, td:first-child {{ text-align: left; }}
details td, details th {{ text-align: left; vertical-align: top; }}
.scroll {{ overflow-x: auto; }} .scroll > table td {{ white-space: nowrap; }} .change td {{ background: #fef3c7; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; }}
dt {{ color: #6b7280; }} dd {{ margin: 0; }}
summary {{ cursor: pointer; padding: 6px 0; font-weight: 600; }}
</style>
</head>
<body>
<h1>leadtime: one scenario, policies side by side</h1>
<div class="scroll">{summary}</div>
<dl>{facts}</dl>
<p>One setting of each policy: a point, not a verdict. Change a target and the point moves along its frontier
of attainment against GPU-hours.</p>
{sections}
<section><h2>Decisions</h2><div class="scroll">{decisions}</div></section>
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
