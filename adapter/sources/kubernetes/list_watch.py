"""A list of objects kept current by a watch, with only what is needed of each in memory.

Source: kubernetes.io/docs/reference/using-api/api-concepts, "Efficient detection of changes", and client-go's
tools/cache/reflector.go.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Generic, TypeAlias, TypeVar, cast

from adapter.sources.kubernetes.api import ApiError, ApiReader, Json
from adapter.sources.kubernetes.backoff import backoff_seconds
from adapter.sources.series import NS_PER_SECOND

_log = logging.getLogger(__name__)
T = TypeVar("T")
Key: TypeAlias = tuple[str, str]
"""(namespace, name); the namespace of a cluster-wide object is ""."""

PAGE_LIMIT = 50  # objects; client-go takes 500, but parsing so many pods (4 MB) would hold the event loop for 100 ms
LIST_TIMEOUT_SECONDS = 30.0
WATCH_SECONDS = 300  # then the server ends the watch, and another one resumes it; times 1 to 2, as client-go
IDLE_SECONDS = 90.0  # the server sends a bookmark about once a minute: longer silence is a dead connection
ABSENT_RETRY_SECONDS = 300.0  # until an API that is not served (its CRD is not installed) is looked for again
EVENTS_PER_TURN = 16  # of a burst, before others may run: about 2 ms of pods


class ListWatch(Generic[T]):
    """Objects at one path. `run` keeps `items` current until it is cancelled.

    prune: what is kept of an object; None for one that counts as gone. Raising ValueError, KeyError, TypeError
        or AttributeError counts as gone too, and is told once.
    on_change: called after each change of an item, with its key and what is kept of it now.
    component: whose Role a fault names.
    An outage keeps the last items; `fault` says what and since when.
    """

    def __init__(
        self,
        client: ApiReader,
        path: str,
        *,
        prune: Callable[[Json], T | None],
        label_selector: str = "",
        field_selector: str = "",
        on_change: Callable[[Key, T | None], None] | None = None,
        component: str = "adapter",
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self._client = client
        self._prune = prune
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._selectors = {name: value for name, value in selectors.items() if value}
        self._on_change = on_change
        self._component = component
        self._chance, self._sleep, self._monotonic, self._now_ns = chance, sleep, monotonic, now_ns
        self._items: dict[Key, T] = {}
        self._version: str | None = None  # where the next watch resumes; None: list first
        self._failures = 0
        self._failed_at_ns = 0
        self._malformed: set[Key] = set()
        self._opened = False
        self._refused = False
        self.items: Mapping[Key, T] = MappingProxyType(self._items)
        self.synced = False
        self.absent = False
        self.fault: str | None = None

    @property
    def settled(self) -> bool:
        """Whether the first attempt is over: listed, refused, or not served here. False while the server is away."""
        return self.synced or self.absent or self._refused

    async def run(self) -> None:
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except ApiError as error:
                await self._sleep(self._after(error))

    async def _list(self) -> None:
        """Read all pages, then replace the items at once. Raises ApiError; 410 in the middle means: from the start."""
        self._opened = False
        found: dict[Key, T] = {}
        params = {**self._selectors, "limit": str(PAGE_LIMIT)}
        while True:
            page = await self._client.get(self.path, params, timeout_seconds=LIST_TIMEOUT_SECONDS)
            for item in page.get("items") or ():
                key = _key(item)
                if (kept := self._kept(key, item)) is not None:
                    found[key] = kept
            metadata = page.get("metadata") or {}
            if not (token := metadata.get("continue")):
                break
            params["continue"] = token
        self._version = str(metadata.get("resourceVersion", ""))
        self.synced, self.absent, self._refused = True, False, False
        self._recovered()
        for key in [key for key in self._items if key not in found]:
            self._set(key, None)
        for key, kept in found.items():
            self._set(key, kept)

    async def _watch(self) -> None:
        """Follow the changes until the server ends the watch. Raises ApiError."""
        started = self._monotonic()
        timeout_seconds = int(WATCH_SECONDS * (1 + self._chance()))
        params = {
            **self._selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": cast(str, self._version),
            "timeoutSeconds": str(timeout_seconds),
        }
        events, self._opened = 0, False
        stream = self._client.stream(self.path, params, idle_timeout_seconds=IDLE_SECONDS, on_open=self._watch_opened)
        async with aclosing(stream) as lines:  # type: ignore[type-var]
            async for event in lines:
                self._apply(event)
                self._failures = 0
                events += 1
                if events % EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
        if not events and self._monotonic() - started < 1.0:
            raise ApiError(0, "Disconnected", f"{self.path}: the watch ended at once and without an event")
        self._failures = 0

    def _watch_opened(self) -> None:
        self._opened = True
        self._recovered()

    def _apply(self, event: Json) -> None:
        kind, item = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise ApiError(int(item.get("code") or 0), str(item.get("reason", "")), str(item.get("message", "")))
        if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            raise ApiError(0, "Malformed", f"{self.path}: event type was {kind!r}")
        if kind != "BOOKMARK":
            key = _key(item)
            self._set(key, None if kind == "DELETED" else self._kept(key, item))
        if version := (item.get("metadata") or {}).get("resourceVersion"):
            self._version = str(version)

    def _kept(self, key: Key, item: Json) -> T | None:
        try:
            kept = self._prune(item)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if key not in self._malformed and len(self._malformed) < 1000:
                _log.warning("%s %s/%s is left out: %s", self.path, *key, error)
                self._malformed.add(key)
            return None
        self._malformed.discard(key)
        return kept

    def _set(self, key: Key, kept: T | None) -> None:
        if kept == self._items.get(key):
            return  # a status that is not kept has changed, or an object that was not kept has gone
        if kept is None:
            del self._items[key]
        else:
            self._items[key] = kept
        if self._on_change is not None:
            self._on_change(key, kept)

    def _after(self, error: ApiError) -> float:
        """Take note of the error; the seconds to wait before the next try."""
        if error.status == 410 and self._failures == 0:
            self._version = None
            self._failures = 1
            return 0.0  # the watch is too far behind, which is no outage: list again
        if error.reason == "Timeout" and self._opened and error.status == 0:
            return 0.0  # silence: resume on a new connection, which will tell whether the server is there
        self._failures += 1
        if error.status == 410:
            self._version = None
        elif error.status == 404:
            return self._not_served()
        self._refused = error.status in (401, 403)
        self._failed(error)
        return max(backoff_seconds(self._failures, self._chance()), min(60.0, error.retry_after_seconds or 0.0))

    def _not_served(self) -> float:
        if not self.absent:
            _log.info("%s is not served by this cluster; looked for again every %g s", self.path, ABSENT_RETRY_SECONDS)
        self.absent, self.synced, self._refused, self.fault = True, False, False, None
        self._version = None
        for key in list(self._items):
            self._set(key, None)
        return ABSENT_RETRY_SECONDS

    def _failed(self, error: ApiError) -> None:
        if self.fault is None:
            self._failed_at_ns = self._now_ns()
        since = datetime.fromtimestamp(self._failed_at_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        remedy = f"; {rbac_remedy(self.path, self._component)}" if error.status == 403 else ""
        left = f"the last known {len(self._items)} objects stay in use" if self.synced else "nothing is known yet"
        fault = f"{error}{remedy}; since {since}, {left}"
        if fault != self.fault:
            _log.warning("%s", fault)
        self.fault = fault

    def _recovered(self) -> None:
        if self.fault is not None:
            _log.info("%s is followed again", self.path)
            self.fault = None


def rbac_remedy(path: str, component: str = "adapter") -> str:
    """What a role must hold so that the path may be listed and watched."""
    parts = path.strip("/").split("/")
    group = "" if parts[0] == "api" else parts[1]
    role = "Role of that namespace" if "namespaces" in parts else "ClusterRole"
    rule = f'{{apiGroups: ["{group}"], resources: ["{parts[-1]}"], verbs: ["list", "watch"]}}'
    return f"add to the {component}'s {role}: {rule}"


def _key(item: Json) -> Key:
    metadata = item.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))
