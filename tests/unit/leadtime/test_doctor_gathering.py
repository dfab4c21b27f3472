"""What `leadtime doctor` reads, from a cluster and from files, and what it makes of what it may not read."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_kube_reader import FakeKubeReader

from adapter.sources.kubernetes.api import ApiError
from autoscaler.crd.custom_resource import custom_resource_definition
from leadtime.doctor.cluster import gather
from leadtime.doctor.command import as_text, doctor_command, examine
from leadtime.doctor.finding import fail, ok
from leadtime.doctor.gathered import Clocks, Right
from leadtime.doctor.manifests import gather_manifests
from leadtime.doctor.metric_answers import oldest_age_seconds
from leadtime.doctor.server_clock import clocks_of
from leadtime.explain_autoscaler import PROXY
from policies.errors import BadInput

NOW = 1_790_000_000.0
CLOCKS = Clocks(server_seconds=NOW, own_seconds=NOW)
SYSTEM = "/namespaces/leadtime-system"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
WAITING = {
    "type": "Pods",
    "pods": {"metric": {"name": "waiting"}, "target": {"type": "AverageValue", "averageValue": "5"}},
}
OBJECT: dict[str, Any] = {
    "apiVersion": "autoscaling.leadtime.dev/v1alpha1",
    "kind": "PredictiveAutoscaler",
    "metadata": {"name": "chat", "namespace": "llm", "uid": "u"},
    "spec": {
        "mode": "Direct",
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
        "maxReplicas": 4,
        "profile": "llama-3.1-8b-l4",
        "slo": {"tpotSeconds": 0.1},
        "metrics": [WAITING],
    },
    "status": {"lastDecisionTime": "2026-09-21T14:13:10Z"},
}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "vllm"},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "server",
                        "resources": {"limits": {"nvidia.com/gpu": 1}},
                        "startupProbe": {"failureThreshold": 40},
                    }
                ]
            }
        }
    },
}


def answers(**changed: Any) -> dict[str, Any]:
    """A cluster in which all is well; changed: by the last part of a path."""
    available = {"conditions": [{"type": "Available", "status": "True"}]}
    group = "autoscaling.leadtime.dev"
    whole: dict[str, Any] = {
        f"/apis/{group}/v1alpha1/predictiveautoscalers": {"items": [OBJECT]},
        "/apis/autoscaling/v2/horizontalpodautoscalers": {"items": []},
        "/api/v1/resourcequotas": {"items": []},
        "/apis/scheduling.k8s.io/v1/priorityclasses": {"items": [{"metadata": {"name": "leadtime-placeholder"}}]},
        "/apis/apiregistration.k8s.io/v1/apiservices": {
            "items": [{"metadata": {"name": "v1beta2.custom.metrics.k8s.io"}, "status": available}]
        },
        "/apis": {"groups": [{"name": "apps"}]},
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/predictiveautoscalers.{group}": {
            **custom_resource_definition(),
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        },
        f"/apis/apps/v1{SYSTEM}/deployments/leadtime-controller": {
            "spec": {"replicas": 2},
            "status": {"availableReplicas": 2},
        },
        f"/apis/coordination.k8s.io/v1{SYSTEM}/leases/leadtime-controller": {
            "spec": {
                "holderIdentity": "a",
                "leaseDurationSeconds": 12,
                "renewTime": "2026-09-21T14:13:18.000000Z",
            }
        },
        "/apis/apps/v1": {
            "resources": [
                {"kind": "Deployment", "name": "deployments", "namespaced": True},
                {"kind": "Scale", "name": "deployments/scale", "namespaced": True, "verbs": ["get"]},
            ]
        },
        "/apis/apps/v1/namespaces/llm/deployments/vllm": DEPLOYMENT,
        "/apis/apps/v1/namespaces/llm/deployments/vllm/scale": {
            "spec": {"replicas": 2},
            "status": {"replicas": 2, "selector": "app=vllm"},
        },
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods/*/waiting": {
            "items": [
                {"describedObject": {"name": "p1"}, "value": "3", "timestamp": "2026-09-21T14:13:10Z"},
                {"describedObject": {"name": "p2"}, "value": "1", "timestamp": "2026-09-21T14:13:15Z"},
            ]
        },
        REVIEWS: {"status": {"allowed": True}},
        f"{PROXY}/api/v1/autoscalers/llm/chat": {
            "controller": {"isLeader": True},
            "leadTimes": {"paths": [{"steps": {"loadSeconds": 150.0}}, {"steps": {"loadSeconds": 190.0}}]},
        },
    }
    for name, answer in changed.items():
        path = next(path for path in whole if path.endswith(name.replace("_", "/")))
        whole[path] = answer
    return whole


async def test_a_cluster_in_which_all_is_well() -> None:
    gathered = await gather(FakeKubeReader(answers()), None, CLOCKS)
    findings = examine(gathered)
    assert [each for each in findings if each.level != "ok"] == []
    assert {each.check for each in findings} == {
        *("access", "crd", "controller", "leader", "clock", "rights", "spec", "conflict", "bounds", "probes", "metrics")
    }
    assert gathered.load_seconds == {("llm", "chat"): 190.0}
    assert gathered.metrics[0].age_seconds == 10.0, "of the oldest sample"
    assert Right("apps", "deployments", "patch", "scale", "llm") in gathered.rights


async def test_rights_are_asked_for_the_controllers_account() -> None:
    client = FakeKubeReader(answers(subjectaccessreviews={"status": {"allowed": False}}))
    findings = [each for each in examine(await gather(client, None, CLOCKS)) if each.check == "rights"]
    assert any("may not patch deployments/scale.apps in llm" in each.what for each in findings)
    assert all(each.level == "fail" for each in findings)
    assert client.asked.count(REVIEWS) == len(findings)


async def test_one_namespace_is_asked_alone() -> None:
    client = FakeKubeReader({})
    gathered = await gather(client, "llm", CLOCKS)
    assert gathered.autoscalers == ()
    assert "/apis/autoscaling/v2/namespaces/llm/horizontalpodautoscalers" in client.asked


async def test_what_may_not_be_read_is_no_fault_of_the_cluster() -> None:
    """A person without rights gets warnings, and no finding that something is missing."""
    forbidden = ApiError(403, "Forbidden", "no")
    client = FakeKubeReader(dict.fromkeys(answers(), forbidden))
    findings = examine(await gather(client, None, CLOCKS))
    assert {each.level for each in findings} <= {"warn", "ok"}
    assert {"PredictiveAutoscaler could not be read: 403 Forbidden: no"} <= {each.what for each in findings}
    assert len([each for each in findings if each.check == "access"]) >= 8


async def test_a_cluster_that_is_away_is_an_error_and_no_list_of_faults() -> None:
    away = ApiError(0, "Unreachable", "connection refused")
    with pytest.raises(ApiError):
        await gather(FakeKubeReader(dict.fromkeys(answers(), away)), None, None)


async def test_a_page_that_does_not_answer_is_asked_once() -> None:
    """Loads are then those that the specs assume."""
    other = {**OBJECT, "metadata": {**OBJECT["metadata"], "name": "code"}}
    whole = answers(predictiveautoscalers={"items": [OBJECT, other]})
    del whole[f"{PROXY}/api/v1/autoscalers/llm/chat"]
    client = FakeKubeReader(whole)
    assert (await gather(client, None, CLOCKS)).load_seconds == {}
    assert len([path for path in client.asked if path.startswith(PROXY)]) <= 2


async def test_a_metric_without_a_value_is_told() -> None:
    gathered = await gather(FakeKubeReader(answers(waiting={"items": []})), None, CLOCKS)
    assert "no metrics returned for waiting" in gathered.metrics[0].error


def test_the_servers_clock_is_read_from_its_date() -> None:
    clocks = clocks_of("Mon, 21 Sep 2026 14:13:20 GMT", NOW + 3)
    assert clocks == Clocks(server_seconds=NOW + 0.5, own_seconds=NOW + 3)
    assert clocks_of("", NOW) is None


@pytest.mark.parametrize(
    ("items", "age"),
    [
        pytest.param([{"timestamp": "2026-09-21T14:13:15Z"}, {"timestamp": "2026-09-21T14:12:50Z"}], 30.0, id="oldest"),
        pytest.param([{"timestamp": "soon"}, {}], None, id="without-a-time"),
        pytest.param([], None, id="none"),
    ],
)
def test_the_age_of_an_answer(items: list[dict[str, Any]], age: float | None) -> None:
    assert oldest_age_seconds({"items": items}, NOW) == age


def written(folder: Path, name: str, *objects: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    return path


def test_files_and_folders_are_checked_without_a_cluster(tmp_path: Path) -> None:
    """The Deployment leaves its namespace to kubectl and is found all the same; clock and rights are not looked at."""
    written(tmp_path, "a.yaml", OBJECT)
    written(tmp_path, "b.yml", DEPLOYMENT, dict(custom_resource_definition()))
    (tmp_path / "notes.md").write_text("not: [yaml", encoding="utf-8")
    findings = examine(gather_manifests([tmp_path]))
    assert [each for each in findings if each.level != "ok"] == []
    assert [each.check for each in findings] == ["crd", "spec", "conflict", "bounds", "probes"]


def test_files_without_an_object_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="held no PredictiveAutoscaler, must hold one or more; leadtime init writes one"):
        gather_manifests([written(tmp_path, "a.yaml", DEPLOYMENT)])


def test_the_exit_code_is_1_when_a_check_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {**OBJECT, "spec": {**OBJECT["spec"], "maxReplicas": 0}}
    with pytest.raises(BaseException, match="1") as ended:
        doctor_command(manifests=[written(tmp_path, "a.yaml", bad)])
    assert type(ended.value).__name__ == "Exit"
    assert "FAIL  spec        llm/chat: spec.maxReplicas: was 0" in capsys.readouterr().out


def test_the_text_counts_and_gives_remedies() -> None:
    assert as_text([ok("crd", "is there"), fail("clock", "is behind", "synchronise it")]).splitlines() == [
        "ok    crd         is there",
        "FAIL  clock       is behind",
        "                  remedy: synchronise it",
        "2 findings: 1 failed, 0 warned",
    ]
