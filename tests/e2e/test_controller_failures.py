"""What the controller stands on fails: its leader, the API server, its file. It goes on, and says what was wrong.

Two replicas, as shipped, with the shipped times of the Lease.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from autoscaler_watch import AutoscalerWatch
from child_processes import Process
from controller_in_cluster import Controller, autoscaler
from controller_page import ControllerPage, answer, wait_page
from controller_writes import AUDITED_WRITES, scaled_to, token_id, writes
from lease_watch import LeaseWatch
from pod_process import PodProcess
from rising_demand import rising_demand
from scenario import Scenario, World, example_hpa, start_world

pytestmark = [pytest.mark.e2e, pytest.mark.controller]

RATE = 30.0
"""Requests/s of 200 and 100 tokens: more than one replica of the example's profile serves within its SLO."""
TAKEOVER_SECONDS = 15.0
API_AWAY_SECONDS = 120.0
FLUSH_SECONDS = 1
STORE = Path("store") / "leadtime.sqlite"
GARBAGE = b"this was a database" * 10_000


@pytest.fixture(scope="module")
def world(start_control_plane: Callable[..., Any]) -> Iterator[World]:
    yield from start_world(start_control_plane, flags=AUDITED_WRITES)


@pytest.fixture(scope="module")
def controller(world: World) -> Iterator[Controller]:
    """With the rights of all modes; its file is written every second instead of every 10."""
    store = {"path": f"/var/lib/leadtime/{STORE.name}", "flushSeconds": FLUSH_SECONDS}
    with Controller(world.plane, "base", "overlays/direct", "overlays/floor", settings={"store": store}) as controller:
        for replica in [controller.start_replica(), controller.start_replica()]:
            replica.wait_ready(timeout_seconds=60.0)
        yield controller


def directs(scene: Scenario, rate: float = RATE, **spec: Any) -> AutoscalerWatch:
    """A workload under this load, with a PredictiveAutoscaler in mode Direct."""
    scene.runs("vllm")
    scene.simulates()
    scene.demands(rate)
    scene.world.plane.api.apply(autoscaler(scene.namespace, mode="Direct", **spec))
    return AutoscalerWatch(scene.world.plane, scene.namespace, "vllm")


def test_the_leader_is_killed_in_a_ramp(
    world: World, controller: Controller, record_property: Callable[[str, object], None]
) -> None:
    """The other replica leads within 15 s and goes on with the ramp: each change is one leader's, none is undone."""
    with world.scenario("takeover") as scene, LeaseWatch(world.plane, controller.namespace) as lease:
        seen = directs(scene, 6.0)
        with rising_demand(scene, 6.0, 90.0, seconds=60.0):
            ready_since = _since(seen.wait(lambda replicas, status: _since(status) and replicas >= 2, "2 and Ready"))
            leader = controller.leading()
            holder = ControllerPage.of(leader).identity
            at_kill, _ = seen.look()
            killed = time.monotonic()
            os.kill(leader.process.pid, signal.SIGKILL)
            controller.kill(leader)  # and its pod with it
            taken_over, successor = lease.wait_other(holder)
            seen.wait_replicas(at_kill + 2, seconds=60.0)
        took = taken_over - killed
        other = controller.leading()
        assert ControllerPage.of(other).identity == successor
        old, new = token_id(leader), token_id(other)
        writers = [write.token_id for write in writes(world.plane, scene.namespace)]
        assert writers == sorted(writers, key=[old, new].index), "the new leader wrote before the old one had ended"
        assert set(writers) == {old, new}
        asked = scaled_to(world.plane, scene.namespace)
        assert asked == sorted(set(asked)), f"a change was made twice, or undone: {asked}"
        assert seen.replica_path == sorted(seen.replica_path), seen.table()
        assert _since(seen.status) == ready_since, f"the successor's status starts anew\n{seen.table()}"
        assert took < TAKEOVER_SECONDS, lease.seen
        record_property("the controller's leader is killed", f"the Lease was another's after {took:.1f} s")
    controller.start_replica().wait_ready(timeout_seconds=60.0)


def test_the_api_server_hangs(
    world: World, controller: Controller, record_property: Callable[[str, object], None]
) -> None:
    """Nobody writes or dies; when it answers again one of the two leads, and nothing is scaled down for not knowing."""
    with world.scenario("api-away") as scene:
        seen = directs(scene)  # with an HPA's window: the load's own ups and downs are not what is looked at
        seen.wait(lambda replicas, status: status.get("readyReplicas") == replicas >= 2, "2 or more, all ready")
        replicas = _running(controller)
        pages: list[ControllerPage] = []
        with hanging(world.plane.processes.running, "kube-apiserver"):
            ends = time.monotonic() + API_AWAY_SECONDS
            while time.monotonic() < ends:
                assert [answer(replica, "/livez") for replica in replicas] == ["ok\n"] * 2
                pages = [ControllerPage.of(replica) for replica in replicas]
                time.sleep(0.5)
        back = time.monotonic()
        assert not any(page.leads for page in pages), "nobody may write without a Lease that is renewed"
        assert all(page.faults for page in pages), f"nothing was said: {pages}"
        controller.leading()
        record_property(
            "the API server hangs", f"{API_AWAY_SECONDS:g} s; led again {time.monotonic() - back:.1f} s later"
        )
        seen.wait(lambda _, status: _condition(status, "Ready") == "True", "Ready")
        for replica in replicas:
            wait_page(replica, lambda page: not page.faults, "without faults")
        seen.never_fewer(10.0)
        scene.demands(RATE * 2)
        seen.wait_replicas(seen.look()[0] + 1)
        assert seen.replica_path == sorted(seen.replica_path), seen.table()
        asked = scaled_to(world.plane, scene.namespace)
        assert asked == sorted(set(asked)), asked
        assert all(replica.process.popen.poll() is None and not replica.prober.unhealthy for replica in replicas)


