"""What many pods' lead times say about the next one's: by path, with the last ones counting and an assumption before.

The rule is that of policies/predictive/lead_time.py: the mean of what was seen, with the assumed lead time counting as
three pods. Here it is asked for warm and new nodes apart, and a pod that hung does not spoil it.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from autoscaler.lead_times.lead_time import LeadTime, NodeKind, Path, Steps

KEPT = 50
"""Of each path: enough for a p90, few enough that a faster image shows within days."""
PRIOR_WEIGHT = 3.0
_WINSOR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTimes:
    """One workload's. by_path: the last KEPT of each, oldest first. Each pod counts once."""

    by_path: Mapping[Path, tuple[LeadTime, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, lead_times: Iterable[LeadTime]) -> "LeadTimes":
        """Of any number in any order."""
        by_path: dict[Path, dict[str, LeadTime]] = {}
        for each in lead_times:
            by_path.setdefault(each.path, {})[each.pod_uid] = each
        return cls(by_path={path: tuple(sorted(found.values(), key=_age)[-KEPT:]) for path, found in by_path.items()})

    def added(self, lead_time: LeadTime) -> "LeadTimes":
        path = lead_time.path
        kept = (each for each in self.by_path.get(path, ()) if each.pod_uid != lead_time.pod_uid)
        return LeadTimes(by_path={**self.by_path, path: tuple(sorted((*kept, lead_time), key=_age)[-KEPT:])})

    def __iter__(self) -> Iterator[LeadTime]:
        return (each for pods in self.by_path.values() for each in pods)

    def __len__(self) -> int:
        return sum(map(len, self.by_path.values()))

    def latest(self, node: NodeKind | None = None, *, returning: bool | None = None) -> Sequence[LeadTime]:
        """The last KEPT of these paths together, oldest first; None: of all."""
        found = (
            each
            for path, pods in self.by_path.items()
            if node in (None, path.node) and returning in (None, path.returning)
            for each in pods
        )
        return sorted(found, key=_age)[-KEPT:]

    @property
    def new_node_share(self) -> float | None:
        """Of the latest pods: how many waited for a node; None while none was seen."""
        latest = self.latest()
        return sum(each.path.node == "NewNode" for each in latest) / len(latest) if latest else None

    def expected_seconds(self, assumed_seconds: float, node: NodeKind, *, returning: bool = False) -> float:
        """Of one pod on this kind of node. Pods with the same `returning` weigh more than those without.

        A new node is never expected sooner than a warm one: where one of the two was not seen, the other bounds it.
        """
        warm = self._mean_seconds("WarmNode", returning, assumed_seconds)
        new = self._mean_seconds("NewNode", returning, assumed_seconds)
        if not self.latest("WarmNode"):
            warm = min(warm, new)
        return warm if node == "WarmNode" else max(warm, new)

    def _mean_seconds(self, node: NodeKind, returning: bool, assumed_seconds: float) -> float:
        any_volume = _mean(_totals(self.latest(node)), assumed_seconds)
        same = self.latest(node, returning=returning)
        return any_volume if len(same) == len(self.latest(node)) else _mean(_totals(same), any_volume)

    def expected_seconds_of(self, assumed_seconds: float, new_node_share: float, *, returning: bool = False) -> float:
        """Of one pod that waits for a node with this probability in [0, 1]."""
        warm = self.expected_seconds(assumed_seconds, "WarmNode", returning=returning)
        new = self.expected_seconds(assumed_seconds, "NewNode", returning=returning)
        return warm + new_node_share * (new - warm)

    def zone_of(self, ordinal: int) -> str:
        """Where an ordinal's volume is, by its last pod; "" where unknown."""
        zones = [each.zone for each in sorted(self, key=_age) if each.ordinal == ordinal and each.zone]
        return zones[-1] if zones else ""

    def has_served(self, ordinal: int, before_ns: int | None = None) -> bool:
        """Whether a pod of this ordinal was Ready before that instant; None: ever."""
        return any(each.ordinal == ordinal and (before_ns is None or each.ready_ns < before_ns) for each in self)


def quantile_seconds(lead_times: Sequence[LeadTime], quantile: float) -> float:
    """Of the totals, linear between two; quantile in [0, 1], lead_times not empty."""
    ordered = sorted(_totals(lead_times))
    place = quantile * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def median_steps(lead_times: Sequence[LeadTime]) -> Steps:
    """The median of each step on its own; lead_times not empty."""
    steps = [each.steps for each in lead_times]
    return Steps(
        ask_seconds=statistics.median(each.ask_seconds for each in steps),
        node_seconds=statistics.median(each.node_seconds for each in steps),
        pull_seconds=statistics.median(each.pull_seconds for each in steps),
        start_seconds=statistics.median(each.start_seconds for each in steps),
        load_seconds=statistics.median(each.load_seconds for each in steps),
    )


def _totals(lead_times: Iterable[LeadTime]) -> list[float]:
    return [each.steps.total_seconds for each in lead_times]


def _mean(seconds: Sequence[float], prior_seconds: float) -> float:
    """The mean with the prior as PRIOR_WEIGHT pods, each cut at three medians: a pod that hung for an hour for want of
    a volume says little about the next one."""
    if not seconds:
        return prior_seconds
    most = _WINSOR * statistics.median(seconds)
    total = sum(min(each, most) for each in seconds)
    return (PRIOR_WEIGHT * prior_seconds + total) / (PRIOR_WEIGHT + len(seconds))


def _age(lead_time: LeadTime) -> tuple[int, str]:
    return lead_time.created_ns, lead_time.pod_uid
