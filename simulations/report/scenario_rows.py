"""Runs that may come from different scenarios, a row each on the same axes; and what the hours differ by."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulations.report.hours import bin_name, bin_seconds_for, hours_of
from simulations.report.page import Plot, colored, figure
from simulations.report.time_axis import F8, TimeAxis, first_of_each, last, most, thinned
from simulations.report.time_plots import needed_replicas
from simulations.results import Result

MOST_ROWS = 12
"""Of the plot; the tables have every run."""

_ROW_PIXELS = 120
_FRAME_PIXELS = 120


def replica_rows(results: Sequence[Result], labels: Sequence[str]) -> Plot:
    """Replicas needed, ready and starting: a row a run, all on one time axis and one scale, so that sizes compare."""
    shown = results[:MOST_ROWS]
    axis = TimeAxis.for_duration(max(result.scenario.trace.duration_seconds for result in shown))
    plot = figure(axis.title, "")
    height = 1.0 / len(shown)
    highest = 0.0
    for row, ((result, color), label) in enumerate(zip(colored(shown), labels, strict=False)):
        top = 1.0 - row * height
        suffix = str(row + 1) if row else ""
        highest = max(highest, _add_row(plot, result, axis, color, f"y{suffix}", is_first=row == 0))
        plot.update_layout({f"yaxis{suffix}": {"domain": [top - 0.72 * height, top - 0.1 * height], "anchor": "x"}})
        plot.add_annotation(
            text=label if len(label) <= 44 else f"{label[:42]}...",
            x=0,
            y=top - 0.1 * height,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"color": color, "size": 13},
        )
    plot.update_yaxes(range=[0, 1.05 * highest], nticks=4)
    plot.update_layout(
        height=_FRAME_PIXELS + _ROW_PIXELS * len(shown),
        hovermode="x",
        margin={"l": 36},
        xaxis={
            "anchor": f"y{len(shown)}" if len(shown) > 1 else "y",
            "range": axis.of([0, axis.duration_seconds]).tolist(),
        },
        legend={"orientation": "h", "y": -70 / (_ROW_PIXELS * len(shown)), "yanchor": "top", "x": 0},
    )
    note = f"The first {MOST_ROWS} of {len(results)} runs." if len(results) > MOST_ROWS else ""
    return Plot("rows", "Replicas, a row a run", plot, note)


def difference_plot(results: Sequence[Result], labels: Sequence[str]) -> Plot:
    """Attainment by the hour less the first run's, in percentage points, of the hours that both have."""
    longest = max(result.scenario.trace.duration_seconds for result in results)
    width, axis = bin_seconds_for(longest), TimeAxis.for_duration(longest)
    plot = axis.fit(figure(axis.title, "percentage points"))
    first = hours_of(results[0], width)
    for (result, color), label in list(zip(colored(results), labels, strict=True))[1:]:
        hours = hours_of(result, width)
        count = min(len(hours), len(first))
        difference: F8 = 100 * (hours.attainment[:count] - first.attainment[:count])
        ends = first.start_seconds[:count][-1:] + width
        plot.add_scatter(
            x=axis.of(np.append(first.start_seconds[:count], ends)),
            y=np.append(difference, difference[-1:]),
            name=label,
            mode="lines",
            line={"color": color, "width": 2, "shape": "hv"},
        )
    plot.update_yaxes(rangemode="normal", zeroline=True, zerolinecolor="#111827")
    return Plot("difference", f"SLO attainment by {bin_name(width)}: difference from the first run", plot)


def _add_row(plot: Any, result: Result, axis: TimeAxis, color: str, y_axis: str, *, is_first: bool) -> float:
    """One run's replicas on an axis of its own; returns the most there ever were or were needed."""
    at = axis.of(first_of_each([moment.second for moment in result.moments]))
    ready = thinned([moment.ready_replicas for moment in result.moments], last)
    starting = thinned([moment.starting_replicas for moment in result.moments], last)
    needed_at, needed = needed_replicas(result)
    for name, values, fill in (("ready", ready, color), ("starting", starting, "#9ca3af")):
        plot.add_scatter(
            x=at.astype(np.float32),
            y=values.astype(np.float32),
            name=name,
            legendgroup=name,
            showlegend=is_first,
            stackgroup=y_axis,
            yaxis=y_axis,
            mode="lines",
            line={"shape": "hv", "width": 1, "color": fill},
        )
    peak = thinned(needed, most)
    plot.add_scatter(
        x=axis.of(first_of_each(needed_at)).astype(np.float32),
        y=peak.astype(np.float32),
        name="needed",
        legendgroup="needed",
        showlegend=is_first,
        yaxis=y_axis,
        mode="lines",
        line={"color": "#111827", "width": 1},
    )
    return float(max(np.max(ready + starting, initial=1.0), np.nanmax(peak, initial=0.0)))
