"""Staged starts in a fleet: what the API server shows, when the router may use a pod, crash loops and their cure."""

from dataclasses import replace
from typing import Any

import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from simulations.cluster.node_pool import NodePool
from simulations.cluster.spot import Spot
from simulations.fleet import Fleet
from simulations.lead_time import Stage
from simulations.scenario import Disaggregation, Failures, Scenario
from simulations.start.model_load import KeptBy
from simulations.start.presets import NIM_L4
from simulations.start.probes import Probe, Probes
from simulations.start.staged_start import StagedStart

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]


def exactly(seconds: float) -> Stage:
    return Stage(seconds, 0.0)


POOL = NodePool(name="l4", gpus_per_node=1, gpu="NVIDIA-L4", max_nodes=4, provision=exactly(95.0))
START = StagedStart(
    volume=exactly(4.0),
    pull=exactly(11.0),
    container=exactly(1.0),
    download=exactly(60.0),
    kept_by=KeptBy.NODE,
    read=exactly(40.0),
    warm_up=exactly(7.0),
    probes=Probes(readiness=Probe(period_seconds=10)),
)
"""111 s to running containers on a new node, then 107 s, and Ready at the tick of 110."""


def fleet(*, start: StagedStart = START, initial_replicas: int = 0, **fields: Any) -> Fleet:
    return Fleet(
        Scenario(
            trace=trace_of(fields.pop("arrivals", [5_000.0]), 100, 50),
            profile=PROFILE,
            nodes=fields.pop("nodes", POOL),
            start=start,
            initial_replicas=initial_replicas,
            **fields,
        )
    )


def shown(each: Fleet, seconds: list[float]) -> list[tuple[str, str]]:
    """(phase, Ready) of the youngest pod at each of these instants."""
    seen: list[tuple[str, str]] = []
    for second in seconds:
        each.advance(second)
        pod = each.pod_list()[-1]
        seen.append((pod.phase, str(pod.ready)))
    return seen


def test_ready_waits_for_the_readiness_probes_tick() -> None:
    each = fleet()
    each.scale(1)
    assert shown(each, [0.0, 110.9, 111.0, 218.0, 220.9, 221.0]) == [
        ("Pending", "False"),
        ("Pending", "False"),
        ("Running", "False"),
        ("Running", "False"),  # the server is up, and nobody has asked it yet
        ("Running", "False"),
        ("Running", "True"),
    ]
    assert each.pods[0].first_ready_at == 221.0


def test_the_second_pod_on_a_node_finds_image_and_model_there() -> None:
    each = fleet()
    each.scale(1)
    each.advance(300.0)
    each.scale(0)
    each.advance(310.0)
    each.scale(1)
    assert each.pods[1].starts == 315.0, "volume and container only: the node is still there"
    each.advance(1_000.0)
    assert each.pods[1].first_ready_at == 365.0, "40 + 7 s of load without the download, at the tick of 50"


def test_pods_that_ran_at_the_start_left_their_model_on_the_node() -> None:
    each = fleet(initial_replicas=1)
    each.scale(0)
    each.advance(10.0)
    each.scale(1)
    each.advance(100.0)
    assert each.pods[1].first_ready_at == 65.0


def test_a_crash_loop_shows_a_running_pod_that_is_never_ready_and_costs_all_the_same() -> None:
    """No startupProbe: liveness gives the container 30 to 40 s, the load takes 107."""
    probes = Probes(readiness=Probe(), liveness=Probe(initial_delay_seconds=15, period_seconds=10, failure_threshold=3))
    each = fleet(start=replace(START, kept_by=KeptBy.CONTAINER, probes=probes), arrivals=[50.0])
    each.scale(1)
    assert shown(each, [111.0, 400.0, 3_000.0]) == [("Running", "False")] * 3
    pod = each.pods[0]
    assert pod.restarts >= 10
    assert [round(ended - 111.0) for ended in pod.ends[:4]] == [38, 78, 128, 188], "then 10, 20, 40 s in between"
    assert pod.first_ready_at is None
    assert each.gateway_queue == 1
    assert each.gpu_seconds(pod, 3_000.0) == 3_000.0
    cured = fleet(start=replace(START, probes=replace(probes, startup=Probe(failure_threshold=60))), arrivals=[50.0])
    cured.scale(1)
    cured.advance(3_000.0)
    assert cured.pods[0].restarts == 0
    assert cured.pods[0].first_ready_at == 219.0, "up at 218, the startup probe's grid begins at 99"
    assert cured.finished


