"""The page about runs of one scenario: the table, the plots, every decision in words."""

import html
from collections.abc import Sequence

from simulations.report.cost import pays_for_nodes
from simulations.report.cost_tables import cost_section, lead_time_section
from simulations.report.frontier import runs_frontier
from simulations.report.hours_plots import hours_plots, worst_hours
from simulations.report.page import Plot, facts, page, table
from simulations.report.summary_table import columns_for
from simulations.report.time_plots import time_plots
from simulations.report.timelines import timelines
from simulations.results import Result
from simulations.scenario import Scenario

MOST_DECISIONS = 2_000
"""Of a policy in words; where it made more, only those that changed something are shown."""


def report_html(results: Sequence[Result]) -> str:
    """The page. All results must come from the same scenario; no network request is made when it is opened."""
    names = [result.policy for result in results]
    plots = [*time_plots(results), *hours_plots(results, names), *timelines(results, names)]
    if len(results) > 1:
        plots.insert(0, Plot("frontier", "Attainment against GPU-hours", runs_frontier(results)))
    columns = columns_for([result.summary for result in results])
    summary = table(
        [column.title for column in columns],
        [[column.text(result.summary) for column in columns] for result in results],
    )
    decisions = "\n".join(_decision_table(result) for result in results)
    return page(
        "leadtime: one scenario, policies side by side",
        summary + facts(_facts(results)) + _CAUTION + worst_hours(results, names),
        plots,
        f"{cost_section(results, names)}{lead_time_section(results, names)}"
        f'<section><h2>Decisions</h2><div class="scroll">{decisions}</div></section>',
    )


def _facts(results: Sequence[Result]) -> list[tuple[str, str]]:
    scenario = results[0].scenario
    profile, demand = scenario.profile, scenario.trace
    requests = results[0].summary.requests
    return [
        ("Demand", f"{demand.name}: {requests:,} requests in {_span(demand.duration_seconds)}"),
        ("Server", f"vLLM, {profile.model} on {profile.gpus_per_replica} x {profile.gpu} (profile {profile.name})"),
        ("Profile", f"{profile.source} ({profile.validation})"),
        ("SLO", f"{scenario.slo}, for every request"),
        ("Lead time", _lead_time(scenario)),
        ("Cost", _price(results[0])),
        ("Seed", str(scenario.seed)),
    ]


def _lead_time(scenario: Scenario) -> str:
    if scenario.start is not None:
        return "in stages, as the scenario's `start` says; below is what they took"
    lead = scenario.lead_time
    medians = f"{lead.start_median_seconds:g} s to start, {lead.load_median_seconds:g} s to load"
    return f"{medians} (medians, lognormal, sigma {lead.sigma:g})"


def _price(result: Result) -> str:
    if pays_for_nodes(result):
        prices = {node.pool: node.usd_per_hour for node in result.lifelines.nodes}
        each = ", ".join(f"${usd:g} a node-hour of {pool}" for pool, usd in prices.items())
        return f"{each}, from the ask for a node to its removal"
    return f"${result.scenario.price_per_gpu_hour:g} a GPU-hour, from the ask for a pod to its end"


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 2 * 86_400 else f"{seconds / 86_400:.1f} days"


def _decision_table(result: Result) -> str:
    short = len(result.moments) <= MOST_DECISIONS
    before = result.scenario.initial_replicas
    rows = []
    for moment in result.moments:
        changed = moment.replicas != before
        if short or changed:
            mark = ' class="change"' if changed else ""
            minute, second = divmod(int(moment.second), 60)
            rows.append(
                f"<tr{mark}><td>{minute:02d}:{second:02d}</td><td>{before} → {moment.replicas}</td>"
                f"<td>{html.escape(moment.decision.reason)}</td><td>{html.escape(moment.decision.message)}</td></tr>"
            )
        before = moment.replicas
    shown = "" if short else ", of which those that changed something are shown"
    return (
        f"<details><summary>{html.escape(result.policy)}: {len(result.moments)} decisions, "
        f"{result.summary.rescales} rescales{shown}</summary><table><thead><tr><th>Time</th><th>Replicas</th>"
        f"<th>Reason</th><th>In words</th></tr></thead><tbody>{''.join(rows)}</tbody></table></details>"
    )


_CAUTION = """<p>One setting of each policy: a point, not a verdict. Change a target and the point moves along its
frontier of attainment against GPU-hours.</p>"""
