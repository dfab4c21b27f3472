"""The page of `leadtime frontier`: for each demand and lead time, what attainment costs with each policy."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from simulations.report.page import Plot, colored, facts, figure, page, table

_LEVELS = ("0.95", "0.99", "0.995")
_TICKS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_LEAST_SHOWN = 0.5


def demand_frontiers_html(facts_of_all: Mapping[str, str], documents: Sequence[Mapping[str, Any]], check: str) -> str:
    """documents: of `leadtime.frontier_results.document`. check: HTML of the comparison with the full simulator."""
    plots, sections = [], []
    for number, each in enumerate(documents):
        title = f"{each['demand']}, phase {each['phase_seed']}, lead time {each['lead_seconds']:g} s"
        plots.append(Plot(f"frontier-{number}", title, _figure(each["policies"])))
        sections.append(f"<section><h2>{html.escape(title)}</h2>{_levels(each)}{_chosen(each)}</section>")
    head = (
        "<p>Settings were chosen on the training part: those that none beats there. Lines join what these delivered on "
        "the judged part; the dotted line is the best of the same search by hindsight. n/a: not reached.</p>"
    )
    return page("leadtime: frontiers", head + facts(facts_of_all.items()), plots, "".join(sections) + check)


def _figure(policies: Sequence[Mapping[str, Any]]) -> Any:
    """A colour a policy, on a scale of the logarithm of the misses."""
    plot = figure("GPU-hours", "requests that missed the SLO", "log")
    plot.update_layout(hovermode="closest", height=520)
    plot.update_yaxes(
        autorange="reversed",
        tickvals=[1 - tick for tick in _TICKS],
        ticktext=[f"{1 - tick:.1%}" for tick in _TICKS],
    )
    for policy, color in colored(policies):
        for key, dash in (("chosen", "solid"), ("hindsight", "dot")):
            own = [each for each in policy[key] if (each["judged"]["attainment"] or 0.0) >= _LEAST_SHOWN]
            own.sort(key=lambda each: each["judged"]["gpu_hours"])
            plot.add_scatter(
                x=[each["judged"]["gpu_hours"] for each in own],
                y=[max(1e-5, 1 - each["judged"]["attainment"]) for each in own],
                name=policy["policy"],
                legendgroup=policy["policy"],
                showlegend=key == "chosen",
                mode="lines+markers" if key == "chosen" else "lines",
                line={"color": color, "width": 2 if key == "chosen" else 1, "dash": dash},
                text=[_text(each["parameters"]) for each in own],
                hovertemplate="%{x:.1f} GPU-hours, %{y:.3%} missed<br>%{text}",
            )
    return plot


def _levels(each: Mapping[str, Any]) -> str:
    titles = ["Policy"]
    for level in _LEVELS:
        titles += [f"GPU-hours at {float(level):.1%}", "hindsight", "x clairvoyant", "cost"]
    rows = []
    for policy in each["policies"]:
        cells = [html.escape(policy["policy"])]
        for level in _LEVELS:
            own = policy["levels"][level]
            cells += [
                _number(own["gpu_hours"], ".1f"),
                _number(own["hindsight_gpu_hours"], ".1f"),
                _number(own["over_clairvoyant"], ".2f"),
                "n/a" if own["cost_usd"] is None else f"${own['cost_usd']:,.2f}",
            ]
        rows.append(cells)
    missing = "".join(f"<p>{html.escape(name)}: {html.escape(why)}</p>" for name, why in each["not_applicable"].items())
    return table(titles, rows) + missing


def _chosen(each: Mapping[str, Any]) -> str:
    """Every setting of the grid, folded; those that were chosen have a star."""
    titles = ["Policy", "Settings", "Training", "GPU-hours", "Judged", "GPU-hours", "Missed", "Rescales", "Chosen"]
    rows = []
    for policy in each["policies"]:
        chosen = [one["parameters"] for one in policy["chosen"]]
        for one in policy["grid"]:
            train, judged = one["train"], one["judged"]
            rows.append(
                [
                    html.escape(policy["policy"]),
                    _text(one["parameters"]),
                    _number(train["attainment"], ".2%"),
                    _number(train["gpu_hours"], ".1f"),
                    _number(judged["attainment"], ".2%"),
                    _number(judged["gpu_hours"], ".1f"),
                    _number(judged["violations"], ".0f"),
                    _number(judged["rescales"], "d"),
                    "★" if one["parameters"] in chosen else "",
                ]
            )
        rows += [[html.escape(policy["policy"]), html.escape(error), *[""] * 7] for error in policy["errors"]]
    return f"<details><summary>All settings</summary>{table(titles, rows)}</details>"


def _text(parameters: Mapping[str, Any]) -> str:
    values = (
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}" for name, value in parameters.items()
    )
    return html.escape(", ".join(text if len(text) < 90 else text[:80] + " ..." for text in values))


def _number(value: float | None, form: str) -> str:
    return "n/a" if value is None else f"{value:,{form}}"
