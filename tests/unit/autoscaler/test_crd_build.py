"""A PredictiveAutoscalerSpec becomes what policies/ decide by."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.crd.build import combined_spec, hpa_behavior, metric_spec, pool_spec
from autoscaler.crd.node_pool import NodePool
from autoscaler.crd.parse import parse_spec
from leadtime.manifests.document import Document, Located
from leadtime.manifests.hpa import hpa_spec
from policies.combined.decide import combined_policy
from policies.combined.spec import Fallback, ScheduledFloor
from policies.errors import BadInput
from policies.hpa import Behavior, HPASpec, MetricSpec, ScalingPolicy, ScalingRules, default_behavior, parse_quantity
from policies.nodepools.spec import PoolSpec, SpotTerms

LEAST: dict[str, Any] = {
    "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
    "maxReplicas": 3,
    "profile": "llama-3.1-8b-l4",
    "slo": {"tpotSeconds": 0.075},
}
WHOLE = yaml.safe_load((Path(__file__).parent / "whole_predictive_autoscaler.yaml").read_text(encoding="utf-8"))


def test_the_least_spec_decides_by_the_defaults_of_policies() -> None:
    """What is not said must mean the same in the CRD and in policies/, or a back-test is of another policy."""
    built = combined_spec(parse_spec(LEAST))
    assert built.predictive.behavior == default_behavior(scale_down=built.predictive.rules.scale_down)
    assert built.predictive.rules.scale_down.stabilization_window_seconds == built.predictive.scale_down_window_seconds
    named = type(built.predictive)(
        profile=built.predictive.profile, tpot_seconds=0.075, max_replicas=3, behavior=built.predictive.behavior
    )
    assert built.predictive == named
    assert built == type(built)(predictive=named)


def test_every_part_of_a_whole_spec_arrives() -> None:
    built = combined_spec(parse_spec(WHOLE))
    predictive = built.predictive
    assert (predictive.profile.name, predictive.min_replicas, predictive.max_replicas) == (
        "llama-3.1-70b-h100-tp4",
        2,
        40,
    )
    assert (predictive.ttft_seconds, predictive.tpot_seconds, predictive.attainment) == (1.5, 0.05, 0.99)
    assert (predictive.lead_time_seconds, predictive.drain_seconds) == (420, 30)
    assert predictive.behavior == Behavior(
        scale_up=ScalingRules(
            stabilization_window_seconds=15,
            select_policy="Min",
            policies=(ScalingPolicy(type="Pods", value=8, period_seconds=30),),
            tolerance=parse_quantity("50m"),
        ),
        scale_down=ScalingRules(
            stabilization_window_seconds=600,
            select_policy="Disabled",
            policies=(
                ScalingPolicy(type="Percent", value=10, period_seconds=60),
                ScalingPolicy(type="Pods", value=1, period_seconds=60),
            ),
            tolerance=parse_quantity("200m"),
        ),
    )
    assert built.metrics == (
        MetricSpec(type="Resource", name="cpu", average_utilization=80),
        MetricSpec(type="ContainerResource", name="memory", container="vllm", average_value_milli=2**31 * 1000),
        MetricSpec(
            type="Pods",
            name="vllm:num_requests_waiting",
            selector=(("engine", "0"), ("model_name", "llama")),
            average_value_milli=2500,
        ),
        MetricSpec(type="Object", name="hits", object_name="Service/vllm", value_milli=10_000_000),
        MetricSpec(
            type="External",
            name="prometheus.googleapis.com|vllm:num_requests_waiting|gauge",
            average_value_milli=500,
        ),
    )
    assert built.schedules[0] == ScheduledFloor(
        name="office", start="0 8 * * mon-fri", end="0 20 * * mon-fri", time_zone="Europe/Berlin", min_replicas=8
    )
    assert built.fallback == Fallback(hold_seconds=900, replicas=6)
    assert built.pod_deletion_cost == "ByNode"
    assert combined_policy(built).spec == built


def test_every_part_of_a_node_pool_arrives() -> None:
    assert pool_spec(parse_spec(WHOLE).node_pools[0]) == PoolSpec(
        name="h100",
        gpus_per_node=8,
        min_nodes=1,
        max_nodes=6,
        quota_gpus=48,
        price_per_node_hour=88.5,
        spot=SpotTerms(price_per_node_hour=30.25, preemptions_per_node_hour=0.05, zone_events_per_hour=0.01, zones=3),
        on_demand_base_share=0.25,
        max_step_nodes=2,
        cooldown_seconds=1200,
        provision_seconds=240,
    )


def test_the_least_node_pool_has_the_defaults_of_policies() -> None:
    pool = NodePool.model_validate({"name": "l4", "maxNodes": 5})
    assert pool_spec(pool) == PoolSpec(name="l4", gpus_per_node=1, max_nodes=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"profile": "llama-4-l4"}, "spec.profile: was 'llama-4-l4', must be one of", id="no such profile"),
        pytest.param(
            {"profile": "llama-3.1-70b-l4"}, "spec.profile: llama-3.1-70b does not fit 1 x NVIDIA-L4", id="no room"
        ),
        pytest.param(
            {"slo": {"tpotSeconds": 0.001}}, "spec.slo.tpotSeconds: was 0.001, must be above", id="too slow a GPU"
        ),
        pytest.param(
            {
                "schedules": [
                    {"name": "day", "start": "0 8 * * *", "end": "0  8 * * *", "minReplicas": 1},
                ]
            },
            "spec.schedules[0].end: was '0  8 * * *', must differ from start",
            id="what only spaces tell apart",
        ),
    ],
)
def test_what_only_the_policy_can_tell_is_refused_by_its_path(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        combined_spec(parse_spec(LEAST | changes))
    assert str(refused.value).startswith(message)


# The two readers of what an HPA says: this one and that of `leadtime simulate HPA.yaml`.

NAMES = st.sampled_from(["cpu", "vllm:num_requests_waiting", "a|b|gauge"])
AMOUNTS = st.one_of(
    st.integers(1, 10**6), st.sampled_from(["0.5", "500m", "2Gi", "1e3", "1500m", "3k", "0.0001", ".5", "5."])
)
SELECTORS = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(st.sampled_from(["app", "model"]), st.sampled_from(["a", "b"])),
        "matchExpressions": st.just([{"key": "engine", "operator": "In", "values": ["0"]}]),
    },
)
IDENTIFIERS = st.fixed_dictionaries({"name": NAMES}, optional={"selector": SELECTORS})
UTILIZATION = st.fixed_dictionaries({"type": st.just("Utilization"), "averageUtilization": st.integers(1, 300)})
AVERAGE = st.fixed_dictionaries({"type": st.just("AverageValue"), "averageValue": AMOUNTS})
VALUE = st.fixed_dictionaries({"type": st.just("Value"), "value": AMOUNTS})
DESCRIBED = st.fixed_dictionaries(
    {"kind": st.just("Service"), "name": st.just("vllm")}, optional={"apiVersion": st.just("v1")}
)


def entry(kind: str, **fields: Any) -> Any:
    block = kind[0].lower() + kind[1:]
    return st.fixed_dictionaries({"type": st.just(kind), block: st.fixed_dictionaries(fields)})


METRICS = st.lists(
    st.one_of(
        entry("Resource", name=NAMES, target=UTILIZATION | AVERAGE),
        entry("ContainerResource", name=NAMES, container=st.just("vllm"), target=UTILIZATION | AVERAGE),
        entry("Pods", metric=IDENTIFIERS, target=AVERAGE),
        entry("Object", metric=IDENTIFIERS, describedObject=DESCRIBED, target=VALUE | AVERAGE),
        entry("External", metric=IDENTIFIERS, target=VALUE | AVERAGE),
    ),
    min_size=1,
    max_size=4,
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "stabilizationWindowSeconds": st.integers(0, 3600),
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
        "policies": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["Pods", "Percent"]),
                    "value": st.integers(1, 1000),
                    "periodSeconds": st.integers(1, 1800),
                }
            ),
            min_size=1,
            max_size=3,
        ),
        "tolerance": st.one_of(st.integers(0, 2), st.sampled_from(["0.05", "100m", "0", "1e-1", "0.3"])),
    },
)
BEHAVIORS = st.fixed_dictionaries({}, optional={"scaleUp": RULES, "scaleDown": RULES})


def located(value: Any) -> Any:
    """As a manifest's reader has mappings."""
    if isinstance(value, dict):
        found = Located()
        found.update({key: located(each) for key, each in value.items()})
        return found
    return [located(each) for each in value] if isinstance(value, list) else value


def of_manifest(metrics: Any, behavior: Any) -> HPASpec:
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
        "maxReplicas": 3,
        "metrics": metrics,
        "behavior": behavior,
    }
    content = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {}, "spec": spec}
    return hpa_spec(Document(path=Path("hpa.yaml"), line=1, content=located(content)))


@given(metrics=METRICS, behavior=BEHAVIORS)
def test_metrics_and_behavior_mean_what_they_mean_in_an_hpa(metrics: Any, behavior: Any) -> None:
    """Two readers, one meaning; but for the window of scaling down, which an HPA's controller has by a flag."""
    spec = parse_spec(LEAST | {"metrics": metrics, "behavior": behavior})
    hpa = of_manifest(metrics, behavior)
    assert tuple(metric_spec(metric) for metric in spec.metrics) == hpa.metrics
    assert hpa.behavior is not None
    down = hpa.behavior.scale_down
    if down.stabilization_window_seconds is None:
        down = replace(down, stabilization_window_seconds=hpa.controller.downscale_stabilization_seconds)
    assert hpa_behavior(spec.behavior) == replace(hpa.behavior, scale_down=down)
