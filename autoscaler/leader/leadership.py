"""What a controller holds of the leadership, and until when: the fence that is asked before every write.

    renewal sent ──── renewDeadline ────► no write begins ──── margin ────► the others may take over

The holder counts from when it sent a renewal, the others from when they saw it, which is later. Both use their own
monotonic clock, so how far the machines' clocks are apart does not matter; how fast they run does, up to
leaseDuration / renewDeadline.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """As in client-go's LeaderElectionConfig; seconds. lease_duration > renew_deadline > 1.2 retry_period."""

    lease_duration: int
    renew_deadline: float
    retry_period: float


class Leadership:
    """Written by the election, read by everyone else.

    identity: ours. holder: whom the Lease named last, "" for nobody. transitions: of the Lease.
    paused: whether the Lease bears the annotation that pauses the whole cluster.
    fault: why the Lease could not be read or renewed at the last attempt, "" where it could.
    """

    def __init__(self, identity: str, timing: Timing, monotonic: Callable[[], float]) -> None:
        self.identity = identity
        self.holder = ""
        self.transitions = 0
        self.paused = False
        self.fault = ""
        self._timing = timing
        self._monotonic = monotonic
        self._renewed_at = -math.inf
        self._not_before = -math.inf

    @classmethod
    def always(cls, identity: str, monotonic: Callable[[], float]) -> "Leadership":
        """Where leader election is off: the only controller there is."""
        only = cls(identity, Timing(lease_duration=1, renew_deadline=1.0, retry_period=0.1), monotonic)
        only.holder, only._renewed_at = identity, math.inf
        return only

    def may_write(self) -> bool:
        """To be asked directly before each write: whether nobody else can be writing now."""
        now = self._monotonic()
        return self._not_before <= now < self._renewed_at + self._timing.renew_deadline

    def seconds_until_takeover(self) -> float:
        """How long a write that begins now may take, until when others may take over; 0 where it must not begin."""
        if not self.may_write():
            return 0.0
        return self._renewed_at + self._timing.lease_duration - self._monotonic()

    def renewed(self, sent_at: float) -> None:
        """The Lease names us, by a request that was sent at this instant of our monotonic clock."""
        self._renewed_at = max(self._renewed_at, sent_at)

    def hold_off_until(self, instant: float) -> None:
        """Write nothing before, whatever is held: a former holder of a Lease that is gone may not know it yet."""
        self._not_before = max(self._not_before, instant)

    def lost(self) -> None:
        """Somebody else holds it, or it is being given up: no further write."""
        self._renewed_at = -math.inf
