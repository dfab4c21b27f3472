"""Manifests run as they stand: good ones become the spec that the API server would store, bad ones name the field."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadtime.manifests.read import read_policy
from policies.errors import BadInput
from policies.hpa import (
    HPASpec,
    MetricSpec,
    ScalingPolicy,
    default_behavior,
    parse_quantity,
    scale_down_rules,
    scale_up_rules,
)
from policies.hpa.milli_value import milli

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"

TARGET = "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: vllm}\n"
HEAD = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: vllm}\nspec:\n" + TARGET
QUEUE = """\
  metrics:
  - type: Pods
    pods:
      metric: {name: vllm:num_requests_waiting}
      target: {type: AverageValue, averageValue: 5}
"""
WAITING = MetricSpec(type="Pods", name="vllm:num_requests_waiting", average_value_milli=5000)


def read(folder: Path, text: str) -> Any:
    path = folder / "m.yaml"
    path.write_text(text)
    return read_policy(path).spec


def refused(folder: Path, text: str) -> str:
    with pytest.raises(BadInput) as error:
        read(folder, text)
    return str(error.value).replace(str(folder / "m.yaml"), "m.yaml")


def pods(name: str, target: float) -> MetricSpec:
    return MetricSpec(type="Pods", name=name, average_value_milli=round(target * 1000))


@pytest.mark.parametrize(
    ("file", "metrics"),
    [
        ("hpa-batch-size.yaml", (pods("vllm:num_requests_running", 10),)),
        ("hpa-queue.yaml", (pods("vllm:num_requests_waiting", 5),)),
        ("hpa-dcgm.yaml", (pods("DCGM_FI_DEV_GPU_UTIL", 60),)),
        (
            "hpa-duty-cycle.yaml",
            (
                MetricSpec(
                    type="External",
                    name="kubernetes.io|container|accelerator|duty_cycle",
                    selector=(
                        ("resource.labels.container_name", "inference-server"),
                        ("resource.labels.namespace_name", "default"),
                    ),
                    average_value_milli=60_000,
                ),
            ),
        ),
        (
            "hpa-torchserve.yaml",
            (
                MetricSpec(type="Resource", name="cpu", average_utilization=70),
                pods("torchserve_requests_per_second", 100),
            ),
        ),
    ],
)
def test_the_examples_that_people_apply(file: str, metrics: tuple[MetricSpec, ...]) -> None:
    policy = read_policy(EXAMPLES / file)
    assert policy.spec == HPASpec(min_replicas=1, max_replicas=5, metrics=metrics)
    assert policy.queries == tuple(metric.query for metric in metrics)


def test_every_example_is_read() -> None:
    for path in sorted(EXAMPLES.glob("*.yaml")):
        assert read_policy(path).name


@pytest.mark.parametrize(
    ("body", "spec"),
    [
        pytest.param(
            "  maxReplicas: 3\n",
            HPASpec(max_replicas=3, metrics=(MetricSpec(type="Resource", name="cpu", average_utilization=80),)),
            id="without-metrics-the-api-server-puts-cpu-at-80-percent",
        ),
        pytest.param(
            "  minReplicas: 2\n  maxReplicas: 9\n  behavior: {}\n" + QUEUE,
            HPASpec(min_replicas=2, max_replicas=9, metrics=(WAITING,), behavior=default_behavior()),
            id="an-empty-behavior-is-a-behavior-with-every-default",
        ),
        pytest.param(
            """\
  maxReplicas: 9
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 30
      tolerance: 50m
      policies: [{type: Pods, value: 1, periodSeconds: 180}]
    scaleDown: {selectPolicy: Disabled, tolerance: 0.2}
