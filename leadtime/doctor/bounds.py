"""Whether maxReplicas fits into the node pools and quotas, and whether the pools can be told."""

from collections.abc import Iterator

from autoscaler.autoscaler import Autoscaler
from autoscaler.crd.node_pool import NodePool
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from leadtime.doctor.finding import Finding, fail, ok, warn
from leadtime.doctor.gathered import Gathered, Json, label
from leadtime.pod_template import GPU_RESOURCES, gpus_of, group_size, pod_spec, serving_container

_CAPACITY_BUFFERS = "autoscaling.x-k8s.io"
_TROUBLED = ("Refused", "QuotaExceeded", "StockedOut")


def check_bounds(gathered: Gathered) -> Iterator[Finding]:
    for each, target in gathered.targets():
        spec = each.spec
        assert spec is not None
        workload = gathered.workloads.get(target)
        gpus = spec.cost.gpus_per_replica
        found = list(_gpus_stated(each, gpus, workload))
        if workload is not None:
            gpus = _gpus_of_replica(workload) or gpus
        found += _pools(each, spec, gpus)
        found += _quota(each, spec, gpus, gathered)
        yield from found or [ok("bounds", f"{label(each)}: {spec.max_replicas} replicas fit the limits that are known")]


def check_pools(gathered: Gathered) -> Iterator[Finding]:
    """Whether each pool can be told: what its provider needs, and what it last said."""
    for each, _ in gathered.targets():
        assert each.spec is not None
        for pool in each.spec.node_pools:
            yield from _provider(each, pool, gathered)
        for told in each.status.get("nodePools") or ():
            if told.get("state") in _TROUBLED:
                what = f"{label(each)}: node pool {told.get('name')} is {told['state']}: {told.get('message', '')}"
                yield (fail if told["state"] == "Refused" else warn)("node pool", what)


def _gpus_stated(each: Autoscaler, stated: int, workload: Json | None) -> Iterator[Finding]:
    found = None if workload is None else _gpus_of_replica(workload)
    if found and found != stated:
        what = f"{label(each)}: cost.gpusPerReplica is {stated}, but a replica asks for {found}"
        yield warn("bounds", what, f"set it to {found}: the costs that are shown are wrong")


def _gpus_of_replica(workload: Json) -> int:
    """0 where it asks for none that are counted."""
    spec = pod_spec(workload)
    container = None if spec is None else serving_container(spec)
    return 0 if container is None else gpus_of(container) * group_size(workload)


def _pools(each: Autoscaler, spec: PredictiveAutoscalerSpec, gpus: int) -> Iterator[Finding]:
    """A pool's GPUs in whole pods: a pod's are all on one node. The quota counts GPUs."""
    if not spec.node_pools:
        return
    fitting = 0
    limits = []
    for pool in spec.node_pools:
        nodes, why = pool.max_nodes, f"maxNodes {pool.max_nodes}"
        if pool.quota_gpus is not None and pool.quota_gpus // pool.gpus_per_node < nodes:
            nodes, why = pool.quota_gpus // pool.gpus_per_node, f"quotaGpus {pool.quota_gpus}"
        fitting += nodes * (pool.gpus_per_node // gpus) if gpus <= pool.gpus_per_node else 0
        limits.append(f"{pool.name}: {why} with {pool.gpus_per_node} GPUs a node")
    if fitting < spec.max_replicas:
        what = (
            f"{label(each)}: maxReplicas is {spec.max_replicas}, but its node pools hold {fitting} replicas of {gpus} "
            f"GPUs ({'; '.join(limits)})"
        )
        yield fail("bounds", what, f"lower maxReplicas to {fitting}, or raise maxNodes and the quota")


def _quota(each: Autoscaler, spec: PredictiveAutoscalerSpec, gpus: int, gathered: Gathered) -> Iterator[Finding]:
    for quota in gathered.quotas:
        metadata = quota.get("metadata") or {}
        if metadata.get("namespace") != each.key.namespace:
            continue
        hard = (quota.get("spec") or {}).get("hard") or {}
        for name in (f"requests.{resource}" for resource in GPU_RESOURCES):
            limit = str(hard.get(name, ""))
            if limit.isascii() and limit.isdecimal() and int(limit) < spec.max_replicas * gpus:
                what = (
                    f"{label(each)}: maxReplicas {spec.max_replicas} takes {spec.max_replicas * gpus} GPUs, but "
                    f"ResourceQuota {metadata.get('name')} allows {limit} ({name})"
                )
                yield fail("bounds", what, "lower maxReplicas, or have the quota raised")


def _provider(each: Autoscaler, pool: NodePool, gathered: Gathered) -> Iterator[Finding]:
    name = f"{label(each)}: node pool {pool.name}"
    if pool.provider == "Placeholders" and gathered.priority_classes is not None:
        wanted = pool.placeholders.priority_class_name
        if wanted in gathered.priority_classes:
            yield ok("node pool", f"{name}: PriorityClass {wanted} is there")
        else:
            remedy = "kubectl apply -k manifests/controller/overlays/placeholders"
            yield fail("node pool", f"{name}: PriorityClass {wanted} is not there", remedy)
    if pool.provider == "CapacityBuffer" and gathered.api_groups is not None:
        if _CAPACITY_BUFFERS in gathered.api_groups:
            yield ok("node pool", f"{name}: CapacityBuffer is served")
        else:
            remedy = "install the cluster autoscaler's CRD, or set provider to Placeholders"
            yield fail("node pool", f"{name}: the cluster does not serve CapacityBuffer", remedy)
