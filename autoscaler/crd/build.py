"""PredictiveAutoscalerSpec -> what policies/ decide by."""

from dataclasses import replace

from autoscaler.crd.behavior import Behavior, ScaleDown, ScaleUp
from autoscaler.crd.metrics import LabelSelector, Metric, PodsTarget, ResourceTarget, ValueTarget
from autoscaler.crd.node_pool import NodePool
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from policies.capacity.profile import Profile, profile_named
from policies.combined.spec import CombinedSpec, Fallback, ScheduledFloor
from policies.combined.validation import check
from policies.errors import BadInput
from policies.hpa import Behavior as HPABehavior
from policies.hpa import MetricSpec, ScalingPolicy, ScalingRules
from policies.hpa.milli_value import milli, stored_quantity
from policies.nodepools.spec import PoolSpec, SpotTerms
from policies.predictive.spec import PredictiveSpec


def combined_spec(spec: PredictiveAutoscalerSpec) -> CombinedSpec:
    """What the admin states for the decision; mode, cost and node pools are not part of it.

    Raises BadInput where no profile fits, or where its GPU cannot keep the SLO.
    """
    predictive = PredictiveSpec(
        profile=_profile(spec.profile),
        tpot_seconds=spec.slo.tpot_seconds,
        ttft_seconds=spec.slo.ttft_seconds,
        attainment=spec.slo.attainment,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        lead_time_seconds=spec.lead_time.assumed_seconds,
        drain_seconds=spec.drain_seconds,
        scale_down_window_seconds=spec.behavior.scale_down.stabilization_window_seconds,
        behavior=hpa_behavior(spec.behavior),
    )
    combined = CombinedSpec(
        predictive=predictive,
        metrics=tuple(metric_spec(metric) for metric in spec.metrics),
        schedules=tuple(
            ScheduledFloor(
                name=each.name,
                start=each.start,
                end=each.end,
                time_zone=each.time_zone,
                min_replicas=each.min_replicas,
            )
            for each in spec.schedules
        ),
        fallback=Fallback(hold_seconds=spec.fallback.hold_seconds, replicas=spec.fallback.replicas),
        pod_deletion_cost=spec.pod_deletion_cost,
    )
    try:
        check(combined)
    except BadInput as error:
        section = "spec.slo" if str(error).startswith("tpotSeconds") else "spec"  # the one name that is not a path
        raise BadInput(f"{section}.{error}") from error
    return combined


def pool_spec(pool: NodePool) -> PoolSpec:
    """One node pool's bounds, prices and manners."""
    spot = pool.spot
    return PoolSpec(
        name=pool.name,
        gpus_per_node=pool.gpus_per_node,
        min_nodes=pool.min_nodes,
        max_nodes=pool.max_nodes,
        quota_gpus=pool.quota_gpus,
        price_per_node_hour=pool.price_per_node_hour,
        spot=None
        if spot is None
        else SpotTerms(
            price_per_node_hour=spot.price_per_node_hour,
            preemptions_per_node_hour=spot.preemptions_per_node_hour,
            zone_events_per_hour=spot.zone_events_per_hour,
            zones=spot.zones,
        ),
        on_demand_base_share=pool.on_demand_base_share,
        max_step_nodes=pool.max_step_nodes,
        cooldown_seconds=pool.cooldown_seconds,
        provision_seconds=pool.provision_seconds,
    )


def hpa_behavior(behavior: Behavior) -> HPABehavior:
    """`behavior`; every default is filled in already."""
    return HPABehavior(scale_up=_rules(behavior.scale_up), scale_down=_rules(behavior.scale_down))


def metric_spec(metric: Metric) -> MetricSpec:
    """One entry of `metrics`; targets in milli-units, as the HPA reads them."""
    if metric.resource is not None:
        return _with_target(MetricSpec(type="Resource", name=metric.resource.name), metric.resource.target)
    if metric.container_resource is not None:
        name, container = metric.container_resource.name, metric.container_resource.container
        spec = MetricSpec(type="ContainerResource", name=name, container=container)
        return _with_target(spec, metric.container_resource.target)
    if metric.pods is not None:
        name, selector = metric.pods.metric.name, _selector(metric.pods.metric.selector)
        return _with_target(MetricSpec(type="Pods", name=name, selector=selector), metric.pods.target)
    if metric.object is not None:
        described, identifier = metric.object.described_object, metric.object.metric
        spec = MetricSpec(
            type="Object",
            name=identifier.name,
            selector=_selector(identifier.selector),
            object_name=f"{described.kind}/{described.name}",
        )
        return _with_target(spec, metric.object.target)
    assert metric.external is not None, "one block is set"
    name, selector = metric.external.metric.name, _selector(metric.external.metric.selector)
    return _with_target(MetricSpec(type="External", name=name, selector=selector), metric.external.target)


def _with_target(spec: MetricSpec, target: ResourceTarget | PodsTarget | ValueTarget) -> MetricSpec:
    average = target.average_value
    value = target.value if isinstance(target, ValueTarget) else None
    return replace(
        spec,
        average_utilization=target.average_utilization if isinstance(target, ResourceTarget) else None,
        average_value_milli=None if average is None else milli(average),
        value_milli=None if value is None else milli(value),
    )


def _selector(selector: LabelSelector | None) -> tuple[tuple[str, str], ...]:
    if selector is None:
        return ()
    pairs = selector.match_labels | {each.key: each.values[0] for each in selector.match_expressions}
    return tuple(sorted(pairs.items()))


def _rules(rules: ScaleUp | ScaleDown) -> ScalingRules:
    return ScalingRules(
        stabilization_window_seconds=rules.stabilization_window_seconds,
        select_policy=rules.select_policy,
        policies=tuple(
            ScalingPolicy(type=each.type, value=each.value, period_seconds=each.period_seconds)
            for each in rules.policies
        ),
        tolerance=None if rules.tolerance is None else stored_quantity(rules.tolerance),
    )


def _profile(name: str) -> Profile:
    try:
        return profile_named(name)
    except BadInput as error:
        text = str(error).removeprefix("profile: ")
        raise BadInput(f"spec.profile: {text}") from error
