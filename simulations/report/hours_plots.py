"""Plots and a table of runs by the hour: attainment, TTFT, TPOT, and which hours were worst."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from simulations.report.hours import Hours, bin_name, bin_seconds_for, hours_of, told
from simulations.report.page import Plot, colored, figure, table
from simulations.report.summary_table import milliseconds, seconds
from simulations.report.time_axis import F8, TimeAxis
from simulations.results import Result

_WORST = 2


def hours_plots(results: Sequence[Result], labels: Sequence[str]) -> list[Plot]:
    """Attainment, TTFT and TPOT by the hour, a line a run. Runs may differ in their demand and SLO."""
    axis = TimeAxis.for_duration(max(result.scenario.trace.duration_seconds for result in results))
    each = [hours_of(result, _common_bin(results)) for result in results]
    name = bin_name(each[0].bin_seconds)
    how = "" if all(hours.is_exact for hours in each) else " (p50 of the median minute, p99 of the worst)"
    return [
        Plot("hours", f"SLO attainment by {name}", _attainment(each, labels, axis)),
        Plot("hours-ttft", f"TTFT by {name}{how}", _latency(results, each, labels, axis, "ttft", "log")),
        Plot("hours-tpot", f"TPOT by {name}{how}", _latency(results, each, labels, axis, "tpot", "linear")),
    ]


def worst_hours(results: Sequence[Result], labels: Sequence[str]) -> str:
    """HTML: the hours with most misses of each run, named."""
    rows = []
    for result, label in zip(results, labels, strict=True):
        hours = hours_of(result, _common_bin(results))
        worst = hours.worst(_WORST)
        if not worst:
            rows.append([html.escape(label), "none missed the SLO", *["-"] * 4])
        rows += [
            [
                html.escape(label),
                html.escape(told(hours, place, result.scenario.trace.start_ns)),
                f"{hours.arrivals[place] - hours.good[place]:,} of {hours.arrivals[place]:,}",
                f"{hours.attainment[place]:.2%}",
                seconds(float(hours.ttft_p99[place])),
                milliseconds(float(hours.tpot_p99[place])),
            ]
            for place in worst
        ]
    name = bin_name(_common_bin(results))
    titles = ["Policy", f"Worst {name}", "Missed", "SLO attainment", "TTFT p99", "TPOT p99"]
    return f"<section><h2>When requests missed the SLO</h2>{table(titles, rows)}</section>"


def _common_bin(results: Sequence[Result]) -> float:
    """One for all, the longest run's."""
    return bin_seconds_for(max(result.scenario.trace.duration_seconds for result in results))


def _attainment(each: Sequence[Hours], labels: Sequence[str], axis: TimeAxis) -> Any:
    """A level over each hour; lowest where most is to be mended."""
    plot = axis.fit(figure(axis.title, "within the SLO, by arrival"))
    for (hours, color), label in zip(colored(each), labels, strict=True):
        x, y = _steps(hours, hours.attainment, axis)
        plot.add_scatter(x=x, y=y, name=label, mode="lines", line={"color": color, "width": 2, "shape": "hv"})
    plot.update_yaxes(tickformat=".0%", rangemode="normal")
    return plot


def _latency(
    results: Sequence[Result], each: Sequence[Hours], labels: Sequence[str], axis: TimeAxis, name: str, kind: str
) -> Any:
    """Median dotted, 99th percentile solid, the SLO dashed (one line each where runs differ in it)."""
    plot = axis.fit(figure(axis.title, "seconds, by arrival", kind))
    for (hours, color), label in zip(colored(each), labels, strict=True):
        for level, dash in (("p50", "dot"), ("p99", "solid")):
            x, y = _steps(hours, getattr(hours, f"{name}_{level}"), axis)
            line = {"color": color, "width": 2, "dash": dash, "shape": "hv"}
            plot.add_scatter(x=x, y=y, name=f"{level}, {label}", mode="lines", line=line)
    for target in dict.fromkeys(getattr(result.scenario.slo, f"{name}_seconds") for result in results):
        plot.add_scatter(
            x=axis.of([0, axis.duration_seconds]),
            y=[target, target],
            name=f"SLO {target:g} s",
            mode="lines",
            line={"color": "#dc2626", "dash": "dash", "width": 1},
        )
    return plot


def _steps(hours: Hours, values: F8, axis: TimeAxis) -> tuple[F8, F8]:
    """Each value from its hour's begin to the next one's; the last one to its own end."""
    ends = hours.start_seconds[-1:] + hours.bin_seconds
    return axis.of(np.append(hours.start_seconds, ends)), np.append(values, values[-1:])
