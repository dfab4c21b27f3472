"""What servers are asked to do, from sources to the answers of the policies' queries."""

import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
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
from autoscaler.observe.demand_rules import MISSED_LIMIT, SERVER_RULES, is_demand, missed_rules, rules_for
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
VLLM, SGLANG, TGI = SERVER_RULES
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
            for rule in VLLM.values()
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
    name = VLLM[SUCCEEDED].name
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
    names = ("vllm:request_time_per_output_token_seconds", "sglang:request_time_per_output_token_seconds")
    assert rules.share.value == Share(names, 0.05, 60)
    assert rules.answered.value == Rate(tuple(f"{name}_count" for name in names), 60)
    ttft = missed_rules(TTFT)
    assert ttft is not None
    assert ttft.share.value == Share(
        ("vllm:time_to_first_token_seconds", "time_to_first_token_seconds", "sglang:time_to_first_token_seconds"),
        2.0,
        60,
    )
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


SGLANG_LABELS = 'engine_type="unified",model_name="llama"'


def sglang_page(seconds: float) -> str:
    """The same server as SGLang shows it, with two data-parallel ranks of two tensor-parallel ones each, all of which
    write (--enable-metrics-for-all-schedulers), and priorities. Half of the answers are streamed, and of these none is
    late."""
    answered = 2 * seconds
    lines = []
    for name, by_rank in (("num_running_reqs", (2, 1)), ("num_queue_reqs", (0, 1))):
        for rank, value in enumerate(by_rank):
            for tp_rank in (2 * rank, 2 * rank + 1):
                labels = f'{SGLANG_LABELS},dp_rank="{rank}",tp_rank="{tp_rank}",pp_rank="0"'
                lines += [f'sglang:{name}{{{labels},priority=""}} {value}', f'sglang:{name}{{{labels},priority="1"}} 0']
    for streaming, late in (("true", 0.0), ("false", 1.0)):
        labels = f'{SGLANG_LABELS},is_streaming="{streaming}"'
        for name, value in (("num_requests", 1), ("prompt_tokens", 100), ("generation_tokens", 50)):
            lines.append(f"sglang:{name}_total{{{labels}}} {answered / 2 * value}")
        for edge, share in (("1.0", 1 - late), ("+Inf", 1)):
            lines.append(f'sglang:time_to_first_token_seconds_bucket{{{labels},le="{edge}"}} {answered / 2 * share}')
        lines.append(f"sglang:time_to_first_token_seconds_count{{{labels}}} {answered / 2}")
    return "\n".join(lines) + "\n"


def tgi_page(seconds: float) -> str:
    """The same as TGI shows it."""
    answered = 2 * seconds
    return f"""\
tgi_batch_current_size 3
tgi_queue_size 1
tgi_request_success {answered}
tgi_request_input_length_sum {answered * 100}
tgi_request_input_length_count {answered}
tgi_request_generated_tokens_sum {answered * 50}
tgi_request_mean_time_per_token_duration_bucket{{le="0.01"}} 0
tgi_request_mean_time_per_token_duration_bucket{{le="+Inf"}} {answered}
tgi_request_mean_time_per_token_duration_count {answered}
"""


@asynccontextmanager
async def served(seconds: list[float], page: Callable[[float], str] = page) -> AsyncIterator[int]:
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


@pytest.mark.parametrize(
    ("page_of", "ttft"),
    [
        pytest.param(sglang_page, ExternalMetric((0,)), id="sglang-whose-late-ones-are-not-streamed"),
        pytest.param(tgi_page, None, id="tgi-which-has-no-ttft"),
    ],
)
async def test_other_servers_are_told_as_vllm_is(page_of: Callable[[float], str], ttft: ExternalMetric | None) -> None:
    """Tensor-parallel ranks once, data-parallel ones added up; a mean time per token with the prefill is no TPOT."""
    clock = [0.0]
    async with served(clock, page_of) as port, aiohttp.ClientSession() as session:
        found = targets(FakeWorld(running_pod(A.name, ip="127.0.0.1", port=port)), TTFT, TPOT)
        settings = SourceSettings.model_validate({"scrape": {}})
        demand = Demand(list(make_sources([settings], found, session, monotonic=lambda: 0.0)), found)
        for second in range(0, 75, 15):
            clock[0] = 1000.0 + second
            await demand.collect(0, at(second))
        told = [samples(demand.observe(query, [A], at(60)))["vllm-a"] for query in QUERIES]
        assert told == [(3.0, 60.0), (1.0, 60.0), (2120.0, 60.0), (212_000.0, 60.0), (106_000.0, 60.0)]
        if ttft is None:
            assert isinstance(demand.observe(TTFT, [A], at(60)), MetricError)
        else:
            assert demand.observe(TTFT, [A], at(60)) == ttft
        assert isinstance(demand.observe(TPOT, [A], at(60)), MetricError)
        assert [each.reads_pages for each in demand.sources] == [True]


