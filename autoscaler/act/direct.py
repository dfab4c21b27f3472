"""Mode Direct: the workload's replicas are set, through its scale subresource.

Optimistic concurrency: a write carries the resourceVersion at which the scale was observed, so it can only change what
the decision was made for. Source: kubernetes pkg/registry/apps/deployment/storage/storage.go and
apiextensions-apiserver pkg/registry/customresource/etcd.go (scaleUpdatedObjectInfo.UpdatedObject), v1.36.3.
"""

from collections.abc import Sequence

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.conflicts import hpa_on_target
from autoscaler.act.result import NOTHING_DUE, ActResult, withheld
from autoscaler.act.writer import NotLeader, Writer
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.observe.scale import Scale
from autoscaler.outcome import Acted, Finding
from policies.decision import Decision


async def act(scale: Scale, decision: Decision, hpas: Sequence[HpaSeen], *, writer: Writer) -> ActResult:
    """Ask for the decision's replicas where they differ from what is asked for now."""
    if hpas:
        finding = hpa_on_target(hpas)
        return withheld(finding.message, finding)
    if scale.replicas == 0:
        return withheld(_SWITCHED_OFF.message, _SWITCHED_OFF)
    if decision.desired_replicas == scale.replicas:
        return NOTHING_DUE
    return ActResult(acted=await _write(scale, decision.desired_replicas, writer))


_SWITCHED_OFF = Finding(
    type="ScalingActive",
    status="False",
    reason="ScalingDisabled",
    message="the workload was scaled to 0 replicas, which switches autoscaling off as with an HPA; scale it to 1 or "
    "more",
)


async def _write(scale: Scale, replicas: int, writer: Writer) -> Acted:
    """After a conflict the scale is read once more: many things change a workload's resourceVersion, such as a pod
    that becomes ready; only another replica count means that somebody else decided."""
    version = scale.resource_version
    to = f"{scale.resource}/{scale.path.split('/')[-2]}"  # as kubectl spells it
    try:
        for is_retry in (False, True):
            try:
                await writer.merge(scale.path, _patch(version, replicas), kind="scale")
            except ApiError as error:
                if error.status != 409 or is_retry:
                    raise
            else:
                return Acted(to=to, before=scale.replicas, after=replicas)
            found = await writer.get(scale.path)
            found_replicas = int(found.get("spec", {}).get("replicas", 0))
            if found_replicas != scale.replicas:
                return Acted(
                    withheld=f"spec.replicas of {to} was changed meanwhile from {scale.replicas} to {found_replicas}; "
                    "the next step decides anew"
                )
            version = str(found["metadata"]["resourceVersion"])
    except NotLeader as error:
        return Acted(withheld=str(error))
    except ApiError as error:
        return Acted(to=to, before=scale.replicas, error=str(error))
    raise AssertionError("the second attempt either wrote or raised")


def _patch(resource_version: str, replicas: int) -> dict[str, object]:
    return {"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}}
