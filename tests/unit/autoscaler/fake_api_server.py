"""An API server on the loopback, for a whole controller: objects, lists, watches, patches, a Deployment's scale, and
the metrics pages of its pods."""

import asyncio
import copy
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from fake_object_server import own_min_replicas
from kubernetes.aio.client import Configuration

from adapter.sources.kubernetes.client import KubeClient

Json = dict[str, Any]
LEASE = "/apis/coordination.k8s.io/v1/namespaces/leadtime-system/leases/leadtime-controller"
AUTOSCALERS = "/apis/autoscaling.leadtime.dev/v1alpha1/predictiveautoscalers"
PODS = "/api/v1/pods"
_SERVED = {
    AUTOSCALERS,
    PODS,
    "/api/v1/nodes",
    "/api/v1/events",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/events.k8s.io/v1/events",
}


async def until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for something that another task brings about, which takes milliseconds unless the machine is busy."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


class FakeApiServer:
    """objects: by path. writes: (method, path, body) so far. requests_per_second: what each pod has been asked to do.

    failing: statuses with which requests are answered whose path ends like this. hanging: such paths never answer.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[tuple[str, str, Json]] = []
        self.failing: dict[str, int] = {}
        self.hanging: set[str] = set()
        self.served_pages = Counter[str]()
        self.now_seconds = 0.0
        self.requests_per_second = 0.0
        self._answered: defaultdict[str, float] = defaultdict(float)
        self._version = 100
        self._told: defaultdict[str, list[Json]] = defaultdict(list)
        self._watchers: defaultdict[str, list[asyncio.Queue[Json | None]]] = defaultdict(list)
        self.port = 0

    def put(self, path: str, body: Json) -> Json:
        """Create or replace, and tell who watches."""
        self._version += 1
        metadata = {**body.get("metadata", {}), "resourceVersion": str(self._version)}
        event = "MODIFIED" if path in self.objects else "ADDED"
        self.objects[path] = copy.deepcopy({**body, "metadata": metadata})
        self._tell(path, event)
        return self.objects[path]

    def delete(self, path: str) -> None:
        self._version += 1
        self.objects[path]["metadata"]["resourceVersion"] = str(self._version)
        self._tell(path, "DELETED")
        del self.objects[path]

    def add_deployment(self, name: str, replicas: int) -> None:
        """With as many pods that serve."""
        self.put(
            f"/apis/apps/v1/namespaces/llm/deployments/{name}",
            {"metadata": {"name": name, "namespace": "llm"}, "spec": {"replicas": replicas}},
        )
        self.pods_follow(name)

    def pods_follow(self, name: str) -> None:
        """Pods as the Deployment asks for them, Ready at once."""
        replicas = self.objects[f"/apis/apps/v1/namespaces/llm/deployments/{name}"]["spec"]["replicas"]
        there = [path for path in self.objects if path.startswith(f"/api/v1/namespaces/llm/pods/{name}-")]
        for path in there[replicas:]:
            self.delete(path)
        for index in range(len(there), replicas):
            pod = f"{name}-5d4f-{index}"
            self.put(f"/api/v1/namespaces/llm/pods/{pod}", self._pod(name, pod))

    def serve_work(self, seconds: float) -> None:
        """Time passes, and the pods share what is asked."""
        self.now_seconds += seconds
        pods = [path.rpartition("/")[2] for path in self.objects if path.startswith("/api/v1/namespaces/llm/pods/")]
        for pod in pods:
            self._answered[pod] += self.requests_per_second * seconds / len(pods)

    def last_change(self, resource: str) -> int:
        """The version that a watch of `/api/v1/pods` reaches once it has seen everything."""
        return _version_of(self._told[resource][-1]) if self._told[resource] else 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[KubeClient]:
        """A client of it."""
        app = web.Application()
        app.router.add_get("/page/{pod}", self._page)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        client = KubeClient(Configuration(host=f"http://127.0.0.1:{self.port}"))
        try:
            yield client
        finally:
            for watchers in self._watchers.values():
                for watcher in watchers:
                    watcher.put_nowait(None)
            await client.close()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        body = json.loads(await request.read() or b"null")
        if any(path.endswith(end) for end in self.hanging):
            await asyncio.Event().wait()
        status = next((status for end, status in self.failing.items() if path.endswith(end)), 0)
        if status:
            return _status(status, "Told", "told to fail")
        if request.method == "GET":
            return await self._get(request, path)
        self.writes.append((request.method, path, body))
        operation = "Apply" if request.content_type.startswith("application/apply-patch") else "Update"
        return self._write(request.method, path, body, request.query, operation)

    async def _get(self, request: web.Request, path: str) -> web.StreamResponse:
        if path == "/apis/apps/v1":
            names = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
            kinds = [{"name": name, "kind": kind, "namespaced": True} for name, kind in names]
            return web.json_response({"kind": "APIResourceList", "resources": kinds})
        if request.query.get("watch") == "true":
            return await self._watch(request, path)
        resource = path if path in _SERVED else _list_of(f"{path}/any")
        if resource in _SERVED:
            named = request.query.get("fieldSelector", "").partition("metadata.name=")[2]
            items = [
                item
                for at, item in sorted(self.objects.items())
                if _list_of(at) == resource and (path == resource or at == f"{path}/{named}")
            ]
            return web.json_response({"metadata": {"resourceVersion": str(self._version)}, "items": items})
        if path.endswith("/scale") and path.removesuffix("/scale") in self.objects:
            return web.json_response(self._scale(path.removesuffix("/scale")))
        found = self.objects.get(path)
        return web.json_response(found) if found is not None else _status(404, "NotFound", path)

    def _write(self, method: str, path: str, body: Json, params: Mapping[str, str], operation: str) -> web.Response:
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return _status(409, "AlreadyExists", path)
            return web.json_response(self.put(path, body), status=201)
        at = path.removesuffix("/scale").removesuffix("/status")
        if at not in self.objects:
            return _status(404, "NotFound", path)
        found = self.objects[at]
        version = (body.get("metadata") or {}).get("resourceVersion")
        if version is not None and version != found["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", path)
        after: Json = body if method == "PUT" else _merged(found, body)
        if "minReplicas" in body.get("spec", {}) and at.split("/")[-2] == "horizontalpodautoscalers":
            own_min_replicas(found, after, params, operation)
        written = self.put(at, after)
        return web.json_response(self._scale(at) if path.endswith("/scale") else written)

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[Json | None] = asyncio.Queue()
        since = int(request.query.get("resourceVersion") or 0)
        for past in self._told[path]:
            if _version_of(past) > since:
                queue.put_nowait(past)
        self._watchers[path].append(queue)
        while (event := await queue.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    def _tell(self, path: str, kind: str) -> None:
        event = {"type": kind, "object": copy.deepcopy(self.objects[path])}
        self._told[_list_of(path)].append(event)
        for watcher in self._watchers[_list_of(path)]:
            watcher.put_nowait(event)

    def _scale(self, path: str) -> Json:
        found = self.objects[path]
        name, replicas = found["metadata"]["name"], found["spec"]["replicas"]
        return {
            "metadata": found["metadata"],
            "spec": {"replicas": replicas},
            "status": {"replicas": replicas, "selector": f"app={name}"},
        }

    def _pod(self, deployment: str, name: str) -> Json:
        return {
            "metadata": {
                "name": name,
                "namespace": "llm",
                "uid": f"uid-{name}",
                "creationTimestamp": "2027-01-15T08:00:00Z",
                "labels": {"app": deployment, "pod-template-hash": "5d4f"},
                "annotations": {
                    "prometheus.io/scrape": "true",
                    "prometheus.io/port": str(self.port),
                    "prometheus.io/path": f"/page/{name}",
                },
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{deployment}-5d4f", "controller": True}
                ],
            },
            "spec": {
                "nodeName": "gpu-1",
                "containers": [{"name": "vllm", "ports": [{"containerPort": self.port, "name": "http"}]}],
            },
            "status": {
                "phase": "Running",
                "podIP": "127.0.0.1",
                "startTime": "2027-01-15T08:00:00Z",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2027-01-15T08:02:00Z"}],
                "containerStatuses": [{"name": "vllm", "state": {"running": {"startedAt": "2027-01-15T08:00:05Z"}}}],
            },
        }

    async def _page(self, request: web.Request) -> web.Response:
        pod = request.match_info["pod"]
        self.served_pages[pod] += 1
        answered = self._answered[pod]
        lines = [
            f'vllm:request_success_total{{finished_reason="stop"}} {answered}',
            f"vllm:prompt_tokens_total {answered * 500}",
            f"vllm:generation_tokens_total {answered * 200}",
            "vllm:num_requests_running 4",
            "vllm:num_requests_waiting 0",
            "vllm:kv_cache_usage_perc 0.1",
        ]
        return web.Response(text="\n".join(lines) + "\n")


def _version_of(event: Json) -> int:
    return int(event["object"]["metadata"]["resourceVersion"])


def _list_of(path: str) -> str:
    """/api/v1/namespaces/llm/pods/a -> /api/v1/pods"""
    parts = path.split("/")
    if "namespaces" in parts:
        at = parts.index("namespaces")
        del parts[at : at + 2]
    return "/".join(parts[:-1])


def _merged(found: Any, patch: Any) -> Any:
    """RFC 7386, without resourceVersion, which is the server's."""
    if not isinstance(found, dict) or not isinstance(patch, dict):
        return patch
    merged = {**found, **{key: _merged(found.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "reason": reason, "message": message, "code": code}, status=code)
