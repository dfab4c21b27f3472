"""The node autoscaler's rules as options, its grid of scans, and its memory of node groups that failed.

By default it acts at once and removes empty nodes only; `cluster_autoscaler()` has the cluster-autoscaler's defaults.
Sources: kubernetes/autoscaler cluster-autoscaler/FAQ.md, "How does scale-up work?", "How does scale-down work?", "What
are the parameters to CA?"; main.go for the back-off flags; utils/backoff/exponential_backoff.go.
"""

import math
from dataclasses import dataclass, field
from typing import Self

from policies.errors import BadInput
from simulations.lead_time import check_seconds

GIVE_UP = "not provisioned in time"
QUOTA = "quota exceeded"
STOCKOUT = "stockout"
SCALED_DOWN = "scaled down"
UNUSED = "unneeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAutoscaler:
    """When nodes are asked for and removed; a pool adds its own sizes and unneeded_seconds. Raises BadInput.

    scan_interval_seconds: it looks at multiples of it; 0 for at once (flag scan-interval).
    scale_down_delay_after_add_seconds: after a scale-up of any pool, no node is removed (flag of that name).
    max_node_provision_seconds: an ask that takes longer is given up and its group backed off (flag
        max-node-provision-time).
    utilization_threshold: a node whose GPUs are allocated below it is emptied and removed if all its pods may move
        and fit elsewhere; 0 for empty nodes only. Of a node with GPUs, only these count
        (simulator/utilization/info.go).
    max_graceful_termination_seconds: what pods get that are moved (flag max-graceful-termination-sec).
    max_empty_bulk_delete: empty nodes removed in one scan (flag of that name).
    initial_backoff_seconds, max_backoff_seconds, backoff_reset_seconds: how long a group of nodes that could not be
        had is left alone (flags *-node-group-backoff-duration, node-group-backoff-reset-timeout).
    """

    scan_interval_seconds: float = 0.0
    scale_down_delay_after_add_seconds: float = 0.0
    max_node_provision_seconds: float = math.inf
    utilization_threshold: float = 0.0
    max_graceful_termination_seconds: float = 600.0
    max_empty_bulk_delete: int = 1_000_000
    initial_backoff_seconds: float = 300.0
    max_backoff_seconds: float = 1_800.0
    backoff_reset_seconds: float = 10_800.0

    def __post_init__(self) -> None:
        for name in (
            "scan_interval_seconds",
            "scale_down_delay_after_add_seconds",
            "max_graceful_termination_seconds",
            "max_backoff_seconds",
            "backoff_reset_seconds",
        ):
            check_seconds(f"node_autoscaler.{name}", getattr(self, name))
        if not 0.0 < self.initial_backoff_seconds <= self.max_backoff_seconds:
            raise BadInput(
                f"node_autoscaler.initial_backoff_seconds: was {self.initial_backoff_seconds:g}, must be in "
                f"(0, {self.max_backoff_seconds:g}] (max_backoff_seconds)"
            )
        if not self.max_node_provision_seconds > 0:
            raise BadInput(
                f"node_autoscaler.max_node_provision_seconds: was {self.max_node_provision_seconds}, must be more than "
                "0; leave it out to wait forever"
            )
        if self.max_empty_bulk_delete < 1:
            raise BadInput(
                f"node_autoscaler.max_empty_bulk_delete: was {self.max_empty_bulk_delete}, must be at least 1"
            )
        if not 0.0 <= self.utilization_threshold <= 1.0:
            raise BadInput(
                f"node_autoscaler.utilization_threshold: was {self.utilization_threshold}, must be in [0, 1]"
            )
        scans = self.scan_interval_seconds > 0
        if not scans and (
            self.utilization_threshold or self.scale_down_delay_after_add_seconds or self.has_provision_limit
        ):
            raise BadInput(
                "node_autoscaler.scan_interval_seconds: was 0, must be more than 0 with a utilization_threshold, a "
                "scale_down_delay_after_add_seconds or a max_node_provision_seconds; the cluster-autoscaler scans "
                "every 10 s"
            )

    @classmethod
    def cluster_autoscaler(cls) -> Self:
        """The cluster-autoscaler's own defaults; its scale-down-unneeded-time of 10 min is the pools' default."""
        return cls(
            scan_interval_seconds=10.0,
            scale_down_delay_after_add_seconds=600.0,
            max_node_provision_seconds=900.0,
            utilization_threshold=0.5,
            max_empty_bulk_delete=10,
        )

    @property
    def has_provision_limit(self) -> bool:
        """Whether an ask can be given up."""
        return self.max_node_provision_seconds < math.inf

    def scan_at_or_after(self, seconds: float) -> float:
        """The first scan that is not before; that instant itself where there is no grid. inf stays inf."""
        if self.scan_interval_seconds == 0.0 or seconds == math.inf:
            return seconds
        at = math.ceil(seconds / self.scan_interval_seconds) * self.scan_interval_seconds
        return at if at >= seconds else at + self.scan_interval_seconds


@dataclass(slots=True)
class Backoff:
    """Groups of nodes that could not be had, and until when they are left alone. A group is a pool in a zone.

    5 min after the first failure; twice the last span, 30 min at most, when it fails again after that; a failure
    while it is left alone does not lengthen the span, but starts it anew from the first one. 3 h after the last
    failure, or when a node of the group comes, all is forgotten.
    """

    rules: NodeAutoscaler
    _spans: dict[tuple[str, str], tuple[float, float, float]] = field(default_factory=dict)

    def fail(self, group: tuple[str, str], now: float) -> None:
        """The group failed at `now`."""
        span = self.rules.initial_backoff_seconds
        if group in self._spans:
            last, until, failed_at = self._spans[group]
            if until <= now <= failed_at + self.rules.backoff_reset_seconds:
                span = min(2 * last, self.rules.max_backoff_seconds)
        self._spans[group] = (span, now + span, now)

    def succeed(self, group: tuple[str, str]) -> None:
        """A node of the group came."""
        self._spans.pop(group, None)

    def until(self, group: tuple[str, str]) -> float:
        """When the group may be asked again; -inf when it never failed."""
        return self._spans[group][1] if group in self._spans else -math.inf

    def next_end_seconds(self, now: float) -> float:
        """When the next group may be asked again; inf when none is left alone."""
        return min((until for _, until, _ in self._spans.values() if until > now), default=math.inf)
