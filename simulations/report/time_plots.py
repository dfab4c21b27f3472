"""A scenario's runs over time: demand and capacity, queues, latencies, goodput, cost, nodes, replicas."""

import html
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.capacity.sustained import sustained_requests_per_second
from simulations.report.page import Plot, colored, figure
from simulations.report.time_axis import F8, TimeAxis, first_of_each, last, mean, middle, most, thinned
from simulations.results import Moment, Result
from simulations.results.intervals import INTERVAL_SECONDS, LEVELS

_DEMAND_COLOR = "#6b7280"
_STARTING_COLOR = "rgba(148,163,184,0.6)"
_SHOWN_LEVELS: tuple[tuple[str, float, str, Callable[[F8], float]], ...] = (
    ("p50", 0.50, "dot", middle),
    ("p99", 0.99, "solid", most),
)


def time_plots(results: Sequence[Result]) -> list[Plot]:
    """In the order of the page. All results must come from the same scenario."""
    scenario, slo = results[0].scenario, results[0].scenario.slo
    axis = TimeAxis.for_duration(scenario.trace.duration_seconds)
    plots = [
        Plot("demand", "Demand against capacity", _demand(results, axis)),
        Plot("queue", "Requests waiting", _lines(results, axis, "requests", lambda moment: moment.waiting, most)),
        Plot("ttft", "Time to first token", _latency(results, axis, "ttft", slo.ttft_seconds, "log")),
        Plot("tpot", "Time per output token", _latency(results, axis, "tpot", slo.tpot_seconds, "linear")),
        Plot("e2e", "End-to-end latency", _latency(results, axis, "e2e", slo.e2e_seconds, "log")),
        Plot("goodput", "Goodput", _goodput(results, axis)),
        Plot("cost", "Cost so far", _cost(results, axis)),
    ]
    if any(moment.nodes is not None for result in results for moment in result.moments[-1:]):
        plots.append(Plot("nodes", "Nodes", _lines(results, axis, "nodes", lambda moment: moment.nodes or 0, last)))
    for index, (result, color) in enumerate(colored(results)):
        plots.append(Plot(f"replicas-{index}", f"Replicas: {result.policy}", _replicas(result, axis, color)))
    return plots


def changes(result: Result) -> list[Moment]:
    """The moments that changed the number of replicas."""
    before = result.scenario.initial_replicas
    changed = []
    for moment in result.moments:
        if moment.replicas != before:
            changed.append(moment)
        before = moment.replicas
    return changed


def _demand(results: Sequence[Result], axis: TimeAxis) -> Any:
    """Arrivals, and what the ready replicas sustain for the requests of that time."""
    plot = axis.fit(figure(axis.title, "requests per second"))
    _add_demand(plot, results[0], axis)
    for result, color in colored(results):
        plot.add_scatter(
            x=axis.of(first_of_each(_seconds(result.moments))),
            y=thinned(_capacity(result), last),
            name=f"capacity, {result.policy}",
            line={"color": color, "shape": "hv", "width": 2},
        )
    return plot


def _goodput(results: Sequence[Result], axis: TimeAxis) -> Any:
    """Of each minute's arrivals, those that were served within the SLO."""
    plot = axis.fit(figure(axis.title, "requests/s, by arrival"))
    _add_demand(plot, results[0], axis)
    for result, color in colored(results):
        x, y = _rate(result, axis, result.intervals.good)
        plot.add_scatter(x=x, y=y, name=result.policy, line={"color": color, "width": 2})
    return plot


def _add_demand(plot: Any, result: Result, axis: TimeAxis) -> None:
    x, y = _rate(result, axis, result.intervals.arrivals)
    plot.add_scatter(
        x=x,
        y=y,
        name="demand",
        line={"color": _DEMAND_COLOR, "width": 2},
        fill="tozeroy",
        fillcolor="rgba(107,114,128,0.15)",
    )


def _rate(result: Result, axis: TimeAxis, counts: Any) -> tuple[F8, F8]:
    """(instants, requests per second) of the minutes within the demand."""
    widths = result.intervals.widths(result.scenario.trace.duration_seconds)
    within = widths > 0
    return _centres(result, axis, within), thinned(counts[within] / widths[within], mean)


def _centres(result: Result, axis: TimeAxis, within: Any) -> F8:
    return axis.of(first_of_each(result.intervals.start_seconds[within] + INTERVAL_SECONDS / 2))


def _latency(results: Sequence[Result], axis: TimeAxis, name: str, target: float | None, kind: str) -> Any:
    """Median and 99th percentile per minute of arrival, with the SLO where there is one."""
    plot = axis.fit(figure(axis.title, "seconds, by time of arrival", kind))
    for result, color in colored(results):
        within = result.intervals.widths(result.scenario.trace.duration_seconds) > 0
        levels = getattr(result.intervals, name)[within]
        for label, level, dash, reduce in _SHOWN_LEVELS:
            plot.add_scatter(
                x=_centres(result, axis, within),
                y=thinned(levels[:, LEVELS.index(level)], reduce),
                name=f"{label}, {result.policy}",
                line={"color": color, "dash": dash, "width": 2},
            )
    if target is not None:
        plot.add_scatter(
            x=axis.of([0, axis.duration_seconds]),
            y=[target, target],
            name=f"SLO {target:g} s",
            mode="lines",
            line={"color": "#dc2626", "dash": "dash", "width": 1},
        )
    return plot


