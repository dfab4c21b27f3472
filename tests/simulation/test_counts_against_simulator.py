"""The count-level model beside the full simulator on the shipped hour, and every policy in it."""

from functools import cache
from typing import Any

import pytest

from policies.capacity.profile import profile_named
from policies.policy import Policy
from policies.predictive.demand import DemandState, estimate
from policies.registry import ENTRIES, configured
from policies.serving_counters import QUERIES
from policies.snapshot import PodMetrics, Snapshot
from simulations.counts.demand_counts import Counts, count
from simulations.counts.fleet import CountFleet
from simulations.counts.metrics import CountMetrics
from simulations.counts.queue import Mix
from simulations.counts.run import CountWorld, count_run
from simulations.counts.serving_curve import ServingCurve, serving_curve
from simulations.lead_time import LeadTime
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

PROFILE = profile_named("llama-3.1-8b-fp8-l4")
SLO_ = SLO(ttft_seconds=2.0, tpot_seconds=0.075)


@cache
def counts() -> Counts:
    return count(read_trace(SHIPPED))


@cache
def curve() -> ServingCurve:
    return serving_curve(counts(), PROFILE, SLO_)


def policy(name: str, **values: str) -> Policy[Any, Any]:
    fitting = {"profile": PROFILE, "tpot_seconds": SLO_.tpot_seconds, "max_replicas": 20, "min_replicas": 1}
    return configured(name, values, fitting)


@pytest.mark.parametrize(
    ("name", "values", "points", "hours"),
    [
        pytest.param("static", {"replicas": "4"}, 6.0, 0.01, id="a-fleet-that-is-too-small"),
        pytest.param("static", {"replicas": "5"}, 2.0, 0.01, id="a-fleet-that-is-just-large-enough"),
        pytest.param(
            "hpa", {"metric": "vllm:num_requests_running", "target": "15"}, 1.0, 0.08, id="an-hpa-on-the-batch"
        ),
        pytest.param("keda-scaledobject", {"threshold": "15"}, 1.0, 0.08, id="keda-on-outstanding-requests"),
    ],
)
def test_it_is_as_far_from_the_full_simulator_as_stated(
    name: str, values: dict[str, str], points: float, hours: float
) -> None:
    """points: of attainment, in percent. hours: relative, of GPU time."""
    world = CountWorld(counts=counts(), profile=PROFILE, slo=SLO_, curve=curve(), initial_replicas=4)
    figures = count_run(world, policy(name, **values)).figures()
    scenario = Scenario(trace=read_trace(SHIPPED), profile=PROFILE, slo=SLO_, initial_replicas=4)
    summary = simulate(scenario, policy(name, **values)).summary
    assert 100 * figures.attainment == pytest.approx(100 * summary.slo_attainment, abs=points)
    assert figures.gpu_hours == pytest.approx(summary.gpu_hours, rel=hours)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_policy_runs_within_its_bounds(name: str) -> None:
    """For five minutes; what it asks for is what the fleet is asked for."""
    world = CountWorld(counts=counts().part(0, 20), profile=PROFILE, slo=SLO_, curve=curve(), initial_replicas=3)
    run = count_run(world, policy(name))
    assert run.replicas.min() >= 1
    assert run.replicas.max() <= 20
    assert (run.good <= run.requests + 1e-9).all()
    assert run.gpu_seconds.sum() > 0


def test_equal_worlds_give_equal_runs() -> None:
    world = CountWorld(counts=counts().part(0, 40), profile=PROFILE, slo=SLO_, curve=curve(), initial_replicas=3)
    first, second = (count_run(world, policy("hpa-batch-size")) for _ in range(2))
    assert first.good.tolist() == second.good.tolist()
    assert first.replicas.tolist() == second.replicas.tolist()


