"""A GKE cluster as its pools share it: one operation at a time, followed until it is over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from adapter.sources.in_threads import DaemonThreads
from autoscaler.node_pools.gke_client import GkeClient, GkeSettings
from autoscaler.node_pools.gke_trouble import GkeTrouble
from policies.snapshot import NS_PER_SECOND

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningOperation:
    """Ours. pool: whose. grows: it asks for nodes."""

    name: str
    pool: str
    started_ns: int
    grows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedOperation:
    """The last one of ours. trouble: None where it came out well."""

    operation: RunningOperation
    trouble: GkeTrouble | None


class GkeCluster:
    """path: `projects/P/locations/L/clusters/C`. turn: held while a pool looks at the operation and begins one."""

    def __init__(self, path: str, settings: GkeSettings) -> None:
        self.path = path
        self.turn = asyncio.Lock()
        self.running: RunningOperation | None = None
        self._ended: dict[str, EndedOperation] = {}
        self._settings = settings
        self._client = GkeClient(settings)
        self._threads = DaemonThreads(2, name="gke")
        self._is_autopilot: bool | None = None

    async def call(self, method: Callable[[GkeClient], Result]) -> Result:
        """One request, in a thread. Raises GkeTrouble."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, method, self._client)

    async def is_autopilot(self) -> bool:
        """Asked once: a cluster does not change its kind. Raises GkeTrouble."""
        if self._is_autopilot is None:
            self._is_autopilot = await self.call(lambda client: client.is_autopilot(self.path))
        return self._is_autopilot

    def began(self, operation: RunningOperation) -> None:
        self.running = operation

    def take_ended(self, pool: str) -> EndedOperation | None:
        """The pool's own operation that has ended since it asked last."""
        return self._ended.pop(pool, None)

    async def follow(self, now_ns: int) -> None:
        """Ask how the running operation stands. An answer that does not come leaves it running. Raises GkeTrouble."""
        running = self.running
        if running is None:
            return
        path = f"{self.path.rpartition('/clusters/')[0]}/operations/{running.name}"
        trouble: GkeTrouble | None = None
        try:
            if not await self.call(lambda client: client.operation_is_done(path)):
                late = now_ns - running.started_ns > self._settings.operation_deadline_seconds * NS_PER_SECOND
                if not late:
                    return
                trouble = GkeTrouble(
                    "Refused",
                    f"operation {running.name} is not over after {self._settings.operation_deadline_seconds:g} s; "
                    f"see gcloud container operations describe {running.name}",
                )
        except GkeTrouble as error:
            if error.state == "Unreachable":
                raise
            trouble = error
        if self.running is running:  # another pool's step may have seen it end
            self.running = None
            self._ended[running.pool] = EndedOperation(operation=running, trouble=trouble)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()
