"""What a gateway in front of the servers would count, rebuilt from the servers' own counters.

Some planners read a frontend's counters (requests that came in, prompt and output lengths). A request that a server
was given is answered, running or waiting, so the growth of those three, and of the gateway's queue, is what came in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricQuery, PodMetrics, Snapshot

GATEWAY_QUEUE = MetricQuery(type="External", name="leadtime:gateway_queue")
KV_USAGE = MetricQuery(type="Pods", name="vllm:kv_cache_usage_perc")
RUNNING = MetricQuery(type="Pods", name="vllm:num_requests_running")
WAITING = MetricQuery(type="Pods", name="vllm:num_requests_waiting")
ANSWERED = MetricQuery(type="Pods", name="vllm:request_success_total")
PROMPT_TOKENS = MetricQuery(type="Pods", name="vllm:prompt_tokens_total")
GENERATION_TOKENS = MetricQuery(type="Pods", name="vllm:generation_tokens_total")

_COUNTED = (ANSWERED, RUNNING, WAITING, PROMPT_TOKENS, GENERATION_TOKENS)
QUERIES = (*_COUNTED, GATEWAY_QUEUE)

_Counts = tuple[float, float, float, float, float]
"""One server at one scrape, in the order of _COUNTED."""

_NEW_SERVER: _Counts = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """What happened between two scrapes. started: requests that left a server's queue."""

    at_ns: int
    arrived: float
    started: float
    answered: float
    prompt_tokens: float
    generation_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """servers: the last scrape, by pod. increments: those of the window, oldest first."""

    at_ns: int | None = None
    servers: Mapping[str, _Counts] = field(default_factory=dict)
    gateway_queue: float = 0.0
    increments: tuple[Increment, ...] = ()

    @property
    def arrived(self) -> float:
        """Requests that came in within the window."""
        return sum(each.arrived for each in self.increments)

    @property
    def prompt_tokens(self) -> float | None:
        """Mean prompt of the window, None while no request started in it."""
        started = sum(each.started for each in self.increments)
        tokens = sum(each.prompt_tokens for each in self.increments)
        return tokens / started if started >= 1 and tokens > 0 else None

    @property
    def output_tokens(self) -> float | None:
        """Mean output of the window, None while no request was answered in it."""
        answered = sum(each.answered for each in self.increments)
        tokens = sum(each.generation_tokens for each in self.increments)
        return tokens / answered if answered >= 1 and tokens > 0 else None


def observe(traffic: Traffic, snapshot: Snapshot, window_seconds: int) -> Traffic:
    """Add a scrape. One that is not newer or lacks a series is left out; the next covers the gap.

    A server that is new, or whose counters went back, counts from zero; the very first scrape only sets the marks.
    """
    scrape = _scrape(snapshot)
    if scrape is None or (traffic.at_ns is not None and scrape[0] <= traffic.at_ns):
        return traffic
    at_ns, servers, gateway_queue = scrape
    if traffic.at_ns is None:
        return Traffic(at_ns=at_ns, servers=servers, gateway_queue=gateway_queue)
    begun = started = answered = prompt = generation = 0.0
    for name, after in servers.items():
        before = traffic.servers.get(name, _NEW_SERVER)
        if after[0] < before[0] or after[3] < before[3]:
            before = _NEW_SERVER
        begun += sum(after[:3]) - sum(before[:3])
        started += sum(after[:2]) - sum(before[:2])
        answered += after[0] - before[0]
        prompt += after[3] - before[3]
        generation += max(0.0, after[4] - before[4])
    increment = Increment(
        at_ns=at_ns,
        arrived=max(0.0, begun + gateway_queue - traffic.gateway_queue),
        started=max(0.0, started),
        answered=answered,
        prompt_tokens=prompt,
        generation_tokens=generation,
    )
    oldest_ns = at_ns - window_seconds * NS_PER_SECOND
    kept = tuple(each for each in traffic.increments if each.at_ns > oldest_ns)
    return Traffic(at_ns=at_ns, servers=servers, gateway_queue=gateway_queue, increments=(*kept, increment))


def _scrape(snapshot: Snapshot) -> tuple[int, dict[str, _Counts], float] | None:
    """(instant, counts by pod, gateway's queue), pods by name; None when a series is missing altogether."""
    answers = []
    for query in _COUNTED:
        answer = snapshot.observations.get(query)
        if not isinstance(answer, PodMetrics) or not answer.samples:
            return None
        answers.append(answer.samples)
    names = sorted(set(answers[0]).intersection(*answers[1:]))
    if not names:
        return None
    queue = snapshot.observations.get(GATEWAY_QUEUE)
    waiting = sum(queue.values_milli) / 1000 if isinstance(queue, ExternalMetric) else 0.0
    answered, running, queued, prompt, generation = answers
    servers = {
        name: (
            answered[name].value_milli / 1000,
            running[name].value_milli / 1000,
            queued[name].value_milli / 1000,
            prompt[name].value_milli / 1000,
            generation[name].value_milli / 1000,
        )
        for name in names
    }
    return max(answered[name].at_ns for name in names), servers, waiting
