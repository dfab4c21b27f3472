"""KEDA's triggers: what each is worth now, whether it is active, and what a failing one falls back to.

Sources, kedacore/keda: pkg/scalers/prometheus_scaler.go (ExecutePromQuery, commit 0805d72e), pkg/scalers/cron_scaler.go
(GetMetricsAndActivity), pkg/fallback/fallback.go (GetMetricsWithFallback, doFallback).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from policies import cron
from policies.baselines.schedule import Window
from policies.errors import BadInput
from policies.hpa import MetricSpec
from policies.snapshot import ExternalMetric, MetricError, MetricQuery, Observation, Snapshot

FallbackBehavior = Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]

_EMPTY_RESULT = "no metrics returned"
"""How a metrics API says that a query matched no series (k8s.io/metrics external_metrics client, and the simulator's
pipeline). To Prometheus that is an answer, an empty one; any other error is a failed query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusTrigger:
    """A query, the value that one replica is worth, and the value above which the workload is active at all.

    query: the name of a series, whose result must be one element, or `sum(NAME)`, which always is.
    """

    query: str
    threshold: float
    activation_threshold: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "PrometheusTrigger":
        """Read `NAME = THRESHOLD` or `NAME = THRESHOLD > ACTIVATION`. Raises BadInput."""
        query, _, values = text.rpartition("=")
        threshold, _, activation = values.partition(">")
        try:
            return cls(
                query=query.strip(), threshold=float(threshold), activation_threshold=float(activation.strip() or 0)
            )
        except ValueError:
            raise BadInput(f"trigger: was {text!r}, must be NAME = THRESHOLD, such as 'queue_size = 5'") from None

    def __str__(self) -> str:
        return f"{self.query} = {self.threshold:g} > {self.activation_threshold:g}"

    @property
    def is_sum(self) -> bool:
        return self.query.startswith("sum(")

    @property
    def metric(self) -> MetricSpec:
        """The generated HPA's metric: AverageValue, cut to milli-units as GetMetricTargetMili does."""
        name = self.query.removeprefix("sum(").removesuffix(")") if self.is_sum else self.query
        return MetricSpec(type="External", name=name, average_value_milli=int(self.threshold * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerValue:
    """One trigger at one instant. value_milli: None with an error."""

    metric: MetricSpec
    value_milli: int | None
    active: bool
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """After more than failure_threshold failures in a row, the metric says `replicas`."""

    failure_threshold: int
    replicas: int
    behavior: FallbackBehavior = "static"


def prometheus_value(trigger: PrometheusTrigger, snapshot: Snapshot, *, ignore_null_values: bool) -> TriggerValue:
    """The query's one value; an empty result is 0 unless null values are not to be ignored."""
    observation = snapshot.observations.get(trigger.metric.query)
    value_milli, error = None, ""
    if isinstance(observation, ExternalMetric) and (
        len(observation.values_milli) == 1 or (trigger.is_sum and observation.values_milli)
    ):
        value_milli = sum(observation.values_milli)
    elif isinstance(observation, ExternalMetric) and observation.values_milli:
        error = f"{trigger.query}: the query returned {len(observation.values_milli)} elements, must be one"
    elif not _is_empty(observation):
        error = observation.message if isinstance(observation, MetricError) else f"{trigger.query}: not answered"
    elif ignore_null_values:
        value_milli = 0
    else:
        error = f"{trigger.query}: the result is empty"
    active = value_milli is not None and value_milli / 1000 > trigger.activation_threshold
    return TriggerValue(metric=trigger.metric, value_milli=value_milli, active=active, error=error)


def cron_value(window: Window, index: int, zone: ZoneInfo, now_ns: int) -> TriggerValue:
    """The window's replicas while it is open, else 1, against a target of 1: a floor under the other triggers."""
    is_open = cron.is_open(cron.parse(window.start), cron.parse(window.end), zone, now_ns)
    metric = MetricSpec(type="External", name=f"cron-{index}", average_value_milli=1000)
    return TriggerValue(metric=metric, value_milli=1000 * (window.replicas if is_open else 1), active=is_open)


def with_fallback(
    fallback: Fallback | None, failures: Mapping[str, int], value: TriggerValue, replicas: int
) -> tuple[Observation, int, bool]:
    """(what the HPA is told, failures in a row, whether it is the fallback).

    The fallback is target x replicas, so that the HPA's division lands on the replicas.
    """
    if value.value_milli is not None:
        return ExternalMetric((value.value_milli,)), 0, False
    failed = failures.get(value.metric.name, 0) + 1
    if fallback is None or failed <= fallback.failure_threshold:
        return MetricError(value.error), failed, False
    wanted = {
        "static": fallback.replicas,
        "currentReplicas": replicas,
        "currentReplicasIfHigher": max(replicas, fallback.replicas),
        "currentReplicasIfLower": min(replicas, fallback.replicas),
    }[fallback.behavior]
    return ExternalMetric(((value.metric.average_value_milli or 0) * wanted,)), failed, True


def query(trigger: PrometheusTrigger) -> MetricQuery:
    """What the caller has to ask for."""
    return trigger.metric.query


def _is_empty(observation: Observation | None) -> bool:
    if isinstance(observation, ExternalMetric):
        return not observation.values_milli
    return isinstance(observation, MetricError) and observation.message.startswith(_EMPTY_RESULT)