def test_the_parts_of_a_run_add_up() -> None:
    world = CountWorld(counts=counts().part(0, 40), profile=PROFILE, slo=SLO_, curve=curve(), initial_replicas=3)
    run = count_run(world, policy("static", replicas="5"))
    whole, first, rest = run.figures(), run.figures(0, 13), run.figures(13)
    assert first.gpu_hours + rest.gpu_hours == pytest.approx(whole.gpu_hours)
    assert first.violations + rest.violations == pytest.approx(whole.violations)


MIX = Mix(prompt_tokens=1_000.0, output_tokens=200.0, prefill_seconds=0.11, context_tokens=1_100.0)


def test_policies_read_the_demand_that_there_is() -> None:
    """Counters of all pods together give what arrived, while the gauges fluctuate and pods come and go."""
    fleet = CountFleet(PROFILE, counts(), LeadTime(sigma=0.0), initial_replicas=4, seed=1)
    metrics = CountMetrics(fleet, curve(), QUERIES, seed=1)
    state, seen = DemandState(), 0.0
    for number in range(120):
        if number == 30:
            fleet.scale(7)
        flow = fleet.advance(15.0, 90.0, MIX)
        metrics.scrape(MIX, flow, 15.0)
        sample, state = estimate(state, metrics.snapshot())
        seen += 0.0 if sample is None else 15.0 * sample.requests_per_second
    assert len(fleet.ready) == 7
    assert seen == pytest.approx(119 * 90.0, rel=0.02)


def test_a_queue_that_new_pods_share_is_not_read_as_demand() -> None:
    """Three pods in an overload, then forty: each sample tells what came since the last."""
    fleet = CountFleet(PROFILE, counts(), LeadTime(sigma=0.0), initial_replicas=3, seed=1)
    metrics = CountMetrics(fleet, curve(), QUERIES, seed=1)
    state, rates, waited = DemandState(), [], 0.0
    fleet.scale(40)
    for _ in range(80):
        flow = fleet.advance(15.0, 450.0, MIX)
        waited = max(waited, fleet.queue.waiting)
        metrics.scrape(MIX, flow, 15.0)
        sample, state = estimate(state, metrics.snapshot())
        rates += [] if sample is None else [sample.requests_per_second]
    assert waited > 3_000, "else nothing is shown"
    assert len(fleet.ready) == 40
    assert fleet.queue.waiting == 0
    assert min(rates) > 25.5
    assert max(rates) < 34.5


def snapshot_of(fleet: CountFleet) -> Snapshot:
    metrics = CountMetrics(fleet, curve(), QUERIES, seed=1)
    metrics.scrape(MIX, fleet.advance(1.0, 6.0, MIX), 1.0)
    return metrics.snapshot()


def test_a_scale_down_takes_what_is_not_ready_first() -> None:
    fleet = CountFleet(PROFILE, counts(), LeadTime(sigma=0.0), initial_replicas=2, seed=1)
    fleet.advance(60.0, 60.0, MIX)
    fleet.scale(4)
    fleet.scale(1)
    shown = snapshot_of(fleet).pods
    assert [pod.name for pod in shown if not pod.deleting] == ["vllm-00000"]
    assert [pod.name for pod in shown if pod.deleting] == ["vllm-00001"]
    assert fleet.gpu_seconds == 0.0, "the two that never started cost no time"


def test_a_pod_is_shown_and_paid_for_from_its_ask_on() -> None:
    lead = LeadTime(start_median_seconds=100.0, load_median_seconds=50.0, sigma=0.0)
    fleet = CountFleet(PROFILE, counts(), lead, initial_replicas=1, seed=1)
    fleet.scale(2)
    fleet.advance(99.0, 10.0, MIX)
    assert [(pod.phase, pod.ready) for pod in snapshot_of(fleet).pods][1] == ("Running", "False")
    fleet.advance(50.0, 10.0, MIX)
    snapshot = snapshot_of(fleet)
    assert snapshot.ready_replicas == 2
    answer = snapshot.observations[QUERIES[0]]
    assert isinstance(answer, PodMetrics)
    assert len(answer.samples) == 2
    assert fleet.spent_gpu_seconds() == pytest.approx(2 * fleet.now_seconds)
