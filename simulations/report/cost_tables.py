"""Tables for whoever pays: cost by pool, by what it was spent on, per unit of work; and what cold starts took."""

import html
from collections.abc import Sequence

from simulations.report.cost import paid_by_pool, paid_by_use, pays_for_nodes, unit_costs
from simulations.report.lead_times import STARTS, cold_starts
from simulations.report.page import table
from simulations.results import Result


def cost_section(results: Sequence[Result], labels: Sequence[str]) -> str:
    """HTML. labels: a text for each run."""
    return (
        f"<section><h2>Cost by pool</h2>{_pools(results, labels)}</section>"
        f"<section><h2>What the money was spent on</h2>{_uses(results, labels)}</section>"
        f"<section><h2>Cost of the work</h2>{_units(results, labels)}</section>"
    )


def lead_time_section(results: Sequence[Result], labels: Sequence[str]) -> str:
    """HTML: nothing where no pod got ready after the start."""
    starts = [(label, row) for result, label in zip(results, labels, strict=True) for row in cold_starts(result)]
    if not starts:
        return ""
    stages = [stage for stage in STARTS if any(row.mean_seconds[stage] for _, row in starts)]
    rows = [
        [
            html.escape(label),
            html.escape(row.path),
            f"{row.pods:,}",
            *(f"{row.mean_seconds[stage]:.0f} s" for stage in stages),
            f"{row.mean_total_seconds:.0f} s",
            f"{row.p95_total_seconds:.0f} s",
            html.escape(f"{row.longest_stage} ({_share(row.mean_seconds[row.longest_stage], row.mean_total_seconds)})"),
        ]
        for label, row in starts
    ]
    titles = ["Policy", "Path", "Pods", *(f"Mean {stage}" for stage in stages), "Mean total", "p95 total", "Longest"]
    return (
        "<section><h2>Lead time by stage and path</h2><p>Of pods that were asked for after the start and got ready, "
        f"from the ask.</p>{table(titles, rows)}</section>"
    )


def _pools(results: Sequence[Result], labels: Sequence[str]) -> str:
    rows = []
    for result, label in zip(results, labels, strict=True):
        paid = paid_by_pool(result)
        unit = "node" if pays_for_nodes(result) else "GPU"
        rows += [
            [
                html.escape(label),
                html.escape(each.pool),
                "spot" if each.spot else "on-demand",
                f"{each.units:,} {'nodes' if unit == 'node' else 'pods'}",
                f"{each.hours:.2f} {unit}-hours",
                f"${each.cost_usd:,.2f}",
                _share(each.cost_usd, result.summary.cost_usd),
            ]
            for each in paid
        ]
    return table(["Policy", "Pool", "Kind", "Count", "Hours", "Cost", "Share"], rows)


def _uses(results: Sequence[Result], labels: Sequence[str]) -> str:
    each = [paid_by_use(result) for result in results]
    names = [name for name in dict.fromkeys(name for uses in each for name in uses) if any(u.get(name) for u in each)]
    rows = [
        [
            html.escape(label),
            *(
                f"${uses[name]:,.2f} ({_share(uses[name], result.summary.cost_usd)})" if name in uses else "-"
                for name in names
            ),
            f"${result.summary.cost_usd:,.2f}",
        ]
        for result, label, uses in zip(results, labels, each, strict=True)
    ]
    return table(["Policy", *(name[0].upper() + name[1:] for name in names), "Cost"], rows)


def _units(results: Sequence[Result], labels: Sequence[str]) -> str:
    first = unit_costs(results[0])
    rows = []
    for result, label in zip(results, labels, strict=True):
        own = unit_costs(result)
        cells = [
            _dollars(value, None if result is results[0] else base)
            for value, base in (
                (own.per_1000_requests, first.per_1000_requests),
                (own.per_1000_good_requests, first.per_1000_good_requests),
                (own.per_million_tokens, first.per_million_tokens),
            )
        ]
        rows.append([html.escape(label), *cells])
    return table(
        ["Policy", "Per 1,000 requests served", "Per 1,000 within the SLO", "Per million tokens, prompt and answer"],
        rows,
    )


def _dollars(value: float, base: float | None) -> str:
    """Small sums have three digits. base: the first run's, of which the difference is shown."""
    if value != value:
        return "-"
    text = f"${value:,.2f}" if value >= 1 else f"${value:.3g}"
    if base is None or not base > 0:
        return text
    return f'{text} <span class="delta">{value / base - 1:+.1%}</span>'


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole > 0 else "-"
