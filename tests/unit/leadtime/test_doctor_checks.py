"""Each check of `leadtime doctor`, on objects as a cluster or files have them."""

from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoscaler.crd.custom_resource import custom_resource_definition
from autoscaler.observe.hpa_seen import TargetName
from leadtime.doctor.bounds import check_bounds, check_pools
from leadtime.doctor.conflicts import check_conflicts
from leadtime.doctor.gathered import Clocks, Gathered, MetricAnswer, Right
from leadtime.doctor.installation import check_installation
from leadtime.doctor.probes import check_probes
from leadtime.doctor.rights import check_rights, needed_rights
from leadtime.doctor.specs import check_metrics, check_metrics_apis, check_specs

NOW = 1_790_000_000.0
TARGET = TargetName(namespace="llm", group="apps", kind="Deployment", name="vllm")
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}


def pa(*, name: str = "chat", uid: str = "u", status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    whole = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
        "maxReplicas": 10,
        "profile": "llama-3.1-8b-l4",
        "slo": {"tpotSeconds": 0.1},
        **spec,
    }
    return {"metadata": {"name": name, "namespace": "llm", "uid": uid}, "spec": whole, "status": status or {}}


def hpa(name: str = "vllm", *, maximum: int = 10, **metadata: Any) -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}
    return {
        "metadata": {"name": name, "namespace": "llm", **metadata},
        "spec": {"scaleTargetRef": reference, "maxReplicas": maximum, "metrics": [CPU]},
    }


def reading_hpa(**labels: str) -> dict[str, Any]:
    found = hpa()
    matched = {"predictiveautoscaler": "chat", **labels}
    metric = {"name": "leadtime_needed_replicas", "selector": {"matchLabels": matched}}
    target = {"type": "AverageValue", "averageValue": "1"}
    found["spec"]["metrics"] = [{"type": "External", "external": {"metric": metric, "target": target}}]
    return found


def deployment(gpus: int = 1, **container: Any) -> dict[str, Any]:
    server = {"name": "server", "image": "vllm", "resources": {"limits": {"nvidia.com/gpu": gpus}}, **container}
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [server]}}}}


def told(findings: Any) -> list[str]:
    """`level: what; remedy` of those that are not ok."""
    return [f"{each.level}: {each.what}" for each in findings if each.level != "ok"]


def one(findings: Any) -> str:
    found = told(findings)
    assert len(found) == 1, found
    return found[0]


def cluster(*objects: dict[str, Any], **changed: Any) -> Gathered:
    return Gathered(source="cluster", autoscalers=objects, **changed)


@pytest.mark.parametrize(
    ("spec", "objects", "said"),
    [
        pytest.param({"mode": "Recommend"}, {"hpas": (hpa(),)}, [], id="recommend-beside-an-hpa"),
        pytest.param({"mode": "Direct"}, {}, [], id="direct-alone"),
        pytest.param(
            {"mode": "Direct"},
            {"hpas": (hpa(),)},
            ["fail: llm/chat: HPA vllm scales this workload too"],
            id="direct-beside-an-hpa",
        ),
        pytest.param(
            {"mode": "Floor"}, {}, ["fail: llm/chat: no HPA targets this workload"], id="floor-without-an-hpa"
        ),
        pytest.param(
            {"mode": "Floor"},
            {"hpas": (hpa(maximum=4),)},
            ["warn: llm/chat: maxReplicas is 10, but HPA vllm stops at 4"],
            id="floor-above-the-hpa",
        ),
        pytest.param(
            {"mode": "Floor"},
            {"hpas": (hpa(labels={"argocd.argoproj.io/instance": "x"}),)},
            ["warn: llm/chat: Argo CD application/x keeps HPA vllm"],
            id="floor-under-gitops",
        ),
        pytest.param(
            {"mode": "Floor"},
            {"hpas": (hpa(labels={"scaledobject.keda.sh/name": "x"}),)},
            ["fail: llm/chat: HPA vllm"],
            id="floor-under-keda",
        ),
        pytest.param(
            {"mode": "Floor"}, {"hpas": (hpa("a"), hpa("b"))}, ["fail: llm/chat: several HPAs"], id="two-hpas"
        ),
        pytest.param(
            {"mode": "Metric"},
            {"hpas": (hpa(),)},
            ["fail: llm/chat: HPA vllm does not read the need"],
            id="metric-not-read",
        ),
        pytest.param({"mode": "Metric"}, {"hpas": (reading_hpa(exported_namespace="llm"),)}, [], id="metric-read"),
        pytest.param(
            {"mode": "Metric"},
            {"hpas": (reading_hpa(),)},
            ["fail: llm/chat: HPA vllm reads the need of the PredictiveAutoscalers chat of all namespaces"],
            id="namesakes-read-too",
        ),
        pytest.param(
            {"mode": "Recommend"},
            {"hpas": (reading_hpa(),)},
            ["fail: llm/chat: HPA vllm reads leadtime_needed_replicas"],
            id="read-in-vain",
        ),
        pytest.param(
            {"mode": "Direct"},
            {
                "scaled_objects": (
                    {"metadata": {"name": "so", "namespace": "llm"}, "spec": {"scaleTargetRef": {"name": "vllm"}}},
                )
            },
            ["fail: llm/chat: ScaledObject so scales Deployment/vllm too"],
            id="direct-beside-keda-at-zero",
        ),
    ],
)
def test_conflicts(spec: dict[str, Any], objects: dict[str, Any], said: list[str]) -> None:
    found = told(check_conflicts(cluster(pa(**spec), **objects)))
    assert len(found) == len(said), found
    for text, begin in zip(found, said, strict=True):
        assert text.startswith(begin)


