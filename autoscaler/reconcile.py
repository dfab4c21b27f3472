"""One reconcile step: observe, decide, act, report, in that order and once each."""

from typing import Any

from autoscaler.clock import Clock
from autoscaler.cluster import Cluster, Key
from policies.decision import Decision
from policies.policy import Running


async def reconcile(key: Key, *, cluster: Cluster, running: Running[Any, Any], clock: Clock) -> Decision:
    """Scale one target by one policy. Can be ended between any two lines and run again."""
    now_ns = clock.now_ns()  # the step's only clock read
    snapshot = await cluster.observe(key, running.policy.queries)
    decision = running.step(snapshot, now_ns)
    if decision.desired_replicas != snapshot.replicas:
        await cluster.scale(key, decision)
    await cluster.report(key, decision)
    return decision
