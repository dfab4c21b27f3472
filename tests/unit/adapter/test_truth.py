"""No value is told that is not true: not a part for the whole, not silence for idleness, not yesterday for today."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from served_metrics import NOW_NS, A, B, rule, series, served

from adapter.api.app import App
from adapter.api.custom_metrics import custom_metrics
from adapter.api.discovery import DiscoveryDocuments
from adapter.api.external_metrics import external_metrics
from adapter.api.query import CustomQuery, ExternalQuery
from adapter.api.served import Served
from adapter.api.status import StatusError
from adapter.auth.identity import User
from adapter.collector import Collector, SourceSpec
from adapter.http_server.request import Client, Request
from adapter.metrics import AdapterMetrics
from adapter.names.on_demand import OnDemand, OnDemandSettings, is_on_demand
from adapter.rules.watcher import RulesWatcher
from adapter.rules_in_use import RulesInUse
from adapter.sources.derive.history import CounterHistory
from adapter.sources.derive.values import Histories
from adapter.sources.pods import PodInfo, Pods
from adapter.sources.rule import Latest, Quantile, Rate, Rule
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.sources.source import Reading
from adapter.store import Store, Table

SECOND = NS_PER_SECOND
LATENCY = rule("latency", value=Quantile(("seconds",), 0.95, 60), reducer="mean", across="mean")
ASKED = ExternalQuery(version="v1beta1", namespace="llm", metric="latency")


def _quiet(pod: PodKey | None, age: float) -> Series:
    return replace(series(pod, None, age=age), why="no observations in 60 s", is_quiet=True)


# Silence.


def test_a_pod_whose_silence_is_old_is_not_idle() -> None:
    """It had no requests a minute ago, and since then nobody could ask it: it may have many now."""
    world = served((LATENCY, [series(A, 2.0), _quiet(B, age=30)]))
    assert [item["value"] for item in external_metrics(world, ASKED, NOW_NS).body["items"]] == ["2000m"]
    world = served((LATENCY, [series(A, 2.0), _quiet(B, age=61)]))
    with pytest.raises(StatusError, match="vllm-b: last sample 61 s old, max age 60 s"):
        external_metrics(world, ASKED, NOW_NS)


@pytest.mark.parametrize("objects", ["pods", "deployments.apps", ""])
def test_an_answer_is_good_only_until_silence_in_it_grows_old(objects: str) -> None:
    """b's silence ends in 10 s, a's value in 55 s."""
    world = served((replace(LATENCY, when_stale=LATENCY.when_stale_summed), [series(A, 2.0), _quiet(B, age=50)]))
    if objects:
        query = CustomQuery(version="v1beta2", namespace="llm", resource=objects, name="*", metric="latency")
        answer = custom_metrics(world, query, NOW_NS)
    else:
        answer = external_metrics(world, ASKED, NOW_NS)
    assert answer.until_ns == NOW_NS + 10 * SECOND


# Collections.

Q = Rule(name="q", value=Latest(("q",)))
PODS: Pods = {
    PodKey("llm", f"vllm-{number}"): PodInfo(ready=True, owners=(("deployments.apps", "vllm"),)) for number in range(3)
} | {PodKey("llm", "batch"): PodInfo(ready=True, owners=(("jobs.batch", "b"),))}
V0, V1, V2, BATCH = PODS


def _collector(store: Store) -> Collector:
    collector = Collector(store, [SourceSpec("scrape", 0)], failback_after_seconds=60)
    collector.set_rules([Q])
    return collector


def _reading(now_ns: int, *pods: PodKey, answered: set[PodKey]) -> Reading:
    return Reading(series={"q": [Series({}, 1.0, now_ns, pod) for pod in pods]}, answered=answered)


def _sum(store: Store, now_ns: int) -> float | str:
    """What the HPA makes of the External metric: a sum, or why there is none."""
    world = served((Q, []))
    world.store = store
    try:
        items = external_metrics(world, replace(ASKED, metric="q"), now_ns).body["items"]
    except StatusError as error:
        return str(error)
    return sum(float(item["value"].removesuffix("m")) / 1000 for item in items)  # type: ignore[attr-defined]


def test_a_first_collection_that_misses_pods_of_a_workload_tells_no_sum_over_it() -> None:
    """After a restart nothing is known of a pod whose page hangs, except that its siblings have the metric."""
    store = Store()
    store.set_pods(PODS)
    collector = _collector(store)
    collector.on_reading("scrape", _reading(NOW_NS, V0, V1, answered={V0, V1}), PODS, NOW_NS)
    assert "vllm-2: its page could not be read yet" in str(_sum(store, NOW_NS))
    later_ns = NOW_NS + 15 * SECOND
    collector.on_reading("scrape", _reading(later_ns, V0, V1, V2, answered={V0, V1, V2}), PODS, later_ns)
    assert _sum(store, later_ns) == 3.0


def test_a_pod_that_never_gives_its_page_is_waited_for_ten_minutes() -> None:
    store = Store()
    store.set_pods(PODS)
    collector = _collector(store)
    for second in range(0, 690, 15):
        now_ns = NOW_NS + second * SECOND
        collector.on_reading("scrape", _reading(now_ns, V0, V1, answered={V0, V1, BATCH}), PODS, now_ns)
        assert isinstance(_sum(store, now_ns), str) == (second <= 660), second
    assert _sum(store, now_ns) == 2.0


def test_pods_that_load_or_are_of_another_workload_hold_nothing_back() -> None:
    pods = {**PODS, V2: replace(PODS[V2], ready=False)}
    store = Store()
    store.set_pods(pods)
    collector = _collector(store)
    collector.on_reading("scrape", _reading(NOW_NS, V0, V1, answered={V0, V1}), pods, NOW_NS)
    assert _sum(store, NOW_NS) == 2.0
    store.set_pods(PODS)  # now it serves, but its page still cannot be read
    collector.on_reading("scrape", _reading(NOW_NS, V0, V1, answered={V0, V1}), PODS, NOW_NS)
    assert "vllm-2" in str(_sum(store, NOW_NS))


def test_neither_does_a_rule_that_is_changed_while_a_page_hangs() -> None:
    store = Store()
    store.set_pods(PODS)
    collector = _collector(store)
    collector.on_reading("scrape", _reading(NOW_NS, V0, V1, V2, answered={V0, V1, V2}), PODS, NOW_NS)
    collector.set_rules([replace(Q, unit="requests")])
    later_ns = NOW_NS + 15 * SECOND
    collector.on_reading("scrape", _reading(later_ns, V0, V1, answered={V0, V1}), PODS, later_ns)
    assert "vllm-2: its page could not be read yet" in str(_sum(store, later_ns))


def test_what_was_collected_for_a_rule_is_not_shown_under_its_next_version() -> None:
    """The rate that the old rule asked for is not the count that the new one promises."""
    store = Store()
    collector = _collector(store)
    rate = replace(Q, value=Rate(("q",), 60))
    collector.set_rules([rate])
    assert collector.begin("scrape") == (rate,)
    collector.set_rules([Q])
    collector.on_reading("scrape", _reading(NOW_NS, V0, answered={V0}), PODS, NOW_NS)
    assert store.table("q") is None
    assert collector.begin("scrape") == (Q,)
    collector.on_reading("scrape", _reading(NOW_NS, V0, answered={V0}), PODS, NOW_NS)
    assert store.table("q") is not None


# Names.

PUBSUB = "pubsub.googleapis.com|subscription|num_undelivered_messages"


def test_a_files_rule_wins_over_a_request_for_the_same_name(tmp_path: Path) -> None:
    """Or the rule's own filter and reducer would count only when nobody has asked for an hour."""
    served_ = Served(
        store=Store(), names=served().names, place=served().place, why_empty=lambda _: ("", False), on_demand=OnDemand()
    )
    collector = Collector(served_.store, [SourceSpec("cloud", 0)], failback_after_seconds=60)
    rules = RulesInUse(RulesWatcher([tmp_path]), collector, served_)
    assert served_.resolve(PUBSUB, "", api="external", now_ns=NOW_NS) is not None
    rules._use(rules._watcher.read(), NOW_NS)
    assert [is_on_demand(one) for one in collector.rules if one.name == PUBSUB] == [True]
    (tmp_path / "rules.yaml").write_text(
        "apiVersion: adapter.leadtime.dev/v1alpha1\nkind: MetricRules\nrules:\n"
        f"- {{name: '{PUBSUB}', cloudMonitoring: {{metricType: pubsub.googleapis.com/x, filter: 'a = b'}}}}\n"
    )
    rules._use(rules._watcher.read(), NOW_NS)
    assert [is_on_demand(one) for one in collector.rules if one.name == PUBSUB] == [False]