def test_of_two_objects_on_one_workload_the_younger_is_told() -> None:
    first = pa(name="a", uid="1", mode="Direct")
    second = pa(name="b", uid="2", mode="Direct")
    assert one(check_conflicts(cluster(first, second))).startswith("fail: llm/b: the older PredictiveAutoscaler a acts")


POOL = {"name": "l4", "maxNodes": 4, "gpusPerNode": 2}


@pytest.mark.parametrize(
    ("spec", "objects", "said"),
    [
        pytest.param({}, {}, "", id="no-limit-is-known"),
        pytest.param({"nodePools": [{**POOL, "maxNodes": 5}]}, {}, "", id="just-fits"),
        pytest.param({"nodePools": [POOL]}, {}, "its node pools hold 8 replicas of 1 GPUs (l4: maxNodes 4", id="nodes"),
        pytest.param(
            {"nodePools": [{**POOL, "maxNodes": 9, "quotaGpus": 7}]},
            {},
            "its node pools hold 6 replicas of 1 GPUs (l4: quotaGpus 7",
            id="quota-in-whole-nodes",
        ),
        pytest.param(
            {"nodePools": [{**POOL, "maxNodes": 9, "gpusPerNode": 3}]},
            {"workloads": {TARGET: deployment(2)}},
            "hold 9 replicas of 2 GPUs",
            id="a-pod-is-on-one-node",
        ),
        pytest.param(
            {"nodePools": [{**POOL, "maxNodes": 99}], "cost": {"gpusPerReplica": 4}},
            {},
            "hold 0 replicas of 4 GPUs",
            id="no-node-is-large-enough",
        ),
        pytest.param(
            {},
            {
                "quotas": (
                    {"metadata": {"name": "q", "namespace": "llm"}, "spec": {"hard": {"requests.nvidia.com/gpu": "8"}}},
                )
            },
            "maxReplicas 10 takes 10 GPUs, but ResourceQuota q allows 8",
            id="resource-quota",
        ),
        pytest.param(
            {},
            {
                "quotas": (
                    {
                        "metadata": {"name": "q", "namespace": "other"},
                        "spec": {"hard": {"requests.nvidia.com/gpu": "8"}},
                    },
                )
            },
            "",
            id="another-namespace",
        ),
        pytest.param(
            {},
            {"workloads": {TARGET: deployment(2)}},
            "cost.gpusPerReplica is 1, but a replica asks for 2",
            id="cost-is-wrong",
        ),
    ],
)
def test_bounds(spec: dict[str, Any], objects: dict[str, Any], said: str) -> None:
    found = [text for text in told(check_bounds(cluster(pa(**spec), **objects))) if said in text]
    assert len(found) == (1 if said else 0), told(check_bounds(cluster(pa(**spec), **objects)))
    if not said:
        assert told(check_bounds(cluster(pa(**spec), **objects))) == []


