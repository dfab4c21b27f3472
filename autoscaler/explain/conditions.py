"""The full set of conditions that one step came to: what its parts found, and for the rest that all is well. Pure."""

from collections.abc import Iterable, Mapping

from autoscaler.outcome import Finding, Outcome, PoolOutcome

TYPES = (
    "Ready",
    "AbleToScale",
    "ScalingActive",
    "ScalingLimited",
    "DemandKnown",
    "NoConflict",
    "NodePoolsReady",
    "PodDeletionCostSet",
)
_LIMITS = frozenset({"TooManyReplicas", "TooFewReplicas", "ScaleUpLimit", "ScaleDownLimit"})
_POOLS_AT_WORK = frozenset({"Idle", "Resizing", "Recommended"})
"""What a provider says of a pool that it can be told about; any other state means that nodes do not come."""


def conditions(outcome: Outcome) -> tuple[Finding, ...]:
    """One finding per type, in the order of TYPES; NodePoolsReady only where there are pools,
    PodDeletionCostSet only where podDeletionCost is ByNode.

    A type that several parts found something about has the reason of the first that is not well, and all messages.
    """
    found = {**_defaults(outcome), **_merged(outcome.findings)}
    if "Ready" not in found:
        found["Ready"] = _ready(found)
    return tuple(found[each] for each in TYPES if each in found)


def is_well(finding: Finding) -> bool:
    """ScalingLimited is the one that is well when False."""
    return finding.status == ("False" if finding.type == "ScalingLimited" else "True")


def _merged(findings: Iterable[Finding]) -> dict[str, Finding]:
    by_type: dict[str, list[Finding]] = {}
    for finding in findings:
        by_type.setdefault(finding.type, []).append(finding)
    merged = {}
    for each, same in by_type.items():
        first, *others = sorted(same, key=is_well)  # stable: the first of those that are not well
        told = dict.fromkeys([first.message, *(other.message for other in others if is_well(other) == is_well(first))])
        merged[each] = Finding(type=each, status=first.status, reason=first.reason, message="; ".join(told))
    return merged


def _ready(found: Mapping[str, Finding]) -> Finding:
    """Not well where anything keeps the object from its work; a person's pause, or a bound that holds, does not."""
    for each in TYPES:
        finding = found.get(each)
        if finding is None or is_well(finding) or each == "ScalingLimited" or finding.reason == "Paused":
            continue
        return Finding(type="Ready", status=finding.status, reason=finding.reason, message=finding.message)
    return Finding(type="Ready", status="True", reason="Deciding", message="the workload is observed and decided about")


def _defaults(outcome: Outcome) -> dict[str, Finding]:
    found = [_able_to_scale(outcome), _scaling_active(outcome), _scaling_limited(outcome), _demand_known(outcome)]
    found.append(
        Finding(type="NoConflict", status="True", reason="NoOtherController", message="nobody else scales the workload")
    )
    if outcome.pools:
        found.append(_pools(outcome))
    return {each.type: each for each in found}


def _able_to_scale(outcome: Outcome) -> Finding:
    acted = outcome.acted
    if acted.error:
        return Finding(type="AbleToScale", status="False", reason="FailedUpdateScale", message=acted.error)
    if outcome.decision is None:
        return _unknown("AbleToScale")
    if acted.after is not None:
        message = f"{acted.to} was set from {acted.before} to {acted.after}"
        return Finding(type="AbleToScale", status="True", reason="SucceededRescale", message=message)
    if acted.withheld and not outcome.paused and outcome.mode in ("Floor", "Direct"):
        return Finding(type="AbleToScale", status="False", reason="Withheld", message=acted.withheld)
    message = acted.withheld or "the last decision asks for no write"
    return Finding(type="AbleToScale", status="True", reason="ReadyForNewScale", message=message)


def _scaling_active(outcome: Outcome) -> Finding:
    if outcome.paused:
        return Finding(
            type="ScalingActive", status="False", reason="Paused", message=outcome.acted.withheld or "paused"
        )
    decision = outcome.decision
    if decision is None:
        return _unknown("ScalingActive")
    if decision.reason == "ScalingDisabled":
        return Finding(type="ScalingActive", status="False", reason=decision.reason, message=decision.message)
    return Finding(type="ScalingActive", status="True", reason="Deciding", message="a replica count could be decided")


def _scaling_limited(outcome: Outcome) -> Finding:
    decision = outcome.decision
    if decision is None:
        return _unknown("ScalingLimited")
    if decision.reason in _LIMITS:
        return Finding(type="ScalingLimited", status="True", reason=decision.reason, message=decision.message)
    message = "the desired count is within bounds and policies"
    return Finding(type="ScalingLimited", status="False", reason="DesiredWithinRange", message=message)


def _demand_known(outcome: Outcome) -> Finding:
    decision = outcome.decision
    if decision is None or "known" not in decision.numbers:
        return _unknown("DemandKnown")
    if decision.numbers["known"]:
        return Finding(type="DemandKnown", status="True", reason="RecentSamples", message="demand is measured")
    seconds = decision.numbers.get("unknown_seconds", 0.0)
    reason = "HeldDemand" if "held_replicas" in decision.numbers else "FailedGetPodsMetric"
    message = f"not known since {seconds // 60:.0f} min: {decision.message}"
    return Finding(type="DemandKnown", status="False", reason=reason, message=message)


def _pools(outcome: Outcome) -> Finding:
    """The reason is the first pool's that is not well; the message tells of each."""
    not_well = [(why, f"{pool.name}: {pool.message}") for pool in outcome.pools if (why := _why_not_ready(pool))]
    if not_well:
        message = "; ".join(told for _, told in not_well)
        return Finding(type="NodePoolsReady", status="False", reason=not_well[0][0], message=message)
    return Finding(type="NodePoolsReady", status="True", reason="Ready", message="all pools can hold what is needed")


def _why_not_ready(pool: PoolOutcome) -> str:
    """ "" for a pool that can hold what is needed, and whose provider does what it is told."""
    if pool.condition != "Ready":
        return pool.condition
    return "" if pool.state in _POOLS_AT_WORK else pool.state


def _unknown(each: str) -> Finding:
    return Finding(type=each, status="Unknown", reason="NotObserved", message="the workload could not be observed")
