"""Leader election by a Lease, as client-go does it (tools/leaderelection/leaderelection.go, v0.36), in plain JSON.

It differs where a write of two at a time could be the price: a Lease that somebody deleted is created anew but led only
after a full lease duration, one whose holder somebody emptied by hand counts as held, and who waits takes the longer
of the recorded and the own duration. It also wakes up when the lease it waits for ends, instead of up to two retry
periods later.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from adapter.sources.kubernetes.api import ApiError, Json
from autoscaler.autoscaler import PAUSED_ANNOTATION
from autoscaler.clock import Clock
from autoscaler.leader.leadership import Leadership, Timing
from autoscaler.leader.record import LeaseRecord, micro_time, record_of, released, with_record

_log = logging.getLogger(__name__)
_JITTER = 0.2
"""Of the retry period, so that those who wait do not ask together for ever."""


class LeaseApi(Protocol):
    """What the election needs of the API server."""

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0
    ) -> Json: ...
    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json: ...
    async def put(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json: ...


class Election:
    """One candidate. `run` acquires and renews for ever; `release` hands over at the end.

    clock: for the times that people read in the Lease. monotonic, sleep: seconds, for every duration. chance: draws
    from [0, 1).
    """

    def __init__(
        self,
        api: LeaseApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing,
        clock: Clock,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.leadership = Leadership(identity, timing, monotonic)
        self._api = api
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace, self._name, self._identity = namespace, name, identity
        self._timing = timing
        self._clock, self._monotonic, self._sleep, self._chance = clock, monotonic, sleep, chance
        self._lease: Json | None = None  # as last seen, with the resourceVersion that the next write needs
        self._record: LeaseRecord | None = None
        self._observed_at = -math.inf  # when the record last changed before our eyes
        self._leads = False  # as told last

    @property
    def _path(self) -> str:
        return f"{self._leases}/{self._name}"

    async def run(self) -> None:
        """Try, wait, and again, until cancelled. What fails is logged and tried again."""
        while True:
            await self.attempt()
            wait = self._timing.retry_period * (1.0 + _JITTER * self._chance())
            if not self._is_ours():
                wait = min(wait, max(self._ends_at() - self._monotonic(), self._timing.retry_period / 10))
            await self._sleep(wait)

    async def attempt(self) -> bool:
        """Acquire or renew once; whether the Lease names us now."""
        try:
            ours = await self._acquire_or_renew()
            self.leadership.fault = ""
        except ApiError as error:
            ours = False
            self._failed(error)
        self._tell()
        return ours

    async def release(self) -> None:
        """Stop leading and let another one begin at once. To be called when no write is under way any more."""
        self.leadership.lost()
        if self._record is None or not self._is_ours():
            return
        try:
            await self._write(released(self._record, self._clock.now_ns()))
        except ApiError as error:
            if error.status != 409:
                _log.warning("the Lease was not released, others wait until it ends: %s", error)
                return
            try:  # an annotation came in between, or somebody else took it
                await self._read()
                if self._is_ours():
                    await self._write(released(self._record, self._clock.now_ns()))
            except ApiError as again:
                _log.warning("the Lease was not released, others wait until it ends: %s", again)
                return
        self.leadership.holder = ""
        _log.info("leadership released: lease=%s/%s", self._namespace, self._name)

    async def _acquire_or_renew(self) -> bool:
        if self._is_ours() and self._monotonic() < self._ends_at():
            try:
                return await self._renew()  # without reading first: nobody has written it since, most of the time
            except ApiError as error:
                _log.debug("not renewed, reading the Lease: %s", error)
        try:
            await self._read()
        except ApiError as error:
            if error.status != 404:
                raise
            return await self._create()
        assert self._record is not None
        if not self._is_ours():
            self.leadership.lost()
            if not self._record.is_released and self._monotonic() < self._ends_at():
                return False
        return await self._renew()

    async def _read(self) -> None:
        self._seen(await self._api.get(self._path, timeout_seconds=self._request_seconds))

    async def _create(self) -> bool:
        sent_at = self._monotonic()
        # Whoever held a Lease that is gone may write until its last renewal is too old, and was seen by nobody here.
        self.leadership.hold_off_until(sent_at + self._timing.lease_duration)
        self._lease, self._record = None, None
        fresh = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": self._name},
        }
        body = with_record(fresh, self._next_record(transitions=0))
        self._seen(await self._api.post(self._leases, body, timeout_seconds=self._request_seconds))
        return self._won(sent_at)

    async def _renew(self) -> bool:
        assert self._record is not None
        sent_at = self._monotonic()
        transitions = self._record.transitions + (0 if self._is_ours() else 1)
        await self._write(self._next_record(transitions))
        return self._won(sent_at)

    async def _write(self, record: LeaseRecord) -> None:
        """At the resourceVersion that was seen last: whoever comes second gets a conflict."""
        assert self._lease is not None
        body = with_record(self._lease, record)
        self._seen(await self._api.put(self._path, body, timeout_seconds=self._request_seconds))

    def _next_record(self, transitions: int) -> LeaseRecord:
        now = micro_time(self._clock.now_ns())
        since = self._record.acquire_time if self._record is not None and self._is_ours() else now
        return LeaseRecord(self._identity, self._timing.lease_duration, since, now, transitions)

    def _won(self, sent_at: float) -> bool:
        if not self._is_ours():  # an admission webhook rewrote it
            return False
        self.leadership.renewed(sent_at)
        return True

    def _seen(self, lease: Json) -> None:
        record = record_of(lease)
        if record != self._record:
            self._record, self._observed_at = record, self._monotonic()
        self._lease = lease
        annotations = (lease.get("metadata") or {}).get("annotations") or {}
        self._pause(annotations.get(PAUSED_ANNOTATION) == "true")
        self.leadership.holder, self.leadership.transitions = record.holder, record.transitions

    def _pause(self, paused: bool) -> None:
        if paused != self.leadership.paused:
            _log.warning(
                "the whole cluster is %s by the Lease's annotation", "paused" if paused else "no longer paused"
            )
        self.leadership.paused = paused

    def _is_ours(self) -> bool:
        return self._record is not None and self._record.holder == self._identity

    def _ends_at(self) -> float:
        """When the lease that was seen has run out, by our own clock since it last changed."""
        if self._record is None:
            return -math.inf
        return self._observed_at + max(self._record.duration_seconds, self._timing.lease_duration)

    @property
    def _request_seconds(self) -> float:
        """Two requests fit into the deadline, so that one that hangs does not cost the leadership by itself."""
        return self._timing.renew_deadline / 2

    def _failed(self, error: ApiError) -> None:
        if error.status == 409:
            _log.debug("another controller was first: %s", error)
            return
        fault = f"{error}{self._remedy(error)}"
        if fault != self.leadership.fault:
            _log.warning("the Lease cannot be had: %s", fault)
        self.leadership.fault = fault

    def _remedy(self, error: ApiError) -> str:
        if error.status == 403:
            return (
                f"; add to the controller's Role in {self._namespace}: "
                '{apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update"]}'
            )
        if error.status == 404:
            return f"; create the namespace {self._namespace}, or name the controller's own by `namespace`"
        return ""

    def _tell(self) -> None:
        leads = self.leadership.may_write()
        if leads and not self._leads:
            _log.info("leading: identity=%s transitions=%d", self._identity, self.leadership.transitions)
        elif self._leads and not leads:
            _log.warning("no longer leading: holder=%s", self.leadership.holder or "nobody")
        self._leads = leads
