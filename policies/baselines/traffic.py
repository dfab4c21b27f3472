"""What a gateway in front of the servers would count, rebuilt from the servers' own counters.

Some planners read a frontend's counters (requests that came in, prompt and output lengths). A request that a server
was given is answered, running or waiting, so the growth of those three, and of the gateway's queue, is what came in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies import serving_counters
from policies.serving_counters import Growth, ServerCounters, growth, read_counters
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricQuery, Snapshot

GATEWAY_QUEUE = MetricQuery(type="External", name="leadtime:gateway_queue")
KV_USAGE = MetricQuery(type="Pods", name="vllm:kv_cache_usage_perc")

QUERIES = (*serving_counters.QUERIES, GATEWAY_QUEUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Increment:
    """What happened between two scrapes; arrived counts the growth of the gateway's queue as well."""

    at_ns: int
    arrived: float
    servers: Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """servers: the last scrape, by pod. increments: those of the window, oldest first."""

    at_ns: int | None = None
    servers: Mapping[str, ServerCounters] = field(default_factory=dict)
    gateway_queue: float = 0.0
    increments: tuple[Increment, ...] = ()

    @property
    def arrived(self) -> float:
        """Requests that came in within the window."""
        return sum(each.arrived for each in self.increments)

    @property
    def prompt_tokens(self) -> float | None:
        """Mean prompt of the window, None while no request started in it."""
        started = sum(each.servers.started for each in self.increments)
        tokens = sum(each.servers.prompt_tokens for each in self.increments)
        return tokens / started if started >= 1 and tokens > 0 else None

    @property
    def output_tokens(self) -> float | None:
        """Mean output of the window, None while no request was answered in it."""
        answered = sum(each.servers.answered for each in self.increments)
        tokens = sum(each.servers.generation_tokens for each in self.increments)
        return tokens / answered if answered >= 1 and tokens > 0 else None


def observe(traffic: Traffic, snapshot: Snapshot, window_seconds: int) -> Traffic:
    """Add a scrape. One that is not newer or lacks a series is left out; the next covers the gap.

    A server that is new, or whose counters went back, counts from zero; the very first scrape only sets the marks.
    """
    servers = read_counters(snapshot)
    if servers is None:
        return traffic
    at_ns = max(counters.at_ns for counters in servers.values())
    queue = snapshot.observations.get(GATEWAY_QUEUE)
    gateway_queue = sum(queue.values_milli) / 1000 if isinstance(queue, ExternalMetric) else 0.0
    if traffic.at_ns is None:
        return Traffic(at_ns=at_ns, servers=servers, gateway_queue=gateway_queue)
    if at_ns <= traffic.at_ns:
        return traffic
    grown = growth(traffic.servers, servers)
    increment = Increment(
        at_ns=at_ns,
        arrived=max(0.0, grown.arrived + gateway_queue - traffic.gateway_queue),
        servers=grown,
    )
    oldest_ns = at_ns - window_seconds * NS_PER_SECOND
    kept = tuple(each for each in traffic.increments if each.at_ns > oldest_ns)
    return Traffic(at_ns=at_ns, servers=servers, gateway_queue=gateway_queue, increments=(*kept, increment))
