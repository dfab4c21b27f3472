"""Since when the same pods have served without a queue: what servers counted of late belongs to the load of now.

After a change, requests that began before it are still being answered, and the pods that were there are full while new
ones are empty: which share of requests missed the SLO then says nothing about a replica at the present mean load.
"""

from dataclasses import dataclass
from typing import Self

from policies.snapshot import NS_PER_SECOND, Snapshot

_WINDOW_SECONDS = 60.0
"""Over which missed shares are counted (missed.py)."""

_QUEUE_SECONDS = 1.0
"""A queue that is worth so many seconds of starts is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """ready_replicas, newest_ready_ns: by which a change of the Ready pods shows. since_ns: None before the first
    sample."""

    ready_replicas: int = 0
    newest_ready_ns: int = 0
    since_ns: int | None = None

    def seen(self, at_ns: int, snapshot: Snapshot, *, backlog: float, started_per_second: float) -> Self:
        """After a sample taken at at_ns. backlog: requests waiting."""
        ready = [pod for pod in snapshot.pods if pod.is_ready]
        newest_ns = max((pod.ready_transition_ns or 0 for pod in ready), default=0)
        is_same = (len(ready), newest_ns) == (self.ready_replicas, self.newest_ready_ns)
        is_quiet = backlog <= _QUEUE_SECONDS * started_per_second
        since_ns = self.since_ns if is_same and is_quiet and self.since_ns is not None else at_ns
        return type(self)(ready_replicas=len(ready), newest_ready_ns=newest_ns, since_ns=since_ns)

    def is_settled(self, at_ns: int, *, request_seconds: float) -> bool:
        """Whether all that was counted in the last window began since then; request_seconds: how long one may take."""
        if self.since_ns is None:
            return False
        return at_ns - self.since_ns >= (_WINDOW_SECONDS + request_seconds) * NS_PER_SECOND
