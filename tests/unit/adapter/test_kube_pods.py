"""What is kept of a pod, and the snapshot of all pods."""

from typing import Any

import pytest
from fake_kube_api import pod

from adapter.sources.kubernetes.label_selector import BadSelector, parse_selector
from adapter.sources.kubernetes.pod_record import prune_pod
from adapter.sources.kubernetes.pods import PodInventory
from adapter.sources.kubernetes.services import prune_service
from adapter.sources.series import PodKey

VLLM_0 = PodKey("llm", "vllm-0")


def service(name: str, selector: dict[str, str] | None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "llm", "name": name}, "spec": {"selector": selector, **spec}}


def test_a_pod_is_kept_with_its_labels_readiness_node_and_ports() -> None:
    record = prune_pod(pod("vllm-0", ip="10.0.0.7"))
    assert record is not None
    assert record.key == VLLM_0
    assert record.info.labels == {"app": "vllm", "pod-template-hash": "5d4f"}
    assert (record.info.ready, record.info.node, record.ip) == (True, "gpu-node-1", "10.0.0.7")
    assert [(port.name, port.number, port.container) for port in record.ports] == [("http", 8000, "server")]
    assert record.images == {"server": "vllm/vllm-openai"}
    assert record.requests_gpu


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"deleting": True}, id="one-that-is-ending"),
        pytest.param({"phase": "Succeeded"}, id="one-that-succeeded"),
        pytest.param({"phase": "Failed"}, id="one-that-failed"),
    ],
)
def test_a_pod_that_ends_or_has_ended_is_not_kept(changes: dict[str, Any]) -> None:
    assert prune_pod(pod("vllm-0", **changes)) is None


@pytest.mark.parametrize(
    "changes", [{"ready": False}, {"phase": "Pending", "ready": False}], ids=["loading", "pending"]
)
def test_a_pod_that_is_not_ready_exists(changes: dict[str, Any]) -> None:
    record = prune_pod(pod("vllm-0", **changes))
    assert record is not None
    assert record.info.ready is False


def test_a_pod_without_anything_but_a_name_is_kept() -> None:
    record = prune_pod({"metadata": {"namespace": "llm", "name": "vllm-0"}})
    assert record is not None
    assert (record.ip, record.info.node, record.info.owners, record.ports) == ("", "", (), ())


@pytest.mark.parametrize(
    ("owner", "labels", "owners"),
    [
        pytest.param(
            ("apps/v1", "ReplicaSet", "vllm-5d4f"),
            {"pod-template-hash": "5d4f"},
            (("replicasets.apps", "vllm-5d4f"), ("deployments.apps", "vllm")),
            id="deployment",
        ),
        pytest.param(
            ("apps/v1", "ReplicaSet", "bare"),
            {"pod-template-hash": "5d4f"},
            (("replicasets.apps", "bare"),),
            id="a-replica-set-of-its-own",
        ),
        pytest.param(
            ("apps/v1", "ReplicaSet", "vllm-77"),
            {"rollouts-pod-template-hash": "77"},
            (("replicasets.apps", "vllm-77"), ("rollouts.argoproj.io", "vllm")),
            id="argo-rollout",
        ),
        pytest.param(("apps/v1", "StatefulSet", "nim"), {}, (("statefulsets.apps", "nim"),), id="stateful-set"),
        pytest.param(("apps/v1", "DaemonSet", "dcgm"), {}, (("daemonsets.apps", "dcgm"),), id="daemon-set"),
        pytest.param(
            ("batch/v1", "Job", "batch-29372160"),
            {},
            (("jobs.batch", "batch-29372160"), ("cronjobs.batch", "batch")),
            id="cron-job",
        ),
        pytest.param(("batch/v1", "Job", "once"), {}, (("jobs.batch", "once"),), id="job"),
        pytest.param(
            ("apps/v1", "StatefulSet", "big-0"),
            {"leaderworkerset.sigs.k8s.io/name": "big"},
            (("statefulsets.apps", "big-0"), ("leaderworkersets.leaderworkerset.x-k8s.io", "big")),
            id="leader-worker-set",
        ),
        pytest.param(("ray.io/v1", "RayCluster", "r"), {}, (("rayclusters.ray.io", "r"),), id="another-kind"),
        pytest.param(None, {}, (), id="none"),
    ],
)
def test_the_workloads_above_a_pod_are_named(
    owner: tuple[str, str, str] | None, labels: dict[str, str], owners: tuple[tuple[str, str], ...]
) -> None:
    record = prune_pod(pod("p", owner=owner, labels=labels))
    assert record is not None
    assert record.info.owners == owners


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("vllm/vllm-openai:v0.12.0", "vllm/vllm-openai"),
        ("nvcr.io:443/nim/meta/llama:1.0@sha256:ab", "nvcr.io:443/nim/meta/llama"),
        ("nvcr.io/nvidia/tritonserver:24.05-vllm-python-py3", "nvcr.io/nvidia/tritonserver"),
        ("busybox", "busybox"),
        ("", ""),
    ],
)
def test_of_an_image_the_repository_is_kept(image: str, repository: str) -> None:
    record = prune_pod(pod("p", image=image))
    assert record is not None
    assert record.images["server"] == repository


