"""A plan's figures as text: the same words in the terminal's tables and on the page."""

from collections.abc import Mapping

from leadtime.plan.answer import Check, Plan, Row
from leadtime.plan.judging import judged_on, lacking, prices_text, searched_and_judged
from leadtime.plan.node_pools import pools
from policies.registry import named
from simulations.counts.demand_counts import BIN_SECONDS
from simulations.planning.intervals import Interval

_NOT_MODELLED = (
    "count level: no single requests, preemptions, prefix caches, crashes or metric faults (docs/frontier.md)",
    "nodes: billed from the ask, kept 10 min after their last pod; no stockout, no other pods on them",
    "spot: the model of policies/nodepools/spot.py at each node count; preemptions are not in the runs",
    "prices: list prices of the table, no commitments, no disks, no network, no control plane",
)


def caveats(plan: Plan) -> list[str]:
    """What the figures leave out."""
    hours = plan.seconds / 3_600
    again = f"the demand is taken to come again as it was, grown; {searched_and_judged(plan.best.split)}"
    if hours >= 24:
        return [again, *_NOT_MODELLED]
    short = f"the demand lasts {hours:.1f} h, and a month is 730 hours like these: give whole days"
    return [short, again, *_NOT_MODELLED]


def number(interval: Interval, text: str = ",.0f", unit: str = "") -> str:
    """`12 (11 to 14)`; without brackets where all runs agree."""
    middle, low, high = (f"{unit}{value:{text}}" for value in (interval.value, interval.low, interval.high))
    return middle if low == high == middle else f"{middle} ({low} to {high})"


def short(interval: Interval, text: str = ",.0f", unit: str = "") -> str:
    """`12 (11-14)`, for tables."""
    middle, low, high = (f"{each:{text}}" for each in (interval.value, interval.low, interval.high))
    return f"{unit}{middle}" if low == high == middle else f"{unit}{middle} ({low.rstrip('%')}-{high.rstrip('%')})"


def knob(policy: str, parameters: Mapping[str, str]) -> str:
    """`attainment=0.99`: the setting that was searched."""
    name = named(policy).knob
    return f"{name}={parameters[name]}"


def answer(plan: Plan) -> list[tuple[str, str]]:
    """Question and answer, in the order a planner asks."""
    row = plan.best
    machine, profile = row.candidate.machine, row.candidate.profile
    replica = f"{profile.gpus_per_replica} x {profile.gpu} a replica ({profile.name})"
    price = f"${machine.usd_per_hour:.4g} an hour in {machine.region} ({machine.source}, {machine.as_of})"
    asked = f"{plan.request.attainment:.2%} asked"
    facts = [
        ("GPU", f"{replica}, machine {machine.name} with {machine.gpus}, {price}"),
        ("Autoscaler", f"{row.policy} with {knob(row.policy, row.parameters)}, maxReplicas {row.cap}"),
        ("Attainment", f"{number(row.attainment, '.2%')} of requests within {plan.request.slo}; {asked}"),
        ("Replicas now", f"{number(row.replicas, '.1f')} on average"),
        ("Replicas at the peak", _peak(row)),
        ("Node pools", "; ".join(f"{each.name} {each.min_nodes} to {each.max_nodes} nodes" for each in pools(plan))),
        ("Quota", _quota(plan)),
    ]
    if row.spot is not None:
        facts.append(("Spot", f"{row.spot.spot_share:.0%} of the node-hours, by the model of spot nodes"))
    elif plan.request.spot is not None:
        facts.append(("Spot", f"no spot price of {machine.name} in the table: all on demand"))
    facts.append(("Cost a month", number(row.usd_per_month, ",.0f", "$")))
    last = plan.months[-1]
    if last.month and plan.request.growth_per_month != 1.0:
        peak, cost = f"{number(last.peak_replicas)} replicas at the peak", number(last.usd_per_month, ",.0f", "$")
        kept = f"{number(last.attainment, '.2%')} with {knob(row.policy, last.parameters)}"
        facts.append(
            (f"Month {last.month}, {last.day}", f"{last.factor:.2f} times the demand: {peak}, {cost} a month, {kept}")
        )
    facts.append(("Judged on", judged_on(plan)))
    facts += [("But", but) for but in (row.note, lacking(row, plan.request.attainment)) if but]
    if old := prices_text(plan):
        facts.append(("Prices", old))
    facts.append(("Intervals", f"attainment and cost: {row.method}; replicas, nodes, quota: lowest to highest run"))
    return facts


def check_text(each: Check) -> str:
    """One check in a sentence."""
    row = each.row
    hours = (each.count_gpu_hours / each.full_gpu_hours - 1.0) if each.full_gpu_hours else 0.0
    error = f"{100 * (each.count_attainment - each.full_attainment):+.2f} points; GPU-hours {hours:+.1%}"
    text = (
        f"{row.candidate.name}, {row.policy} with {knob(row.policy, row.parameters)}: {each.full_attainment:.2%} of "
        f"{each.requests:,} requests in the full simulator, {each.count_attainment:.2%} at count level ({error}); "
        f"with that hour's misses added where there are more, {each.corrected:.2%} of {_all_of(row)}"
    )
    if each.next_parameters is None:
        return text
    return f"{text}: too few, next with {knob(row.policy, each.next_parameters)}"


def hour_text(plan: Plan) -> str:
    """When the worst hour is."""
    begin = plan.hour.first * BIN_SECONDS / 3_600
    factor = plan.request.peak_factor
    return f"from hour {begin:.2f} of the demand" + (f", taken {factor:g} times as busy" if factor != 1 else "")


def _all_of(row: Row) -> str:
    return "all" if row.split.held_out == "nothing" else f"what was searched ({row.split.held_out})"


def _peak(row: Row) -> str:
    text = number(row.peak_replicas)
    return f"{text}, as many as maxReplicas allows" if row.peak_replicas.high >= row.cap else text


def _quota(plan: Plan) -> str:
    quota = plan.quota
    text = f"{number(quota.needed_now)} {quota.gpu} GPUs at the peak now"
    if quota.then != plan.request.start and plan.request.growth_per_month != 1.0:
        text += f", {number(quota.needed_then)} by {quota.then}"
    if quota.quota is None:
        return f"{text}; request {quota.request}"
    if quota.binds_on is None:
        return f"{text}; the quota of {quota.quota} holds"
    return f"{text}; request {quota.request} before {quota.binds_on}, when the quota of {quota.quota} binds"
