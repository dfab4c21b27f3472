"""200 HPAs that are synced every 5 s, on two replicas of the adapter, of which one is killed."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from control_plane import Flags
from hpa_fleet import KINDS, HpaFleet
from pod_process import PodProcess
from scenario import World, start_world
from sync_window import Figures, SyncWindow

pytestmark = pytest.mark.e2e

NAMESPACES = 20
HPAS = NAMESPACES * len(KINDS)
NODES = 36  # of 8 GPUs each, of which up to 240 are needed at rest
SYNC_SECONDS = 5
FLAGS: Flags = {
    "kube-controller-manager": [
        f"--horizontal-pod-autoscaler-sync-period={SYNC_SECONDS}s",
        # A sync reads the target's scale, and each client of the controller is limited to 20 requests/s by default:
        # 200 HPAs would be synced every 10 s. 5 workers, the default, are enough while a sync takes less than 125 ms.
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        "--concurrent-horizontal-pod-autoscaler-syncs=10",
        "--vmodule=horizontal=4",  # sync_log.py
    ],
}

STEADY_SECONDS, WINDOW_SECONDS = 120.0, 180.0
LEAST_SYNCS = 30  # of each HPA, of 36
SLOWEST_SECONDS = 360.0  # for them: 5 workers would need more if an answer took 0.3 s
OLDEST_SECONDS = 10.0  # two collections of 2 s, 1 s for timestamps in whole seconds, and a busy machine
SYNC_TIMEOUT_SECONDS = 60.0  # for every HPA to be synced once
POLL_SECONDS = 0.02
SETTLING_SECONDS = 0.2  # for connections that were being made when the endpoint went
UNABLE = "the server is currently unable to handle the request"  # what client-go makes of 503


@pytest.fixture(scope="module")
def world(start_control_plane: Callable[..., Any]) -> Iterator[World]:
    """In place of the one that scenarios are played in."""
    yield from start_world(start_control_plane, flags=FLAGS, nodes=NODES)


@pytest.fixture(scope="module")
def fleet(world: World) -> Iterator[HpaFleet]:
    """All HPAs at work, and two replicas of the adapter."""
    second = world.adapter.start_replica()
    fleet = HpaFleet(world, namespaces=NAMESPACES)
    second.wait_ready(timeout_seconds=60)
    yield fleet
    fleet.close()


def test_every_sync_of_200_hpas_is_answered_for_three_minutes_also_while_a_replica_is_killed(
    world: World, fleet: HpaFleet, record_property: Callable[[str, object], None]
) -> None:
    """With values that are fresh, while a tenth of the workloads at a time needs three pods and gets them.

    Two minutes are undisturbed. Then a replica is killed with its connections: the API server repeats on the other one
    what was under way. It comes back and takes part: when the other is killed in its turn, it answers for all.
    """
    window, kinds = SyncWindow(world, fleet), itertools.count()

    def play_on() -> None:
        fleet.keep_busy(next(kinds))
        window.wait_syncs(1, timeout_seconds=SYNC_TIMEOUT_SECONDS)
        assert window.seconds < SLOWEST_SECONDS, window.figures().table()

    while window.seconds < STEADY_SECONDS:
        play_on()
    steady = window.figures()
    record_property(f"{HPAS} HPAs, synced every {SYNC_SECONDS} s, two replicas of the adapter", steady.table())
    if path := os.environ.get("LEADTIME_E2E_FIGURES"):
        Path(path).write_text(json.dumps(asdict(steady), indent=2), encoding="utf-8")
    assert steady.clean, explained(steady)
    assert min(steady.scale_ups, steady.scale_downs) >= HPAS // 10, "the load was alive"
    assert steady.metric_age[-1] < OLDEST_SECONDS, steady.table()

    for victim in world.adapter.replicas:
        deadline = time.monotonic() + SYNC_TIMEOUT_SECONDS
        while not world.adapter.service.connections[victim.port]:
            assert time.monotonic() < deadline, "the API server keeps no connection to it: nothing would be shown"
            time.sleep(POLL_SECONDS)
        victim.prober.stop()  # no endpoint any more: new connections go to the other, those that are open stay in use
        time.sleep(SETTLING_SECONDS)
        victim.kill()
        play_on()
        start_again(victim)
    while window.seconds < WINDOW_SECONDS or window.fewest_syncs < LEAST_SYNCS:
        play_on()
    seen = window.figures()
    record_property("the same, with the minute in which each of them was killed", seen.table())
    assert seen.clean, explained(seen)
    assert seen.metric_age[-1] < OLDEST_SECONDS, seen.table()
    assert seen.syncs >= HPAS * LEAST_SYNCS


def test_while_the_service_still_leads_to_a_dead_replica_hpas_hold_and_recover(
    world: World, fleet: HpaFleet, record_property: Callable[[str, object], None]
) -> None:
    """The API server does not repeat a connection that is refused: such a sync fails, changes nothing, and the next
    one succeeds."""
    SyncWindow(world, fleet).wait_syncs(1, timeout_seconds=SYNC_TIMEOUT_SECONDS)  # the newest pods have values
    victim = world.adapter.replicas[0]
    window = SyncWindow(world, fleet)
    world.adapter.service.lingering = frozenset({victim.port})
    world.plane.processes.kill(victim.process)
    window.wait_syncs(1, timeout_seconds=SYNC_TIMEOUT_SECONDS)
    world.adapter.service.lingering = frozenset()
    window.wait_syncs(1, timeout_seconds=SYNC_TIMEOUT_SECONDS)
    seen = window.figures()
    text = f"{seen.failed_syncs} of {seen.syncs} syncs failed in {seen.seconds:.1f} s"
    record_property("a dead replica that is an endpoint still", text)
    assert all(UNABLE in one for one in seen.failures), explained(seen)
    assert (seen.scale_ups, seen.scale_downs) == (0, 0), explained(seen)

    after = SyncWindow(world, fleet)
    start_again(victim)
    after.wait_syncs(1, timeout_seconds=SYNC_TIMEOUT_SECONDS)
    recovered = after.figures()
    assert recovered.clean, explained(recovered)
    assert len(fleet.hpas.active) == HPAS
    assert fleet.hpas.desired_replicas == fleet.right_size


def start_again(replica: PodProcess) -> None:
    replica.kill()  # ends its probes
    replica.start()
    replica.wait_ready(timeout_seconds=60)


def explained(seen: Figures) -> str:
    return "\n".join((seen.table(), *seen.failures[:5]))
