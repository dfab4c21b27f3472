"""Canaries behind a gateway: requests follow the weights, whatever the numbers of pods."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from policies.errors import BadInput
from policies.registry import configured
from simulations.batching import FixedBatch
from simulations.batching.measured import BATCH_PROFILES
from simulations.cluster.node_pool import NodePool
from simulations.engine import Router
from simulations.fleet import Fleet
from simulations.fleet.rollout import COMPLETE, ROLLED_BACK, Rollout
from simulations.fleet.routed_canary import RoutedCanary, RoutedCanaryRun, routed_canary_pods
from simulations.lead_time import LeadTime, Stage
from simulations.scenario import Disaggregation, Scenario
from simulations.server_kind import BatchedModel
from simulations.simulate import simulate
from simulations.slo import SLO

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
SLOWER = replace(PROFILE, name="slower", base_seconds=5 * PROFILE.base_seconds)
LEAD = LeadTime(start_median_seconds=20.0, load_median_seconds=100.0, warm_start_median_seconds=3.0, sigma=0.0)
OLD, NEW = "1", "2"


def fleet(strategy: RoutedCanary, *, per_second: float = 5.0, seconds: float = 2_000.0, **fields: Any) -> Fleet:
    """A canary from 100 s on of 20 replicas under a constant load."""
    profile = fields.pop("profile", None)
    return Fleet(
        Scenario(
            trace=trace_of(np.arange(0.0, seconds, 1.0 / per_second).tolist(), 100, 20, ends_seconds=seconds),
            profile=PROFILE,
            lead_time=LEAD,
            rollout=Rollout(at_seconds=100.0, strategy=strategy, profile=profile),
            **{"initial_replicas": 20, **fields},
        )
    )


def run_of(each: Fleet) -> RoutedCanaryRun:
    run = each.revisions.run
    assert isinstance(run, RoutedCanaryRun)
    return run


def counts(each: Fleet) -> tuple[int, int, int]:
    """Wanted pods of the old and of the new revision, and how many of the new ones are Ready."""
    wanted = [pod for pod in each.existing() if pod.is_wanted]
    new = [pod for pod in wanted if pod.revision == NEW]
    return len(wanted) - len(new), len(new), sum(pod.row is not None for pod in new)


def revisions(each: Fleet, begin: float, end: float) -> list[str]:
    """Which revision answered what arrived in [begin, end)."""
    of_number = {pod.number: pod.revision for pod in each.pods}
    rows = each.engine.requests[: each.engine.loaded]
    inside = rows[(rows["arrival"] >= begin) & (rows["arrival"] < end)]
    return [of_number[number] for number in inside["replica"].tolist() if number >= 0]


def share_of_new(each: Fleet, begin: float, end: float) -> tuple[float, int]:
    found = revisions(each, begin, end)
    return found.count(NEW) / len(found), len(found)


def within_binomial_error(share: float, count: int, weight: float) -> bool:
    """Four standard deviations: one in 16,000 by chance."""
    return abs(share - weight) <= 4.0 * math.sqrt(weight * (1.0 - weight) / count)


ROUTERS = [
    pytest.param(Router(policy="least-outstanding"), id="least-outstanding"),
    pytest.param(Router(policy="round-robin"), id="round-robin"),
    pytest.param(Router(policy="scored", queue_weight=1.0, kv_weight=1.0), id="scored"),
]


@pytest.mark.parametrize("router", ROUTERS)
def test_requests_follow_the_weights_step_by_step_and_then_all_of_them(router: Router) -> None:
    """rows: (from, to, weight) of the steps, each 200 s long and begun one lead time after its pods were asked for."""
    each = fleet(RoutedCanary(pause_seconds=200.0), router=router, per_second=20.0)
    each.advance(4_000.0)
    for begin, end, weight in ((0.0, 219.9, 0.0), (221.0, 419.0, 0.05), (541.0, 739.0, 0.1), (861.0, 1_059.0, 0.2)):
        share, count = share_of_new(each, begin, end)
        assert within_binomial_error(share, count, weight), f"from {begin} s: {share:.3f}"
    assert within_binomial_error(*share_of_new(each, 1_061.0, 1_179.0), 0.2), "the last weight holds while all start"
    assert set(revisions(each, 1_181.0, 2_000.0)) == {NEW}
    assert [round(second) for second, _ in run_of(each).judged] == [420, 740, 1_060]
    assert run_of(each).phase == COMPLETE
    assert each.finished


@pytest.mark.parametrize(
    "timeline",
    [
        pytest.param(
            [
                (99.0, 0, (20, 0, 0)),
                (100.0, 0, (20, 1, 0)),
                (219.0, 0, (20, 1, 0)),  # its one pod loads: the weight waits
                (220.0, 5, (20, 1, 1)),
                (419.0, 5, (20, 1, 1)),
                (420.0, 5, (20, 2, 1)),  # the weight of the step before holds until the second pod is Ready
                (540.0, 10, (20, 2, 2)),
                (740.0, 10, (20, 4, 2)),
                (860.0, 20, (20, 4, 4)),
                (1_060.0, 20, (20, 20, 4)),  # twice the pods
                (1_180.0, 100, (20, 20, 20)),
                (1_209.0, 100, (20, 20, 20)),
                (1_210.0, 100, (0, 20, 20)),  # scaleDownDelaySeconds
            ],
            id="pods-weight-and-pauses",
        )
    ],
)
def test_timeline(timeline: list[tuple[float, float, tuple[int, int, int]]]) -> None:
    """rows: (second, percent of the requests, (old pods, new pods, new and Ready))."""
    each = fleet(RoutedCanary(pause_seconds=200.0))
    for second, weight, expected in timeline:
        each.advance(second)
        seen = 0.0 if each.revisions.run is None else run_of(each).weight_percent
        assert (seen, counts(each)) == (weight, expected), f"at {second} s"


def test_three_replicas_can_have_a_canary_of_five_percent() -> None:
    """By numbers of pods it would be a third at least."""
    each = fleet(RoutedCanary(weights_percent=(5.0,), pause_seconds=600.0), initial_replicas=3)
    each.advance(800.0)
    assert counts(each) == (3, 1, 1)
    assert within_binomial_error(*share_of_new(each, 221.0, 799.0), 0.05)


def test_a_canary_that_misses_the_slo_gets_nothing_more_and_goes_after_its_delay() -> None:
    each = fleet(RoutedCanary(pause_seconds=200.0), profile=SLOWER, slo=SLO(tpot_seconds=0.1))
    seen = []
    for second in (419.0, 420.0, 449.0, 450.0):
        each.advance(second)
        seen.append((run_of(each).weight_percent, *counts(each)))
    assert seen == [(5.0, 20, 1, 1), (0.0, 20, 1, 1), (0.0, 20, 1, 1), (0.0, 20, 0, 0)]
    each.advance(4_000.0)
    assert run_of(each).phase == ROLLED_BACK
    assert set(revisions(each, 421.0, 2_000.0)) == {OLD}
    assert each.finished


def test_while_the_canarys_only_pod_restarts_the_old_revision_has_all_requests() -> None:
    each = fleet(RoutedCanary(weights_percent=(20.0,), pause_seconds=600.0), initial_replicas=5)
    each.advance(300.0)
    (canary,) = [pod for pod in each.pods if pod.revision == NEW]
    canary.fails_at = 310.0
    each.advance(320.0)
    assert run_of(each).weight_percent == 0.0
    assert set(revisions(each, 311.0, 320.0)) == {OLD}
    again = canary.ready_at
    each.advance(again + 200.0)
    assert run_of(each).weight_percent == 20.0
    assert within_binomial_error(*share_of_new(each, again + 1.0, again + 199.0), 0.2)


def test_scaling_during_a_pause_leaves_the_weight_as_it_is() -> None:
    """trafficrouting.go: once past setWeight, the weight of the last setWeight holds, whatever spec.replicas does."""
    each = fleet(RoutedCanary(weights_percent=(10.0, 20.0), pause_seconds=300.0))
    each.advance(300.0)
    each.scale(60)
    assert counts(each) == (60, 6, 2)
    each.advance(301.0)
    assert run_of(each).weight_percent == 10.0
    each.scale(10)
    each.advance(519.0)
    assert (run_of(each).weight_percent, counts(each)) == (10.0, (10, 1, 1))


def test_without_the_gpus_for_the_next_step_the_weight_stays_at_the_last_one() -> None:
    """Four nodes for three replicas: the fourth pod is the canary's, a second one never comes."""
    pool = NodePool(name="l4", gpus_per_node=1, gpu=PROFILE.gpu, max_nodes=4, provision=Stage(10.0, 0.0))
    each = fleet(RoutedCanary(weights_percent=(30.0, 60.0), pause_seconds=100.0), initial_replicas=3, nodes=pool)
    each.advance(1_990.0)
    assert (run_of(each).weight_percent, counts(each)) == (30.0, (3, 2, 1))
    assert within_binomial_error(*share_of_new(each, 1_000.0, 1_990.0), 0.3)


