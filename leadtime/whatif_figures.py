"""The answer of `leadtime whatif` in figures: what the tables, the page and the JSON show."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from simulations.counts.demand_counts import BIN_SECONDS
from simulations.history.minutes import Attained
from simulations.history.outcome import Outcome, Span, ages_of, days_of, largest_missed, numbers_at
from simulations.history.whatif import WhatIf
from simulations.history.worst import worst_quarter_hours

LEADTIME, RECORDED, CLAIRVOYANT = "leadtime", "what ran", "clairvoyant"


def document(
    found: WhatIf, notes: Sequence[str], repairs: Mapping[str, int], measured: Attained | None
) -> dict[str, Any]:
    """Everything, as docs/reference/whatif.md describes it."""
    question = found.question
    start = found.start_ns / 1e9
    return {
        "demand": question.world.counts.name,
        "start": _iso(start),
        "judged_from": _iso(start + question.first_bin * BIN_SECONDS),
        "end": _iso(start + found.bins * BIN_SECONDS),
        "days": found.bins * BIN_SECONDS / 86_400,
        "judged_days": (found.bins - question.first_bin) * BIN_SECONDS / 86_400,
        "not_judged_minutes": int((~question.known[question.first_bin :]).sum()) * BIN_SECONDS // 60,
        "profile": question.world.profile.name,
        "slo": asdict(question.world.slo),
        "lead_seconds": question.lead_seconds,
        "max_replicas": question.max_replicas,
        "notes": list(notes),
        "repairs": dict(repairs),
        "measured": None if measured is None else asdict(measured),
        "attainable": {f"{asked:g}": need.attainable for asked, need in found.needs.items()},
        "policies": [_row(found, each) for each in found.outcomes],
        "ages": [_part(found, span) for span in ages_of(found.bins)],
        "by_day": [_part(found, span) for span in days_of(found.start_ns, found.bins)],
        "worst_quarter_hours": {f"{asked:g}": _worst(found, asked) for asked in question.own},
    }


def policies_table(figures: Mapping[str, Any]) -> Table:
    """A row a policy; those with an asked attainment below it."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for title in ("policy", "asked"):
        table.add_column(title)
    for title in POLICY_TITLES[2:]:
        table.add_column(title.replace(" ", "\n", 1), justify="right")
    for row in figures["policies"]:
        table.add_row(*policy_cells(row), style="bold" if row["policy"] == LEADTIME else "")
    return table


POLICY_TITLES = (
    "policy",
    "asked",
    "delivered",
    "GPU-hours",
    "x clairvoyant",
    "requests missed",
    "rescales",
    "largest jump missed",
)


def policy_cells(row: Mapping[str, Any]) -> list[str]:
    """In the order of POLICY_TITLES."""
    jump = row["largest_jump_missed"]
    over = row["over_clairvoyant"]
    return [
        row["policy"],
        "" if row["asked"] is None else f"{row['asked']:.4g}",
        percent(row["delivered"]),
        f"{row['gpu_hours']:,.1f}",
        "" if over is None else f"{over:.2f}",
        f"{row['violations']:,.0f}",
        f"{row['rescales']:,}",
        "none" if jump is None else f"+{jump['replicas']:.1f} replicas, {_when(jump['at'])}",
    ]


def parts_table(title: str, parts: Sequence[Mapping[str, Any]]) -> Table:
    """Spans down, policies across."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for place, name in enumerate(part_titles(parts)):
        table.add_column(
            name.replace(": ", "\n", 1).replace(", ", ",\n"), justify="right" if place else "left", no_wrap=True
        )
    for part in parts:
        table.add_row(*part_cells(part))
    return table


def part_titles(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of `part_cells`."""
    titles = ["span", "requests", "peak need"]
    for each in parts[0]["policies"]:
        name = each["policy"] if each["asked"] is None else f"{each['policy']} {each['asked']:.4g}"
        titles += [f"{name}: delivered, GPU-hours"]
        titles += ["margin, capacity"] if each["margin"] is not None else []
    return titles


def part_cells(part: Mapping[str, Any]) -> list[str]:
    """A span's row: what each policy delivered and cost, and for leadtime what it had learned of its own errors."""
    cells = [part["name"], f"{part['requests']:,.0f}", f"{part['peak_need']:.1f}"]
    for each in part["policies"]:
        cells += [f"{percent(each['delivered'])}, {each['gpu_hours']:,.0f}"]
        cells += [f"{each['margin']:.2f}, {each['capacity']:.2f}"] if each["margin"] is not None else []
    return cells


def percent(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.2%}"


def _row(found: WhatIf, each: Outcome) -> dict[str, Any]:
    """One policy over the judged part."""
    question = found.question
    totals = each.part(question.first_bin, found.bins)
    strictest = max(found.needs)
    asked = strictest if each.asked is None else each.asked
    jump = largest_missed(each, found.needs[asked].replicas, found.start_ns, question.lead_seconds, question.first_bin)
    bound = next((one for one in found.outcomes if one.asked == each.asked and one.policy == CLAIRVOYANT), None)
    least = None if bound is None else bound.part(question.first_bin, found.bins).gpu_hours
    return {
        "policy": each.policy,
        "asked": each.asked,
        "delivered": totals.delivered,
        "gpu_hours": totals.gpu_hours,
        "over_clairvoyant": totals.gpu_hours / least if least else None,
        "requests": totals.requests,
        "violations": totals.violations,
        "rescales": totals.rescales,
        "largest_jump_missed": None if jump is None else {"at": _iso(jump.at_seconds), "replicas": jump.replicas},
    }


def _part(found: WhatIf, span: Span) -> dict[str, Any]:
    """One span of the history; the bounds know only the judged part and are left out."""
    need = found.needs[max(found.needs)].replicas[span.first_bin : span.end_bin]
    end = found.start_ns / 1e9 + span.end_bin * BIN_SECONDS
    policies = []
    for each in found.outcomes:
        if each.start_bin > 0:
            continue
        totals = each.part(span.first_bin, span.end_bin)
        numbers = numbers_at(each.log, end)
        policies.append(
            {
                "policy": each.policy,
                "asked": each.asked,
                "delivered": totals.delivered,
                "gpu_hours": totals.gpu_hours,
                "violations": totals.violations,
                "margin": numbers.get("margin", math.nan) if each.log else None,
                "capacity": numbers.get("capacity_requests_per_second", math.nan) if each.log else None,
            }
        )
    return {
        "name": span.name,
        "requests": float(found.question.world.counts.requests[span.first_bin : span.end_bin].sum()),
        "peak_need": float(need.max()),
        "is_judged": span.end_bin > found.question.first_bin,
        "policies": policies,
    }


def _worst(found: WhatIf, asked: float) -> list[dict[str, Any]]:
    question = found.question
    rows = worst_quarter_hours(
        found.of(asked),
        found.needs[asked].replicas,
        found.start_ns,
        question.first_bin,
        lead_seconds=question.lead_seconds,
        max_replicas=question.max_replicas,
    )
    return [
        {
            "from": _iso(row.at_seconds),
            "worst_at": _iso(row.worst_seconds),
            "requests": row.requests,
            "missed": row.missed,
            "needed_replicas": row.needed,
            "asked_replicas": row.asked,
            "ready_replicas": row.ready,
            "waiting_requests": row.waiting,
            "decision": row.decision,
            "why": row.why,
        }
        for row in rows
    ]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds), UTC).isoformat()


def _when(iso: str) -> str:
    return datetime.fromisoformat(iso).strftime("%a %m-%d %H:%M")
