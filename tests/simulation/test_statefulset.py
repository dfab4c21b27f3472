"""StatefulSets as their controller runs them: ordinals in order, volumes that are kept, zones that bind."""

from typing import Any

import pytest
from engine_runs import trace_of
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.profile import PROFILES
from policies.errors import BadInput
from simulations.cluster.node_pool import NodePool
from simulations.fleet import Fleet
from simulations.fleet.stateful_set import Changes, OrdinalState, next_changes
from simulations.lead_time import LeadTime, Stage
from simulations.scenario import Scenario, Termination, Workload
from simulations.start.model_load import KeptBy
from simulations.start.staged_start import StagedStart

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
EXACT = LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, warm_start_median_seconds=3.0, sigma=0.0)
ORDERED = Workload(kind="StatefulSet")

READY, LOADING, LEAVING = OrdinalState(True, False), OrdinalState(False, False), OrdinalState(True, True)


def fleet(workload: Workload = ORDERED, *, output_tokens: int = 50, **fields: Any) -> Fleet:
    arrivals = fields.pop("arrivals", [9_000.0])
    return Fleet(
        Scenario(
            trace=trace_of(arrivals, 100, output_tokens),
            profile=PROFILE,
            lead_time=EXACT,
            workload=workload,
            **{"initial_replicas": 0, **fields},
        )
    )


def ready_at(each: Fleet) -> list[float | None]:
    return [pod.first_ready_at for pod in each.pods]


@pytest.mark.parametrize(
    ("replicas", "pods", "is_ordered", "changes"),
    [
        pytest.param(3, {}, True, Changes(create=(0,)), id="one-at-a-time-from-0"),
        pytest.param(3, {}, False, Changes(create=(0, 1, 2)), id="parallel-creates-all"),
        pytest.param(3, {0: LOADING}, True, Changes(), id="the-next-waits-until-all-before-are-ready"),
        pytest.param(3, {0: READY, 2: READY}, True, Changes(create=(1,)), id="a-gap-is-filled-first"),
        pytest.param(3, {0: LEAVING, 1: READY}, True, Changes(), id="a-terminating-one-is-waited-for"),
        pytest.param(3, {0: LEAVING, 1: READY}, False, Changes(create=(2,)), id="parallel-does-not-wait-for-it"),
        pytest.param(1, {0: READY, 1: READY, 2: READY}, True, Changes(delete=(2,)), id="the-highest-leaves-first"),
        pytest.param(1, {0: READY, 1: READY, 2: LEAVING}, True, Changes(), id="and-only-one-at-a-time"),
        pytest.param(1, {0: READY, 1: READY, 2: READY}, False, Changes(delete=(2, 1)), id="parallel-deletes-all"),
        pytest.param(1, {0: LOADING, 1: READY}, True, Changes(), id="nothing-is-deleted-while-one-that-stays-loads"),
        pytest.param(1, {0: READY, 1: LOADING}, True, Changes(delete=(1,)), id="the-one-that-loads-may-go"),
        pytest.param(1, {0: READY, 1: LOADING, 2: LOADING}, True, Changes(), id="unless-a-lower-one-loads-too"),
        pytest.param(0, {}, True, Changes(), id="nothing-to-do"),
    ],
)
def test_one_sync_of_the_controller(
    replicas: int, pods: dict[int, OrdinalState], is_ordered: bool, changes: Changes
) -> None:
    """stateful_set_control.go, updateStatefulSet."""
    assert next_changes(replicas, pods, is_ordered=is_ordered) == changes


@given(
    replicas=st.integers(0, 6),
    ordinals=st.dictionaries(st.integers(0, 6), st.sampled_from([READY, LOADING, LEAVING])),
    is_ordered=st.booleans(),
)
def test_no_ordinal_is_made_twice_and_none_that_is_wanted_is_deleted(
    replicas: int, ordinals: dict[int, OrdinalState], is_ordered: bool
) -> None:
    changes = next_changes(replicas, ordinals, is_ordered=is_ordered)
    assert not set(changes.create) & set(ordinals)
    assert all(ordinal < replicas for ordinal in changes.create)
    assert all(ordinal >= replicas and not ordinals[ordinal].is_terminating for ordinal in changes.delete)
    assert not is_ordered or len(changes.create) + len(changes.delete) <= 1


def test_k_new_replicas_are_k_lead_times_one_after_the_other() -> None:
    each = fleet()
    each.scale(4)
    assert [pod.name for pod in each.pods] == ["vllm-0"]
    each.advance(1_000.0)
    assert ready_at(each) == [160.0, 320.0, 480.0, 640.0]
    assert [pod.created for pod in each.pods] == [0.0, 160.0, 320.0, 480.0]


def test_a_parallel_one_starts_them_together() -> None:
    each = fleet(Workload(kind="StatefulSet", pod_management_policy="Parallel"))
    each.scale(4)
    each.advance(1_000.0)
    assert ready_at(each) == [160.0] * 4


