"""One step as the object's status. Pure; what is not known is left out, never 0."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from adapter.sources.kubernetes.api import Json
from autoscaler.crd.spec import Cost
from autoscaler.explain.conditions import conditions
from autoscaler.forecast import Forecast
from autoscaler.outcome import Outcome, PoolOutcome
from policies.snapshot import NS_PER_SECOND


def status_of(outcome: Outcome, before: Mapping[str, Any], cost: Cost | None = None) -> Json:
    """In the CRD's shape (autoscaler/crd/status.py). before: the status as it was, for times that outlive a step.

    A step that decided nothing keeps the last decision and its numbers: a condition says that they are old.
    """
    decision, replicas = outcome.decision, outcome.replicas
    status: Json = {
        "observedGeneration": outcome.generation,
        "mode": outcome.mode,
        "paused": outcome.paused,
        "conditions": _conditions(outcome, before),
        "lastScaleTime": rfc3339(outcome.at_ns) if outcome.acted.after is not None else before.get("lastScaleTime"),
    }
    if replicas is not None:
        status["currentReplicas"] = replicas.asked
        status["readyReplicas"] = replicas.ready
        status["startingReplicas"] = replicas.starting
        status["pendingReplicas"] = replicas.pending
        if cost is not None and cost.price_per_gpu_hour is not None:
            hourly_cost = replicas.asked * cost.gpus_per_replica * cost.price_per_gpu_hour
            status["hourlyCost"] = _rounded(hourly_cost)
    if decision is None:
        kept = ("desiredReplicas", "reason", "message", "lastDecisionTime", "demand", "forecast", "capacity")
        status |= {name: before[name] for name in kept if name in before}
    else:
        status["desiredReplicas"] = decision.desired_replicas
        status["reason"] = decision.reason
        status["message"] = decision.message
        status["lastDecisionTime"] = rfc3339(outcome.at_ns)
        status |= _numbers(decision.numbers)
        if outcome.forecast is not None:
            status["forecast"] = _band(outcome.forecast) | status.get("forecast", {})
    if outcome.pools:
        status["nodePools"] = [_pool(pool) for pool in outcome.pools]
    return {name: value for name, value in status.items() if value is not None}


def rfc3339(at_ns: int) -> str:
    """A metav1.Time: whole seconds, UTC."""
    return datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _conditions(outcome: Outcome, before: Mapping[str, Any]) -> list[Json]:
    """lastTransitionTime moves with `status` alone, as metav1.Condition has it."""
    known = {each.get("type"): each for each in before.get("conditions") or ()}
    told = []
    for finding in conditions(outcome):
        was = known.get(finding.type)
        since = was["lastTransitionTime"] if was and was.get("status") == finding.status else rfc3339(outcome.at_ns)
        told.append(
            {
                "type": finding.type,
                "status": finding.status,
                "observedGeneration": outcome.generation,
                "lastTransitionTime": since,
                "reason": finding.reason,
                "message": finding.message,
            }
        )
    return told


_SECTIONS = {
    "demand": {
        "requestsPerSecond": "demand_requests_per_second",
        "backlogRequests": "backlog_requests",
        "promptTokens": "prompt_tokens",
        "outputTokens": "output_tokens",
    },
    "forecast": {
        "leadTimeSeconds": "lead_time_seconds",
        "nowReplicas": "load_replicas",
        "aheadReplicas": "ahead_replicas",
        "margin": "margin",
        "learnedDays": "learned_days",
    },
    "capacity": {"requestsPerSecondPerReplica": "capacity_requests_per_second"},
}
"""status field -> name in Decision.numbers."""


def _numbers(numbers: Mapping[str, float]) -> Json:
    told = {
        section: {field: _rounded(numbers[name]) for field, name in fields.items() if name in numbers}
        for section, fields in _SECTIONS.items()
    }
    if "ahead_replicas" in numbers and "capacity_requests_per_second" in numbers:
        ahead = numbers["ahead_replicas"] * numbers["capacity_requests_per_second"]
        told["forecast"]["aheadRequestsPerSecond"] = _rounded(ahead)
    return {section: fields for section, fields in told.items() if fields}


def _band(forecast: Forecast) -> Json:
    told = {
        "lowerRequestsPerSecond": forecast.lower_requests_per_second,
        "medianRequestsPerSecond": forecast.median_requests_per_second,
        "upperRequestsPerSecond": forecast.upper_requests_per_second,
        "coveredShare": forecast.covered_share,
    }
    return {name: _rounded(value) for name, value in told.items() if value is not None}


def _pool(pool: PoolOutcome) -> Json:
    return {
        "name": pool.name,
        "provider": pool.provider,
        "floorNodes": pool.floor_nodes,
        "nodes": pool.nodes,
        "readyNodes": pool.ready_nodes,
        "condition": pool.condition,
        "state": pool.state,
        "message": pool.message,
    }


def _rounded(value: float) -> float:
    """Four significant digits: what a reader can use, and noise below them is no change."""
    return float(f"{value:.4g}")