@pytest.mark.parametrize(
    ("container", "load_seconds", "said"),
    [
        pytest.param({}, None, "", id="no-probe"),
        pytest.param(
            {"livenessProbe": {}},
            None,
            "fail: llm/chat: livenessProbe of container server kills a server "
            "after 30 s, before it is loaded: 240 s of leadTime.assumedSeconds",
            id="kubernetes-defaults",
        ),
        pytest.param(
            {"livenessProbe": {"initialDelaySeconds": 60, "periodSeconds": 15, "failureThreshold": 20}},
            None,
            "",
            id="360-s-are-half-as-long-again",
        ),
        pytest.param(
            {"livenessProbe": {"initialDelaySeconds": 220}},
            None,
            "warn: llm/chat: livenessProbe of container server kills a server after 250 s, little more than the 240 s",
            id="little-room",
        ),
        pytest.param(
            {"livenessProbe": {}, "startupProbe": {"periodSeconds": 5, "failureThreshold": 120}},
            None,
            "",
            id="a-startup-probe-holds-liveness-back",
        ),
        pytest.param(
            {"startupProbe": {"periodSeconds": 5}},
            None,
            "fail: llm/chat: startupProbe of container server kills a server after 15 s",
            id="startup-too-short",
        ),
        pytest.param({"livenessProbe": {"initialDelaySeconds": 60}}, 40.0, "", id="learned-and-short"),
        pytest.param(
            {"livenessProbe": {"initialDelaySeconds": 400}},
            500.0,
            "500 s that loading was seen to take",
            id="learned-and-long",
        ),
    ],
)
def test_probes(container: dict[str, Any], load_seconds: float | None, said: str) -> None:
    loads = {} if load_seconds is None else {("llm", "chat"): load_seconds}
    gathered = cluster(pa(), workloads={TARGET: deployment(**container)}, load_seconds=loads)
    if said:
        assert said in one(check_probes(gathered))
    else:
        assert told(check_probes(gathered)) == []
        assert len(list(check_probes(gathered))) == 1


def test_the_remedy_of_a_probe_is_one_that_passes() -> None:
    """What it says is checked by doing it."""
    gathered = cluster(pa(), workloads={TARGET: deployment(livenessProbe={"periodSeconds": 7})})
    remedy = next(iter(check_probes(gathered))).remedy
    assert remedy == "give container server a startupProbe with periodSeconds 7 and failureThreshold 52"
    mended = deployment(livenessProbe={}, startupProbe={"periodSeconds": 7, "failureThreshold": 52})
    assert told(check_probes(cluster(pa(), workloads={TARGET: mended}))) == []


def test_a_rollout_that_is_given_up_before_a_pod_can_be_ready() -> None:
    slow = pa(leadTime={"assumedSeconds": 900})
    assert "looks like a failed rollout" in one(check_probes(cluster(slow, workloads={TARGET: deployment()})))


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        pytest.param((pa(),), [], id="good"),
        pytest.param((pa(profile="MODEL-GPU"),), ["fail: llm/chat: spec.profile: was 'MODEL-GPU'"], id="undecided"),
        pytest.param(
            (pa(maxReplicas=0, mode="Drive"),),
            ['fail: llm/chat: spec.mode: was "Drive"', "fail: llm/chat: spec.maxReplicas: was 0"],
            id="two-faults",
        ),
        pytest.param(
            (pa(slo={"tpotSeconds": 0.01}),), ["fail: llm/chat: spec.slo.tpotSeconds: was 0.01"], id="too-fast"
        ),
    ],
)
def test_specs_are_judged_as_the_controller_does(objects: tuple[dict[str, Any], ...], said: list[str]) -> None:
    found = told(check_specs(Gathered(source="manifests", autoscalers=objects, workloads={TARGET: deployment()})))
    assert len(found) == len(said), found
    assert all(any(text.startswith(begin) for text in found) for begin in said), found


def test_an_absent_workload_fails_in_a_cluster_and_is_only_told_of_files() -> None:
    status = {"lastDecisionTime": iso(NOW)}
    assert one(check_specs(cluster(pa(status=status)))).startswith("fail: llm/chat: its workload Deployment/vllm")
    assert one(check_specs(Gathered(source="manifests", autoscalers=(pa(),)))).startswith(
        "warn: llm/chat: its workload"
    )
    unread = {"Deployment llm/vllm": "403"}
    assert told(check_specs(cluster(pa(status=status), unread=unread))) == []


