"""Pods that have to go: spot nodes with their notice, grace periods that run out, preStop hooks, and replacements."""

from typing import Any

import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.cluster.spot import SPOT_PREEMPTED, Spot
from simulations.fleet import Fleet, advance_together
from simulations.lead_time import LeadTime, Stage
from simulations.request_rows import OUTCOMES
from simulations.scenario import Failures, Scenario, Termination, Workload

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
EXACT = LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, warm_start_median_seconds=3.0, sigma=0.0)
POOL = NodePool(
    name="spot",
    gpus_per_node=1,
    max_nodes=8,
    provision=Stage(90.0, 0.0),
    spot=Spot(preemptions_per_node_hour=1.0, notice_seconds=30.0, pod_grace_seconds=15.0),
)


def fleet(*, output_tokens: int = 50, **fields: Any) -> Fleet:
    arrivals = fields.pop("arrivals", [20_000.0])
    return Fleet(
        Scenario(
            trace=trace_of(arrivals, 100, output_tokens),
            profile=PROFILE,
            lead_time=EXACT,
            **{"initial_replicas": 1, "seed": 3, **fields},
        )
    )


def first_notice(**fields: Any) -> float:
    """When the first node is taken back, found by running; the same for all that follow it with this seed."""
    each = fleet(nodes=POOL, **fields)
    while each.pods[0].deleted is None:
        each.advance(each.cluster.next_event_seconds())
        assert each.now_seconds < 50_000.0
    return each.now_seconds


def outcomes(each: Fleet) -> list[str]:
    return [OUTCOMES[row["outcome"]] for row in each.engine.requests[: each.engine.loaded]]


def test_at_the_notice_the_pod_drains_and_its_replacement_is_asked_for_at_once() -> None:
    notice = first_notice()
    each = fleet(nodes=POOL)
    each.advance(notice)
    old, new = each.pods
    assert (old.deleted, old.leaving, new.created) == (notice, SPOT_PREEMPTED, notice)
    assert old.ended == notice, "it had nothing to answer"
    assert each.replicas == 1
    each.advance(notice + 160.0)
    assert new.first_ready_at == pytest.approx(notice + 160.0)


@pytest.mark.parametrize(("retry", "outcome"), [(True, "served"), (False, "failed")])
def test_what_is_not_answered_when_the_node_goes_is_sent_again_or_lost(retry: bool, outcome: str) -> None:
    """A request of 2,000 tokens takes longer than the 15 s that the pod has."""
    notice = first_notice()
    arrivals = [notice - 5.0, 20_000.0]
    each = fleet(nodes=POOL, arrivals=arrivals, output_tokens=2_000, failures=Failures(retry=retry))
    each.advance(notice + 14.9)
    old = each.pods[0]
    assert old.ended is None
    assert each.outstanding(old) == 1
    each.advance(notice + 15.0)
    assert old.ended == pytest.approx(notice + 15.0)
    assert each.cluster.pods[old.uid].released_at == pytest.approx(notice + 15.0)
    assert not each.serving()
    each.advance(notice + 600.0)
    assert outcomes(each)[0] == outcome
    if retry:
        assert each.engine.requests["first_token"][0] > notice + 160.0, "on the replacement"


def test_new_requests_do_not_go_to_a_pod_that_has_notice() -> None:
    notice = first_notice()
    each = fleet(nodes=POOL, arrivals=[notice - 1.0, notice + 1.0, 20_000.0], output_tokens=400)
    each.advance(notice + 5.0)
    assert each.outstanding(each.pods[0]) == 1
    assert each.gateway_queue == 1


def test_a_stateful_sets_ordinal_is_created_again_only_when_it_is_gone() -> None:
    notice = first_notice(workload=Workload(kind="StatefulSet"))
    fields: dict[str, Any] = {"arrivals": [notice - 5.0, 20_000.0], "output_tokens": 2_000}
    each = fleet(nodes=POOL, workload=Workload(kind="StatefulSet"), **fields)
    each.advance(notice + 14.0)
    assert len(each.pods) == 1
    each.advance(notice + 15.0)
    assert [(pod.name, pod.created) for pod in each.pods] == [("vllm-0", 0.0), ("vllm-0", pytest.approx(notice + 15.0))]


