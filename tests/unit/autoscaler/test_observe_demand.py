"""What servers are asked to do, from sources to the answers of the policies' queries."""

import math
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fake_cluster_api import running_pod
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.derive.promql import share_above
from adapter.sources.kubernetes.label_selector import LabelSelector, parse_selector
from adapter.sources.kubernetes.pod_record import PodRecord
from adapter.sources.pods import Pods
from adapter.sources.rule import Rate, Rule, Share
from adapter.sources.series import PodKey, Series
from adapter.sources.settings import SourceSettings
from adapter.sources.source import Reading, SourceUnavailable
from autoscaler.cluster import Key
from autoscaler.observe.demand import Demand, DemandSource
from autoscaler.observe.demand_rules import COUNTER_RULES, MISSED_LIMIT, is_demand, missed_rules, rules_for
from autoscaler.observe.demand_targets import DemandTarget, DemandTargets
from autoscaler.observe.make_sources import make_sources
from autoscaler.observe.pod_index import PodIndex
from autoscaler.observe.pod_seen import PodSeen, watched_pod
from policies.predictive.missed import missed_queries
from policies.serving_counters import GENERATION_TOKENS, QUERIES, RUNNING, SUCCEEDED, WAITING
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, MetricQuery, PodMetrics

START_NS = 1_700_000_000 * NS_PER_SECOND
TTFT, TPOT = missed_queries(2.0, 0.05)
KEY = Key("llm", "vllm")
Pair = tuple[float, float]
"""(value, seconds since the start)."""
A, B = PodKey("llm", "vllm-a"), PodKey("llm", "vllm-b")


class FakeWorld:
    """Pods in memory. autoscalers: those that exist."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.autoscalers: Collection[Key] = {KEY}
        self.index = PodIndex()
        for pod in pods:
            self.put(pod)

    def put(self, pod: dict[str, Any]) -> None:
        watched = watched_pod(pod)
        self.index.pod_changed(watched.seen.key, watched)

    def pods_of(self, namespace: str, selector: LabelSelector) -> tuple[PodSeen, ...]:
        return self.index.selected(namespace, selector)

    def page_record(self, pod: PodKey) -> PodRecord | None:
        return self.index.record(pod)


class FakeSource:
    """Tells what it is given. values: pod -> value of every counter; series: further ones, by rule.

    failure: raised by the next collections.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[PodKey, float] = {}
        self.series: dict[str, list[Series]] = {}
        self.at_ns = START_NS
        self.failure: Exception | None = None
        self.asked: list[Sequence[Rule]] = []
        self.pods: list[Pods] = []

    async def collect(self, rules: Sequence[Rule], pods: Pods, now_ns: int) -> Reading:  # noqa: ARG002
        self.asked.append(rules)
        self.pods.append(pods)
        if self.failure is not None:
            raise self.failure
        counters = {
            rule.name: [Series({}, value, self.at_ns, pod) for pod, value in self.values.items()]
            for rule in COUNTER_RULES.values()
        }
        return Reading(series={**counters, **self.series})

    async def close(self) -> None: ...


def targets(world: FakeWorld, *queries: MetricQuery, app: str = "vllm") -> DemandTargets:
    found = DemandTargets(world)
    selector = parse_selector({"matchLabels": {"app": app}})
    found.observed(KEY, DemandTarget("deployments.apps", "vllm", selector, (*QUERIES, *queries)))
    return found


def two_pods() -> FakeWorld:
    return FakeWorld(running_pod(A.name), running_pod(B.name, ip="10.0.0.8"))


def at(seconds: float) -> int:
    return START_NS + round(seconds * NS_PER_SECOND)


def samples(answer: object) -> dict[str, Pair]:
    """Pod -> its sample."""
    assert isinstance(answer, PodMetrics), answer
    return {
        name: (sample.value_milli / 1000, (sample.at_ns - START_NS) / NS_PER_SECOND)
        for name, sample in answer.samples.items()
    }


async def test_counters_are_told_with_their_own_times() -> None:
    source = FakeSource("scrape")
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(two_pods()))
    source.values, source.at_ns = {A: 7.25, B: 9.0}, at(1)
    await demand.collect(0, at(2))
    assert samples(demand.observe(RUNNING, [A, B], at(10))) == {"vllm-a": (7.25, 1.0), "vllm-b": (9.0, 1.0)}
    assert samples(demand.observe(GENERATION_TOKENS, [A], at(10))) == {"vllm-a": (7.25, 1.0)}
    assert set(source.pods[0]) == {A, B}


