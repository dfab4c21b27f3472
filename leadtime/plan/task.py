"""What a worker of a plan runs: a serving curve, a setting over all of the demand, a setting on the worst hour twice.

Each takes a cell's content, in JSON's types, and gives its figures in JSON's types.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.capacity.profile import Profile
from policies.policy import Policy
from policies.registry import configured
from simulations.counts.capacity import initial_replicas, needed_replicas
from simulations.counts.demand_counts import BIN_SECONDS, Counts, count
from simulations.counts.run import CountRun, CountWorld, count_run
from simulations.counts.serving_curve import ServingCurve, serving_curve
from simulations.demand.text import demand_from
from simulations.lead_time import LeadTime
from simulations.planning.growth import Span, scaled
from simulations.planning.node_hours import UNNEEDED_SECONDS, by_day, nodes_over_time, share_of_time
from simulations.planning.worst_hour import WorstHour, worst_hour
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.sweep.cells import Content

_MINUTE_SECONDS = 60
_MOST_POINTS = 700
"""Points of a timeline at most: what a page can show."""


def run_plan_cell(content: Content) -> Mapping[str, Any]:
    """A cell of any kind. Raises BadInput."""
    return {"curve": _curve, "day": _day, "worst hour": _worst_hour}[content["kind"]](content)


def _curve(content: Content) -> dict[str, Any]:
    """How replicas serve this demand, and which share of its requests no replica can hold."""
    counts, profile = _scaled(content), Profile(**content["profile"])
    tokens = counts.sample_prompts.astype(np.int64) + counts.sample_outputs
    too_long = float(np.mean(tokens > profile.kv_tokens))
    if too_long == 1.0:
        return {"too_long": too_long, "curve": None}
    curve = serving_curve(counts, profile, SLO(**content["slo"]))
    return {"too_long": too_long, "curve": {each.name: getattr(curve, each.name).tolist() for each in fields(curve)}}


def _day(content: Content) -> dict[str, Any]:
    """A setting over all of the demand at count level: sums a day, replicas and nodes, and a timeline.

    Peaks leave out the first ten minutes: the nodes of the start are nobody's decision.
    """
    counts, profile = _scaled(content), Profile(**content["profile"])
    run = count_run(_world(content, counts), _policy(content))
    per_node = int(content["replicas_per_node"])
    nodes = nodes_over_time(run, profile.gpus_per_replica, per_node)
    figures = run.figures()
    settled = slice(min(UNNEEDED_SECONDS // BIN_SECONDS + 1, counts.bins - 1), None)
    return {
        "attainment": figures.attainment,
        "gpu_hours": figures.gpu_hours,
        "rescales": figures.rescales,
        "days": {name: values.tolist() for name, values in asdict(by_day(run, nodes)).items()},
        "replicas": {
            "lowest": int(run.replicas.min()),
            "mean": float(run.replicas.mean()),
            "peak": int(run.replicas[settled].max()),
        },
        "nodes": {"lowest": int(nodes.min()), "mean": float(nodes.mean()), "peak": int(nodes[settled].max())},
        "node_shares": [[nodes_held, share] for nodes_held, share in share_of_time(nodes).items()],
        "timeline": _timeline(run, nodes, needed_replicas(counts, profile, content["slo"]["tpot_seconds"])),
    }


def _worst_hour(content: Content) -> dict[str, Any]:
    """A setting on the worst hour, its run-in before it, at both levels; attainment is the hour's, GPU-hours of both.

    Where the run-in is not all that came before, both begin with the replicas that the count level had ready then.
    """
    found = _hour_at(content["demand"], content["seed"], content["days"], content["growth"], *content["hour"])
    counts, profile, slo = count(found.requests), Profile(**content["profile"]), SLO(**content["slo"])
    world = _world(content, counts)
    ready = content["ready"]  # [step_seconds, replicas at each step]
    begun = content["hour"][0] * BIN_SECONDS - found.judged_from_seconds
    if begun > 0:
        world = replace(world, initial_replicas=max(1, round(ready[1][int(begun // ready[0])])))
    count_level = count_run(world, _policy(content))
    first = round(found.judged_from_seconds / BIN_SECONDS)
    scenario = Scenario(
        trace=found.requests,
        profile=profile,
        slo=slo,
        lead_time=LeadTime(**content["lead_time"]),
        initial_replicas=world.initial_replicas,
        seed=content["seed"],
    )
    full = simulate(scenario, _policy(content))
    minute = math.ceil(found.judged_from_seconds / _MINUTE_SECONDS)
    sent = int(full.intervals.arrivals[minute:].sum())
    return {
        "requests": sent,
        "count_attainment": count_level.figures(first).attainment,
        "full_attainment": int(full.intervals.good[minute:].sum()) / sent if sent else 1.0,
        "count_gpu_hours": count_level.figures().gpu_hours,
        "full_gpu_hours": full.summary.gpu_hours,
        "preemptions": full.summary.preemptions,
    }


def _world(content: Content, counts: Counts) -> CountWorld:
    profile, slo = Profile(**content["profile"]), SLO(**content["slo"])
    curve = {name: np.array(values) for name, values in content["curve"].items()}
    fixed = content["parameters"].get("replicas") if content["policy"] == "static" else None
    at_start = initial_replicas(counts, profile, slo.tpot_seconds) if fixed is None else int(fixed)
    return CountWorld(
        counts=counts,
        profile=profile,
        slo=slo,
        curve=ServingCurve(**curve),
        lead_time=LeadTime(**content["lead_time"]),
        initial_replicas=min(max(at_start, content["min_replicas"]), content["max_replicas"]),
        seed=content["seed"],
    )


def _policy(content: Content) -> Policy[Any, Any]:
    """With what the plan gives it: profile, SLO, bounds. Raises BadInput."""
    fitting = {
        "profile": Profile(**content["profile"]),
        "tpot_seconds": content["slo"]["tpot_seconds"],
        "ttft_seconds": content["slo"]["ttft_seconds"],
        "min_replicas": content["min_replicas"],
        "max_replicas": content["max_replicas"],
    }
    return configured(content["policy"], content["parameters"], fitting)


def _scaled(content: Content) -> Counts:
    hour = content["busiest_hour"]
    busiest = None if hour is None else Span(first=hour[0], end=hour[1])
    return scaled(_counts_at(content["counts"]), content["factor"], busiest=busiest, peak_factor=content["peak_factor"])


@lru_cache(maxsize=4)
def _counts_at(path: str) -> Counts:
    return Counts.load(Path(path))


@lru_cache(maxsize=2)
def _hour_at(
    demand: str, seed: int, days: float | None, growth: float, first: int, end: int, peak_factor: float
) -> WorstHour:
    seconds = None if days is None else days * 86_400.0
    whole = demand_from(demand, seed=seed, seconds=seconds, rate_factor=growth)
    return worst_hour(whole, Span(first=first, end=end), peak_factor, seed)


def _timeline(run: CountRun, nodes: NDArray[np.int64], needed: NDArray[np.float64]) -> dict[str, Any]:
    """Every `step_seconds`: needed, asked for and nodes at most, ready at least, requests, and those that missed."""
    step = max(60 // BIN_SECONDS, math.ceil(len(nodes) / _MOST_POINTS))
    starts = np.arange(0, len(nodes), step)

    def reduced(values: NDArray[Any], how: np.ufunc) -> list[float]:
        return [round(float(value), 3) for value in how.reduceat(values, starts)]

    return {
        "step_seconds": step * BIN_SECONDS,
        "needed": [round(float(value) / step, 3) for value in np.add.reduceat(needed, starts)],
        "asked": reduced(run.replicas, np.maximum),
        "ready": reduced(run.ready_replicas, np.minimum),
        "nodes": reduced(nodes, np.maximum),
        "requests": reduced(run.requests, np.add),
        "missed": reduced(np.maximum(run.requests - run.good, 0.0), np.add),
    }
