"""Objects other than pods that a metric can describe: whose series, or whose pods', they are."""

from collections.abc import Callable, Mapping, Sequence

from adapter.sources.pods import PodInfo
from adapter.sources.rule import ObjectLabel, Rule
from adapter.sources.series import Series
from adapter.store import Store, Table, namespace_of

KINDS: Mapping[str, tuple[str, str]] = {
    "pods": ("Pod", "/v1"),
    "namespaces": ("Namespace", "/v1"),
    "nodes": ("Node", "/v1"),
    "services": ("Service", "/v1"),
    "deployments.apps": ("Deployment", "apps/v1"),
    "statefulsets.apps": ("StatefulSet", "apps/v1"),
    "replicasets.apps": ("ReplicaSet", "apps/v1"),
    "daemonsets.apps": ("DaemonSet", "apps/v1"),
    "jobs.batch": ("Job", "batch/v1"),
}
"""Resource -> kind and apiVersion of what every metric of pods can describe."""

CLUSTER_SCOPED = ("namespaces", "nodes")


def described(
    store: Store, table: Table, resource: str, namespace: str, labels: Callable[[Series], Mapping[str, str]]
) -> dict[str, list[Series]]:
    """Object name -> the series that describe it, of objects of this resource in this namespace.

    namespace: "" for resources of the cluster. labels: the series' labels as the request's name shows them.
    A rule's own mapping wins; else an object's series are those of its pods: a node's of the pods on it, a
    Service's of the pods that it selects, a workload's of the pods that it owns.
    """
    mapped = mapping(table.rule, resource)
    found: dict[str, list[Series]] = {}
    for one in _series(table, namespace):
        pod = store.pod(one.pod)
        if one.pod is not None and pod is None:
            continue  # it ended
        if mapped is not None:
            own = one.labels.get(mapped.label) or one.resource_labels.get(mapped.label)
            name = own or labels(one).get(mapped.label)
            names: Sequence[str] = (name,) if name else ()
        elif pod is not None:
            names = _names(resource, one, pod)
        else:
            names = (namespace_of(one),) if resource == "namespaces" and namespace_of(one) else ()
        for name in names:
            found.setdefault(name, []).append(one)
    return found


def mapping(rule: Rule, resource: str) -> ObjectLabel | None:
    """The rule's own mapping of this resource; None without one."""
    return next((one for one in rule.objects if one.resource == resource), None)


def kind_of(rule: Rule, resource: str) -> tuple[str, str]:
    """Kind and apiVersion; of a mapped resource the group's name stands for its version, which nobody reads."""
    if resource in KINDS:
        return KINDS[resource]
    plural, _, group = resource.partition(".")
    own = mapping(rule, resource)
    kind = own.kind if own is not None and own.kind else plural.removesuffix("s").capitalize()
    return kind, f"{group}/v1" if group else "/v1"


def is_of_cluster(rule: Rule, resource: str) -> bool:
    """Whether objects of this resource live in no namespace."""
    own = mapping(rule, resource)
    return resource in CLUSTER_SCOPED or (own is not None and not own.namespaced)


def _series(table: Table, namespace: str) -> Sequence[Series]:
    return table.in_namespace(namespace) if namespace else table.series


def _names(resource: str, one: Series, pod: PodInfo) -> Sequence[str]:
    match resource:
        case "namespaces":
            return (namespace_of(one),)
        case "nodes":
            return (pod.node,) if pod.node else ()
        case "services":
            return pod.services
        case _:
            return tuple(name for owner, name in pod.owners if owner == resource)
