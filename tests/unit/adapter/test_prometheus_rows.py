"""Rows as series: whose they are, when they were true, and what is left out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.pods import PodInfo
from adapter.sources.prometheus.answer import parse_answer
from adapter.sources.prometheus.labels import LabelCache
from adapter.sources.prometheus.promql import Query
from adapter.sources.prometheus.rows import Limits, Shown, exporters_in, series_of
from adapter.sources.prometheus.shares import shares_of
from adapter.sources.series import NS_PER_SECOND, PodKey
from adapter.store import namespace_of

NOW_NS = 1_000_000 * NS_PER_SECOND
NOW = NOW_NS // NS_PER_SECOND
PODS = {
    PodKey("llm", "vllm-0"): PodInfo(),
    PodKey("llm", "vllm-1"): PodInfo(),
    PodKey("gpu-operator", "dcgm-x"): PodInfo(),
}
LIMITS = Limits(series=10, labels=8, label_value=20)
RAW = Query("x[120s]", names=("new", "old"))
PAIRED = Query("rate(x[60s]) or ...", 60, timed=True)


def row(value, at=NOW - 5, **labels):
    return {"metric": {"namespace": "llm", "pod": "vllm-0", **labels}, "value": [at, str(value)]}


def parsed(rows, kind="vector", indent=None, remembered=100):
    document = {"status": "success", "data": {"resultType": kind, "result": rows}}
    separators = None if indent else (",", ":")
    text = json.dumps(document, indent=indent, separators=separators)
    return parse_answer(text.encode(), LabelCache(limit=remembered), where="here")


def labels_of(labels):
    (one,) = parsed([{"metric": labels, "value": [NOW, "1"]}]).rows
    return one.labels


def found(rows, query=RAW, *, exporters=(), pods=PODS, metric="", **others):
    shown = Shown(pods, exporters, **others)
    return series_of(parsed(rows).rows, query, shown, now_ns=NOW_NS, limits=LIMITS, metric=metric)


def test_the_newest_sample_of_a_range_counts_at_its_own_time():
    rows = [{"metric": {"namespace": "llm", "pod": "vllm-0"}, "values": [[NOW - 20, "1"], [NOW - 5.25, "2"]]}]
    (series,) = found(rows).series
    assert (series.value, series.at_ns) == (2.0, NOW_NS - 5_250_000_000)


def test_buckets_of_one_histogram_become_one_share():
    """Two engines, of which one answered nothing; the buckets come in any order."""
    buckets = [
        row(value, le=le, engine=engine)
        for engine, counts in (("0", (0.5, 0.2, 1.0)), ("1", (0, 0, 0)))
        for le, value in zip(("1.0", "0.5", "+Inf"), counts, strict=True)
    ]
    query = Query("rate(h_bucket[60s]) or ...", 60, timed=True, share_above=0.75)
    busy, idle = found([*buckets, row(NOW - 20, leadtime_part="time")], query).series
    assert (busy.labels, busy.value) == ({"engine": "0"}, pytest.approx(1 - 0.35))
    assert (busy.at_ns, busy.window_seconds) == (NOW_NS - 20 * NS_PER_SECOND, 60)
    assert (idle.labels, idle.value, idle.is_quiet) == ({"engine": "1"}, None, True)


def test_a_histogram_stays_whole_where_its_labels_are_read_anew():
    """A cache of labels that is full forgets all of them, in the middle of an answer too."""
    buckets = [row(value, le=le) for le, value in (("1.0", 0.5), ("2.0", 1.0), ("+Inf", 1.0))]
    rows = parsed(buckets, remembered=1).rows
    assert [one.value for one in shares_of(rows, 1.0)] == [0.5]


def test_a_time_in_the_future_is_now():
    assert found([row(1, at=NOW + 60)]).series[0].at_ns == NOW_NS


def test_values_find_the_times_of_their_pod_and_target():
    rows = [
        row(1.5, engine="0", instance="a:1"),
        row(2.5, engine="1", instance="a:1"),
        row(NOW - 7.5, instance="a:1", leadtime_part="time"),
    ]
    series = found(rows, PAIRED).series
    assert [(one.value, one.at_ns, one.window_seconds) for one in series] == [
        (1.5, NOW_NS - 7_500_000_000, 60),
        (2.5, NOW_NS - 7_500_000_000, 60),
    ]
    assert [dict(one.labels) for one in series] == [
        {"engine": "0", "instance": "a:1"},
        {"engine": "1", "instance": "a:1"},
    ]


def test_a_rate_of_a_series_that_has_ended_is_left_out():
    """Its window still holds samples, but nothing is true of it now."""
    result = found([row(1.5)], PAIRED)
    assert (result.series, result.notes) == ([], {"ended": 1})


def test_a_counter_seen_once_says_why_it_has_no_rate():
    (series,) = found([row(NOW - 5, leadtime_part="time", instance="a:1")], PAIRED).series
    assert (series.pod, series.value, series.why) == (
        PodKey("llm", "vllm-0"),
        None,
        "needs two samples within 60 s",
    )


@pytest.mark.parametrize(("text", "why"), [("NaN", "NaN"), ("+Inf", "+Inf"), ("-Inf", "-Inf")])
def test_what_is_no_number_is_no_value(text, why):
    (series,) = found([row(text)]).series
    assert (series.value, series.why) == (None, why)


def test_each_pod_is_read_under_its_newest_name():
    """While an upgrade rolls out, one pod shows both names and another only the old one."""
    rows = [
        row(1, __name__="old"),
        row(2, __name__="new"),
        row(3, __name__="old", pod="vllm-1"),
    ]
    assert {one.pod.name: one.value for one in found(rows).series} == {"vllm-0": 2.0, "vllm-1": 3.0}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"namespace": "a", "pod": "p"}, PodKey("a", "p"), id="the-target"),
        pytest.param(
            {"namespace": "gpu-operator", "pod": "dcgm-x", "exported_namespace": "llm", "exported_pod": "vllm-0"},
            PodKey("llm", "vllm-0"),
            id="the-workload-wins-over-the-exporter",
        ),
        pytest.param(
            {"namespace": "a", "pod": "p", "exported_namespace": "b"},
            PodKey("a", "p"),
            id="a-pages-own-namespace-label-alone-is-no-pod",
        ),
        pytest.param({"namespace": "a", "pod": "p", "exported_pod": ""}, PodKey("a", "p"), id="empty-is-absent"),
        pytest.param({"pod": "p"}, None, id="a-pod-without-a-namespace-is-none"),
        pytest.param({"queue": "q"}, None, id="no-pod"),
    ],
)
def test_attribution(labels, expected):
    assert labels_of(labels).pod == expected


def test_a_tenants_page_that_names_anothers_pod_is_its_own():
    """Any page may carry pod= and namespace=, which Prometheus moves to exported_*: only exporters are believed."""
    liar = labels_of({"namespace": "b", "pod": "p", "exported_namespace": "llm", "exported_pod": "vllm-0", "UUID": "G"})
    assert (liar.pod, liar.exporter) == (PodKey("b", "p"), None)
    assert liar.own == {"exported_namespace": "llm", "exported_pod": "vllm-0", "UUID": "G"}
    its_own = labels_of({"namespace": "b", "pod": "p", "exported_pod": "q"})
    assert (its_own.pod, its_own.exporter) == (PodKey("b", "q"), PodKey("b", "p"))


def test_a_row_of_no_pod_says_its_namespace():
    """Or it would belong to nobody, and every namespace could read it."""
    rows = [{"metric": {"namespace": "llm", "queue": "q"}, "value": [NOW, "7"]}]
    (series,) = found(rows).series
    assert (series.pod, namespace_of(series)) == (None, "llm")


def test_pods_that_do_not_exist_are_dropped_and_series_of_no_pod_stay():
    rows = [row(1, pod="gone"), {"metric": {"queue": "q"}, "value": [NOW, "7"]}]
    assert [(one.pod, one.value) for one in found(rows).series] == [(None, 7.0)]


def test_an_idle_gpu_is_not_the_exporters():
    busy = row(90, namespace="gpu-operator", pod="dcgm-x", exported_namespace="llm", exported_pod="vllm-0", gpu="0")
    idle = row(0, namespace="gpu-operator", pod="dcgm-x", gpu="1")
    exporters = exporters_in(parsed([busy, idle]).rows)
    assert exporters == {PodKey("gpu-operator", "dcgm-x")}
    assert [one.pod.name for one in found([busy, idle], exporters=exporters).series] == ["vllm-0"]


def test_a_node_with_only_idle_gpus_is_known_by_its_exporters_labels():
    pods = {PodKey("gpu-operator", "dcgm-x"): PodInfo(labels={"app": "nvidia-dcgm-exporter"})}
    idle = row(0, namespace="gpu-operator", pod="dcgm-x", gpu="1")
    assert found([idle], pods=pods, is_gpu_exporter=True).series == []
    assert len(found([idle], pods=pods).series) == 1


def test_a_gpu_that_two_pods_share_is_nobodys():
    """Time sharing: each pod's line shows the whole GPU."""
    whole = {"namespace": "gpu-operator", "pod": "dcgm-x", "exported_namespace": "llm", "UUID": "GPU-1"}
    shared = [row(90, **whole, exported_pod=name) for name in ("vllm-0", "vllm-1")]
    alone = row(50, **{**whole, "UUID": "GPU-2"}, exported_pod="vllm-0")
    series = found([*shared, alone], Query("x[120s]"), metric="DCGM_FI_DEV_GPU_UTIL").series
    assert [one.value for one in series] == [None, None, 50.0]
    assert series[0].why == "shared GPU: not attributable to one pod"