"""
            + QUEUE,
            HPASpec(
                max_replicas=9,
                metrics=(WAITING,),
                behavior=default_behavior(
                    scale_up=scale_up_rules(
                        stabilization_window_seconds=30,
                        policies=(ScalingPolicy(type="Pods", value=1, period_seconds=180),),
                        tolerance=parse_quantity("50m"),
                    ),
                    scale_down=scale_down_rules(select_policy="Disabled", tolerance=parse_quantity("200m")),
                ),
            ),
            id="behavior-in-full",
        ),
        pytest.param(
            """\
  maxReplicas: 9
  metrics:
  - type: ContainerResource
    containerResource: {name: memory, container: vllm, target: {type: AverageValue, averageValue: 2Gi}}
  - type: Object
    object:
      describedObject: {apiVersion: v1, kind: Service, name: gateway}
      metric: {name: queue, selector: {matchExpressions: [{key: pool, operator: In, values: [a]}]}}
      target: {type: Value, value: 2500m}
  - type: External
    external: {metric: {name: x, selector: {matchLabels: {b: '2', a: '1'}}}, target: {type: Value, value: 1e3}}
""",
            HPASpec(
                max_replicas=9,
                metrics=(
                    MetricSpec(
                        type="ContainerResource",
                        name="memory",
                        container="vllm",
                        average_value_milli=2 * 1024**3 * 1000,
                    ),
                    MetricSpec(
                        type="Object",
                        name="queue",
                        object_name="Service/gateway",
                        selector=(("pool", "a"),),
                        value_milli=2500,
                    ),
                    MetricSpec(type="External", name="x", selector=(("a", "1"), ("b", "2")), value_milli=1_000_000),
                ),
            ),
            id="the-other-metric-types-with-selectors-and-quantities",
        ),
    ],
)
def test_what_the_api_server_would_store(tmp_path: Path, body: str, spec: HPASpec) -> None:
    assert read(tmp_path, HEAD + body) == spec


def test_other_documents_and_other_tools_fields_are_passed_over(tmp_path: Path) -> None:
    text = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: vllm}}
spec: {{anything: goes}}
---
{HEAD.replace("{name: vllm}", "{name: vllm, labels: {a: b}, annotations: {argocd.argoproj.io/sync-wave: '1'}}", 1)}\
  maxReplicas: 3
{QUEUE}
status: {{currentReplicas: 2}}
---
"""
    assert read(tmp_path, text).metrics == (WAITING,)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            "  maxReplicas: 3\n" + QUEUE.replace("vllm:num_requests_waiting}", "x, selectr: {}}"),
            "m.yaml:10: spec.metrics[0].pods.metric.selectr: unknown field; did you mean selector?",
            id="a-misspelt-field-names-its-path-and-the-nearest",
        ),
        pytest.param(
            "  maxReplicas: 3\n  maxReplica: 3\n  behaviour: {}\n",
            "m.yaml:7: spec.maxReplica: unknown field; did you mean maxReplicas?\n"
            "m.yaml:8: spec.behaviour: unknown field; did you mean behavior?",
            id="every-unknown-field-is-in-one-message",
        ),
        pytest.param(
            "  minReplicas: 2\n", "m.yaml:4: spec.maxReplicas: was not given, must be a whole number", id="no-maximum"
        ),
        pytest.param(
            "  minReplicas: 4\n  maxReplicas: 3\n",
            "m.yaml:4: spec.minReplicas: was 4, must be <= maxReplicas (3); lower it or raise maxReplicas",
            id="minimum-above-maximum",
        ),
        pytest.param(
            "  maxReplicas: 3\n  behavior: {scaleDown: {stabilizationWindowSeconds: -5}}\n",
            "m.yaml:4: spec.behavior.scaleDown.stabilizationWindowSeconds: was -5, must be in [0, 3600]",
            id="a-negative-window",
        ),
        pytest.param(
            "  maxReplicas: '3'\n", "m.yaml:6: spec.maxReplicas: was '3', must be a whole number", id="a-text-number"
        ),
        pytest.param(
            "  maxReplicas: true\n", "m.yaml:6: spec.maxReplicas: was True, must be a whole number", id="a-truth-value"
        ),
        pytest.param(
            "  maxReplicas: 3\n" + QUEUE.replace("averageValue: 5", "averageValue: five"),
            "m.yaml:11: spec.metrics[0].pods.target.averageValue: was 'five', "
            "must be a quantity such as 10, 0.5, 500m or 2Gi",
            id="no-quantity",
        ),
        pytest.param(
            "  maxReplicas: 3\n" + QUEUE.replace("averageValue: 5", "averageValue: 1e99999999999"),
            "m.yaml:11: spec.metrics[0].pods.target.averageValue: was '1e99999999999', "
            "must be a quantity; its exponent is out of range",
            id="a-quantity-that-would-never-end",
        ),
        pytest.param(
            "  maxReplicas: 3\n" + QUEUE.replace("averageValue: 5", "value: 5"),
            "m.yaml:4: spec.metrics[0].target: was value, must set exactly one of averageValue for type Pods",
            id="a-target-that-the-type-does-not-take",
        ),
        pytest.param(
            "  maxReplicas: 3\n" + QUEUE.replace("type: Pods", "type: Pod"),
            "m.yaml:8: spec.metrics[0].type: was 'Pod', must be one of Resource, ContainerResource, Pods, Object, "
            "External",
            id="no-metric-type",
        ),
        pytest.param(
            "  maxReplicas: 3\n" + QUEUE + "    resource: {name: cpu}\n",
            "m.yaml:12: spec.metrics[0].resource: must be left out for type Pods",
            id="a-block-of-another-type",
        ),
        pytest.param(
            "  maxReplicas: 3\n" + QUEUE.replace("  - type: Pods\n    pods:", "  - type: Pods\n    podz:"),
            "m.yaml:8: spec.metrics[0].pods: was not given, must be a mapping\n"
            "m.yaml:9: spec.metrics[0].podz: unknown field; did you mean pods?",
            id="a-missing-block",
        ),
        pytest.param(
            "  maxReplicas: 3\n"
            + QUEUE.replace(
                "waiting}", "waiting, selector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}]}}"
            ),
            "m.yaml:10: spec.metrics[0].pods.metric.selector.matchExpressions[0].operator: is not supported: "
            "only In with one value, which is an equality",
            id="a-selector-that-is-no-equality",
        ),
        pytest.param(
            "  maxReplicas: 3\n  behavior: {scaleUp: {policies: [{type: Pods, value: 1}], selectPolicy: Most}}\n",
            "m.yaml:7: spec.behavior.scaleUp.policies[0].periodSeconds: was not given, must be a whole number",
            id="half-a-policy",
        ),
        pytest.param(
            "  maxReplicas: 3\n  maxReplicas: 4\n", "m.yaml:7: is not YAML: 'maxReplicas' is given twice", id="twice"
        ),
        pytest.param("  maxReplicas: [\n", "m.yaml:7: is not YAML: ", id="cut-short"),
        pytest.param(
            "  maxReplicas: 3\n  metrics: [cpu]\n",
            "m.yaml:7: spec.metrics: [0] was 'cpu', must be a mapping",
            id="text",
        ),
        pytest.param(
            "  maxReplicas: 3\n  minReplicas: 0\n",
            "m.yaml:4: spec.minReplicas: was 0, must be >= 1; raise it or enable the feature gate HPAScaleToZero",
            id="zero",
        ),
    ],
)
def test_what_cannot_run_as_it_stands_is_named(tmp_path: Path, body: str, message: str) -> None:
    assert message in refused(tmp_path, HEAD + body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m.yaml: holds no autoscaler, must hold one of "),
        ("apiVersion: v1\nkind: Service\n", "found Service (line 1)"),
        ("- a\n", "m.yaml:1: was a list, must be a mapping with a kind"),
        ("hello\n", "m.yaml:1: was a str, must be a mapping with a kind"),
        ("a: !!python/object/apply:os.system [true]\n", "m.yaml:1: is not YAML: could not determine a constructor"),
        ("a: *b\n", "m.yaml:1: is not YAML: found undefined alias"),
        ("? {a: b}\n: c\n", "m.yaml:1: is not YAML: a key must be a text"),
        (
            HEAD.replace("autoscaling/v2", "autoscaling/v2beta2") + "  maxReplicas: 3\n",
            "m.yaml:1: apiVersion: was 'autoscaling/v2beta2', must be autoscaling/v2; `kubectl get hpa.v2.autoscaling",
        ),
        (
            HEAD + "  maxReplicas: 3\n---\n" + HEAD.replace("{name: vllm}", "{name: b}", 1) + "  maxReplicas: 3\n",
            "m.yaml: holds 2 autoscalers, must hold one: HorizontalPodAutoscaler vllm (line 1), Horizontal",
        ),
        (HEAD.replace(TARGET, ""), "m.yaml:4: spec: was not given, must be a mapping"),
        (
            HEAD.replace("metadata: {", "metadata: {annotation: {}, ") + "  maxReplicas: 3\n",
            "m.yaml:3: metadata.annotation: unknown field; did you mean annotations?",
        ),
    ],
)
def test_what_is_not_one_autoscaler_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(BadInput, match=reason):
            read_policy(path)
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="is not UTF-8 text"):
        read_policy(binary)
    binary.write_bytes(b"a: \x00b")
    with pytest.raises(BadInput, match="is not YAML"):
        read_policy(binary)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10_000),
        ("0.5", 500),
        ("500m", 500),
        ("1u", 1),  # rounded up to the milli-unit
        ("1.0001", 1001),
        ("2k", 2_000_000),
        ("1e3", 1_000_000),
        ("1.5Gi", 1_610_612_736_000),
        (".5", 500),
        ("1Ki", 1_024_000),
    ],
)
def test_quantities_as_kubernetes_reads_them(text: str, value: int) -> None:
    assert milli(text) == value


