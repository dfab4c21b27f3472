"""ScaledObjects become the KEDA policy's spec, or name what it cannot run.

Worked out from kedacore/keda apis/keda/v1alpha1/scaledobject_types.go and pkg/scalers/{prometheus,cron}_scaler.go.
"""

from pathlib import Path
from typing import Any

import pytest

from leadtime.manifests.read import read_policy
from policies.baselines.keda import KedaSpec
from policies.baselines.keda_triggers import PrometheusTrigger
from policies.baselines.schedule import Window
from policies.errors import BadInput
from policies.hpa import ScalingPolicy, default_behavior, scale_up_rules

HEAD = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: vllm}
spec:
  scaleTargetRef: {name: vllm}
"""
QUERY = "leadtime:num_requests_outstanding"
TRIGGERS = f"""\
  triggers:
  - type: prometheus
    metadata: {{serverAddress: 'http://prometheus:9090', query: '{QUERY}', threshold: '12.5'}}
"""
CRON = """\
  - type: cron
    metadata: {timezone: Europe/Berlin, start: 0 8 * * 1-5, end: 0 20 * * 1-5, desiredReplicas: '6'}
"""
PLAIN: dict[str, Any] = {"query": QUERY, "threshold": 12.5}


def read(folder: Path, text: str) -> Any:
    path = folder / "m.yaml"
    path.write_text(text)
    return read_policy(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(BadInput) as error:
        read(folder, text)
    return str(error.value).replace(str(folder / "m.yaml"), "m.yaml")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        pytest.param(HEAD + TRIGGERS, KedaSpec(**PLAIN), id="nothing-said-is-kedas-defaults"),
        pytest.param(
            HEAD
            + """\
  pollingInterval: 15
  cooldownPeriod: 120
  initialCooldownPeriod: 60
  idleReplicaCount: 0
  minReplicaCount: 2
  maxReplicaCount: 9
  fallback: {failureThreshold: 3, replicas: 4, behavior: currentReplicasIfHigher}
  advanced:
    restoreToOriginalReplicaCount: true
    horizontalPodAutoscalerConfig:
      name: keda-hpa-vllm
      behavior:
        scaleUp: {stabilizationWindowSeconds: 30}
        scaleDown: {stabilizationWindowSeconds: 120, policies: [{type: Percent, value: 100, periodSeconds: 15}]}
"""
            + TRIGGERS
            + """\
  - type: prometheus
    name: queue
    metricType: AverageValue
    authenticationRef: {name: token}
    metadata: {query: leadtime:gateway_queue, threshold: '3', activationThreshold: '1', ignoreNullValues: 'true'}
