"""What a report on a service's past says in words: the answer, what was assumed, how far the model is off."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from leadtime.whatif_figures import (
    LEADTIME,
    POLICY_TITLES,
    RECORDED,
    part_cells,
    part_titles,
    parts_table,
    percent,
    policies_table,
    policy_cells,
)
from leadtime.whatif_policies import TUNED
from simulations.history.minutes import Attained
from simulations.history.whatif import WhatIf
from simulations.report.page import table
from simulations.report.whatif_page import worst_list

MODEL_ERROR = (
    "the model: a fluid queue before equal replicas, held against this project's request-level simulator on other "
    "demand (docs/frontier.md). Where 93 % or more met the SLO it was off by -0.9 to +0.4 points of attainment, and by "
    "-3.5 to +6.5 % in GPU-hours, once by -11.5 %. Below 90 % it is no guide"
)
_COLLAPSED = 0.9

_HOW_JUDGED = (
    (
        "leadtime and the HPA began without any history at the first minute, with one and a half times what the first "
        "quarter of an hour needed; they saw metrics scraped every 15 s and decided every 15 s"
    ),
    (
        "GPU-hours: from a pod's creation to its end, so starting and draining pods cost; of what ran, each start is "
        "charged the median lead time"
    ),
    (
        "static: the fewest replicas that would have delivered it; clairvoyant: the cheapest plan that knew the "
        "demand; both are known only afterwards"
    ),
)

_DRIFT_NOTE = (
    "margin: factor on the replicas asked for, by feedback from requests that missed; capacity: requests/s of one "
    "replica within the SLO, as learned; both at the end of the row. They move when demand or its mix drifts."
)

_NOT_MODELLED = (
    "not modelled: crashes, preemption, prefix caches, requests that clients give up or send again, lost metrics, "
    "nodes that are refused; users are taken to ask the same whatever they get"
)


def headline(figures: Mapping[str, Any]) -> str:
    """The answer in one sentence an asked attainment, then what ran."""
    tuned = {
        row["asked"]: f", the HPA tuned for it {percent(row['delivered'])} with {row['gpu_hours']:,.1f}"
        for row in figures["policies"]
        if row["policy"] == TUNED
    }
    parts = [
        f"Asked for {row['asked']:.4g}, leadtime would have delivered {percent(row['delivered'])} with "
        f"{row['gpu_hours']:,.1f} GPU-hours{tuned.get(row['asked'], '')}."
        for row in figures["policies"]
        if row["policy"] == LEADTIME
    ]
    parts += [
        f"{'What ran' if row['policy'] == RECORDED else row['policy']} would in the same model have delivered "
        f"{percent(row['delivered'])} with {row['gpu_hours']:,.1f}."
        for row in figures["policies"]
        if row["asked"] is None
    ]
    span = (
        f"Judged: {figures['judged_days']:.2f} days of {figures['days']:.2f}, from {figures['judged_from'][:16]} UTC."
    )
    return " ".join([*parts, span])


def repaired(figures: Mapping[str, Any]) -> list[str]:
    """One sentence a kind."""
    return [f"{number:,} {what}" for what, number in figures["repairs"].items()]


def assumptions(
    found: WhatIf, notes: Sequence[str], figures: Mapping[str, Any], measured: Attained | None
) -> list[str]:
    """Every assumption, one sentence each, the model's error last."""
    world = found.question.world
    said = [
        f"SLO: {world.slo}; servers: {world.profile.name}, {world.profile.gpus_per_replica} GPU a replica",
        *notes,
    ]
    if figures["not_judged_minutes"]:
        said.append(f"not judged: {figures['not_judged_minutes']:,} minutes in which nothing was recorded")
    for asked, share in figures["attainable"].items():
        if share < float(asked):
            said.append(
                f"{asked} cannot be had: even nearly idle, servers of this profile answer only {share:.2%} of these "
                "requests within the SLO; relax the SLO or choose another profile"
            )
    said += [*_HOW_JUDGED]
    low = [
        row["policy"] if row["asked"] is None else f"{row['policy']} ({row['asked']:.4g} asked)"
        for row in figures["policies"]
        if row["delivered"] < _COLLAPSED
    ]
    if low:
        said.append(f"delivered less than {_COLLAPSED:.0%}, where the model is no guide: {', '.join(low)}")
    said += _against_servers(figures, measured)
    return [*said, MODEL_ERROR, _NOT_MODELLED]