@pytest.mark.parametrize("text", ["", "m", "1 0", "1ki", "0x10", "1Kib", "\u0661\u0660", "1e400", "9E", "NaN"])
def test_what_is_no_quantity(text: str) -> None:
    if text == "9E":  # 9e18: fits upstream's int64, but not in milli-units
        with pytest.raises(BadInput, match="must be at most"):
            milli(text)
        return
    with pytest.raises(BadInput, match="must be a quantity"):
        milli(text)


LEAVES = st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats() | st.text(max_size=8) | st.dates()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner)
)
OTHERS = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a, annotations: {autoscaling.keda.sh/paused-replicas: '3'}}
spec:
  scaleTargetRef: {name: a}
  fallback: {failureThreshold: 3, replicas: 4}
  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}}
  triggers:
  - {type: prometheus, metadata: {query: a, threshold: '5'}}
  - {type: cron, metadata: {timezone: UTC, start: 0 8 * * *, end: 0 9 * * *, desiredReplicas: '6'}}
...
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: a, annotations: {autoscaling.knative.dev/window: 30s, serving.kserve.io/autoscalerClass: hpa}}
spec: {predictor: {model: {}, minReplicas: 1, maxReplicas: 3, scaleTarget: 5, containerConcurrency: 3}}
...
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: a}
spec: {template: {metadata: {annotations: {autoscaling.knative.dev/target: '5'}}, spec: {containerConcurrency: 3}}}
"""


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a manifest."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [(content, key) for key in keys] + [place for key in keys for place in places(content[key])]


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_field_runs_or_is_named(tmp_path: Path, data: st.DataObject) -> None:
    """A manifest with one field replaced by anything gives a policy or BadInput, never another error."""
    texts = [path.read_text() for path in sorted(EXAMPLES.glob("*.yaml"))] + OTHERS.split("...\n")
    content = yaml.safe_load(data.draw(st.sampled_from(texts)))
    container, key = data.draw(st.sampled_from(places(content)))
    container[key] = data.draw(VALUES)
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        said = read_policy(path).name
    except BadInput as error:
        said = str(error)
    assert said
