"""Metrics of Cloud Monitoring that no rule names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.names.on_demand import OnDemand, OnDemandSettings, cloud_rule
from adapter.sources.rule import Latest, Rate, Value
from adapter.sources.series import NS_PER_SECOND

PUBSUB = "pubsub.googleapis.com|subscription|num_undelivered_messages"


def test_a_metric_is_collected_while_it_is_asked_for_and_an_hour_longer() -> None:
    on_demand = OnDemand()
    assert on_demand.rules(0) == ()
    rule = on_demand.ask(PUBSUB, 0)
    assert rule is not None
    assert rule.cloud is not None
    assert rule.cloud.metric_type == "pubsub.googleapis.com/subscription/num_undelivered_messages"
    on_demand.ask(PUBSUB, 600 * NS_PER_SECOND)
    assert on_demand.rules(4199 * NS_PER_SECOND) == (rule,)
    assert on_demand.rules(4200 * NS_PER_SECOND) == ()


def test_the_generation_grows_with_each_metric_that_comes_or_goes() -> None:
    on_demand = OnDemand()
    on_demand.ask(PUBSUB, 0)
    on_demand.ask(PUBSUB, 1)
    assert on_demand.generation == 1
    on_demand.rules(3601 * NS_PER_SECOND)
    assert on_demand.generation == 2


def test_a_full_table_takes_a_new_metric_only_for_one_that_nobody_asks_for_any_more() -> None:
    on_demand = OnDemand(OnDemandSettings(max_metrics=2))
    on_demand.ask("a.com|left", 0)
    on_demand.ask("a.com|alive", 0)
    on_demand.ask("a.com|alive", 45 * NS_PER_SECOND)
    assert on_demand.ask("a.com|new", 59 * NS_PER_SECOND) is None
    assert on_demand.ask("a.com|new", 60 * NS_PER_SECOND) is not None
    assert {rule.name for rule in on_demand.rules(60 * NS_PER_SECOND)} == {"a.com|alive", "a.com|new"}
    assert on_demand.ask("a.com|newer", 61 * NS_PER_SECOND) is None


def test_none_are_collected_where_none_are_allowed() -> None:
    assert OnDemand(OnDemandSettings(max_metrics=0)).ask(PUBSUB, 0) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (PUBSUB, Latest((PUBSUB.replace("|", "/"),))),
        ("prometheus.googleapis.com|app_queue|gauge", Latest(("app_queue",))),
        ("prometheus.googleapis.com|app_jobs_total|counter", Rate(("app_jobs_total",), 60)),
    ],
)
def test_what_is_looked_for(name: str, value: Value) -> None:
    rule = cloud_rule(name)
    assert rule is not None
    assert rule.value == value


def test_a_distributions_reducer_is_cloud_monitorings_and_a_numbers_ours() -> None:
    on_demand = OnDemand()
    histogram = "prometheus.googleapis.com|app_seconds|histogram"
    for reducer in ("REDUCE_PERCENTILE_95", "REDUCE_PERCENTILE_50"):
        on_demand.ask(histogram, 0, reducer=reducer)
        on_demand.ask(PUBSUB, 0, reducer=reducer)
    clouds = [rule.cloud for rule in on_demand.rules(0) if rule.cloud is not None]
    assert sorted(cloud.reducer for cloud in clouds) == ["", "REDUCE_PERCENTILE_50", "REDUCE_PERCENTILE_95"]
    assert len({rule.name for rule in on_demand.rules(0)}) == 3


@pytest.mark.parametrize(
    "name", ["prometheus.googleapis.com|x|gauge", "kubernetes.io|container|uptime", "custom.googleapis.com|x"]
)
def test_workloads_metrics_stay_within_their_namespace(name: str) -> None:
    rule = cloud_rule(name)
    assert rule is not None
    assert rule.visible_to == ()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "queue",
        "queue|size",
        "|x",
        "a.com|",
        "a.com||x",
        'a.com|x" OR metric.type="y',
        "a.com|x y",
        "A.com|x",
        "a.com|" + "x" * 300,
    ],
)
def test_what_cannot_be_a_metric_type_is_not_asked_for(name: str) -> None:
    assert OnDemand().ask(name, 0) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 200)), max_size=60))
def test_there_are_never_more_than_allowed(asked: list[tuple[int, int]]) -> None:
    on_demand = OnDemand(OnDemandSettings(max_metrics=5))
    now = 0
    for number, seconds in asked:
        now += seconds * NS_PER_SECOND
        rule = on_demand.ask(f"a.com|m{number}", now)
        rules = on_demand.rules(now)
        assert len(rules) <= 5
        assert rule is None or rule in rules
