"""Resource discovery: from apiVersion and kind to the path of its objects, also for kinds that are installed later."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapter.sources.kubernetes.api import ApiError, ApiReader, Json
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.observe.target_error import TargetError, target_error

KEPT_SECONDS = 600.0
"""A kind that was found: long, since kinds hardly ever change, and short enough that a new version of a CRD shows."""
ABSENT_SECONDS = 30.0
"""A kind that was not: as often as a person who has just installed its CRD looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """plural: of its path, `deployments`. group: "" for core."""

    group: str
    version: str
    plural: str
    namespaced: bool
    has_scale: bool

    @property
    def qualified(self) -> str:
        """`deployments.apps`"""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str) -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"namespaces/{namespace}/" if self.namespaced else ""
        return f"{root}/{where}{self.plural}/{name}"


@dataclass(frozen=True, slots=True)
class _Known:
    at_seconds: float
    by_kind: Mapping[str, Resource]


class Resources:
    """What the API server serves, one request for each apiVersion and time. monotonic: a clock in seconds."""

    def __init__(
        self, client: ApiReader, *, timeout_seconds: float = 5.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known]] = {}

    async def find(self, ref: ScaleTargetRef) -> Resource:
        """Raises TargetError: NotFound where no such kind is served."""
        known = self._known.get(ref.api_version)
        if known is None or self._is_over(known, ref.kind):
            known = await self._ask(ref.api_version, known)
        found = known.by_kind.get(ref.kind)
        if found is None:
            raise TargetError(
                "NotFound",
                f"{ref.api_version} {ref.kind} is not served by this cluster; correct spec.scaleTargetRef, or install "
                f"its CustomResourceDefinition, which is then seen within {ABSENT_SECONDS:g} s",
            )
        return found

    def forget(self, api_version: str) -> None:
        """Look anew at the next question, if the last look is not of just now: a kind may have been taken away."""
        known = self._known.get(api_version)
        if known is not None and self._monotonic() - known.at_seconds > ABSENT_SECONDS:
            del self._known[api_version]

    def _is_over(self, known: _Known, kind: str) -> bool:
        age = self._monotonic() - known.at_seconds
        return age > (KEPT_SECONDS if kind in known.by_kind else ABSENT_SECONDS)

    async def _ask(self, api_version: str, before: _Known | None) -> _Known:
        """One request for all who wait. Where it fails, what was known before stays."""
        task = self._asking.get(api_version)
        if task is None:
            task = self._asking[api_version] = asyncio.create_task(self._list(api_version))
            task.add_done_callback(lambda done: self._end(api_version, done))
        try:
            return await asyncio.shield(task)
        except ApiError as error:
            if before is not None and error.status != 404:
                return before
            group = api_version.partition("/")[0] if "/" in api_version else ""
            if error.status == 404:
                self._known[api_version] = _Known(self._monotonic(), {})
                return self._known[api_version]
            raise target_error(error, f"resources of {api_version}", group=group, resource="*") from error

    def _end(self, api_version: str, task: "asyncio.Task[_Known]") -> None:
        self._asking.pop(api_version, None)
        if not task.cancelled():
            task.exception()  # seen, also where nobody waits any more

    async def _list(self, api_version: str) -> _Known:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        answer = await self._client.get(path, timeout_seconds=self._timeout_seconds)
        known = self._known[api_version] = _Known(self._monotonic(), _by_kind(api_version, answer))
        return known


def _by_kind(api_version: str, answer: Json) -> Mapping[str, Resource]:
    group, slash, version = api_version.rpartition("/")
    listed = answer.get("resources") or ()
    scalable = {
        each["name"].removesuffix("/scale")
        for each in listed
        if each["name"].endswith("/scale") and "get" in (each.get("verbs") or ("get",))
    }
    return {
        each["kind"]: Resource(
            group=group if slash else "",
            version=version,
            plural=each["name"],
            namespaced=bool(each.get("namespaced")),
            has_scale=each["name"] in scalable,
        )
        for each in listed
        if "/" not in each["name"]
    }
