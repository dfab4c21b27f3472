"""Offered demand from the servers' counters: what arrives, not what is served or how many replicas serve it.

A request that a server was given is either answered, running or waiting. So what arrived between two scrapes
is the growth of those three, also while a queue builds up and throughput hides the demand.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.snapshot import NS_PER_SECOND, MetricQuery, PodMetrics, Snapshot

RUNNING = MetricQuery(type="Pods", name="vllm:num_requests_running")
WAITING = MetricQuery(type="Pods", name="vllm:num_requests_waiting")
SUCCEEDED = MetricQuery(type="Pods", name="vllm:request_success_total")
PROMPT_TOKENS = MetricQuery(type="Pods", name="vllm:prompt_tokens_total")
GENERATION_TOKENS = MetricQuery(type="Pods", name="vllm:generation_tokens_total")

QUERIES = (RUNNING, WAITING, SUCCEEDED, PROMPT_TOKENS, GENERATION_TOKENS)

_MIX_SECONDS = 600.0
"""Time constant of the mean request size: it drifts with the mix of users, far slower than the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCounters:
    """One pod at one scrape. Requests answered and tokens are since its start; running and waiting are now."""

    at_ns: int
    answered: float
    running: float
    waiting: float
    prompt_tokens: float
    generation_tokens: float


_NEW_SERVER = PodCounters(at_ns=0, answered=0, running=0, waiting=0, prompt_tokens=0, generation_tokens=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandState:
    """pods: the last scrape of each pod. started and tokens: decayed sums, for the mean request size.

    started: requests that left the queue; those that wait have no tokens yet and would dilute the mean.
    """

    pods: Mapping[str, PodCounters] = field(default_factory=dict)
    at_ns: int | None = None
    started: float = 0.0
    prompt_tokens: float = 0.0
    generation_tokens: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One new sample. requests_per_second: arrivals since the scrape before. backlog: requests waiting now.

    prompt_tokens, output_tokens: means per request; None until enough is known.
    """

    at_ns: int
    requests_per_second: float
    backlog: float
    prompt_tokens: float | None
    output_tokens: float | None


def estimate(state: DemandState, snapshot: Snapshot) -> tuple[Demand | None, DemandState]:
    """The demand since the last scrape that this function saw; None when there is nothing new or complete.

    A ready pod without a sample makes the scrape incomplete: it is skipped whole, and the next complete one
    covers the gap. A counter that went backwards belongs to a restarted server and counts from zero.
    """
    now = _complete_scrape(snapshot)
    if now is None:
        return None, state
    at_ns = max(counters.at_ns for counters in now.values())
    if state.at_ns is not None and at_ns <= state.at_ns:
        return None, state
    if state.at_ns is None:
        return None, DemandState(pods=now, at_ns=at_ns)
    seconds = (at_ns - state.at_ns) / NS_PER_SECOND
    arrivals = started = prompt = generation = 0.0
    for name, after in now.items():
        before = state.pods.get(name)
        if before is None or after.answered < before.answered or after.prompt_tokens < before.prompt_tokens:
            before = _NEW_SERVER
        begun = after.answered + after.running - before.answered - before.running
        started += begun
        arrivals += max(0.0, begun + after.waiting - before.waiting)
        prompt += after.prompt_tokens - before.prompt_tokens
        generation += max(0.0, after.generation_tokens - before.generation_tokens)
    fade = math.exp(-seconds / _MIX_SECONDS)
    state = DemandState(
        pods=now,
        at_ns=at_ns,
        started=state.started * fade + started,
        prompt_tokens=state.prompt_tokens * fade + prompt,
        generation_tokens=state.generation_tokens * fade + generation,
    )
    known = state.started >= 1 and state.prompt_tokens >= 1 and state.generation_tokens >= 1
    demand = Demand(
        at_ns=at_ns,
        requests_per_second=arrivals / seconds,
        backlog=_total(snapshot, WAITING),
        prompt_tokens=state.prompt_tokens / state.started if known else None,
        output_tokens=state.generation_tokens / state.started if known else None,
    )
    return demand, state


def _complete_scrape(snapshot: Snapshot) -> dict[str, PodCounters] | None:
    """Every pod that has all five samples, or None when a ready pod lacks one."""
    answers = []
    for query in QUERIES:
        answer = snapshot.observations.get(query)
        if not isinstance(answer, PodMetrics):
            return None
        answers.append(answer.samples)
    common = set(answers[0]).intersection(*answers[1:])
    settled = {pod.name for pod in snapshot.pods if pod.is_ready}
    if not common or not settled <= common:
        return None
    running, waiting, succeeded, prompt, generation = answers
    return {
        name: PodCounters(
            at_ns=running[name].at_ns,
            answered=succeeded[name].value_milli / 1000,
            running=running[name].value_milli / 1000,
            waiting=waiting[name].value_milli / 1000,
            prompt_tokens=prompt[name].value_milli / 1000,
            generation_tokens=generation[name].value_milli / 1000,
        )
        for name in common
    }


def _total(snapshot: Snapshot, query: MetricQuery) -> float:
    answer = snapshot.observations[query]
    assert isinstance(answer, PodMetrics)
    return sum(sample.value_milli for sample in answer.samples.values()) / 1000
