"""Rules as what Cloud Monitoring is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.cloud_monitoring.budget import Budget
from adapter.sources.cloud_monitoring.filters import (
    aggregation_of,
    filter_of,
    is_reduced,
    operands_of,
    project_of,
    quoted,
)
from adapter.sources.rule import CloudQuery, Latest, Quantile, Rate, Ratio, Rule, Total

GMP = "prometheus.googleapis.com/"


def asked(rule: Rule) -> list[list[tuple[tuple[str, ...], str]]]:
    return [[(one.metric_types, one.field) for one in operand.names] for operand in operands_of(rule)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(
            Rule(name="m", value=Latest(("vllm:new", "vllm:old"))),
            [
                [
                    ((f"{GMP}vllm:new/gauge", f"{GMP}vllm:new/unknown"), "value"),
                    ((f"{GMP}vllm:old/gauge", f"{GMP}vllm:old/unknown"), "value"),
                ]
            ],
            id="a-gauge-under-each-of-its-names",
        ),
        pytest.param(
            Rule(name="m", value=Rate(("a_total",), 60), kind="counter"),
            [[((f"{GMP}a_total/counter", f"{GMP}a_total/unknown:counter"), "value")]],
            id="a-counter",
        ),
        pytest.param(
            Rule(name="m", value=Ratio(("t_sum",), ("t_count",), 60), kind="histogram"),
            [[((f"{GMP}t/histogram",), "sum")], [((f"{GMP}t/histogram",), "count")]],
            id="sum-and-count-are-parts-of-the-distribution",
        ),
        pytest.param(
            Rule(name="m", value=Quantile(("t",), 0.95, 60), kind="histogram"),
            [[((f"{GMP}t/histogram",), "buckets")]],
            id="a-quantile-of-a-distribution",
        ),
        pytest.param(
            Rule(name="m", value=Total((("a",), ("b",)))),
            [
                [((f"{GMP}a/gauge", f"{GMP}a/unknown"), "value")],
                [((f"{GMP}b/gauge", f"{GMP}b/unknown"), "value")],
            ],
            id="a-total-has-a-query-for-each-part",
        ),
        pytest.param(
            Rule(name="m", value=Latest(("DCGM",)), cloud=CloudQuery(metric_type="kubernetes.io/x")),
            [[(("kubernetes.io/x",), "value")]],
            id="the-rules-own-type-wins",
        ),
        pytest.param(Rule(name="m", value=Latest(())), [], id="nothing-to-ask"),
    ],
)
def test_metric_types(rule, expected):
    assert asked(rule) == expected


@pytest.mark.parametrize(
    ("metric_type", "cloud", "expected"),
    [
        pytest.param(
            f"{GMP}a/gauge",
            None,
            'resource.type = "prometheus_target" AND resource.labels.cluster = "c" AND resource.labels.location = "l"',
            id="managed-prometheus",
        ),
        pytest.param(
            "kubernetes.io/container/accelerator/duty_cycle",
            {},
            'resource.type = "k8s_container" AND resource.labels.cluster_name = "c" AND resource.labels.location = "l"',
            id="gke",
        ),
        pytest.param("pubsub.googleapis.com/x", {}, "", id="another-service-knows-no-cluster"),
        pytest.param(
            "pubsub.googleapis.com/x",
            {"filter": 'resource.labels.subscription_id = "s"'},
            'resource.labels.subscription_id = "s"',
            id="a-rules-own-terms",
        ),
        pytest.param(
            f"{GMP}a/gauge",
            {"filter": 'resource.labels.cluster = "other"'},
            'resource.type = "prometheus_target" AND resource.labels.cluster = "other"',
            id="a-rule-that-names-its-cluster",
        ),
        pytest.param(
            "custom.googleapis.com/x",
            {"resource_type": "k8s_pod", "filter": "a = 1 OR b = 2"},
            'resource.type = "k8s_pod" AND resource.labels.cluster_name = "c" AND resource.labels.location = "l"'
            " AND (a = 1 OR b = 2)",
            id="alternatives-are-bracketed",
        ),
    ],
)
def test_filters_keep_to_the_cluster(metric_type, cloud, expected):
    query = None if cloud is None else CloudQuery(metric_type=metric_type, **cloud)
    told = filter_of(metric_type, query, cluster="c", location="l")
    assert told == f'metric.type = "{metric_type}"' + (f" AND {expected}" if expected else "")


@pytest.mark.parametrize(
    ("filter_text", "project"),
    [
        ("", "mine"),
        ('resource.labels.project_id = "yours"', "yours"),
        ('a = 1 AND resource.label.project_id="yours-2"', "yours-2"),
    ],
)
def test_a_filter_can_name_another_project(filter_text, project):
    assert project_of(CloudQuery(metric_type="x", filter=filter_text), "mine") == project


@pytest.mark.parametrize(
    ("kind", "value_type", "aligner", "seconds"),
    [
        ("GAUGE", "DOUBLE", "ALIGN_NEXT_OLDER", 300),
        ("CUMULATIVE", "INT64", "ALIGN_RATE", 60),
        ("DELTA", "DISTRIBUTION", "ALIGN_DELTA", 60),
    ],
)
def test_reducers_are_aligned_as_in_the_stackdriver_adapter(kind, value_type, aligner, seconds):
    cloud = CloudQuery(metric_type="x", reducer="REDUCE_MEAN")
    rule = Rule(name="m", value=Latest(()), cloud=cloud)
    found = aggregation_of(rule, metric_kind=kind, value_type=value_type, window_seconds=300)
    assert (found.per_series_aligner, found.cross_series_reducer, found.period_seconds) == (
        aligner,
        "REDUCE_MEAN",
        seconds,
    )


@pytest.mark.parametrize(
    ("metric_type", "visible_to", "groups"),
    [
        (f"{GMP}t/histogram", (), ("resource.label.namespace",)),
        ("kubernetes.io/container/accelerator/duty_cycle", (), ("resource.label.namespace_name",)),
        (f"{GMP}t/histogram", ("*",), ()),
        ("pubsub.googleapis.com/subscription/x", (), ()),
    ],
)
def test_one_namespaces_series_are_not_reduced_together_with_anothers(metric_type, visible_to, groups):
    """The result would be no namespace's, and so everybody's to read; unless the rule is."""
    cloud = CloudQuery(metric_type=metric_type, reducer="REDUCE_PERCENTILE_95")
    rule = Rule(name="m", value=Latest(()), cloud=cloud, visible_to=visible_to)
    found = aggregation_of(rule, metric_kind="DELTA", value_type="DISTRIBUTION", window_seconds=300)
    assert found.group_by_fields == groups


def test_no_reducer_means_raw_points():
    assert not is_reduced(CloudQuery(metric_type="x", reducer="REDUCE_NONE"))
    assert not is_reduced(None)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_text_ends_where_it_should(text):
    inner = quoted(text)[1:-1]
    at = 0
    while at < len(inner):
        assert inner[at] != '"'
        at += 2 if inner[at] == "\\" else 1
    assert at == len(inner)


def test_the_budget_lets_a_collections_share_through_at_once_and_refills():
    budget = Budget(per_minute=6, interval_seconds=20.0)
    assert [budget.try_take(0.0) for _ in range(3)] == [True, True, False]
    assert [budget.try_take(10.0) for _ in range(2)] == [True, False]
    assert sum(budget.try_take(1000.0) for _ in range(5)) == 2


def test_calls_that_had_to_be_made_are_saved_later():
    budget = Budget(per_minute=60, interval_seconds=2.0)
    for _ in range(4):
        budget.take(0.0)
    assert not budget.try_take(2.5)
    assert budget.try_take(3.0)


@given(st.lists(st.floats(0.0, 30.0), min_size=1, max_size=200), st.integers(1, 120))
def test_no_minute_sees_more_calls_than_budget_and_burst(waits, per_minute):
    budget = Budget(per_minute=per_minute, interval_seconds=30.0)
    now, taken = 0.0, []
    for wait in waits:
        now += wait
        if budget.try_take(now):
            taken.append(now)
    burst = max(1.0, per_minute / 2)
    assert all(sum(at <= one < at + 60.0 for one in taken) <= per_minute + burst + 1e-6 for at in taken)
