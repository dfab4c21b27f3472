"""The page about back-tests: one section a recording, leadtime's bands beside what came, and every score."""

import html
from collections.abc import Sequence
from typing import Any

from policies.forecast.bins import BIN_SECONDS
from simulations.backtest.scores import HIGH, LEVELS, LOW, SCORED, Score
from simulations.backtest.walk_forward import LEADTIME, Backtest
from simulations.report.page import COLORS, Plot, figure, page, table
from simulations.report.time_axis import TimeAxis, first_of_each, mean, most, thinned

TITLES = ("model", "horizon", *(f"pinball {level:g}" for level in SCORED), "mean", "95 % band covers", "width", "form")

_CAUTION = """<p>Each model saw, at every minute, what came before it, and is scored on the mean demand of the minute
that ends one horizon later. Pinball loss and width are in requests/s; less is better. "95 % band covers" is the share
of outcomes between the 2.5 % and the 97.5 % quantile. A rival comes in several forms (its own intervals, and quantiles
of its past errors in four ways); the best of them in hindsight is shown, which no one could have chosen beforehand.</p>
"""


def backtest_html(backtests: Sequence[Backtest]) -> str:
    """The page; recordings in the order given."""
    plots = [
        Plot(f"band-{number}-{seconds}", f"{each.name}: forecast {seconds} s ahead", _band(each, seconds))
        for number, each in enumerate(backtests)
        for seconds in each.bands
    ]
    head = "".join(_summary(each) for each in backtests)
    return page("leadtime: forecasts on what came", _CAUTION + head, plots)


def _summary(each: Backtest) -> str:
    judged = len(each.series) - each.start
    span = f"{each.start / 1_440:.2f} days of history, {judged / 1_440:.2f} days judged, one forecast a minute"
    left_out = "".join(f"<li>{html.escape(f'{name}: {why}')}</li>" for name, why in each.not_applicable.items())
    notes = f"<p>Not applicable:</p><ul>{left_out}</ul>" if left_out else ""
    rows = [[html.escape(cell) for cell in row_cells(score)] for score in each.scores]
    return f"<section><h2>{html.escape(each.name)}</h2><p>{span}</p>{table(TITLES, rows)}{notes}</section>"


def row_cells(score: Score) -> list[str]:
    """In the order of TITLES; in the demand's unit, with four digits."""
    return [
        score.model,
        f"{score.horizon_seconds} s",
        *(f"{loss:.4g}" for loss in score.pinball),
        f"{score.mean_pinball:.4g}",
        f"{score.coverage:.1%}",
        f"{score.width:.4g}",
        score.how,
    ]


def _band(each: Backtest, seconds: int) -> Any:
    """The judged part: what came, the median and the 95 % band said for that minute one horizon earlier."""
    steps = seconds // BIN_SECONDS
    band = each.bands[seconds]
    outcomes = each.series[each.start + steps : each.start + steps + len(band)]
    axis = TimeAxis.for_duration(len(each.series) * BIN_SECONDS)
    minutes = [BIN_SECONDS * (each.start + steps + place + 0.5) for place in range(len(band))]
    at = axis.of(first_of_each(minutes))
    plot = figure(axis.title, "requests per second")
    color = COLORS[0]
    for name, place, width, reduce in (("97.5 %", HIGH, 0, most), ("2.5 %", LOW, 0, mean)):
        plot.add_scatter(
            x=at,
            y=thinned(band[:, place], reduce),
            name=f"{LEADTIME}, {name}",
            line={"color": color, "width": width},
            fill="tonexty" if place == LOW else None,
            fillcolor="rgba(217,119,6,0.2)",
        )
    median = thinned(band[:, LEVELS.index(0.5)], mean)
    plot.add_scatter(x=at, y=median, name=f"{LEADTIME}, median", line={"color": color, "width": 1})
    plot.add_scatter(x=at, y=thinned(outcomes, mean), name="what came", line={"color": "#111827", "width": 1})
    return plot
