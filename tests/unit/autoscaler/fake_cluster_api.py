"""An API server in memory: objects that are listed and watched, answers at paths, and failures on command."""

import asyncio
import copy
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from adapter.sources.kubernetes.api import ApiError

Json = dict[str, Any]

AUTOSCALERS = "/apis/autoscaling.leadtime.dev/v1alpha1/predictiveautoscalers"
PODS, NODES, EVENTS = "/api/v1/pods", "/api/v1/nodes", "/api/v1/events"
HPAS = "/apis/autoscaling/v2/horizontalpodautoscalers"
SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/scaledobjects"
WATCHED = (AUTOSCALERS, PODS, NODES, EVENTS, HPAS, SCALED_OBJECTS)


class FakeClusterApi:
    """answers: of GETs at other paths than lists. failures: raised by requests to a path while they are there; lists
    that are not in `served` are answered with 404. calls: (path, parameters) of every request. hanging: paths of which
    no answer comes before their timeout."""

    def __init__(self) -> None:
        self.served = set(WATCHED)
        self.answers: dict[str, Json] = {}
        self.failures: dict[str, ApiError] = {}
        self.hanging: set[str] = set()
        self.calls: list[tuple[str, dict[str, str]]] = []
        self._objects: dict[str, dict[tuple[str, str], Json]] = defaultdict(dict)
        self._watchers: dict[str, list[asyncio.Queue[Json]]] = defaultdict(list)
        self._version = 100

    def put(self, resource: str, item: Json) -> None:
        """Create or replace an object, and tell who watches."""
        self._version += 1
        item = copy.deepcopy(item)
        item["metadata"]["resourceVersion"] = str(self._version)
        self._objects[resource][_key(item)] = item
        self._tell(resource, {"type": "MODIFIED", "object": item})

    def delete(self, resource: str, namespace: str, name: str) -> None:
        self._version += 1
        self._tell(resource, {"type": "DELETED", "object": self._objects[resource].pop((namespace, name))})

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:
        self.calls.append((path, dict(params or {})))
        await asyncio.sleep(0)  # where the real client lets others run
        if path in self.hanging:
            raise ApiError(0, "Timeout", f"{path}: no answer in {timeout_seconds:g} s")
        if path in self.failures:
            raise self.failures[path]
        if path in self.answers:
            return copy.deepcopy(self.answers[path])
        if path not in self.served:
            raise ApiError(404, "NotFound", f"{path}: the server could not find the requested resource")
        items = [copy.deepcopy(item) for _, item in sorted(self._objects[path].items())]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    async def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        idle_timeout_seconds: float = 90.0,  # noqa: ARG002 - as the real client
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]:
        self.calls.append((path, dict(params or {})))
        if path in self.failures:
            raise self.failures[path]
        queue: asyncio.Queue[Json] = asyncio.Queue()
        self._watchers[path].append(queue)
        if on_open is not None:
            on_open()
        try:
            while True:
                yield copy.deepcopy(await queue.get())
        finally:
            self._watchers[path].remove(queue)

    def _tell(self, resource: str, event: Json) -> None:
        for queue in self._watchers[resource]:
            queue.put_nowait(event)


async def settle() -> None:
    """Let all that is ready to run do so."""
    for _ in range(60):
        await asyncio.sleep(0)


async def forever(_seconds: float) -> None:
    """In place of a wait between tries: the next one does not come."""
    await asyncio.Event().wait()


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def predictive_autoscaler(name: str = "vllm", *, generation: int = 1, **spec: Any) -> Json:
    """As the API server stores one that asks for little."""
    return {
        "metadata": {"namespace": "llm", "name": name, "uid": f"uid-{name}", "generation": generation},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "maxReplicas": 8,
            "profile": "llama-3.1-8b-h100",
            "slo": {"tpotSeconds": 0.05},
            **spec,
        },
    }


def running_pod(name: str = "vllm-5d4f-x", *, namespace: str = "llm", **changes: Any) -> Json:
    """A Ready vLLM pod of a Deployment. changes: labels, owner, node, ip, phase, ready, deleting, requests, created."""
    owner = changes.get("owner", ("apps/v1", "ReplicaSet", "vllm-5d4f"))
    metadata: Json = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "creationTimestamp": changes.get("created", "2026-11-21T10:00:00Z"),
        "labels": changes.get("labels", {"app": "vllm", "pod-template-hash": "5d4f"}),
        "ownerReferences": [
            {"apiVersion": owner[0], "kind": owner[1], "name": owner[2], "uid": "u", "controller": True}
        ]
        if owner
        else [],
    }
    if changes.get("deleting"):
        metadata["deletionTimestamp"] = "2026-11-21T11:00:00Z"
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": changes.get("node", "gpu-1"),
            "containers": [
                {
                    "name": "server",
                    "image": "vllm/vllm-openai:v0.12.0",
                    "ports": [{"containerPort": changes.get("port", 8000), "name": "http", "protocol": "TCP"}],
                    "resources": {"requests": changes.get("requests", {"nvidia.com/gpu": "1", "cpu": "500m"})},
                }
            ],
        },
        "status": {
            "phase": changes.get("phase", "Running"),
            "podIP": changes.get("ip", "10.0.0.7"),
            "startTime": "2026-11-21T10:00:05Z",
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if changes.get("ready", True) else "False",
                    "lastTransitionTime": "2026-11-21T10:04:00Z",
                }
            ],
            "containerStatuses": [{"name": "server", "state": {"running": {"startedAt": "2026-11-21T10:01:00Z"}}}],
        },
    }