async def test_a_pod_counts_with_all_its_counters_or_not_at_all() -> None:
    """A server of which only some counters are known would have requests that came from nowhere."""
    source = FakeSource("scrape")
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(two_pods()))
    source.values = {A: 1.0, B: 1.0}
    name = COUNTER_RULES[SUCCEEDED].name
    finished = [Series({"finished_reason": why}, value, START_NS, A) for why, value in (("stop", 2.0), ("length", 3.0))]
    source.series = {name: [*finished, Series({}, None, START_NS, B, why="NaN")]}
    await demand.collect(0, at(0))
    assert samples(demand.observe(SUCCEEDED, [A, B], at(0))) == {"vllm-a": (5.0, 0.0)}
    assert samples(demand.observe(RUNNING, [A, B], at(0))) == {"vllm-a": (1.0, 0.0)}


async def test_what_is_too_old_is_absent_and_then_said_to_be() -> None:
    source = FakeSource("scrape")
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(two_pods()))
    source.values = {A: 1.0}
    await demand.collect(0, at(0))
    source.values, source.at_ns = {B: 1.0}, at(45)
    await demand.collect(0, at(45))
    assert set(samples(demand.observe(RUNNING, [A, B], at(60)))) == {"vllm-a", "vllm-b"}
    assert set(samples(demand.observe(RUNNING, [A, B], at(60.5)))) == {"vllm-b"}
    why = "none of 2 pages could be had, the first one http://10.0.0.7: refused"
    source.failure = SourceUnavailable("connection", why)
    await demand.collect(0, at(105))
    assert demand.observe(RUNNING, [A, B], at(106)) == MetricError(
        f"vllm:num_requests_running: no fresh value of 2 pods; scrape: {why}"
    )
    assert demand.faults == (f"scrape: {why}",)


async def test_a_slow_sources_lag_is_allowed_for() -> None:
    source = FakeSource("cloudMonitoring")
    demand = Demand([DemandSource(source=source, interval_seconds=30, lag_seconds=240)], targets(two_pods()))
    source.values = {A: 1.0}
    await demand.collect(0, at(200))
    assert set(samples(demand.observe(RUNNING, [A], at(300)))) == {"vllm-a"}
    assert isinstance(demand.observe(RUNNING, [A], at(301)), MetricError)


async def test_before_the_first_collection_and_without_pods_it_says_so() -> None:
    demand = Demand([DemandSource(source=FakeSource("scrape"), interval_seconds=15)], targets(two_pods()))
    assert demand.observe(WAITING, [A], at(0)) == MetricError(
        "vllm:num_requests_waiting: no fresh value of 1 pods; scrape: not collected yet"
    )
    assert demand.observe(WAITING, [], at(0)) == MetricError("vllm:num_requests_waiting: the workload has no pods")


async def test_sources_follow_each_other_and_time_never_goes_back() -> None:
    """Prometheus' samples are older than our own scrapes: one of those told after a newer one would let a counter go
    back, which counts as a new server, and all that it ever did as demand of this minute."""
    scrape, prometheus = FakeSource("scrape"), FakeSource("prometheus")
    demand = Demand(
        [
            DemandSource(source=scrape, interval_seconds=15),
            DemandSource(source=prometheus, interval_seconds=15, lag_seconds=60),
        ],
        targets(two_pods()),
    )

    async def collected(seconds: float, scraped: float | None, by_prometheus: Pair) -> Pair:
        """The counter is its time."""
        scrape.failure = None if scraped is not None else SourceUnavailable("timeout", "away")
        scrape.values, scrape.at_ns = {A: scraped or 0.0}, at(scraped or 0.0)
        value, sampled = by_prometheus
        prometheus.values, prometheus.at_ns = {A: value}, at(sampled)
        await demand.collect(0, at(seconds))
        await demand.collect(1, at(seconds))
        return samples(demand.observe(RUNNING, [A], at(seconds)))["vllm-a"]

    assert await collected(15, 15.0, (10.0, 10.0)) == (15.0, 15.0)
    assert await collected(30, None, (25.0, 25.0)) == (15.0, 15.0)  # newer, but the scrape's is still young
    assert await collected(50, None, (45.0, 45.0)) == (45.0, 45.0)  # and now it is not
    assert await collected(60, 60.0, (55.0, 55.0)) == (60.0, 60.0)  # the better one is back at once
    assert await collected(100, None, (58.0, 58.0)) == (60.0, 60.0)  # older than what was told


