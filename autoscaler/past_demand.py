"""The demand of a workload before this process was there: by this replica's own file, else by Prometheus."""

import logging
from collections.abc import Mapping

from adapter.sources.source import SourceUnavailable
from autoscaler.autoscaler import Autoscaler
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.lead_times.backfill import DemandHistory, pods_of
from autoscaler.lead_times.store import Store
from policies.predictive.backfill import Samples
from policies.predictive.load_history import KEPT_DAYS
from policies.snapshot import NS_PER_SECOND

_log = logging.getLogger(__name__)
_KEPT_NS = KEPT_DAYS * 86_400 * NS_PER_SECOND
_ENOUGH_NS = 6 * 3600 * NS_PER_SECOND
"""What the file must reach back to be taken alone: with less nothing is learned (policies/predictive/sizing.py)."""
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
        if len(kept.at_ns) and now_ns - int(kept.at_ns[0]) >= _ENOUGH_NS:
            return kept
        autoscaler = self._autoscalers.get(key)
        if self._prometheus is None or now_ns < self._retry_ns or autoscaler is None or autoscaler.spec is None:
            return kept
        ref = autoscaler.spec.scale_target_ref
        pods = pods_of(key.namespace, ref.kind, ref.name)
        try:
            told = await self._prometheus.read(pods, since_ns=now_ns - _KEPT_NS, until_ns=now_ns)
        except SourceUnavailable as error:
            self._retry_ns = now_ns + _PAUSE_NS
            _log.warning("past demand cannot be read from Prometheus, it is learned as it comes: %s", error)
            return kept
        return told if len(told.at_ns) > len(kept.at_ns) else kept
