"""A node autoscaler's stand-in: brings KWOK nodes for pods that have no room, and takes empty ones away.

By the rules of the simulated cluster (simulations/cluster/), which are the cluster-autoscaler's as far as GPUs go:
  - pods that the scheduler calls Unschedulable are packed on free GPUs and on the nodes that are on their way, oldest
    first; for those that do not fit nodes are asked for, up to max_nodes. Pods of a priority below -10 are expendable;
  - a node is there provision_seconds after it was asked for, and kwok makes it Ready;
  - a usable node that held no pod with GPUs for unneeded_seconds is removed, down to the min-size;
  - nodes below the min-size are asked for at once, where the pool enforces it (enforce-node-group-min-size).
Which pods run where, and which placeholder is preempted, is the real scheduler's business. Not modelled: moving pods
off a node that is little used, zones.

    with NodeProvisioner(plane.api, [Pool("l4", gpus_per_node=1, max_nodes=4, provision_seconds=3)]) as provisioner:
        provisioner.set_min("l4", 2)
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import urllib3
from kube_api import Api, ApiError, Object

GPU = "nvidia.com/gpu"
POOL_LABEL = "cloud.google.com/gke-nodepool"
LOWEST_PRIORITY = -10
SCAN_SECONDS = 0.25  # the cluster-autoscaler's is 10 s: time is scaled here
_ASKED = " is asked for"


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal nodes. Seconds are real ones: scale them. taints: of every node, as in a Node's spec."""

    name: str
    max_nodes: int
    gpus_per_node: int = 1
    min_nodes: int = 0
    provision_seconds: float = 2.0
    unneeded_seconds: float = 3.0
    enforces_min: bool = True
    taints: tuple[Mapping[str, str], ...] = ()

    def selects(self, pod: Object) -> bool:
        """Whether its node selector admits this pool's nodes."""
        selector = pod["spec"].get("nodeSelector") or {}
        return bool(selector.items() <= self.labels.items())

    @property
    def labels(self) -> dict[str, str]:
        return {"kubernetes.io/os": "linux", POOL_LABEL: self.name}


@dataclass(slots=True)
class _Ask:
    """A node on its way."""

    name: str
    at: float


@dataclass(slots=True)
class _State:
    pool: Pool
    min_nodes: int
    asked: list[_Ask] = field(default_factory=list)
    empty_since: dict[str, float] = field(default_factory=dict)
    made: int = 0