class _Everybody:
    """A gate that is open."""

    def check(self, _: Request) -> User:
        return User("hpa")


class _Clock:
    seconds = 0

    def now_ns(self) -> int:
        return NOW_NS + self.seconds * SECOND


def test_a_metric_that_is_asked_for_is_not_pushed_out_because_its_answers_were_kept() -> None:
    """Its table may be the same for minutes; each request counts all the same."""
    clock, names = _Clock(), OnDemand(OnDemandSettings(max_metrics=1, replaceable_after_seconds=60))
    world = served(on_demand=names)
    app = App(
        served=world,
        gate=_Everybody(),  # type: ignore[arg-type]
        clock=clock,
        metrics=AdapterMetrics(),
        discovery=DiscoveryDocuments.of([]),
        not_ready=lambda: "",
        sources=lambda _: [],
        pages=lambda _: [],
    )

    def status(name: str) -> int:
        path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/{quote(name)}"
        answer = app.handle(Request("GET", path.encode(), client=Client()))
        assert isinstance(answer, bytes)
        return int(answer[9:12])

    assert status(PUBSUB) == 404  # not collected yet
    (asked,) = names.rules(clock.now_ns())
    world.store.publish(Table(asked, [Series({}, 7.0, NOW_NS)], source="cloud", lag_seconds=240))
    for clock.seconds in range(15, 200, 15):
        assert status(PUBSUB) == 200
        assert status("misspelled.googleapis.com|x") == 404
    assert names.rules(clock.now_ns()) == (asked,)


# Clocks.


def test_a_clock_that_is_set_back_stops_no_rate() -> None:
    """Samples of the past are not newer than those of a future that never came: these are forgotten."""
    histories = Histories()

    def of(now_ns: int) -> CounterHistory:
        histories.forget(now_ns)
        return histories.of(("a",), 60, "key", 1)

    for second in (0, 15):
        of(NOW_NS + second * SECOND).add(NOW_NS + second * SECOND, (float(second),))
    assert of(NOW_NS + 15 * SECOND).span(NOW_NS + 15 * SECOND) is not None
    set_back_ns = NOW_NS - 3600 * SECOND
    assert of(set_back_ns).span(set_back_ns) is None
    for second in (0, 15):
        history = of(set_back_ns + second * SECOND)
        history.add(set_back_ns + second * SECOND, (100.0 + second,))
    assert history.last_ns == set_back_ns + 15 * SECOND
    assert history.increases() == [15.0]