def test_the_highest_ordinal_leaves_first_and_the_next_waits_for_its_end() -> None:
    """The one of each pod's requests takes a while; only when it is answered is the next pod deleted."""
    each = fleet(initial_replicas=3, arrivals=[1.0, 1.1, 1.2, 9_000.0], output_tokens=2_000)
    each.advance(2.0)
    each.scale(1)
    assert [pod.deleted for pod in each.pods] == [None, None, 2.0]
    each.advance(600.0)
    first, second, third = each.pods
    assert third.ended is not None
    assert second.deleted is not None
    assert second.ended is not None
    assert third.ended <= second.deleted <= third.ended + 1.0, "noticed within a second"
    assert first.deleted is None
    assert [pod.name for pod in each.existing()] == ["vllm-0"]


def test_scaling_up_again_waits_for_the_pods_end_and_gives_it_the_same_name() -> None:
    each = fleet(initial_replicas=2, arrivals=[1.0, 1.1, 9_000.0], output_tokens=2_000)
    each.advance(2.0)
    each.scale(1)
    each.scale(2)
    assert len(each.existing()) == 2
    each.advance(600.0)
    old, new = each.pods[1:]
    assert (old.name, new.name) == ("vllm-1", "vllm-1")
    assert old.uid != new.uid
    assert old.ended is not None
    assert old.ended <= new.created <= old.ended + 1.0
    assert {pod.name for pod in each.pod_list()} == {"vllm-0", "vllm-1"}


def test_while_a_replica_that_stays_is_loading_nothing_is_scaled_down() -> None:
    each = fleet()
    each.scale(3)
    each.advance(400.0)  # 0 and 1 are Ready, 2 loads
    each.scale(1)
    assert not [pod for pod in each.existing() if pod.ordinal == 2], "the one that loads is not needed: it goes"
    assert [pod.ordinal for pod in each.existing()] == [0], "then 1, at once: it has nothing to answer"
    each = fleet()
    each.scale(2)
    each.advance(50.0)
    each.scale(0)
    assert not each.existing()


def volumes(**workload: Any) -> Fleet:
    start = StagedStart(
        pull=Stage(0.0, 0.0),
        container=Stage(10.0, 0.0),
        download=Stage(300.0, 0.0),
        kept_by=KeptBy.VOLUME,
        read=Stage(50.0, 0.0),
    )
    return fleet(Workload(kind="StatefulSet", **workload), start=start)


@pytest.mark.parametrize(
    ("workload", "loads"),
    [
        pytest.param({}, [350.0, 350.0, 50.0, 350.0], id="retained-a-returning-ordinal-has-the-model"),
        pytest.param({"retains_volumes": False}, [350.0, 350.0, 350.0, 350.0], id="deleted-it-downloads-again"),
        pytest.param({"has_volumes": False}, [350.0, 350.0, 350.0, 350.0], id="without-volumes"),
    ],
)
def test_a_new_ordinal_downloads_and_a_returning_one_has_its_model(
    workload: dict[str, Any], loads: list[float]
) -> None:
    each = volumes(**workload)
    each.scale(2)
    each.advance(1_000.0)
    each.scale(1)
    each.advance(1_100.0)
    each.scale(3)
    each.advance(3_000.0)
    assert [pod.ordinal for pod in each.pods] == [0, 1, 1, 2]
    assert [pod.load_seconds for pod in each.pods] == loads


def test_a_volume_binds_its_ordinal_to_the_zone_of_its_first_node() -> None:
    """Two zones with a node each; while the node of the ordinal's zone is taken, the free one elsewhere is no use."""
    pool = NodePool(name="l4", gpus_per_node=1, max_nodes=2, zones=("a", "b"), provision=Stage(100.0, 0.0))
    each = fleet(nodes=pool)
    each.scale(2)
    each.advance(1_000.0)
    zones = [placement.zone for pod in each.pods if (placement := each.cluster.pods[pod.uid].placement)]
    assert sorted(zones) == ["a", "b"]
    each.scale(1)
    each.advance(2_500.0)  # the idle node is gone
    each.scale(2)
    each.advance(3_500.0)
    back = each.cluster.pods[each.pods[2].uid].placement
    assert each.pods[2].name == "vllm-1"
    assert back is not None
    assert back.zone == zones[1]


def test_a_crash_holds_up_the_ordinals_after_it() -> None:
    """The controller looks at all before: while 0 is not Ready, 2 is not created."""
    each = fleet(initial_replicas=2)
    each.advance(10.0)
    each._crash(each.pods[0])
    each.scale(3)
    assert len(each.existing()) == 2
    each.advance(69.0)
    assert len(each.existing()) == 2
    each.advance(70.0)
    assert [pod.created for pod in each.pods] == [0.0, 0.0, 70.0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Workload(kind="DaemonSet"), "kind: was 'DaemonSet', must be Deployment or StatefulSet"),  # type: ignore[arg-type]
        (lambda: Termination(grace_period_seconds=-1.0), "terminationGracePeriodSeconds: was -1.0, must be 0 or more"),
        (
            lambda: Termination(grace_period_seconds=30.0, pre_stop_seconds=40.0),
            r"preStop.sleep.seconds: was 40.0, must be in \[0, 30\]",
        ),
    ],
)
def test_what_kubernetes_refuses_is_refused(build: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build()