async def test_a_pod_that_begins_to_end_leaves_with_its_samples() -> None:
    """One of the same name may follow it, as a StatefulSet's does, with counters that begin at 0."""
    world, source = two_pods(), FakeSource("scrape")
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(world))
    source.values = {A: 100.0, B: 1.0}
    await demand.collect(0, at(0))
    world.put(running_pod(A.name, deleting=True))
    source.values = {B: 1.0}
    await demand.collect(0, at(15))
    assert set(samples(demand.observe(RUNNING, [A, B], at(15)))) == {"vllm-b"}


async def test_a_fault_of_ours_ends_no_loop(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource("scrape")
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(two_pods()))
    source.failure = ZeroDivisionError("oops")
    await demand.collect(0, at(0))
    answer = demand.observe(RUNNING, [A], at(0))
    assert isinstance(answer, MetricError)
    assert "scrape: internal: ZeroDivisionError('oops')" in answer.message
    assert "collecting demand failed: source=scrape" in caplog.text


async def test_a_workload_that_is_gone_is_collected_no_more() -> None:
    world, source = two_pods(), FakeSource("scrape")
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(world, TTFT))
    await demand.collect(0, at(0))
    world.autoscalers = set()
    await demand.collect(0, at(15))
    assert len(source.asked) == 1


EDGES = (0.5, 1.0, 2.5, math.inf)
COUNTS = st.lists(st.integers(0, 40), min_size=4, max_size=4)


@given(st.dictionaries(st.sampled_from([(A, "0"), (A, "1"), (B, "0")]), COUNTS, min_size=1), st.floats(0.0, 4.0))
async def test_shares_of_pods_are_put_together_as_one_histogram(
    counts: Mapping[tuple[PodKey, str], Sequence[int]], seconds: float
) -> None:
    """The share over all engines of all pods is that of the sum of their buckets, not the mean of their shares."""
    query = missed_queries(seconds, 0.05)[0]
    rules = missed_rules(query)
    assert rules is not None
    source = FakeSource("scrape")
    shares: list[Series] = []
    rates: list[Series] = []
    together = [0.0] * len(EDGES)
    for (pod, engine), buckets in counts.items():
        cumulative = [float(sum(buckets[: index + 1])) for index in range(len(buckets))]
        together = [one + more for one, more in zip(together, cumulative, strict=True)]
        share = share_above(float(query.selector[0][1]), EDGES, cumulative)
        shares.append(Series({"engine": engine}, share, START_NS, pod, 60, is_quiet=share is None))
        rates.append(Series({"engine": engine}, cumulative[-1] / 60.0, START_NS, pod, 60))
    source.series = {rules.share.name: shares, rules.answered.name: rates}
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(two_pods(), query))
    await demand.collect(0, at(0))
    answer = demand.observe(query, [A, B], at(0))
    expected = share_above(float(query.selector[0][1]), EDGES, together)
    if expected is None:
        assert answer == MetricError("leadtime:ttft_missed_percent:1m: no request was answered in the last 60 s")
    else:
        assert isinstance(answer, ExternalMetric)
        assert answer.values_milli[0] / 100_000 == pytest.approx(expected, abs=1e-5)


def test_queries_become_rules_of_the_catalogue() -> None:
    rules = missed_rules(TPOT)
    assert rules is not None
    name = "vllm:request_time_per_output_token_seconds"
    assert rules.share.value == Share((name,), 0.05, 60)
    assert rules.answered.value == Rate((f"{name}_count",), 60)
    ttft = missed_rules(TTFT)
    assert ttft is not None
    assert ttft.share.value == Share(("vllm:time_to_first_token_seconds", "time_to_first_token_seconds"), 2.0, 60)
    assert {is_demand(query) for query in (*QUERIES, TTFT, TPOT)} == {True}
    assert not is_demand(MetricQuery(type="Pods", name="vllm:kv_cache_usage_perc"))
    assert not is_demand(MetricQuery(type="Pods", name=RUNNING.name, selector=(("engine", "0"),)))