def test_what_the_controller_says_of_an_object() -> None:
    conditions = [
        {"type": "Ready", "status": "False", "reason": "X", "message": "not known"},
        {"type": "DemandKnown", "status": "False", "reason": "X", "message": "not known"},
        {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": "at maxReplicas"},
        {"type": "NoConflict", "status": "True", "reason": "Y", "message": "well"},
    ]
    status = {"lastDecisionTime": iso(NOW - 200), "conditions": conditions}
    clocks = Clocks(server_seconds=NOW, own_seconds=NOW)
    gathered = cluster(pa(status=status), workloads={TARGET: deployment()}, clocks=clocks)
    assert told(check_specs(gathered)) == [
        "fail: llm/chat: the last decision is 200 s old",
        "fail: llm/chat: DemandKnown is False: not known",
        "warn: llm/chat: ScalingLimited is True: at maxReplicas",
    ]
    assert "nothing was decided yet" in one(check_specs(cluster(pa(), workloads={TARGET: deployment()})))


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def installed(**changed: Any) -> Gathered:
    crd = {**custom_resource_definition(), "status": {"conditions": [{"type": "Established", "status": "True"}]}}
    spec = {"holderIdentity": "pod-a", "leaseDurationSeconds": 12, "renewTime": "2026-09-21T14:13:18.000000Z"}
    whole: dict[str, Any] = {
        "crd": crd,
        "controller": {"spec": {"replicas": 2}, "status": {"availableReplicas": 2}},
        "lease": {"spec": spec},
        "clocks": Clocks(server_seconds=NOW, own_seconds=NOW + 0.4),
        **changed,
    }
    return cluster(**whole)


def older_crd() -> dict[str, Any]:
    crd = deepcopy(dict(installed().crd or {}))
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["fallback"]
    return crd


def differing_crd() -> dict[str, Any]:
    crd = deepcopy(dict(installed().crd or {}))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["maxReplicas"]["maximum"] = 5
    return crd


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({}, "", id="all-is-well"),
        pytest.param({"crd": None}, "fail: the CRD predictiveautoscalers", id="no-crd"),
        pytest.param({"crd": older_crd()}, "fail: the CRD is of another release: it lacks spec.fallback", id="old-crd"),
        pytest.param({"crd": differing_crd()}, "warn: the CRD differs", id="another-range"),
        pytest.param(
            {"crd": {"status": {"conditions": [{"type": "Established", "status": "False", "message": "m"}]}}},
            "fail: the CRD is not established: m",
            id="not-established",
        ),
        pytest.param({"controller": None}, "fail: no Deployment leadtime-controller", id="not-installed"),
        pytest.param({"controller": {"spec": {"replicas": 2}}}, "fail: none of the controller's 2", id="not-running"),
        pytest.param(
            {"controller": {"spec": {"replicas": 2}, "status": {"availableReplicas": 1}}},
            "warn: 1 of the controller's 2",
            id="one-is-missing",
        ),
        pytest.param({"lease": None}, "fail: no Lease leadtime-controller", id="no-lease"),
        pytest.param(
            {
                "lease": {
                    "spec": {
                        "holderIdentity": "a",
                        "leaseDurationSeconds": 12,
                        "renewTime": "2026-09-21T14:12:00.000000Z",
                    }
                }
            },
            "fail: nobody leads: a last renewed the Lease 80 s ago",
            id="not-renewed",
        ),
        pytest.param(
            {"lease": {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}},
            "fail: nobody leads: the Lease has no holder",
            id="released",
        ),
        pytest.param(
            {"clocks": Clocks(server_seconds=NOW, own_seconds=NOW - 8)},
            "warn: this machine's clock is 8 s behind",
            id="clock-behind",
        ),
        pytest.param(
            {"clocks": Clocks(server_seconds=NOW, own_seconds=NOW + 300)},
            "fail: this machine's clock is 300 s ahead of",
            id="clock-ahead",
        ),
        pytest.param(
            {"unread": {"APIService": "403 Forbidden"}}, "warn: APIService could not be read: 403", id="no-right"
        ),
    ],
)
def test_installation(changed: dict[str, Any], said: str) -> None:
    found = list(check_installation(installed(**changed)))
    if said:
        assert one(found).startswith(said)
        assert all(each.remedy for each in found if each.level != "ok")
    else:
        assert told(found) == []
        assert [each.check for each in found] == ["access", "crd", "controller", "leader", "clock"]


