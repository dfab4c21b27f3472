"""What the llm-d guides' ScaledObjects share: their HPA, and how KEDA reads a query's answer.

KEDA's Prometheus scaler takes an empty answer for 0 (`ignoreNullValues` is true by default; kedacore/keda
pkg/scalers/prometheus_scaler.go) and a failed query for an error, on which the HPA stands still. A snapshot tells
the two apart: `ExternalMetric(())` is empty, `MetricError` failed. Values travel as milli-units, cut off.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from policies.errors import BadInput
from policies.hpa import (
    Behavior,
    HPASpec,
    MetricSpec,
    ScalingPolicy,
    default_behavior,
    scale_down_rules,
    scale_up_rules,
)
from policies.snapshot import ExternalMetric, MetricError, MetricQuery, Observation, Snapshot

QUEUE = MetricQuery(type="External", name="inference_extension_flow_control_queue_size")
RUNNING = MetricQuery(type="External", name="inference_objective_running_requests")

COMPOSITE = "composite-metric"
"""The one metric that KEDA serves in place of all triggers of a `scalingModifiers` formula."""

PERCENT_100 = ScalingPolicy(type="Percent", value=100, period_seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One trigger as KEDA read it: its value, or the error of its query."""

    value: float
    error: str | None = None


def read(snapshot: Snapshot, query: MetricQuery) -> Read:
    """The sum over the query's series; 0 where it has none."""
    answer = snapshot.observations.get(query)
    if isinstance(answer, ExternalMetric):
        return Read(value=sum(answer.values_milli) / 1000)
    if isinstance(answer, MetricError):
        return Read(value=0.0, error=answer.message)
    return Read(value=0.0, error=f"{query.name} was not asked for")


def served(value: float) -> ExternalMetric:
    """A value as KEDA's metrics server serves it to the HPA. Below 0 it serves 0."""
    return ExternalMetric((max(0, int(value * 1000)),))


def with_answers(snapshot: Snapshot, answers: Mapping[str, Observation]) -> Snapshot:
    """The snapshot in which the HPA finds KEDA's answers under these metric names."""
    observations = {MetricQuery(type="External", name=name): answer for name, answer in answers.items()}
    return replace(snapshot, observations=observations)


def average_value(name: str, target: float, field: str) -> MetricSpec:
    """An External metric with target AverageValue, in milli-units rounded up as a Quantity is."""
    if not 0.001 <= target <= 1e12:
        raise BadInput(f"{field}: was {target}, must be in [0.001, 1e12]")
    return MetricSpec(type="External", name=name, average_value_milli=math.ceil(round(target * 1000, 6)))


def behavior(
    *, up_window_seconds: int, up: tuple[ScalingPolicy, ...], down_window_seconds: int, down: tuple[ScalingPolicy, ...]
) -> Behavior:
    """`horizontalPodAutoscalerConfig.behavior` of a ScaledObject."""
    return default_behavior(
        scale_up=scale_up_rules(stabilization_window_seconds=up_window_seconds, policies=up),
        scale_down=scale_down_rules(stabilization_window_seconds=down_window_seconds, policies=down),
    )


def composite_hpa(min_replicas: int, max_replicas: int, how: Behavior) -> HPASpec:
    """The HPA behind a formula whose value is a replica count: target 1."""
    return HPASpec(
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        metrics=(average_value(COMPOSITE, 1.0, "target"),),
        behavior=how,
    )


def in_range(field: str, value: float, low: float, high: float) -> None:
    """Raise BadInput unless low <= value <= high."""
    if not low <= value <= high:
        raise BadInput(f"{field}: was {value}, must be in [{low}, {high}]")
