"""Mode Floor: the decision becomes the minReplicas of the workload's HPA, which goes on scaling above it.

    what it was before is kept in an annotation -> server-side apply of minReplicas -> given back when the mode changes

An admin's own minReplicas stays a floor under ours, and maxReplicas a ceiling above it. Nothing is written where
another controller owns the field: KEDA writes it at every change of its ScaledObject, a GitOps tool at every sync.
"""

from dataclasses import dataclass, field

from adapter.sources.kubernetes.api import ApiError, Json
from autoscaler.act.floor_plan import FloorPlan, plan_floor, taken_back
from autoscaler.act.hpa_object import BEFORE_ANNOTATION, FLOOR_OF_ANNOTATION, HpaObject, hpa_object, hpa_path
from autoscaler.act.result import ActResult, withheld
from autoscaler.act.reverts import Reverts
from autoscaler.act.writer import NotLeader, Writer
from autoscaler.cluster import Key
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.outcome import Acted
from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND

_RECHECK_SECONDS = 60.0  # the same HPA and decision came to nothing: its owner is looked up again after so long
_Inputs = tuple[str, int, int, int, bool]


@dataclass(slots=True)
class FloorMemory:
    """Of one PredictiveAutoscaler, between its steps. settled: inputs, time and result of a step that wrote nothing."""

    reverts: Reverts = field(default_factory=Reverts)
    settled: tuple[_Inputs, int, ActResult] | None = None


async def act(
    key: Key,
    hpa: HpaSeen,
    decision: Decision,
    *,
    may_force: bool,
    memory: FloorMemory,
    writer: Writer,
    now_ns: int,
) -> ActResult:
    """Make the HPA's minReplicas the decision's, where it differs and may be written.

    key: of the PredictiveAutoscaler. may_force: it has FORCE_ANNOTATION.
    """
    inputs = (hpa.name, hpa.min_replicas, hpa.max_replicas, decision.desired_replicas, may_force)
    if memory.settled is not None:
        settled_inputs, settled_ns, result = memory.settled
        if settled_inputs == inputs and now_ns - settled_ns < _RECHECK_SECONDS * NS_PER_SECOND:
            return result
        memory.settled = None
    reverts = memory.reverts
    try:
        found = hpa_object(await writer.get(hpa_path(key.namespace, hpa.name)), writer.field_manager)
        reverts.seen(is_ours=found.is_ours, was_ours=found.before is not None, by=found.others, now_ns=now_ns)
        plan = plan_floor(found, decision.desired_replicas, may_force=may_force)
        pause_seconds = reverts.pause_left_seconds(now_ns)
        findings = plan.findings
        if reverts.is_told:
            findings = (taken_back(found.seen, reverts.by, reverts.count, pause_seconds), *findings)
        if plan.min_replicas is None:
            result = ActResult(acted=Acted(withheld=plan.refused), findings=findings)
            memory.settled = (inputs, now_ns, result)
            return result
        if pause_seconds:
            return withheld(findings[0].message, *findings)
        await writer.apply(found.path, _floor_patch(key, found, plan), force=True, kind="floor")
    except NotLeader as error:
        return withheld(str(error))
    except ApiError as error:
        return ActResult(acted=Acted(to=f"hpa/{hpa.name}", before=hpa.min_replicas, error=str(error)))
    reverts.wrote(now_ns)
    acted = Acted(to=f"hpa/{hpa.name}", before=found.seen.min_replicas, after=plan.min_replicas)
    return ActResult(acted=acted, findings=findings)


async def give_back(namespace: str, name: str, *, writer: Writer, of: str) -> Acted:
    """Undo the floor of the PredictiveAutoscaler `of` on one HPA; nothing where it has none.

    Our value becomes what it was before; a value that somebody else has set since stays, only our annotations go.
    A merge patch, not an apply without the field: that would leave minReplicas to its default of 1.
    Raises NotLeader, ApiError.
    """
    found = hpa_object(await writer.get(hpa_path(namespace, name)), writer.field_manager)
    if found.before is None or found.floor_of != of:
        return Acted()
    patch: Json = {
        "metadata": {
            "resourceVersion": found.seen.resource_version,
            "annotations": {BEFORE_ANNOTATION: None, FLOOR_OF_ANNOTATION: None},
        }
    }
    after = found.seen.min_replicas
    if found.is_ours and found.before is not None:
        after = min(found.before, found.seen.max_replicas)
        patch["spec"] = {"minReplicas": after}
    await writer.merge(found.path, patch, kind="floor")
    return Acted(to=f"hpa/{name}", before=found.seen.min_replicas, after=after)


def _floor_patch(key: Key, hpa: HpaObject, plan: FloorPlan) -> Json:
    """uid and resourceVersion: only of the HPA as it was read, and never one made new."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": hpa.seen.name,
            "namespace": hpa.seen.key.namespace,
            "uid": hpa.seen.uid,
            "resourceVersion": hpa.seen.resource_version,
            "annotations": {BEFORE_ANNOTATION: str(plan.before), FLOOR_OF_ANNOTATION: key.name},
        },
        "spec": {"minReplicas": plan.min_replicas},
    }
