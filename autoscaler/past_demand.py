"""The demand of a workload before this process was there: by this replica's own file, its gaps filled by Prometheus."""

import logging
from collections.abc import Mapping

import numpy as np

from adapter.sources.source import SourceUnavailable
from autoscaler.autoscaler import Autoscaler
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.lead_times.backfill import DemandHistory, merged, pods_of
from autoscaler.lead_times.store import Store
from policies.predictive.backfill import Samples
from policies.predictive.load_history import KEPT_DAYS
from policies.snapshot import NS_PER_SECOND

_log = logging.getLogger(__name__)
_KEPT_NS = KEPT_DAYS * 86_400 * NS_PER_SECOND
_GAP_NS = 900 * NS_PER_SECOND
"""What is missing for longer is asked for: a crash loses 5 minutes (autoscaler/lead_times/store.py)."""
_PAUSE_NS = 600 * NS_PER_SECOND
"""A Prometheus that failed is left alone for so long: each try holds the learning of all workloads up."""


class PastDemand:
    """prometheus: None where none is configured."""

    def __init__(
        self, autoscalers: Mapping[Key, Autoscaler], store: Store, prometheus: DemandHistory | None, clock: Clock
    ) -> None:
        self._autoscalers = autoscalers
        self._store = store
        self._prometheus = prometheus
        self._clock = clock
        self._retry_ns = 0

    async def read(self, key: Key) -> Samples:
        """Oldest first; empty where nobody knows anything."""
        kept = await self._store.load(key)
        now_ns = self._clock.now_ns()
        missing = _missing(kept, now_ns)
        autoscaler = self._autoscalers.get(key)
        if self._prometheus is None or now_ns < self._retry_ns or autoscaler is None or autoscaler.spec is None:
            return kept
        if missing is None:
            return kept
        since_ns, until_ns = missing
        ref = autoscaler.spec.scale_target_ref
        pods = pods_of(key.namespace, ref.kind, ref.name)
        try:
            told = await self._prometheus.read(pods, since_ns=since_ns, until_ns=until_ns)
        except SourceUnavailable as error:
            self._retry_ns = now_ns + _PAUSE_NS
            _log.warning("past demand cannot be read from Prometheus, it is learned as it comes: %s", error)
            return kept
        return merged(kept, told)


def _missing(kept: Samples, now_ns: int) -> tuple[int, int] | None:
    """From the start of the first gap in these two weeks to the end of the last, Unix ns; None without gaps."""
    edges_ns = np.concatenate([[now_ns - _KEPT_NS], kept.at_ns, [now_ns]])
    gaps = np.flatnonzero(np.diff(edges_ns) > _GAP_NS)
    return (int(edges_ns[gaps[0]]), int(edges_ns[gaps[-1] + 1])) if len(gaps) else None