def _against_servers(figures: Mapping[str, Any], measured: Attained | None) -> list[str]:
    """The model's figure for what ran beside what the servers' histograms counted."""
    modelled = next((row["delivered"] for row in figures["policies"] if row["policy"] == RECORDED), None)
    bounds = None if measured is None else measured.bounds
    if modelled is None or measured is None or bounds is None:
        return ["this service's own error is not known: no recorded replicas and latency histograms to compare with"]
    low, high = bounds
    off = max(0.0, modelled - high, low - modelled)
    verdict = "the model agrees" if off == 0 else f"the model is off by {100 * off:.1f} points or more"
    return [
        f"your servers' histograms of the judged part: TTFT in time {percent(measured.ttft)}, TPOT in time "
        f"{percent(measured.tpot)}, so {percent(low)} to {percent(high)} met both; for what ran the model says "
        f"{percent(modelled)}: {verdict}"
        + ("" if off <= 0.02 else "; fit a profile (`leadtime fit`) before believing it")
    ]


def page_head(figures: Mapping[str, Any], said: Sequence[str]) -> str:
    """Above the plots."""
    warnings = "".join(f"<p><b>Warning:</b> {html.escape(text)}</p>" for text in figures["warnings"])
    rows = [[html.escape(cell) for cell in policy_cells(row)] for row in figures["policies"]]
    repairs = "".join(f"<li>{html.escape(text)}</li>" for text in repaired(figures)) or "<li>nothing</li>"
    assumed = "".join(f"<li>{html.escape(text)}</li>" for text in said)
    return (
        f"<p>{html.escape(headline(figures))}</p>{warnings}{table(POLICY_TITLES, rows)}"
        f"<details><summary>What was assumed, and how far the model is off</summary><ul>{assumed}</ul></details>"
        f"<details><summary>What was repaired in the recording</summary><ul>{repairs}</ul></details>"
        "<p>Plots: drag to zoom, double-click to see all; tap a name below to show or hide it. Each point is the worst "
        "of its interval: most needed, most asked for, fewest ready. The red strip: more requests missed the "
        "SLO than agreed.</p>"
    )


def page_tail(figures: Mapping[str, Any]) -> str:
    """Below the plots."""
    sections = [
        f"<section><h2>Worst quarter-hours, {asked} asked</h2>{worst_list(rows)}</section>"
        for asked, rows in figures["worst_quarter_hours"].items()
    ]
    for title, note, parts in (
        ("How it learned", "Delivered by age of its history. Demand differs between the rows too.", figures["ages"]),
        ("By day, UTC", _DRIFT_NOTE, figures["by_day"]),
    ):
        rows = [[html.escape(cell) for cell in part_cells(part)] for part in parts]
        sections.append(f"<section><h2>{title}</h2><p>{note}</p>{table(part_titles(parts), rows)}</section>")
    return "".join(sections)


def print_answer(console: Console, figures: dict[str, Any], said: Sequence[str]) -> None:
    """On a terminal; lines are as long as they are, so that they can be searched."""

    def line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for text in figures["warnings"]:
        line(f"warning: {text}")
    for text in repaired(figures):
        line(f"repaired: {text}")
    line("")
    line(headline(figures))
    console.print()
    console.print(policies_table(figures))
    console.print()
    console.print(parts_table("How it learned: delivered by age of its history", figures["ages"]))
    console.print()
    console.print(parts_table("By day, UTC", figures["by_day"]))
    asked, rows = list(figures["worst_quarter_hours"].items())[-1]
    line(f"\nWorst quarter-hours, {asked} asked (UTC; the report has those of every attainment asked)")
    for row in rows:
        line(f"  {row['from'][:16]}  {row['missed']:,.0f} of {row['requests']:,.0f} missed: {row['why']}")
        line(f"      {row['decision']}")
    line("\nAssumed, and how far the model is off")
    for text in said:
        line(f"- {text}")
    line("")
