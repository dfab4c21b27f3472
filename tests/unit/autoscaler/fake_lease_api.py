"""A Lease on an API server in memory, with versions, that can be told to fail, to hang and to lose answers."""

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter.sources.kubernetes.api import ApiError

Json = dict[str, Any]
PATH = "/apis/coordination.k8s.io/v1/namespaces/leadtime-system/leases/leadtime-controller"


@dataclass
class LeaseStore:
    """lease: None while there is none. calls: (candidate, method) so far."""

    lease: Json | None = None
    version: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)

    def get(self) -> Json:
        if self.lease is None:
            raise ApiError(404, "NotFound", PATH)
        return copy.deepcopy(self.lease)

    def create(self, body: Json) -> Json:
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", PATH)
        return self._stored(body)

    def update(self, body: Json) -> Json:
        if self.get()["metadata"]["resourceVersion"] != body["metadata"].get("resourceVersion"):
            raise ApiError(409, "Conflict", PATH)
        return self._stored(body)

    def edit(self, **spec: Any) -> None:
        """As somebody does by hand."""
        body = self.get()
        self._stored({**body, "spec": {**body["spec"], **spec}})

    def annotate(self, name: str, value: str) -> None:
        body = self.get()
        self._stored({**body, "metadata": {**body["metadata"], "annotations": {name: value}}})

    def delete(self) -> None:
        self.lease = None

    def _stored(self, body: Json) -> Json:
        self.version += 1
        self.lease = copy.deepcopy({**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}})
        return copy.deepcopy(self.lease)


@dataclass(frozen=True)
class Fault:
    """From begin to end (seconds of the loop): refuse (503 at once), hang (nothing arrives), mute (it is done, but no
    answer comes back)."""

    kind: str
    begin: float
    end: float


class CandidateApi:
    """One candidate's way to the store. latency: seconds there, and as many back. rate: of its clock, which measures
    its own timeouts. failure: raised while it is set."""

    def __init__(
        self, store: LeaseStore, name: str, *, latency: float = 0.005, rate: float = 1.0, faults: tuple[Fault, ...] = ()
    ) -> None:
        self.faults = faults
        self.failure: ApiError | None = None
        self._store, self._name, self._latency, self._rate = store, name, latency, rate

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:
        assert (path, params) == (PATH, None)
        return await self._call("GET", None, timeout_seconds)

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:
        assert path == PATH.rpartition("/")[0]
        return await self._call("POST", body, timeout_seconds)

    async def put(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:
        assert path == PATH
        return await self._call("PUT", body, timeout_seconds)

    async def _call(self, method: str, body: Any, timeout_seconds: float) -> Json:
        body = copy.deepcopy(body)
        self._store.calls.append((self._name, method))
        if self.failure is not None:
            raise self.failure
        try:
            async with asyncio.timeout(timeout_seconds / self._rate):
                return await self._answer(method, body)
        except TimeoutError:
            raise ApiError(0, "Timeout", method) from None

    async def _answer(self, method: str, body: Any) -> Json:
        now = asyncio.get_running_loop().time()
        kind = next((fault.kind for fault in self.faults if fault.begin <= now < fault.end), "")
        if kind == "refuse":
            raise ApiError(503, "ServiceUnavailable", method)
        if kind == "hang":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self._latency)
        answer = self._do(method, body)
        if kind == "mute":
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self._latency)
        return answer

    def _do(self, method: str, body: Any) -> Json:
        if method == "GET":
            return self._store.get()
        return self._store.create(body) if method == "POST" else self._store.update(body)
