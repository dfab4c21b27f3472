"""Probes: when the kubelet finds a server ready, and when it gives one up that is still loading.

A probe runs on a grid of periodSeconds, so that the instant of Ready is the first tick after the server is up. The grid
of liveness and startup probes begins when the pod's volumes are mounted (Kubelet.SyncPod calls probeManager.AddPod
between WaitForAttachAndMount and the runtime's SyncPod), and goes on through restarts; ticks within initialDelaySeconds
of the container's start are passed over. The readiness probe is run out of turn whenever the pod's status is synced
while it is not ready, and its grid begins anew there: at the container's start, and when a startup probe succeeds.

Source: kubernetes v1.36.3 pkg/kubelet/prober/worker.go (run, doProbe), prober_manager.go (UpdatePodStatus),
pkg/kubelet/kubelet.go (SyncPod). Not modelled: the pod's resync every 60 to 90 s, which moves the readiness grid, and
timeoutSeconds: a server that does not listen yet refuses the connection at once.
"""

import math
from dataclasses import dataclass

from policies.errors import BadInput
from simulations.lead_time import check_seconds

_SLACK = 1e-9
"""Of a tick, so that an instant that lies on the grid is not put off by the last bit of a division."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe of a container, in Kubernetes' words and with its defaults (core/v1 Probe). Raises BadInput."""

    initial_delay_seconds: int = 0
    period_seconds: int = 10
    failure_threshold: int = 3
    success_threshold: int = 1

    def __post_init__(self) -> None:
        check_seconds("initialDelaySeconds", self.initial_delay_seconds)
        for name, value in (
            ("periodSeconds", self.period_seconds),
            ("failureThreshold", self.failure_threshold),
            ("successThreshold", self.success_threshold),
        ):
            if value < 1:
                raise BadInput(f"{name}: was {value}, must be at least 1; leave the probe out to have none")

    @property
    def patience_seconds(self) -> float:
        """From the first failed probe to the last that is tolerated: a start that takes longer is cut."""
        return self.initial_delay_seconds + (self.failure_threshold - 1) * self.period_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Those of one container; None where it has none. Raises BadInput.

    readiness: without one a real container is Ready while it still loads, and clients are refused; here it is Ready
        the instant its server is up.
    liveness: alone it kills a server that loads for longer than its patience, again and again.
    startup: as long as it has not succeeded neither of the others runs: the cure.
    """

    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None

    def __post_init__(self) -> None:
        for name, probe in (("livenessProbe", self.liveness), ("startupProbe", self.startup)):
            if probe is not None and probe.success_threshold != 1:
                raise BadInput(f"{name}.successThreshold: was {probe.success_threshold}, must be 1, as Kubernetes asks")

    def ready_at(self, *, probed_from: float, started_at: float, up_at: float) -> float:
        """When a container that was started at `started_at` and answers from `up_at` on is Ready, if nothing kills it.

        probed_from: where the grid of the liveness and startup probes begins.
        """
        anchor = started_at
        if self.startup is not None:
            anchor = up_at = _first(self.startup, probed_from, started_at, up_at)
        if self.readiness is None:
            return up_at
        first = _first(self.readiness, anchor, started_at, up_at)
        return first + (self.readiness.success_threshold - 1) * self.readiness.period_seconds

    def killed_at(self, *, probed_from: float, started_at: float, up_at: float) -> float:
        """When the kubelet kills it for not answering yet; inf when it is up in time.

        A probe at the very instant at which the server is up succeeds. Once up, it answers every probe.
        """
        killer = self.liveness if self.startup is None else self.startup
        if killer is None:
            return math.inf
        first = _first(killer, probed_from, started_at, started_at)
        last = first + (killer.failure_threshold - 1) * killer.period_seconds
        return last if last < up_at else math.inf


def _first(probe: Probe, anchor: float, started_at: float, not_before: float) -> float:
    """The first tick from `not_before` on that is not within initialDelaySeconds of the container's start."""
    earliest = max(not_before, started_at + probe.initial_delay_seconds)
    ticks = max(0, math.ceil((earliest - anchor) / probe.period_seconds - _SLACK))
    return max(earliest, anchor + ticks * probe.period_seconds)
