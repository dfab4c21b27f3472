"""Whether somebody else scales the same workload, or a mode lacks the HPA that it works through."""

from collections.abc import Iterator

from autoscaler.act.conflicts import hpa_on_target, older_acts, older_rivals
from autoscaler.act.floor_plan import chosen_hpa, owned_by_keda
from autoscaler.act.hpa_reading import findings_on, metric_read, still_reading
from autoscaler.autoscaler import Autoscaler
from autoscaler.crd.build import hpa_behavior
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.outcome import Finding as Condition
from leadtime.doctor.finding import Finding, fail, ok, warn
from leadtime.doctor.gathered import Gathered, label


def check_conflicts(gathered: Gathered) -> Iterator[Finding]:
    rivals = older_rivals(gathered.objects)
    for each, target in gathered.targets():
        found = []
        if each.key in rivals:
            found.append(fail("conflict", f"{label(each)}: {older_acts(rivals[each.key]).message}"))
        hpas = gathered.hpas_on(target)
        found += _of_mode(each, hpas)
        for scaled in gathered.scaled_objects_on(target):
            if not hpas and each.spec is not None and each.spec.mode == "Direct" and not scaled.paused:
                what = f"{label(each)}: ScaledObject {scaled.key.name} scales {target.kind}/{target.name} too"
                found.append(
                    fail("conflict", what, "pause it by autoscaling.keda.sh/paused=true, or use mode Recommend")
                )
        yield from found or [ok("conflict", f"{label(each)}: nobody else undoes what it does")]


def _of_mode(each: Autoscaler, hpas: tuple[HpaSeen, ...]) -> Iterator[Finding]:
    spec = each.spec
    assert spec is not None
    if spec.mode == "Direct" and hpas:
        yield _of(each, hpa_on_target(hpas))
    if spec.mode in ("Metric", "Floor"):
        hpa = chosen_hpa(hpas, spec.horizontal_pod_autoscaler)
        if isinstance(hpa, Condition):
            yield _of(each, hpa)
        elif spec.mode == "Metric":
            behavior = hpa_behavior(spec.behavior)
            for finding in findings_on(hpa, each.key, need=None, status_replicas=1, our_behavior=behavior):
                yield _of(each, finding)
            yield from _bounds(each, hpa, spec.max_replicas)
        else:
            yield from _floor(each, hpa, spec.max_replicas)
    if spec.mode != "Metric":
        yield from (_of(each, still_reading(hpa, spec.mode)) for hpa in hpas if metric_read(hpa, each.key) is not None)


def _floor(each: Autoscaler, hpa: HpaSeen, max_replicas: int) -> Iterator[Finding]:
    if hpa.is_of_keda:
        yield _of(each, owned_by_keda(hpa, max_replicas))
        return
    if hpa.owner.startswith(("Argo", "Flux")):
        yield warn(
            "conflict",
            f"{label(each)}: {hpa.owner} keeps HPA {hpa.name} and may take back the minReplicas that mode Floor writes",
            "tell it to ignore /spec/minReplicas (Argo CD: spec.ignoreDifferences), or leave minReplicas out of Git",
        )
    yield from _bounds(each, hpa, max_replicas)


def _bounds(each: Autoscaler, hpa: HpaSeen, max_replicas: int) -> Iterator[Finding]:
    if hpa.max_replicas < max_replicas:
        yield warn(
            "bounds",
            f"{label(each)}: maxReplicas is {max_replicas}, but HPA {hpa.name} stops at {hpa.max_replicas}",
            "raise the HPA's maxReplicas, or lower the object's",
        )


def _of(each: Autoscaler, condition: Condition) -> Finding:
    """The controller's own words, its remedy in them."""
    level = warn if condition.type == "ScalingLimited" else fail
    return level("conflict", f"{label(each)}: {condition.message}")