@pytest.mark.parametrize(
    ("shown", "running"),
    [
        pytest.param({"vllm": 5, "sglang": 5}, 1.0, id="two-whole-sets-the-first-one-s"),
        pytest.param({"vllm": 4, "sglang": 5}, None, id="not-the-second-s-beside-a-part-of-the-first-s"),
        pytest.param({"vllm": 4, "sglang": 1}, None, id="two-parts-are-no-whole"),
        pytest.param({"sglang": 1}, None, id="a-gauge-that-is-absent-is-not-zero"),
        pytest.param({"vllm": 4}, None, id="a-part"),
        pytest.param({"tgi": 5}, 3.0, id="one-whole-set"),
    ],
)
async def test_a_pods_counters_are_all_of_one_server(shown: Mapping[str, int], running: float | None) -> None:
    """shown: the first so many of a server's counters, each 1 for vLLM, 2 for SGLang, 3 for TGI."""
    source = FakeSource("scrape")
    for value, (name, rules) in enumerate(zip(("vllm", "sglang", "tgi"), SERVER_RULES, strict=True), start=1):
        for rule in list(rules.values())[: shown.get(name, 0)]:
            source.series[rule.name] = [Series({}, float(value), START_NS, A)]
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(two_pods()))
    await demand.collect(0, at(0))
    answers = [demand.observe(query, [A], at(0)) for query in QUERIES]
    if running is None:
        assert all(isinstance(answer, MetricError) for answer in answers)
    else:
        assert [samples(answer)["vllm-a"] for answer in answers] == [(running, 0.0)] * len(QUERIES)


async def test_a_new_server_that_has_counted_nothing_yet_has_counted_zero() -> None:
    """TGI's counters are on no page before their first event, as one that answers its first request shows."""
    source = FakeSource("scrape")
    demand = Demand([DemandSource(source=source, interval_seconds=15, reads_pages=True)], targets(two_pods()))

    async def collected(seconds: float, **values: float | None) -> list[float] | None:
        """values: of TGI's series by query; None is a series without a value."""
        names = ("running", "waiting", "answered", "prompt", "generated")
        queries = dict(zip(names, QUERIES, strict=True))
        source.series = {TGI[queries[name]].name: [Series({}, value, at(seconds), A)] for name, value in values.items()}
        await demand.collect(0, at(seconds))
        answers = [demand.observe(query, [A], at(seconds)) for query in QUERIES]
        if any(isinstance(answer, MetricError) for answer in answers):
            return None
        told = [samples(answer)["vllm-a"] for answer in answers]
        return [value for value, sampled in told] if told[0][1] == seconds else None

    assert await collected(0) is None
    assert await collected(15, running=2.0, waiting=1.0, prompt=300.0) == [2.0, 1.0, 0.0, 300.0, 0.0]
    last = {"running": 1.0, "waiting": 0.0, "prompt": 300.0}
    assert await collected(30, **last, answered=None) is None, "not absent, without a value"
    assert await collected(45, **last, answered=1.0) is None, "an answer has tokens"
    assert await collected(60, **last, answered=1.0, generated=80.0) == [1.0, 0.0, 1.0, 300.0, 80.0]
    assert await collected(75, **last) is None, "it has counted: what is absent now is lost"


async def test_what_a_query_did_not_give_is_not_zero() -> None:
    """Of five queries one may be late, or not asked while it gave nothing."""
    source = FakeSource("prometheus")
    demand = Demand([DemandSource(source=source, interval_seconds=15)], targets(two_pods()))
    source.series = {TGI[query].name: [Series({}, 1.0, START_NS, A)] for query in (RUNNING, WAITING)}
    await demand.collect(0, at(0))
    assert isinstance(demand.observe(SUCCEEDED, [A], at(0)), MetricError)


def test_every_server_has_a_rule_for_each_query_and_none_is_anothers() -> None:
    assert [tuple(rules) for rules in SERVER_RULES] == [QUERIES] * 3
    names = [rule.name for rules in SERVER_RULES for rule in rules.values()]
    assert len(names) == len(set(names))
    assert {rule.system for rule in SGLANG.values()} == {"sglang"}
    assert {rule.system for rule in TGI.values()} == {"tgi"}


async def test_a_pod_without_a_page_that_is_known_says_how_to_name_one() -> None:
    pod = running_pod(A.name, port=1234, labels={"app": "own"})
    pod["spec"]["containers"][0]["image"] = "registry.example/own-server:1"
    found = targets(FakeWorld(pod), app="own")
    await found.refresh()
    assert found.targets().targets == ()
    assert found.page_notes([A]) == (
        "a pod that asks for a GPU declares no known metrics port: name a port `metrics`, or annotate it",
    )
