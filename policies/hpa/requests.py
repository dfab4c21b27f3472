"""What pods request of a resource: the denominator of utilization.

Source: pkg/controller/podautoscaler/replica_calculator.go (calculateRequests) and k8s.io/component-helpers
resource/helpers.go (IsPodLevelRequestsSet, PodRequests, AggregateContainerRequests), v1.36.3.
"""

from collections.abc import Sequence

from policies.hpa.errors import NoReplicaCount
from policies.hpa.go_numbers import wrap_int64
from policies.snapshot import Pod


def calculate_requests(pods: Sequence[Pod], container: str, resource: str) -> dict[str, int]:
    """Pod name -> request in milli-units. A named container takes precedence over pod-level requests.

    Raises NoReplicaCount when any pod lacks the request or the container.
    """
    return {pod.name: _pod_request(pod, container, resource) for pod in pods}


def _pod_request(pod: Pod, container: str, resource: str) -> int:
    if not container and _has_pod_level_requests(pod):
        return _pod_level_request(pod, resource)
    request = 0
    for each in (*pod.containers, *(each for each in pod.init_containers if each.restart_policy_always)):
        if container and each.name != container:
            continue
        of_container = each.requests_milli.get(resource)
        if of_container is None:
            raise NoReplicaCount(f"missing request for {resource} in container {each.name} of Pod {pod.name}")
        if container:
            return of_container
        request += of_container
    if container:
        raise NoReplicaCount(f"container {container} not found in Pod {pod.name}")
    return wrap_int64(request)


def _has_pod_level_requests(pod: Pod) -> bool:
    return pod.pod_requests_milli is not None and any(map(_is_pod_level_resource, pod.pod_requests_milli))


def _is_pod_level_resource(resource: str) -> bool:
    return resource in {"cpu", "memory"} or resource.startswith("hugepages-")


def _pod_level_request(pod: Pod, resource: str) -> int:
    """The pod-level request, or for a resource that it leaves out what the containers need together."""
    at_pod_level = pod.pod_requests_milli or {}
    if resource in at_pod_level and _is_pod_level_resource(resource):
        return at_pod_level[resource]
    if not any(resource in each.requests_milli for each in (*pod.containers, *pod.init_containers)):
        raise NoReplicaCount(f"missing pod-level request for {resource} in Pod {pod.name}")
    return wrap_int64(_aggregate(pod, resource))


def _aggregate(pod: Pod, resource: str) -> int:
    """Containers and sidecars together, or the most that any init container needs beside the sidecars before it."""
    together = sum(each.requests_milli.get(resource, 0) for each in pod.containers)
    sidecars = most_at_init = 0
    for each in pod.init_containers:
        request = each.requests_milli.get(resource, 0)
        if each.restart_policy_always:
            together += request
            sidecars += request
            most_at_init = max(most_at_init, sidecars)
        else:
            most_at_init = max(most_at_init, sidecars + request)
    return max(together, most_at_init)
