"""The syncs of a real cluster as golden vectors of kind `sequence` (policies/hpa/golden.py), one an HPA.

They replay without a cluster: `leadtime conformance hpa PATH`. What the format has no place for is left out:
microseconds, the time of the scale's write apart from that of the decision, status.currentMetrics, the metric's words.
"""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sync_record import RecordedHpa, RecordedSync

from policies.hpa import HPASpec, MetricSpec
from policies.hpa.golden_values import NS_PER_MS, behavior_to_json
from policies.snapshot import Container, ExternalMetric, MetricError, ObjectMetric, Observation, Pod

Json = dict[str, Any]


def write_vectors(hpas: Iterable[RecordedHpa], path: Path) -> None:
    """Gzip of one vector a line, the same bytes for the same syncs."""
    lines = [json.dumps(vector_of(hpa), separators=(",", ":"), sort_keys=True) for hpa in hpas]
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as out:
        out.write("".join(f"{line}\n" for line in lines).encode())


def vector_of(hpa: RecordedHpa) -> Json:
    """All syncs of one HPA. Raises ValueError if one could not be joined with what it saw."""
    if lost := next((sync.lost for sync in hpa.syncs if sync.lost), ""):
        raise ValueError(f"{hpa.namespace}/{hpa.name}: {lost}")
    template = next(pod.containers for sync in hpa.syncs for pod in sync.pods)
    return {
        "id": f"{hpa.namespace}/{hpa.name}",
        "kind": "sequence",
        "input": {
            "controller": _controller(hpa.spec),
            "hpa": {
                "minReplicas": hpa.spec.min_replicas,
                "maxReplicas": hpa.spec.max_replicas,
                "metrics": [_metric(metric) for metric in hpa.spec.metrics],
                "behavior": behavior_to_json(hpa.spec.behavior),
            },
            "podTemplate": {"containers": [_container(one) for one in template]},
            "steps": [_step(hpa.spec, sync) for sync in hpa.syncs],
        },
        "want": {
            "error": None,
            "steps": [_answer(sync) for sync in hpa.syncs],
            "platformDefined": ["finalState"],  # the controller's memory cannot be seen from outside
        },
    }


def _controller(spec: HPASpec) -> Json:
    options = spec.controller
    return {
        "tolerance": options.tolerance,
        "downscaleStabilizationSeconds": options.downscale_stabilization_seconds,
        "cpuInitializationPeriodSeconds": options.cpu_initialization_period_seconds,
        "initialReadinessDelaySeconds": options.initial_readiness_delay_seconds,
        "featureGates": {
            "HPAScaleToZero": options.hpa_scale_to_zero,
            "HPAConfigurableTolerance": options.hpa_configurable_tolerance,
        },
    }


def _metric(metric: MetricSpec) -> Json:
    targets = {
        "averageUtilization": metric.average_utilization,
        "averageValueMilli": metric.average_value_milli,
        "valueMilli": metric.value_milli,
    }
    target: Json = {name: value for name, value in targets.items() if value is not None}
    found: Json = {"type": metric.type, "name": metric.name, "target": {"type": metric.used_target, **target}}
    return {**found, "container": metric.container} if metric.container else found


def _step(spec: HPASpec, sync: RecordedSync) -> Json:
    step: Json = {
        "timeMs": sync.at_ns // NS_PER_MS,
        "specReplicas": sync.replicas or 0,
        "statusReplicas": sync.status_replicas,
        "pods": [_pod(pod) for pod in sync.pods],
        "observations": [_observation(sync.observations.get(metric.query)) for metric in spec.metrics],
    }
    if sync.replicas is None:
        step["scaleGetError"] = "the scale could not be read"
    if sync.scale_write_failed:
        step["scaleUpdateError"] = "the scale could not be written"
    return step


def _answer(sync: RecordedSync) -> Json:
    real = sync.answer
    is_error = sync.replicas is None or sync.scale_write_failed or {} in real.status.metrics
    return {
        "replicas": (sync.replicas or 0) if real.written is None else real.written,
        "rescaled": real.written is not None,
        "unstabilizedReplicas": None if real.proposed is None else max(real.proposed, 0),
        "statusDesiredReplicas": real.status.desired_replicas,
        "conditions": {kind: list(pair) for kind, pair in real.status.conditions.items()},
        "error": "an error" if is_error else None,
    }


def _observation(seen: Observation | None) -> Json:
    if seen is None or isinstance(seen, MetricError):
        return {"error": "no value" if seen is None else seen.message}
    if isinstance(seen, ExternalMetric):
        return {"valuesMilli": list(seen.values_milli)}
    if isinstance(seen, ObjectMetric):
        return {"valueMilli": seen.value_milli}
    return {
        "podMetrics": {
            name: {
                "valueMilli": sample.value_milli,
                "timestampMs": sample.at_ns // NS_PER_MS,
                "windowMs": sample.window_ns // NS_PER_MS,
            }
            for name, sample in seen.samples.items()
        }
    }


def _pod(pod: Pod) -> Json:
    return {
        "name": pod.name,
        "phase": pod.phase,
        "ready": pod.ready,
        "startTimeMs": None if pod.start_ns is None else pod.start_ns // NS_PER_MS,
        "readyTransitionMs": None if pod.ready_transition_ns is None else pod.ready_transition_ns // NS_PER_MS,
        **({"deleting": True} if pod.deleting else {}),
    }


def _container(container: Container) -> Json:
    return {"name": container.name, "requestsMilli": dict(container.requests_milli)}