def test_a_pod_in_its_back_off_stays_running_and_may_be_deleted() -> None:
    probes = Probes(liveness=Probe(initial_delay_seconds=15, period_seconds=10, failure_threshold=3))
    each = fleet(start=replace(START, kept_by=KeptBy.CONTAINER, probes=probes))
    each.scale(1)
    waiting = 111.0 + 78.0 + 5.0  # 5 s into its first back-off of 10 s
    assert shown(each, [waiting]) == [("Running", "False")]
    assert each.pods[0].starts > waiting
    each.scale(0)
    each.advance(waiting + 1.0)
    assert not each.existing()
    assert each.pods[0].ended == waiting


def test_a_server_that_crashes_again_and_again_waits_longer_each_time() -> None:
    """With a LeadTime its container is started again at once; here the kubelet's back-off comes in between."""
    each = fleet(initial_replicas=1, failures=Failures(mtbf_seconds=20.0), seed=5)
    each.advance(3_000.0)
    pod = each.pods[0]
    assert pod.restarts >= 5
    assert pod.first_ready_at == 0.0
    assert each.serving() or pod.starts - pod.ends[-1] >= 40.0


def test_crash_loops_end_at_the_same_instants_however_time_is_advanced() -> None:
    probes = Probes(liveness=Probe(initial_delay_seconds=15, period_seconds=10, failure_threshold=3))
    start = replace(START, kept_by=KeptBy.CONTAINER, probes=probes)
    leap, walk = fleet(start=start), fleet(start=start)
    leap.scale(2)
    walk.scale(2)
    for second in range(0, 1_500, 7):
        walk.advance(float(second))
    walk.advance(1_500.0)
    leap.advance(1_500.0)
    assert [pod.ends for pod in leap.pods] == [pod.ends for pod in walk.pods]
    assert all(pod.ends for pod in leap.pods)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_nim_preset_runs_in_a_fleet(seed: int) -> None:
    """Two replicas from nothing on two nodes: both serve within 3 + 5 to 5 + 10 minutes, and a few probes' periods."""
    each = fleet(start=NIM_L4.start, nodes=NIM_L4.pool, seed=seed)
    each.scale(3)
    each.advance(1_200.0)
    ready = [pod.first_ready_at for pod in each.pods if pod.first_ready_at is not None]
    assert len(ready) == 2, "max_nodes is 2"
    assert all(8 * 60.0 <= at <= 15 * 60.0 + 30.0 for at in ready)
    assert len(each.cluster.pending) == 1


def test_pods_that_find_no_room_go_to_the_fallback_pool() -> None:
    """One node each; the start is checked against the slower pool, and takes as long as its node does."""
    slow = replace(POOL, name="other", provision=exactly(200.0), max_nodes=1)
    each = fleet(nodes=replace(POOL, max_nodes=1), fallback_pools=(slow,))
    each.scale(2)
    each.advance(600.0)
    assert sorted(pod.placed_at for pod in each.pods) == [95.0, 200.0]
    assert all(pod.first_ready_at is not None for pod in each.pods)


def test_an_evicted_prefill_pod_is_replaced_by_one_of_its_kind() -> None:
    """Disaggregated: the prefill servers are no replicas, but a spot node that leaves takes one just the same."""
    spot = replace(POOL, spot=Spot(preemptions_per_node_hour=2.0), max_nodes=8)
    split = Disaggregation(prefill_replicas=2, transfer_bytes_per_second=1e10)
    arrivals = [float(second) for second in range(0, 7_000, 5)]
    each = fleet(nodes=spot, disaggregation=split, initial_replicas=1, arrivals=arrivals, seed=2)
    each.advance(8_000.0)
    lost = [pod for pod in each.prefill_pods if pod.leaving]
    assert lost
    assert sum(pod.is_wanted for pod in each.prefill_pods) == 2
    assert each.finished
    assert {pod.revision for pod in each.prefill_pods} == {"1"}
