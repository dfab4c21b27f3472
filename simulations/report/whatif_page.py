"""The page about a service's past: what leadtime would have done, beside what ran and what else there is."""

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from simulations.counts.demand_counts import BIN_SECONDS, F8
from simulations.history.outcome import Outcome
from simulations.history.whatif import WhatIf
from simulations.history.worst import QUARTER_BINS
from simulations.report.page import Plot, figure, page

_NEED, _ASKED, _READY, _MISSED, _OTHERS = "#6b7280", "#93c5fd", "#1d4ed8", "#dc2626", ("#d97706", "#059669", "#9333ea")
_DAY_BINS = 86_400 // BIN_SECONDS
_FINE_BINS = 4
_STRIP = (0.19, 0.225)
_LEARNING = "rgba(107,114,128,0.08)"


def whatif_html(title: str, head: str, found: WhatIf, tail: str) -> str:
    """head, tail: HTML before and after the plots. Two plots an asked attainment, then demand."""
    plots = []
    for number, asked in enumerate(found.question.own):
        outcome = found.of(asked)
        worst = _worst_day(found, outcome)
        name = _day(found, worst[0])
        plots.append(
            Plot(
                f"all-{number}", f"{asked:.4g} asked: the whole history, UTC", _timeline(found, asked, (0, found.bins))
            )
        )
        plots.append(
            Plot(
                f"day-{number}",
                f"{asked:.4g} asked: the 24 hours with most misses, from {name} UTC",
                _timeline(found, asked, worst),
            )
        )
    plots.append(Plot("demand", "Demand, UTC", _demand(found)))
    return page(title, head, plots, tail)


def worst_list(rows: Sequence[Mapping[str, Any]]) -> str:
    """Quarter-hours as a list: sentences do not fit into a table on a phone."""
    if not rows:
        return "<p>No request missed the SLO.</p>"
    items = []
    for row in rows:
        begun = datetime.fromisoformat(row["from"]).strftime("%a %Y-%m-%d %H:%M")
        share = row["missed"] / row["requests"] if row["requests"] else 0.0
        items.append(
            f"<li><b>{begun} UTC</b>: {row['missed']:,.0f} of {row['requests']:,.0f} requests missed ({share:.1%}). "
            f"Needed {row['needed_replicas']:.1f}, asked for {row['asked_replicas']}, ready {row['ready_replicas']}. "
            f"<br>Why: {html.escape(row['why'])}.<br><i>{html.escape(row['decision'])}</i></li>"
        )
    return f"<ol>{''.join(items)}</ol>"


def _timeline(found: WhatIf, asked: float, bins: tuple[int, int]) -> Any:
    """Above: needed, asked for and ready; below: the share of requests that missed. Red where more than agreed did."""
    outcome = found.of(asked)
    first, end = bins
    step = QUARTER_BINS if end - first > 2 * _DAY_BINS else _FINE_BINS
    at = _instants(found, first, end, step)
    plot = figure("", "replicas")
    plot.update_layout(height=420, legend={"orientation": "h", "y": -0.14, "x": 0}, margin={"l": 44, "r": 8, "t": 8})
    lines: list[tuple[str, F8, str, float, bool]] = [
        ("needed", _reduced(found.needs[asked].replicas[first:end], step, np.max), _NEED, 1, True),
        ("asked for", _reduced(outcome.run.replicas[first:end], step, np.max), _ASKED, 1.5, True),
        ("ready", _reduced(outcome.run.ready_replicas[first:end], step, np.min), _READY, 2, True),
    ]
    others = [each for each in found.outcomes if each.start_bin == 0 and not each.log and each.asked in (None, asked)]
    for each, color in zip(others, _OTHERS, strict=False):
        lines.append(
            (f"{each.policy}: ready", _reduced(each.run.ready_replicas[first:end], step, np.min), color, 1.5, False)
        )
    for name, values, color, width, is_shown in lines:
        plot.add_scatter(
            x=at,
            y=values.round(2),
            name=name,
            mode="lines",
            line={"color": color, "width": width, "shape": "hv" if name != "needed" else "linear"},
            visible=True if is_shown else "legendonly",
        )
    requests = _reduced(outcome.run.requests[first:end], step, np.sum)
    missed = np.maximum(requests - _reduced(outcome.run.good[first:end], step, np.sum), 0.0)
    share = np.divide(missed, requests, out=np.zeros_like(missed), where=requests > 0)
    plot.add_bar(
        x=at, y=(100 * share).round(2), name="missed, %", marker={"color": _MISSED, "line": {"width": 0}}, yaxis="y2"
    )
    plot.update_layout(
        bargap=0,
        yaxis={"domain": [0.26, 1.0]},
        yaxis2={"domain": [0.0, 0.18], "title": "missed, %", "rangemode": "tozero", "anchor": "x"},
        xaxis={"anchor": "y2", "type": "date", "range": [at[0], at[-1]], "tickangle": 0, "nticks": 6},
    )
    _bands(plot, at, share > 1.0 - asked)
    if first < found.question.first_bin:
        judged = _instant(found, min(found.question.first_bin, end))
        plot.add_vrect(
            x0=at[0],
            x1=judged,
            fillcolor=_LEARNING,
            line_width=0,
            layer="below",
            annotation_text="learning only",
            annotation_position="top left",
            annotation_font_size=11,
        )
    return plot


