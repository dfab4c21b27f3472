"""Which PredictiveAutoscaler's replica a pod is, so that its lead time is learned for the right workload."""

from collections.abc import Mapping
from typing import Any

from adapter.sources.series import PodKey
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.observe.pod_seen import PodSeen
from autoscaler.observe.scale import Scale

_WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"
"""A group is one replica, ready with its leader, which has index 0."""


class PodOwners:
    """By the owners above a pod. pods: that are watched."""

    def __init__(self, pods: Mapping[PodKey, PodSeen]) -> None:
        self._pods = pods
        self._of: dict[tuple[str, str, str], Key] = {}
        self._targets: dict[Key, tuple[str, str, str]] = {}

    def observed(self, autoscaler: Autoscaler, scale: Scale) -> bool:
        """This object scales that workload; whether that is new."""
        assert autoscaler.spec is not None
        key = autoscaler.key
        target = (key.namespace, scale.resource, autoscaler.spec.scale_target_ref.name)
        if self._targets.get(key) == target:
            return False
        self.forget(key)
        self._targets[key] = target
        self._of.setdefault(target, key)  # of two on one workload the first learns for both
        return True

    def forget(self, key: Key) -> None:
        target = self._targets.pop(key, None)
        if target is not None and self._of.get(target) == key:
            del self._of[target]
            heir = next((other for other, its in self._targets.items() if its == target), None)
            if heir is not None:
                self._of[target] = heir

    def of(self, pod: Mapping[str, Any]) -> Key | None:
        """pod: with metadata. None: nobody's, or a worker of a group."""
        metadata = pod["metadata"]
        namespace = metadata.get("namespace", "")
        seen = self._pods.get(PodKey(namespace, metadata.get("name", "")))
        if seen is None or seen.labels.get(_WORKER_INDEX, "0") != "0":
            return None
        found = (self._of.get((namespace, resource, name)) for resource, name in seen.owners)
        return next((key for key in found if key is not None), None)
