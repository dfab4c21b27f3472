"""Offered demand from the servers' counters: what arrives, not what is served or how many replicas serve it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from policies.serving_counters import ServerCounters, growth, read_counters
from policies.snapshot import NS_PER_SECOND, Snapshot

MIX_SECONDS = 600.0
"""Time constant of the mean request size: it drifts with the mix of users, far slower than the rate."""

_KEPT_REQUESTS = 2.0
"""What the past weighs at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandState:
    """pods: the last scrape of each pod. started and tokens: decayed sums, for the mean request size.

    started: requests that left the queue; those that wait have no tokens yet and would dilute the mean.
    """

    pods: Mapping[str, ServerCounters] = field(default_factory=dict)
    at_ns: int | None = None
    started: float = 0.0
    prompt_tokens: float = 0.0
    generation_tokens: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One new sample. requests_per_second: arrivals since the scrape before; started_per_second: of those that left a
    server's queue. tokens_per_second: generated since then. backlog, running: requests waiting and in a batch now.

    prompt_tokens, output_tokens: means per request; None until enough is known.
    """

    at_ns: int
    requests_per_second: float
    started_per_second: float
    tokens_per_second: float
    backlog: float
    running: float
    prompt_tokens: float | None
    output_tokens: float | None


def estimate(state: DemandState, snapshot: Snapshot) -> tuple[Demand | None, DemandState]:
    """The demand since the last scrape that this function saw; None when there is nothing new or complete.

    A pod that was ready at the scrape and has no sample makes it incomplete: it is skipped whole, and the next complete
    one covers the gap. A counter that went backwards belongs to a restarted server and counts from zero.
    """
    now = read_counters(snapshot)
    if not now:
        return None, state
    at_ns = max(counters.at_ns for counters in now.values())
    ready = {pod.name for pod in snapshot.pods if pod.is_ready and (pod.ready_transition_ns or 0) <= at_ns}
    if not ready <= now.keys():
        return None, state
    if state.at_ns is not None and at_ns <= state.at_ns:
        return None, state
    if state.at_ns is None:
        return None, replace(state, pods=now, at_ns=at_ns)
    seconds = (at_ns - state.at_ns) / NS_PER_SECOND
    grown = growth(state.pods, now)
    fade = math.exp(-seconds / MIX_SECONDS)
    if state.started > 0:  # an idle night does not make sizes unknown: the last ones stay, with little weight
        fade = max(fade, min(1.0, _KEPT_REQUESTS / state.started))
    state = DemandState(
        pods=now,
        at_ns=at_ns,
        started=state.started * fade + grown.started,
        prompt_tokens=state.prompt_tokens * fade + grown.prompt_tokens,
        generation_tokens=state.generation_tokens * fade + grown.generation_tokens,
    )
    known = state.started >= 1 and state.prompt_tokens >= 1 and state.generation_tokens >= 1
    demand = Demand(
        at_ns=at_ns,
        requests_per_second=grown.arrived / seconds,
        started_per_second=grown.started / seconds,
        tokens_per_second=grown.generation_tokens / seconds,
        backlog=sum(counters.waiting for counters in now.values()),
        running=sum(counters.running for counters in now.values()),
        prompt_tokens=state.prompt_tokens / state.started if known else None,
        output_tokens=state.generation_tokens / state.started if known else None,
    )
    return demand, state
