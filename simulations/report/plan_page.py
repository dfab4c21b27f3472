"""The page of `leadtime plan`: the answer, then demand against capacity, the rivals, the next nines, the months."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from simulations.report.page import Plot, colored, facts, figure, page, table

_NEED, _ASKED, _READY, _MISSED, _QUOTA = "#6b7280", "#93c5fd", "#1d4ed8", "#dc2626", "#dc2626"


def plan_html(plan: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """plan: of `leadtime.plan.document.document`. files: name -> text of the manifests that follow."""
    plots = [
        Plot("capacity", "Demand against capacity, first seed", _capacity(plan["timeline"])),
        Plot("costs", "Cost a month of what attained it", _costs(plan["compared"])),
        Plot("nines", "What the next nine costs", _nines(plan["next_nines"], plan["asked"]["attainment"])),
    ]
    if len(plan["months"]) > 1:
        plots.append(Plot("months", "GPUs at the peak in the months ahead", _months(plan)))
    head = facts(plan["answer"].items())
    return page(f"leadtime: a plan for {plan['demand']['name']}", head, plots, _tail(plan, files))


def _capacity(line: Mapping[str, Any]) -> Any:
    plot = figure("hours of the demand", "replicas")
    plot.update_layout(height=420)
    hours = [number * line["step_seconds"] / 3_600 for number in range(len(line["needed"]))]
    for name, values, color, width in (
        ("needed", line["needed"], _NEED, 1),
        ("asked for", line["asked"], _ASKED, 1.5),
        ("ready", line["ready"], _READY, 2),
    ):
        plot.add_scatter(
            x=hours, y=values, name=name, mode="lines", line={"color": color, "width": width, "shape": "hv"}
        )
    share = [
        100.0 * missed / requests if requests else 0.0
        for missed, requests in zip(line["missed"], line["requests"], strict=True)
    ]
    plot.add_bar(x=hours, y=share, name="missed, %", marker={"color": _MISSED, "line": {"width": 0}}, yaxis="y2")
    plot.update_layout(
        bargap=0,
        yaxis={"domain": [0.27, 1.0]},
        yaxis2={"domain": [0.0, 0.18], "title": "missed, %", "rangemode": "tozero", "anchor": "x"},
        xaxis={"anchor": "y2"},
    )
    return plot


def _costs(rows: Sequence[Mapping[str, Any]]) -> Any:
    plot = figure("", "US dollars a month")
    plot.update_layout(hovermode="closest", barmode="group", height=380)
    policies = dict.fromkeys(row["policy"] for row in rows)
    for policy, color in colored(policies):
        own = [row for row in rows if row["policy"] == policy]
        costs = [row["usd_per_month"] for row in own]
        plot.add_bar(
            x=[row["candidate"] for row in own],
            y=[cost["value"] for cost in costs],
            name=policy,
            marker={"color": color},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [cost["high"] - cost["value"] for cost in costs],
                "arrayminus": [cost["value"] - cost["low"] for cost in costs],
            },
        )
    return plot


def _nines(nines: Sequence[Mapping[str, Any]], asked: float) -> Any:
    plot = figure("requests that may miss the SLO", "US dollars a month")
    plot.update_layout(hovermode="closest")
    reached = [nine for nine in nines if "usd_per_month" in nine]
    costs = [nine["usd_per_month"] for nine in reached]
    plot.update_xaxes(
        type="log",
        autorange="reversed",
        tickvals=[1 - nine["asked"] for nine in reached],
        ticktext=[f"{100 * (1 - nine['asked']):.3g} %" for nine in reached],
    )
    plot.add_scatter(
        x=[1 - nine["asked"] for nine in reached],
        y=[cost["value"] for cost in costs],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [cost["high"] - cost["value"] for cost in costs],
            "arrayminus": [cost["value"] - cost["low"] for cost in costs],
        },
        mode="lines+markers",
        name="cost",
        line={"color": _READY},
        marker={"size": [14 if nine["asked"] == asked else 8 for nine in reached]},
        text=[f"{nine['attainment']['value']:.3%} delivered" for nine in reached],
        hovertemplate="$%{y:,.0f}<br>%{text}",
    )
    return plot


def _months(plan: Mapping[str, Any]) -> Any:
    plot = figure("", "GPUs")
    months = plan["months"]
    for name, key, dash in (("highest run", "high", "solid"), ("lowest run", "low", "dot")):
        plot.add_scatter(
            x=[each["day"] for each in months],
            y=[each["peak_gpus"][key] for each in months],
            name=name,
            mode="lines+markers",
            line={"color": _READY, "dash": dash},
        )
    if plan["quota"]["quota"] is not None:
        plot.add_hline(y=plan["quota"]["quota"], line={"color": _QUOTA, "dash": "dash"}, annotation_text="quota")
    return plot


def _tail(plan: Mapping[str, Any], files: Mapping[str, str]) -> str:
    parts = [_section("What attained it, cheapest first", _compared(plan["compared"]))]
    impossible = [
        *(f"{each['name']}: {each['constraint']}: {each['text']}" for each in plan["refused"]),
        *(f"{each['candidate']}, {each['policy']}: {each['constraint']}: {each['text']}" for each in plan["missed"]),
    ]
    if impossible:
        parts.append(_section("What is not possible, and why", _list(impossible)))
    parts.append(
        _section(
            f"Worst hour in the full simulator, {plan['demand']['worst_hour']}",
            _list([each["text"] for each in plan["checks"]]),
        )
    )
    if len(plan["months"]) > 1:
        parts.append(_section("Months ahead", _month_table(plan["months"])))
    parts.append(_section("Intervals", f"<p>Attainment and cost: {html.escape(plan['intervals'])}.</p>"))
    parts.append(_section("Not in these figures", _list(plan["not_modelled"])))
    for name, text in files.items():
        shown = f'<div class="scroll"><pre>{html.escape(text)}</pre></div>'
        parts.append(f"<details><summary>{html.escape(name)}</summary>{shown}</details>")
    return "".join(parts)


def _compared(rows: Sequence[Mapping[str, Any]]) -> str:
    titles = ["GPU", "Machine", "Policy", "Settings", "Attainment", "Replicas", "Peak", "Nodes at peak", "Cost a month"]
    return table(
        titles,
        [
            [
                html.escape(row["candidate"]),
                html.escape(row["machine"]["name"]),
                html.escape(row["policy"]),
                html.escape(", ".join(f"{name}={value}" for name, value in row["parameters"].items())),
                _interval(row["attainment"], ".2%"),
                _interval(row["replicas"], ".1f"),
                _interval(row["peak_replicas"], ",.0f"),
                _interval(row["peak_nodes"], ",.0f"),
                _interval(row["usd_per_month"], ",.0f", "$"),
            ]
            for row in rows
        ],
    )


def _month_table(months: Sequence[Mapping[str, Any]]) -> str:
    titles = ["Month", "From", "Demand", "Peak replicas", "GPUs at peak", "Attainment", "Cost a month"]
    return table(
        titles,
        [
            [
                str(each["month"]),
                each["day"],
                f"x {each['factor']:.2f}",
                _interval(each["peak_replicas"], ",.0f"),
                _interval(each["peak_gpus"], ",.0f"),
                _interval(each["attainment"], ".2%"),
                _interval(each["usd_per_month"], ",.0f", "$"),
            ]
            for each in months
        ],
    )


def _interval(each: Mapping[str, float], text: str, unit: str = "") -> str:
    middle, low, high = (f"{unit}{each[name]:{text}}" for name in ("value", "low", "high"))
    return middle if low == high == middle else f"{middle} <span class='delta'>{low} to {high}</span>"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{body}</section>"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
