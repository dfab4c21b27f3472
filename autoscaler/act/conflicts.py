"""Who else decides about the same workload: an HPA, KEDA, a second PredictiveAutoscaler. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.outcome import Finding

_Target = tuple[str, str, str, str]


def hpa_on_target(hpas: Sequence[HpaSeen]) -> Finding:
    """Mode Direct where HPAs scale the workload already. hpas: one or more."""
    who = ", ".join(_described(hpa.name, hpa.owner) for hpa in hpas)
    keda = next((hpa.owner for hpa in hpas if hpa.is_of_keda), "")
    remove = (
        f"pause it with the annotation autoscaling.keda.sh/paused=true on {keda}, or delete that"
        if keda
        else "delete it"
    )
    return Finding(
        type="NoConflict",
        status="False",
        reason="HPAOnTarget",
        message=f"HPA {who} scales this workload too, and two controllers would undo each other's writes; {remove}, or "
        "use mode Metric or Floor, which work through it",
    )


def _described(name: str, owner: str) -> str:
    return f"{name} ({owner})" if owner else name


def older_rivals(autoscalers: Iterable[Autoscaler]) -> Mapping[Key, Key]:
    """Of PredictiveAutoscalers on one workload the oldest acts; here the others -> the oldest.

    Recommend writes nothing, so that a second object in that mode, to compare with, is no rival. By creation time,
    then by uid: the same answer in every replica of the controller.
    """
    oldest: dict[_Target, Autoscaler] = {}
    acting = sorted(
        (each for each in autoscalers if each.spec is not None and each.spec.mode != "Recommend"),
        key=lambda each: (each.created_ns, each.uid),
    )
    rivals = {}
    for each in acting:
        first = oldest.setdefault(_target(each), each)
        if first is not each:
            rivals[each.key] = first.key
    return rivals


def _target(autoscaler: Autoscaler) -> _Target:
    """The version of the API is left out: apps/v1 and apps/v1beta1 name the same Deployment."""
    assert autoscaler.spec is not None
    ref = autoscaler.spec.scale_target_ref
    group = ref.api_version.rpartition("/")[0]
    return autoscaler.key.namespace, group, ref.kind, ref.name


def older_acts(older: Key) -> Finding:
    return Finding(
        type="NoConflict",
        status="False",
        reason="WorkloadTaken",
        message=f"the older PredictiveAutoscaler {older.name} acts on this workload already, so this one writes "
        "nothing; delete one of the two, or set mode Recommend here to compare them",
    )