RESOURCES = {("apps", "Deployment"): "deployments"}


@pytest.mark.parametrize(
    ("spec", "right"),
    [
        pytest.param({}, Right("apps", "deployments", "get", "scale", "llm"), id="every-mode-reads-the-scale"),
        pytest.param({"mode": "Direct"}, Right("apps", "deployments", "patch", "scale", "llm"), id="direct"),
        pytest.param(
            {"mode": "Floor"}, Right("autoscaling", "horizontalpodautoscalers", "patch", "", "llm"), id="floor"
        ),
        pytest.param({"metrics": [CPU]}, Right("metrics.k8s.io", "pods", "list", "", "llm"), id="resource-metric"),
        pytest.param(
            {"nodePools": [{**POOL, "provider": "Placeholders"}]},
            Right("apps", "deployments", "patch", "", "llm"),
            id="placeholders",
        ),
        pytest.param(
            {"nodePools": [{**POOL, "provider": "CapacityBuffer"}]},
            Right("autoscaling.x-k8s.io", "capacitybuffers", "patch", "", "llm"),
            id="capacity-buffer",
        ),
        pytest.param({}, Right("events.k8s.io", "events", "create"), id="events"),
        pytest.param({}, Right("coordination.k8s.io", "leases", "update", "", "leadtime-system"), id="lease"),
    ],
)
def test_rights_follow_from_what_the_objects_ask_for(spec: dict[str, Any], right: Right) -> None:
    needed = needed_rights(cluster(pa(**spec)).objects, RESOURCES)
    assert right in needed
    assert len(set(needed)) == len(needed)


def test_recommend_writes_to_no_workload() -> None:
    needed = needed_rights(cluster(pa()).objects, RESOURCES)
    assert not [right for right in needed if right.verb not in ("get", "list", "watch") and right.namespace == "llm"]


_MANIFESTS = Path(__file__).parents[3] / "manifests" / "controller"
EVERYTHING = (
    pa(name="a", mode="Direct", metrics=[CPU]),
    pa(name="b", mode="Floor", scaleTargetRef={"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x"}),
    pa(name="c", nodePools=[{**POOL, "provider": "Placeholders"}]),
    pa(name="d", nodePools=[{**POOL, "provider": "CapacityBuffer"}]),
)


@pytest.mark.parametrize(
    "right",
    needed_rights(cluster(*EVERYTHING).objects, {**RESOURCES, ("apps", "StatefulSet"): "statefulsets"}),
    ids=str,
)
def test_the_shipped_manifests_give_every_right_where_the_remedy_says(right: Right) -> None:
    remedy = next(iter(check_rights(cluster(rights={right: False})))).remedy
    part = remedy.split("manifests/controller/")[1].split(",")[0]
    folders = {"base", part.replace("overlays", "components")}
    files = [path for folder in sorted(folders) for path in (_MANIFESTS / folder).glob("*role*.yaml")]
    roles = [each for path in files for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    rules = [rule for each in roles for rule in each.get("rules") or ()]
    assert any(_allows(rule, right) for rule in rules), remedy


def _allows(rule: dict[str, Any], right: Right) -> bool:
    resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
    of_group = {right.group, "*"} & set(rule["apiGroups"])
    of_resource = {resource, f"*/{right.subresource}", "*"} & set(rule["resources"])
    return bool(of_group and of_resource and right.verb in rule["verbs"])


def test_a_missing_right_is_told_with_the_rule_that_gives_it() -> None:
    right = Right("apps", "deployments", "patch", "scale", "llm")
    found = list(check_rights(cluster(rights={right: False, Right("", "pods", "list"): True})))
    assert one(found) == (
        "fail: system:serviceaccount:leadtime-system:leadtime-controller may not patch deployments/scale.apps in llm"
    )
    assert 'overlays/direct, or a role of your own with {apiGroups: ["apps"], resources: ["deployments/scale"]' in (
        found[0].remedy
    )
    assert told(check_rights(cluster(rights={right: True}))) == []


def test_only_deletion_costs_that_are_written_take_the_right_to_patch_pods() -> None:
    right = Right("", "pods", "patch", "", "llm")
    pools = [{"name": "l4", "maxNodes": 3}]
    needed = {
        (mode, cost): right in needed_rights(cluster(pa(mode=mode, nodePools=pools, podDeletionCost=cost)).objects, {})
        for mode in ("Direct", "Recommend")
        for cost in ("ByNode", "Unset")
    }
    assert [each for each, is_needed in needed.items() if is_needed] == [("Direct", "ByNode")]
    (found,) = check_rights(cluster(rights={right: False}))
    assert "manifests/controller/overlays/pod-deletion-cost, or a role of your own" in found.remedy


def api_service(available: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "Available", "status": available, "message": "no endpoints"}]}}


