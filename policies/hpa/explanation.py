"""A proposal as a Decision: the HPA's own reason, one sentence, and the numbers behind it."""

from policies.decision import Decision
from policies.hpa.metrics import MetricsResult
from policies.hpa.normalization import Normalized
from policies.hpa.replica_calculator import ReplicaCount
from policies.hpa.spec import HPASpec, MetricSpec
from policies.hpa.sync import Proposal


def explain(spec: HPASpec, proposal: Proposal) -> Decision:
    """The decision of one sync.

    reason: `FailedGet...Metric` or `ScalingDisabled` where nothing could be done; else the limit that cut
        the count; else the stabilization that held it; else `ReadyForNewScale`.
    numbers: replica counts along the way, and per metric `<name>_usage_milli`, `<name>_target_milli` (or
        `_percent` for utilization) and `<name>_replicas`; a failed metric has its target only.
    """
    current, desired = proposal.current_replicas, proposal.desired_replicas
    numbers: dict[str, float] = {"replicas": current, "desired_replicas": desired}
    reason, why = proposal.outcome, _out_of_bounds(spec, proposal)
    metrics, normalized = proposal.metrics, proposal.normalized
    if metrics is not None:
        numbers.update(metric_numbers(spec, metrics))
        reason, why = metrics.failed_reason, f"nothing can be done on {metrics.error}"
        if normalized is not None:
            numbers["unstabilized_replicas"] = normalized.unstabilized_replicas
            numbers["stabilized_replicas"] = normalized.stabilized_replicas
            reason = normalized.limited_reason if normalized.is_limited else normalized.stabilized_reason
            why = _computed(spec, metrics, normalized)
    change = f"{current} -> {desired} replicas" if desired != current else f"{current} replicas kept"
    return Decision(desired_replicas=desired, reason=reason, message=f"{change}: {why}", numbers=numbers)


def _out_of_bounds(spec: HPASpec, proposal: Proposal) -> str:
    if proposal.outcome == "TooManyReplicas":
        return f"the scale is above maxReplicas ({spec.max_replicas})"
    if proposal.outcome == "TooFewReplicas":
        return f"the scale is below minReplicas ({spec.min_replicas})"
    return "scaling is disabled while the scale is at a zero that this HPA did not ask for"


def _computed(spec: HPASpec, metrics: MetricsResult, normalized: Normalized) -> str:
    clauses = []
    if metrics.winner is not None:
        count = metrics.counts[metrics.winner]
        if count is not None:
            clauses.append(usage_words(spec.metrics[metrics.winner], count))
    clauses.append(f"wants {normalized.unstabilized_replicas}")
    if normalized.stabilized_reason != "ReadyForNewScale":
        clauses.append(f"{normalized.stabilized_reason} at {normalized.stabilized_replicas}")
    if normalized.is_limited:
        clauses.append(f"{normalized.limited_reason} at {normalized.replicas}")
    if metrics.error is not None:
        clauses.append(metrics.error)
    return ", ".join(clauses)


def usage_words(metric: MetricSpec, count: ReplicaCount) -> str:
    """One metric beside its target."""
    if count.utilization is not None:
        return f"{metric.name} utilization is {count.utilization} % (target {metric.average_utilization} %)"
    if metric.used_target == "Value" and metric.value_milli is not None:
        return f"{metric.name} is {_plain(count.usage_milli)} (target {_plain(metric.value_milli)})"
    target = _plain(metric.average_value_milli or 0)
    return f"{metric.name} is {_plain(count.usage_milli)} per pod (target {target})"


def _plain(milli: int) -> str:
    """A milli-quantity as people write it: 1500 -> 1.5."""
    return f"{milli / 1000:.12g}"


def metric_numbers(spec: HPASpec, metrics: MetricsResult) -> dict[str, float]:
    """Usage, target and proposal of each metric, as in a Decision; a failed one has its target only."""
    numbers: dict[str, float] = {}
    seen: set[str] = set()
    for index, (metric, count) in enumerate(zip(spec.metrics, metrics.counts, strict=True), start=1):
        name = f"{metric.name}_{index}" if metric.name in seen else metric.name  # cpu twice: cpu and cpu_2
        seen.add(metric.name)
        if metric.average_utilization is not None:
            numbers[f"{name}_target_percent"] = metric.average_utilization
            if count is not None and count.utilization is not None:
                numbers[f"{name}_usage_percent"] = count.utilization
        else:
            numbers[f"{name}_target_milli"] = metric.average_value_milli or metric.value_milli or 0
            if count is not None:
                numbers[f"{name}_usage_milli"] = count.usage_milli
        if count is not None:
            numbers[f"{name}_replicas"] = count.replicas
    return numbers