def _bands(plot: Any, at: Sequence[str], is_bad: Any) -> None:
    """A strip between the two plots where intervals are bad."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_bad.astype(np.int8), [0]]))).reshape(-1, 2)
    shapes = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": at[start],
            "x1": at[min(end, len(at) - 1)],
            "y0": _STRIP[0],
            "y1": _STRIP[1],
            "fillcolor": _MISSED,
            "line": {"width": 0},
            "layer": "below",
        }
        for start, end in edges.tolist()
    ]
    plot.update_layout(shapes=[*plot.layout.shapes, *shapes])


def _demand(found: WhatIf) -> Any:
    """Requests/s; what is not known is left out."""
    counts = found.question.world.counts
    at = _instants(found, 0, found.bins, QUARTER_BINS)
    rate = _reduced(np.where(found.question.known, counts.requests, np.nan), QUARTER_BINS, np.mean) / BIN_SECONDS
    plot = figure("", "requests per second")
    plot.update_layout(margin={"l": 52, "r": 8}, xaxis={"type": "date", "tickangle": 0, "nticks": 6})
    values = [None if np.isnan(value) else round(float(value), 3) for value in rate]
    plot.add_scatter(
        x=at,
        y=values,
        name="arrivals",
        line={"color": _NEED, "width": 1.5},
        fill="tozeroy",
        fillcolor="rgba(107,114,128,0.15)",
    )
    return plot


def _worst_day(found: WhatIf, outcome: Outcome) -> tuple[int, int]:
    """The bins of the 24 hours of the judged part with most misses; all of a shorter part."""
    first = found.question.first_bin
    missed = np.where(found.question.known[first:], (outcome.run.requests - outcome.run.good)[first:], 0.0)
    if len(missed) <= _DAY_BINS:
        return first, found.bins
    total = np.concatenate([[0.0], np.cumsum(missed)])
    start = first + int(np.argmax(total[_DAY_BINS:] - total[:-_DAY_BINS]))
    return start, start + _DAY_BINS


def _reduced(values: Any, step: int, reduce: Any) -> F8:
    """One value for each `step` bins."""
    edges = range(0, len(values), step)
    return np.array([reduce(values[start : start + step]) for start in edges], np.float64)


def _instants(found: WhatIf, first: int, end: int, step: int) -> list[str]:
    return [_instant(found, number) for number in range(first, end, step)]


def _instant(found: WhatIf, number: int) -> str:
    at = datetime.fromtimestamp(found.start_ns // 10**9 + number * BIN_SECONDS, UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S")


def _day(found: WhatIf, number: int) -> str:
    return _instant(found, number)[:16]