def test_a_page_that_two_jobs_scrape_counts_once():
    result = found([row(3, job="pods", instance="10.0.0.1:8000"), row(3, job="monitor", instance="10.0.0.1:8000")])
    assert ([one.value for one in result.series], result.notes) == ([3.0], {"duplicate": 1})


def test_two_pages_of_a_pod_both_count():
    rows = [row(3, job="pods", instance=f"10.0.0.1:{port}") for port in (8000, 8001)]
    assert [one.value for one in found(rows).series] == [3.0, 3.0]


@pytest.mark.parametrize("timed", [False, True])
def test_a_pod_that_was_replaced_under_its_name_counts_once(timed):
    """Prometheus tells the old one's last samples for as long as they are looked back for."""
    rows = [
        row(50, at=NOW - 90, instance="10.0.0.1:8000"),
        row(2, instance="10.0.0.2:8000"),
        row(NOW - 90, instance="10.0.0.1:8000", leadtime_part="time"),
        row(NOW - 5, instance="10.0.0.2:8000", leadtime_part="time"),
    ]
    assert [one.value for one in found(rows if timed else rows[:2], PAIRED if timed else RAW).series] == [2.0]


def test_a_gpu_counts_once_when_its_exporter_was_restarted():
    gpu = {"namespace": "gpu-operator", "exported_namespace": "llm", "exported_pod": "vllm-0", "UUID": "GPU-1"}
    rows = [
        row(70, at=NOW - 60, pod="dcgm-old", instance="10.0.9.1:9400", **gpu),
        row(80, pod="dcgm-x", instance="10.0.9.2:9400", **gpu),
    ]
    assert [one.value for one in found(rows, Query("x[120s]")).series] == [80.0]


