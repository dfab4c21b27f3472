"""The Cloud Monitoring source against a gRPC server that implements the MetricService from the library's own stubs."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from google.api import metric_pb2
from google.cloud.monitoring_v3 import types
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from adapter.sources.cloud_monitoring.settings import CloudMonitoringSettings
from adapter.sources.cloud_monitoring.source import CloudMonitoringSource
from adapter.sources.pods import PodInfo
from adapter.sources.rule import CloudQuery, Latest, Quantile, Rate, Ratio, Rule, Share, Total
from adapter.sources.series import NS_PER_SECOND, PodKey
from adapter.sources.source import SourceUnavailable

NOW = 1_800_000_000
NOW_NS = NOW * NS_PER_SECOND
PODS = {PodKey("llm", name): PodInfo() for name in ("vllm-0", "vllm-1")}
GMP = "prometheus.googleapis.com/"
TARGET = {"cluster": "c", "location": "l", "namespace": "llm", "job": "vllm", "instance": "vllm-0:metrics"}
WAITING = Rule(name="waiting", value=Latest(("vllm:waiting",)))
Kind = metric_pb2.MetricDescriptor.MetricKind
ValueType = metric_pb2.MetricDescriptor.ValueType


def series(metric_type, *points, labels=None, resource=None, resource_type="prometheus_target", kind="GAUGE"):
    """points: (seconds before now, value) or (start, end, value), newest first as the API gives them."""
    raw = types.TimeSeries.pb(types.TimeSeries())
    raw.metric.type, raw.resource.type = metric_type, resource_type
    raw.metric.labels.update({"pod": "vllm-0"} if labels is None else labels)
    raw.resource.labels.update(TARGET if resource is None else resource)
    raw.metric_kind = Kind.Value(kind)
    for *when, value in points:
        point = raw.points.add()
        point.interval.end_time.seconds, point.interval.end_time.nanos = divmod(
            NOW_NS - round(when[-1] * NS_PER_SECOND), NS_PER_SECOND
        )
        point.interval.start_time.seconds = NOW - int(when[0])
        if isinstance(value, tuple):
            bounds, counts = value
            distribution = point.value.distribution_value
            distribution.bucket_options.explicit_buckets.bounds.extend(bounds)
            distribution.bucket_counts.extend(counts)
            distribution.count, distribution.mean = sum(counts), 0.5
            raw.value_type = ValueType.DISTRIBUTION
        elif isinstance(value, str):
            point.value.string_value, raw.value_type = value, ValueType.STRING
        elif isinstance(value, int):
            point.value.int64_value, raw.value_type = value, ValueType.INT64
        else:
            point.value.double_value, raw.value_type = value, ValueType.DOUBLE
    return raw


@dataclass
class FakeMonitoring:
    """Holds series; answers by the equalities of a filter. requests: as they came. next_errors: go first."""

    series: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    next_errors: list[Callable[[grpc.ServicerContext], None]] = field(default_factory=list)
    always: Callable[[grpc.ServicerContext], None] | None = None
    reduced: object = None
    released: threading.Event = field(default_factory=threading.Event)

    def list_time_series(self, request: types.ListTimeSeriesRequest, context: grpc.ServicerContext):
        self.requests.append(request)
        self._fail(context)
        terms = dict(re.findall(r'([\w.]+) = "([^"]*)"', request.filter))
        of_type = [one for one in self.series if one.metric.type == terms["metric.type"]]
        if not of_type:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Cannot find metric(s) that match type = {terms['metric.type']}")
        answer = types.ListTimeSeriesResponse.pb(types.ListTimeSeriesResponse())
        found = [self.reduced] if request.aggregation.cross_series_reducer else list(filter(self._is(terms), of_type))
        # Pages are of points, so one may end amid a series.
        points = [(index, point) for index, one in enumerate(found) for point in one.points]
        start = int(request.page_token or 0)
        for index, point in points[start : start + request.page_size]:
            if not answer.time_series or answer.time_series[-1].metric != found[index].metric:
                part = answer.time_series.add()
                part.CopyFrom(found[index])
                del part.points[:]
            answer.time_series[-1].points.append(point)
        if start + request.page_size < len(points):
            answer.next_page_token = str(start + request.page_size)
        return types.ListTimeSeriesResponse(answer)

    def get_metric_descriptor(self, request: types.GetMetricDescriptorRequest, context: grpc.ServicerContext):
        self.requests.append(request)
        self._fail(context)
        for one in self.series:
            if request.name.endswith(f"/metricDescriptors/{one.metric.type}"):
                return metric_pb2.MetricDescriptor(metric_kind=one.metric_kind, value_type=one.value_type)
        return context.abort(grpc.StatusCode.NOT_FOUND, "no such metric")

    def _fail(self, context: grpc.ServicerContext) -> None:
        if self.next_errors:
            self.next_errors.pop(0)(context)
        elif self.always is not None:
            self.always(context)

    @staticmethod
    def _is(terms):
        def matches(one) -> bool:
            there = {"resource.type": one.resource.type}
            there |= {f"resource.labels.{key}": value for key, value in one.resource.labels.items()}
            return all(there.get(key) == value for key, value in terms.items() if key.startswith("resource."))

        return matches

    @contextmanager
    def serve(self) -> Iterator[str]:
        methods = {
            "ListTimeSeries": grpc.unary_unary_rpc_method_handler(
                self.list_time_series,
                request_deserializer=types.ListTimeSeriesRequest.deserialize,
                response_serializer=types.ListTimeSeriesResponse.serialize,
            ),
            "GetMetricDescriptor": grpc.unary_unary_rpc_method_handler(
                self.get_metric_descriptor,
                request_deserializer=types.GetMetricDescriptorRequest.deserialize,
                response_serializer=metric_pb2.MetricDescriptor.SerializeToString,
            ),
        }
        server = grpc.server(futures.ThreadPoolExecutor(4))
        service = grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", methods)
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            self.released.set()
            server.stop(0).wait()


def abort(code: grpc.StatusCode, message: str):
    return lambda context: context.abort(code, message)


def throttle(context: grpc.ServicerContext) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=7, nanos=500_000_000)))
    status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="Quota exceeded")
    status.details.append(detail)
    context.abort_with_status(rpc_status.to_status(status))


@contextmanager
def source_of(fake: FakeMonitoring, monotonic=None, **settings) -> Iterator[CloudMonitoringSource]:
    with fake.serve() as endpoint:
        given = {"project": "p", "cluster": "c", "location": "l", "concurrency": 1, "plaintext": True, **settings}
        clock = {} if monotonic is None else {"monotonic": monotonic}
        source = CloudMonitoringSource(CloudMonitoringSettings(endpoint=endpoint, **given), **clock)
        try:
            yield source
        finally:
            asyncio.run(source.close())


def collect(source, *rules, pods=PODS):
    return asyncio.run(source.collect(rules, pods, NOW_NS))


def values(reading, rule) -> dict:
    return {one.pod and one.pod.name: one.value for one in reading.series[rule]}


@pytest.fixture
def fake():
    return FakeMonitoring()


def test_the_newest_raw_point_counts_at_its_own_time(fake):
    fake.series = [series(f"{GMP}vllm:waiting/gauge", (12.5, 3.0), (27, 9.0), labels={"pod": "vllm-0", "model": "a"})]
    with source_of(fake) as source:
        reading = collect(source, WAITING)
    (one,) = reading.series["waiting"]
    assert (one.pod, one.value, one.at_ns) == (PodKey("llm", "vllm-0"), 3.0, NOW_NS - 12_500_000_000)
    assert dict(one.labels) == {"model": "a"}
    assert dict(one.resource_labels) == {**TARGET, "type": "prometheus_target"}
    (request,) = fake.requests
    assert (request.name, "aggregation" in request) == ("projects/p", False)
    assert reading.queries["waiting"].startswith(f'projects/p: metric.type = "{GMP}vllm:waiting/gauge" AND')


def test_one_call_serves_all_pods_of_the_cluster(fake):
    pods = {PodKey("llm", f"vllm-{index}"): PodInfo() for index in range(300)}
    fake.series = [
        series(f"{GMP}vllm:waiting/gauge", (5, index), labels={"pod": f"vllm-{index}"}) for index in range(300)
    ]
    with source_of(fake) as source:
        assert len(values(collect(source, WAITING, pods=pods), "waiting")) == 300
    assert len(fake.requests) == 1


def test_pages_are_followed_and_a_series_split_between_two_is_one(fake):
    fake.series = [
        series(
            f"{GMP}n_total/counter",
            *((10_000, 5 + 10 * step, float(900 - 100 * step)) for step in range(6)),
            labels={"pod": f"vllm-{pod}"},
            kind="CUMULATIVE",
        )
        for pod in range(2)
    ]
    rule = Rule(name="rate", value=Rate(("n_total",), 300), kind="counter")
    with source_of(fake, page_size=10) as source:
        assert values(collect(source, rule), "rate") == {"vllm-0": 10.0, "vllm-1": 10.0}
    assert [request.page_token for request in fake.requests] == ["", "10"]


def test_other_clusters_and_pods_that_are_gone_are_left_out(fake):
    fake.series = [
        series(f"{GMP}vllm:waiting/gauge", (5, 1), labels={"pod": "gone"}),
        series(f"{GMP}vllm:waiting/gauge", (5, 2), labels={"pod": "vllm-1"}, resource={**TARGET, "cluster": "d"}),
        series(f"{GMP}vllm:waiting/gauge", (5, 3)),
    ]
    with source_of(fake) as source:
        assert values(collect(source, WAITING), "waiting") == {"vllm-0": 3.0}


def test_gkes_own_metrics_are_of_the_pod_of_their_resource(fake):
    metric_type = "kubernetes.io/container/accelerator/duty_cycle"
    resource = {"cluster_name": "c", "location": "l", "namespace_name": "llm", "pod_name": "vllm-1"}
    fake.series = [
        series(
            metric_type, (70, 55), labels={"accelerator_id": str(gpu)}, resource=resource, resource_type="k8s_container"
        )
        for gpu in range(2)
    ]
    rule = Rule(name="duty", value=Latest(("DCGM_FI_DEV_GPU_UTIL",)), cloud=CloudQuery(metric_type=metric_type))
    with source_of(fake) as source:
        found = collect(source, rule).series["duty"]
    assert [(one.pod.name, one.value, one.labels["accelerator_id"]) for one in found] == [
        ("vllm-1", 55.0, "0"),
        ("vllm-1", 55.0, "1"),
    ]
    assert found[0].at_ns == NOW_NS - 70 * NS_PER_SECOND


def test_the_workload_wins_over_its_exporter_and_an_idle_gpu_is_nobodys(fake):
    busy = {"pod": "dcgm-exporter-x", "exported_pod": "vllm-0", "exported_namespace": "llm", "UUID": "GPU-0"}
    resource = {**TARGET, "namespace": "gke-managed-system", "job": "dcgm-exporter"}
    fake.series = [
        series(f"{GMP}DCGM/unknown", (5, 80.0), labels=busy, resource=resource),
        series(f"{GMP}DCGM/unknown", (5, 0.0), labels={"pod": "dcgm-exporter-x", "UUID": "GPU-1"}, resource=resource),
    ]
    pods = {**PODS, PodKey("gke-managed-system", "dcgm-exporter-x"): PodInfo()}
    with source_of(fake) as source:
        assert values(collect(source, Rule(name="g", value=Latest(("DCGM",))), pods=pods), "g") == {"vllm-0": 80.0}
    assert len(fake.requests) == 2  # as a gauge, which it is not, then as unknown


def test_a_tenants_page_that_names_anothers_pod_is_its_own(fake):
    lie = {"pod": "p", "exported_pod": "vllm-0", "exported_namespace": "llm"}
    fake.series = [series(f"{GMP}queue/gauge", (5, 1e6), labels=lie, resource={**TARGET, "namespace": "team-b"})]
    pods = {**PODS, PodKey("team-b", "p"): PodInfo()}
    with source_of(fake) as source:
        (found,) = collect(source, Rule(name="q", value=Latest(("queue",))), pods=pods).series["q"]
    assert found.pod == PodKey("team-b", "p")
    assert found.labels == {"exported_pod": "vllm-0", "exported_namespace": "llm"}


def test_types_that_do_not_exist_leave_nothing_behind(fake):
    """Names come from requests: what is remembered of a wrong one is forgotten when it may be asked again."""
    now = [0.0]
    with source_of(fake, monotonic=lambda: now[0]) as source:
        for minute in range(20):
            now[0] = minute * 600.0
            collect(
                source, Rule(name="x", value=Latest((f"typo_{minute}",)), cloud=CloudQuery(metric_type=f"a/{minute}"))
            )
        assert len(source._absent_until) == 1


def test_a_pod_counts_under_its_newest_name(fake):
    fake.series = [
        series(f"{GMP}old/gauge", (5, 1.0)),
        series(f"{GMP}old/gauge", (5, 2.0), labels={"pod": "vllm-1"}),
        series(f"{GMP}new/gauge", (5, 3.0)),
    ]
    with source_of(fake) as source:
        reading = collect(source, Rule(name="kv", value=Latest(("new", "old"))))
    assert values(reading, "kv") == {"vllm-0": 3.0, "vllm-1": 2.0}


def test_derived_values(fake):
    def histogram(before, counts):
        return series(
            f"{GMP}t/histogram", (1000, 5, ((0.1, 0.2), counts)), (1000, 65, ((0.1, 0.2), before)), kind="CUMULATIVE"
        )

    fake.series = [
        histogram((100,), (150, 50)),  # trailing zeros left out, as the API may
        series(f"{GMP}us/counter", (1000, 5, 9000), (1000, 65, 3000), kind="CUMULATIVE"),
        series(f"{GMP}done/counter", (1000, 5, 130), (1000, 65, 100), kind="CUMULATIVE"),
        series(f"{GMP}running/gauge", (5, 4)),
        series(f"{GMP}waiting/gauge", (8, 10)),
    ]
    rules = [
        Rule(name="p75", value=Quantile(("t",), 0.75, 60), kind="histogram"),
        Rule(name="missed", value=Share(("t",), 0.15, 60), kind="histogram"),
        Rule(name="count", value=Latest(("t_count",)), kind="histogram"),
        Rule(name="mean", value=Ratio(("t_sum",), ("t_count",), 60), kind="histogram"),
        Rule(name="queue", value=Ratio(("us",), ("done",), 60), kind="counter"),
        Rule(name="demand", value=Total((("running",), ("waiting",)))),
    ]
    with source_of(fake) as source:
        reading = collect(source, *rules)
    assert values(reading, "p75") == {"vllm-0": pytest.approx(0.15)}
    assert values(reading, "missed") == {"vllm-0": pytest.approx(0.25)}
    assert values(reading, "count") == {"vllm-0": 200.0}
    assert values(reading, "mean") == {"vllm-0": 0.5}
    assert values(reading, "queue") == {"vllm-0": 200.0}
    assert values(reading, "demand") == {"vllm-0": 14.0}
    assert reading.series["demand"][0].at_ns == NOW_NS - 8 * NS_PER_SECOND
    assert reading.series["p75"][0].window_seconds == 60


@pytest.mark.parametrize(
    ("points", "kind", "why"),
    [
        pytest.param([(1000, 5, 7)], "CUMULATIVE", "needs two samples within 60 s", id="one-sample"),
        pytest.param([(5, "busy")], "GAUGE", "string values are no numbers", id="text"),
        pytest.param([(5, ((1.0,), (1, 2)))], "GAUGE", "a distribution is no number", id="distribution"),
        pytest.param([(5, float("nan"))], "GAUGE", "NaN", id="NaN"),
    ],
)
def test_what_is_no_value_says_why(fake, points, kind, why):
    fake.series = [series("x.googleapis.com/y", *points, kind=kind)]
    rule = Rule(name="y", value=Latest(()), cloud=CloudQuery(metric_type="x.googleapis.com/y"))
    with source_of(fake) as source:
        (one,) = collect(source, rule).series["y"]
    assert one.value is None
    assert one.why.startswith(why)


def test_a_counter_asked_for_by_its_type_is_a_rate_as_in_the_stackdriver_adapter(fake):
    fake.series = [series(f"{GMP}n/counter", (1000, 5, 600), (1000, 65, 0), kind="CUMULATIVE")]
    rule = Rule(name="n", value=Latest(()), cloud=CloudQuery(metric_type=f"{GMP}n/counter"))
    with source_of(fake) as source:
        assert values(collect(source, rule), "n") == {"vllm-0": 10.0}


def test_another_services_metric_belongs_to_no_pod(fake):
    metric_type = "pubsub.googleapis.com/subscription/num_undelivered_messages"
    fake.series = [
        series(
            metric_type, (90, 42), labels={}, resource={"subscription_id": name}, resource_type="pubsub_subscription"
        )
        for name in ("jobs", "mail")
    ]
    cloud = CloudQuery(metric_type=metric_type, filter='resource.labels.subscription_id = "jobs"')
    with source_of(fake) as source:
        (one,) = collect(source, Rule(name="backlog", value=Latest(()), cloud=cloud)).series["backlog"]
    assert (one.pod, one.value) == (None, 42.0)
    assert dict(one.resource_labels) == {"subscription_id": "jobs", "type": "pubsub_subscription"}


def test_a_reducer_is_the_apis_and_the_kind_is_asked_once(fake):
    metric_type = f"{GMP}t/histogram"
    fake.series = [series(metric_type, (1000, 5, ((1.0,), (1, 2))), kind="CUMULATIVE")]
    fake.reduced = series(metric_type, (0, 7.5), labels={}, resource={})
    cloud = CloudQuery(metric_type=metric_type, reducer="REDUCE_PERCENTILE_95")
    rule = Rule(name="p95", value=Latest(()), cloud=cloud)
    with source_of(fake) as source:
        collect(source, rule)
        (one,) = collect(source, rule).series["p95"]
    assert (one.pod, one.value, one.window_seconds) == (None, 7.5, 60)
    described, listed, again = fake.requests
    assert described.name == f"projects/p/metricDescriptors/{metric_type}"
    assert listed.aggregation == again.aggregation
    assert listed.aggregation.per_series_aligner.name == "ALIGN_DELTA"
    assert listed.aggregation.cross_series_reducer.name == "REDUCE_PERCENTILE_95"
    assert list(listed.aggregation.group_by_fields) == ["resource.label.namespace"]


def test_throttling_is_never_not_found_and_stops_the_collection(fake):
    fake.series = [series(f"{GMP}{name}/gauge", (5, 1.0)) for name in "abc"]
    rules = [Rule(name=name, value=Latest((name,))) for name in "abc"]
    with source_of(fake) as source:
        fake.next_errors = [lambda _: None, throttle]
        reading = collect(source, *rules)
        assert reading.series.keys() == {"a"}
        assert {error.reason for error in reading.failures.values()} == {"throttled"}
        assert len(fake.requests) == 2
        fake.always = throttle
        with pytest.raises(SourceUnavailable) as caught:
            collect(source, *rules)
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("throttled", 7.5)
    assert "lower requestsPerMinute" in str(caught.value)
    assert len(fake.requests) == 3


@pytest.mark.parametrize(
    ("error", "reason", "said"),
    [
        (abort(grpc.StatusCode.PERMISSION_DENIED, "denied"), "unauthorized", "grant .* roles/monitoring.viewer"),
        (abort(grpc.StatusCode.UNAUTHENTICATED, "who"), "unauthorized", "check the credentials"),
        (abort(grpc.StatusCode.UNAVAILABLE, "down"), "connection", "down"),
        (abort(grpc.StatusCode.INTERNAL, "oops"), "status", "InternalServerError"),
        (abort(grpc.StatusCode.DEADLINE_EXCEEDED, "slow"), "timeout", "timeoutSeconds"),
    ],
)
def test_a_backend_that_cannot_be_had_says_why(fake, error, reason, said):
    fake.always = error
    with source_of(fake) as source, pytest.raises(SourceUnavailable, match=said) as caught:
        collect(source, WAITING)
    assert caught.value.reason == reason
    assert len(fake.requests) == 1  # no retries that nobody counts


def test_a_wrong_filter_fails_its_rule_alone(fake):
    fake.series = [series(f"{GMP}vllm:waiting/gauge", (5, 1.0))]
    fake.next_errors = [abort(grpc.StatusCode.INVALID_ARGUMENT, "Could not parse filter")]
    wrong = Rule(name="wrong", value=Latest(()), cloud=CloudQuery(metric_type="x", filter="((("))
    with source_of(fake) as source:
        reading = collect(source, wrong, WAITING)
        fake.next_errors = [abort(grpc.StatusCode.INVALID_ARGUMENT, "Could not parse filter")]
        alone = collect(source, wrong)
    assert reading.series.keys() == {"waiting"}
    assert "Could not parse filter" in str(reading.failures["wrong"])
    assert alone.failures.keys() == {"wrong"}


def test_a_slow_backend_meets_the_deadline(fake):
    fake.always = lambda _: fake.released.wait(5)
    with source_of(fake, timeout_seconds=0.2) as source, pytest.raises(SourceUnavailable) as caught:
        collect(source, WAITING)
    assert caught.value.reason == "timeout"


def test_nobody_at_the_address_is_a_connection(fake):
    with source_of(fake) as source:
        pass
    closed = CloudMonitoringSource(source._settings)
    with pytest.raises(SourceUnavailable) as caught:
        collect(closed, WAITING)
    asyncio.run(closed.close())
    assert caught.value.reason == "connection"


def test_a_page_that_is_too_long_is_not_throttling(fake):
    fake.series = [series(f"{GMP}vllm:waiting/gauge", (5, 1.0), labels={"pod": "vllm-0", "text": "x" * 2000})]
    with source_of(fake, max_response_bytes=1024) as source:
        reading = collect(source, WAITING)
    assert reading.failures["waiting"].reason == "too_large"


def test_more_series_than_the_limit_fail_their_rule(fake):
    """A sum over those that fit would be too low."""
    fake.series = [
        series(f"{GMP}vllm:waiting/gauge", (5, 1.0), labels={"pod": "vllm-0", "user": str(user)}) for user in range(30)
    ]
    with source_of(fake, series_limit=20) as source:
        reading = collect(source, WAITING)
    assert (reading.series, reading.failures["waiting"].reason) == ({}, "limit")
    assert "had over seriesLimit=20 series" in str(reading.failures["waiting"])


def test_a_metric_nobody_ever_wrote_is_unknown_and_asked_for_again_later(fake):
    now = [100.0]
    with source_of(fake, lambda: now[0], absent_retry_seconds=60.0) as source:
        for _ in range(2):
            reading = collect(source, WAITING)
            assert (reading.series, reading.failures) == ({}, {})
        assert len(fake.requests) == 2  # as a gauge and as unknown, once
        fake.series = [series(f"{GMP}vllm:waiting/gauge", (5, 1.0))]
        now[0] += 61.0
        assert values(collect(source, WAITING), "waiting") == {"vllm-0": 1.0}


def test_a_metric_that_has_gone_quiet_is_asked_for_each_time(fake):
    """A deployment scaled to zero writes nothing; when it comes back it is seen at once."""
    one = series(f"{GMP}vllm:waiting/gauge", (5, 1.0))
    fake.series = [one]
    with source_of(fake) as source:
        collect(source, WAITING)
        fake.series = [series(f"{GMP}vllm:waiting/gauge", (5, 1.0), resource={**TARGET, "cluster": "other"})]
        assert collect(source, WAITING).series == {"waiting": []}
        fake.series = [one]
        assert values(collect(source, WAITING), "waiting") == {"vllm-0": 1.0}


def test_rules_beyond_the_budget_keep_their_values_and_take_turns(fake):
    now = [100.0]
    fake.series = [series(f"{GMP}{name}/gauge", (5, 1.0)) for name in "abcd"]
    rules = [Rule(name=name, value=Latest((name,))) for name in "abcd"]
    with source_of(fake, lambda: now[0], requests_per_minute=4, interval_seconds=30.0) as source:
        readings = []
        for _ in range(3):
            readings.append(collect(source, *rules))
            now[0] += 30.0
    assert [sorted(reading.series) for reading in readings] == [["a", "b"], list("abcd"), list("abcd")]
    assert [reading.notes["quota"] for reading in readings] == [2, 2, 2]
    asked = [re.search(rf"{GMP}(\w)/", request.filter)[1] for request in fake.requests]
    assert asked == ["a", "b", "c", "d", "a", "b"]


def test_what_waits_for_its_turn_loses_pods_that_are_gone(fake):
    fake.series = [series(f"{GMP}vllm:waiting/gauge", (5, 1.0), labels={"pod": f"vllm-{pod}"}) for pod in range(2)]
    now = [100.0]
    with source_of(fake, lambda: now[0], requests_per_minute=1, interval_seconds=30.0) as source:
        collect(source, WAITING)
        remaining = {PodKey("llm", "vllm-1"): PodInfo()}
        assert values(collect(source, WAITING, pods=remaining), "waiting") == {"vllm-1": 1.0}
    assert len(fake.requests) == 1


@pytest.mark.parametrize("wrong", [{"project": "P p"}, {"location": ""}, {"endpoint": "http://x"}, {"colour": 1}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CloudMonitoringSettings(**{"project": "p", "cluster": "c", "location": "l", **wrong})
