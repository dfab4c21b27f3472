"""How long it takes from asking for a pod to serving with it, learned from the pods themselves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.snapshot import NS_PER_SECOND, Snapshot

_KEPT = 50
_SHORTEST_SECONDS = 1.0
"""A pod that was Ready within a second of its creation was not waited for: it is no evidence."""

_LONGEST_SECONDS = 86_400.0
"""The load of a day ago says nothing of what is further ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTimes:
    """The last pods that were seen to become ready: name -> seconds from creation to Ready, oldest first."""

    seconds: Mapping[str, float] = field(default_factory=dict)


def learn(seen: LeadTimes, snapshot: Snapshot) -> LeadTimes:
    """Add the pods that are ready now and were not known."""
    new = {
        pod.name: (pod.ready_transition_ns - pod.created_ns) / NS_PER_SECOND
        for pod in snapshot.pods
        if pod.is_ready
        and pod.created_ns is not None
        and pod.ready_transition_ns is not None
        and pod.name not in seen.seconds
        and pod.ready_transition_ns - pod.created_ns >= _SHORTEST_SECONDS * NS_PER_SECOND
    }
    if not new:
        return seen
    return LeadTimes(seconds=dict(list({**seen.seconds, **new}.items())[-_KEPT:]))


def expected_seconds(seen: LeadTimes, prior_seconds: float, prior_weight: float = 3.0) -> float:
    """The mean lead time; the prior counts as `prior_weight` pods."""
    return (prior_weight * prior_seconds + sum(seen.seconds.values())) / (prior_weight + len(seen.seconds))


def usable_seconds(given: float | None) -> float | None:
    """A lead time that was learned elsewhere, in [1 s, a day]; None where it is no number or not positive."""
    if given is None or not (math.isfinite(given) and given > 0):
        return None
    return min(max(given, _SHORTEST_SECONDS), _LONGEST_SECONDS)
