"""Whether each PredictiveAutoscaler can be decided about: its spec, its workload, its metrics."""

from collections.abc import Iterator
from datetime import UTC, datetime

from autoscaler.autoscaler import Autoscaler
from autoscaler.crd.build import combined_spec
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.explain.conditions import is_well
from autoscaler.outcome import Finding as Condition
from leadtime.doctor.finding import Finding, fail, ok, warn
from leadtime.doctor.gathered import Gathered, label
from leadtime.pod_template import conditions_of
from policies.errors import BadInput

_STALE_SECONDS = 90.0
"""Six steps of 15 s without a decision."""
_OLD_SECONDS = 60.0
"""Of a metric: four scrapes of 15 s."""
_METRICS_APIS = {
    "resource": "metrics.k8s.io",
    "containerResource": "metrics.k8s.io",
    "pods": "custom.metrics.k8s.io",
    "object": "custom.metrics.k8s.io",
    "external": "external.metrics.k8s.io",
}


def check_specs(gathered: Gathered) -> Iterator[Finding]:
    for each in gathered.objects:
        yield from _spec(each)
    for each, target in gathered.targets():
        if (
            target not in gathered.workloads
            and f"{target.kind} {target.namespace}/{target.name}" not in gathered.unread
        ):
            level = fail if gathered.source == "cluster" else warn
            what = f"{label(each)}: its workload {target.kind}/{target.name} is not there"
            yield level("workload", what, "correct spec.scaleTargetRef, or create the workload")
        if gathered.source == "cluster":
            yield from _decided(each, gathered)
    if gathered.source == "cluster" and not gathered.autoscalers and "PredictiveAutoscaler" not in gathered.unread:
        yield warn("spec", "there is no PredictiveAutoscaler", "leadtime init hpa/NAME writes one from an HPA")


def check_metrics_apis(gathered: Gathered) -> Iterator[Finding]:
    """APIServices that the objects' own metrics and mode Metric need; leadtime's demand needs none of them."""
    if gathered.api_services is None:
        return
    needed: dict[str, str] = {}
    for each in gathered.objects:
        if each.spec is not None:
            for group in _groups(each.spec):
                needed.setdefault(group, label(each))
    for group, by in sorted(needed.items()):
        served = [one for name, one in gathered.api_services.items() if name.partition(".")[2] == group]
        available = [one for one in served if dict(conditions_of(one)).get("Available", {}).get("status") == "True"]
        if available:
            yield ok("metrics", f"{group} is served")
        elif served:
            why = dict(conditions_of(served[0])).get("Available", {}).get("message", "no word")
            yield fail("metrics", f"{group}, which {by} needs, is not available: {why}", "look at the server behind it")
        else:
            which = "metrics-server" if group == "metrics.k8s.io" else "kubectl apply -k manifests/adapter/base"
            yield fail("metrics", f"{group}, which {by} needs, is not installed", which)


def check_metrics(gathered: Gathered) -> Iterator[Finding]:
    """Whether the metrics APIs answer for what the objects list, and how old the answers are."""
    for answer in gathered.metrics:
        explain = f"leadtime adapter explain {answer.metric} tells where it comes from"
        what = f"{answer.autoscaler}: metric {answer.metric}"
        if answer.error:
            yield fail("metrics", f"{what} has no value: {answer.error}", explain)
        elif answer.age_seconds is not None and answer.age_seconds > _OLD_SECONDS:
            yield warn("metrics", f"{what} is {answer.age_seconds:.0f} s old", explain)
        else:
            age = "" if answer.age_seconds is None else f", {max(answer.age_seconds, 0.0):.0f} s old"
            yield ok("metrics", f"{what} has a value{age}")


def _spec(each: Autoscaler) -> Iterator[Finding]:
    fault = each.fault
    if each.spec is not None:
        try:
            combined_spec(each.spec)
        except BadInput as error:
            fault = str(error)
        else:
            yield ok("spec", f"{label(each)}: can be decided about, mode {each.spec.mode}")
    for line in fault.splitlines():
        yield fail("spec", f"{label(each)}: {line}")


def _decided(each: Autoscaler, gathered: Gathered) -> Iterator[Finding]:
    """What the controller itself says."""
    decided = each.status.get("lastDecisionTime")
    if decided is None:
        yield fail("decision", f"{label(each)}: nothing was decided yet", f"leadtime explain pa/{each.key.name}")
    elif gathered.clocks is not None:
        age = gathered.clocks.server_seconds - datetime.fromisoformat(decided).replace(tzinfo=UTC).timestamp()
        if age > _STALE_SECONDS:
            yield fail("decision", f"{label(each)}: the last decision is {age:.0f} s old", "see controller and leader")
    for condition in each.status.get("conditions") or ():
        found = Condition(
            type=condition["type"],
            status=condition["status"],
            reason=condition.get("reason", ""),
            message=condition.get("message", ""),
        )
        if found.type != "Ready" and not is_well(found):  # Ready repeats one of the others
            level = warn if found.type == "ScalingLimited" or found.reason == "Paused" else fail
            yield level("decision", f"{label(each)}: {found.type} is {found.status}: {found.message}")


def _groups(spec: PredictiveAutoscalerSpec) -> Iterator[str]:
    if spec.mode == "Metric":
        yield "external.metrics.k8s.io"
    for metric in spec.metrics:
        for block in metric.blocks_set:
            yield _METRICS_APIS[block]
