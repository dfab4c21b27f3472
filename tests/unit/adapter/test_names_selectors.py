"""Metric selectors: what each kind of name allows, and reducers."""

import math
import statistics
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.api.selector import BadSelector
from adapter.names.selectors import Api, metric_selector
from adapter.names.view import PLAIN, View
from adapter.sources.reducers import OF_NUMBERS, PERCENTILES, reduce_series

STACKDRIVER = View("stackdriver", "k8s_container")
SHOWN = {
    "metric.labels.make": "nvidia",
    "resource.type": "k8s_container",
    "resource.labels.container_name": "inference-server",
    "resource.labels.namespace_name": "default",
    "resource.labels.project_id": "p",
    "metadata.user_labels.app": "vllm",
    "metadata.system_labels.node_name": "n1",
}


@pytest.mark.parametrize(
    ("api", "text", "matches"),
    [
        (
            "external",
            "resource.labels.container_name=inference-server,resource.labels.namespace_name=default",
            True,
        ),
        ("external", "metadata.user_labels.app=vllm", True),
        ("external", "metadata.system_labels.node_name in (n1,n2)", True),
        ("external", "resource.type=k8s_container", True),
        ("external", "resource.type!=k8s_container", False),
        ("external", "metric.labels.make", True),
        ("external", "metric.labels.core>3", False),
        ("custom", "metric.labels.make=nvidia", True),
        ("custom", "metric.labels.make notin (nvidia)", False),
    ],
)
def test_stackdriver_selectors_match_the_views_labels(api: Api, text: str, matches: bool) -> None:
    read = metric_selector(text, view=STACKDRIVER, api=api)
    assert read.selector.matches(SHOWN) is matches


@pytest.mark.parametrize(
    ("api", "text", "message"),
    [
        ("external", "app=vllm", 'Metric label: "app" is not allowed'),
        ("external", "metric.label.make=x", 'Metric label: "metric.label.make" is not allowed'),
        ("external", "metric.labels=x", 'Metric label: "metric.labels" is not allowed'),
        ("external", "resource.type", 'Metric label: "resource.type" is not allowed'),
        ("external", "!metric.labels.make", "Label selector with operator DoesNotExist is not allowed"),
        ("custom", "resource.type=x", 'Metric label: "resource.type" is not allowed'),
        ("custom", "resource.labels.pod_name=x", 'Metric label: "resource.labels.pod_name" is not allowed'),
        ("custom", "metadata.user_labels.app=x", 'Metric label: "metadata.user_labels.app" is not allowed'),
        (
            "custom",
            "reducer in (REDUCE_SUM)",
            "Metric label: \"Reducer must use '=' or '==': You used in\" is not allowed",
        ),
        ("external", "reducer=sum", 'Metric label: "Specified reducer is not supported: sum" is not allowed'),
        (
            "external",
            "resource.labels.project_id in (a)",
            "Metric label: \"Project selector must use '=' or '==': You used in\" is not allowed",
        ),
        (
            "external",
            "reducer=REDUCE_COUNT_TRUE",
            "reducer: was REDUCE_COUNT_TRUE, which counts truth values, and metrics are numbers",
        ),
    ],
)
def test_what_a_stackdriver_name_does_not_allow_is_refused_in_the_adapters_words(
    api: Api, text: str, message: str
) -> None:
    with pytest.raises(BadSelector) as caught:
        metric_selector(text, view=STACKDRIVER, api=api)
    assert str(caught.value) == message


def test_the_reducer_leaves_the_selector() -> None:
    read = metric_selector("reducer=REDUCE_MAX,metric.labels.make=nvidia", view=STACKDRIVER, api="custom")
    assert (read.reducer, len(read.selector.requirements)) == ("REDUCE_MAX", 1)
    assert metric_selector("reducer=REDUCE_NONE", view=STACKDRIVER, api="external").reducer == ""


def test_answers_repeat_the_whole_selector() -> None:
    read = metric_selector("reducer=REDUCE_MAX,metric.labels.make=nvidia", view=STACKDRIVER, api="custom")
    assert read.as_label_selector == {"matchLabels": {"reducer": "REDUCE_MAX", "metric.labels.make": "nvidia"}}
    assert read.reduce is not None
    assert read.reduce([1.0, 3.0]) == 3.0
    assert metric_selector("", view=PLAIN, api="custom").as_label_selector is None


def test_a_long_selector_is_read_as_a_short_one_is() -> None:
    read = metric_selector(f"a notin ({','.join(f'v{n}' for n in range(400))})", view=PLAIN, api="external")
    assert read.selector.matches({"a": "w"})
    assert not read.selector.matches({"a": "v399"})


def test_a_project_is_named_and_stays_a_condition() -> None:
    read = metric_selector("resource.labels.project_id=q", view=STACKDRIVER, api="external")
    assert read.project == "q"
    assert not read.selector.matches(SHOWN)


def test_under_a_plain_name_every_label_and_operator_may_be_used() -> None:
    read = metric_selector("app=vllm,!shard,reducer=REDUCE_MEAN", view=PLAIN, api="custom")
    assert read.reducer == "REDUCE_MEAN"
    assert read.selector.matches({"app": "vllm"})


def test_under_a_plain_name_reducer_may_be_an_ordinary_label() -> None:
    read = metric_selector("reducer=beam", view=PLAIN, api="external")
    assert read.reducer == ""
    assert read.selector.matches({"reducer": "beam"})


@pytest.mark.parametrize(
    ("reducer", "values", "reduced"),
    [
        ("REDUCE_SUM", [60.0, 40.0], 100.0),
        ("REDUCE_MEAN", [60.0, 40.0], 50.0),
        ("REDUCE_MIN", [60.0, 40.0], 40.0),
        ("REDUCE_MAX", [60.0, 40.0], 60.0),
        ("REDUCE_COUNT", [60.0, 40.0], 2.0),
        ("REDUCE_STDDEV", [60.0, 40.0], 10.0),
        ("REDUCE_PERCENTILE_50", [1.0, 2.0, 10.0], 2.0),
        ("REDUCE_PERCENTILE_95", [0.0, 100.0], 95.0),
        ("REDUCE_PERCENTILE_05", [7.0], 7.0),
    ],
)
def test_reducers(reducer: str, values: list[float], reduced: float) -> None:
    assert reduce_series(reducer, values) == pytest.approx(reduced)


VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30)


@given(VALUES)
def test_percentiles_are_numpys_and_deviations_the_populations(values: list[float]) -> None:
    for reducer, percent in PERCENTILES.items():
        assert reduce_series(reducer, values) == pytest.approx(np.percentile(values, percent), rel=1e-9, abs=1e-6)
    assert reduce_series("REDUCE_STDDEV", values) == pytest.approx(statistics.pstdev(values), rel=1e-6, abs=1e-6)


@given(VALUES, st.sampled_from(sorted(OF_NUMBERS)), st.randoms(use_true_random=False))
def test_the_order_of_series_does_not_matter(values: list[float], reducer: str, random: Random) -> None:
    mixed = list(values)
    random.shuffle(mixed)
    assert math.isclose(reduce_series(reducer, mixed), reduce_series(reducer, values), rel_tol=1e-12, abs_tol=1e-9)