KINDS = [
    pytest.param({}, id="vllm"),
    pytest.param({"server": "nim"}, id="nim"),
    pytest.param(
        {"server": BatchedModel(server=FixedBatch(batch_size=4), profile=BATCH_PROFILES["resnet50-fp16-t4"])},
        id="fixed-batches",
    ),
    pytest.param(
        {"disaggregation": Disaggregation(prefill_replicas=2, transfer_bytes_per_second=1e10)}, id="disaggregated"
    ),
]


@pytest.mark.parametrize("fields", KINDS)
def test_requests_are_conserved_and_a_run_is_the_same_however_time_is_advanced(fields: dict[str, Any]) -> None:
    leap, walk = (fleet(RoutedCanary(pause_seconds=60.0), seconds=900.0, **fields) for _ in range(2))
    for second in range(0, 900, 13):
        walk.advance(float(second))
    for each in (leap, walk):
        each.advance(3_000.0)
        assert each.finished
        assert len(revisions(each, 0.0, 900.0)) == 4_500
    assert revisions(leap, 0.0, 900.0) == revisions(walk, 0.0, 900.0)
    assert within_binomial_error(*share_of_new(leap, 221.0, 279.0), 0.05)


def test_seeds_draw_other_requests_for_the_canary() -> None:
    drawn = []
    for seed in (1, 2, 1):
        each = fleet(RoutedCanary(weights_percent=(20.0,)), seconds=400.0, seed=seed)
        each.advance(500.0)
        drawn.append(revisions(each, 221.0, 400.0))
    assert drawn[0] == drawn[2]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("name", ["hpa", "leadtime"])