@pytest.mark.parametrize("selector", [(), (("le", "soon"),), (("le", "inf"),), (("le", "2"), ("model", "a"))])
async def test_a_target_that_is_no_number_is_refused(selector: tuple[tuple[str, str], ...]) -> None:
    query = MetricQuery(type="External", name=TTFT.name, selector=selector)
    demand = Demand([], targets(two_pods()))
    answer = demand.observe(query, [A], at(0))
    assert isinstance(answer, MetricError)
    assert "no rule answers it" in answer.message


async def test_more_targets_than_can_be_measured_are_said() -> None:
    queries = [missed_queries(1.0 + number, 0.05)[0] for number in range(MISSED_LIMIT + 1)]
    rules = rules_for(queries)
    assert len([rule for rule in rules if isinstance(rule.value, Share)]) == MISSED_LIMIT
    demand = Demand([DemandSource(source=FakeSource("scrape"), interval_seconds=15)], targets(two_pods(), *queries))
    await demand.collect(0, at(0))
    answers = [demand.observe(query, [A], at(0)) for query in queries]
    messages = [answer.message for answer in answers if isinstance(answer, MetricError)]
    assert len([message for message in messages if "more than 64 different SLO targets" in message]) == 1


def page(seconds: float) -> str:
    """Of a server that answers 2 requests a second, a quarter of them with a TTFT between 1 and 3 s."""
    answered = 2 * seconds
    return f"""\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0"}} 3
vllm:num_requests_waiting{{engine="0"}} 1
vllm:request_success_total{{engine="0",finished_reason="stop"}} {answered}
vllm:request_success_total{{engine="0",finished_reason="length"}} 5
vllm:prompt_tokens_total{{engine="0"}} {answered * 100}
vllm:generation_tokens_total{{engine="0"}} {answered * 50}
vllm:time_to_first_token_seconds_bucket{{engine="0",le="1.0"}} {answered * 0.75}
vllm:time_to_first_token_seconds_bucket{{engine="0",le="3.0"}} {answered}
vllm:time_to_first_token_seconds_bucket{{engine="0",le="+Inf"}} {answered}
vllm:time_to_first_token_seconds_count{{engine="0"}} {answered}
"""


@asynccontextmanager
async def served(seconds: list[float]) -> AsyncIterator[int]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=page(seconds[0]))

    app = web.Application()
    app.router.add_get("/metrics", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_a_real_page_is_scraped_of_a_workloads_pods_only() -> None:
    """From a pod's page over HTTP to the policy's answers, by the settings as they are by default."""
    clock = [0.0]
    async with served(clock) as port, aiohttp.ClientSession() as session:
        world = FakeWorld(
            running_pod(A.name, ip="127.0.0.1", port=port),
            running_pod("stranger", ip="127.0.0.1", port=port, labels={"app": "other"}),
        )
        found = targets(world, TTFT, TPOT)
        settings = SourceSettings.model_validate({"scrape": {}})
        demand = Demand(list(make_sources([settings], found, session, monotonic=lambda: 0.0)), found)
        for second in range(0, 75, 15):
            clock[0] = 1000.0 + second
            await demand.collect(0, at(second))
        now_ns = at(60)
        assert samples(demand.observe(SUCCEEDED, [A], now_ns)) == {"vllm-a": (2 * 1060.0 + 5, 60.0)}
        assert demand.observe(TTFT, [A], now_ns) == ExternalMetric((12_500,))
        unknown = demand.observe(TPOT, [A], now_ns)
        assert isinstance(unknown, MetricError)
        assert "without a complete set" in unknown.message
        assert [target.owner for target in found.targets().targets] == [A]
        assert demand.sources[0].interval_seconds == 15.0


async def test_a_pod_without_a_page_that_is_known_says_how_to_name_one() -> None:
    pod = running_pod(A.name, port=1234, labels={"app": "own"})
    pod["spec"]["containers"][0]["image"] = "registry.example/own-server:1"
    found = targets(FakeWorld(pod), app="own")
    await found.refresh()
    assert found.targets().targets == ()
    assert found.page_notes([A]) == (
        "a pod that asks for a GPU declares no known metrics port: name a port `metrics`, or annotate it",
    )
