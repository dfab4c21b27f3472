"""CrashLoopBackOff: how long the kubelet waits before it starts a container again.

The first restart is at once and makes an entry of 10 s; each further one waits for the entry after the container's
end and doubles it, up to 300 s. A container that ends more than 2 x 300 s after its last start begins anew.

Source: kubernetes v1.36.3 pkg/kubelet/kuberuntime/kuberuntime_manager.go (doBackOff), pkg/kubelet/kubelet.go
(initialCrashLoopBackOff 10 s, MaxCrashLoopBackOff = MaxContainerBackOff 300 s), client-go v0.36.3
util/flowcontrol/backoff.go (Next, IsInBackOffSince, hasExpired).
"""

from dataclasses import dataclass

INITIAL_SECONDS = 10.0
LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class BackOff:
    """A container's entry. delay_seconds: for its next end. updated_at: of its last restart, None before the first."""

    delay_seconds: float = 0.0
    updated_at: float | None = None

    def restart(self, ended_at: float) -> "tuple[float, BackOff]":
        """When a container that ended then is started again, and the entry from there on."""
        if self.updated_at is None or ended_at - self.updated_at > 2 * LONGEST_SECONDS:
            return ended_at, BackOff(INITIAL_SECONDS, ended_at)
        at = ended_at + self.delay_seconds
        return at, BackOff(min(2 * self.delay_seconds, LONGEST_SECONDS), at)
