"""`leadtime init`: what is taken over, what is guessed, and that the controller takes what is printed."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_kube_reader import FakeKubeReader

from adapter.sources.kubernetes.api import ApiError
from autoscaler.crd.build import combined_spec
from autoscaler.crd.parse import parse_spec
from leadtime.init.command import init_command, text_for
from leadtime.init.existing import existing
from leadtime.init.profile_guess import guess_profile
from leadtime.init.seen_lead_time import seen_lead_time
from leadtime.init.sources import from_cluster, from_manifests
from policies.errors import BadInput

HPA: dict[str, Any] = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "chat", "namespace": "serving"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
        "minReplicas": 2,
        "maxReplicas": 20,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
        "metrics": [
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "vllm:num_requests_waiting"},
                    "target": {"type": "AverageValue", "averageValue": "5"},
                },
            }
        ],
    },
}
CRON = {"timezone": "Europe/Berlin", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "desiredReplicas": "4"}
SCALED_OBJECT: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "chat"},
    "spec": {
        "scaleTargetRef": {"name": "vllm"},
        "triggers": [
            {"type": "prometheus", "metadata": {"query": "x", "threshold": "5"}},
            {"type": "cron", "name": "office hours", "metadata": CRON},
        ],
    },
}
POD_SPEC: dict[str, Any] = {
    "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-nodepool": "l4"},
    "containers": [
        {"name": "proxy", "image": "envoy"},
        {
            "name": "server",
            "image": "vllm/vllm-openai:v0.11.0",
            "args": ["--model", "meta-llama/Llama-3.1-8B-Instruct"],
            "resources": {"limits": {"nvidia.com/gpu": "1"}},
        },
    ],
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "vllm", "namespace": "serving"},
    "spec": {"template": {"spec": POD_SPEC}},
}


def manifest(*objects: dict[str, Any], at: Path) -> Path:
    at.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    return at


def printed(seen: Any, namespace: str | None = None) -> tuple[str, dict[str, Any]]:
    text = text_for(seen, namespace)
    return text, yaml.safe_load(text)


def test_an_hpa_with_its_workload_becomes_an_object_that_decides(tmp_path: Path) -> None:
    """With a known model and GPU nothing is missing: the policy can be built at once."""
    text, made = printed(from_manifests([manifest(HPA, DEPLOYMENT, at=tmp_path / "a.yaml")]))
    spec = parse_spec(made["spec"])
    assert made["metadata"] == {"name": "chat", "namespace": "serving"}
    assert (spec.mode, spec.min_replicas, spec.max_replicas) == ("Recommend", 2, 20)
    assert spec.profile == "llama-3.1-8b-l4"
    assert spec.behavior.scale_down.stabilization_window_seconds == 600
    assert spec.metrics == ()
    assert combined_spec(spec).predictive.tpot_seconds > 0.0625, "above an empty batch's step on an L4"
    assert "  minReplicas: 2 # of the HPA\n" in text
    assert "--model meta-llama/Llama-3.1-8B-Instruct, cloud.google.com/gke-accelerator=nvidia-l4" in text
    assert "  #     cloud.google.com/gke-nodepool: l4\n" in text
    assert "for Direct delete it" in text


def test_what_is_commented_out_is_good_once_uncommented(tmp_path: Path) -> None:
    text, _ = printed(from_manifests([manifest(HPA, DEPLOYMENT, at=tmp_path / "a.yaml")]))
    lines = text.splitlines()
    optional = [
        line.replace("# ", "", 1) if line.startswith(("  # -", "  #   ", "  # metrics:", "  # nodePools:")) else line
        for line in lines
    ]
    spec = parse_spec(yaml.safe_load("\n".join(optional))["spec"])
    assert [metric.type for metric in spec.metrics] == ["Pods"]
    assert [pool.name for pool in spec.node_pools] == ["gpu"]


def test_metrics_that_cannot_be_taken_over_are_told(tmp_path: Path) -> None:
    odd = {**HPA, "spec": {**HPA["spec"], "metrics": [{"type": "Pods"}]}}
    text, _ = printed(from_manifests([manifest(odd, at=tmp_path / "a.yaml")]))
    assert "DECIDE: they cannot be taken over as they stand: spec.metrics[0]" in text


def test_a_scaled_objects_cron_triggers_become_schedules(tmp_path: Path) -> None:
    text, made = printed(from_manifests([manifest(SCALED_OBJECT, DEPLOYMENT, at=tmp_path / "a.yaml")]))
    spec = parse_spec(made["spec"])
    assert (spec.min_replicas, spec.max_replicas) == (1, 100)
    assert [(each.name, each.time_zone, each.min_replicas) for each in spec.schedules] == [
        ("office-hours", "Europe/Berlin", 4)
    ]
    assert "it was 0: the first request after zero would wait a lead time" in text
    assert "# - trigger 0 of type prometheus: KEDA alone serves its value" in text
    assert "Floor is not possible while KEDA owns the HPA" in text


def test_without_a_workload_the_profile_is_left_to_decide(tmp_path: Path) -> None:
    """The text is an object, and the controller does nothing with it until somebody has decided."""
    text, made = printed(from_manifests([manifest(HPA, at=tmp_path / "a.yaml")]))
    assert "DECIDE: the latency profile" in text
    with pytest.raises(BadInput, match=r"spec\.profile: was 'MODEL-GPU'"):
        combined_spec(parse_spec(made["spec"]))


@pytest.mark.parametrize(
    ("container", "labels", "name"),
    [
        pytest.param(
            {"args": ["--model=qwen/qwen3-14b"]},
            {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
            "qwen3-14b-a100",
            id="flag-with-equals-sign",
        ),
        pytest.param(
            {"command": ["vllm", "serve", "google/gemma-7b-it"], "args": ["-tp", "2"]},
            {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "gemma-7b-l4-tp2",
            id="vllm-serve",
        ),
        pytest.param(
            {
                "command": ["sh", "-c", "exec vllm serve $(M) --tensor-parallel-size=4"],
                "env": [{"name": "M", "value": "meta-llama/Llama-3.1-70B-Instruct"}],
            },
            {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            "llama-3.1-70b-h100-tp4",
            id="shell-line",
        ),
        pytest.param(
            {"env": [{"name": "MODEL_ID", "value": "Qwen/Qwen2.5-7B-Instruct"}]},
            {"karpenter.k8s.aws/instance-gpu-name": "l40s"},
            "qwen2.5-7b-l40s",
            id="variable",
        ),
        pytest.param(
            {"args": ["--model", "meta-llama/Llama-3.1-8B-Instruct-FP8"]},
            {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "llama-3.1-8b-fp8-l4",
            id="quantised",
        ),
        pytest.param(
            {"args": ["--model", "google/gemma-7b-it"]},
            {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"},
            None,
            id="a100-of-40-gb",
        ),
        pytest.param(
            {"args": ["--model", "somebody/finetune"]},
            {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            None,
            id="unknown-model",
        ),
        pytest.param({"args": ["--model", "google/gemma-7b-it"]}, {}, None, id="unknown-gpu"),
        pytest.param(
            {"args": ["--model", "meta-llama/Llama-3.1-70B-Instruct"]},
            {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            None,
            id="does-not-fit",
        ),
        pytest.param({"args": ["--model"]}, {"cloud.google.com/gke-accelerator": "nvidia-l4"}, None, id="cut-off"),
        pytest.param({"command": ["sh", "-c", "echo 'open"]}, {}, None, id="open-quote"),
    ],
)
def test_profiles_are_guessed(container: dict[str, Any], labels: dict[str, str], name: str | None) -> None:
    guess = guess_profile({"containers": [{"name": "server", "image": "vllm/vllm-openai", **container}]}, labels)
    assert guess.name == name
    assert guess.why


@pytest.mark.parametrize(
    ("spec", "gpus"),
    [
        pytest.param(None, 1, id="no-pods"),
        pytest.param({"containers": []}, 1, id="no-container"),
        pytest.param({"containers": [{"name": "web", "image": "nginx"}]}, 1, id="no-server"),
        pytest.param({"containers": [{"image": "x", "resources": {"limits": {"nvidia.com/gpu": 4}}}]}, 4, id="by-gpus"),
    ],
)
def test_pods_that_tell_little(spec: dict[str, Any] | None, gpus: int) -> None:
    guess = guess_profile(spec)
    assert (guess.name, guess.gpus) == (None, gpus)


@pytest.mark.parametrize(
    ("scaler", "message"),
    [
        pytest.param({"kind": "Deployment"}, "must be a HorizontalPodAutoscaler or a ScaledObject", id="another-kind"),
        pytest.param(
            {
                **HPA,
                "metadata": {"name": "keda-hpa-chat", "ownerReferences": [{"kind": "ScaledObject", "name": "chat"}]},
            },
            "begin from that: leadtime init scaledobject/chat",
            id="kedas-hpa",
        ),
        pytest.param({**HPA, "spec": {}}, r"spec\.scaleTargetRef\.name: was None", id="no-target"),
        pytest.param(
            {**HPA, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "x"}}},
            r"spec\.maxReplicas: was None, must be a whole number",
            id="no-maximum",
        ),
    ],
)
def test_what_cannot_be_a_beginning(scaler: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        existing(scaler)


def pod(created: str, ready: str | None, restarts: int = 0) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    status = {"conditions": conditions, "containerStatuses": [{"restartCount": restarts}]}
    return {"metadata": {"creationTimestamp": created}, "spec": {"nodeName": "n1"}, "status": status}


def test_the_lead_time_is_the_median_of_pods_that_never_restarted() -> None:
    pods = [
        pod("2026-09-21T10:00:00Z", "2026-09-21T10:03:00Z"),
        pod("2026-09-21T10:00:00Z", "2026-09-21T10:05:00Z"),
        pod("2026-09-21T10:00:00Z", "2026-09-21T10:05:30Z"),
        pod("2026-09-21T10:00:00Z", "2026-09-21T11:00:00Z", restarts=1),
        pod("2026-09-21T10:00:00Z", None),
        pod("2026-09-21T10:00:00Z", "2026-09-21T09:00:00Z"),
    ]
    seen = seen_lead_time(pods)
    assert seen is not None
    assert (seen.median_seconds, seen.pods) == (300, 3)
    assert seen_lead_time([]) is None


def cluster(**changed: Any) -> FakeKubeReader:
    base = "/apis/apps/v1/namespaces/serving/deployments/vllm"
    scale = {"spec": {"replicas": 2}, "status": {"replicas": 2, "selector": "app=vllm"}}
    nothing_named = {**DEPLOYMENT, "spec": {"template": {"spec": {"containers": POD_SPEC["containers"]}}}}
    node_labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "karpenter.sh/nodepool": "h100"}
    answers: dict[str, Any] = {
        "/apis/autoscaling/v2/namespaces/serving/horizontalpodautoscalers/chat": HPA,
        "/apis/apps/v1": {
            "resources": [
                {"kind": "Deployment", "name": "deployments", "namespaced": True},
                {"kind": "Scale", "name": "deployments/scale", "namespaced": True, "verbs": ["get"]},
            ]
        },
        base: nothing_named,
        f"{base}/scale": scale,
        "/api/v1/namespaces/serving/pods": {"items": [pod("2026-09-21T10:00:00Z", "2026-09-21T10:03:00Z")]},
        "/api/v1/nodes/n1": {"metadata": {"labels": node_labels}},
    }
    return FakeKubeReader({**answers, **changed})


async def test_from_a_cluster_the_node_tells_the_gpu_and_the_pods_the_lead_time() -> None:
    client = cluster()
    text, made = printed(await from_cluster(client, "hpa", "chat", "serving"), "serving")
    spec = parse_spec(made["spec"])
    assert spec.profile == "llama-3.1-8b-h100"
    assert spec.lead_time.assumed_seconds == 180.0
    assert "median of 1 pods that run now" in text
    assert "  #     karpenter.sh/nodepool: h100\n" in text
    assert any(path.startswith("/api/v1/namespaces/serving/pods?labelSelector=app=vllm") for path in client.asked)


async def test_what_may_not_be_read_is_said_and_the_rest_goes_on() -> None:
    forbidden = ApiError(403, "Forbidden", "nodes is forbidden")
    seen = await from_cluster(cluster(**{"/api/v1/nodes/n1": forbidden}), "hpa", "chat", "serving")
    assert "nodes is forbidden" in seen.notes[0]
    assert seen.workload is not None
    assert parse_spec(printed(seen)[1]["spec"]).lead_time.assumed_seconds == 180.0


async def test_an_absent_hpa_is_told() -> None:
    with pytest.raises(BadInput, match=r"hpa/code in namespace serving: is not there; `kubectl get hpa -A`"):
        await from_cluster(cluster(), "hpa", "code", "serving")


@pytest.mark.parametrize("what", [["deployment/x"], ["hpa/a", "hpa/b"], ["absent.yaml"], ["hpa/"]])
def test_other_words_are_refused(what: list[str]) -> None:
    with pytest.raises(BadInput, match=r"must be hpa/NAME, scaledobject/NAME, or manifest files"):
        init_command(what)


def test_two_autoscalers_in_a_file_are_refused_and_a_list_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="held HorizontalPodAutoscaler chat, ScaledObject chat, must hold one"):
        from_manifests([manifest(HPA, SCALED_OBJECT, at=tmp_path / "a.yaml")])
    items = {"apiVersion": "v1", "kind": "List", "items": [HPA, DEPLOYMENT]}
    assert from_manifests([manifest(items, at=tmp_path / "b.yaml")]).workload == DEPLOYMENT