def test_an_autoscaler_does_not_take_the_canarys_pods_for_need(name: str) -> None:
    """Twice the pods at the end, the same requests: what is asked for stays within two replicas of before."""
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(1 / 18.0, 50_000))
    scenario = Scenario(
        trace=trace_of(arrivals[arrivals < 2_400.0].tolist(), 400, 150, ends_seconds=2_400.0),
        profile=PROFILE,
        slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
        lead_time=LEAD,
        initial_replicas=8,
        rollout=Rollout(at_seconds=600.0, strategy=RoutedCanary(pause_seconds=120.0)),
    )
    settings = (
        {"profile": PROFILE.name, "tpot_seconds": "0.075"}
        if name == "leadtime"
        else {"metric": "vllm:num_requests_running", "target": "20"}
    )
    kept: list[Any] = []
    result = simulate(scenario, configured(name, settings), kept.append)
    asked = [moment.replicas for moment in kept[-1].moments if 500.0 <= moment.second <= 2_300.0]
    assert run_of(kept[-1].fleet).phase == COMPLETE
    assert max(asked) - min(asked) <= 2
    assert result.summary.slo_attainment >= 0.99


@pytest.mark.parametrize(
    ("weight", "desired", "expected"),
    [
        pytest.param(5.0, 20, 1, id="exact"),
        pytest.param(10.0, 30, 3, id="exact-although-tenths-are-not"),
        pytest.param(5.0, 21, 2, id="rounded-up"),
        pytest.param(1.0, 1, 1, id="one-at-least"),
        pytest.param(50.0, 0, 0, id="none-of-none"),
    ],
)
def test_pods_for_a_weight(weight: float, desired: int, expected: int) -> None:
    """utils/replicaset/canary.go: ceil(spec.replicas x weight / 100)."""
    assert routed_canary_pods(weight, desired) == expected


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(BadInput, match="scaleDownDelaySeconds: was -1"):
        RoutedCanary(scale_down_delay_seconds=-1.0)
    with pytest.raises(BadInput, match="setWeight: was 100"):
        RoutedCanary(weights_percent=(100.0,))
