"""Frontiers: how much attainment each policy buys with its GPU-hours, and which settings no other one beats."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from simulations.report.page import Plot, colored, facts, figure, page, table
from simulations.report.parameters import common_and_differing
from simulations.results import Result

MOST_PLOTS = 24
"""Scenarios of a sweep that get a plot of their own."""

Row = Mapping[str, Any]


def runs_frontier(results: Sequence[Result], labels: Sequence[str] | None = None) -> Any:
    """One labelled point a run."""
    plot = _empty()
    for (result, color), label in zip(colored(results), labels or [result.policy for result in results], strict=True):
        plot.add_scatter(
            x=[result.summary.gpu_hours],
            y=[result.summary.slo_attainment],
            name=label,
            mode="markers",
            marker={"color": color, "size": 11},
            hovertemplate="%{x:.2f} GPU-hours, %{y:.2%}",
        )
    return plot


def frontier_html(rows: Sequence[Row]) -> str:
    """The page about a sweep, a plot for each scenario in it.

    rows: each a mapping with `policy`, `settings` (dotted field -> value; those of a policy begin with `policy.`),
    `phase_seed` where there is one, and the fields of `Summary` as the JSON documents have them, or `error` where the
    run failed. Rows that differ in nothing but a policy and its settings, or in a seed, share a plot.
    """
    good = [row for row in rows if row.get("slo_attainment") is not None]
    texts = [_texts(row) for row in good]
    common, differing = common_and_differing(texts) if texts else ({}, [])
    groups: dict[str, list[Row]] = {}
    for row, text in zip(good, texts, strict=True):
        scenario = [f"{name} = {text.get(name, '-')}" for name in differing if not _is_knob(name)]
        groups.setdefault(", ".join(scenario), []).append(row)
    plots = [
        Plot(f"frontier-{index}", title or "Attainment against GPU-hours", _sweep_figure(group))
        for index, (title, group) in enumerate(list(groups.items())[:MOST_PLOTS])
    ]
    head = f"<p>{len(good):,} runs; the dashed line joins those that no other run of the plot beats in both.</p>"
    if len(groups) > MOST_PLOTS:
        head += f"<p>The first {MOST_PLOTS} of {len(groups)} scenarios have a plot; the table has all.</p>"
    tail = f"<section><h2>Runs</h2>{_sweep_table(groups, differing)}</section>" + _failures(rows)
    return page("leadtime: a sweep's frontiers", head + facts(common.items()), plots, tail)


def undominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of (GPU-hours, attainment) that no other point beats in one and equals in the other, cheapest first."""
    best = float("-inf")
    kept = []
    for index in sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1])):
        if points[index][1] > best:
            best = points[index][1]
            kept.append(index)
    return kept


def _sweep_figure(rows: Sequence[Row]) -> Any:
    """A colour a policy; its settings joined in order of GPU-hours."""
    plot = _empty()
    families = dict.fromkeys(_family(row) for row in rows)
    for family, color in colored(families):
        own = sorted((row for row in rows if _family(row) == family), key=_point)
        plot.add_scatter(
            x=[row["gpu_hours"] for row in own],
            y=[row["slo_attainment"] for row in own],
            name=family,
            mode="lines+markers",
            line={"color": color, "width": 1},
            marker={"color": color, "size": 8},
            text=["<br>".join(f"{html.escape(k)} = {html.escape(v)}" for k, v in _texts(row).items()) for row in own],
            hovertemplate="%{x:.2f} GPU-hours, %{y:.2%}<br>%{text}",
        )
    points = [_point(row) for row in rows]
    best = [points[index] for index in undominated(points)]
    plot.add_scatter(
        x=[x for x, _ in best],
        y=[y for _, y in best],
        name="not beaten",
        mode="lines",
        line={"color": "#111827", "dash": "dash", "width": 1, "shape": "hv"},
        hoverinfo="skip",
    )
    return plot


def _empty() -> Any:
    plot = figure("GPU-hours", "SLO attainment")
    plot.update_layout(hovermode="closest", height=420)
    plot.update_yaxes(tickformat=".2~%", rangemode="normal")
    return plot


def _sweep_table(groups: Mapping[str, Sequence[Row]], differing: Sequence[str]) -> str:
    """Every run; a star marks those that no other of its plot beats."""
    titles = ["Policy", *differing, "SLO attainment", "GPU-hours", "Cost", "Not beaten"]
    lines = []
    for rows in groups.values():
        kept = set(undominated([_point(row) for row in rows]))
        for index, row in enumerate(rows):
            text = _texts(row)
            lines.append(
                [
                    html.escape(str(row["policy"])),
                    *(html.escape(text.get(name, "-")) for name in differing),
                    f"{row['slo_attainment']:.2%}",
                    f"{row['gpu_hours']:.2f}",
                    f"${row['cost_usd']:,.2f}" if row.get("cost_usd") is not None else "-",
                    "★" if index in kept else "",
                ]
            )
    return table(titles, lines)


def _failures(rows: Sequence[Row]) -> str:
    failed = [row for row in rows if row.get("slo_attainment") is None]
    if not failed:
        return ""
    cells = [
        [
            html.escape(str(row.get("policy", "-"))),
            html.escape(", ".join(f"{name} = {value}" for name, value in _texts(row).items())),
            html.escape(str(row.get("error", "no figures"))),
        ]
        for row in failed
    ]
    return f"<section><h2>Runs that failed</h2>{table(['Policy', 'Settings', 'Error'], cells)}</section>"


def _texts(row: Row) -> dict[str, str]:
    settings = dict(row.get("settings", {}))
    if row.get("phase_seed") is not None:
        settings["phase_seed"] = row["phase_seed"]
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in settings.items()}


def _point(row: Row) -> tuple[float, float]:
    return float(row["gpu_hours"]), float(row["slo_attainment"])


def _family(row: Row) -> str:
    """The policy without the settings that its name may carry (`static:replicas=5`)."""
    return str(row["policy"]).partition(":")[0]


def _is_knob(name: str) -> bool:
    """Turned within one scenario: a policy's own parameter, which policy it is, or a seed."""
    parts = name.split(".")
    return parts[0] in {"policy", "policies"} or "seed" in parts[-1]
