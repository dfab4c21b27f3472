"""The page about runs that may come from different scenarios: what they share once, what differs in columns."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simulations.report.cost_tables import cost_section, lead_time_section
from simulations.report.frontier import runs_frontier
from simulations.report.hours_plots import hours_plots, worst_hours
from simulations.report.page import COLORS, Plot, colored, facts, figure, page, table
from simulations.report.parameters import common_and_differing, parameters
from simulations.report.scenario_rows import difference_plot, replica_rows
from simulations.report.summary_table import Column, columns_for
from simulations.report.time_axis import F8, TimeAxis, first_of_each, last, mean, thinned
from simulations.report.timelines import timelines
from simulations.results import Result, Summary
from simulations.results.intervals import INTERVAL_SECONDS

_DELTAS: dict[str, Callable[[Summary], float]] = {
    "TTFT p99": lambda row: row.ttft_p99_seconds,
    "TPOT p99": lambda row: row.tpot_p99_seconds,
    "E2E p99": lambda row: row.e2e_p99_seconds,
    "GPU-hours": lambda row: row.gpu_hours,
    "Cost": lambda row: row.cost_usd,
}
"""Figures whose relative difference from the first run is shown beside them."""


def comparison_html(results: Sequence[Result]) -> str:
    """The page; runs are shown in the order given, and the first is the one that others are measured against."""
    each = [parameters(result.scenario) for result in results]
    common, differing = common_and_differing(each)
    summaries = [result.summary for result in results]
    columns = columns_for(summaries)
    rows = [
        [
            _cell(columns[0], result.summary, summaries[0]),
            *(html.escape(own.get(name, "-")) for name in differing),
            *(_cell(column, result.summary, summaries[0]) for column in columns[1:]),
        ]
        for result, own in zip(results, each, strict=True)
    ]
    titles = [columns[0].title, *differing, *(column.title for column in columns[1:])]
    labels = _labels(results, [[own.get(name, "-") for name in differing] for own in each])
    axis = TimeAxis.for_duration(max(result.scenario.trace.duration_seconds for result in results))
    return page(
        "leadtime: runs compared",
        f"{table(titles, rows)}<p>Grey: the difference from the first run.</p>{worst_hours(results, labels)}",
        [
            Plot("frontier", "Attainment against GPU-hours", runs_frontier(results, labels)),
            Plot("latencies", "Latencies: median and 99th percentile", _latency_bars(results, labels)),
            Plot("gpus", "GPUs", _gpus(results, labels, axis)),
            Plot("goodput", "Share of each minute's requests within the SLO", _attainment(results, labels, axis)),
            replica_rows(results, labels),
            *hours_plots(results, labels),
            difference_plot(results, labels),
            *timelines(results, labels),
        ],
        f"{cost_section(results, labels)}{lead_time_section(results, labels)}"
        f"<section><h2>What all runs share</h2>{facts(common.items())}</section>",
    )


def _labels(results: Sequence[Result], differing: Sequence[Sequence[str]]) -> list[str]:
    """A name for each run that no other has: its policy, then what differs, then a number."""
    unique = len({result.policy for result in results}) == len(results)
    labels = [
        result.policy if unique else " · ".join([result.policy, *values])
        for result, values in zip(results, differing, strict=True)
    ]
    return [
        f"{label} #{labels[:index].count(label) + 1}" if labels.count(label) > 1 else label
        for index, label in enumerate(labels)
    ]


def _cell(column: Column, summary: Summary, first: Summary) -> str:
    text = column.text(summary)
    if summary is first:
        return text
    if column.title == "SLO attainment":
        return f'{text} <span class="delta">{100 * (summary.slo_attainment - first.slo_attainment):+.2f} pp</span>'
    value = _DELTAS.get(column.title)
    if value is None or not value(first) > 0 or value(summary) != value(summary):
        return text
    return f'{text} <span class="delta">{value(summary) / value(first) - 1:+.1%}</span>'


def _latency_bars(results: Sequence[Result], labels: Sequence[str]) -> Any:
    plot = figure("", "seconds", "log")
    for color, name in zip(COLORS, ("ttft", "tpot", "e2e"), strict=False):
        for level, opacity in (("p50", 0.45), ("p99", 1.0)):
            plot.add_bar(
                x=list(labels),
                y=[getattr(result.summary, f"{name}_{level}_seconds") for result in results],
                name=f"{name.upper()} {level}",
                marker={"color": color, "opacity": opacity},
            )
    plot.update_layout(barmode="group")
    return plot


def _gpus(results: Sequence[Result], labels: Sequence[str], axis: TimeAxis) -> Any:
    plot = axis.fit(figure(axis.title, "GPUs"))
    for (result, color), label in zip(colored(results), labels, strict=True):
        plot.add_scatter(
            x=axis.of(first_of_each([moment.second for moment in result.moments])),
            y=thinned([moment.gpus for moment in result.moments], last),
            name=label,
            line={"color": color, "shape": "hv", "width": 2},
        )
    return plot


def _attainment(results: Sequence[Result], labels: Sequence[str], axis: TimeAxis) -> Any:
    plot = axis.fit(figure(axis.title, "share, by time of arrival"))
    for (result, color), label in zip(colored(results), labels, strict=True):
        intervals = result.intervals
        share: F8 = np.divide(
            intervals.good, intervals.arrivals, out=np.full(len(intervals), np.nan), where=intervals.arrivals > 0
        )
        plot.add_scatter(
            x=axis.of(first_of_each(intervals.start_seconds + INTERVAL_SECONDS / 2)),
            y=thinned(share, mean),
            name=label,
            line={"color": color, "width": 2},
        )
    plot.update_yaxes(tickformat=".0%")
    return plot
