"""Asks for nodes that do not come: when to believe that the cloud has none left, and when to ask again.

The back-off is the cluster-autoscaler's for a node group whose scale-up failed: 5 min, twice as long each time, at most
30 min. Source: kubernetes/autoscaler cluster-autoscaler/FAQ.md, flags initial-node-group-backoff-duration and
max-node-group-backoff-duration. The patience is learned: PATIENCE times the time that nodes usually take.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from policies.nodepools.pool_seen import NodeSeen
from policies.snapshot import NS_PER_SECOND

PATIENCE = 3.0
"""Times the usual span. A lognormal span of sigma 0.3 takes that long once in 8,000 nodes."""
FIRST_BACKOFF_SECONDS = 300.0
LONGEST_BACKOFF_SECONDS = 1_800.0
_KEPT = 50
_PRIOR_NODES = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What asks for nodes taught. provision_seconds: of the last nodes that came, by name.

    failures: in a row, the last at failed_ns; 0 again when a node comes. retry_ns: until then nothing is asked for.
    """

    provision_seconds: Mapping[str, float] = field(default_factory=dict)
    failures: int = 0
    failed_ns: int = 0
    retry_ns: int = 0

    def expected_seconds(self, prior_seconds: float) -> float:
        """The mean span; the prior counts as three nodes."""
        spans = self.provision_seconds.values()
        return (_PRIOR_NODES * prior_seconds + sum(spans)) / (_PRIOR_NODES + len(spans))

    def is_stocked_out(self, now_ns: int) -> bool:
        """Waiting for the next try."""
        return self.failures > 0 and now_ns < self.retry_ns


def follow(asks: Asks, nodes: Iterable[NodeSeen], prior_seconds: float, now_ns: int) -> Asks:
    """Learn from nodes that came; notice an ask that is older than patience allows.

    A failed try is counted once: after a retry only asks made since then count, or the old ones once they have waited
    through another patience.
    """
    nodes = tuple(nodes)
    came = {
        node.name: (node.ready_ns - node.asked_ns) / NS_PER_SECOND
        for node in nodes
        if node.ready_ns is not None and node.ready_ns > node.asked_ns and node.name not in asks.provision_seconds
    }
    if came:
        newest_ns = max(node.ready_ns for node in nodes if node.name in came and node.ready_ns is not None)
        kept = dict(list({**asks.provision_seconds, **came}.items())[-_KEPT:])
        asks = replace(asks, provision_seconds=kept)
        if newest_ns >= asks.failed_ns:
            asks = replace(asks, failures=0, retry_ns=0)
    waiting_since = [max(node.asked_ns, asks.retry_ns) for node in nodes if node.ready_ns is None]
    patience_seconds = PATIENCE * asks.expected_seconds(prior_seconds)
    if not waiting_since or now_ns - min(waiting_since) <= patience_seconds * NS_PER_SECOND:
        return asks
    seconds = min(FIRST_BACKOFF_SECONDS * 2.0**asks.failures, LONGEST_BACKOFF_SECONDS)
    return replace(asks, failures=asks.failures + 1, failed_ns=now_ns, retry_ns=now_ns + round(seconds * NS_PER_SECOND))
