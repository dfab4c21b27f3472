"""The stock HPA scales on every metric of the guides, by the examples of manifests/ as they are."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from control_plane import ControlPlane
from exporter_script import by_age, per_second, shared
from gpu_cluster import NEVER_SECONDS, service
from hpa_watch import Moment
from played_together import PlayedTogether
from scenario import FLAGS, SYNC_SECONDS, Scenario, World, start_world
from sync_alterations import ALTERATIONS, altered
from sync_join import recorded_hpas
from sync_record import RecordedHpa
from sync_recorder import SyncRecorder, recorded
from sync_replay import compare
from sync_vectors import write_vectors

pytestmark = pytest.mark.e2e

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
DCGM_UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"  # percent
GUIDE_BATCH_SIZES = (0, 13, 17, 12, 17, 14, 17, 10)
RECORDING = "LEADTIME_E2E_RECORDING"  # a file to write the recorded syncs to, as golden vectors
MOST_UNMATCHED = 0.02  # of the syncs
DOWN_AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}


@pytest.fixture(scope="module")
def recorder(start_control_plane: Callable[..., ControlPlane]) -> Iterator[SyncRecorder]:
    """Records what the HPA controller sees and decides in all scenarios of this module."""
    with (
        contextmanager(start_world)(start_control_plane, flags=recorded(FLAGS)) as world,
        SyncRecorder(world) as recorder,
    ):
        yield recorder


@pytest.fixture(scope="module")
def world(recorder: SyncRecorder) -> World:
    """The one that is recorded."""
    return recorder.world


def test_the_guides_batch_size_run(scene: Scenario) -> None:
    """13 running requests at a target of 10 ask for 2 replicas; the second waits for a node and counts as 0.

    So 17 on the first pod are 8.5 a pod, which asks for nothing more, and 10 for nothing less.
    """
    scene.runs("vllm", pull_seconds=NEVER_SECONDS)
    hpa = scene.autoscales("hpa-batch-size.yaml")
    for running in GUIDE_BATCH_SIZES:
        scene.shows({RUNNING: by_age(running)})
        hpa.wait_value(RUNNING, running)
        hpa.wait_replicas(1 if running == 0 else 2, ready=False)
    hpa.holds(2)
    assert hpa.replica_path == [1, 2], hpa.table()
    assert hpa.now.pods == {"Ready": 1, "Pending": 1}
    assert hpa.now.desired == 2
    assert hpa.now.condition("ScalingLimited") == ("False", "DesiredWithinRange")
    assert hpa.stayed_active, hpa.table()


def test_queue_size(scene: Scenario) -> None:
    """12 waiting requests at a target of 5 are 3 pods, 40 the most that are allowed, 4 are one."""
    scene.runs("vllm")
    hpa = scene.autoscales("hpa-queue.yaml", behavior=DOWN_AT_ONCE)
    scene.shows({WAITING: shared(12)})
    hpa.wait_replicas(3)
    scene.shows({WAITING: shared(40)})
    hpa.wait_replicas(5)
    hpa.wait_condition("ScalingLimited", "True", "TooManyReplicas")
    scene.shows({WAITING: shared(4)})
    hpa.wait_replicas(1)
    assert hpa.replica_path == [1, 3, 5, 1], hpa.table()
    assert hpa.stayed_active, hpa.table()


@pytest.mark.parametrize("example", ["duty-cycle", "duty-cycle-pods", "dcgm", "dcgm-external"])
def test_gpu_utilization_under_each_of_its_names(scene: Scenario, example: str) -> None:
    """90 % on one GPU at a target of 60 % are 2 pods, 200 % in all are 4: by GKE's name or DCGM's, Pods or External."""
    scene.runs("vllm")
    hpa = scene.autoscales(f"hpa-{example}.yaml")
    scene.shows({DCGM_UTILIZATION: shared(90)})
    hpa.wait_replicas(2)
    scene.shows({DCGM_UTILIZATION: shared(200)})
    hpa.wait_replicas(4)
    hpa.holds(4)
    assert hpa.replica_path == [1, 2, 4], hpa.table()


def test_torchserve_scales_on_cpu_or_on_requests_whichever_asks_for_more(scene: Scenario) -> None:
    """1.8 CPUs of pods that ask for 1 each are 3 pods at 70 %; 480 requests/s are 5 pods at 100 each."""
    scene.runs("torchserve")
    scene.uses_cpu(shared(1800))
    scene.shows({"ts_inference_requests_total": per_second(shared(10))})
    hpa = scene.autoscales("hpa-torchserve.yaml")
    assert hpa.wait_replicas(3).value("cpu") is not None
    scene.uses_cpu(shared(300))
    scene.shows({"ts_inference_requests_total": per_second(shared(480))})
    hpa.wait_replicas(5)
    hpa.wait_value("torchserve_requests_per_second", 96, within=6)
    hpa.wait_value("cpu", 6)


def test_triton_queue_duration_falls_as_replicas_come(scene: Scenario) -> None:
    """Requests wait for more than 50 ms each on one server, so there are more, and they wait no longer."""

    def queue_us(moment: Moment) -> float:
        return moment.value("avg_time_queue_us") or 0.0

    scene.runs("triton", load_seconds=3)
    scene.simulates(time_factor=3)
    hpa = scene.autoscales("hpa-triton.yaml")
    scene.demands(6.0, prompt_tokens=1500, output_tokens=2)
    hpa.wait(lambda moment: queue_us(moment) > 50_000, "above the target", timeout_seconds=60)
    hpa.wait(lambda moment: moment.ready >= 3, "at three pods", timeout_seconds=60)
    after = hpa.wait(lambda moment: queue_us(moment) < 50_000, "below the target", timeout_seconds=60)
    assert after.replicas == max(hpa.replica_path), hpa.table()


def test_nim_requests_per_second_on_a_stateful_set(scene: Scenario) -> None:
    """7.8 requests/s at a target of 2 are 4 pods."""
    scene.runs("nim", "nim-llm", kind="StatefulSet")
    hpa = scene.autoscales("hpa-nim.yaml")
    scene.shows({"request_success_total": per_second(shared(7.8))})
    hpa.wait_replicas(4, timeout_seconds=60)
    hpa.wait_value("nim_requests_per_second", 1.95, within=0.1)
    hpa.holds(4)


def test_from_zero_and_to_zero_on_an_external_metric(scene: Scenario) -> None:
    """No pods without prompts; 25 prompts at a target of 10 bring 3 pods out of nothing."""
    scene.runs("broker")
    scene.runs("vllm", "workers")
    scene.shows({"rabbitmq_queue_messages_ready": 0}, app="broker")
    hpa = scene.autoscales("scale-to-zero/hpa.yaml", metric="prompts_waiting", behavior=DOWN_AT_ONCE)
    hpa.wait_replicas(0)
    hpa.wait_condition("ScaledToZero", "True", "ScaledToZero")
    hpa.holds(0)
    scene.shows({"rabbitmq_queue_messages_ready": 25}, app="broker")
    hpa.wait_replicas(3)
    hpa.wait_condition("ScaledToZero", "False", "NotScaledToZero")
    hpa.wait_condition("ScalingActive", "True", "ValidMetricFound")
    scene.shows({"rabbitmq_queue_messages_ready": 0}, app="broker")
    hpa.wait_replicas(0)
    assert hpa.replica_path == [1, 0, 3, 0], hpa.table()


def test_a_services_queue_as_an_object_beside_a_bound_on_the_whole(scene: Scenario) -> None:
    """15 waiting behind a Service are 3 pods at 5 each; that they are fewer than 20 in all asks for less and loses."""
    scene.runs("vllm")
    scene.world.plane.api.apply(service(scene.namespace, "vllm", "vllm"))
    whole = {"name": WAITING, "selector": {"matchLabels": {"app": "vllm"}}}
    behind = {"apiVersion": "v1", "kind": "Service", "name": "vllm"}
    each = {"type": "AverageValue", "averageValue": "5"}
    metrics = [
        {"type": "Object", "object": {"metric": {"name": WAITING}, "describedObject": behind, "target": each}},
        {"type": "External", "external": {"metric": whole, "target": {"type": "Value", "value": "20"}}},
    ]
    scene.shows({WAITING: shared(15)})
    hpa = scene.autoscales("hpa-queue.yaml", behavior=DOWN_AT_ONCE, metrics=metrics)
    hpa.wait_replicas(3)
    scene.shows({WAITING: shared(24)})  # 1.2 times the bound, by 3 pods: 4, where 24 at 5 each are 5
    hpa.wait_replicas(5)
    scene.shows({WAITING: shared(4)})
    hpa.wait_replicas(1)
    assert hpa.replica_path[:2] == [1, 3], hpa.table()  # to 5 by way of 4, if a new pod's page is not read yet


def test_scale_down_waits_for_its_window_and_scale_up_does_not(scene: Scenario) -> None:
    """The defaults of 300 s down and 0 s up, with a window of 12 s."""
    window_seconds = 12
    scene.runs("vllm")
    hpa = scene.autoscales("hpa-queue.yaml", behavior={"scaleDown": {"stabilizationWindowSeconds": window_seconds}})
    scene.shows({WAITING: shared(15)})
    hpa.wait_replicas(3)
    scene.shows({WAITING: shared(4)})
    hpa.wait_condition("AbleToScale", "True", "ScaleDownStabilized")
    down = hpa.wait_replicas(1)
    last_ask = max(one.at_seconds for one in hpa.timeline if one.proposed == 3)
    assert window_seconds - SYNC_SECONDS <= down.at_seconds - last_ask <= window_seconds + 3 * SYNC_SECONDS, hpa.table()
    assert hpa.replica_path == [1, 3, 1], hpa.table()


def test_policies_limit_the_steps_up_by_pods_and_down_by_percent(scene: Scenario) -> None:
    """One pod per 4 s up, half of the pods per 4 s down."""
    period_seconds = 4
    behavior = {
        "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": period_seconds}]},
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": period_seconds}],
        },
    }
    scene.runs("vllm")
    hpa = scene.autoscales("hpa-queue.yaml", behavior=behavior, maxReplicas=4)
    scene.shows({WAITING: shared(20)})
    hpa.wait_condition("ScalingLimited", "True", "ScaleUpLimit")
    hpa.wait_replicas(4)
    hpa.holds(4, syncs=period_seconds // SYNC_SECONDS + 1)  # a pod added within the period would be taken off the base
    scene.shows({WAITING: shared(0)})
    hpa.wait_condition("ScalingLimited", "True", "ScaleDownLimit")
    hpa.wait_replicas(1)
    assert hpa.replica_path == [1, 2, 3, 4, 2, 1], hpa.table()
    at = [moment.at_seconds for moment in hpa.rescales()]
    for earlier, later in (*pairwise(at[1:4]), *pairwise(at[4:])):
        assert later - earlier >= period_seconds - 0.5, hpa.table()


def test_within_the_tolerance_nothing_changes(scene: Scenario) -> None:
    """1.08 times the target is within the default tolerance of 0.1, 1.3 within one of 0.5; 1.2 and 1.6 are not."""
    scene.runs("vllm", "strict")
    scene.runs("vllm", "lenient")
    strict = scene.autoscales("hpa-queue.yaml", target="strict")
    lenient = scene.autoscales(
        "hpa-queue-stackdriver-name.yaml", target="lenient", behavior={"scaleUp": {"tolerance": "500m"}}
    )
    scene.shows({WAITING: 5.4}, app="strict")
    scene.shows({WAITING: 6.5}, app="lenient")
    strict.wait_value(WAITING, 5.4)
    lenient.wait_value(f"prometheus.googleapis.com|{WAITING}|gauge", 6.5)
    strict.holds(1)
    lenient.holds(1)
    scene.shows({WAITING: by_age(6)}, app="strict")
    scene.shows({WAITING: by_age(8)}, app="lenient")
    strict.wait_replicas(2)
    lenient.wait_replicas(2)


def test_pods_that_load_neither_freeze_the_hpa_nor_inflate_it(scene: Scenario) -> None:
    """A pod that loads its model has no value: the others' still counts, and no second pod comes for the same load."""
    scene.runs("vllm", load_seconds=300)
    hpa = scene.autoscales("hpa-queue.yaml", maxReplicas=8)
    scene.shows({WAITING: by_age(8)})  # 1.6 times the target
    hpa.wait(lambda moment: moment.pods == {"Ready": 1, "Loading": 1}, "loading")
    hpa.holds(2)
    scene.shows({WAITING: by_age(19)})  # 3.8 times: the HPA sees it, although a pod has no value
    hpa.wait(lambda moment: moment.pods == {"Ready": 1, "Loading": 3}, "loading")
    hpa.holds(4)
    scene.shows({WAITING: shared(19)})
    scene.loads_at_once()
    hpa.wait_replicas(4)
    hpa.wait_value(WAITING, 4.75)
    hpa.holds(4)
    assert hpa.replica_path == [1, 2, 4], hpa.table()
    assert hpa.stayed_active, hpa.table()


