"""The changes of scale that rate limits look back on.

Source: pkg/controller/podautoscaler/horizontal.go (storeScaleEvent, markScaleEventsOutdated,
getReplicasChangePerPeriod, getLongestPolicyPeriod), v1.36.3.
"""

from dataclasses import replace

from policies.hpa.go_numbers import wrap_int32
from policies.hpa.spec import Behavior, ScalingRules
from policies.hpa.state import ScaleEvent
from policies.snapshot import NS_PER_SECOND

ScaleEvents = tuple[ScaleEvent, ...]


def store_scale_event(
    behavior: Behavior | None,
    scale_up_events: ScaleEvents,
    scale_down_events: ScaleEvents,
    *,
    previous_replicas: int,
    new_replicas: int,
    now_ns: int,
) -> tuple[ScaleEvents, ScaleEvents]:
    """(scale-up events, scale-down events) after one change of scale.

    Without a behavior nothing reads them, so nothing is stored. The last slot older than the longest
    policy's period is reused.
    """
    if behavior is None:
        return scale_up_events, scale_down_events
    change = wrap_int32(new_replicas - previous_replicas)
    if new_replicas > previous_replicas:
        return _stored(scale_up_events, behavior.scale_up, change, now_ns), scale_down_events
    return scale_up_events, _stored(scale_down_events, behavior.scale_down, wrap_int32(-change), now_ns)


def replicas_changed(events: ScaleEvents, period_seconds: int, now_ns: int) -> int:
    """Replicas added (or removed) in the period; an event exactly as old as the period is out."""
    cutoff_ns = now_ns - period_seconds * NS_PER_SECOND
    return wrap_int32(sum(event.replica_change for event in events if event.at_ns > cutoff_ns))


def _stored(events: ScaleEvents, rules: ScalingRules, change: int, now_ns: int) -> ScaleEvents:
    longest_seconds = max((policy.period_seconds for policy in rules.policies), default=0)
    cutoff_ns = now_ns - longest_seconds * NS_PER_SECOND
    marked = [replace(event, outdated=True) if event.at_ns < cutoff_ns else event for event in events]
    newest = ScaleEvent(replica_change=change, at_ns=now_ns)
    for slot in reversed(range(len(marked))):
        if marked[slot].outdated:
            marked[slot] = newest
            return tuple(marked)
    return (*marked, newest)
