"""The stock HPA controller scales on the adapter's metrics: up on load, never down on missing data, down when idle."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from adapter_in_cluster import Adapter
from kube_api import Object
from model_servers import ModelServers

pytestmark = pytest.mark.e2e

METRIC = "vllm:num_requests_waiting"
TARGET = {"type": "AverageValue", "averageValue": "5"}
WAIT_SECONDS = 60.0
SYNCS_SECONDS = 11.0  # two of the HPA controller's periods here, and some

SHORT_LIVED = """
apiVersion: adapter.leadtime.dev/v1alpha1
kind: MetricRules
rules:
- name: vllm:num_requests_waiting
  override: true
  latest: {series: "vllm:num_requests_waiting"}
  unit: requests
  maxAgeSeconds: 6
"""

# By the name of the HPA, of its Deployment and of that one's Service: the metric, and the reason where it has no value.
KINDS: dict[str, tuple[Object, str]] = {
    "pods": ({"type": "Pods", "pods": {"metric": {"name": METRIC}, "target": TARGET}}, "FailedGetPodsMetric"),
    "external": (
        {
            "type": "External",
            "external": {
                "metric": {"name": METRIC, "selector": {"matchLabels": {"app": "external"}}},
                "target": TARGET,
            },
        },
        "FailedGetExternalMetric",
    ),
    "object": (
        {
            "type": "Object",
            "object": {
                "metric": {"name": METRIC},
                "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "object"},
                "target": TARGET,
            },
        },
        "FailedGetObjectMetric",
    ),
}


class Fleet:
    """One Deployment, Service and HPA of each kind, in one namespace."""

    def __init__(self, adapter: Adapter, servers: ModelServers, namespace: str) -> None:
        self.servers = servers
        self.namespace = namespace
        self._api = adapter.plane.api
        self._hpas = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        node = {"metadata": {"name": "gpu-0", "labels": {"kubernetes.io/os": "linux"}}}
        self._api.apply(
            [
                {"apiVersion": "v1", "kind": "Node", **node},
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            ]
        )
        for name, (metric, _) in KINDS.items():
            self._api.apply([servers.deployment(namespace, name), self._service(name), self._hpa(name, metric)])

    def addresses(self, name: str | None = None) -> list[str]:
        """Of the pods that have one, of one Deployment or of all."""
        pods = self._api.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return [
            pod["status"]["podIP"]
            for pod in pods
            if "podIP" in pod["status"] and name in (None, pod["metadata"]["labels"]["app"])
        ]

    def wait_pods(self, name: str, replicas: int) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}"
        self._api.wait(
            path, lambda seen: ready(seen) == replicas == seen["spec"]["replicas"], timeout_seconds=WAIT_SECONDS
        )

    def wait_active(self, name: str, status: str, reason: str, message: str = "") -> Object:
        """Until the HPA's condition ScalingActive is so, with this in its message; the condition."""

        def is_so(hpa: Object) -> bool:
            seen = active(hpa)
            return (seen["status"], seen["reason"]) == (status, reason) and message in seen["message"]

        condition: Object = active(self._api.wait(f"{self._hpas}/{name}", is_so, timeout_seconds=WAIT_SECONDS))
        return condition

    def replicas_over(self, seconds: float) -> dict[str, set[int]]:
        """Every replica count that each Deployment is told within this time."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        counts: dict[str, set[int]] = {name: set() for name in KINDS}

        def look(listed: Object) -> bool:
            for item in listed["items"]:
                counts[item["metadata"]["name"]].add(item["spec"]["replicas"])
            return False

        with pytest.raises(TimeoutError):
            self._api.wait(path, look, timeout_seconds=seconds)
        return counts

    def _service(self, name: str) -> Object:
        spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]}
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    def _hpa(self, name: str, metric: Object) -> Object:
        """It may go down at once: what holds it is the metric alone."""
        return {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [metric],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            },
        }


@pytest.fixture
def fleet(adapter: Adapter) -> Iterator[Fleet]:
    """With samples that are too old after 6 s in place of 60."""
    (replica,) = adapter.replicas
    replica.write_rules({"short-lived.yaml": SHORT_LIVED})
    with ModelServers() as servers:
        fleet = Fleet(adapter, servers, "autoscaled")
        yield fleet
        adapter.plane.api.delete(f"/api/v1/namespaces/{fleet.namespace}")
    replica.write_rules({})


def ready(deployment: Object) -> int:
    replicas: int = deployment.get("status", {}).get("readyReplicas", 0)
    return replicas


def active(hpa: Object) -> Any:
    conditions = hpa.get("status", {}).get("conditions", [])
    unknown = {"type": "ScalingActive", "status": "", "reason": "", "message": ""}
    return next((entry for entry in conditions if entry["type"] == "ScalingActive"), unknown)


def test_it_scales_up_on_load_holds_without_data_and_goes_down_when_idle(fleet: Fleet) -> None:
    """15 waiting requests at a target of 5 are 3 replicas, as Pods, as External and as Object of a Service."""
    servers = fleet.servers
    for name in KINDS:
        fleet.wait_pods(name, 1)
        (address,) = fleet.addresses(name)
        servers.waiting[address] = 15
    for name in KINDS:
        fleet.wait_active(name, "True", "ValidMetricFound")
        fleet.wait_pods(name, 3)

    # All pages fail: the last values count until they are too old, then there is no data, which is not no load.
    servers.silent = set(fleet.addresses())
    for name, (_, reason) in KINDS.items():
        message = fleet.wait_active(name, "False", reason)["message"]
        assert f"the server could not find the metric {METRIC} for" in message
        assert re.search(r"source pods is not available: none of \d+ pages could be had", message)
    assert fleet.replicas_over(SYNCS_SECONDS) == {name: {3} for name in KINDS}

    # The others come back idle, the pod that had the load stays away. A sum without it is none, so two of them hold;
    # as Pods the HPA itself judges: it takes the silent pod to be at the target, and one replica is enough for that.
    servers.silent = set(servers.waiting)
    for name in ("external", "object"):
        fleet.wait_active(name, "False", KINDS[name][1], "last sample")
    fleet.wait_active("pods", "True", "ValidMetricFound")
    fleet.wait_pods("pods", 1)
    assert fleet.replicas_over(SYNCS_SECONDS) == {"pods": {1}, "external": {3}, "object": {3}}

    servers.silent, servers.waiting = set(), {}
    for name in KINDS:
        fleet.wait_active(name, "True", "ValidMetricFound")
        fleet.wait_pods(name, 1)
