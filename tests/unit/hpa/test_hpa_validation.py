"""What an HPA may not ask for, and what it is told."""

import re
from dataclasses import replace

import pytest

from policies.errors import BadInput
from policies.hpa import (
    ControllerOptions,
    HPASpec,
    HPAState,
    MetricSpec,
    ScalingPolicy,
    decide,
    default_behavior,
    hpa_policy,
    parse_quantity,
    scale_down_rules,
    scale_up_rules,
)

WAITING = MetricSpec(type="Pods", name="vllm:num_requests_waiting", average_value_milli=10_000)
QUEUE = MetricSpec(type="External", name="queue_depth", value_milli=10_000)
GOOD = HPASpec(max_replicas=3, metrics=(WAITING,), behavior=default_behavior())


def with_metric(**fields):
    return replace(GOOD, metrics=(replace(WAITING, **fields),))


def with_down(**rules):
    return replace(GOOD, behavior=default_behavior(scale_down=scale_down_rules(**rules)))


def with_policy(**fields):
    policy = ScalingPolicy(**{"type": "Pods", "value": 1, "period_seconds": 60, **fields})
    return replace(GOOD, behavior=default_behavior(scale_up=scale_up_rules(policies=(policy,))))


def test_a_good_spec_becomes_a_policy():
    """The policy starts from an empty state and asks each query once."""
    policy = hpa_policy(replace(GOOD, metrics=(WAITING, QUEUE, WAITING)), name="stock")
    assert (policy.name, policy.decide, policy.initial_state) == ("stock", decide, HPAState())
    assert policy.queries == (WAITING.query, QUEUE.query)
    assert policy.period_seconds == 15


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            replace(GOOD, min_replicas=5),
            "minReplicas: was 5, must be <= maxReplicas (3); lower it or raise maxReplicas",
            id="minimum-above-maximum",
        ),
        pytest.param(
            replace(GOOD, min_replicas=0),
            "minReplicas: was 0, must be >= 1; raise it or enable the feature gate HPAScaleToZero",
            id="zero-without-the-gate",
        ),
        pytest.param(
            replace(GOOD, min_replicas=0, controller=ControllerOptions(hpa_scale_to_zero=True)),
            "minReplicas: was 0, must be >= 1 without an Object or External metric",
            id="zero-without-a-metric-that-outlives-the-pods",
        ),
        pytest.param(replace(GOOD, max_replicas=0), "maxReplicas: was 0, must be in [1, 2147483647]", id="maximum-0"),
        pytest.param(
            replace(GOOD, min_replicas=-1), "minReplicas: was -1, must be in [0, 2147483647]", id="negative-minimum"
        ),
        pytest.param(replace(GOOD, metrics=()), "metrics: was empty, must hold at least one metric", id="no-metric"),
        pytest.param(
            replace(GOOD, controller=ControllerOptions(tolerance=-0.1)),
            "controller.tolerance: was -0.1, must be a finite number >= 0",
            id="negative-tolerance",
        ),
        pytest.param(
            replace(GOOD, controller=ControllerOptions(downscale_stabilization_seconds=-1)),
            "controller.downscaleStabilizationSeconds: was -1, must be in [0, 2147483647]",
            id="negative-flag",
        ),
        pytest.param(with_metric(type="Guess"), "metrics[0].type: was 'Guess', must be one of", id="unknown-type"),
        pytest.param(with_metric(name=""), "metrics[0].name: was empty", id="no-name"),
        pytest.param(
            with_metric(type="ContainerResource"),
            "metrics[0].container: was '', must name a container",
            id="container-resource-without-container",
        ),
        pytest.param(
            with_metric(container="main"),
            "metrics[0].container: was 'main', must be empty for type Pods",
            id="container-where-there-is-none",
        ),
        pytest.param(
            with_metric(type="Object", object_name="vllm"),
            "metrics[0].describedObject: was 'vllm', must be Kind/name",
            id="object-without-kind",
        ),
        pytest.param(
            with_metric(average_value_milli=None),
            "metrics[0].target: was empty, must set exactly one of averageValue for type Pods",
            id="no-target",
        ),
        pytest.param(
            with_metric(value_milli=1),
            "metrics[0].target: was averageValue and value, must set exactly one of",
            id="two-targets",
        ),
        pytest.param(
            with_metric(average_value_milli=None, average_utilization=60),
            "metrics[0].target: was averageUtilization, must set exactly one of averageValue",
            id="a-target-of-another-type",
        ),
        pytest.param(
            with_metric(average_value_milli=0),
            "metrics[0].target.averageValue (in milli-units): was 0, must be in [1, ",
            id="a-target-of-zero",
        ),
        pytest.param(
            with_metric(type="Resource", name="cpu", average_value_milli=None, average_utilization=0),
            "metrics[0].target.averageUtilization: was 0, must be in [1, ",
            id="a-utilization-of-zero",
        ),
        pytest.param(
            with_down(stabilization_window_seconds=-5),
            "behavior.scaleDown.stabilizationWindowSeconds: was -5, must be in [0, 3600]",
            id="negative-window",
        ),
        pytest.param(
            with_down(stabilization_window_seconds=3601),
            "behavior.scaleDown.stabilizationWindowSeconds: was 3601, must be in [0, 3600]",
            id="window-above-an-hour",
        ),
        pytest.param(
            replace(
                GOOD,
                behavior=default_behavior(scale_up=replace(scale_up_rules(), stabilization_window_seconds=None)),
            ),
            "behavior.scaleUp.stabilizationWindowSeconds: was not given",
            id="scale-up-has-no-flag-to-fall-back-on",
        ),
        pytest.param(
            with_down(select_policy="Most"),
            "behavior.scaleDown.selectPolicy: was 'Most', must be one of Max, Min, Disabled",
            id="unknown-selectPolicy",
        ),
        pytest.param(
            with_down(policies=()), "behavior.scaleDown.policies: was empty, must hold at least one", id="no-policy"
        ),
        pytest.param(
            with_down(tolerance=parse_quantity("-0.1")),
            "behavior.scaleDown.tolerance: was -100m, must be >= 0",
            id="negative-tolerance-of-a-behavior",
        ),
        pytest.param(
            with_policy(type="Nodes"),
            "behavior.scaleUp.policies[0].type: was 'Nodes', must be one of Pods, Percent",
            id="unknown-policy-type",
        ),
        pytest.param(
            with_policy(value=0), "behavior.scaleUp.policies[0].value: was 0, must be in [1, 2147483647]", id="value-0"
        ),
        pytest.param(
            with_policy(period_seconds=1801),
            "behavior.scaleUp.policies[0].periodSeconds: was 1801, must be in [1, 1800]",
            id="period-above-half-an-hour",
        ),
    ],
)
def test_a_bad_spec_names_the_field_the_value_and_the_range(spec, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        hpa_policy(spec)
