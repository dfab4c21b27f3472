"""Knative and KServe manifests become the KPA that Knative would run, or the HPA that KServe would generate.

Worked out from knative/serving pkg/reconciler/autoscaling/resources/target.go and kserve/kserve
.../reconcilers/knative/ksvc_reconciler.go, .../reconcilers/hpa/hpa_reconciler.go.
"""

from pathlib import Path
from typing import Any

import pytest

from leadtime.manifests.annotations import NotOfTheType, duration_seconds
from leadtime.manifests.read import read_policy
from policies.baselines.knative_kpa import KnativeSpec
from policies.errors import BadInput
from policies.hpa import HPASpec, MetricSpec, default_behavior

SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: llm}
spec:
  template:
    metadata:
      annotations:
        prometheus.io/scrape: 'true'
"""
POD = "    spec:\n      containers: [{image: vllm}]\n"
KSERVE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: llm
  annotations:
    sidecar.istio.io/inject: 'true'
"""
PREDICTOR = "spec:\n  predictor:\n    model: {modelFormat: {name: huggingface}}\n"


def annotated(**given: str) -> str:
    lines = [f"        autoscaling.knative.dev/{key.replace('_', '-')}: '{text}'\n" for key, text in given.items()]
    return SERVICE + "".join(lines) + POD


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
        pytest.param(SERVICE + POD, KnativeSpec(), id="nothing-said-is-knatives-defaults"),
        pytest.param(
            annotated(
                **{"class": "kpa.autoscaling.knative.dev"},
                metric="concurrency",
                target="10",
                target_utilization_percentage="80",
                min_scale="2",
                max_scale="9",
                initial_scale="3",
                activation_scale="2",
                window="1m30s",
                panic_window_percentage="20",
                panic_threshold_percentage="150.5",
                scale_to_zero_pod_retention_period="5m",
                scale_down_delay="0",
                target_burst_capacity="-1",
            ),
            KnativeSpec(
                target_concurrency=10.0,
                target_utilization=0.8,
                min_replicas=2,
                max_replicas=9,
                activation_scale=2,
                stable_window_seconds=90,
                panic_window_percentage=20.0,
                panic_threshold_percentage=150.5,
                scale_to_zero_pod_retention_period_seconds=300,
            ),
            id="every-annotation",
        ),
        pytest.param(
            annotated(minScale="1", maxScale="4", targetUtilizationPercentage="50"),
            KnativeSpec(min_replicas=1, max_replicas=4, target_utilization=0.5),
            id="the-keys-from-before-1.0",
        ),
        pytest.param(
            SERVICE + POD + "      containerConcurrency: 20\n",
            KnativeSpec(target_concurrency=20.0),
            id="a-hard-limit-is-the-target-where-none-is-given",
        ),
        pytest.param(
            annotated(target="50") + "      containerConcurrency: 20\n",
            KnativeSpec(target_concurrency=20.0),
            id="a-target-above-the-hard-limit-is-the-limit",
        ),
        pytest.param(
            "apiVersion: autoscaling.internal.knative.dev/v1alpha1\nkind: PodAutoscaler\nmetadata: {annotations: "
            "{autoscaling.knative.dev/target: '7'}}\nspec: {containerConcurrency: 0, reachability: Reachable}\n",
            KnativeSpec(target_concurrency=7.0),
            id="the-podautoscaler-itself",
        ),
        pytest.param(
            KSERVE + PREDICTOR, KnativeSpec(min_replicas=1), id="kserve-keeps-one-replica-where-nothing-is-said"
        ),
        pytest.param(
            KSERVE
            + "    autoscaling.knative.dev/target: '5'\n    autoscaling.knative.dev/min-scale: '3'\n"
            + PREDICTOR
            + "    minReplicas: 0\n    maxReplicas: 6\n    scaleTarget: 12\n    scaleMetric: concurrency\n"
            + "    containerConcurrency: 16\n    annotations: {autoscaling.knative.dev/window: 30s}\n",
            KnativeSpec(target_concurrency=12.0, min_replicas=0, max_replicas=6, stable_window_seconds=30),
            id="kserves-fields-override-the-annotations",
        ),
        pytest.param(
            KSERVE
            + "    serving.kserve.io/deploymentMode: RawDeployment\n"
            + PREDICTOR
            + "    minReplicas: 2\n    maxReplicas: 6\n    scaleTarget: 60\n    scaleMetric: memory\n",
            HPASpec(
                min_replicas=2,
                max_replicas=6,
                metrics=(MetricSpec(type="Resource", name="memory", average_utilization=60),),
                behavior=default_behavior(),
            ),
            id="raw-deployment-is-an-hpa",
        ),
        pytest.param(
            KSERVE
            + "    serving.kserve.io/deploymentMode: Standard\n    serving.kserve.io/autoscalerClass: hpa\n"
            + "    serving.kserve.io/targetUtilizationPercentage: '75'\n"
            + PREDICTOR
            + "    minReplicas: 0\n",
            HPASpec(
                min_replicas=1,
                max_replicas=1,
                metrics=(MetricSpec(type="Resource", name="cpu", average_utilization=75),),
                behavior=default_behavior(),
            ),
            id="raw-deployment-keeps-one-and-takes-its-maximum-from-the-minimum",
        ),
    ],
)
def test_what_would_run(tmp_path: Path, text: str, spec: Any) -> None:
    assert read(tmp_path, text).spec == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            annotated(target_utilisation_percentage="70"),
            "m.yaml:9: spec.template.metadata.annotations['autoscaling.knative.dev/target-utilisation-percentage']: "
            "unknown annotation; did you mean autoscaling.knative.dev/target-utilization-percentage?",
            id="misspelt",
        ),
        pytest.param(annotated(window="5s"), "was '5s', must be whole seconds in [6s, 3600s]", id="short-window"),
        pytest.param(annotated(window="60"), "was '60', must be a duration such as 60s or 1m30s", id="no-unit"),
        pytest.param(annotated(window="6500ms"), "was '6500ms', must be whole seconds in", id="half-a-second"),
        pytest.param(annotated(scale_down_delay="-5s"), "was '-5s', must be a duration", id="negative-window"),
        pytest.param(annotated(min_scale="-1"), "was '-1', must be a whole number in [0, 2147483647]", id="below-zero"),
        pytest.param(annotated(target="0"), "was '0', must be a number in [0.01, inf]", id="no-target"),
        pytest.param(annotated(target="nan"), "was 'nan', must be a number in", id="nan"),
        pytest.param(
            annotated(min_scale="5", max_scale="3"),
            "m.yaml:1: minReplicas: was 5, must be in [0, 3]",
            id="min-above-max",
        ),
        pytest.param(annotated(metric="rps"), "metric rps is not supported: the KPA here scales on", id="rps"),
        pytest.param(
            annotated(**{"class": "hpa.autoscaling.knative.dev"}),
            "class hpa.autoscaling.knative.dev is not supported: give the HorizontalPodAutoscaler",
            id="knatives-hpa",
        ),
        pytest.param(
            annotated(**{"class": "kpa"}), "was 'kpa', must be one of kpa.autoscaling.knative.dev, hpa", id="class"
        ),
        pytest.param(
            SERVICE.replace("{name: llm}", "{name: llm, annotations: {autoscaling.knative.dev/target: '5'}}") + POD,
            "m.yaml:3: metadata.annotations['autoscaling.knative.dev/target']: has no effect here; move it to spec."
            "template.metadata.annotations",
            id="in-the-wrong-place",
        ),
        pytest.param(
            SERVICE + POD + "      containerConcurency: 3\n",
            "m.yaml:11: spec.template.spec.containerConcurency: unknown field; did you mean containerConcurrency?",
            id="unknown-field",
        ),
        pytest.param(
            SERVICE + "        autoscaling.knative.dev/target: 5\n" + POD,
            "m.yaml:9: spec.template.metadata.annotations['autoscaling.knative.dev/target']: was 5, must be a text",
            id="an-annotation-that-is-no-text",
        ),
        pytest.param(
            KSERVE + PREDICTOR + "    minReplica: 2\n",
            "m.yaml:10: spec.predictor.minReplica: unknown field; did you mean minReplicas?",
            id="kserve-unknown-field",
        ),
        pytest.param(
            KSERVE + PREDICTOR + "    scaleTarget: 0\n",
            "m.yaml:10: spec.predictor.scaleTarget: was '0', must",
            id="zero",
        ),
        pytest.param(
            KSERVE + PREDICTOR + "    autoScaling: {metrics: []}\n",
            "m.yaml:10: spec.predictor.autoScaling: is not supported: ",
            id="kserve-keda",
        ),
        pytest.param(
            KSERVE + PREDICTOR + "  transformer: {}\n",
            "m.yaml:10: spec.transformer: is not supported: each of them scales on its own",
            id="two-fleets",
        ),
        pytest.param(
            KSERVE + "    serving.kserve.io/autoscalerClass: keda\n" + PREDICTOR,
            "m.yaml:7: metadata.annotations['serving.kserve.io/autoscalerClass']: was 'keda', which scales by a",
            id="kserve-external",
        ),
        pytest.param(
            KSERVE + "    serving.kserve.io/deploymentMode: RawDeployment\n" + PREDICTOR + "    scaleMetric: rps\n",
            "scaleMetric was 'rps', must be cpu or memory with KServe's HPA",
            id="raw-deployment-has-no-request-metrics",
        ),
        pytest.param(
            KSERVE + "    serving.kserve.io/deploymentMode: RawDeployment\n" + PREDICTOR + "    scaleTarget: -1\n",
            "m.yaml:1: metrics[0].target.averageUtilization: was -1",
            id="raw-deployment-target",
        ),
        pytest.param(KSERVE, "m.yaml:1: spec: was not given, must be a mapping", id="kserve-without-a-spec"),
    ],
)
def test_what_cannot_run_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("90s", 90.0), ("1m30s", 90.0), ("1.5h", 5400.0), ("250ms", 0.25), ("+5s", 5.0), (".5m", 30.0)],
)
def test_durations_as_go_reads_them(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "5 s", "1m-5s", "\u0661s", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(NotOfTheType):
        duration_seconds(text)