def test_the_first_of_two_series_with_the_same_labels_stays():
    result = found([row(1), row(2)])
    assert ([one.value for one in result.series], result.notes) == ([1.0], {"duplicate": 1})


def test_series_beyond_the_limits_are_cut_and_counted():
    many = [row(1, engine=str(engine)) for engine in range(12)]
    assert found(many).notes == {"limit": 2}
    assert [one.value for one in found(many).series] == [1.0] * 10 + [None]  # so that the pod's sum is not told
    wide = row(1, **{f"l{index}": "x" for index in range(9)})
    long = row(1, text="x" * 21)
    (missing,) = found([wide, long]).series
    assert (missing.pod, missing.value, found([wide, long]).notes) == (PodKey("llm", "vllm-0"), None, {"limit": 2})


def test_an_explosion_of_labels_costs_the_pod_that_has_it_and_no_other():
    many = [row(1, engine=str(engine)) for engine in range(12)]
    series = found([*many, row(5, pod="vllm-1")]).series
    assert [one.value for one in series if one.pod.name == "vllm-1"] == [5.0]
    assert None in [one.value for one in series if one.pod.name == "vllm-0"]


@pytest.mark.parametrize(
    "bad",
    [
        7,
        {},
        {"metric": {}, "value": [1]},
        {"metric": [], "value": [1, "1"]},
        {"metric": {"a": 1}, "value": [1, "1"]},
        {"metric": {}, "values": []},
        {"metric": {}, "value": [1, "x"]},
        {"metric": {}, "histogram": [1, {}]},
    ],
)
def test_rows_of_another_shape_are_counted(bad):
    answer = parsed([bad, row(1)])
    assert (len(answer.rows), answer.malformed) == (1, 1)


LABELS = st.dictionaries(st.text(max_size=5), st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=4)
NUMBERS = st.floats() | st.sampled_from([1e300, 1e-300, 0.0])


@given(st.lists(st.tuples(LABELS, st.lists(NUMBERS, min_size=1, max_size=3)), max_size=5), st.sampled_from([None, 1]))
def test_rows_are_read_as_json_is(rows, indent):
    """The fast way of reading plain rows agrees with a JSON decoder, whatever the labels hold."""
    items = [
        {"metric": labels, "values": [[NOW - 5 + index, repr(value)] for index, value in enumerate(values)]}
        for labels, values in rows
    ]
    answer = parsed(items, "matrix", indent)
    assert answer.malformed == 0
    for (labels, values), one in zip(rows, answer.rows, strict=True):
        own = {key: value for key, value in labels.items() if key not in ("pod", "namespace")}
        assert dict(one.labels.own) == own
        assert repr(one.value) == repr(float(values[-1]))
        assert one.at_ms == (NOW - 5 + len(values) - 1) * 1000


def test_label_sets_are_read_once_and_forgotten_beyond_the_limit():
    cache = LabelCache(limit=2)
    first = cache.of('{"a":"1"}')
    assert cache.of('{"a":"1"}') is first
    assert first is not None
    assert cache.of('{"a":"1","pod":"p"}').own is first.own
    cache.of('{"a":"2"}')
    assert cache.of('{"a":"1"}') is not first
