"""An API server on the loopback that holds objects, lists them in pages, streams watches, and can be told to fail."""

import asyncio
import copy
import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from adapter.sources.kubernetes.client import KubeClient

Json = dict[str, Any]


async def until(true: Callable[[], bool], *, seconds: float = 5.0) -> None:
    """Wait for something that another task brings about."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


async def short_sleep(_seconds: float) -> None:
    """In place of a wait between tries."""
    await asyncio.sleep(0.002)


class FakeKubeApi:
    """Objects by resource path ("/api/v1/pods"), with versions and a history as etcd keeps them.

    not_served, forbidden: resource paths answered with 404 and 403. failures: statuses for the next requests, whatever
    they ask. expired_tokens: how many of the next `continue` tokens are refused with 410.
    requests: (path, query) of every request.
    """

    def __init__(self) -> None:
        self.not_served: set[str] = set()
        self.forbidden: set[str] = set()
        self.failures: list[int] = []
        self.expired_tokens = 0
        self.ends_watches_at_once = False
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.version = 1000
        self.url = ""
        self._objects: dict[str, dict[tuple[str, str], Json]] = defaultdict(dict)
        self._history: dict[str, list[tuple[int, Json]]] = defaultdict(list)
        self._oldest = 0
        self._changed = asyncio.Condition()
        self._generation = 0
        self._cut = False

    async def put(self, resource: str, item: Json) -> None:
        """Create or replace an object."""
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        kind = "MODIFIED" if key in self._objects[resource] else "ADDED"
        item = copy.deepcopy(item)
        await self._happened(resource, kind, item)
        self._objects[resource][key] = item

    async def delete(self, resource: str, namespace: str, name: str) -> None:
        await self._happened(resource, "DELETED", self._objects[resource].pop((namespace, name)))

    async def bookmark(self, resource: str) -> None:
        await self._happened(resource, "BOOKMARK", {"metadata": {}})

    async def end_watches(self, *, cut: bool = False) -> None:
        """End every open watch: politely, or by cutting the connection."""
        async with self._changed:
            self._generation, self._cut = self._generation + 1, cut
            self._changed.notify_all()

    def compact(self) -> None:
        """Forget the history, so that older versions are answered with 410."""
        self._oldest = self.version

    async def _happened(self, resource: str, kind: str, item: Json) -> None:
        async with self._changed:
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            self._history[resource].append((self.version, {"type": kind, "object": copy.deepcopy(item)}))
            self._changed.notify_all()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.query)))
        resource, namespace = _resource(request.path)
        if self.failures:
            return _status(self.failures.pop(0), "InternalError", "told to fail")
        if resource in self.not_served:
            return _status(404, "NotFound", "the server could not find the requested resource")
        if resource in self.forbidden:
            return _status(403, "Forbidden", f'User "adapter" cannot list resource at {resource}')
        if request.query.get("watch") == "true":
            return await self._watch(request, resource, namespace)
        return self._list(request, resource, namespace)

    def _list(self, request: web.Request, resource: str, namespace: str) -> web.Response:
        start = int(request.query.get("continue", "0"))
        if start and self.expired_tokens:
            self.expired_tokens -= 1
            return _status(410, "Expired", "The provided continue parameter is too old")
        items = [item for key, item in sorted(self._objects[resource].items()) if namespace in ("", key[0])]
        end = start + int(request.query["limit"])
        metadata = {"resourceVersion": str(self.version)} | ({"continue": str(end)} if end < len(items) else {})
        return web.json_response({"metadata": metadata, "items": items[start:end]})

    async def _watch(self, request: web.Request, resource: str, namespace: str) -> web.StreamResponse:
        response, generation = web.StreamResponse(), self._generation
        await response.prepare(request)
        seen = int(request.query["resourceVersion"])
        if seen < self._oldest:
            await _send(response, {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
            return response
        while not self.ends_watches_at_once:
            async with self._changed:
                events = [(version, event) for version, event in self._history[resource] if version > seen]
                if not events and generation == self._generation:
                    await self._changed.wait()
            for version, event in events:
                seen = version
                if namespace in ("", event["object"]["metadata"].get("namespace", "")):
                    await _send(response, event)
            if generation != self._generation:
                if self._cut and request.transport is not None:
                    request.transport.abort()
                break
        return response


@asynccontextmanager
async def fake_kube_api() -> AsyncIterator[tuple[FakeKubeApi, KubeClient]]:
    api = FakeKubeApi()
    async with serving(api.handle) as url:
        client = KubeClient(Configuration(host=url))
        try:
            yield api, client
        finally:
            await client.close()


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Any], *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The handler on a free port of the loopback; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _resource(path: str) -> tuple[str, str]:
    """/api/v1/namespaces/llm/pods -> /api/v1/pods, llm"""
    parts = path.split("/")
    if "namespaces" not in parts:
        return path, ""
    at = parts.index("namespaces")
    return "/".join(parts[:at] + parts[at + 2 :]), parts[at + 1]


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response(
        {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}, status=code
    )


async def _send(response: web.StreamResponse, event: Json) -> None:
    await response.write(json.dumps(event).encode() + b"\n")


def pod(name: str, *, namespace: str = "llm", ip: str = "10.0.0.1", **changes: Any) -> Json:
    """A running vLLM pod of a Deployment, as the API server shows it, in the fields that matter.

    changes: labels, annotations, image, ports, phase, ready, deleting, running, owner, resources, init.
    """
    labels = changes.get("labels", {"app": "vllm", "pod-template-hash": "5d4f"})
    owner = changes.get("owner", ("apps/v1", "ReplicaSet", "vllm-5d4f"))
    container = {
        "name": "server",
        "image": changes.get("image", "vllm/vllm-openai:v0.12.0"),
        "ports": changes.get("ports", [{"containerPort": 8000, "name": "http", "protocol": "TCP"}]),
        "resources": changes.get("resources", {"limits": {"nvidia.com/gpu": "1"}}),
    }
    metadata: Json = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "annotations": changes.get("annotations", {}),
        "ownerReferences": [
            {"apiVersion": owner[0], "kind": owner[1], "name": owner[2], "uid": "u", "controller": True}
        ]
        if owner
        else [],
    }
    if changes.get("deleting"):
        metadata["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    state = {"running": {"startedAt": "2026-11-21T10:00:00Z"}} if changes.get("running", True) else {"waiting": {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": "gpu-node-1", "containers": [container], "initContainers": changes.get("init", [])},
        "status": {
            "phase": changes.get("phase", "Running"),
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if changes.get("ready", True) else "False"}],
            "containerStatuses": [{"name": "server", "state": state}],
        },
    }