"""
            + CRON,
            KedaSpec(
                **PLAIN,
                more_triggers=(
                    PrometheusTrigger(query="leadtime:gateway_queue", threshold=3.0, activation_threshold=1.0),
                ),
                cron_triggers=(Window(start="0 8 * * 1-5", end="0 20 * * 1-5", replicas=6),),
                time_zone="Europe/Berlin",
                polling_interval_seconds=15,
                cooldown_seconds=120,
                initial_cooldown_seconds=60,
                idle_replicas=0,
                min_replicas=2,
                max_replicas=9,
                fallback_failure_threshold=3,
                fallback_replicas=4,
                fallback_behavior="currentReplicasIfHigher",
                scale_up_window_seconds=30,
                scale_down_window_seconds=120,
            ),
            id="every-field",
        ),
        pytest.param(
            HEAD + "  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleUp: "
            "{selectPolicy: Min, policies: [{type: Pods, value: 1, periodSeconds: 180}]}}}}\n" + TRIGGERS,
            KedaSpec(
                **PLAIN,
                behavior=default_behavior(
                    scale_up=scale_up_rules(
                        select_policy="Min", policies=(ScalingPolicy(type="Pods", value=1, period_seconds=180),)
                    )
                ),
            ),
            id="policies-of-a-behavior",
        ),
        pytest.param(
            HEAD + TRIGGERS.replace(QUERY, 'sum(vllm:num_requests_waiting{namespace="llm", model_name=~"llama.*"})'),
            KedaSpec(**{**PLAIN, "query": "sum(vllm:num_requests_waiting)"}),
            id="a-sum-whose-matchers-choose-the-workload",
        ),
        pytest.param(
            HEAD + "  advanced: {horizontalPodAutoscalerConfig: {behavior: {}}}\n" + TRIGGERS,
            KedaSpec(**PLAIN, scale_up_window_seconds=0),
            id="an-empty-behavior-is-no-classic-limit",
        ),
        pytest.param(
            HEAD.replace(
                "{name: vllm}",
                "{name: vllm, annotations: {autoscaling.keda.sh/paused-replicas: '3', "
                "autoscaling.keda.sh/paused: 'no', autoscaling.keda.sh/paused-scale-in: 'false', "
                "argocd.argoproj.io/sync-wave: '1'}}",
                1,
            )
            + TRIGGERS,
            KedaSpec(**PLAIN, paused=True, paused_replicas=3),  # `no` is no boolean to Go, and KEDA takes it for true
            id="annotations",
        ),
    ],
)
def test_what_would_run(tmp_path: Path, text: str, spec: KedaSpec) -> None:
    policy = read(tmp_path, text)
    assert policy.spec == spec
    assert policy.name == "vllm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            HEAD + "  minReplicas: 2\n" + TRIGGERS,
            "m.yaml:6: spec.minReplicas: unknown field; did you mean minReplicaCount?",
            id="the-hpas-name",
        ),
        pytest.param(
            HEAD + TRIGGERS.replace(QUERY, "rate(vllm:request_success_total[1m])"),
            "m.yaml:8: spec.triggers[0].metadata.query: was 'rate(vllm:request_success_total[1m])', must be a series "
            "or its sum, such as sum(vllm:num_requests_waiting); record the expression under a name and query that",
            id="promql-that-computes",
        ),
        pytest.param(
            HEAD + TRIGGERS.replace(QUERY, 'vllm:request_success_total{finished_reason="stop"}'),
            """the matcher 'finished_reason="stop"' is not supported""",
            id="a-matcher-that-chooses-among-series",
        ),
        pytest.param(
            HEAD + TRIGGERS.replace("'12.5'", "12.5"),
            "spec.triggers[0].metadata.threshold: was 12.5, must be a text",
            id="a-number-where-keda-takes-text",
        ),
        pytest.param(
            HEAD + TRIGGERS.replace("'12.5'", "'many'"), "threshold: was 'many', must be a number >= 0", id="no-number"
        ),
        pytest.param(
            HEAD + TRIGGERS.replace("threshold:", "treshold:"),
            "spec.triggers[0].metadata.treshold: unknown field; did you mean threshold?",
            id="misspelt-metadata",
        ),
        pytest.param(
            HEAD + TRIGGERS.replace("type: prometheus", "type: kafka"),
            "m.yaml:7: spec.triggers[0].type: was 'kafka', must be prometheus or cron",
            id="another-trigger",
        ),
        pytest.param(
            HEAD + "  triggers:\n" + CRON,
            "m.yaml:6: spec.triggers: must hold a trigger of type prometheus",
            id="cron-only",
        ),
        pytest.param(HEAD + "  triggers: []\n", "spec.triggers: was empty, must hold at least one", id="none"),
        pytest.param(HEAD, "m.yaml:4: spec.triggers: was empty", id="left-out"),
        pytest.param(
            HEAD + TRIGGERS + CRON + CRON.replace("Europe/Berlin", "UTC"),
            "spec.triggers: timezone differs between cron triggers",
            id="two-time-zones",
        ),
        pytest.param(
            HEAD + TRIGGERS + CRON.replace("'6'", "'six'"),
            "desiredReplicas: was 'six', must be a whole number",
            id="six",
        ),
        pytest.param(
            HEAD + TRIGGERS + CRON.replace("0 8", "60 8"), "was '60', must be a number in [0, 59]", id="minute"
        ),
        pytest.param(
            HEAD + "  advanced: {scalingModifiers: {formula: a + b}}\n" + TRIGGERS,
            "m.yaml:6: spec.advanced.scalingModifiers: is not supported: it replaces the triggers by a formula",
            id="formula",
        ),
        pytest.param(
            HEAD + "  minReplicaCount: 9\n  maxReplicaCount: 3\n" + TRIGGERS,
            "m.yaml:4: spec: minReplicas: was 9, must be <= maxReplicas (3)",
            id="minimum-above-maximum",
        ),
        pytest.param(
            HEAD + "  cooldownPeriod: -1\n" + TRIGGERS,
            "m.yaml:4: spec: cooldownSeconds: was -1, must be >= 0",
            id="negative",
        ),
        pytest.param(
            HEAD + "  fallback: {replicas: 4}\n" + TRIGGERS,
            "m.yaml:6: spec.fallback.failureThreshold: was not given, must be a whole number",
            id="half-a-fallback",
        ),
        pytest.param(
            HEAD.replace("{name: vllm}", "{name: vllm, annotations: {autoscaling.keda.sh/pause: 'true'}}", 1)
            + TRIGGERS,
            "m.yaml:3: metadata.annotations['autoscaling.keda.sh/pause']: unknown annotation; must be one of paused, ",
            id="unknown-annotation",
        ),
        pytest.param(
            HEAD + TRIGGERS.replace("- type: prometheus", "- type: prometheus\n    metricType: Value"),
            "spec.triggers[0].metricType: was 'Value', must be AverageValue",
            id="value",
        ),
    ],
)
def test_what_cannot_run_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)
