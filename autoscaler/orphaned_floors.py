"""When floors of objects that are gone are looked for: by a new leader once it sees the cluster, and from time to time.

An object that is deleted while a controller runs has its floor given back at once (autoscaler/controller.py); this
finds those that were deleted while none ran, or whose giving back failed.
"""

import logging
from collections.abc import Container, Sequence
from typing import Protocol

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.orphans import give_back_orphans
from autoscaler.act.writer import NotLeader, Writer
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.leader.leadership import Leadership
from policies.snapshot import NS_PER_SECOND

_log = logging.getLogger(__name__)
_PERIOD_NS = 600 * NS_PER_SECOND
"""One list of HPAs, in pages of 100."""
_RETRY_NS = 60 * NS_PER_SECOND


class Objects(Protocol):
    """What is asked of autoscaler.observe.world.World."""

    @property
    def autoscalers(self) -> Container[Key]: ...
    @property
    def synced(self) -> bool: ...


class OrphanedFloors:
    """namespaces: that are watched, none means all."""

    def __init__(
        self, writer: Writer, world: Objects, leadership: Leadership, clock: Clock, *, namespaces: Sequence[str] = ()
    ) -> None:
        self._writer = writer
        self._world = world
        self._leadership = leadership
        self._clock = clock
        self._namespaces = namespaces
        self._next_ns: int | None = None

    async def turn(self) -> None:
        """To be called every few seconds: looks where that is due. Nothing is written while the cluster is paused."""
        if not self._leadership.may_write():
            self._next_ns = None
            return
        now_ns = self._clock.now_ns()
        if not self._world.synced or self._leadership.paused or (self._next_ns is not None and now_ns < self._next_ns):
            return
        self._next_ns = now_ns + _PERIOD_NS
        try:
            done = await give_back_orphans(self._writer, self._world.autoscalers, self._namespaces)
        except NotLeader:
            self._next_ns = None
            return
        except ApiError as error:
            self._next_ns = now_ns + _RETRY_NS
            _log.warning("floors of objects that are gone cannot be looked for: %s", error)
            return
        for acted in done:
            if acted.error:
                self._next_ns = now_ns + _RETRY_NS
                _log.warning("%s: %s", acted.to, acted.error)
            elif acted.to:
                _log.info("%s: its object is gone, minReplicas %s -> %s", acted.to, acted.before, acted.after)
