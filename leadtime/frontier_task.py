"""One cell of a frontier, as a worker runs it: a setting over the whole demand, its figures on both parts."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from policies.capacity.profile import profile_named
from policies.policy import Policy
from policies.registry import configured
from simulations.counts.clairvoyant import PlanSetting, clairvoyant_plan
from simulations.counts.demand_counts import Counts
from simulations.counts.run import CountRun, CountWorld, count_run, planned_run
from simulations.counts.serving_curve import ServingCurve
from simulations.lead_time import LeadTime
from simulations.slo import SLO
from simulations.sweep.cells import Content


def run_frontier_cell(content: Content) -> Mapping[str, Any]:
    """Run a policy's setting, or the clairvoyant's, and give its figures on the training and the judged part.

    One run: what a policy has learned in training it knows when it is judged. Raises BadInput.
    """
    if content["policy"] == "clairvoyant":
        world = world_of(content)
        run = planned_run(world, clairvoyant_plan(world, PlanSetting(**content["parameters"])), "clairvoyant")
    else:
        run = count_run(world_of(content), policy_of(content))
    split = int(content["train_bins"])
    return {"train": _figures(run, 0, split), "judged": _figures(run, split, None)}


def policy_of(content: Content) -> Policy[Any, Any]:
    """The policy of a cell, with what the scenario gives it: profile, SLO, bounds. Raises BadInput."""
    profile = profile_named(content["profile"])
    fitting = {
        "profile": profile,
        "tpot_seconds": content["slo"]["tpot_seconds"],
        "ttft_seconds": content["slo"]["ttft_seconds"],
        "min_replicas": 1,
        "max_replicas": content["max_replicas"],
    }
    return configured(content["policy"], content["parameters"], fitting)


def world_of(content: Content) -> CountWorld:
    """The world of a cell; a process keeps the counts and curves of the last few."""
    slo = SLO(**content["slo"])
    counts = counts_at(content["counts"])
    return CountWorld(
        counts=counts,
        profile=profile_named(content["profile"]),
        slo=slo,
        curve=curve_at(content["curve"]),
        lead_time=LeadTime.of_median(content["lead_seconds"]),
        initial_replicas=content["initial_replicas"],
        seed=content["seed"],
    )


@lru_cache(maxsize=4)
def counts_at(path: str) -> Counts:
    return Counts.load(Path(path))


@lru_cache(maxsize=4)
def curve_at(path: str) -> ServingCurve:
    return ServingCurve.load(Path(path))


def _figures(run: CountRun, first: int, end: int | None) -> dict[str, Any]:
    figures = asdict(run.figures(first, end))
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in figures.items()}