def test_a_simulated_fleet_follows_the_hpa(scene: Scenario) -> None:
    """Demand rises, the batch size with it, then the replicas, then the batch size falls; and back."""
    scene.runs("vllm", load_seconds=3)
    scene.simulates(time_factor=5)
    hpa = scene.autoscales("hpa-batch-size.yaml", behavior=DOWN_AT_ONCE)
    scene.demands(9.0)
    hpa.wait(lambda moment: (moment.value(RUNNING) or 0) > 11, "above the target")
    hpa.wait(lambda moment: moment.ready >= 3, "at three pods", timeout_seconds=60)
    hpa.wait(lambda moment: 5 <= (moment.value(RUNNING) or 0) <= 11, "at its target")
    scene.demands(0.5)
    hpa.wait_replicas(1, timeout_seconds=60)


@pytest.fixture(scope="module")
def hpas(recorder: SyncRecorder, played_together: PlayedTogether) -> list[RecordedHpa]:
    """Every sync of the scenarios above."""
    if not played_together.results:
        pytest.skip("no scenario of this module was selected")
    played_together.wait()
    found = recorded_hpas(recorder.recording())
    if path := os.environ.get(RECORDING):
        write_vectors(found, Path(path))
    return found


def test_policies_hpa_decides_as_the_real_one_did_at_every_sync(
    hpas: list[RecordedHpa], record_property: Callable[[str, object], None]
) -> None:
    """Fed with what the controller saw, it proposes, writes and reports the same, from each HPA's first sync on."""
    found = compare(hpas)
    record_property("policies.hpa beside the real HPA", str(found))
    assert not found.mismatches, f"{found}; the first:\n{found.mismatches[0]}"
    assert len(found.lost) < MOST_UNMATCHED * found.syncs, f"{found}; {found.lost}"
    assert found.resolved < MOST_UNMATCHED * found.syncs, found


@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_the_controller_did_not_see_does_not_match(hpas: list[RecordedHpa], what: str) -> None:
    """The comparison above can fail: by values 30 % higher, a replica more, pods that are not there, ..."""
    assert compare(altered(hpa, what) for hpa in hpas).mismatches


def test_the_documentations_example_is_one_of_these() -> None:
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n.*?^(def test_.*?)```", page, re.DOTALL | re.MULTILINE)
    assert len(example.splitlines()) < 20
    assert f"\n{example}\n" in Path(__file__).read_text(encoding="utf-8")