@pytest.mark.parametrize(
    ("services", "said"),
    [
        pytest.param({"v1beta1.metrics.k8s.io": api_service("True")}, "", id="available"),
        pytest.param(
            {"v1beta1.metrics.k8s.io": api_service("False")},
            "fail: metrics.k8s.io, which llm/chat needs, is not available: no endpoints",
            id="unavailable",
        ),
        pytest.param(
            {"v1beta1.custom.metrics.k8s.io": api_service("True")},
            "fail: metrics.k8s.io, which llm/chat needs, is not installed",
            id="another-one",
        ),
    ],
)
def test_metrics_apis_that_an_object_needs(services: dict[str, Any], said: str) -> None:
    found = told(check_metrics_apis(cluster(pa(metrics=[CPU]), api_services=services)))
    assert found == ([said] if said else [])
    assert told(check_metrics_apis(cluster(pa(), api_services=services))) == [], "demand needs none of them"


def test_mode_metric_needs_the_external_api() -> None:
    assert "external.metrics.k8s.io" in one(check_metrics_apis(cluster(pa(mode="Metric"), api_services={})))


@pytest.mark.parametrize(
    ("error", "age_seconds", "said"),
    [
        pytest.param("", 12.0, "", id="fresh"),
        pytest.param("", None, "", id="of-unknown-age"),
        pytest.param("", 75.0, "warn: llm/chat: metric m is 75 s old", id="old"),
        pytest.param("404", None, "fail: llm/chat: metric m has no value: 404", id="no-value"),
    ],
)
def test_metrics_are_judged_by_their_age(error: str, age_seconds: float | None, said: str) -> None:
    answer = MetricAnswer(autoscaler="llm/chat", metric="m", error=error, age_seconds=age_seconds)
    assert told(check_metrics(cluster(metrics=(answer,)))) == ([said] if said else [])


@pytest.mark.parametrize(
    ("pool", "gathered", "said"),
    [
        pytest.param(
            {"provider": "Placeholders"}, {"priority_classes": frozenset({"leadtime-placeholder"})}, "", id="class"
        ),
        pytest.param(
            {"provider": "Placeholders"},
            {"priority_classes": frozenset()},
            "fail: llm/chat: node pool l4: PriorityClass leadtime-placeholder is not there",
            id="no-class",
        ),
        pytest.param({"provider": "Placeholders"}, {}, "", id="nobody-knows"),
        pytest.param(
            {"provider": "CapacityBuffer"},
            {"api_groups": frozenset({"apps"})},
            "fail: llm/chat: node pool l4: the cluster does not serve CapacityBuffer",
            id="no-buffers",
        ),
        pytest.param(
            {"provider": "CapacityBuffer"}, {"api_groups": frozenset({"autoscaling.x-k8s.io"})}, "", id="buffers"
        ),
    ],
)
def test_pools_can_be_told(pool: dict[str, Any], gathered: dict[str, Any], said: str) -> None:
    assert told(check_pools(cluster(pa(nodePools=[{**POOL, **pool}]), **gathered))) == ([said] if said else [])


def test_what_a_pools_provider_said_is_told() -> None:
    pools = [
        {"name": "a", "state": "Refused", "message": "the API does not know us"},
        {"name": "b", "state": "StockedOut", "message": "no L4"},
        {"name": "c", "state": "Idle"},
    ]
    assert told(check_pools(cluster(pa(status={"nodePools": pools})))) == [
        "fail: llm/chat: node pool a is Refused: the API does not know us",
        "warn: llm/chat: node pool b is StockedOut: no L4",
    ]