def test_a_sidecar_among_the_init_containers_counts_and_an_init_container_does_not() -> None:
    port = {"containerPort": 9}
    sidecar = {"name": "s", "restartPolicy": "Always", "ports": [port]}
    record = prune_pod(pod("p", init=[sidecar, {"name": "i", "ports": [port]}]))
    assert record is not None
    assert [one.container for one in record.ports] == ["server", "s"]


def filled(*names: str) -> PodInventory:
    inventory = PodInventory()
    for name in names:
        inventory.pod_changed(("llm", name), prune_pod(pod(name)))
    return inventory


def test_a_snapshot_stays_as_it_was_and_is_the_same_until_something_changes() -> None:
    inventory = filled("vllm-0", "vllm-1")
    before = inventory.pods()
    assert inventory.pods() is before
    inventory.pod_changed(("llm", "vllm-0"), None)
    assert list(inventory.pods()) == [PodKey("llm", "vllm-1")]
    assert len(before) == 2
    with pytest.raises(TypeError):
        before[VLLM_0] = before[VLLM_0]  # type: ignore[index]


def test_services_that_select_a_pod_are_named_and_forgotten() -> None:
    inventory = filled("vllm-0")
    for name, selector in (("vllm", {"app": "vllm"}), ("other", {"app": "other"}), ("by-hand", None)):
        inventory.service_changed(("llm", name), prune_service(service(name, selector)))
    assert inventory.pods()[VLLM_0].services == ("vllm",)
    inventory.service_changed(("llm", "all"), prune_service(service("all", {"pod-template-hash": "5d4f"})))
    assert inventory.pods()[VLLM_0].services == ("all", "vllm")
    inventory.service_changed(("llm", "vllm"), None)
    assert inventory.pods()[VLLM_0].services == ("all",)


def test_a_service_of_another_namespace_does_not_count() -> None:
    inventory = filled("vllm-0")
    inventory.service_changed(("other", "vllm"), prune_service(service("vllm", {"app": "vllm"})))
    assert inventory.pods()[VLLM_0].services == ()


def requirement(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "a", "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        pytest.param(None, {}, True, id="none-selects-all"),
        pytest.param({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True, id="equal"),
        pytest.param({"matchLabels": {"a": "1", "b": "1"}}, {"a": "1"}, False, id="all-must-match"),
        pytest.param(requirement("In", "1", "2"), {"a": "2"}, True, id="in"),
        pytest.param(requirement("In", "1"), {}, False, id="in-of-a-missing-label"),
        pytest.param(requirement("NotIn", "1"), {}, True, id="not-in-of-a-missing-label"),
        pytest.param(requirement("NotIn", "1"), {"a": "1"}, False, id="not-in"),
        pytest.param(requirement("Exists"), {"a": ""}, True, id="exists"),
        pytest.param(requirement("DoesNotExist"), {"a": ""}, False, id="does-not-exist"),
    ],
)
def test_selectors_select_as_kubernetes_does(selector: Any, labels: dict[str, str], matches: bool) -> None:
    assert parse_selector(selector).matches(labels) is matches


@pytest.mark.parametrize(
    "selector",
    [
        {"matchLabel": {"a": "1"}},
        {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
        {"matchExpressions": [{"key": "a", "operator": "In"}]},
        {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["1"]}]},
        {"matchExpressions": [{"operator": "Exists"}]},
    ],
)
def test_a_selector_that_kubernetes_would_refuse_is_refused(selector: Any) -> None:
    with pytest.raises(BadSelector, match="was "):
        parse_selector(selector)