class NodeProvisioner:
    """Runs in a thread from `with` to its end, where its nodes stay. log: what it did, (seconds since the start, text).

    stockout: while set, a pool's asks are not met.
    """

    def __init__(self, api: Api, pools: Iterable[Pool]) -> None:
        self._api = api
        self._states = {pool.name: _State(pool, pool.min_nodes) for pool in pools}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-provisioner", daemon=True)
        self._began = time.monotonic()
        self._triggered: set[str] = set()
        self.log: list[tuple[float, str]] = []
        self.stockout: set[str] = set()
        self.fault: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._ending.set()
        self._thread.join()
        if error is not None:
            error.add_note("node provisioner:\n" + "\n".join(f"{second:7.2f} {text}" for second, text in self.log))
        if self.fault is not None:
            raise self.fault

    def set_min(self, pool: str, nodes: int) -> None:
        """As a provider sets a min-size."""
        with self._lock:
            self._states[pool].min_nodes = nodes

    def min_nodes(self, pool: str) -> int:
        with self._lock:
            return self._states[pool].min_nodes

    @property
    def elapsed_seconds(self) -> float:
        """Since the start, as in the log."""
        return time.monotonic() - self._began

    def asked(self, pool: str) -> list[float]:
        """When each node of this pool was asked for, seconds since the start."""
        asks = ((at, text.removesuffix(_ASKED)) for at, text in self.log if text.endswith(_ASKED))
        return [at for at, name in asks if name.rpartition("-")[0] == pool]

    def node_names(self, pool: str) -> list[str]:
        """In the cluster, by name."""
        return sorted(node["metadata"]["name"] for node in self._nodes(pool))

    def _run(self) -> None:
        try:
            while not self._ending.wait(SCAN_SECONDS):
                try:
                    self._scan()
                except (ApiError, urllib3.exceptions.HTTPError) as error:  # the API server is away: the next scan
                    self._note(f"scan failed: {error}")
        except BaseException as error:  # told at the end, where a test sees it
            self.fault = error

    def _scan(self) -> None:
        pods = self._api.get("/api/v1/pods")["items"]
        now = time.monotonic()
        with self._lock:
            for state in self._states.values():
                self._bring(state, now)
                nodes = self._nodes(state.pool.name)
                self._ask_for_pods(state, _free_gpus(nodes, pods), _waiting(state.pool, pods), now)
                if state.pool.enforces_min:
                    while len(nodes) + len(state.asked) < min(state.min_nodes, state.pool.max_nodes):
                        self._ask(state, now)
                self._remove(state, nodes, pods, now)

    def _bring(self, state: _State, now: float) -> None:
        """The nodes whose time has come."""
        if state.pool.name in self.stockout:
            return
        due = [ask for ask in state.asked if now - ask.at >= state.pool.provision_seconds]
        for ask in due:
            self._api.create("/api/v1/nodes", _node(state.pool, ask.name))
            self._note(f"{ask.name} is there")
            state.asked.remove(ask)

    def _ask_for_pods(self, state: _State, free: list[int], waiting: list[Object], now: float) -> None:
        """First fit on what is free (a node may just have come), then on the nodes on their way, then on new ones."""
        there = len(free)
        room = free + [state.pool.gpus_per_node] * len(state.asked)
        for pod in waiting:
            gpus = gpus_of(pod)
            fitting = next((number for number, free in enumerate(room) if free >= gpus), None)
            if fitting is None:
                if there + len(state.asked) >= state.pool.max_nodes or gpus > state.pool.gpus_per_node:
                    continue
                self._ask(state, now)
                room.append(state.pool.gpus_per_node)
                fitting = len(room) - 1
                self._tell(pod, state, there)
            room[fitting] -= gpus

    def _ask(self, state: _State, now: float) -> None:
        name = f"{state.pool.name}-{state.made}"
        state.made += 1
        state.asked.append(_Ask(name, now))
        self._note(f"{name}{_ASKED}")

    def _remove(self, state: _State, nodes: list[Object], pods: list[Object], now: float) -> None:
        names = [node["metadata"]["name"] for node in nodes]
        usable = {node["metadata"]["name"] for node in nodes if _is_usable(node)}
        used = {pod["spec"].get("nodeName") for pod in pods if gpus_of(pod) and not _is_over(pod)}
        state.empty_since = {name: state.empty_since.get(name, now) for name in usable - used}
        for name, since in sorted(state.empty_since.items(), key=lambda item: item[1]):
            if len(names) <= state.min_nodes:
                break
            if now - since >= state.pool.unneeded_seconds:
                self._api.delete(f"/api/v1/nodes/{name}")
                self._note(f"{name} is removed")
                names.remove(name)
                del state.empty_since[name]

    def _tell(self, pod: Object, state: _State, there: int) -> None:
        """The event that the cluster-autoscaler writes, once a pod."""
        uid = pod["metadata"]["uid"]
        if uid in self._triggered:
            return
        self._triggered.add(uid)
        metadata, now = pod["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        size = there + len(state.asked)
        grown = f"{state.pool.name} {size - 1}->{size} (max: {state.pool.max_nodes})"
        self._api.create(
            f"/api/v1/namespaces/{metadata['namespace']}/events",
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": uid,
                },
                "type": "Normal",
                "reason": "TriggeredScaleUp",
                "message": f"pod triggered scale-up: [{{{grown}}}]",
                "source": {"component": "cluster-autoscaler"},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
        )

    def _nodes(self, pool: str) -> list[Object]:
        found: list[Object] = self._api.get(f"/api/v1/nodes?labelSelector={POOL_LABEL}%3D{pool}")["items"]
        return found

    def _note(self, text: str) -> None:
        self.log.append((round(time.monotonic() - self._began, 2), text))


def gpus_of(pod: Object) -> int:
    """What its containers ask for."""
    return sum(
        int((container.get("resources", {}).get("requests") or {}).get(GPU, 0))
        for container in pod["spec"]["containers"]
    )


def _waiting(pool: Pool, pods: list[Object]) -> list[Object]:
    """Without a node for want of GPUs, oldest first, and not expendable."""
    waiting = [
        pod
        for pod in pods
        if gpus_of(pod)
        and not pod["spec"].get("nodeName")
        and not pod["metadata"].get("deletionTimestamp")
        and not (pod.get("status") or {}).get("nominatedNodeName")  # it preempts: its place is being made
        and pod["spec"].get("priority", 0) >= LOWEST_PRIORITY
        and pool.selects(pod)
        and _is_unschedulable(pod)
    ]
    return sorted(waiting, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))


def _free_gpus(nodes: list[Object], pods: list[Object]) -> list[int]:
    """Of each node: what no pod holds."""
    free = {node["metadata"]["name"]: int(node["status"]["allocatable"].get(GPU, 0)) for node in nodes}
    for pod in pods:
        if pod["spec"].get("nodeName") in free and not _is_over(pod):
            free[pod["spec"]["nodeName"]] -= gpus_of(pod)
    return list(free.values())


def _is_unschedulable(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(
        each["type"] == "PodScheduled" and each["status"] == "False" and each.get("reason") == "Unschedulable"
        for each in conditions
    )


def _is_usable(node: Object) -> bool:
    """Ready, and no longer tainted for not being so."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    taints = node["spec"].get("taints") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions) and not any(
        taint["key"].startswith("node.kubernetes.io/") for taint in taints
    )


def _is_over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _node(pool: Pool, name: str) -> Object:
    capacity: dict[str, Any] = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: str(pool.gpus_per_node)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**pool.labels, "kubernetes.io/hostname": name}},
        "spec": {"taints": [dict(taint) for taint in pool.taints]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