def _lines(
    results: Sequence[Result],
    axis: TimeAxis,
    y_title: str,
    value: Callable[[Moment], float],
    reduce: Callable[[F8], float],
) -> Any:
    """One line a run, from its moments."""
    plot = axis.fit(figure(axis.title, y_title))
    for result, color in colored(results):
        plot.add_scatter(
            x=axis.of(first_of_each(_seconds(result.moments))),
            y=thinned([value(moment) for moment in result.moments], reduce),
            name=result.policy,
            line={"color": color, "width": 2},
        )
    return plot


def _cost(results: Sequence[Result], axis: TimeAxis) -> Any:
    """The bill up to each sync: GPUs at each held until the next, scaled to end at the summary's exact cost."""
    plot = axis.fit(figure(axis.title, "US dollars"))
    for result, color in colored(results):
        seconds = np.append(np.minimum(_seconds(result.moments), axis.duration_seconds), axis.duration_seconds)
        gpus = np.array([moment.gpus for moment in result.moments], np.float64)
        spent = np.concatenate([[0.0], np.cumsum(gpus * np.diff(seconds))])
        plot.add_scatter(
            x=axis.of(first_of_each(seconds)),
            y=thinned(spent * (result.summary.cost_usd / spent[-1] if spent[-1] > 0 else 0.0), last),
            name=result.policy,
            line={"color": color, "width": 2},
        )
    return plot


def _replicas(result: Result, axis: TimeAxis, color: str) -> Any:
    """Ready and starting replicas, stacked, beside what was asked for and what the demand took to serve.

    Hovering shows the decision in words.
    """
    plot = axis.fit(figure(axis.title, "replicas"))
    for name, values, fill in (
        ("ready", [moment.ready_replicas for moment in result.moments], color),
        ("starting", [moment.starting_replicas for moment in result.moments], _STARTING_COLOR),
    ):
        plot.add_scatter(
            x=axis.of(first_of_each(_seconds(result.moments))),
            y=thinned(values, last),
            name=name,
            stackgroup="replicas",
            line={"shape": "hv", "width": 1, "color": fill},
            hoverinfo="skip",
        )
    plot.add_scatter(
        x=axis.of(first_of_each(_seconds(result.moments))),
        y=thinned([moment.replicas for moment in result.moments], last),
        name="asked for",
        line={"color": "#111827", "shape": "hv", "width": 1, "dash": "dot"},
    )
    needed_at, needed = needed_replicas(result)
    plot.add_scatter(
        x=axis.of(first_of_each(needed_at)),
        y=thinned(needed, most),
        name="needed",
        line={"color": "#d55e00", "width": 1.5},
    )
    changed = changes(result)
    plot.add_scatter(
        x=axis.of(_seconds(changed)),
        y=[moment.replicas for moment in changed],
        name="decision",
        mode="markers",
        marker={"color": "#111827", "size": 7, "symbol": "diamond"},
        text=[f"{html.escape(moment.decision.reason)}<br>{html.escape(moment.decision.message)}" for moment in changed],
        hovertemplate="%{text}<extra></extra>",
    )
    return plot


def needed_replicas(result: Result) -> tuple[F8, F8]:
    """(middle of each minute of the demand in seconds, replicas that sustain what arrived in it; NaN for nothing)."""
    widths = result.intervals.widths(result.scenario.trace.duration_seconds)
    within = widths > 0
    rates = result.intervals.arrivals[within] / widths[within]
    sustained = np.array(_sustained(result), np.float64)[within]
    needed: F8 = np.divide(rates, sustained, out=np.full(len(rates), np.nan), where=sustained > 0)
    return result.intervals.start_seconds[within] + INTERVAL_SECONDS / 2, needed


def _capacity(result: Result) -> list[float]:
    """Ready replicas x the sustained rate of one."""
    sustained = _sustained(result)
    last_minute = len(sustained) - 1
    return [
        moment.ready_replicas * sustained[min(int(moment.second // INTERVAL_SECONDS), last_minute)]
        for moment in result.moments
    ]


def _sustained(result: Result) -> list[float]:
    """For each minute, requests/s of one replica, for the mean request of the five minutes around it; NaN for none."""
    intervals, scenario = result.intervals, result.scenario
    around = zip(
        _over_five_minutes(intervals.arrivals),
        _over_five_minutes(intervals.prompt_tokens),
        _over_five_minutes(intervals.output_tokens),
        strict=True,
    )
    return [
        sustained_requests_per_second(
            scenario.profile,
            prompt_tokens=prompts / arrivals,
            output_tokens=outputs / arrivals,
            tpot_seconds=scenario.slo.tpot_seconds,
        )
        if arrivals
        else math.nan
        for arrivals, prompts, outputs in around
    ]


def _over_five_minutes(values: NDArray[np.int64]) -> list[int]:
    """For each minute, the sum over it and the two on either side."""
    totals = np.concatenate([[0], np.cumsum(values)])
    minutes = np.arange(len(values))
    sums: list[int] = (totals[np.minimum(minutes + 3, len(values))] - totals[np.maximum(minutes - 2, 0)]).tolist()
    return sums


def _seconds(moments: Sequence[Moment]) -> F8:
    return np.array([moment.second for moment in moments], np.float64)
