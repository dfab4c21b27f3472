"""What the controller's ServiceAccount must be allowed to do, by what its objects ask of it, and whether it is."""

from collections.abc import Iterable, Iterator

from autoscaler.autoscaler import Autoscaler
from autoscaler.crd.metrics import Metric
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from leadtime.doctor.finding import Finding, fail, ok
from leadtime.doctor.gathered import Gathered, Right
from leadtime.doctor.installation import CONTROLLER, NAMESPACE

_PA = "autoscaling.leadtime.dev"
_ALWAYS = (
    *(Right(_PA, "predictiveautoscalers", verb) for verb in ("list", "watch")),
    Right(_PA, "predictiveautoscalers", "patch", "status"),
    *(Right("", resource, verb) for resource in ("pods", "nodes", "events") for verb in ("list", "watch")),
    *(Right("autoscaling", "horizontalpodautoscalers", verb) for verb in ("list", "watch")),
    *(Right("events.k8s.io", "events", verb) for verb in ("create", "patch")),
    *(Right("coordination.k8s.io", "leases", verb, namespace=NAMESPACE) for verb in ("get", "create", "update")),
)
"""autoscaler/observe/world.py, explain/status_writes.py, explain/events.py, leader/election.py."""
_APPLIED = ("list", "create", "patch")  # a server-side apply is a create where nothing is there
_OF_PROVIDER: dict[str, dict[tuple[str, str], tuple[str, ...]]] = {
    "Placeholders": {("apps", "deployments"): _APPLIED},
    "CapacityBuffer": {
        ("autoscaling.x-k8s.io", "capacitybuffers"): _APPLIED,
        ("", "podtemplates"): ("get", "create", "patch"),
    },
}
"""autoscaler/node_pools: (group, resource) -> verbs."""


def needed_rights(objects: Iterable[Autoscaler], resources: dict[tuple[str, str], str]) -> tuple[Right, ...]:
    """resources: (group, kind) of scale targets -> plural; a kind that is not there is left out."""
    found = dict.fromkeys(_ALWAYS)
    for each in objects:
        if each.spec is not None:
            found |= dict.fromkeys(_of_object(each.key.namespace, each.spec, resources))
    return tuple(sorted(found))


def check_rights(gathered: Gathered) -> Iterator[Finding]:
    if not gathered.rights:
        return
    missing = [right for right, is_there in gathered.rights.items() if not is_there]
    account = f"system:serviceaccount:{NAMESPACE}:{CONTROLLER}"
    for right in missing:
        yield fail("rights", f"{account} may not {right}", _remedy(right))
    if not missing:
        yield ok("rights", f"{account} may do all {len(gathered.rights)} things that its objects ask of it")


def _of_object(
    namespace: str, spec: PredictiveAutoscalerSpec, resources: dict[tuple[str, str], str]
) -> Iterator[Right]:
    target = spec.scale_target_ref
    group = target.api_version.rpartition("/")[0]
    plural = resources.get((group, target.kind))
    if plural is not None:
        yield Right(group, plural, "get", "scale", namespace)
        if (group, target.kind) == ("apps", "StatefulSet"):
            yield Right(group, plural, "get", "", namespace)  # whether its pods come one after the other
        if spec.mode == "Direct":
            yield Right(group, plural, "patch", "scale", namespace)  # a merge patch, at its resourceVersion
    if spec.mode == "Floor":
        yield from (Right("autoscaling", "horizontalpodautoscalers", verb, "", namespace) for verb in ("get", "patch"))
    if spec.pod_deletion_cost == "ByNode" and spec.mode != "Recommend":
        yield Right("", "pods", "patch", "", namespace)
    for metric in spec.metrics:
        yield from _of_metric(namespace, metric)
    for pool in spec.node_pools:
        for resource, verbs in _OF_PROVIDER.get(pool.provider, {}).items():
            yield from (Right(*resource, verb, "", namespace) for verb in verbs)


def _of_metric(namespace: str, metric: Metric) -> Iterator[Right]:
    """As the HPA's own client asks: a Pods metric is a subresource of pods, an External one a resource of its own,
    lower-cased. Object metrics are left to the answer itself: their resource needs the object's API version."""
    if metric.resource is not None or metric.container_resource is not None:
        yield Right("metrics.k8s.io", "pods", "list", "", namespace)
    if metric.pods is not None:
        yield Right("custom.metrics.k8s.io", "pods", "get", metric.pods.metric.name, namespace)
    if metric.external is not None:
        yield Right("external.metrics.k8s.io", metric.external.metric.name.lower(), "list", "", namespace)


def _remedy(right: Right) -> str:
    resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
    rule = f'{{apiGroups: ["{right.group}"], resources: ["{resource}"], verbs: ["{right.verb}"]}}'
    return f"kubectl apply -k manifests/controller/{_given_by(right)}, or a role of your own with {rule}"


def _given_by(right: Right) -> str:
    """Which of the shipped manifests gives it."""
    if right.subresource == "scale" and right.verb == "patch":
        return "overlays/direct"
    if right.resource == "horizontalpodautoscalers" and right.verb in ("get", "patch"):
        return "overlays/floor"
    if (right.group, right.resource, right.verb) == ("", "pods", "patch"):
        return "overlays/pod-deletion-cost"
    if any((right.group, right.resource) in told and right.verb != "list" for told in _OF_PROVIDER.values()):
        return "overlays/placeholders"
    return "base"
