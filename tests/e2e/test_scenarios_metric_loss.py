"""A workload's pages fail: its HPA holds, says why, and goes on when they are back. No data is not no load."""

from collections.abc import Callable, Iterator

import pytest
from adapter_manifests import BASE
from adapter_overlay import overlay
from control_plane import ControlPlane
from exporter_process import Fault
from exporter_script import by_age, shared
from hpa_pair import IDLE, RISEN, SETTLED, WAITING, HpaPair, hold, lose_metrics, metric_of, recover, settle
from hpa_watch import SYNC_TIMEOUT_SECONDS, HpaWatch
from pod_view import APP_LABEL
from scenario import SYNC_SECONDS, Scenario, World, start_world

pytestmark = pytest.mark.e2e

NODES = 8  # with 8 GPUs each: 16 HPAs here, most of them with several pods
DOWN_AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}
KEPT_LONGEST = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "1"}}}

SHORT_LIVED = f"""
apiVersion: adapter.leadtime.dev/v1alpha1
kind: MetricRules
rules: # the built-in one lets a sample live for 60 s: four collections of 15 s, as these are of 2 s
- name: {WAITING}
  override: true
  latest: {{series: "{WAITING}"}}
  maxAgeSeconds: 8
"""


@pytest.fixture(scope="module")
def world(
    start_control_plane: Callable[..., ControlPlane], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Its samples are too old after 8 s."""
    base = overlay(BASE, tmp_path_factory.mktemp("adapter"), rules=SHORT_LIVED)
    yield from start_world(start_control_plane, nodes=NODES, base=base)


def test_a_window_that_ends_without_values(scene: Scenario) -> None:
    """The time of a scale-down comes while nobody knows the load: it is put off until somebody does."""
    window_seconds = 20
    scene.runs("vllm")
    scene.shows({WAITING: by_age(15)})
    hpa = scene.autoscales("hpa-queue.yaml", behavior={"scaleDown": {"stabilizationWindowSeconds": window_seconds}})
    hpa.wait_replicas(3)
    scene.shows({WAITING: 0})
    hpa.wait_condition("AbleToScale", "True", "ScaleDownStabilized")
    scene.fails("nan")
    hpa.wait_condition("ScalingActive", "False", "FailedGetPodsMetric")
    ended = max(one.at_seconds for one in hpa.timeline if one.proposed == 3) + window_seconds
    hpa.wait(lambda moment: moment.at_seconds > ended + 2 * SYNC_SECONDS, "past its window")
    assert hpa.replica_path == [1, 3], hpa.table()
    assert hpa.now.condition("ScalingActive") == ("False", "FailedGetPodsMetric"), hpa.table()
    scene.heals()
    hpa.wait_replicas(1)
    assert hpa.replica_path == [1, 3, 1], hpa.table()


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        pytest.param("refuse", "Pods", "last sample", id="pages-refuse"),
        pytest.param("hang", "External", "last sample", id="pages-hang"),
        pytest.param("error", "Pods", "last sample", id="pages-answer-500"),
        pytest.param("nan", "External", "NaN (and 2 more)", id="pages-say-nan"),
        pytest.param("frozen", "Pods", "last sample", id="pages-repeat-old-samples"),
    ],
)
def test_without_values_it_holds(scene: Scenario, fault: Fault, kind: str, why: str) -> None:
    """Under load, and idle while a scale-down gets due. Afterwards the one rises with its load, the other falls."""
    pair = HpaPair(scene, WAITING, kind)
    settle(pair)
    pair.fails(fault)
    lose_metrics(pair)
    for hpa in pair.hpas:
        assert f"the server could not find the metric {WAITING}" in hpa.messages["ScalingActive"]
        assert why in hpa.messages["ScalingActive"]
    hold(pair)
    pair.heals()
    recover(pair)
    assert pair.steady.replica_path == [1, SETTLED, RISEN], pair.steady.table()
    assert pair.idle.replica_path == [1, SETTLED, IDLE], pair.idle.table()


def test_one_pod_of_several_has_no_value(scene: Scenario) -> None:
    """As Pods the HPA counts it as 0 on the way up and as at its target on the way down; a sum without it is none.

    Source of the two assumptions: replica_calculator.go, calcPlainMetricReplicas.
    """
    rising = _at_its_target(scene, "rising", "Pods", replicas=3)
    falling = _at_its_target(scene, "falling", "Pods", replicas=4)
    summed = _at_its_target(scene, "summed", "External", replicas=3)
    for hpa in (rising, falling, summed):
        hpa.wait_value(WAITING, 5)
        _silence_one_pod(scene, hpa.target)
    for hpa, pods in ((rising, 2), (falling, 3)):
        _wait_values(scene, hpa.target, pods)
    summed.wait_condition("ScalingActive", "False", "FailedGetExternalMetric")
    assert "last sample" in summed.messages["ScalingActive"]

    scene.shows({WAITING: by_age(12, 12, 12)}, app="rising")
    scene.shows({WAITING: 1}, app="falling")
    scene.shows({WAITING: 0}, app="summed")
    rising.wait_replicas(5)  # 12 + 12 + 0; 36 would ask for 8
    falling.wait_replicas(2)  # 1 + 1 + 1 + 5; without the fourth 1 would do
    rising.holds(5)
    falling.holds(2)
    assert rising.stayed_active, rising.table()
    assert falling.stayed_active, falling.table()
    assert summed.replica_path == [3], summed.table()

    for hpa, replicas in ((rising, 8), (falling, 1), (summed, 1)):
        scene.heals(app=hpa.target)
        hpa.wait_replicas(replicas)
    assert rising.replica_path == [3, 5, 8], rising.table()
    assert falling.replica_path == [4, 2, 1], falling.table()
    assert summed.replica_path == [3, 1], summed.table()


def test_one_metric_of_two_has_no_value(scene: Scenario) -> None:
    """The other may still scale up, but not down: what is missing may be what keeps the pods busy."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}  # of one CPU a pod
    scene.runs("vllm", replicas=2)
    scene.uses_cpu(shared(1400))
    scene.shows({WAITING: 5})
    metrics = [{"type": "Resource", "resource": cpu}, metric_of("Pods", WAITING, "vllm")]
    hpa = scene.autoscales("hpa-queue.yaml", behavior=DOWN_AT_ONCE, metrics=metrics)
    hpa.wait_value(WAITING, 5)
    hpa.wait_value("cpu", 70)
    scene.fails("nan")
    scene.uses_cpu(shared(100))
    hpa.wait_condition("ScalingActive", "False", "FailedGetPodsMetric")
    failed = hpa.now.failed_syncs
    hpa.wait(lambda moment: moment.failed_syncs >= failed + 3, "failing", timeout_seconds=3 * SYNC_TIMEOUT_SECONDS)
    assert hpa.replica_path == [2], hpa.table()
    scene.uses_cpu(shared(2800))
    hpa.wait_replicas(4)
    hpa.wait_condition("ScalingActive", "True", "ValidMetricFound")
    assert hpa.now.value(WAITING) is None, hpa.table()
    scene.shows({WAITING: 0})
    scene.uses_cpu(shared(100))
    scene.heals()
    hpa.wait_replicas(1)
    assert hpa.replica_path == [2, 4, 1], hpa.table()


def _at_its_target(scene: Scenario, app: str, kind: str, *, replicas: int) -> HpaWatch:
    """A workload with 5 requests waiting on each pod. Up to 10 pods may come, and go, at once."""
    scene.runs("vllm", app, replicas=replicas)
    scene.shows({WAITING: 5})
    up_at_once = {"scaleUp": {"policies": [{"type": "Pods", "value": 10, "periodSeconds": 1}]}}
    metrics = [metric_of(kind, WAITING, app)]
    return scene.autoscales(
        "hpa-queue.yaml", name=app, behavior=DOWN_AT_ONCE | up_at_once, metrics=metrics, maxReplicas=10
    )


def _silence_one_pod(scene: Scenario, app: str) -> None:
    """One pod's page fails from now on. It would be the last pod to go."""
    api, pods = scene.world.plane.api, f"/api/v1/namespaces/{scene.namespace}/pods"
    name = api.get(f"{pods}?labelSelector={APP_LABEL}%3D{app}")["items"][0]["metadata"]["name"]
    api.merge(f"{pods}/{name}", KEPT_LONGEST)
    scene.fails("refuse", app=app, pod=name)


def _wait_values(scene: Scenario, app: str, count: int) -> None:
    """Until the adapter tells so many pods' values."""
    pods = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{scene.namespace}/pods/*"
    path = f"{pods}/{WAITING}?labelSelector={APP_LABEL}%3D{app}"
    scene.world.plane.api.wait(path, lambda seen: len(seen["items"]) == count)
