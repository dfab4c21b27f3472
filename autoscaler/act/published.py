"""Mode Metric's values: how many replicas each workload needs, with the time of the decision, for /metrics to show."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from autoscaler.cluster import Key
from policies.snapshot import NS_PER_SECOND

METRIC_NAME = "leadtime_needed_replicas"
LABELS = ("namespace", "predictiveautoscaler")
HANDOVER_SECONDS = 45
"""From one leader's last word to the next one's first: the max age of the adapter's rule for this metric
(adapter/sources/catalogue/leadtime.py). A leader that dies leaves its last page behind for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """replicas: needed, before any stabilization, which is the HPA's. at_ns: of the decision, Unix ns."""

    replicas: int
    at_ns: int


class PublishedNeeds:
    """By key of the PredictiveAutoscaler. Shown by the leader only: an HPA adds up all series of an External metric, so
    that the same need from two replicas of the controller would count twice.

    max_age_seconds: a value whose decision is older is not shown: an HPA holds on no value, but acts on an old one.
    is_successor: whether another replica led before this one. What it showed last may be counted until it is too old.
    """

    def __init__(
        self,
        may_write: Callable[[], bool],
        max_age_seconds: float = 90.0,
        *,
        is_successor: Callable[[], bool] = lambda: False,
    ) -> None:
        self._may_write = may_write
        self._is_successor = is_successor
        self._max_age_ns = int(max_age_seconds * NS_PER_SECOND)
        self._values: dict[Key, Published] = {}
        self._leads_since_ns: int | None = None

    def publish(self, key: Key, replicas: int, at_ns: int) -> None:
        self._note_leader(at_ns)
        self._values[key] = Published(replicas=replicas, at_ns=at_ns)

    def withdraw(self, key: Key) -> None:
        self._values.pop(key, None)

    def shown(self, now_ns: int) -> Iterator[tuple[Key, Published]]:
        """What a scrape at this instant may see."""
        self._note_leader(now_ns)
        if self._leads_since_ns is None:
            return
        if self._is_successor() and now_ns - self._leads_since_ns < HANDOVER_SECONDS * NS_PER_SECOND:
            return
        for key, value in self._values.items():
            if now_ns - value.at_ns <= self._max_age_ns:
                yield key, value

    def _note_leader(self, now_ns: int) -> None:
        if not self._may_write():
            self._leads_since_ns = None
        elif self._leads_since_ns is None:
            self._leads_since_ns = now_ns
