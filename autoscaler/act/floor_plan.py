"""Which minReplicas an HPA should have under mode Floor, or why it may not be written: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.act.hpa_object import HpaObject
from autoscaler.act.published import METRIC_NAME
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.outcome import Finding

FORCE_ANNOTATION = "autoscaling.leadtime.dev/force-floor"
"""On a PredictiveAutoscaler, "true": its GitOps tool was told to ignore spec.minReplicas, so it may be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorPlan:
    """min_replicas: to be written; None where nothing has to be, or may be: then refused says why.

    before: what will be given back one day.
    """

    before: int
    min_replicas: int | None = None
    refused: str = ""
    findings: tuple[Finding, ...] = ()


def plan_floor(hpa: HpaObject, desired_replicas: int, *, may_force: bool) -> FloorPlan:
    """At least what the admin's own minReplicas says, at most maxReplicas; refused where another controller owns it."""
    seen = hpa.seen
    before = hpa.before if hpa.is_ours and hpa.before is not None else seen.min_replicas
    wanted = min(max(desired_replicas, before), seen.max_replicas)
    if seen.is_of_keda:
        return _refused(before, owned_by_keda(seen, wanted))
    findings = (above_max(seen, desired_replicas),) if desired_replicas > seen.max_replicas else ()
    if wanted == seen.min_replicas:
        return FloorPlan(before=before, findings=findings)
    if hpa.gitops and not may_force:
        return _refused(before, owned_by_gitops(hpa))
    return FloorPlan(before=before, min_replicas=wanted, findings=findings)


def chosen_hpa(hpas: Sequence[HpaSeen], named: str | None) -> HpaSeen | Finding:
    """The HPA of the workload that spec.horizontalPodAutoscaler names; where it names none, the only one."""
    known = ", ".join(hpa.name for hpa in hpas) or "none"
    if named is not None:
        found = next((hpa for hpa in hpas if hpa.name == named), None)
        return found or _no_hpa(
            f"horizontalPodAutoscaler: was {named}, must be an HPA on this workload ({known}); correct the name, or "
            "leave it out where the workload has one HPA"
        )
    if not hpas:
        return _no_hpa("no HPA targets this workload; create one, or use mode Direct")
    if len(hpas) > 1:
        return Finding(
            type="NoConflict",
            status="False",
            reason="AmbiguousSelector",  # the HPA's own word for several HPAs on the same pods
            message=f"several HPAs target this workload ({known}) and fight each other; delete all but one",
        )
    return hpas[0]


def above_max(hpa: HpaSeen, desired_replicas: int) -> Finding:
    return Finding(
        type="ScalingLimited",
        status="True",
        reason="FloorAboveHPAMax",
        message=f"{desired_replicas} replicas are needed, but maxReplicas of HPA {hpa.name} is {hpa.max_replicas}; "
        "raise it, or lower maxReplicas of this object",
    )


def owned_by_keda(hpa: HpaSeen, wanted: int) -> Finding:
    return Finding(
        type="NoConflict",
        status="False",
        reason="OwnedByKEDA",
        message=f"HPA {hpa.name} belongs to KEDA's {hpa.owner}, which would take minReplicas back; set "
        f"spec.minReplicaCount of the ScaledObject ({wanted} is needed now), or use mode Metric with a trigger on "
        f"{METRIC_NAME}, or delete the ScaledObject and use mode Direct",
    )


def owned_by_gitops(hpa: HpaObject) -> Finding:
    return Finding(
        type="NoConflict",
        status="False",
        reason="OwnedByGitOps",
        message=f"spec.minReplicas of HPA {hpa.seen.name} is owned by {hpa.gitops}, which would take it back at its "
        "next sync; remove minReplicas from the manifest in Git, or let the tool ignore it "
        f"({_IGNORE_EXAMPLE}) and set the annotation {FORCE_ANNOTATION}=true on this object",
    )


def taken_back(hpa: HpaSeen, by: Sequence[str], times: int, pause_seconds: float) -> Finding:
    """Our value was changed by others, again. pause_seconds: until it is written once more, 0 for now."""
    who = " and ".join(by) or "an unknown manager"
    again = f"; it is written again in {pause_seconds:.0f} s" if pause_seconds else ""
    return Finding(
        type="NoConflict",
        status="False",
        reason="FloorTakenBack",
        message=f"minReplicas of HPA {hpa.name} was taken back {times} times, by {who}{again}; remove minReplicas from "
        f"what it applies, or let it ignore the field ({_IGNORE_EXAMPLE})",
    )


_IGNORE_EXAMPLE = (
    "Argo CD: ignoreDifferences with group autoscaling, kind HorizontalPodAutoscaler, jsonPointers "
    "[/spec/minReplicas], and syncOptions [RespectIgnoreDifferences=true]"
)


def _refused(before: int, finding: Finding) -> FloorPlan:
    return FloorPlan(before=before, refused=finding.message, findings=(finding,))


def _no_hpa(message: str) -> Finding:
    return Finding(type="AbleToScale", status="False", reason="NoHPA", message=message)
