"""The pods of a cluster as they were at any time since the start: what the HPA controller's informer held."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from audit_log import unix_ns
from kube_api import Object
from kube_watch import KubeWatch

from policies.hpa.milli_value import milli
from policies.snapshot import Container, Pod

Pods = tuple[Pod, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodChange:
    """at_ns: when a watch told of it, since the Unix epoch. pod: None when it went."""

    at_ns: int
    namespace: str
    labels: Mapping[str, str]
    uid: str
    pod: Pod | None


class PodHistory:
    """Watches all pods from its start until close()."""

    def __init__(self, kubeconfig: Path) -> None:
        self._changes: list[PodChange] = []
        self._lock = threading.Lock()
        self._watch = KubeWatch(kubeconfig, "/api/v1/pods", self._changed)
        assert self._watch.synced.wait(30.0), "the API server did not list"

    @property
    def changes(self) -> tuple[PodChange, ...]:
        """So far, oldest first."""
        with self._lock:
            return tuple(self._changes)

    def close(self) -> None:
        self._watch.close()

    def _changed(self, change: str, item: Object) -> None:
        metadata = item["metadata"]
        one = PodChange(
            at_ns=time.time_ns(),
            namespace=metadata["namespace"],
            labels=metadata.get("labels", {}),
            uid=metadata["uid"],
            pod=None if change == "DELETED" else pod_of(item),
        )
        with self._lock:
            self._changes.append(one)


def views(changes: tuple[PodChange, ...], selector: str, *, at_ns: int, slack_ns: int) -> tuple[Pods, ...]:
    """The pods at this time, then as they were at other times within slack_ns of it, nearest first.

    The controller's watch is told of a change somewhat before or after ours. changes: of one namespace. selector:
    equalities, as in "app=vllm". Only views that differ are given; the pods of each are sorted by name.
    """
    wanted = dict(pair.split("=") for pair in selector.split(","))
    pods: dict[str, Pod] = {}
    held: list[tuple[Pods, int]] = [((), 0)]  # each view, and since when
    for change in changes:
        if not wanted.items() <= change.labels.items():
            continue
        if change.pod is None:
            pods.pop(change.uid, None)
        else:
            pods[change.uid] = change.pod
        held.append((tuple(sorted(pods.values(), key=lambda pod: pod.name)), change.at_ns))
    near: list[tuple[int, Pods]] = []  # with how far from at_ns it held
    for (view, since_ns), (_, until_ns) in pairwise([*held, ((), at_ns + 1)]):
        distance_ns = max(since_ns - at_ns, at_ns + 1 - until_ns, 0)
        if distance_ns <= slack_ns:
            near.append((distance_ns, view))
    near.sort(key=lambda pair: pair[0])
    return tuple(view for index, (_, view) in enumerate(near) if all(view != other for _, other in near[:index]))


def pod_of(item: Object) -> Pod:
    """A pod of the API as the HPA sees it."""
    status, spec = item.get("status", {}), item["spec"]
    ready = next((one for one in status.get("conditions", ()) if one["type"] == "Ready"), None)
    return Pod(
        name=item["metadata"]["name"],
        phase=status.get("phase", "Pending"),
        ready=None if ready is None else ready["status"],
        start_ns=_instant(status.get("startTime")),
        ready_transition_ns=None if ready is None else _instant(ready.get("lastTransitionTime")),
        deleting="deletionTimestamp" in item["metadata"],
        containers=tuple(_container(one) for one in spec["containers"]),
        init_containers=tuple(_container(one) for one in spec.get("initContainers", ())),
    )


def _instant(timestamp: str | None) -> int | None:
    return None if timestamp is None else unix_ns(timestamp)


def _container(item: Object) -> Container:
    requests = item.get("resources", {}).get("requests", {})
    return Container(
        name=item["name"],
        requests_milli={name: milli(quantity) for name, quantity in requests.items()},
        restart_policy_always=item.get("restartPolicy") == "Always",
    )
