"""The autoscaler's manifest that follows from a plan, as it was simulated: PredictiveAutoscaler, HPA, ScaledObject."""

from typing import Any

import yaml

from autoscaler.crd.custom_resource import API_VERSION, KIND
from autoscaler.crd.parse import parse_spec
from leadtime.plan.answer import Plan, Row
from leadtime.plan.node_pools import pools
from policies.capacity.profile import profile_named
from policies.errors import BadInput
from policies.hpa import HPASpec, MetricSpec
from policies.registry import configured

_OUTSTANDING = "leadtime:num_requests_outstanding"
"""The simulator's name for a sum that no server exports by itself: see simulations/derived.py."""

OWN, HPA, KEDA = "predictiveautoscaler.yaml", "hpa.yaml", "scaledobject.yaml"


def manifests(plan: Plan) -> dict[str, str]:
    """File name -> text, of the cheapest row of each kind that attained; the finalist's own is among them if any is."""
    texts = {}
    for name, prefix, make in (
        (OWN, "leadtime", _own),
        (HPA, "hpa", _hpa),
        (KEDA, "keda-scaledobject", _scaled_object),
    ):
        row = plan.of(prefix)
        if row is not None and (name != OWN or _is_known(row)):
            texts[name] = _text(plan, row, make(plan, row))
    return texts


def _is_known(row: Row) -> bool:
    """Whether the controller knows the profile by its name: one of a file of the planner's it does not."""
    profile = row.candidate.profile
    try:
        return profile_named(profile.name) == profile
    except BadInput:
        return False


def _own(plan: Plan, row: Row) -> dict[str, Any]:
    """What `autoscaler.crd.parse.parse_spec` accepts; it is called, so that no other is written."""
    request, machine = plan.request, row.candidate.machine
    pool: dict[str, Any] = {
        "name": row.candidate.gpu,
        "provider": "Recommend",
        "gpusPerNode": machine.gpus,
        "minNodes": min(each.min_nodes for each in pools(plan)) if row is plan.best else 0,
        "maxNodes": max(1, -(-row.cap // row.candidate.replicas_per_node)),
        "pricePerNodeHour": max(0.001, round(machine.usd_per_hour, 4)),
    }
    quota = request.quota.get(row.candidate.gpu)
    if quota is not None:
        pool["quotaGpus"] = quota
    if row.spot is not None and request.spot is not None and machine.spot_usd_per_hour is not None:
        pool["spot"] = {
            "pricePerNodeHour": max(0.001, round(machine.spot_usd_per_hour, 4)),
            "preemptionsPerNodeHour": request.spot.preemptions_per_node_hour,
            "zoneEventsPerHour": request.spot.zone_events_per_hour,
            "zones": request.spot.zones,
        }
    spec: dict[str, Any] = {
        "mode": "Recommend",
        "scaleTargetRef": _target(request.target),
        "minReplicas": request.min_replicas,
        "maxReplicas": row.cap,
        "profile": row.candidate.profile.name,
        "slo": {
            "ttftSeconds": request.slo.ttft_seconds,
            "tpotSeconds": request.slo.tpot_seconds,
            "attainment": min(max(float(row.parameters["attainment"]), 0.5), 0.9999),
        },
        "cost": {
            "gpusPerReplica": row.candidate.profile.gpus_per_replica,
            "pricePerGpuHour": max(0.001, round(machine.usd_per_hour / machine.gpus, 4)),
        },
        "leadTime": {"assumedSeconds": request.lead_seconds},
        "nodePools": [pool],
    }
    parse_spec(spec)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": _name(request.target)}, "spec": spec}


def _hpa(plan: Plan, row: Row) -> dict[str, Any]:
    """From the spec that was simulated, its behavior included."""
    bounds = {"min_replicas": plan.request.min_replicas, "max_replicas": row.cap}
    spec = configured(row.policy, row.parameters, bounds).spec
    assert isinstance(spec, HPASpec), f"{row.policy} is an HPA"
    behavior = spec.behavior
    assert behavior is not None, "presets have one"
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": _name(plan.request.target)},
        "spec": {
            "scaleTargetRef": _target(plan.request.target),
            "minReplicas": spec.min_replicas,
            "maxReplicas": spec.max_replicas,
            "metrics": [_metric(metric) for metric in spec.metrics],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": behavior.scale_up.stabilization_window_seconds},
                "scaleDown": {"stabilizationWindowSeconds": behavior.scale_down.stabilization_window_seconds},
            },
        },
    }


def _scaled_object(plan: Plan, row: Row) -> dict[str, Any]:
    spec = configured(
        row.policy, row.parameters, {"min_replicas": plan.request.min_replicas, "max_replicas": row.cap}
    ).spec
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": _name(plan.request.target)},
        "spec": {
            "scaleTargetRef": _target(plan.request.target),
            "minReplicaCount": spec.min_replicas,
            "maxReplicaCount": spec.max_replicas,
            "pollingInterval": spec.polling_interval_seconds,
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": "http://prometheus.monitoring:9090",
                        "query": spec.query,
                        "threshold": f"{spec.threshold:g}",
                    },
                }
            ],
        },
    }


def _metric(metric: MetricSpec) -> dict[str, Any]:
    source = metric.type[0].lower() + metric.type[1:]
    if metric.type == "Resource":
        block: dict[str, Any] = {
            "name": metric.name,
            "target": {"type": "Utilization", "averageUtilization": metric.average_utilization},
        }
    else:
        assert metric.average_value_milli is not None, "presets hold an average value"
        block = {
            "metric": {"name": metric.name},
            "target": {"type": "AverageValue", "averageValue": f"{metric.average_value_milli}m"},
        }
    return {"type": metric.type, source: block}


def _target(text: str) -> dict[str, str]:
    kind, _, name = text.partition("/")
    return {"apiVersion": "apps/v1", "kind": kind, "name": name}


def _name(target: str) -> str:
    return target.partition("/")[2]


def _text(plan: Plan, row: Row, document: dict[str, Any]) -> str:
    request = plan.request
    delivered = row.attainment
    last = plan.months[-1]
    where = f"{row.candidate.profile.name} on {row.candidate.machine.name}"
    asked = f"{request.attainment:.2%} within {request.slo}"
    grown = (
        f"maxReplicas is what was simulated; month {last.month} takes up to {last.peak_replicas.high:.0f} at its peak"
    )
    lines = [
        f"# Made by leadtime plan for {plan.demand_name}: {where}.",
        f"# Asked: {asked}; simulated: {delivered.value:.2%} for ${row.usd_per_month.value:,.0f} a month.",
        f"# {grown}." if row is plan.best else "# Others attained it for less; see the plan.",
    ]
    if _OUTSTANDING in yaml.safe_dump(document):
        lines.append(f"# {_OUTSTANDING} is what your metrics must provide: requests running and waiting in the")
        lines.append("# servers, and those at the gateway; a recording rule that adds them up.")
    if document["kind"] == KIND:
        lines.append("# Mode Recommend writes nothing; slo.attainment is what had to be asked for the above.")
    return "\n".join(lines) + "\n" + yaml.safe_dump(document, sort_keys=False)
