"""The clairvoyant's plans: optimal by exhaustive search, asked for in time, and never beaten by what cannot know."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.capacity.profile import profile_named
from policies.registry import configured
from simulations.counts.clairvoyant import _forward_maximum, _switched_on, clairvoyant_plan, plan_settings
from simulations.counts.demand_counts import Counts, count
from simulations.counts.frontier import Point, gpu_hours_at
from simulations.counts.run import CountRun, CountWorld, count_run, planned_run
from simulations.counts.serving_curve import ServingCurve, serving_curve
from simulations.demand.text import demand_from
from simulations.lead_time import LeadTime
from simulations.slo import SLO

PROFILE = profile_named("llama-3.1-8b-fp8-l4")
SLO_ = SLO(ttft_seconds=2.0, tpot_seconds=0.075)
LEAD = LeadTime(start_median_seconds=60.0, load_median_seconds=60.0, sigma=0.0)


@given(
    profit=st.lists(st.floats(-10, 10), min_size=1, max_size=9),
    start_cost=st.floats(0, 15),
)
def test_no_other_choice_of_bins_earns_more(profit: list[float], start_cost: float) -> None:
    """Against all 2^n choices; the first bin needs no start."""

    def earned(chosen: tuple[bool, ...]) -> float:
        starts = sum(on and not before for before, on in itertools.pairwise(chosen))
        return sum(value for value, on in zip(profit, chosen, strict=True) if on) - start_cost * starts

    found = tuple(_switched_on(np.array(profit)[:, None], start_cost)[:, 0].tolist())
    best = max(earned(chosen) for chosen in itertools.product((False, True), repeat=len(profit)))
    assert earned(found) == pytest.approx(best, abs=1e-9)


@given(ready=st.lists(st.integers(0, 9), min_size=1, max_size=30), lead=st.integers(0, 10))
def test_what_is_to_be_ready_was_asked_for_a_lead_time_before(ready: list[int], lead: int) -> None:
    asked = _forward_maximum(np.array(ready), lead)
    assert asked.tolist() == [max(ready[at : at + lead + 1]) for at in range(len(ready))]


@cache
def curve() -> ServingCurve:
    """Of one mix: what random demands below are drawn from."""
    return serving_curve(count(demand_from("poisson:rate=10,minutes=60")), PROFILE, SLO_)


def world(rates: tuple[float, ...], seed: int) -> CountWorld:
    """Ten minutes at each rate, in requests per second."""
    parts = [count(demand_from(f"poisson:rate={rate},minutes=10,seed={seed + at}")) for at, rate in enumerate(rates)]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("requests", "prompt_tokens", "output_tokens", "prompt_token_squares", "kv_token_steps")
    }
    counts = Counts(
        name="steps",
        start_ns=0,
        sample_prompts=parts[0].sample_prompts,
        sample_outputs=parts[0].sample_outputs,
        **joined,
    )
    return CountWorld(
        counts=counts, profile=PROFILE, slo=SLO_, curve=curve(), lead_time=LEAD, initial_replicas=math.ceil(rates[0])
    )


def point(run: CountRun) -> Point:
    figures = run.figures()
    return Point(gpu_hours=figures.gpu_hours, attainment=figures.attainment)


CAUSAL = (
    ("hpa-total-demand", "target_requests", (4, 8, 12, 16)),
    ("hpa-batch-size", "target_requests", (4, 8, 12, 16)),
    ("keda-scaledobject", "threshold", (4, 8, 12, 16)),
    ("static", "replicas", (2, 4, 8, 12)),
    ("leadtime", "attainment", (0.9, 0.99)),
)


@settings(max_examples=2, deadline=None)
@given(rates=st.lists(st.floats(1, 12), min_size=4, max_size=5).map(tuple), seed=st.integers(1, 10_000))
def test_no_causal_policy_costs_less_at_an_attainment_that_the_clairvoyant_reaches(
    rates: tuple[float, ...], seed: int
) -> None:
    """Within 1 %: a plan is optimal for its own assumptions, not proven to be for the model's queue."""
    scene = world(rates, seed)
    bound = [point(planned_run(scene, clairvoyant_plan(scene, each))) for each in plan_settings(scene.counts, PROFILE)]
    least = min(each.attainment for each in bound if each.attainment > 0.5)
    beaten = []
    for name, knob, values in CAUSAL:
        for value in values:
            fitting = {"profile": PROFILE, "tpot_seconds": SLO_.tpot_seconds, "max_replicas": 100, "min_replicas": 1}
            own = point(count_run(scene, configured(name, {knob: str(value)}, fitting)))
            hours = gpu_hours_at(bound, own.attainment)
            if own.attainment >= least and hours is not None and own.gpu_hours < 0.99 * hours:
                beaten.append((name, value, own, hours))
    assert not beaten
