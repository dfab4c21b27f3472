"""HPAs and ScaledObjects as the API server shows them."""

from typing import Any

import pytest

from autoscaler.cluster import Key
from autoscaler.observe.hpa_seen import HpaCondition, TargetName, hpa_seen
from autoscaler.observe.scaled_object import scaled_object_seen
from policies.hpa import MetricSpec, Quantity

VLLM = TargetName(namespace="llm", group="apps", kind="Deployment", name="vllm")


def hpa(**changes: Any) -> dict[str, Any]:
    """changes: metadata, spec, status: added to a plain HPA."""
    return {
        "metadata": {
            "namespace": "llm",
            "name": "vllm",
            "uid": "u",
            "resourceVersion": "7",
            **changes.get("metadata", {}),
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
            "minReplicas": 2,
            "maxReplicas": 9,
            **changes.get("spec", {}),
        },
        "status": changes.get("status", {}),
    }


def test_what_an_hpa_scales_and_by_what() -> None:
    seen = hpa_seen(
        hpa(
            spec={
                "metrics": [
                    {
                        "type": "Pods",
                        "pods": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "1500m"}},
                    },
                    {
                        "type": "External",
                        "external": {
                            "metric": {
                                "name": "leadtime_needed_replicas",
                                "selector": {
                                    "matchLabels": {"b": "2"},
                                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}],
                                },
                            },
                            "target": {"type": "AverageValue", "averageValue": "1"},
                        },
                    },
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                    },
                    {
                        "type": "Object",
                        "object": {
                            "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "s"},
                            "metric": {"name": "hits"},
                            "target": {"type": "Value", "value": "2k"},
                        },
                    },
                ],
                "behavior": {"scaleUp": {"tolerance": "0"}, "scaleDown": {"stabilizationWindowSeconds": 60}},
            },
            status={
                "desiredReplicas": 4,
                "conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetExternalMetric"}],
            },
        )
    )
    assert (seen.key, seen.name, seen.target, seen.min_replicas, seen.max_replicas) == (
        Key("llm", "vllm"),
        "vllm",
        VLLM,
        2,
        9,
    )
    assert seen.metrics == (
        MetricSpec(type="Pods", name="q", target_type="AverageValue", average_value_milli=1500),
        MetricSpec(
            type="External",
            name="leadtime_needed_replicas",
            selector=(("a", "1"), ("b", "2")),
            target_type="AverageValue",
            average_value_milli=1000,
        ),
        MetricSpec(type="Resource", name="cpu", target_type="Utilization", average_utilization=70),
        MetricSpec(type="Object", name="hits", object_name="Service/s", target_type="Value", value_milli=2_000_000),
    )
    assert seen.behavior is not None
    assert seen.behavior.scale_up.tolerance == Quantity(mantissa=0, exponent=0)
    assert seen.behavior.scale_down.stabilization_window_seconds == 60
    assert len(seen.behavior.scale_up.policies) == 2  # the API server's defaults
    assert seen.desired_replicas == 4
    assert seen.conditions == (
        HpaCondition(type="ScalingActive", status="False", reason="FailedGetExternalMetric", message=""),
    )


def test_an_hpa_with_defaults_and_a_metric_that_cannot_be_read_is_seen_all_the_same() -> None:
    seen = hpa_seen(
        hpa(
            spec={
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Pods",
                        "pods": {
                            "metric": {
                                "name": "q",
                                "selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                            },
                            "target": {"type": "AverageValue", "averageValue": "1"},
                        },
                    }
                ],
            }
        )
    )
    assert (seen.metrics, seen.behavior, seen.owner) == ((), None, "")
    assert seen.unread == ("Pods: a selector other than an equality is not read",)


@pytest.mark.parametrize(
    ("metadata", "owner", "is_of_keda"),
    [
        pytest.param(
            {"ownerReferences": [{"kind": "ScaledObject", "name": "so", "controller": True}]},
            "ScaledObject/so",
            True,
            id="keda-by-its-reference",
        ),
        pytest.param({"labels": {"scaledobject.keda.sh/name": "so"}}, "ScaledObject/so", True, id="keda-by-its-label"),
        pytest.param(
            {"annotations": {"argocd.argoproj.io/tracking-id": "serving:autoscaling/HorizontalPodAutoscaler:llm/vllm"}},
            "Argo CD application/serving",
            False,
            id="argo-cd-by-its-tracking-id",
        ),
        pytest.param(
            {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux Kustomization/apps", False, id="flux"
        ),
        pytest.param({"annotations": {"meta.helm.sh/release-name": "r"}}, "Helm release/r", False, id="helm"),
        pytest.param(
            {"ownerReferences": [{"kind": "InferenceService", "name": "i", "controller": True}]},
            "InferenceService/i",
            False,
            id="an-operator",
        ),
        pytest.param({"labels": {"app": "vllm"}}, "", False, id="nobody"),
    ],
)
def test_who_keeps_an_hpa(metadata: dict[str, Any], owner: str, is_of_keda: bool) -> None:
    seen = hpa_seen(hpa(metadata=metadata))
    assert (seen.owner, seen.is_of_keda) == (owner, is_of_keda)


def test_managers_are_those_of_min_replicas() -> None:
    fields = [
        {"manager": "argocd-controller", "fieldsV1": {"f:spec": {"f:minReplicas": {}, "f:maxReplicas": {}}}},
        {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {}}},
        {"manager": "empty"},
    ]
    assert hpa_seen(hpa(metadata={"managedFields": fields})).managers == ("argocd-controller",)


def test_a_scaled_object_has_kedas_defaults() -> None:
    seen = scaled_object_seen(
        {"metadata": {"namespace": "llm", "name": "so"}, "spec": {"scaleTargetRef": {"name": "vllm"}}}
    )
    assert (seen.target, seen.min_replicas, seen.max_replicas, seen.hpa_name, seen.paused) == (
        VLLM,
        0,
        100,
        "keda-hpa-so",
        False,
    )


def test_a_scaled_object_says_more_where_it_does() -> None:
    seen = scaled_object_seen(
        {
            "metadata": {"namespace": "llm", "name": "so", "annotations": {"autoscaling.keda.sh/paused-replicas": "3"}},
            "spec": {
                "scaleTargetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "vllm"},
                "minReplicaCount": 2,
                "maxReplicaCount": 7,
            },
            "status": {"hpaName": "own"},
        }
    )
    assert (seen.target.group, seen.target.kind) == ("argoproj.io", "Rollout")
    assert (seen.min_replicas, seen.max_replicas, seen.hpa_name, seen.paused) == (2, 7, "own", True)