def test_fleets_that_share_a_cluster_are_told_of_their_own_pods_only() -> None:
    cluster = Cluster([POOL], seed=3)
    trace = trace_of([20_000.0], 100, 50)
    fleets = [
        Fleet(
            Scenario(trace=trace, profile=PROFILE, lead_time=EXACT, nodes=POOL, name=name, initial_replicas=2),
            cluster,
        )
        for name in ("one", "two")
    ]
    advance_together(fleets, 20_000.0)
    evicted = [pod for each in fleets for pod in each.pods if pod.leaving]
    taken_back = [node.name for node in cluster.nodes if node.leaving_since is not None]
    nodes = [placement.node for pod in evicted if (placement := cluster.pods[pod.uid].placement)]
    assert sorted(nodes) == sorted(taken_back), "each node held one pod, and that one was told"
    assert len(evicted) >= 8, "4 nodes for 5.5 h, an hour each"
    for each in fleets:
        assert all(pod.name.startswith(each.scenario.name) for pod in each.pods)
        assert sum(pod.is_wanted for pod in each.pods) == 2


def test_requests_and_gpu_time_are_conserved_through_preemptions() -> None:
    arrivals = [float(second) for second in range(0, 14_000, 7)]
    each = fleet(nodes=POOL, arrivals=arrivals, output_tokens=300, initial_replicas=3)
    each.advance(15_000.0)
    assert sum(bool(pod.leaving) for pod in each.pods) >= 4
    assert outcomes(each) == ["served"] * len(arrivals)
    for pod in each.pods:
        record = each.cluster.pods[pod.uid]
        if pod.ended is not None and record.placement is not None:
            assert record.released_at is not None
            assert pod.ended - 1e-9 <= record.released_at <= pod.ended + 1.0 + 1e-9


@pytest.mark.parametrize(
    ("termination", "ended", "outcome"),
    [
        pytest.param(Termination(), None, "served", id="by-default-it-answers-all-it-has"),
        pytest.param(Termination(grace_period_seconds=30.0), 32.0, "failed", id="30-s-and-then-SIGKILL"),
        pytest.param(Termination(grace_period_seconds=0.0), 2.0, "failed", id="no-grace-at-all"),
        pytest.param(
            Termination(grace_period_seconds=30.0, pre_stop_seconds=10.0), 32.0, "failed", id="preStop-is-part-of-it"
        ),
    ],
)
def test_the_grace_period_of_an_ordinary_scale_down(
    termination: Termination, ended: float | None, outcome: str
) -> None:
    """Deleted at 2 s with a request of 2,000 tokens, which takes over a minute."""
    workload = Workload(termination=termination)
    each = fleet(arrivals=[1.0, 20_000.0], output_tokens=2_000, workload=workload, failures=Failures(retry=False))
    each.advance(2.0)
    each.scale(0)
    each.advance(1_000.0)
    pod = each.pods[0]
    assert outcomes(each)[0] == outcome
    assert pod.ended == ended if ended is not None else (pod.ended or 0.0) > 62.0


def test_a_pre_stop_hook_keeps_an_idle_pod_but_sends_it_nothing() -> None:
    workload = Workload(termination=Termination(grace_period_seconds=30.0, pre_stop_seconds=10.0))
    each = fleet(arrivals=[5.0, 20_000.0], workload=workload)
    each.advance(2.0)
    each.scale(0)
    each.advance(11.0)
    pod = each.pods[0]
    assert each.existing() == [pod]
    assert each.pod_list()[0].deleting
    assert each.gateway_queue == 1
    each.advance(14.0)
    assert pod.ended == 12.0
    assert each.gpu_seconds(pod, 1e6) == 12.0


def test_a_pod_that_is_pending_or_loading_when_it_is_not_wanted_any_more_is_gone_at_once() -> None:
    workload = Workload(termination=Termination(grace_period_seconds=30.0))
    each = fleet(workload=workload, initial_replicas=0)
    each.scale(1)
    each.advance(50.0)
    each.scale(0)
    assert each.pods[0].ended == 50.0
    each.scale(1)
    each.advance(180.0)
    each.scale(0)
    assert each.pods[1].ended == 180.0
