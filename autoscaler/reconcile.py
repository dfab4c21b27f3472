"""One reconcile step: observe, decide, act, report, in that order and once each."""

from typing import Any

from autoscaler.clock import Clock
from autoscaler.cluster import Cluster, Done, Key, Seen
from policies.decision import Decision
from policies.policy import Running


async def reconcile(key: Key, *, cluster: Cluster[Seen, Done], running: Running[Any, Any], clock: Clock) -> Decision:
    """Scale one target by one policy. Can be ended between any two lines and run again."""
    now_ns = clock.now_ns()  # the step's only clock read
    seen = await cluster.observe(key, running.policy.queries, now_ns)
    decision = running.step(seen.snapshot, now_ns)
    done = await cluster.act(key, seen, decision, now_ns)
    await cluster.report(key, seen, decision, done)
    return decision
