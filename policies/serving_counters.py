"""What servers' own counters say about demand: requests that came, started and were answered, and their tokens.

A request that a server was given is answered, running or waiting. So what arrived between two scrapes is the growth
of those three, also while a queue builds up and throughput hides the demand.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.snapshot import MetricQuery, PodMetrics, Snapshot

RUNNING = MetricQuery(type="Pods", name="vllm:num_requests_running")
WAITING = MetricQuery(type="Pods", name="vllm:num_requests_waiting")
SUCCEEDED = MetricQuery(type="Pods", name="vllm:request_success_total")
PROMPT_TOKENS = MetricQuery(type="Pods", name="vllm:prompt_tokens_total")
GENERATION_TOKENS = MetricQuery(type="Pods", name="vllm:generation_tokens_total")

QUERIES = (RUNNING, WAITING, SUCCEEDED, PROMPT_TOKENS, GENERATION_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCounters:
    """One server at one scrape. Requests answered and tokens are since its start; running and waiting are now."""

    at_ns: int
    answered: float
    running: float
    waiting: float
    prompt_tokens: float
    generation_tokens: float


_NEW_SERVER = ServerCounters(at_ns=0, answered=0, running=0, waiting=0, prompt_tokens=0, generation_tokens=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What happened between two scrapes, over all servers. started: requests that left a server's queue."""

    arrived: float
    started: float
    answered: float
    prompt_tokens: float
    generation_tokens: float


def read_counters(snapshot: Snapshot) -> dict[str, ServerCounters] | None:
    """Every pod that has all five samples, by name; None when a series is missing altogether."""
    answers = []
    for query in QUERIES:
        answer = snapshot.observations.get(query)
        if not isinstance(answer, PodMetrics):
            return None
        answers.append(answer.samples)
    names = sorted(set(answers[0]).intersection(*answers[1:]))
    running, waiting, succeeded, prompt, generation = answers
    counters = {
        name: ServerCounters(
            at_ns=running[name].at_ns,
            answered=succeeded[name].value_milli / 1000,
            running=running[name].value_milli / 1000,
            waiting=waiting[name].value_milli / 1000,
            prompt_tokens=prompt[name].value_milli / 1000,
            generation_tokens=generation[name].value_milli / 1000,
        )
        for name in names
    }
    return counters or None


def growth(before: Mapping[str, ServerCounters], after: Mapping[str, ServerCounters]) -> Growth:
    """From one scrape to the next. A server that is new, or whose counters went back, counts from zero."""
    arrived = started = answered = prompt = generation = 0.0
    for name, now in after.items():
        then = before.get(name, _NEW_SERVER)
        if now.answered < then.answered or now.prompt_tokens < then.prompt_tokens:
            then = _NEW_SERVER
        begun = now.answered + now.running - then.answered - then.running
        started += begun
        arrived += max(0.0, begun + now.waiting - then.waiting)
        answered += now.answered - then.answered
        prompt += now.prompt_tokens - then.prompt_tokens
        generation += max(0.0, now.generation_tokens - then.generation_tokens)
    return Growth(
        arrived=arrived, started=started, answered=answered, prompt_tokens=prompt, generation_tokens=generation
    )
