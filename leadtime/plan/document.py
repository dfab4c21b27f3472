"""A plan as JSON, as docs/reference/plan.md describes it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from leadtime.plan.answer import Plan, Row
from leadtime.plan.judging import judged_on, old_prices
from leadtime.plan.node_pools import pools
from leadtime.plan.words import answer, caveats, check_text, hour_text
from simulations.planning.intervals import Interval


def document(plan: Plan) -> dict[str, Any]:
    """Names carry the units; an interval is {value, low, high}."""
    request = plan.request
    return {
        "demand": {
            "source": request.demand,
            "name": plan.demand_name,
            "requests": plan.requests,
            "seconds": plan.seconds,
            "growth": request.growth,
            "peak_factor": request.peak_factor,
            "worst_hour": hour_text(plan),
        },
        "asked": {
            "model": request.model,
            "gpus": list(request.gpus),
            "profiles": list(request.profiles),
            "slo": asdict(request.slo),
            "attainment": request.attainment,
            "lead_seconds": request.lead_seconds,
            "policies": list(request.policies),
            "quota": dict(request.quota),
            "spot": None if request.spot is None else asdict(request.spot),
            "region": request.region,
            "seeds": list(request.seeds),
            "months": request.months,
            "growth_per_month": request.growth_per_month,
            "start": str(request.start),
        },
        "answer": _joined(answer(plan)),
        "best": _row(plan.best),
        "pools": [asdict(pool) for pool in pools(plan)],
        "quota": {
            "gpu": plan.quota.gpu,
            "quota": plan.quota.quota,
            "needed_now": _interval(plan.quota.needed_now),
            "needed_then": _interval(plan.quota.needed_then),
            "then": str(plan.quota.then),
            "request": plan.quota.request,
            "binds_on": None if plan.quota.binds_on is None else str(plan.quota.binds_on),
        },
        "compared": [_row(row) for row in plan.rows],
        "missed": [
            {"candidate": each.candidate.name, "policy": each.policy, "constraint": each.constraint, "text": each.text}
            for each in plan.missed
        ],
        "refused": [asdict(each) for each in plan.refused],
        "checks": [
            {
                "candidate": each.row.candidate.name,
                "policy": each.row.policy,
                "parameters": dict(each.row.parameters),
                "requests": each.requests,
                "count_attainment": each.count_attainment,
                "full_attainment": each.full_attainment,
                "count_gpu_hours": each.count_gpu_hours,
                "full_gpu_hours": each.full_gpu_hours,
                "corrected_attainment": each.corrected,
                "next_parameters": None if each.next_parameters is None else dict(each.next_parameters),
                "text": check_text(each),
            }
            for each in plan.checks
        ],
        "next_nines": [
            {"asked": nine.level, "nearest": nine.nearest, **({} if nine.row is None else _row(nine.row))}
            for nine in plan.nines
        ],
        "months": [
            {
                "month": each.month,
                "day": str(each.day),
                "factor": each.factor,
                "replicas": _interval(each.replicas),
                "peak_replicas": _interval(each.peak_replicas),
                "peak_gpus": _interval(each.peak_gpus),
                "attainment": _interval(each.attainment),
                "usd_per_month": _interval(each.usd_per_month),
                "parameters": dict(each.parameters),
            }
            for each in plan.months
        ],
        "intervals": plan.best.method,
        "judged": {
            "on": judged_on(plan),
            "held_out": plan.best.split.held_out,
            "days": plan.best.split.days,
            "searched_days": plan.best.split.searched_days,
            "seeds": list(request.seeds),
            "searched_seeds": list(request.seeds[: plan.best.split.searched_runs]),
        },
        "old_prices": old_prices(plan, request.today or request.start),
        "timeline": plan.best.runs[0]["timeline"],
        "not_modelled": caveats(plan),
    }


def _row(row: Row) -> dict[str, Any]:
    machine = row.candidate.machine
    return {
        "candidate": row.candidate.name,
        "profile": row.candidate.profile.name,
        "machine": asdict(machine),
        "replicas_per_node": row.candidate.replicas_per_node,
        "policy": row.policy,
        "parameters": dict(row.parameters),
        "max_replicas": row.cap,
        "attainment": _interval(row.attainment),
        "searched_attainment": row.searched_attainment,
        "searched_usd_per_month": row.searched_usd_per_month,
        "replicas": _interval(row.replicas),
        "peak_replicas": _interval(row.peak_replicas),
        "nodes": _interval(row.nodes),
        "peak_nodes": _interval(row.peak_nodes),
        "lowest_nodes": row.lowest_nodes,
        "usd_per_month": _interval(row.usd_per_month),
        "spot_share": None if row.spot is None else row.spot.spot_share,
        "rescales": [run["rescales"] for run in row.runs],
        "notes": list(row.candidate.notes),
        "note": row.note,
    }


def _joined(facts: Sequence[tuple[str, str]]) -> dict[str, str]:
    """By question; answers to the same one in a line."""
    joined: dict[str, str] = {}
    for question, text in facts:
        joined[question] = f"{joined[question]}; {text}" if question in joined else text
    return joined


def _interval(each: Interval) -> Mapping[str, float]:
    return asdict(each)