def test_its_file_is_deleted(world: World, controller: Controller) -> None:
    """While it is open: another one has all of it, and what befell it is said."""
    with world.scenario("file-deleted") as scene:
        seen = directs(scene)
        seen.wait_replicas(2)
        replica = rolled(controller)
        rows = rows_of(replica)
        assert rows, "else nothing is shown"
        for file in (replica.folder / STORE).parent.iterdir():
            file.unlink()
        page = wait_page(replica, lambda page: page.says("was deleted while it was open"), "saying so")
        assert page.leads
        assert rows_of(replica) == rows
        goes_on(replica, scene)


def test_its_file_is_overwritten(world: World, controller: Controller) -> None:
    """While it is open, which the next start finds, and cut in half while it is not: decisions go on, and each time
    the file is kept aside and begun anew."""
    with world.scenario("file-overwritten") as scene:
        seen = directs(scene)
        seen.wait_replicas(2)
        replica = rolled(controller)
        file = replica.folder / STORE
        with file.open("r+b") as opened:  # the same file, as a broken disk would have it
            opened.write(GARBAGE)
        goes_on(replica, scene)
        assert replica.terminate() == 0
        begins_anew(replica)
        goes_on(replica, scene)
        assert replica.terminate() == 0  # it writes all that it saw since
        assert rows_of(replica)
        os.truncate(file, file.stat().st_size // 2)
        begins_anew(replica)
        goes_on(replica, scene)
        assert seen.replica_path == sorted(seen.replica_path), seen.table()


def test_a_floor_whose_object_is_deleted_while_nobody_watches(world: World, controller: Controller) -> None:
    """The next leader gives it back."""
    with world.scenario("orphaned-floor") as scene:
        scene.runs("vllm")
        scene.simulates()
        scene.demands(RATE)
        api = world.plane.api
        (hpa,) = api.apply(example_hpa("hpa-queue.yaml", scene.namespace, "vllm"))
        api.apply(autoscaler(scene.namespace, mode="Floor"))
        path = api.path_of(hpa)
        before = hpa["spec"]["minReplicas"]
        api.wait(path, lambda found: found["spec"]["minReplicas"] > before)
        for replica in _running(controller):
            replica.terminate()
        api.delete(AutoscalerWatch(world.plane, scene.namespace, "vllm").path)
        for replica in controller.replicas:
            if replica.process.popen.poll() == 0:
                replica.start()
                replica.wait_ready(timeout_seconds=60.0)
        controller.leading()
        api.wait(path, lambda found: found["spec"]["minReplicas"] == before)


def begins_anew(replica: PodProcess) -> None:
    """Started, it says that its file was damaged and where it was kept, and has an empty one."""
    file = replica.folder / STORE
    replica.start()
    replica.wait_ready(timeout_seconds=60.0)
    page = wait_page(replica, lambda page: page.says("begun anew"), "saying so")
    told = " ".join(page.faults)
    newest = max(_kept(file), key=lambda one: one.stat().st_ctime_ns)
    assert file.name in told
    assert newest.name in told
    assert rows_of(replica) == {}


def rolled(controller: Controller) -> PodProcess:
    """Each replica ended and started again, so that its file has what it saw; the one that leads then."""
    for replica in _running(controller):
        assert replica.terminate() == 0
        replica.start()
        replica.wait_ready(timeout_seconds=60.0)
    return controller.leading()


def goes_on(replica: PodProcess, scene: Scenario) -> None:
    """This replica decides about the object, from what it measures from now on."""
    since = time.time()
    wait_page(replica, lambda page: page.known_at.get((scene.namespace, "vllm"), 0.0) > since, "a step from now on")


def rows_of(replica: PodProcess) -> dict[str, int]:
    """How much the replica's file has, by table; read as another process, while the replica may have it open."""
    with sqlite3.connect(f"file:{replica.folder / STORE}?mode=ro", uri=True) as database:
        assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        counts = {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - of the line below
            for table in ("workload", "lead_time", "load_hour")
        }
    database.close()
    return {table: count for table, count in counts.items() if count}


def _kept(file: Path) -> list[Path]:
    """Damaged ones, beside it."""
    return [one for one in file.parent.glob(f"{file.name}.corrupt-*") if not one.name.endswith(("-wal", "-shm"))]


@contextmanager
def hanging(running: tuple[Process, ...], name: str) -> Iterator[None]:
    """This program takes connections, and answers nothing until the end of the block."""
    (process,) = (one for one in running if one.name == name)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def _running(controller: Controller) -> list[PodProcess]:
    return [replica for replica in controller.replicas if replica.process.popen.poll() is None]


def _condition(status: dict[str, Any], kind: str) -> str:
    return next((one["status"] for one in status.get("conditions", ()) if one["type"] == kind), "")


def _since(status: dict[str, Any]) -> str:
    """Since when it is Ready; "" while it is not."""
    return next(
        (
            one["lastTransitionTime"]
            for one in status.get("conditions", ())
            if one["type"] == "Ready" and one["status"] == "True"
        ),
        "",
    )
